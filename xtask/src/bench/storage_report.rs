//! The table of `cargo xtask bench storage`, for people and for programs.

use std::error::Error;
use std::fmt;

use serde_json::{Map, Value, json};

use super::sample::median;
use super::storage_targets::{Verdict, judge};

const OURS: &str = "docdb";
const DEVICE: &str = "device";

/// What has a column, or is said elsewhere.
const IN_COLUMNS: &[&str] = &[
    "row",
    "case",
    "subject",
    "durability",
    "figure",
    "unit",
    "lower_is_better",
    "repeat",
    "operations",
    "seconds",
    "cpu_micros",
    "micros_p50",
    "micros_p99",
    "commit_documents",
];

/// The runs of one case on one subject.
#[derive(Debug)]
struct Line {
    subject: String,
    durability: String,
    runs: Vec<Value>,
}

impl Line {
    fn values<'a>(&'a self, figure: &'a str) -> impl Iterator<Item = f64> + 'a {
        self.runs.iter().filter_map(move |run| run[figure].as_f64())
    }

    fn median(&self, figure: &str) -> Option<f64> {
        self.values(figure).next()?;
        Some(median(self.values(figure)))
    }

    fn errors(&self) -> usize {
        self.runs
            .iter()
            .filter(|run| run["error"].is_string())
            .count()
    }
}

/// One case and all its subjects.
#[derive(Debug)]
pub(super) struct Case {
    row: String,
    name: String,
    figure: String,
    unit: String,
    lower_is_better: bool,
    lines: Vec<Line>,
}

impl Case {
    pub(super) fn row(&self) -> &str {
        &self.row
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number in the row's name, by which rows are sorted.
    fn number(&self) -> u32 {
        self.row.trim_start_matches('T').parse().unwrap_or(u32::MAX)
    }

    fn line(&self, subject: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.subject == subject)
    }

    /// The median of a figure of DocDB.
    pub(super) fn ours(&self, figure: &str) -> Option<f64> {
        self.line(OURS)?.median(figure)
    }

    /// The median, over the repeats, of one subject's figure divided by another's of the same repeat.
    pub(super) fn ratio(&self, figure: &str, of: &str, to: &str) -> Option<f64> {
        let (of, to) = (self.line(of)?, self.line(to)?);
        let mut ratios = Vec::new();
        for run in &of.runs {
            let same = to.runs.iter().find(|it| it["repeat"] == run["repeat"]);
            if let (Some(a), Some(b)) = (
                run[figure].as_f64(),
                same.and_then(|run| run[figure].as_f64()),
            ) {
                ratios.push(a / b);
            }
        }
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// How many times better than this peer DocDB is.
    fn ours_to(&self, subject: &str) -> Option<f64> {
        match subject {
            OURS | DEVICE => None,
            _ if self.lower_is_better => self.ratio(&self.figure, subject, OURS),
            _ => self.ratio(&self.figure, OURS, subject),
        }
    }

    /// The same of the best of the peers.
    pub(super) fn ours_to_best(&self) -> Option<f64> {
        let peers = self.lines.iter();
        peers
            .filter_map(|line| self.ours_to(&line.subject))
            .min_by(f64::total_cmp)
    }

    /// A figure's ratio to that of the bare device.
    fn to_device(&self, figure: &str, line: &Line) -> Option<f64> {
        match line.subject == DEVICE {
            true => None,
            false => self.ratio(figure, &line.subject, DEVICE),
        }
    }

    /// The figures that only some cases have.
    fn others(&self, line: &Line) -> Vec<(String, f64)> {
        let names = line.runs.iter().filter_map(Value::as_object);
        let mut names: Vec<&String> = names.flat_map(Map::keys).collect();
        names.sort();
        names.dedup();
        let mut others = Vec::new();
        for name in names {
            // The rate of a single operation says nothing.
            let is_idle = name == "rate" && line.median("operations") == Some(1.0);
            if IN_COLUMNS.contains(&name.as_str()) || *name == self.figure || is_idle {
                continue;
            }
            match (line.median(name), name.as_str()) {
                (Some(bytes), "bytes_per_second") => others.push(("GB/s".into(), bytes / 1e9)),
                (Some(value), _) => others.push((name.clone(), value)),
                (None, _) => {}
            }
        }
        others
    }
}

/// All cases.
#[derive(Debug)]
pub(super) struct Report {
    head: Value,
    cases: Vec<Case>,
    /// The load of the machine before and after.
    load: [Option<f64>; 2],
}

impl Report {
    /// A report of what the benchmark printed: a line about the run, then a line for each run of a
    /// case on a subject.
    pub(super) fn new(lines: &[Value], load: [Option<f64>; 2]) -> Result<Report, Box<dyn Error>> {
        let (head, runs) = lines.split_first().ok_or("the benchmark printed nothing")?;
        let mut report = Report {
            head: head.clone(),
            cases: Vec::new(),
            load,
        };
        for run in runs {
            report.add(run)?;
        }
        report.cases.sort_by_key(Case::number);
        Ok(report)
    }

    fn add(&mut self, run: &Value) -> Result<(), Box<dyn Error>> {
        let text = |name: &str| {
            let text = run[name].as_str().map(str::to_owned);
            text.ok_or_else(|| format!("a line of the benchmark has no {name}"))
        };
        let (row, name) = (text("row")?, text("case")?);
        let is_same = |case: &Case| case.row == row && case.name == name;
        let at = match self.cases.iter().position(is_same) {
            Some(at) => at,
            None => {
                self.cases.push(Case {
                    row,
                    name,
                    figure: text("figure")?,
                    unit: text("unit")?,
                    lower_is_better: run["lower_is_better"].as_bool().unwrap_or(false),
                    lines: Vec::new(),
                });
                self.cases.len() - 1
            }
        };
        let case = &mut self.cases[at];
        let subject = text("subject")?;
        match case.lines.iter_mut().find(|line| line.subject == subject) {
            Some(line) => line.runs.push(run.clone()),
            None => case.lines.push(Line {
                subject,
                durability: text("durability")?,
                runs: vec![run.clone()],
            }),
        }
        Ok(())
    }

    pub(super) fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The first case whose name begins so.
    pub(super) fn case(&self, name: &str) -> Option<&Case> {
        self.cases.iter().find(|case| case.name.starts_with(name))
    }

    pub(super) fn json(&self) -> Result<String, serde_json::Error> {
        let mut rows = Vec::new();
        for case in &self.cases {
            for line in &case.lines {
                let medians: Map<String, Value> = case
                    .others(line)
                    .into_iter()
                    .map(|(name, value)| (name, value.into()))
                    .collect();
                rows.push(json!({
                    "row": case.row,
                    "case": case.name,
                    "subject": line.subject,
                    "durability": line.durability,
                    "figure": case.figure,
                    "unit": case.unit,
                    "median": line.median(&case.figure),
                    "micros_p50_median": line.median("micros_p50"),
                    "micros_p99_median": line.median("micros_p99"),
                    "medians": medians,
                    "to_device": case.to_device(&case.figure, line),
                    "p50_to_device": case.to_device("micros_p50", line),
                    "docdb_to_this": case.ours_to(&line.subject),
                    "errors": line.errors(),
                    "runs": line.runs,
                }));
            }
        }
        let targets: Vec<Value> = judge(self)
            .iter()
            .map(|it| {
                json!({
                    "row": it.row, "case": it.case, "target": it.target,
                    "measured": it.measured, "is_met": it.is_met,
                })
            })
            .collect();
        let value = json!({
            "run": self.head,
            "load_before": self.load[0],
            "load_after": self.load[1],
            "rows": rows,
            "targets": targets,
        });
        Ok(serde_json::to_string_pretty(&value)? + "\n")
    }

    fn write_case(&self, case: &Case, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sense = if case.lower_is_better {
            ", less is better"
        } else {
            ""
        };
        writeln!(f, "{} {} ({}{sense})", case.row, case.name, case.unit)?;
        for line in &case.lines {
            let lowest = line.values(&case.figure).fold(f64::INFINITY, f64::min);
            let highest = line.values(&case.figure).fold(0.0, f64::max);
            write!(
                f,
                "  {:8} {:26} {:>10} {:>22} {:>9} {:>9} {:>8} {:>8} {:>8} ",
                line.subject,
                line.durability,
                number(line.median(&case.figure)),
                match line.median(&case.figure) {
                    Some(_) => format!("[{}..{}]", number(Some(lowest)), number(Some(highest))),
                    None => "-".to_owned(),
                },
                number(line.median("micros_p50")),
                number(line.median("micros_p99")),
                times(case.to_device(&case.figure, line)),
                times(case.to_device("micros_p50", line)),
                times(case.ours_to(&line.subject)),
            )?;
            for (name, value) in case.others(line) {
                write!(f, " {name} {}", number(Some(value)))?;
            }
            if line.errors() > 0 {
                write!(f, " FAILED {} of {}", line.errors(), line.runs.len())?;
            }
            writeln!(f)?;
            if let Some(text) = line.runs.last().and_then(|run| run["recovery"].as_str()) {
                writeln!(f, "           {text}")?;
            }
        }
        Ok(())
    }
}

/// A figure in as many digits as say something, or a dash for one that there is not.
fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 1000.0 || value == value.trunc() => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn times(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}x"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "medians of {} alternating runs of {} s where nothing else ends them, \
             [lowest..highest]; scale {}; documents of {} bytes; load of the machine before {}, \
             after {}",
            self.head["repeats"],
            self.head["seconds"],
            self.head["scale"].as_str().unwrap_or("-"),
            self.head["document_bytes"],
            number(self.load[0]),
            number(self.load[1]),
        )?;
        writeln!(
            f,
            "  {:8} {:26} {:>10} {:>22} {:>9} {:>9} {:>8} {:>8} {:>8}",
            "subject",
            "durability",
            "median",
            "spread",
            "p50 us",
            "p99 us",
            "/dev",
            "p50/dev",
            "docdb/it"
        )?;
        for case in &self.cases {
            self.write_case(case, f)?;
        }
        writeln!(f, "\ntargets, which are meant for scale full")?;
        for Verdict {
            row,
            case,
            target,
            measured,
            is_met,
        } in judge(self)
        {
            let met = if is_met { "met" } else { "not met" };
            writeln!(
                f,
                "{row:4} {met:8} {:>10}  {target}: {case}",
                number(Some(measured))
            )?;
        }
        writeln!(f)?;
        if let Some(settings) = self.head["settings"].as_object() {
            for (subject, text) in settings {
                writeln!(f, "{subject}: {}", text.as_str().unwrap_or_default())?;
            }
        }
        write!(
            f,
            "/dev, p50/dev: the figure and the median latency divided by the bare device's of the \
             same repeat. docdb/it: how many times better than this one DocDB is."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(row: &str, subject: &str, repeat: u64, figures: Value) -> Value {
        let mut run = json!({
            "row": row, "case": format!("case of {row}, threads: 64"), "subject": subject,
            "durability": "synced", "figure": "rate", "unit": "/s", "lower_is_better": false,
            "repeat": repeat,
        });
        if let (Some(run), Value::Object(figures)) = (run.as_object_mut(), figures) {
            run.extend(figures);
        }
        run
    }

    #[test]
    fn ratios_are_those_of_the_same_repeat_and_targets_are_judged() {
        let lines = [
            json!({"scale": "smoke", "settings": {"device": "bare"}}),
            run(
                "T10",
                "docdb",
                0,
                json!({"open_ms": 4.0, "figure": "open_ms"}),
            ),
            run("T2", "device", 0, json!({"rate": 10.0})),
            run(
                "T2",
                "docdb",
                0,
                json!({"rate": 80.0, "micros_p50": 2.5, "extra": 7}),
            ),
            run("T2", "a", 0, json!({"rate": 40.0})),
            run("T2", "b", 0, json!({"error": "broken"})),
            run("T2", "a", 1, json!({"rate": 10.0})),
            run("T2", "docdb", 1, json!({"rate": 40.0})),
            run("T2", "b", 1, json!({"rate": 20.0})),
        ];
        let report = Report::new(&lines, [Some(0.5), None]).unwrap();
        assert_eq!(report.cases()[0].row(), "T2");
        let case = &report.cases()[0];
        assert_eq!(case.ours_to("a"), Some(2.0));
        assert_eq!(case.ours_to("b"), Some(2.0));
        assert_eq!(case.ratio("rate", "docdb", "device"), Some(8.0));
        assert_eq!(
            (case.ours_to("docdb"), case.ours_to_best()),
            (None, Some(2.0))
        );
        let verdicts = judge(&report);
        assert_eq!(verdicts.len(), 1);
        assert!(!verdicts[0].is_met);
        let text = report.to_string();
        for part in [
            "FAILED 1 of 2",
            "extra 7",
            "not met",
            "device: bare",
            "[40..80]",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(report.json().unwrap().contains("docdb_to_this"));
        assert!(Report::new(&[], [None, None]).is_err());
        assert!(Report::new(&[json!({}), json!({"case": "c"})], [None, None]).is_err());
    }
}
