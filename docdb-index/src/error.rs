//! What can go wrong in the index.

use std::fmt;
use std::path::{Path, PathBuf};

use docdb_mvcc::CommitTs;
use docdb_vfs::IoError;

use crate::Key;

/// The result of an operation on the index.
pub type Result<T> = std::result::Result<T, IndexError>;

/// Why an operation on the index failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum IndexError {
    /// The operating system refused.
    Io(IoError),
    /// What is stored does not verify.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// The file was written by a version, or uses features, that this build does not know.
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is unknown.
        what: String,
    },
    /// The answer needs the device, and the caller did not want to wait for it.
    WouldBlock,
    /// What was visible at this commit number is no longer kept: take a newer one.
    Pruned {
        /// The number that was asked for.
        at: CommitTs,
    },
    /// Keys were pushed to a run that do not ascend. The writer is unusable.
    OutOfOrder {
        /// The file.
        path: PathBuf,
        /// The key that came too late.
        key: Key,
    },
    /// An earlier write or sync of this writer failed; the file is to be abandoned.
    WriterFailed {
        /// The file.
        path: PathBuf,
    },
    /// A delta is frozen already and not yet published.
    AlreadyFrozen,
    /// No delta is frozen.
    NothingFrozen,
    /// A layer holds commits above the bound up to which it was said to be replaced.
    BoundTooLow {
        /// The bound that was given.
        bound: CommitTs,
        /// The highest commit in the layer.
        max_ts: CommitTs,
    },
    /// The index has no run with that number, or the runs to replace are not next to one another.
    NoSuchRun {
        /// The number.
        number: u64,
    },
}

impl IndexError {
    pub(crate) fn corrupt(path: &Path, offset: u64, what: &'static str) -> Self {
        IndexError::Corrupt {
            path: path.to_path_buf(),
            offset,
            what,
        }
    }
}

impl From<IoError> for IndexError {
    fn from(error: IoError) -> Self {
        IndexError::Io(error)
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IndexError::Io(error) => error.fmt(f),
            IndexError::Corrupt { path, offset, what } => {
                write!(
                    f,
                    "{} is damaged at offset {offset}: {what}",
                    path.display()
                )
            }
            IndexError::Unsupported { path, what } => {
                write!(
                    f,
                    "{} cannot be read by this version: {what}",
                    path.display()
                )
            }
            IndexError::WouldBlock => f.write_str("the answer needs the device"),
            IndexError::Pruned { at } => {
                write!(f, "what was visible at commit {at} is no longer kept")
            }
            IndexError::OutOfOrder { path, key } => {
                write!(f, "key {key} was pushed to {} out of order", path.display())
            }
            IndexError::WriterFailed { path } => {
                write!(f, "an earlier write to {} failed", path.display())
            }
            IndexError::AlreadyFrozen => f.write_str("a delta is frozen already"),
            IndexError::NothingFrozen => f.write_str("no delta is frozen"),
            IndexError::BoundTooLow { bound, max_ts } => {
                write!(
                    f,
                    "the layer holds commit {max_ts}, above the bound {bound}"
                )
            }
            IndexError::NoSuchRun { number } => {
                write!(
                    f,
                    "run {number} is not in the index, or not next to the others"
                )
            }
        }
    }
}

impl std::error::Error for IndexError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            IndexError::Io(error) => Some(error),
            _ => None,
        }
    }
}
