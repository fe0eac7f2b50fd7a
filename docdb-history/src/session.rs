//! What a database must offer to be tested.

use std::fmt;

use crate::model::{Level, ScanRange, Seen};

/// Why a call did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The transaction is over and nothing of it was written: a conflict, a time-out, a database
    /// that was not there when it began.
    Aborted,
    /// The transaction is over and may have been committed. The session is not used again.
    Unknown,
    /// This must not happen; the run ends.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Aborted => f.write_str("aborted"),
            Failure::Unknown => f.write_str("the outcome is unknown"),
            Failure::Broken(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

/// A database: an engine in this process, or a client of a server.
pub trait TxnSource: Sync {
    /// A session for one process, used by one thread. While the database is away this waits, within
    /// bounds that are the caller's; [`Failure::Aborted`] has it called again.
    fn session(&self, process: u32) -> Result<Box<dyn Session + '_>, Failure>;
}

/// Runs one transaction after another: `begin`, operations, then `commit` or `rollback`. After a
/// failure of any call the transaction is over, and the next call is `begin`.
pub trait Session {
    /// Begins a transaction. Answers the version that it reads at, if that is known.
    fn begin(&mut self, level: Level) -> Result<Option<u64>, Failure>;

    /// Appends to the list of a key, which begins empty.
    fn append(&mut self, key: u64, value: u64) -> Result<(), Failure>;

    /// Reads the list of a key.
    fn read(&mut self, key: u64) -> Result<Vec<u64>, Failure>;

    /// Reads a document, with its version if that is known and it is not the transaction's own.
    fn get(&mut self, key: u64) -> Result<Option<Seen>, Failure>;

    /// Scans documents.
    fn scan(&mut self, range: ScanRange) -> Result<Vec<(u64, Seen)>, Failure>;

    /// Writes a document, whether it exists or not.
    fn put(&mut self, key: u64, value: u64) -> Result<(), Failure>;

    /// Deletes a document. Answers whether it existed.
    fn delete(&mut self, key: u64) -> Result<bool, Failure>;

    /// Commits. Answers the version, if that is known and something was written.
    fn commit(&mut self) -> Result<Option<u64>, Failure>;

    /// Rolls back.
    fn rollback(&mut self);
}
