//! Databases made of a backup.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_types::ErrorKind;
use docdb_vfs::{DirLock, OpenMode, RealVfs, Vfs};

use super::format::{DatabaseEntry, Description, FileKind};
use super::verify::{read_documents, read_manifest, read_verified, verify_files};
use super::work::{Listener, Work};
use super::{name_in_database, place, unheard};
use crate::checkpoints::finish_copy;
use crate::create::{remove_building, target_of};
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::open::{lock_database, parent};

/// The versions of a restored database begin so far above that of its backup, so that they are not
/// those of what was committed to the database since.
pub const VERSIONS_LEFT_OUT: u64 = 1 << 40;

/// A backup, open to be read. Nobody writes to its directory meanwhile.
pub struct Backup {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    description: Description,
    _lock: Box<dyn DirLock>,
}

/// A database in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUpDatabase {
    /// Its id.
    pub id: u64,
    /// Its name; empty for a database that is alone.
    pub name: String,
    /// The text of its durability mode.
    pub durability: String,
    /// Every commit up to this version is in the backup.
    pub version: u64,
    /// Its documents.
    pub documents: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// A database that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoredDatabase {
    /// It is as it was at this version.
    pub version: u64,
    /// Its own commits have versions above this one.
    pub versions_from: u64,
    /// Its documents. Each was read from the new database and verified.
    pub documents: u64,
    /// Bytes that were copied.
    pub bytes: u64,
}

/// Makes a database in the directory `into`, which must not exist, of a backup that
/// [`Db::backup`](crate::Db::backup) took. It is durable when this returns, and there as a whole or not
/// at all whatever happens before. The backup is verified before anything is made.
///
/// # Errors
/// `Corrupt` naming file and offset if something of the backup is missing or damaged; `AlreadyExists`;
/// `InvalidArgument` if the backup is of several databases, or the directory that `into` is to be in
/// does not exist; `InUse` while a backup is being written; `UnsupportedVersion`; `DiskFull`; `Io`.
pub fn restore(backup: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<RestoredDatabase> {
    let backup = Backup::open(Arc::new(RealVfs::new()), backup.as_ref())?;
    let [entry] = &backup.description.databases[..] else {
        let message = format!(
            "{} is the backup of a data directory; restore it with docdb-server restore",
            backup.dir.display()
        );
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    };
    let id = entry.id;
    backup.verify(&[id], &mut unheard)?;
    backup.restore(id, into.as_ref(), &mut unheard)
}

impl Backup {
    /// Opens the backup in a directory and reads its description.
    ///
    /// # Errors
    /// `Corrupt` if there is none or it is damaged; `InUse`; `UnsupportedVersion`; `Io`.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Backup> {
        let lock = lock_database(vfs.as_ref(), dir)?;
        let description = place::read(vfs.as_ref(), dir)?;
        Ok(Backup {
            dir: dir.to_path_buf(),
            description,
            vfs,
            _lock: lock,
        })
    }

    /// The databases in it, by id.
    pub fn databases(&self) -> Vec<BackedUpDatabase> {
        let describe = |entry: &DatabaseEntry| BackedUpDatabase {
            id: entry.id,
            name: entry.name.clone(),
            durability: entry.durability.clone(),
            version: entry.version,
            documents: entry.documents,
            bytes: entry.files.iter().map(|file| file.bytes).sum(),
        };
        self.description.databases.iter().map(describe).collect()
    }

    /// The id that the source's next database would have got.
    pub fn next_database(&self) -> u64 {
        self.description.next_database
    }

    /// Reads every byte of these databases and compares the checksums. Changes nothing.
    ///
    /// # Errors
    /// `Corrupt` naming file and offset; `NotFound` if a database is not in the backup; `Cancelled`;
    /// `Io`.
    pub fn verify(&self, ids: &[u64], listener: Listener<'_>) -> Result<()> {
        let mut work = Work::new(Arc::clone(&self.vfs), 0, listener);
        let entries: Vec<_> = ids
            .iter()
            .map(|id| self.entry(*id))
            .collect::<Result<_>>()?;
        for entry in &entries {
            work.plan(entry.files.iter().map(|file| file.bytes).sum());
        }
        for entry in entries {
            verify_files(&mut work, &self.dir_of(entry), entry)?;
        }
        Ok(())
    }

    /// Makes a database of one in the backup, in the directory `into`, which must not exist. It is
    /// durable when this returns, and there as a whole or not at all. Its bytes are verified while they
    /// are copied, and its documents afterwards.
    ///
    /// # Errors
    /// As [`restore`]; `NotFound` if the database is not in the backup; `Cancelled`.
    pub fn restore(
        &self,
        id: u64,
        into: &Path,
        listener: Listener<'_>,
    ) -> Result<RestoredDatabase> {
        let entry = self.entry(id)?;
        let vfs = self.vfs.as_ref();
        let building = target_of(vfs, into)?;
        remove_building(vfs, &building)?;
        let mut work = Work::new(Arc::clone(&self.vfs), 0, listener);
        let restored = self
            .build(&mut work, entry, &building)
            .and_then(|restored| Ok(vfs.rename(&building, into).map(|()| restored)?));
        if restored.is_err() {
            // What cannot be removed now, the next attempt removes.
            let _ = remove_building(vfs, &building);
        }
        let restored = restored?;
        vfs.sync_dir(&parent(into))?;
        Ok(restored)
    }

    fn build(
        &self,
        work: &mut Work<'_>,
        entry: &DatabaseEntry,
        building: &Path,
    ) -> Result<RestoredDatabase> {
        let dir = self.dir_of(entry);
        work.plan(entry.files.iter().map(|file| file.bytes).sum());
        let mut manifest = read_manifest(work, &dir, entry)?;
        self.vfs.create_dir(building)?;
        let files = entry.files.iter();
        for file in files.filter(|file| file.id.kind != FileKind::Manifest) {
            let to = building.join(name_in_database(&file.id));
            let target = self.vfs.open(&to, OpenMode::CreateNew)?;
            let from = dir.join(place::file_name(&file.id));
            read_verified(work, &from, file, |chunk, at| {
                Ok(target.write_all_at(chunk, at)?)
            })?;
            target.sync_data()?;
        }
        continue_above(&mut manifest)?;
        finish_copy(&self.vfs, building, &mut manifest)?;
        let path_of = |id: &_| building.join(name_in_database(id));
        Ok(RestoredDatabase {
            version: entry.version,
            versions_from: manifest.checkpoint_ts,
            documents: read_documents(work, &manifest, path_of)?,
            bytes: entry.files.iter().map(|file| file.bytes).sum(),
        })
    }

    fn dir_of(&self, entry: &DatabaseEntry) -> PathBuf {
        self.dir.join(place::database_dir_name(entry.id))
    }

    fn entry(&self, id: u64) -> Result<&DatabaseEntry> {
        self.description.database(id).ok_or_else(|| {
            let message = format!(
                "there is no database {id} in the backup {}",
                self.dir.display()
            );
            Error::new(ErrorKind::NotFound, message)
        })
    }
}

/// The checkpoint holds every commit up to its version: also if there were none for a while.
fn continue_above(manifest: &mut Manifest) -> Result<()> {
    let version = manifest.checkpoint_ts.checked_add(VERSIONS_LEFT_OUT);
    manifest.checkpoint_ts = version
        .filter(|version| *version < u64::MAX)
        .ok_or_else(|| {
            let message = "the database has no versions left that were not its source's";
            Error::new(ErrorKind::LimitExceeded, message)
        })?;
    Ok(())
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backup")
            .field("dir", &self.dir)
            .field("number", &self.description.number)
            .finish_non_exhaustive()
    }
}
