//! What can go wrong in a log.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_vfs::IoError;

use crate::lsn::Lsn;

/// The result of an operation on a log.
pub type Result<T> = std::result::Result<T, WalError>;

/// An error of a log. Cheap to clone: one failure is told to every waiter.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WalError {
    /// The operating system refused an operation; nothing of the log's state has changed.
    Io(Arc<IoError>),
    /// Stored bytes at or below the durable watermark do not verify. Nothing was changed.
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it the damage begins.
        offset: u64,
        /// What does not verify.
        what: String,
    },
    /// The file is of a version, or uses features, that this build does not know, or holds records
    /// that it was built without the means to read. Nothing was changed.
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// What is not known.
        what: String,
    },
    /// A write or sync failed earlier. What it was to make durable may be lost, so the log accepts
    /// nothing more until it is opened again.
    Poisoned(Arc<WalError>),
    /// The record is larger than the limit.
    TooLarge {
        /// The payload's size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// The record is older than what the log still has.
    NotRetained {
        /// The record that was wanted.
        lsn: Lsn,
        /// The oldest that there is, or will be.
        oldest: Lsn,
    },
    /// There is no log in the directory.
    NotFound(PathBuf),
    /// There is a log in the directory already.
    AlreadyExists(PathBuf),
    /// The log is closed.
    Closed,
    /// The waiter's time ran out. The record stays submitted: it may still become durable.
    TimedOut,
    /// A thread panicked while it wrote the log; the cause is in its panic message.
    Panicked,
    /// The visitor refused a record during recovery.
    Refused(String),
}

impl WalError {
    pub(crate) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        WalError::Corrupt {
            path: path.to_path_buf(),
            offset,
            what: what.into(),
        }
    }

    /// Whether the cause is a full disk.
    pub fn is_disk_full(&self) -> bool {
        match self {
            WalError::Io(error) => error.is_disk_full(),
            WalError::Poisoned(cause) => cause.is_disk_full(),
            _ => false,
        }
    }
}

impl From<IoError> for WalError {
    fn from(error: IoError) -> Self {
        WalError::Io(Arc::new(error))
    }
}

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalError::Io(error) => error.fmt(f),
            WalError::Corrupt { path, offset, what } => {
                write!(
                    f,
                    "{} is damaged at offset {offset}: {what}",
                    path.display()
                )
            }
            WalError::UnsupportedVersion { path, what } => {
                write!(
                    f,
                    "{} cannot be read by this version: {what}",
                    path.display()
                )
            }
            WalError::Poisoned(cause) => {
                write!(
                    f,
                    "the log accepts no more records since a write failed: {cause}"
                )
            }
            WalError::TooLarge { bytes, limit_bytes } => {
                write!(
                    f,
                    "a record of {bytes} bytes exceeds the limit of {limit_bytes} bytes"
                )
            }
            WalError::NotRetained { lsn, oldest } => {
                write!(
                    f,
                    "record {lsn} is not in the log any more, which begins with {oldest}"
                )
            }
            WalError::NotFound(path) => write!(f, "there is no log in {}", path.display()),
            WalError::AlreadyExists(path) => {
                write!(f, "there is a log in {} already", path.display())
            }
            WalError::Closed => f.write_str("the log is closed"),
            WalError::TimedOut => {
                f.write_str("the wait timed out; the record may still become durable")
            }
            WalError::Panicked => f.write_str("a thread panicked while it wrote the log"),
            WalError::Refused(why) => write!(f, "a record was refused during recovery: {why}"),
        }
    }
}

impl std::error::Error for WalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WalError::Io(error) => Some(error.as_ref()),
            WalError::Poisoned(cause) => Some(cause.as_ref()),
            _ => None,
        }
    }
}
