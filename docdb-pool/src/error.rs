//! How failures of files and of the catalog are told in the engine's error type.

use docdb_engine::{Error, ErrorKind};
use docdb_vfs::IoError;

use crate::catalog::CatalogError;

/// The result of an operation of the pool.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn from_io(error: IoError) -> Error {
    let kind = if error.is_disk_full() {
        ErrorKind::DiskFull
    } else {
        ErrorKind::Io
    };
    Error::new(kind, error.to_string())
}

pub(crate) fn from_catalog(error: CatalogError) -> Error {
    let kind = match &error {
        CatalogError::Io(error) if error.is_disk_full() => ErrorKind::DiskFull,
        CatalogError::Io(_) => ErrorKind::Io,
        CatalogError::Failed(_) => ErrorKind::OutcomeUnknown,
        CatalogError::Poisoned(_) => ErrorKind::Poisoned,
        CatalogError::Corrupt { .. } => ErrorKind::Corrupt,
        CatalogError::Unsupported { .. } => ErrorKind::UnsupportedVersion,
    };
    Error::new(kind, error.to_string())
}

pub(crate) fn not_found(name: &str) -> Error {
    Error::new(
        ErrorKind::DatabaseNotFound,
        format!("there is no database {name:?}"),
    )
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the pool is closed")
}
