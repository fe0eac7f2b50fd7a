//! What one process of its own is started for: every run of a store is one, so that nothing is left
//! of the run before it, neither memory nor threads, and so that a process can be killed.

use std::path::PathBuf;
use std::time::Duration;

use docdb_bench_peers::measure::Failure;
use serde::{Deserialize, Serialize};

use crate::document::Ids;
use crate::store::{Config, DEVICE, Mode, Store, subject};

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    pub work: Work,
    /// A store, or [`DEVICE`].
    pub subject: String,
    pub dir: PathBuf,
    pub mode: Mode,
    pub cache_bytes: Option<u64>,
    pub ids: Ids,
    /// How many documents the store holds, or is to hold.
    pub documents: u64,
    pub seconds: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Work {
    /// Threads commit new documents, each so many in a commit, until the time is over.
    Write { threads: usize, batch: usize },
    /// One task awaits so many commits.
    Await { in_flight: usize },
    /// From an empty directory to a settled and closed store.
    Load { batch: usize },
    /// Threads read documents chosen at random until the time is over.
    Read { threads: usize },
    /// One thread reads all documents in order.
    Scan,
    /// The store is opened and one document is read. If documents were overwritten before the
    /// process was killed, they are looked for.
    Open { overwritten: u64 },
    /// Documents are overwritten until the process is killed.
    Overwritten { writes: u64, seconds_max: f64 },
    /// Documents chosen at random are overwritten, one in a commit.
    Overwrite { writes: u64, seconds_max: f64 },
    /// Documents are read at random, then all; how much memory does that take?
    Resident,
    /// Threads commit while nothing is done in the background, and while everything is.
    Disturbed { threads: usize },
    /// Threads read alone, then beside threads that commit.
    Mixed { readers: usize, writers: usize },
}

impl Task {
    pub fn time(&self) -> Result<Duration, Failure> {
        Ok(Duration::try_from_secs_f64(self.seconds)?)
    }

    pub fn is_device(&self) -> bool {
        self.subject == DEVICE
    }

    pub fn open(&self) -> Result<Box<dyn Store>, Failure> {
        self.open_in(self.mode)
    }

    pub fn open_in(&self, mode: Mode) -> Result<Box<dyn Store>, Failure> {
        let undisturbed = matches!(self.work, Work::Disturbed { .. });
        let config = Config {
            mode,
            cache_bytes: self.cache_bytes,
            undisturbed,
        };
        (subject(&self.subject)?.open)(&self.dir, config)
    }
}
