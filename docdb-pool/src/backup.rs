//! Backing up the databases of a pool while they are in use.

use std::path::Path;
use std::sync::Arc;

use docdb_engine::backup::{BackupOptions, BackupWriter, DatabaseBackup, Label, Listener, Source};
use docdb_engine::{Error, ErrorKind};

use crate::error::Result;
use crate::pool::Pool;

/// Which databases are backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// All of them: what the backup before holds of others, which were dropped, is given up.
    All,
    /// These, at least one; of others the backup keeps what it holds.
    Named(&'a [String]),
}

/// What a backup holds.
#[derive(Debug)]
#[non_exhaustive]
pub struct BackupReport {
    /// The databases that were backed up, at least one if there are any, by name.
    pub databases: Vec<DatabaseBackup>,
    /// Those that could not be. A backup with any of these is not whole: say so.
    pub failed: Vec<NotBackedUp>,
}

/// A database that could not be backed up.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotBackedUp {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Why not.
    pub error: Error,
    /// The version that the backup has it at, as it was backed up earlier; none if it lacks it.
    pub kept_version: Option<u64>,
}

impl Pool {
    /// Backs databases up into a directory of its own, one after the other, while they are in use. Each
    /// is as it was at one version at or after the call, with everything committed before it; they are
    /// not all as they were at one moment, since no commit spans two of them. Into a directory that
    /// holds an earlier backup of this data directory only what is new is copied, and that backup
    /// stands until the new one is complete, durable and verified.
    ///
    /// A database that is damaged, poisoned or cannot be opened does not keep the others from being
    /// backed up: the report names it, and the backup keeps what it has of it.
    ///
    /// # Errors
    /// As [`Db::backup`](docdb_engine::Db::backup), and `DatabaseNotFound`; if every database failed,
    /// what the first one did. The backup before is as it was.
    pub fn backup(
        &self,
        dir: impl AsRef<Path>,
        which: Which<'_>,
        options: BackupOptions,
        listener: Listener<'_>,
    ) -> Result<BackupReport> {
        self.check_open()?;
        let names = match which {
            Which::All => self.list().into_iter().map(|info| info.name).collect(),
            Which::Named([]) => {
                let message = "a backup of no database; name some, or back up all";
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            Which::Named(names) => {
                let mut names = names.to_vec();
                names.sort_unstable();
                names.dedup();
                names
            }
        };
        for name in &names {
            self.shared.slot(name)?;
        }
        let source = {
            // After the list: what is in it has an id below the next one.
            let catalog = self.shared.catalog.lock();
            Source {
                id: u128::from_le_bytes(catalog.data_dir_id()),
                next_database: catalog.next_id(),
            }
        };
        let vfs = Arc::clone(&self.shared.vfs);
        let mut writer = BackupWriter::begin(vfs, dir.as_ref(), source, options, listener)?;
        let mut report = BackupReport {
            databases: Vec::with_capacity(names.len()),
            failed: Vec::new(),
        };
        for name in names {
            let error = match self.back_up(&mut writer, &name) {
                Ok(done) => {
                    report.databases.push(done);
                    continue;
                }
                Err(error) => of_database(&name, error),
            };
            if error.kind() == ErrorKind::Cancelled || writer.has_failed() {
                return Err(error);
            }
            match self.shared.slot(&name) {
                Ok(slot) => report.failed.push(NotBackedUp {
                    id: slot.id,
                    name,
                    error,
                    kept_version: None,
                }),
                // Dropped since it was listed.
                Err(_) if which == Which::All => {}
                Err(_) => return Err(error),
            }
        }
        if report.databases.is_empty() && !report.failed.is_empty() {
            return Err(report.failed.swap_remove(0).error);
        }
        for failed in &mut report.failed {
            failed.kept_version = writer.keep(failed.id);
        }
        if which != Which::All {
            writer.keep_others();
        }
        writer.publish()?;
        Ok(report)
    }

    fn back_up(&self, writer: &mut BackupWriter<'_>, name: &str) -> Result<DatabaseBackup> {
        let slot = self.shared.slot(name)?;
        let db = self.shared.database(name)?;
        let label = Label {
            id: slot.id,
            name,
            durability: &slot.durability,
        };
        writer.add(&db, &label)
    }
}

/// The same error, and which database it is about.
pub(crate) fn of_database(name: &str, error: Error) -> Error {
    if error.kind() == ErrorKind::Cancelled || error.kind() == ErrorKind::DatabaseNotFound {
        return error;
    }
    let message = format!("database {name:?}: {error}");
    Error::new(error.kind(), message).with_source(error)
}
