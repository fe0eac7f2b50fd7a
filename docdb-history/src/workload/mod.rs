//! What transactions do.

mod documents;
mod lists;
mod skew;

pub use documents::{DocumentShape, DocumentWorkload};
pub use lists::{ListShape, ListWorkload};
pub use skew::{SkewShape, SkewWorkload};

use crate::model::{Level, ScanRange};
use crate::rng::Rng;

/// One operation to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Append a value to the list of a key.
    Append(u64, u64),
    /// Read the list of a key.
    Read(u64),
    /// Read a document.
    Get(u64),
    /// Scan documents.
    Scan(ScanRange),
    /// Write a document.
    Put(u64, u64),
    /// Delete a document, if it is there.
    Delete(u64),
}

/// One transaction to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to ask for.
    pub level: Level,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// Whether to roll it back in the end.
    pub rollback: bool,
}

/// A source of transactions for all processes of a run. Values are never used twice.
pub trait Workload: Sync {
    /// The next transaction of a process, from the process's random numbers.
    fn plan(&self, rng: &mut Rng) -> Plan;

    /// Transactions that read everything that was written, for the end.
    fn last_reads(&self) -> Vec<Plan>;
}

/// Most lists that one of the last reads takes.
const LAST_READS_MAX: usize = 32;

fn level(rng: &mut Rng, serializable_percent: u32) -> Level {
    if rng.chance(serializable_percent) {
        Level::Serializable
    } else {
        Level::Snapshot
    }
}

fn read_lists(keys: impl Iterator<Item = u64>) -> Vec<Plan> {
    let steps: Vec<Step> = keys.map(Step::Read).collect();
    let plans = steps.chunks(LAST_READS_MAX).map(|steps| Plan {
        level: Level::Snapshot,
        steps: steps.to_vec(),
        rollback: false,
    });
    plans.collect()
}
