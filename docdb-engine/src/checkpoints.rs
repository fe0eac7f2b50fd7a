//! Earlier checkpoints of a database, and databases made of them.
//!
//! With [`keep_checkpoints`](crate::DbOptions::keep_checkpoints) above 1 a database keeps what its
//! last checkpoints name. [`list`] says which there are, and [`copy`] makes a new database of one,
//! which opens as the database was then: to look at what was there before a mistake, or to go on from
//! there. The database that is copied is not changed.

use std::path::Path;
use std::sync::Arc;

use docdb_datafile::{DocStore, FrameId, data_file_name};
use docdb_index::{Key, Winners, run_file_name};
use docdb_types::ErrorKind;
use docdb_vfs::{OpenMode, RealVfs, Vfs};
use docdb_wal::{Lsn, ManualDriver, Wal, WalOptions};

use crate::checkpoint::find_kept;
use crate::create::{remove_building, target_of};
use crate::error::{Error, Result};
use crate::manifest::{self, Manifest, ReplaceError, kept};
use crate::open::{WAL_DIR, lock_database, open_data_files, open_runs, parent};
use crate::pointer::DocPtr;

/// Bytes that are copied at a time.
const COPY_BYTES: u64 = 1 << 20;

/// A checkpoint that a database keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptCheckpoint {
    /// It holds every commit up to this one.
    pub version: u64,
    /// Whether it is the newest. What was committed since is in the log.
    pub is_newest: bool,
    /// Documents in all collections.
    pub documents: u64,
    /// Bytes of the data files that it names, of which others may name the same.
    pub data_bytes: u64,
}

/// What [`copy`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointCopy {
    /// The new database holds every commit up to this one; its own continue above.
    pub version: u64,
    /// Its documents. Each was read from the copy and verified.
    pub documents: u64,
    /// Bytes of data files and index runs that were copied.
    pub bytes: u64,
}

/// The checkpoints that the database in `dir` keeps, oldest first. The database may be open.
///
/// # Errors
/// `Corrupt` if there is no database or its newest manifest is damaged; earlier ones that are damaged,
/// or lack a file, are left out, as the database itself lets them go; `UnsupportedVersion`; `Io`.
pub fn list(dir: impl AsRef<Path>) -> Result<Vec<KeptCheckpoint>> {
    list_with(&RealVfs::new(), dir.as_ref())
}

/// As [`list`], on another file system.
///
/// # Errors
/// As [`list`].
pub fn list_with(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<KeptCheckpoint>> {
    let newest = manifest::read(vfs, dir)?;
    let earlier = find_kept(vfs, dir, &vfs.list(dir)?, &newest, usize::MAX)?;
    let mut checkpoints: Vec<_> = earlier.iter().map(|m| describe(m, false)).collect();
    checkpoints.push(describe(&newest, true));
    Ok(checkpoints)
}

/// Makes a new database in the directory `into`, which must not exist, of a checkpoint that the
/// database in `dir` keeps. It is durable when this returns, and there as a whole or not at all
/// whatever happens before. Nobody may have the database open meanwhile.
///
/// ```
/// use docdb_engine::{Db, DbOptions, WriteOp, checkpoints};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let temp = tempfile::tempdir()?;
/// # let (dir, earlier) = (temp.path().join("db"), temp.path().join("earlier"));
/// let mut options = DbOptions::default();
/// options.keep_checkpoints = 2;
/// let db = Db::open_with(&dir, options)?;
/// db.submit(&[WriteOp::create("_default", 1, b"\"good\"")]).wait()?;
/// let version = db.checkpoint()?.version;
/// db.submit(&[WriteOp::update("_default", 1, b"\"spoilt\"")]).wait()?;
/// db.close()?;
///
/// assert_eq!(checkpoints::list(&dir)?[0].version, version);
/// checkpoints::copy(&dir, version, &earlier)?;
/// assert_eq!(&*Db::open(&earlier)?.read("_default", 1)?.body, b"\"good\"");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `NotFound` if the database keeps no checkpoint of that version; `AlreadyExists` if `into` does;
/// `InvalidArgument` if the directory that it is to be in does not exist; `InUse` if somebody has the
/// database open; `Corrupt` naming the file if something of it does not verify; `DiskFull`; `Io`.
pub fn copy(dir: impl AsRef<Path>, version: u64, into: impl AsRef<Path>) -> Result<CheckpointCopy> {
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
    copy_with(&vfs, dir.as_ref(), version, into.as_ref())
}

/// As [`copy`], on another file system.
///
/// # Errors
/// As [`copy`].
pub fn copy_with(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    version: u64,
    into: &Path,
) -> Result<CheckpointCopy> {
    let _lock = lock_database(vfs.as_ref(), dir)?;
    let manifest = find(vfs.as_ref(), dir, version)?;
    let building = target_of(vfs.as_ref(), into)?;
    remove_building(vfs.as_ref(), &building)?;
    let copied = build(vfs, dir, manifest, &building);
    if copied.is_err() {
        // What cannot be removed now, the next attempt removes.
        let _ = remove_building(vfs.as_ref(), &building);
    }
    let copied = copied?;
    vfs.rename(&building, into)?;
    if let Err(error) = vfs.sync_dir(&parent(into)) {
        // As when a database is created: nobody is to open what the power may take.
        let _ = vfs.rename(into, &building);
        return Err(error.into());
    }
    Ok(copied)
}

fn describe(manifest: &Manifest, is_newest: bool) -> KeptCheckpoint {
    KeptCheckpoint {
        version: manifest.checkpoint_ts,
        is_newest,
        documents: manifest.collections.iter().map(|c| c.documents).sum(),
        data_bytes: manifest.data_files.iter().map(|f| f.durable_bytes).sum(),
    }
}

fn find(vfs: &dyn Vfs, dir: &Path, version: u64) -> Result<Manifest> {
    let newest = manifest::read(vfs, dir)?;
    if newest.checkpoint_ts == version {
        return Ok(newest);
    }
    if version < newest.checkpoint_ts && vfs.exists(&dir.join(kept::name(version)))? {
        return kept::read(vfs, dir, version);
    }
    let versions = list_with(vfs, dir)?;
    let versions: Vec<String> = versions.iter().map(|c| c.version.to_string()).collect();
    Err(Error::new(
        ErrorKind::NotFound,
        format!(
            "{} keeps no checkpoint of version {version}; there are {}",
            dir.display(),
            versions.join(", ")
        ),
    ))
}

/// Builds the new database and reads all of it.
fn build(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    mut manifest: Manifest,
    building: &Path,
) -> Result<CheckpointCopy> {
    vfs.create_dir(building)?;
    let mut bytes = 0;
    for entry in &manifest.data_files {
        let name = data_file_name(entry.number);
        let length = Some(entry.durable_bytes);
        bytes += copy_file(
            vfs.as_ref(),
            &dir.join(&name),
            &building.join(&name),
            length,
        )?;
    }
    for entry in &manifest.runs {
        let name = run_file_name(entry.number);
        bytes += copy_file(vfs.as_ref(), &dir.join(&name), &building.join(&name), None)?;
    }
    let wal_dir = building.join(WAL_DIR);
    vfs.create_dir(&wal_dir)?;
    let mut options = WalOptions::default();
    options.start_lsn = Some(Lsn(manifest.checkpoint_ts + 1));
    let wal = Wal::create(Arc::clone(vfs), &wal_dir, options, Arc::new(ManualDriver))?;
    wal.close()?;
    manifest.wal_id = wal.id();
    manifest.proven_lsn = manifest.checkpoint_ts;
    // Not appended to: large commits may have written to it behind what was copied.
    manifest.append_file = None;
    manifest::replace(vfs.as_ref(), building, &manifest).map_err(|error| match error {
        ReplaceError::Abandoned(error) | ReplaceError::Final(error) => error,
    })?;
    Ok(CheckpointCopy {
        version: manifest.checkpoint_ts,
        documents: verify(vfs.as_ref(), building, &manifest)?,
        bytes,
    })
}

/// Copies so much of a file, or all of it, durably but for its name.
fn copy_file(vfs: &dyn Vfs, from: &Path, to: &Path, length: Option<u64>) -> Result<u64> {
    let source = vfs.open(from, OpenMode::Read)?;
    let length = match length {
        Some(length) => length,
        None => source.len()?,
    };
    let target = vfs.open(to, OpenMode::CreateNew)?;
    let mut buffer = vec![0; length.min(COPY_BYTES) as usize];
    let mut at = 0;
    while at < length {
        let part = &mut buffer[..(length - at).min(COPY_BYTES) as usize];
        source.read_exact_at(part, at)?;
        target.write_all_at(part, at)?;
        at += part.len() as u64;
    }
    target.sync_data()?;
    Ok(length)
}

/// Reads every document of a database that is not open; how many there are.
fn verify(vfs: &dyn Vfs, dir: &Path, manifest: &Manifest) -> Result<u64> {
    let runs = open_runs(vfs, dir, manifest)?;
    let store = open_data_files(vfs, dir, manifest)?;
    let mut documents = 0;
    for collection in &manifest.collections {
        let (from, to) = (
            Key::new(collection.id, 0),
            Key::new(collection.id, u64::MAX),
        );
        let mut winners = Winners::new(&runs, from, to)?;
        let mut found = 0;
        while let Some(entry) = winners.next()? {
            if let Some(pointer) = entry.pointer {
                verify_document(&store, entry.key, entry.ts.0, pointer)?;
                found += 1;
            }
        }
        if found != collection.documents {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "collection {:?} of {} has {found} documents, and {} by its manifest",
                    collection.name,
                    dir.display(),
                    collection.documents
                ),
            ));
        }
        documents += found;
    }
    Ok(documents)
}

fn verify_document(store: &DocStore, key: Key, version: u64, pointer: DocPtr) -> Result<()> {
    let frame = FrameId {
        collection: key.collection,
        id: key.id,
        version,
    };
    store.read(pointer.0, &frame)?;
    Ok(())
}
