//! The figures of a run, for people and for programs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lane::Counts;

/// Violations shown in full; the rest is counted.
const VIOLATIONS_SHOWN_MAX: usize = 20;

/// What a run did and found.
#[derive(Debug)]
pub(super) struct Report {
    seed: u64,
    dir: PathBuf,
    clients: u64,
    pub(super) rounds: u64,
    pub(super) killed: u64,
    pub(super) terminated: u64,
    pub(super) counts: Counts,
    pub(super) unknown_done: u64,
    pub(super) documents: u64,
    pub(super) first_start: Duration,
    /// Logs damaged on purpose.
    pub(super) logs_damaged: usize,
    pub(super) starts: Vec<Duration>,
    pub(super) checks: Vec<Duration>,
    pub(super) violations: Vec<String>,
}

impl Report {
    pub(super) fn new(seed: u64, dir: &Path, clients: u64) -> Report {
        Report {
            seed,
            dir: dir.to_owned(),
            clients,
            rounds: 0,
            killed: 0,
            terminated: 0,
            counts: Counts::default(),
            unknown_done: 0,
            documents: 0,
            first_start: Duration::ZERO,
            logs_damaged: 0,
            starts: Vec::new(),
            checks: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub(super) fn json(&self) -> String {
        let value = serde_json::json!({
            "seed": self.seed,
            "dir": self.dir,
            "clients": self.clients,
            "durability": "full",
            "rounds": self.rounds,
            "killed": self.killed,
            "terminated": self.terminated,
            "operations": self.counts,
            "acknowledged_commits": self.counts.commits(),
            "unanswered_writes": self.counts.unknown,
            "unanswered_writes_found": self.unknown_done,
            "documents": self.documents,
            "first_start_millis": millis(self.first_start),
            "start_millis_median": millis(quantile(&self.starts, 0.5)),
            "start_millis_max": millis(quantile(&self.starts, 1.0)),
            "violations": self.violations,
        });
        format!("{value:#}\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        writeln!(f, "rounds            {}", self.rounds)?;
        writeln!(
            f,
            "server ended      {} by SIGKILL, {} by SIGTERM",
            self.killed, self.terminated
        )?;
        writeln!(
            f,
            "acknowledged      {} commits, durability full",
            counts.commits()
        )?;
        writeln!(
            f,
            "                  {} creates, {} updates, {} upserts, {} deletes, {} inserts, {} batches",
            counts.creates,
            counts.updates,
            counts.upserts,
            counts.deletes,
            counts.inserts,
            counts.batches
        )?;
        writeln!(
            f,
            "unanswered        {} writes, of which {} were found done",
            counts.unknown, self.unknown_done
        )?;
        writeln!(
            f,
            "also              {} reads of own writes, {} refusals as wanted, {} asked to try again",
            counts.reads, counts.refusals, counts.retryable
        )?;
        writeln!(
            f,
            "documents         {} at the end, each read by scan and by id",
            self.documents
        )?;
        writeln!(
            f,
            "start after kill  median {:.0} ms, slowest {:.0} ms, until both databases are recovered and in use",
            millis(quantile(&self.starts, 0.5)),
            millis(quantile(&self.starts, 1.0))
        )?;
        if self.violations.is_empty() {
            return write!(f, "PASSED: no promise was broken");
        }
        writeln!(
            f,
            "FAILED: {} violations, seed {}",
            self.violations.len(),
            self.seed
        )?;
        for violation in self.violations.iter().take(VIOLATIONS_SHOWN_MAX) {
            writeln!(f, "  {violation}")?;
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

fn quantile(durations: &[Duration], share: f64) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}
