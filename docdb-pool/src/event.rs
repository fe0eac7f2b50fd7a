//! What happens in a pool besides the answers to its callers.

use std::fmt;
use std::path::PathBuf;

use docdb_engine::Error;

/// Something that an operator wants in the log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PoolEvent {
    /// The data directory was empty; a catalog was made.
    Created {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// One copy of the catalog was missing, damaged or behind, and was rewritten from the other.
    CatalogRestored {
        /// The copy that was rewritten.
        path: PathBuf,
        /// What was wrong with it.
        why: String,
    },
    /// A creation that was interrupted before it was answered was rolled back.
    CreationRolledBack {
        /// The database's id.
        id: u64,
        /// Its name.
        name: String,
    },
    /// A drop that was interrupted was finished.
    DropFinished {
        /// The database's id.
        id: u64,
        /// Its name.
        name: String,
    },
    /// A database's directory could not be removed; the next open of the pool tries again.
    RemovalFailed {
        /// The database's id.
        id: u64,
        /// Its name.
        name: String,
        /// Why not.
        error: Error,
    },
    /// A database of the catalog has no directory; opening it answers `Corrupt`.
    DirectoryMissing {
        /// The database's name.
        name: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// Something in an open database does not verify.
    Damaged {
        /// The database's name.
        name: String,
        /// What, naming file and offset.
        what: String,
        /// Whether it is restored, or will be without anybody's help.
        is_healed: bool,
    },
    /// A database is being opened, and that takes long.
    Recovering {
        /// Its name.
        name: String,
        /// Bytes of its log read so far.
        bytes: u64,
        /// Bytes to read.
        bytes_total: u64,
    },
    /// A database was opened.
    Opened {
        /// Its name.
        name: String,
        /// What recovery found and did.
        recovery: String,
    },
    /// A database could not be opened.
    OpenFailed {
        /// Its name.
        name: String,
        /// Why not.
        error: Error,
    },
    /// A database was closed because it was idle, to make room, or on request.
    Closed {
        /// Its name.
        name: String,
    },
    /// The checkpoint of a closing database failed; its next open recovers it.
    CloseFailed {
        /// Its name.
        name: String,
        /// Why.
        error: Error,
    },
    /// A checkpoint or another step in the background failed.
    MaintenanceFailed {
        /// The database's name.
        name: String,
        /// Why.
        error: Error,
    },
    /// A flush failed: the database accepts no more writes.
    FlushFailed {
        /// Why.
        error: String,
    },
}

impl PoolEvent {
    /// Whether data or the machine may be in danger, so that an operator should look.
    pub fn is_alert(&self) -> bool {
        match self {
            PoolEvent::Created { .. }
            | PoolEvent::CreationRolledBack { .. }
            | PoolEvent::DropFinished { .. }
            | PoolEvent::Damaged {
                is_healed: true, ..
            }
            | PoolEvent::Recovering { .. }
            | PoolEvent::Opened { .. }
            | PoolEvent::Closed { .. } => false,
            PoolEvent::CatalogRestored { .. }
            | PoolEvent::RemovalFailed { .. }
            | PoolEvent::DirectoryMissing { .. }
            | PoolEvent::Damaged { .. }
            | PoolEvent::OpenFailed { .. }
            | PoolEvent::CloseFailed { .. }
            | PoolEvent::MaintenanceFailed { .. }
            | PoolEvent::FlushFailed { .. } => true,
        }
    }
}

impl fmt::Display for PoolEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolEvent::Created { data_dir } => {
                write!(f, "created the data directory {}", data_dir.display())
            }
            PoolEvent::CatalogRestored { path, why } => {
                write!(
                    f,
                    "rewrote {} from the catalog's other copy: {why}",
                    path.display()
                )
            }
            PoolEvent::CreationRolledBack { id, name } => {
                write!(
                    f,
                    "rolled back the interrupted creation of database {name:?} (id {id})"
                )
            }
            PoolEvent::DropFinished { id, name } => {
                write!(
                    f,
                    "finished the interrupted drop of database {name:?} (id {id})"
                )
            }
            PoolEvent::RemovalFailed { id, name, error } => write!(
                f,
                "cannot remove the files of the dropped database {name:?} (id {id}): {error}"
            ),
            PoolEvent::DirectoryMissing { name, path } => {
                write!(
                    f,
                    "the directory {} of database {name:?} is missing",
                    path.display()
                )
            }
            PoolEvent::Damaged {
                name,
                what,
                is_healed,
            } => {
                let then = match is_healed {
                    true => "it is restored",
                    false => "there is no intact copy",
                };
                write!(f, "damage in database {name:?}: {what}; {then}")
            }
            PoolEvent::Recovering {
                name,
                bytes,
                bytes_total,
            } => {
                write!(
                    f,
                    "recovering database {name:?}: {} of {} MiB of its log read",
                    bytes >> 20,
                    bytes_total >> 20
                )
            }
            PoolEvent::Opened { name, recovery } => {
                write!(f, "opened database {name:?}: {recovery}")
            }
            PoolEvent::OpenFailed { name, error } => {
                write!(f, "cannot open database {name:?}: {error}")
            }
            PoolEvent::Closed { name } => write!(f, "closed database {name:?}"),
            PoolEvent::CloseFailed { name, error } => {
                write!(f, "closing database {name:?} failed: {error}")
            }
            PoolEvent::MaintenanceFailed { name, error } => {
                write!(f, "maintenance of database {name:?} failed: {error}")
            }
            PoolEvent::FlushFailed { error } => write!(f, "a flush failed: {error}"),
        }
    }
}
