//! What a run has found out, in the shape in which it is written as JSON.

use std::path::Path;
use std::time::{Duration, Instant};

use docdb_crashtest::{Outcome, Part, Scale};
use serde::Serialize;

use super::machine::Machine;
use super::parts::Setting;

/// Raised when a name in the JSON changes its meaning.
const FORMAT: u32 = 1;

/// A whole run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) format: u32,
    /// `passed` or `failed`.
    pub(super) verdict: &'static str,
    pub(super) was_ended_early: bool,
    pub(super) seed: u64,
    pub(super) scale: &'static str,
    /// The command line that this was.
    pub(super) command: String,
    pub(super) seconds: f64,
    pub(super) machine: Machine,
    pub(super) parts: Vec<PartReport>,
    #[serde(skip)]
    began: Option<Instant>,
}

/// What one part did.
#[derive(Debug, Serialize)]
pub(super) struct PartReport {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) seconds: f64,
    /// What kept the part from its work, so that nothing was proven.
    pub(super) error: Option<String>,
    pub(super) outcome: Outcome,
    /// For each violation the command that does its case again.
    pub(super) replays: Vec<String>,
}

impl Report {
    pub(super) fn new(seed: u64, scale: Scale, dir: &Path) -> Report {
        Report {
            format: FORMAT,
            verdict: "failed",
            was_ended_early: false,
            seed,
            scale: match scale {
                Scale::Smoke => "smoke",
                Scale::Soak => "soak",
            },
            command: command(),
            seconds: 0.0,
            machine: Machine::of(dir),
            parts: Vec::new(),
            began: Some(Instant::now()),
        }
    }

    /// The run is over.
    pub(super) fn end(&mut self) {
        self.seconds = seconds(self.began.map_or(Duration::ZERO, |began| began.elapsed()));
        self.verdict = if self.is_passed() { "passed" } else { "failed" };
    }

    /// Whether every part did its work and saw no promise broken.
    pub(super) fn is_passed(&self) -> bool {
        let is_clean =
            |part: &PartReport| part.error.is_none() && part.outcome.violations.is_empty();
        !self.parts.is_empty() && self.parts.iter().all(is_clean)
    }

    pub(super) fn violations(&self) -> usize {
        self.parts
            .iter()
            .map(|part| part.outcome.violations.len())
            .sum()
    }

    pub(super) fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("plain data with string keys") + "\n"
    }
}

impl PartReport {
    pub(super) fn new(
        part: &dyn Part,
        setting: &Setting<'_>,
        took: Duration,
        result: Result<Outcome, String>,
    ) -> PartReport {
        let (outcome, error) = match result {
            Ok(outcome) => (outcome, None),
            Err(error) => (Outcome::default(), Some(error)),
        };
        let violations = outcome.violations.iter();
        let replay = |place: &str| replay_command(part.name(), place, setting);
        PartReport {
            name: part.name(),
            summary: part.summary(),
            seconds: seconds(took),
            error,
            replays: violations.map(|v| replay(&v.place)).collect(),
            outcome,
        }
    }
}

/// The command that does one case again.
fn replay_command(part: &str, place: &str, setting: &Setting<'_>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/,=+".contains(c);
    let place = match !place.is_empty() && place.chars().all(is_plain) {
        true => place.to_owned(),
        false => format!("'{}'", place.replace('\'', "'\\''")),
    };
    let mut command = format!(
        "cargo xtask crashtest --only {part} --replay {place} --seed {}",
        setting.seed
    );
    if setting.scale == Scale::Soak {
        command += " --soak";
    }
    if setting.options.clients != 4 {
        command += &format!(" --clients {}", setting.options.clients);
    }
    command
}

fn command() -> String {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    format!("cargo xtask {}", arguments.join(" "))
}

/// Seconds with three digits behind the point.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use docdb_crashtest::{Chart, ChartKind, Outcome, Scale, Violation};
    use serde_json::Value;

    use super::{PartReport, Report};

    /// A run with a part that passed and one that did not.
    pub(crate) fn sample() -> Report {
        let mut report = Report::new(7777, Scale::Smoke, Path::new("/"));
        let mut outcome = Outcome::of(3, "SIGKILLs");
        outcome.figure("commits", 1234.0, "");
        outcome.charts.push(Chart {
            title: "Kills".to_owned(),
            kind: ChartKind::Bars,
            x: "moment".to_owned(),
            y: "kills".to_owned(),
            points: vec![("any".to_owned(), 0.0, 3.0)],
        });
        report.parts.push(part("kill", outcome));
        let mut outcome = Outcome::of(10, "transactions");
        outcome.violations.push(Violation {
            what: "a document <b> was lost".to_owned(),
            place: "history-3".to_owned(),
            operations: vec!["write 1".to_owned(), "kill".to_owned()],
        });
        report.parts.push(part("history", outcome));
        report.end();
        report
    }

    fn part(name: &'static str, outcome: Outcome) -> PartReport {
        let replay = |v: &Violation| format!("cargo xtask crashtest --replay {}", v.place);
        PartReport {
            name,
            summary: "something is done",
            seconds: 1.5,
            error: None,
            replays: outcome.violations.iter().map(replay).collect(),
            outcome,
        }
    }

    #[test]
    fn the_json_has_stable_names() {
        let value: Value = serde_json::from_str(&sample().json()).expect("JSON");
        let keys = |value: &Value| -> Vec<String> {
            let object = value.as_object().expect("an object");
            object.keys().cloned().collect()
        };
        let mut top = keys(&value);
        top.sort();
        assert_eq!(
            top,
            [
                "command",
                "format",
                "machine",
                "parts",
                "scale",
                "seconds",
                "seed",
                "verdict",
                "was_ended_early"
            ]
        );
        assert_eq!(
            (&value["verdict"], &value["seed"]),
            (&"failed".into(), &7777.into())
        );
        let part = &value["parts"][1];
        let mut names = keys(part);
        names.sort();
        assert_eq!(
            names,
            ["error", "name", "outcome", "replays", "seconds", "summary"]
        );
        assert_eq!(part["outcome"]["violations"][0]["place"], "history-3");
        assert_eq!(value["parts"][0]["outcome"]["figures"][0]["value"], 1234.0);
        assert_eq!(value["parts"][0]["outcome"]["charts"][0]["kind"], "bars");
    }

    #[test]
    fn one_part_that_failed_or_could_not_run_fails_the_run() {
        let mut report = sample();
        assert!(!report.is_passed());
        report.parts.pop();
        assert!(report.is_passed());
        report.parts[0].error = Some("no disk".to_owned());
        assert!(!report.is_passed());
        report.parts.clear();
        assert!(!report.is_passed(), "nothing was done");
    }

    #[test]
    fn the_table_says_what_broke_and_how_to_see_it_again() {
        let table = super::super::table::Table(&sample()).to_string();
        for said in [
            "kill               3  SIGKILLs",
            "commits",
            "1,234",
            "a document <b> was lost",
            "    write 1",
            "again: cargo xtask crashtest --replay history-3",
            "FAILED: 1 violation; seed 7777",
        ] {
            assert!(table.contains(said), "{said} is not in:\n{table}");
        }
    }
}
