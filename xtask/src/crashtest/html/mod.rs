//! The report as one page that needs nothing else, for whoever was not there.

mod charts;
mod proofs;

use std::fmt::Write;

use super::figures::number;
use super::report::{PartReport, Report};

/// Violations of a part that are shown in full.
const VIOLATIONS_SHOWN_MAX: usize = 50;

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    page += "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
    page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    page += "<title>DocDB crash test</title>\n<style>\n";
    page += include_str!("style.css");
    page += "</style>\n</head>\n<body>\n<h1>DocDB crash test</h1>\n";
    verdict(&mut page, report);
    summary(&mut page, report);
    machine(&mut page, report);
    for part in &report.parts {
        self::part(&mut page, part);
    }
    page += "</body>\n</html>\n";
    page
}

fn verdict(page: &mut String, report: &Report) {
    let violations = report.violations();
    let (class, word, rest) = match (report.is_passed(), violations) {
        (true, _) => ("passed", "Passed.", "No promise was broken.".to_owned()),
        (false, 0) => (
            "failed",
            "Failed.",
            "Not every part could do its work.".to_owned(),
        ),
        (false, 1) => ("failed", "Failed.", "One promise was broken.".to_owned()),
        (false, n) => ("failed", "Failed.", format!("{n} promises were broken.")),
    };
    let early = match report.was_ended_early {
        true => " The run was ended early: what was not done is not proven.",
        false => "",
    };
    add(
        page,
        format_args!("<p class=\"verdict {class}\"><strong>{word}</strong> {rest}{early}</p>\n"),
    );
    *page += "<p>DocDB is a database of JSON documents. It promises that what it has acknowledged \
              survives the end of its process and the loss of power, that nothing is there which \
              nobody wrote, and that what was damaged is never passed off as whole. This run tried to \
              break these promises.</p>\n";
}

fn summary(page: &mut String, report: &Report) {
    *page += "<div class=\"wide\"><table>\n<tr><th>part</th><th class=\"number\">cases</th><th></th>\
              <th class=\"number\">seconds</th><th class=\"number\">violations</th><th>what is done</th></tr>\n";
    for part in &report.parts {
        let violations = match &part.error {
            Some(_) => "could not run".to_owned(),
            None => part.outcome.violations.len().to_string(),
        };
        add(
            page,
            format_args!(
                "<tr><td><a href=\"#{name}\">{name}</a></td><td class=\"number\">{}</td><td>{}</td>\
                 <td class=\"number\">{:.1}</td><td class=\"number\">{violations}</td><td>{}</td></tr>\n",
                number(part.outcome.cases as f64),
                text(&part.outcome.unit),
                part.seconds,
                text(part.summary),
                name = part.name,
            ),
        );
    }
    *page += "</table></div>\n";
}

fn machine(page: &mut String, report: &Report) {
    let machine = &report.machine;
    let seed = report.seed.to_string();
    let seconds = format!("{:.0} s, {} scale", report.seconds, report.scale);
    let disk = format!("{}, {}", machine.device, machine.filesystem);
    let docdb = format!("{}, commit {}", machine.docdb_version, machine.commit);
    let processors = machine.processors.to_string();
    let began = super::machine::date(machine.unix_seconds);
    *page += "<dl>\n";
    for (name, value) in [
        ("command", &report.command),
        ("seed", &seed),
        ("began", &began),
        ("took", &seconds),
        ("DocDB", &docdb),
        ("disk of real servers", &disk),
        ("kernel", &machine.kernel),
        ("processors", &processors),
    ] {
        add(
            page,
            format_args!("<dt>{name}</dt><dd>{}</dd>\n", text(value)),
        );
    }
    *page += "</dl>\n";
}

fn part(page: &mut String, part: &PartReport) {
    let proof = proofs::of(part.name);
    add(
        page,
        format_args!(
            "<h2 id=\"{name}\">{name}</h2>\n<p>{}.</p>\n<p><strong>What a pass proves.</strong> {}</p>\n\
             <p><strong>What it cannot.</strong> {}</p>\n",
            text(&upper(part.summary)),
            text(proof.proves),
            text(proof.cannot),
            name = part.name,
        ),
    );
    violations(page, part);
    if !part.outcome.figures.is_empty() {
        *page += "<table>\n";
        for figure in &part.outcome.figures {
            add(
                page,
                format_args!(
                    "<tr><td>{}</td><td class=\"number\">{}</td><td>{}</td></tr>\n",
                    text(figure.name.trim()),
                    number(figure.value),
                    text(&figure.unit)
                ),
            );
        }
        *page += "</table>\n";
    }
    for note in &part.outcome.notes {
        add(page, format_args!("<p class=\"soft\">{}</p>\n", text(note)));
    }
    if let Some(hash) = part.outcome.trace_hash {
        let same = "the same seed and number of cases give the same";
        add(
            page,
            format_args!("<p class=\"soft\">Trace <code>{hash:016x}</code>: {same}.</p>\n"),
        );
    }
    for chart in &part.outcome.charts {
        if let Some(svg) = charts::svg(chart) {
            let title = text(&chart.title);
            add(
                page,
                format_args!("<figure><figcaption>{title}</figcaption>\n{svg}</figure>\n"),
            );
        }
    }
}

fn violations(page: &mut String, part: &PartReport) {
    if let Some(error) = &part.error {
        let error = text(error);
        add(
            page,
            format_args!(
                "<div class=\"violation\"><strong>Could not run</strong><pre>{error}</pre></div>\n"
            ),
        );
    }
    let all = part.outcome.violations.iter().zip(&part.replays);
    for (violation, replay) in all.take(VIOLATIONS_SHOWN_MAX) {
        add(
            page,
            format_args!(
                "<div class=\"violation\"><strong>Violation</strong><p>{}</p>\n",
                text(&violation.what)
            ),
        );
        if !violation.operations.is_empty() {
            let operations = text(&violation.operations.join("\n"));
            add(page, format_args!("<pre>{operations}</pre>\n"));
        }
        add(
            page,
            format_args!("<p>Again:</p><pre>{}</pre></div>\n", text(replay)),
        );
    }
    let more = part
        .outcome
        .violations
        .len()
        .saturating_sub(VIOLATIONS_SHOWN_MAX);
    if more > 0 {
        add(page, format_args!("<p>And {more} more violations.</p>\n"));
    }
}

fn add(page: &mut String, arguments: std::fmt::Arguments<'_>) {
    page.write_fmt(arguments)
        .expect("a string takes what it is given");
}

/// Text that cannot be taken for markup.
fn text(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    escaped.replace('>', "&gt;").replace('"', "&quot;")
}

/// With a capital at the beginning.
fn upper(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::page;

    #[test]
    fn the_page_has_everything_and_needs_nothing_else() {
        let report = sample();
        let page = page(&report);
        for part in &report.parts {
            assert!(
                page.contains(&format!("<h2 id=\"{}\">", part.name)),
                "{page}"
            );
            for figure in &part.outcome.figures {
                assert!(page.contains(figure.name.trim()), "{page}");
            }
            for replay in &part.replays {
                assert!(page.contains(replay.as_str()), "{page}");
            }
        }
        assert_eq!(page.matches("<svg").count(), 1);
        assert!(
            page.contains("verdict failed") && page.contains("7777"),
            "{page}"
        );
        assert!(page.contains("prefers-color-scheme: dark"));
        for foreign in ["<script", "src=", "@import", "url(", "<link"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        // What is shown of documents is text.
        assert!(page.contains("&lt;b&gt;"), "{page}");
    }
}
