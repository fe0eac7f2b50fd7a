//! Writing the new database: documents in the order of their keys, with their versions, as one
//! checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_datafile::{DataFileWriter, FileIdentity, FrameId, data_file_name};
use docdb_index::{Key, RunIdentity, RunWriter, run_file_name};
use docdb_mvcc::CommitTs;
use docdb_vfs::Vfs;
use docdb_wal::{Lsn, ManualDriver, Wal, WalOptions};

use crate::create::{remove_building, target_of};
use crate::error::Result;
use crate::manifest::{self, CollectionEntry, Manifest, ReplaceError, RunEntry};
use crate::open::{WAL_DIR, parent};
use crate::pointer::DocPtr;
use crate::publish::entry_of;
use crate::random::random_salt;

/// A data file takes no more documents once it is larger than this.
const DATA_FILE_BYTES_MAX: u64 = 256 << 20;

/// A database in the making; it gets its name when it is whole.
pub(super) struct NewDatabase {
    vfs: Arc<dyn Vfs>,
    into: PathBuf,
    building: PathBuf,
    manifest: Manifest,
    data: Option<DataFileWriter>,
    data_live: u64,
    run: RunWriter<DocPtr>,
    counts: BTreeMap<u32, (u64, u64)>,
}

impl NewDatabase {
    pub(super) fn create(vfs: &Arc<dyn Vfs>, into: &Path) -> Result<NewDatabase> {
        let building = target_of(vfs.as_ref(), into)?;
        remove_building(vfs.as_ref(), &building)?;
        vfs.create_dir(&building)?;
        let identity = RunIdentity {
            number: 1,
            salt: random_salt(vfs.as_ref()),
        };
        let run = RunWriter::create(vfs.as_ref(), &building.join(run_file_name(1)), identity)?;
        Ok(NewDatabase {
            vfs: Arc::clone(vfs),
            into: into.to_path_buf(),
            building,
            manifest: Manifest {
                edit: 1,
                next_data_file: 1,
                next_run: 2,
                runs: vec![RunEntry {
                    number: identity.number,
                    salt: identity.salt,
                }],
                ..Manifest::default()
            },
            data: None,
            data_live: 0,
            run,
            counts: BTreeMap::new(),
        })
    }

    /// Adds a document; keys ascend.
    pub(super) fn push(&mut self, key: Key, version: u64, body: &[u8]) -> Result<()> {
        let data = match &mut self.data {
            Some(data) => data,
            None => {
                let number = self.manifest.next_data_file;
                self.manifest.next_data_file += 1;
                let identity = FileIdentity {
                    number,
                    salt: random_salt(self.vfs.as_ref()),
                };
                let path = self.building.join(data_file_name(number));
                let writer = DataFileWriter::create(self.vfs.as_ref(), &path, identity)?;
                self.data.insert(writer)
            }
        };
        let id = FrameId {
            collection: key.collection,
            id: key.id,
            version,
        };
        let pointer = data.append(&id, body)?;
        self.data_live += pointer.frame_bytes();
        self.run
            .push(key, CommitTs(version), Some(DocPtr(pointer)))?;
        let counts = self.counts.entry(key.collection).or_default();
        *counts = (counts.0 + 1, key.id);
        if self.data_live >= DATA_FILE_BYTES_MAX {
            self.end_file()?;
        }
        Ok(())
    }

    /// Leaves nothing behind, as far as that can be done now.
    pub(super) fn abandon(self) {
        let NewDatabase {
            vfs,
            building,
            data,
            run,
            ..
        } = self;
        drop((data, run));
        let _ = remove_building(vfs.as_ref(), &building);
    }

    fn end_file(&mut self) -> Result<()> {
        if let Some(mut writer) = self.data.take() {
            let mut entry = entry_of(&mut writer)?;
            entry.live_bytes = std::mem::take(&mut self.data_live);
            self.manifest.data_files.push(entry);
        }
        Ok(())
    }

    /// Gives the database its name. It has these collections, whose counts are not looked at, and goes
    /// on behind `version`.
    pub(super) fn finish(
        mut self,
        mut collections: Vec<CollectionEntry>,
        next_collection: u32,
        version: u64,
    ) -> Result<()> {
        self.end_file()?;
        let vfs = self.vfs.as_ref();
        self.run.finish()?;
        for entry in &mut collections {
            let (documents, highest) = self.counts.get(&entry.id).copied().unwrap_or((0, 0));
            entry.documents = documents;
            if documents > 0 {
                entry.highest_id = entry.highest_id.max(Some(highest));
            }
        }
        let wal_dir = self.building.join(WAL_DIR);
        vfs.create_dir(&wal_dir)?;
        let mut options = WalOptions::default();
        options.start_lsn = Some(Lsn(version + 1));
        let wal = Wal::create(
            Arc::clone(&self.vfs),
            &wal_dir,
            options,
            Arc::new(ManualDriver),
        )?;
        wal.close()?;
        self.manifest.wal_id = wal.id();
        self.manifest.checkpoint_ts = version;
        self.manifest.proven_lsn = version;
        self.manifest.next_collection = next_collection;
        self.manifest.collections = collections;
        let written = manifest::replace(vfs, &self.building, &self.manifest);
        written.map_err(|error| match error {
            ReplaceError::Abandoned(error) | ReplaceError::Final(error) => error,
        })?;
        vfs.rename(&self.building, &self.into)?;
        vfs.sync_dir(&parent(&self.into))?;
        Ok(())
    }
}
