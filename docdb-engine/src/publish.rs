//! Changing the manifest, and what is read along with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use docdb_datafile::{DataFile, DataFileWriter, FileIdentity, data_file_name};
use docdb_index::{Run, RunIdentity, RunWriter};
use docdb_vfs::Vfs;
use parking_lot::MutexGuard;

use crate::checkpoint::Checkpointer;
use crate::db::{Inner, poisoned};
use crate::error::{Error, Result};
use crate::manifest::{self, DataFileEntry, Manifest, ReplaceError, RunEntry};
use crate::pointer::DocPtr;
use crate::random::random_salt;

pub(crate) fn identity_of(entry: &DataFileEntry) -> FileIdentity {
    FileIdentity {
        number: entry.number,
        salt: entry.salt,
    }
}

/// Syncs what was appended; the entry has no live bytes.
pub(crate) fn entry_of(writer: &mut DataFileWriter) -> Result<DataFileEntry> {
    let durable_bytes = writer.sync()?;
    let FileIdentity { number, salt } = writer.identity();
    Ok(DataFileEntry::new(number, salt, durable_bytes))
}

/// Counted up in memory at once: the number of an abandoned run is not used again.
pub(crate) fn reserve_run(manifest: &mut Manifest, vfs: &dyn Vfs) -> RunIdentity {
    let number = manifest.next_run;
    manifest.next_run += 1;
    RunIdentity {
        number,
        salt: random_salt(vfs),
    }
}

impl Inner {
    pub(crate) fn new_data_file(&self) -> FileIdentity {
        FileIdentity {
            number: self.take_data_file_number(),
            salt: random_salt(self.vfs.as_ref()),
        }
    }

    pub(crate) fn finish_run(
        &self,
        writer: RunWriter<DocPtr>,
    ) -> Result<(RunEntry, Arc<Run<DocPtr>>)> {
        let identity = writer.identity();
        let path = writer.path().to_path_buf();
        writer.finish()?;
        let run = Run::open(self.vfs.as_ref(), &path, identity)?;
        let entry = RunEntry {
            number: identity.number,
            salt: identity.salt,
        };
        Ok((entry, Arc::new(run)))
    }

    /// The data file for readers, if they do not have it yet. Opened before a manifest names it, since
    /// nothing may fail afterwards.
    pub(crate) fn open_if_new(&self, entry: &DataFileEntry) -> Result<Option<DataFile>> {
        if self.store.get(entry.number).is_some() {
            return Ok(None);
        }
        let path = self.dir.join(data_file_name(entry.number));
        let vfs = self.vfs.as_ref();
        let file = DataFile::open(vfs, &path, identity_of(entry), entry.durable_bytes)?;
        Ok(Some(file))
    }

    /// Gives readers what a manifest now says of a data file.
    pub(crate) fn adopt(&self, entry: DataFileEntry, opened: Option<DataFile>) {
        match opened {
            Some(file) => {
                self.store.add(file);
            }
            None => {
                if let Some(file) = self.store.get(entry.number) {
                    file.extend(entry.durable_bytes);
                }
            }
        }
    }

    pub(crate) fn note_live(&self, manifest: &Manifest) {
        for entry in &manifest.data_files {
            self.store.set_live(entry.number, Some(entry.live_bytes));
        }
        self.note_dead(manifest);
    }

    /// Makes `manifest`, an edit of the one that stands, the manifest.
    pub(crate) fn replace_manifest(
        &self,
        state: &mut Checkpointer,
        mut manifest: Manifest,
    ) -> Result<()> {
        manifest.edit += 1;
        // Also numbers that went to files which no manifest names yet.
        manifest.next_data_file = self.next_data_file.load(Ordering::Relaxed);
        manifest.next_run = state.manifest.next_run;
        let _turn = self.turn_to_sync_dir()?;
        match manifest::replace(self.vfs.as_ref(), &self.dir, &manifest) {
            Ok(()) => {
                state.manifest = manifest;
                state.is_pinned = true;
                Ok(())
            }
            Err(ReplaceError::Abandoned(error)) => Err(error),
            Err(ReplaceError::Final(error)) => Err(self.poison(error)),
        }
    }

    /// Makes the names in the database's directory durable.
    ///
    /// A failure is final: it may have lost every name that was not synced yet, also those that others
    /// had just made, and a later sync succeeds without having written them. So nobody's sync counts
    /// once one has failed, and one is made at a time, so that none succeeds before that is known.
    pub(crate) fn sync_dir(&self) -> Result<()> {
        let _turn = self.turn_to_sync_dir()?;
        let synced = self.vfs.sync_dir(&self.dir);
        synced.map_err(|error| self.poison(error.into()))
    }

    /// The right to sync the directory; to be held until a failure has poisoned the database.
    pub(crate) fn turn_to_sync_dir(&self) -> Result<MutexGuard<'_, ()>> {
        let turn = self.dir_sync.lock();
        match self.poisoned.get() {
            Some(cause) => Err(poisoned(cause)),
            None => Ok(turn),
        }
    }

    pub(crate) fn poison(&self, cause: Error) -> Error {
        let _ = self.poisoned.set(cause.clone());
        poisoned(&cause)
    }
}
