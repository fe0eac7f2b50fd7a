//! Immutable sorted files: what was committed up to a checkpoint.

mod blocks;
mod cursor;
mod fences;
mod filter;
pub mod format;
mod merge;
mod probe;
mod reader;
mod scrub;
mod search;
mod survey;
mod writer;

pub use blocks::BlockCache;
pub use format::{RunIdentity, RunMeta};
pub use merge::{Merge, MergeStats, Winners, merge_runs};
pub use probe::Probe;
pub use reader::{ReadMode, Run, RunChunk};
pub use scrub::RunScrubbed;
pub use survey::{RunFound, RunSurvey};
pub use writer::RunWriter;

use docdb_mvcc::CommitTs;

use crate::Key;

/// What a run holds of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEntry<P> {
    /// The document.
    pub key: Key,
    /// The version.
    pub ts: CommitTs,
    /// Where its body is; `None` if this version deleted the document.
    pub pointer: Option<P>,
}

/// The name of the run file with that number, in the database's directory.
pub fn run_file_name(number: u64) -> String {
    format!("run-{number:08}.idx")
}

/// The number in the name of a run file; `None` if that is not one, spelled exactly as
/// [`run_file_name`] does.
pub fn parse_run_file_name(name: &str) -> Option<u64> {
    let number = name
        .strip_prefix("run-")?
        .strip_suffix(".idx")?
        .parse()
        .ok()?;
    (run_file_name(number) == name).then_some(number)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
