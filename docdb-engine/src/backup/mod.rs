//! Backups of open databases, and databases restored from them.
//!
//! A backup is a directory of its own: the file `BACKUP`, which says what is in it with checksums, and
//! a directory for each database with its manifest, data files and index runs. It is not a database:
//! nothing that opens databases can change it, and [`restore`] makes databases of it.
//!
//! 1. A checkpoint, so that everything committed before is in files that never change, or only grow.
//! 2. What its manifest names is pinned: it may leave the manifest, and stays on the disk.
//! 3. Files are copied and synced, up to their durable length. What the backup before in the same
//!    directory holds of a file, by number and salt, is not copied again: index runs and full data
//!    files are reused, and a data file that has grown is extended where it lies, behind what that
//!    backup names of it.
//! 4. All of it is read back: every byte against the checksums of what was copied, now or earlier, and
//!    every document by the index. What was copied earlier and is damaged or missing now is copied anew
//!    beside it, and takes its place by a rename: it is what every earlier `BACKUP` names.
//! 5. `BACKUP` is replaced by a rename. This is the moment at which the backup counts.
//! 6. What it does not name is removed.
//!
//! Whatever happens before 5 leaves the backup before as it was, and what was copied in vain goes at once
//! or, after a crash, with the next one. Nothing that any earlier `BACKUP` names is removed or changed before 5, so it does not
//! matter whether the rename that made the last one was ever synced. Nothing that fails here does anything
//! to the database but end the backup. Commits and reads go on all the time.

mod copy;
mod format;
mod pin;
mod place;
mod restore;
mod verify;
mod work;

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_datafile::data_file_name;
use docdb_index::run_file_name;
use docdb_types::ErrorKind;
use docdb_vfs::{DirLock, OpenMode, Vfs};

use self::copy::{Copied, CopyFile, copy, copy_anew, is_there};
use self::format::{DatabaseEntry, Description, FileEntry, FileId, FileKind};
use self::verify::{files_of, read_documents, verify_file};
use self::work::{Made, Work};
use crate::db::{Db, Inner};
use crate::error::{Error, Result};
use crate::manifest::Manifest;

pub use restore::{BackedUpDatabase, Backup, RestoredDatabase, VERSIONS_LEFT_OUT, restore};
pub use work::Listener;

/// How a backup is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Most bytes that are copied or read back in a second, on average; 0 for as fast as it goes.
    pub bytes_per_second: u64,
}

impl BackupOptions {
    /// Sets the rate in bytes per second; 0 for none.
    #[must_use]
    pub fn bytes_per_second(mut self, rate: u64) -> Self {
        self.bytes_per_second = rate;
        self
    }
}

/// How far a backup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are done with: copied or reused, and, once more, read back.
    pub bytes_done: u64,
    /// What `bytes_done` comes to when the databases that were begun are done.
    pub bytes_total: u64,
    /// Bytes that were copied.
    pub bytes_copied: u64,
}

/// What was backed up of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseBackup {
    /// Its id in the backup.
    pub id: u64,
    /// Its name; empty for a database that is alone.
    pub name: String,
    /// Every commit up to this version is in the backup, and none above.
    pub version: u64,
    /// Its documents. Each was read from the backup and verified.
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

/// What a database is called in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'a> {
    /// Its id, never used for another database of the same source.
    pub id: u64,
    /// Its name, at most 64 bytes.
    pub name: &'a str,
    /// The text of its durability mode, at most 32 bytes.
    pub durability: &'a str,
}

impl Db {
    /// Backs the database up into a directory of its own, while it is in use: everything committed
    /// before the call is in the backup. Into a directory that holds an earlier backup of it only what
    /// is new is copied; that backup stands until the new one is complete, durable and verified.
    ///
    /// `listener` is told how far it has come at least at every 128 KiB, and ends the backup with
    /// `Break`.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use docdb_engine::backup::{self, BackupOptions};
    /// use docdb_engine::{Db, WriteOp};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let temp = tempfile::tempdir()?;
    /// # let (dir, kept, again) = (temp.path().join("db"), temp.path().join("kept"), temp.path().join("again"));
    /// let db = Db::open(&dir)?;
    /// db.submit(&[WriteOp::create("_default", 1, b"\"good\"")]).wait()?;
    /// let taken = db.backup(&kept, BackupOptions::default(), &mut |_| ControlFlow::Continue(()))?;
    /// db.submit(&[WriteOp::update("_default", 1, b"\"spoilt\"")]).wait()?;
    ///
    /// assert_eq!(taken.documents, 1);
    /// backup::restore(&kept, &again)?;
    /// assert_eq!(&*Db::open(&again)?.read("_default", 1)?.body, b"\"good\"");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` if the directory is not empty and holds no backup, if it lies in a database's
    /// or data directory, if what it holds is another database's backup, or if the database was set
    /// back since; `InUse` if somebody else works on it; `Busy` if the database is being backed up
    /// already; `Corrupt` naming the file, if the database or the file `BACKUP` is damaged; `Cancelled`; `DiskFull`; `Io`; `Closed`; `Poisoned`. The backup before is as it was.
    pub fn backup(
        &self,
        dir: impl AsRef<Path>,
        options: BackupOptions,
        listener: Listener<'_>,
    ) -> Result<DatabaseBackup> {
        let inner = &self.inner;
        let source = inner.checkpointer.lock().manifest.wal_id;
        let mut writer = BackupWriter::begin(
            Arc::clone(&inner.vfs),
            dir.as_ref(),
            Source {
                id: source,
                next_database: 2,
            },
            options,
            listener,
        )?;
        let durability = inner.options.durability.to_string();
        let label = Label {
            id: 1,
            name: "",
            durability: &durability,
        };
        let report = writer.add(self, &label)?;
        writer.publish()?;
        Ok(report)
    }
}

/// Where the databases of a backup come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// What tells it from every other source; a directory holds backups of one.
    pub id: u128,
    /// The id that its next database gets.
    pub next_database: u64,
}

/// Writes a backup of several databases. Each is as it was at one version; they are not all as they
/// were at one moment.
pub struct BackupWriter<'a> {
    dir: PathBuf,
    before: Option<Description>,
    next: Description,
    work: Work<'a>,
    _lock: Box<dyn DirLock>,
}

impl<'a> BackupWriter<'a> {
    /// Begins a backup in a directory of its own, which is made if it does not exist, with mode 0700;
    /// the one that it is to be in must.
    ///
    /// # Errors
    /// As [`Db::backup`].
    pub fn begin(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        source: Source,
        options: BackupOptions,
        listener: Listener<'a>,
    ) -> Result<BackupWriter<'a>> {
        let (lock, before) = place::enter(vfs.as_ref(), dir)?;
        if before
            .as_ref()
            .is_some_and(|before| before.source != source.id)
        {
            let message = format!(
                "{} holds the backup of another database or data directory, or of this one before it \
                 was restored; name another directory",
                dir.display()
            );
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let before_number = before.as_ref().map_or(0, |before| before.number);
        Ok(BackupWriter {
            dir: dir.to_path_buf(),
            before,
            next: Description {
                number: before_number + 1,
                source: source.id,
                next_database: source.next_database,
                databases: Vec::new(),
            },
            work: Work::new(vfs, options.bytes_per_second, listener),
            _lock: lock,
        })
    }

    /// Copies a database and reads the copy back. Every database is added once.
    ///
    /// # Errors
    /// As [`Db::backup`].
    pub fn add(&mut self, db: &Db, label: &Label<'_>) -> Result<DatabaseBackup> {
        let inner = &db.inner;
        let before = self
            .before
            .as_ref()
            .and_then(|before| before.database(label.id).cloned());
        let dir = self.database_dir(label.id, before.is_some())?;
        let copied_before = self.work.progress.bytes_copied;
        let pinned = inner.pin_for_backup()?;
        let version = pinned.manifest.checkpoint_ts;
        if before
            .as_ref()
            .is_some_and(|before| before.version > version)
        {
            let message = format!(
                "{} has a later version of database {} than the database itself: it was set back \
                 since; back it up into another directory",
                self.dir.display(),
                label.id
            );
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let manifest = pinned.manifest.clone();
        let (files, counts) = self.copy_files(inner, &manifest, &dir, before.as_ref())?;
        // The backup has all of it.
        drop(pinned);
        let mut entry = DatabaseEntry {
            id: label.id,
            version,
            documents: manifest
                .collections
                .iter()
                .map(|entry| entry.documents)
                .sum(),
            copied_by: self.next.number,
            name: label.name.to_owned(),
            durability: label.durability.to_owned(),
            files,
        };
        let path_of = |id: &FileId| dir.join(place::file_name(id));
        entry.documents = read_documents(&mut self.work, &manifest, path_of)
            .map_err(|error| damaged_source(&inner.dir, error))?;
        let report = DatabaseBackup {
            id: label.id,
            name: label.name.to_owned(),
            version,
            documents: entry.documents,
            files_copied: counts[Copied::New as usize],
            files_extended: counts[Copied::Extended as usize],
            files_reused: counts[Copied::Reused as usize],
            files_renewed: counts[Copied::Anew as usize],
            bytes_copied: self.work.progress.bytes_copied - copied_before,
            bytes: entry.files.iter().map(|file| file.bytes).sum(),
        };
        self.insert(entry);
        Ok(report)
    }

    /// Whether it was not a database that failed, but the directory that the backup is in: no other
    /// database can be added to it then.
    pub fn has_failed(&self) -> bool {
        self.work.place_failed
    }

    /// Keeps what the backup before holds of a database that could not be added, as it is; its version
    /// there, none if it holds nothing of it.
    pub fn keep(&mut self, id: u64) -> Option<u64> {
        let entry = self.before.as_ref()?.database(id)?.clone();
        let version = entry.version;
        self.insert(entry);
        Some(version)
    }

    /// Keeps what the backup before holds of databases that were not added, as it is. One whose name
    /// was given to another since, which was added, was dropped: it goes.
    pub fn keep_others(&mut self) {
        let before = self.before.iter().flat_map(|before| &before.databases);
        let is_added = |entry: &DatabaseEntry| {
            let mut added = self.next.databases.iter();
            added.any(|added| added.id == entry.id || added.name == entry.name)
        };
        let others: Vec<_> = before.filter(|entry| !is_added(entry)).cloned().collect();
        for entry in others {
            self.insert(entry);
        }
    }

    /// Makes this the backup in the directory, and removes what only the one before needed.
    ///
    /// # Errors
    /// `DiskFull`, `Io`; either backup stands then, and both are whole.
    pub fn publish(mut self) -> Result<()> {
        let vfs = Arc::clone(&self.work.vfs);
        let vfs = vfs.as_ref();
        let temporary = place::write_description(vfs, &self.dir, &self.next)?;
        // From here on it may be what stands.
        self.work.made.clear();
        place::replace(vfs, &self.dir, &temporary)?;
        // What cannot be removed now, the next backup removes.
        let _ = place::remove_unnamed(vfs, &self.dir, &self.next);
        Ok(())
    }

    fn insert(&mut self, entry: DatabaseEntry) {
        let databases = &mut self.next.databases;
        let at = databases.partition_point(|other| other.id < entry.id);
        databases.insert(at, entry);
    }

    /// The directory of a database in the backup.
    fn database_dir(&mut self, id: u64, is_known: bool) -> Result<PathBuf> {
        let vfs = Arc::clone(&self.work.vfs);
        let dir = self.dir.join(place::database_dir_name(id));
        if is_known && vfs.exists(&dir)? {
            return Ok(dir);
        }
        let made = place::make_database_dir(vfs.as_ref(), &self.dir, id);
        self.work.place_failed |= made.is_err();
        made
    }

    /// Copies what the manifest names, and the manifest, durably, and reads it back; how many files came
    /// in which way.
    fn copy_files(
        &mut self,
        inner: &Inner,
        manifest: &Manifest,
        dir: &Path,
        before: Option<&DatabaseEntry>,
    ) -> Result<(Vec<FileEntry>, [u64; 4])> {
        let mut planned = Vec::new();
        for (id, bytes) in files_of(manifest) {
            let from = inner.dir.join(name_in_database(&id));
            let bytes = match bytes {
                Some(bytes) => bytes,
                None => self.work.vfs.open(&from, OpenMode::Read)?.len()?,
            };
            // Once to copy, and once to read back.
            self.work.plan(2 * bytes);
            planned.push((from, dir.join(place::file_name(&id)), id, bytes));
        }
        let syncs_parts = || {
            inner.check_open()?;
            Ok(inner.commits_wait_for_device())
        };
        let work = &mut self.work;
        let mut copied = Vec::with_capacity(planned.len());
        for (from, to, id, bytes) in &planned {
            let (id, bytes) = (*id, *bytes);
            let known = before.and_then(|entry| entry.files.iter().find(|file| file.id == id));
            let file = CopyFile {
                from,
                to,
                id,
                bytes,
                known,
            };
            let (entry, how) = match known {
                Some(known) if !is_there(work.vfs.as_ref(), &file, known)? => {
                    let entry = copy_anew(work, &file, known, syncs_parts)?;
                    (entry, Copied::Anew)
                }
                _ => copy(work, &file, syncs_parts)?,
            };
            copied.push((file, entry, how));
        }
        let manifest = self.write_manifest(manifest, dir)?;
        self.sync(dir)?;
        let work = &mut self.work;
        verify_file(work, dir, &manifest)?;
        let (mut files, mut counts) = (vec![manifest], [1, 0, 0, 0]);
        let mut renewed = Vec::new();
        for (file, entry, mut how) in copied {
            match verify_file(work, dir, &entry) {
                // Nothing else was in the backup before.
                Err(error) if error.kind() == ErrorKind::Corrupt && file.known.is_some() => {
                    work.plan(2 * entry.bytes);
                    renewed.push(copy_anew(work, &file, &entry, syncs_parts)?);
                    how = Copied::Anew;
                }
                verified => verified?,
            }
            counts[how as usize] += 1;
            files.push(entry);
        }
        if !renewed.is_empty() {
            self.sync(dir)?;
        }
        for entry in &renewed {
            verify_file(&mut self.work, dir, entry)?;
        }
        Ok((files, counts))
    }

    fn sync(&mut self, dir: &Path) -> Result<()> {
        let synced = self.work.vfs.sync_dir(dir);
        self.work.in_place(synced)
    }

    fn write_manifest(&mut self, manifest: &Manifest, dir: &Path) -> Result<FileEntry> {
        let id = FileId {
            kind: FileKind::Manifest,
            number: self.next.number,
            salt: 0,
        };
        let bytes = manifest.encode();
        let path = dir.join(place::file_name(&id));
        let written = write_new(self.work.vfs.as_ref(), &path, &bytes);
        self.work.made.push(Made::File(path));
        self.work.in_place(written)?;
        let length = bytes.len() as u64;
        self.work.plan(2 * length);
        self.work.progress.bytes_copied += length;
        self.work.done(length)?;
        Ok(FileEntry {
            id,
            bytes: length,
            crcs: bytes
                .chunks(format::CHUNK_BYTES as usize)
                .map(crc32fast::hash)
                .collect(),
        })
    }
}

/// A backup that comes to nothing leaves its disk as full as it was: it may be that what failed.
impl Drop for BackupWriter<'_> {
    fn drop(&mut self) {
        for made in self.work.made.iter().rev() {
            made.undo(self.work.vfs.as_ref());
        }
    }
}

impl fmt::Debug for BackupWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupWriter")
            .field("dir", &self.dir)
            .field("number", &self.next.number)
            .finish_non_exhaustive()
    }
}

/// Writes a file durably, but for its name, in place of what an interrupted backup has left.
fn write_new(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> docdb_vfs::Result<()> {
    if vfs.exists(path)? {
        vfs.remove_file(path)?;
    }
    let file = vfs.open(path, OpenMode::CreateNew)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()
}

/// What a file of a backup is called in a database's directory.
fn name_in_database(id: &FileId) -> String {
    match id.kind {
        // A data file's number was one of 32 bits when it was read.
        FileKind::Data => data_file_name(id.number as u32),
        FileKind::Run => run_file_name(id.number),
        FileKind::Manifest => crate::manifest::MANIFEST.to_owned(),
    }
}

/// What was copied is what was read, so it was damaged before.
fn damaged_source(dir: &Path, error: Error) -> Error {
    if error.kind() != ErrorKind::Corrupt {
        return error;
    }
    let message = format!(
        "the database in {} is damaged, and so is its copy, which is given up: {error}",
        dir.display()
    );
    Error::new(ErrorKind::Corrupt, message).with_source(error)
}

/// For those who do not want to know how far it has come.
pub(crate) fn unheard(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
