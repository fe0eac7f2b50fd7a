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
        let is_clean = |part: &PartReport| part.error.is_none() && part.outcome.violations.is_empty();
        !self.parts.is_empty() && self.parts.iter().all(is_clean)
    }

    pub(super) fn violations(&self) -> usize {
        self.parts.iter().map(|part| part.outcome.violations.len()).sum()
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
