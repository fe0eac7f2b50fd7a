//! What can go wrong with a data file.

use std::fmt;
use std::path::{Path, PathBuf};

use docdb_vfs::IoError;

/// The result of an operation on data files.
pub type Result<T> = std::result::Result<T, DataFileError>;

/// Why an operation on a data file failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DataFileError {
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
    /// A body is larger than [`BODY_BYTES_MAX`](crate::format::BODY_BYTES_MAX). Nothing was
    /// written.
    TooLarge {
        /// Its length in bytes.
        bytes: u64,
        /// The largest that is allowed, in bytes.
        max: u64,
    },
    /// No open file has that number: it was removed, or never added.
    NoSuchFile {
        /// The number that was asked for.
        number: u32,
    },
    /// An earlier write or sync of this writer failed; the file is to be abandoned.
    WriterFailed {
        /// The file.
        path: PathBuf,
    },
}

impl DataFileError {
    pub(crate) fn corrupt(path: &Path, offset: u64, what: &'static str) -> Self {
        DataFileError::Corrupt {
            path: path.to_path_buf(),
            offset,
            what,
        }
    }
}

impl From<IoError> for DataFileError {
    fn from(error: IoError) -> Self {
        DataFileError::Io(error)
    }
}

impl fmt::Display for DataFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataFileError::Io(error) => error.fmt(f),
            DataFileError::Corrupt { path, offset, what } => {
                write!(
                    f,
                    "{} is damaged at offset {offset}: {what}",
                    path.display()
                )
            }
            DataFileError::Unsupported { path, what } => {
                write!(
                    f,
                    "{} cannot be read by this version: {what}",
                    path.display()
                )
            }
            DataFileError::TooLarge { bytes, max } => {
                write!(f, "a body of {bytes} bytes is larger than {max}")
            }
            DataFileError::NoSuchFile { number } => write!(f, "data file {number} is not open"),
            DataFileError::WriterFailed { path } => {
                write!(f, "an earlier write to {} failed", path.display())
            }
        }
    }
}

impl std::error::Error for DataFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DataFileError::Io(error) => Some(error),
            _ => None,
        }
    }
}
