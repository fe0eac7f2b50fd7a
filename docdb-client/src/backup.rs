//! Backups.

use docdb_ipc::{BackupReport, BackupRequest, FEATURE_BACKUP, Request, Response, Text};
use docdb_types::ErrorKind;

use crate::client::{may_repeat, unexpected_to_write};
use crate::error::Stage;
use crate::{Client, Error, Result};

/// What is backed up, and how fast. Start from [`BackupOptions::new`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupOptions {
    databases: Vec<Text>,
    bytes_per_second: Option<u64>,
}

impl BackupOptions {
    /// All databases, as fast as it goes.
    pub fn new() -> Self {
        BackupOptions::default()
    }

    /// These databases only; of others the backup keeps what it holds already. None means all.
    #[must_use]
    pub fn databases<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter();
        self.databases = names.map(|name| Text::from(name.as_ref())).collect();
        self
    }

    /// Copies and reads back at most so many bytes in a second.
    #[must_use]
    pub fn bytes_per_second(mut self, rate: u64) -> Self {
        self.bytes_per_second = Some(rate);
        self
    }
}

impl Client {
    /// Has the server back databases up into a directory of its own on its host, an absolute path,
    /// while they are in use. Everything acknowledged before the call is in the backup; where an
    /// earlier backup is, only what is new is copied, and that one stands until the new one is
    /// complete, durable and verified.
    ///
    /// A database that is damaged or cannot be opened does not keep the others from being backed up:
    /// [`BackupReport::failed`] names it, and the backup keeps what it has of it. Look at it: a backup
    /// with any of these is not whole.
    ///
    /// It takes as long as that takes, whatever the client's request timeout is. To drop the future
    /// gives the backup up.
    ///
    /// # Errors
    /// `Busy` if the server takes a backup already; `InvalidArgument` if the directory cannot take
    /// it; `DatabaseNotFound`; `Corrupt` if the only database or the description of the earlier
    /// backup is damaged; `DiskFull`, `Io`; `UnsupportedVersion` from an older server. The earlier backup is as it was, also after
    /// `OutcomeUnknown` if the new one is not there instead.
    pub async fn backup(&self, dir: &str, options: &BackupOptions) -> Result<BackupReport> {
        match self.backup_once(dir, options).await {
            // The connection was lost before, and nothing was sent.
            Err(error) if may_repeat(&error, false) => self.backup_once(dir, options).await,
            result => result,
        }
    }

    async fn backup_once(&self, dir: &str, options: &BackupOptions) -> Result<BackupReport> {
        let connection = self.connection().await?;
        if connection.features() & FEATURE_BACKUP == 0 {
            let message = "the server takes no backups";
            return Err(Error::new(ErrorKind::UnsupportedVersion, message).at(Stage::Unsent));
        }
        let request = Request::Backup(BackupRequest {
            dir: dir.into(),
            databases: options.databases.clone(),
            bytes_per_second: options.bytes_per_second,
        });
        match connection.call(&request, None).await? {
            Response::BackedUp(report) => Ok(report),
            other => Err(unexpected_to_write(&other)),
        }
    }
}
