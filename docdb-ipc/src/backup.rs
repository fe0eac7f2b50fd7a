//! The request for a backup and its answer.

use docdb_types::limits::DATABASES_MAX;

use crate::limits::ERROR_MESSAGE_BYTES_MAX;
use crate::response_codec::{boolean, error, put_error};
use crate::wire::{Fields, Present, Put, Reader};
use crate::{DecodeError, EncodeError, Text, WireError};

const RATE: u32 = 0;

/// Asks for a backup of databases into a directory on the server's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRequest {
    /// The directory, an absolute path. It is made if it does not exist; the one that it is to be in
    /// must.
    pub dir: Text,
    /// The databases; all of them if there are none in the list.
    pub databases: Vec<Text>,
    /// Most bytes that are copied or read back in a second; none for as fast as it goes.
    pub bytes_per_second: Option<u64>,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupReport {
    /// The databases that were backed up, by name; at least one, if there are any.
    pub databases: Vec<BackedUp>,
    /// Those that could not be. A backup with any of these is not whole.
    pub failed: Vec<NotBackedUp>,
}

/// A database that could not be backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotBackedUp {
    /// Its name.
    pub name: Text,
    /// Its id.
    pub id: u64,
    /// The version that the backup has it at, as it was backed up earlier; none if it lacks it.
    pub kept_version: Option<u64>,
    /// Why not.
    pub error: WireError,
}

/// What was backed up of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Its name.
    pub name: Text,
    /// Its id.
    pub id: u64,
    /// Every commit up to this version is in the backup, and none above.
    pub version: u64,
    /// Its documents, each of which was read back and verified.
    pub documents: u64,
    /// Files that were not in the backup before.
    pub files_copied: u64,
    /// Files that were, and have grown since.
    pub files_extended: u64,
    /// Files that were, as they are now.
    pub files_reused: u64,
    /// Files that should have been, but were damaged or missing: they were copied anew.
    pub files_renewed: u64,
    /// Bytes that were copied.
    pub bytes_copied: u64,
    /// Bytes of all its files in the backup.
    pub bytes: u64,
}

/// An empty name.
const NAME_BYTES_MIN: usize = 2;
/// An empty name and the numbers.
const BACKED_UP_BYTES_MIN: usize = 2 + 9 * 8;
/// An empty name, the numbers, and an error with an empty message.
const NOT_BACKED_UP_BYTES_MIN: usize = 2 + 8 + 1 + 8 + 6;

pub(crate) fn put_request(
    p: &mut impl Put,
    fields: &mut Fields,
    request: &BackupRequest,
) -> Result<(), EncodeError> {
    p.text(&request.dir)?;
    p.count(request.databases.len(), DATABASES_MAX)?;
    for name in &request.databases {
        p.text(name)?;
    }
    fields.u64(p, RATE, request.bytes_per_second);
    Ok(())
}

pub(crate) fn request(
    r: &mut Reader<'_>,
    present: &mut Present,
) -> Result<BackupRequest, DecodeError> {
    let dir = r.text()?;
    let count = r.count(NAME_BYTES_MIN, DATABASES_MAX)?;
    let mut databases = Vec::with_capacity(count);
    for _ in 0..count {
        databases.push(r.text()?);
    }
    Ok(BackupRequest {
        dir,
        databases,
        bytes_per_second: r.opt_u64(present.has(RATE))?,
    })
}

pub(crate) fn put_answer(p: &mut impl Put, report: &BackupReport) -> Result<(), EncodeError> {
    p.count(report.databases.len(), DATABASES_MAX)?;
    for done in &report.databases {
        p.text(&done.name)?;
        for number in [
            done.id,
            done.version,
            done.documents,
            done.files_copied,
            done.files_extended,
            done.files_reused,
            done.files_renewed,
            done.bytes_copied,
            done.bytes,
        ] {
            p.u64(number);
        }
    }
    p.count(report.failed.len(), DATABASES_MAX)?;
    for failed in &report.failed {
        p.text(&failed.name)?;
        p.u64(failed.id);
        p.u8(u8::from(failed.kept_version.is_some()));
        p.u64(failed.kept_version.unwrap_or(0));
        put_error(p, &failed.error, ERROR_MESSAGE_BYTES_MAX)?;
    }
    Ok(())
}

pub(crate) fn answer(r: &mut Reader<'_>) -> Result<BackupReport, DecodeError> {
    let count = r.count(BACKED_UP_BYTES_MIN, DATABASES_MAX)?;
    let mut databases = Vec::with_capacity(count);
    for _ in 0..count {
        databases.push(BackedUp {
            name: r.text()?,
            id: r.u64()?,
            version: r.u64()?,
            documents: r.u64()?,
            files_copied: r.u64()?,
            files_extended: r.u64()?,
            files_reused: r.u64()?,
            files_renewed: r.u64()?,
            bytes_copied: r.u64()?,
            bytes: r.u64()?,
        });
    }
    let count = r.count(NOT_BACKED_UP_BYTES_MIN, DATABASES_MAX)?;
    let mut failed = Vec::with_capacity(count);
    for _ in 0..count {
        failed.push(NotBackedUp {
            name: r.text()?,
            id: r.u64()?,
            kept_version: {
                let is_kept = boolean(r, "kept")?;
                let version = r.u64()?;
                is_kept.then_some(version)
            },
            error: error(r)?,
        });
    }
    Ok(BackupReport { databases, failed })
}
