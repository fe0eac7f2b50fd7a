//! What a survey finds, and who is told.

use std::path::{Path, PathBuf};

use crate::recovery::judge::Replayed;

/// A record that verifies.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Surveyed<'a> {
    /// The record.
    pub record: Replayed<'a>,
    /// The segment in which it stands.
    pub path: &'a Path,
    /// Where its header stands there.
    pub offset: u64,
    /// Whether nothing that is needed is missing before it.
    pub in_order: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogFinding {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What does not verify.
    pub what: String,
    /// Whether something that was durable is damaged; otherwise it is a torn tail or a leftover, which
    /// a recovery deals with.
    pub is_damage: bool,
}

/// Who is told what a survey finds, in the order of the log.
pub trait Surveyor {
    /// A record that verifies.
    fn record(&mut self, record: Surveyed<'_>);
    /// Something that is not as it should be.
    fn found(&mut self, finding: LogFinding);
}

/// What a survey saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SurveyReport {
    /// Segments read.
    pub segments: u64,
    /// Groups that verify.
    pub groups: u64,
    /// Records handed out.
    pub records: u64,
    /// The last record up to which nothing that is needed is missing; one below `start_lsn` if there is
    /// none.
    pub last_lsn: u64,
    /// The highest number that any record, or anything that is known to have been durable, has.
    pub highest_lsn: u64,
    /// Whether everything that was durable from `start_lsn` on is there.
    pub is_whole: bool,
}
