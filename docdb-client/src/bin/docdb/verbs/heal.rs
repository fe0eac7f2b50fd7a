//! Verbs of healing, and how their answers look.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use docdb_client::{Database, ErrorKind, HealOutcome, HealReport};
use serde_json::{Value, json};

use super::figures;
use crate::Context;
use crate::args::DocumentArgs;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Between two looks at how far it has come.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// The word for an outcome; an error if the document is damaged.
pub(crate) fn word(outcome: HealOutcome) -> Result<&'static str, Failure> {
    match outcome {
        HealOutcome::Intact => Ok("intact"),
        HealOutcome::Healed => Ok("healed"),
        HealOutcome::Unhealable { what } => {
            let message = format!("there is no intact copy of the document: {what}");
            Err(Failure::new(ErrorKind::Corrupt, message))
        }
        _ => Err(Failure::new(ErrorKind::Internal, "an unknown outcome")),
    }
}

pub(super) async fn heal(context: &Context, args: &DocumentArgs) -> Outcome {
    let database = context.client.database(&args.db);
    let word = word(database.heal(&args.collection, args.id).await?)?;
    output::answer(context, format!("OK {word}"), json!({ "outcome": word }))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn heal_all(context: &Context, db: &str) -> Outcome {
    let database = context.client.database(db);
    let report = with_progress(&database).await?;
    output::answer(context, text(&report), report_json(&report))?;
    match unhealed(&report) {
        None => Ok(ExitCode::SUCCESS),
        Some(failure) => Err(failure),
    }
}

pub(super) async fn heal_stats(context: &Context, db: &str) -> Outcome {
    let stats = context.client.database(db).heal_stats().await?;
    output::answer(context, figures::list(&stats), stats)?;
    Ok(ExitCode::SUCCESS)
}

/// Heals all, and shows how far it has come if somebody looks.
async fn with_progress(database: &Database) -> Result<HealReport, Failure> {
    if !std::io::stderr().is_terminal() {
        return Ok(database.heal_all().await?);
    }
    let bar = indicatif::ProgressBar::new(0).with_style(output::progress_style(true));
    let show = async {
        loop {
            tokio::time::sleep(PROGRESS_INTERVAL).await;
            if let Ok(stats) = database.heal_stats().await {
                let figure = |name| stats.get(name).and_then(Value::as_u64).unwrap_or(0);
                bar.set_length(figure("scan_todo_bytes"));
                bar.set_position(figure("scan_done_bytes"));
            }
        }
    };
    let report = tokio::select! {
        report = database.heal_all() => report,
        () = show => unreachable!("it has no end"),
    };
    bar.finish_and_clear();
    Ok(report?)
}

/// One line, and one for each damaged thing.
pub(crate) fn text(report: &HealReport) -> String {
    let mut text = format!("OK {}", summary(report));
    for line in damage(report) {
        text.push('\n');
        text.push_str(&line);
    }
    text
}

/// The figures of a report.
pub(crate) fn summary(report: &HealReport) -> String {
    format!(
        "files={} bytes={} found={} healed={} unhealable={} index_pages_damaged={}",
        report.files,
        report.bytes,
        report.found,
        report.healed,
        report.unhealable,
        report.index_pages_damaged
    )
}

/// What is damaged, one line each.
pub(crate) fn damage(report: &HealReport) -> Vec<String> {
    let documents = report.unhealable_documents.iter().map(|document| {
        format!(
            "unhealable\t{}\t{}\tversion {}: {}",
            document.collection, document.id, document.version, document.what
        )
    });
    let places = report
        .places
        .iter()
        .map(|place| format!("damaged\t{place}"));
    documents.chain(places).collect()
}

/// What is left damaged, if anything is.
pub(crate) fn unhealed(report: &HealReport) -> Option<Failure> {
    report.is_damaged().then(|| {
        let message = format!(
            "{} documents and {} pages of the index are damaged and have no intact copy",
            report.unhealable, report.index_pages_damaged
        );
        Failure::new(ErrorKind::Corrupt, message)
    })
}

fn report_json(report: &HealReport) -> Value {
    let documents = report.unhealable_documents.iter().map(|document| {
        json!({
            "collection": document.collection.as_str(),
            "id": document.id,
            "version": document.version,
            "what": document.what.as_str(),
        })
    });
    json!({
        "files": report.files,
        "bytes": report.bytes,
        "found": report.found,
        "healed": report.healed,
        "unhealable": report.unhealable,
        "index_pages_damaged": report.index_pages_damaged,
        "unhealable_documents": documents.collect::<Vec<_>>(),
        "places": report.places.iter().map(|place| place.as_str()).collect::<Vec<_>>(),
    })
}
