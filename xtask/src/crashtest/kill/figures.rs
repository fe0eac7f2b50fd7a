//! What the rounds have found, as figures.

use std::collections::BTreeMap;
use std::time::Duration;

use docdb_crashtest::{Chart, ChartKind, Outcome, Violation};

use super::super::figures::quantile;
use super::lane::Counts;
use super::moments::End;

/// Violations that are kept; a broken database breaks thousands at once.
const VIOLATIONS_MAX: usize = 50;

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// SIGKILLs, by the moment.
    pub(super) kills: BTreeMap<End, u64>,
    /// Those that were to hit a moment and did not: it had passed, or did not come.
    pub(super) missed: u64,
    pub(super) terminated: u64,
    pub(super) rounds: u64,
    pub(super) counts: Counts,
    pub(super) unknown_done: u64,
    pub(super) documents_checked: u64,
    pub(super) lost_commits: u64,
    pub(super) lost_age: Duration,
    pub(super) second_servers: u64,
    pub(super) vanished: u64,
    pub(super) reopened_twice: u64,
    pub(super) recreated: u64,
    pub(super) bytes_max: u64,
    pub(super) logs_damaged: usize,
    /// From the start of the process until all databases are recovered and in use.
    pub(super) starts: Vec<Duration>,
    pub(super) violations: Vec<Violation>,
    violations_left_out: usize,
    notes: Vec<String>,
}

impl Found {
    pub(super) fn kill(&mut self, end: End) {
        *self.kills.entry(end).or_default() += 1;
    }

    /// SIGKILLs.
    pub(super) fn killed(&self) -> u64 {
        self.kills.values().sum()
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn violation(&mut self, place: String, what: String) {
        if self.violations.len() >= VIOLATIONS_MAX {
            self.violations_left_out += 1;
            return;
        }
        self.violations.push(Violation {
            what,
            place,
            operations: Vec::new(),
        });
    }

    pub(super) fn outcome(self) -> Outcome {
        let mut outcome = Outcome::of(self.killed(), "SIGKILLs");
        let millis = |d: &Duration| (d.as_secs_f64() * 1e4).round() / 10.0;
        let starts: Vec<f64> = self.starts.iter().map(millis).collect();
        for (name, value, unit) in [
            ("rounds of load, end, start and check", self.rounds, ""),
            ("ended by SIGTERM", self.terminated, ""),
            ("chosen moments that were missed", self.missed, ""),
            ("commits acknowledged", self.counts.commits(), ""),
            (
                "  of these transactions",
                self.counts.transactions + self.counts.moves,
                "",
            ),
            ("  of these batches", self.counts.batches, ""),
            (
                "  of these edits of a shared document",
                self.counts.edits,
                "",
            ),
            ("writes without an answer", self.counts.unknown, ""),
            ("  of these found done", self.unknown_done, ""),
            ("reads of own writes under load", self.counts.reads, ""),
            ("refusals as wanted", self.counts.refusals, ""),
            ("requests refused for now", self.counts.retryable, ""),
            (
                "documents read back, by scan and by id",
                self.documents_checked,
                "",
            ),
            (
                "mode memory: commits taken back by kills",
                self.lost_commits,
                "",
            ),
            ("second servers that were refused", self.second_servers, ""),
            ("clients that vanished", self.vanished, ""),
            (
                "second restarts that showed the same",
                self.reopened_twice,
                "",
            ),
            ("databases dropped and made anew", self.recreated, ""),
            ("most disk space in use", self.bytes_max >> 20, "MiB"),
        ] {
            outcome.figure(name, value as f64, unit);
        }
        outcome.figure(
            "mode memory: oldest commit taken back",
            millis(&self.lost_age),
            "ms",
        );
        outcome.figure(
            "start until recovered, median",
            quantile(&starts, 0.5),
            "ms",
        );
        outcome.figure(
            "start until recovered, longest",
            quantile(&starts, 1.0),
            "ms",
        );
        let bars = self.kills.iter();
        outcome.charts.push(Chart {
            title: "Kills by moment".to_owned(),
            kind: ChartKind::Bars,
            x: "moment".to_owned(),
            y: "SIGKILLs".to_owned(),
            points: bars
                .map(|(end, kills)| (end.name().to_owned(), 0.0, *kills as f64))
                .collect(),
        });
        outcome.charts.push(Chart {
            title: "Time from the start of the server until all databases are recovered".to_owned(),
            kind: ChartKind::Histogram,
            x: "starts".to_owned(),
            y: "ms".to_owned(),
            points: starts.iter().map(|ms| (String::new(), 0.0, *ms)).collect(),
        });
        outcome.notes = self.notes;
        if self.violations_left_out > 0 {
            let more = self.violations_left_out;
            outcome
                .notes
                .push(format!("{more} more violations were left out"));
        }
        outcome.violations = self.violations;
        outcome
    }
}
