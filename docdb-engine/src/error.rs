//! The error that every operation of the engine answers.

use std::fmt;
use std::sync::Arc;

use docdb_datafile::DataFileError;
use docdb_index::IndexError;
use docdb_mvcc::{CommitTs, Refusal};
use docdb_types::{ErrorClass, ErrorKind, NameError};
use docdb_vfs::{IoError, IoOp};
use docdb_wal::WalError;

use crate::json::EditError;

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong: a [kind](ErrorKind) that says what can be done about it, and a text that names
/// the thing it happened to.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    op_index: Option<usize>,
    patch_op: Option<usize>,
    version: Option<u64>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            op_index: None,
            patch_op: None,
            version: None,
            source: None,
        }))
    }

    /// The error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The error with the position of the operation that it belongs to.
    #[must_use]
    pub fn at_op(mut self, index: usize) -> Error {
        self.0.op_index = Some(index);
        self
    }

    /// The error without the position of an operation.
    pub(crate) fn without_op(mut self) -> Error {
        self.0.op_index = None;
        self
    }

    /// The error with the version that was found.
    #[must_use]
    pub fn with_version(mut self, version: u64) -> Error {
        self.0.version = Some(version);
        self
    }

    /// What went wrong, in terms of what the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the kind means for whoever gets it.
    pub fn class(&self) -> ErrorClass {
        self.0.kind.class()
    }

    /// The text without the kind.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The position in its commit of the operation that failed, from 0.
    pub fn op_index(&self) -> Option<usize> {
        self.0.op_index
    }

    /// The position in its patch of the change that was refused, from 0; `None` if it was not for one of
    /// them.
    pub fn patch_op(&self) -> Option<usize> {
        self.0.patch_op
    }

    /// The version that was found, where that is why the operation failed; of a conflict the version
    /// that the transaction lost to.
    pub fn version(&self) -> Option<u64> {
        self.0.version
    }

    /// Whether repeating the call unchanged can have another outcome.
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }

    /// A refusal because of what an earlier operation of the same commit wrote, which has no version.
    pub(crate) fn refused_in_batch(refusal: Refusal, collection: &str, id: u64) -> Error {
        Error::new(
            kind_of(refusal),
            format!(
                "document {id} of collection {collection:?}: an earlier operation of the same commit \
                 wrote it"
            ),
        )
    }

    pub(crate) fn refused(refusal: Refusal, collection: &str, id: u64) -> Error {
        let kind = kind_of(refusal);
        let found = match refusal {
            Refusal::AlreadyExists { version } => Some(version),
            Refusal::VersionMismatch { found } => found,
            Refusal::NotFound => None,
        };
        let error = Error::new(
            kind,
            format!("document {id} of collection {collection:?}: {refusal}"),
        );
        match found {
            Some(CommitTs(version)) => error.with_version(version),
            None => error,
        }
    }

    /// A transaction wrote a document that another commit has written since it began.
    pub(crate) fn conflict(collection: &str, id: u64, lost_to: CommitTs) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!(
                "document {id} of collection {collection:?} was written in version {lost_to} since the \
                 transaction began; begin it anew"
            ),
        )
        .with_version(lost_to.0)
    }

    pub(crate) fn no_ids_left(collection: &str) -> Error {
        Error::new(
            ErrorKind::LimitExceeded,
            format!("collection {collection:?} has no ids left"),
        )
    }

    pub(crate) fn document_missing(collection: &str, id: u64) -> Error {
        Error::new(
            ErrorKind::NotFound,
            format!("document {id} of collection {collection:?} does not exist"),
        )
    }

    /// A patch or merge that its document refuses.
    pub(crate) fn edit_refused(error: &EditError, collection: &str, id: u64) -> Error {
        let message = format!("document {id} of collection {collection:?}: {error}");
        let mut refused = Error::new(error.kind(), message);
        refused.0.patch_op = error.op();
        refused
    }

    pub(crate) fn collection_missing(name: &str) -> Error {
        Error::new(
            ErrorKind::CollectionNotFound,
            format!("collection {name:?} does not exist; create it first"),
        )
    }

    pub(crate) fn closed() -> Error {
        Error::new(ErrorKind::Closed, "the database is closed")
    }
}

fn kind_of(refusal: Refusal) -> ErrorKind {
    match refusal {
        Refusal::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        Refusal::NotFound => ErrorKind::NotFound,
        Refusal::VersionMismatch { .. } => ErrorKind::VersionMismatch,
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("op_index", &self.0.op_index)
            .field("version", &self.0.version)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl From<IoError> for Error {
    fn from(error: IoError) -> Error {
        let kind = match error.kind() {
            _ if error.is_disk_full() => ErrorKind::DiskFull,
            // Of a read it means that the machine could not just now.
            std::io::ErrorKind::WouldBlock if error.op() == IoOp::Lock => ErrorKind::InUse,
            _ => ErrorKind::Io,
        };
        Error::new(kind, error.to_string()).with_source(error)
    }
}

impl From<WalError> for Error {
    fn from(error: WalError) -> Error {
        let kind = match &error {
            _ if error.is_disk_full() && !matches!(error, WalError::Poisoned(_)) => {
                ErrorKind::DiskFull
            }
            WalError::Io(_) => ErrorKind::Io,
            WalError::Corrupt { .. } | WalError::NotFound(_) | WalError::Refused(_) => {
                ErrorKind::Corrupt
            }
            WalError::UnsupportedVersion { .. } => ErrorKind::UnsupportedVersion,
            WalError::Poisoned(_) | WalError::Panicked => ErrorKind::Poisoned,
            WalError::TooLarge { .. } => ErrorKind::TooLarge,
            WalError::AlreadyExists(_) => ErrorKind::AlreadyExists,
            WalError::Closed => ErrorKind::Closed,
            WalError::TimedOut => ErrorKind::OutcomeUnknown,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, error.to_string()).with_source(error)
    }
}

impl From<DataFileError> for Error {
    fn from(error: DataFileError) -> Error {
        let kind = match &error {
            DataFileError::Io(io) if io.is_disk_full() => ErrorKind::DiskFull,
            DataFileError::Io(_) => ErrorKind::Io,
            DataFileError::Corrupt { .. } => ErrorKind::Corrupt,
            DataFileError::Unsupported { .. } => ErrorKind::UnsupportedVersion,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, error.to_string()).with_source(error)
    }
}

impl From<IndexError> for Error {
    fn from(error: IndexError) -> Error {
        let kind = match &error {
            IndexError::Io(io) if io.is_disk_full() => ErrorKind::DiskFull,
            IndexError::Io(_) => ErrorKind::Io,
            IndexError::Corrupt { .. } => ErrorKind::Corrupt,
            IndexError::Unsupported { .. } => ErrorKind::UnsupportedVersion,
            IndexError::Pruned { .. } => ErrorKind::SnapshotTooOld,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, error.to_string()).with_source(error)
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Error {
        Error::new(ErrorKind::InvalidName, error.to_string())
    }
}
