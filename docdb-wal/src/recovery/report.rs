//! What a recovery found and did.

use std::path::PathBuf;
use std::time::Duration;

/// Where a torn tail was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// The segment that holds the first bytes that were cut.
    pub path: PathBuf,
    /// Where they begin.
    pub offset: u64,
}

/// What a recovery found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Records handed to the visitor.
    pub records: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Segments read.
    pub segments: u64,
    /// The last record found.
    pub last_lsn: u64,
    /// The number that the next record gets.
    pub next_lsn: u64,
    /// The highest number that was proven durable before this recovery.
    pub proven_lsn: u64,
    /// Whether the log had been closed cleanly.
    pub clean: bool,
    /// The torn tail that was cut, if there was one.
    pub cut: Option<Cut>,
    /// Groups that were valid but not proven durable, and were written anew.
    pub tail_groups: u64,
    /// Leftovers of an interrupted run that were removed.
    pub removed: Vec<PathBuf>,
    /// Files that are not the log's, and segments that are cut off from it and not needed from
    /// `start_lsn` on; left alone.
    pub foreign: Vec<PathBuf>,
    /// How long reading and judging took.
    pub judge_time: Duration,
    /// How long acting took.
    pub act_time: Duration,
}
