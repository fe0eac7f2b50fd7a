//! Opening a database: judge everything, then act.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, OnceLock};

use docdb_datafile::{DataFile, DocStore, FileIdentity, data_file_name, parse_data_file_name};
use docdb_index::{
    Index, IndexOptions, Key, Place, Pointer, Run, RunIdentity, parse_run_file_name, run_file_name,
};
use docdb_mvcc::{CommitTs, SnapshotRegistry};
use docdb_types::ErrorKind;
use docdb_vfs::{DirLock, Vfs};
use docdb_wal::{FlushDriver, Lsn, Recovery, Replayed, Wal, WalOptions};
use parking_lot::Mutex;

use crate::bulk_files::BulkFiles;
use crate::caches::DocumentCache;
use crate::checkpoint::{Checkpointer, find_kept};
use crate::collections::{Collection, Collections, Readers};
use crate::commit::{BulkFile, EditQueues, Sequencer};
use crate::db::{Counters, Db, DocIndex, Inner};
use crate::error::{Error, Result};
use crate::heal::Healing;
use crate::manifest::{self, MANIFEST, MANIFEST_TEMPORARY, Manifest, ReplaceError, kept};
use crate::options::DbOptions;
use crate::planted::{Bug, is_planted};
use crate::pointer::DocPtr;
use crate::pressure::Pressure;
use crate::random::random_seed;
use crate::record::{self, KIND_COMMIT, OpKind};
use crate::report::RecoveryReport;
use crate::txn::Transactions;
use crate::upkeep::Upkeep;

/// The log's directory within that of its database.
pub(crate) const WAL_DIR: &str = "wal";
/// What a file takes on a disk is a multiple of this.
const BLOCK_BYTES: u64 = 4096;

impl Db {
    /// Opens the database in `dir`. Starts no thread: `driver` is told when the log wants flushing,
    /// and the caller steps [`Db::maintenance_step`].
    ///
    /// Recovery first judges and changes nothing; what it finds damaged is an error, and the
    /// directory is as it was.
    ///
    /// # Errors
    /// `InUse` if another owner has the directory; `Corrupt` naming the file; `UnsupportedVersion`;
    /// `Io`.
    pub fn open_manual(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: DbOptions,
        driver: Arc<dyn FlushDriver>,
    ) -> Result<Db> {
        let started = vfs.now();
        let lock = lock_database(vfs.as_ref(), dir)?;
        let manifest = manifest::read(vfs.as_ref(), dir)?;
        let runs = open_runs(vfs.as_ref(), dir, &manifest)?;
        let store = open_data_files(vfs.as_ref(), dir, &manifest)?;
        let files_time = vfs.now().saturating_sub(started);
        let index_options = IndexOptions {
            shards: options.index_shards,
            hash_seed: random_seed(vfs.as_ref()),
            block_cache_bytes: options.memory_bytes_max.min(options.block_cache_bytes_max),
        };
        let mut replay = Replay {
            index: Index::new(index_options, runs),
            collections: Collections::restore(&manifest.collections, manifest.checkpoint_ts),
            next_collection: manifest.next_collection,
            bulk_files: BulkFiles::default(),
            commits: 0,
        };
        let verdict = Recovery::judge(
            Arc::clone(&vfs),
            &dir.join(WAL_DIR),
            wal_options(&options, &manifest),
            &mut |record| replay.apply(record),
        )?;
        let bulk_files = replay.bulk_files;
        bulk_files.open(vfs.as_ref(), dir, &manifest, &store)?;
        let names = vfs.list(dir)?;
        let kept_max = options.keep_checkpoints.saturating_sub(1);
        let kept = find_kept(vfs.as_ref(), dir, &names, &manifest, kept_max)?;
        let mut files = Files::classify(names, &manifest, &kept, &bulk_files);
        // Judged: from here on files change. What was read may be as fresh as a rename that a killed
        // process did not live to sync: the database's own name, or the manifest. Nothing that builds
        // on them may outlive them: neither new commits, nor the removal of what the manifest before
        // this one names.
        let is_planted = is_planted(Bug::NamesNotPinned);
        if !is_planted {
            vfs.sync_dir(&parent(dir))?;
            vfs.sync_dir(dir)?;
        }
        files.remove_unnamed(vfs.as_ref(), dir, &manifest)?;
        let (wal, wal_report) = verdict.act(driver)?;
        let is_pinned = is_planted || pin(vfs.as_ref(), dir, &manifest, &wal)?;
        if is_pinned {
            files.remove_leftovers(vfs.as_ref(), dir)?;
            wal.retire_below(Lsn(manifest.checkpoint_ts + 1))?;
        }
        let report = RecoveryReport {
            checkpoint_version: manifest.checkpoint_ts,
            commits: replay.commits,
            removed: files.removed,
            foreign: files.foreign,
            files_time,
            total_time: vfs.now().saturating_sub(started),
            wal: wal_report,
        };
        let counters = Counters {
            checkpoint_ts: AtomicU64::new(manifest.checkpoint_ts),
            ..Counters::default()
        };
        let dirty_since = if replay.commits > 0 {
            vfs.now().as_nanos() as u64 + 1
        } else {
            0
        };
        // What was replayed takes as much memory as it took the writer; opened with a smaller budget,
        // the database begins with a checkpoint.
        let mut logged_bytes = report.wal.payload_bytes;
        if replay.index.memory_bytes() as u64 > options.memory_bytes_max / 2 {
            logged_bytes = logged_bytes.max(options.checkpoint_wal_bytes);
        }
        let inner = Inner {
            dir: dir.to_path_buf(),
            documents: DocumentCache::new(&options),
            options,
            lock: Mutex::new(Some(lock)),
            installed_ts: AtomicU64::new(report.wal.last_lsn),
            wal,
            index: replay.index,
            store,
            collections: replay.collections,
            snapshots: SnapshotRegistry::new(),
            transactions: Transactions::default(),
            next_data_file: AtomicU32::new(bulk_files.next_number(manifest.next_data_file)),
            newest_bulk_file: AtomicU32::new(0),
            bulk: Mutex::new(BulkFile::default()),
            edit_queues: EditQueues::default(),
            sequencer: Mutex::new(Sequencer::new(replay.next_collection, bulk_files)),
            checkpointer: Mutex::new(Checkpointer::new(manifest, kept, is_pinned)),
            closed: AtomicBool::new(false),
            poisoned: OnceLock::new(),
            dir_sync: Mutex::new(()),
            admitted_bytes: AtomicU64::new(0),
            permits_given_back: AtomicU64::new(0),
            scan_bytes: AtomicU64::new(0),
            logged_bytes: AtomicU64::new(logged_bytes),
            dirty_since: AtomicU64::new(dirty_since),
            pressure: Pressure::default(),
            upkeep: Upkeep::default(),
            healing: Healing::default(),
            counters,
            report,
            vfs,
        };
        inner.fit_caches(inner.delta_bytes());
        if dirty_since > 0 {
            inner.request_maintenance();
        }
        inner.schedule_scrub();
        let state = inner.checkpointer.lock();
        inner.pin_files(&state);
        inner.count_pinned(&state);
        inner.schedule_upkeep(&state);
        drop(state);
        Ok(Db {
            inner: Arc::new(inner),
            threads: None,
        })
    }
}

/// Locks a database's directory for this owner.
pub(crate) fn lock_database(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn DirLock>> {
    vfs.lock_dir(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::new(
            ErrorKind::InUse,
            format!("{} is in use by another process or handle", dir.display()),
        ),
        _ => error.into(),
    })
}

pub(crate) fn wal_options(options: &DbOptions, manifest: &Manifest) -> WalOptions {
    let mut wal = WalOptions::default();
    wal.durability = options.durability;
    wal.segment_bytes_min = options.segment_bytes_min;
    wal.segment_bytes_max = options.segment_bytes_max;
    wal.bytes_max = Some(options.wal_bytes_max);
    wal.compression = options.wal_compression;
    wal.keep_segments = options.keep_segments;
    wal.wal_id = Some(manifest.wal_id);
    wal.start_lsn = Some(Lsn(manifest.checkpoint_ts + 1));
    wal.proven_lsn = Lsn(manifest.proven_lsn);
    wal.on_progress = options.on_recovery.clone();
    wal
}

pub(crate) fn open_runs(
    vfs: &dyn Vfs,
    dir: &Path,
    manifest: &Manifest,
) -> Result<Vec<Arc<Run<DocPtr>>>> {
    manifest
        .runs
        .iter()
        .map(|entry| {
            let path = dir.join(run_file_name(entry.number));
            must_exist(vfs, &path, "manifest")?;
            let identity = RunIdentity {
                number: entry.number,
                salt: entry.salt,
            };
            Ok(Arc::new(Run::open(vfs, &path, identity)?))
        })
        .collect()
}

pub(crate) fn open_data_files(vfs: &dyn Vfs, dir: &Path, manifest: &Manifest) -> Result<DocStore> {
    let store = DocStore::new();
    for entry in &manifest.data_files {
        let path = dir.join(data_file_name(entry.number));
        must_exist(vfs, &path, "manifest")?;
        let identity = FileIdentity {
            number: entry.number,
            salt: entry.salt,
        };
        store.add(DataFile::open(vfs, &path, identity, entry.durable_bytes)?);
        store.set_live(entry.number, Some(entry.live_bytes));
    }
    Ok(store)
}

pub(crate) fn must_exist(vfs: &dyn Vfs, path: &Path, named_by: &str) -> Result<()> {
    if vfs.exists(path)? {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Corrupt,
        format!("{} is missing, but the {named_by} names it", path.display()),
    ))
}

/// Makes the manifest that was read durable, by writing it anew. A sync alone is not enough: after one
/// that failed in the process before, the kernel may count a rename as synced that never will be, and
/// no later sync writes it. On a full disk the log lends the space; false if that is too little.
fn pin(vfs: &dyn Vfs, dir: &Path, manifest: &Manifest, wal: &Wal) -> Result<bool> {
    let replace = || match manifest::replace(vfs, dir, manifest) {
        Ok(()) => Ok(true),
        Err(ReplaceError::Abandoned(error)) if error.kind() == ErrorKind::DiskFull => Ok(false),
        Err(ReplaceError::Abandoned(error) | ReplaceError::Final(error)) => Err(error),
    };
    if replace()? {
        return Ok(true);
    }
    let bytes = (manifest.encode().len() as u64).next_multiple_of(BLOCK_BYTES);
    wal.lend_space(bytes, replace)?
}

/// What stands in the directory beside what the manifest names.
struct Files {
    /// Files of interrupted checkpoints: ours by name, and in no manifest.
    leftovers: Vec<String>,
    foreign: Vec<String>,
    /// Those of the leftovers that were removed.
    removed: Vec<String>,
}

impl Files {
    fn classify(
        names: Vec<String>,
        manifest: &Manifest,
        earlier: &[Manifest],
        bulk_files: &BulkFiles,
    ) -> Files {
        let manifests = || std::iter::once(manifest).chain(earlier);
        let data: BTreeSet<u32> = manifests()
            .flat_map(|manifest| &manifest.data_files)
            .map(|entry| entry.number)
            .chain(bulk_files.numbers())
            .collect();
        let runs = manifests().flat_map(|manifest| &manifest.runs);
        let runs: BTreeSet<u64> = runs.map(|entry| entry.number).collect();
        let versions = earlier.iter().map(|manifest| manifest.checkpoint_ts);
        let versions: BTreeSet<u64> = versions.collect();
        let mut files = Files {
            leftovers: Vec::new(),
            foreign: Vec::new(),
            removed: Vec::new(),
        };
        for name in names {
            if name == MANIFEST || name == WAL_DIR {
                continue;
            }
            let kept = kept::parse(&name);
            let leftover = match (parse_data_file_name(&name), parse_run_file_name(&name)) {
                (Some(number), _) if data.contains(&number) => continue,
                (_, Some(number)) if runs.contains(&number) => continue,
                _ if kept.is_some_and(|version| versions.contains(&version)) => continue,
                (Some(_), _) | (_, Some(_)) => true,
                _ => name == MANIFEST_TEMPORARY || kept.is_some() || kept::is_temporary(&name),
            };
            if leftover {
                files.leftovers.push(name);
            } else {
                files.foreign.push(name);
            }
        }
        files
    }

    /// Removes what neither this manifest nor the one before it can name: it is newer than both, or was
    /// to become a manifest.
    fn remove_unnamed(&mut self, vfs: &dyn Vfs, dir: &Path, manifest: &Manifest) -> Result<()> {
        let is_unnamed = |name: &mut String| {
            name == MANIFEST_TEMPORARY
                || kept::is_temporary(name)
                || parse_data_file_name(name).is_some_and(|n| n >= manifest.next_data_file)
                || parse_run_file_name(name).is_some_and(|n| n >= manifest.next_run)
        };
        let unnamed: Vec<String> = self.leftovers.extract_if(.., is_unnamed).collect();
        for name in &unnamed {
            vfs.remove_file(&dir.join(name))?;
        }
        if !unnamed.is_empty() {
            vfs.sync_dir(dir)?;
        }
        self.removed.extend(unnamed);
        Ok(())
    }

    /// Removes the rest.
    fn remove_leftovers(&mut self, vfs: &dyn Vfs, dir: &Path) -> Result<()> {
        // A manifest goes before what it names.
        let is_manifest = |name: &mut String| kept::parse(name).is_some();
        let manifests: Vec<String> = self.leftovers.extract_if(.., is_manifest).collect();
        for names in [manifests, std::mem::take(&mut self.leftovers)] {
            for name in &names {
                vfs.remove_file(&dir.join(name))?;
            }
            if !names.is_empty() {
                vfs.sync_dir(dir)?;
            }
            self.removed.extend(names);
        }
        Ok(())
    }
}

/// The state that the log's records are applied to.
struct Replay {
    index: DocIndex,
    collections: Collections,
    next_collection: u32,
    /// The files that large commits since the checkpoint wrote to.
    bulk_files: BulkFiles,
    commits: u64,
}

impl Replay {
    fn apply(&mut self, record: Replayed<'_>) -> std::result::Result<(), String> {
        if record.kind != KIND_COMMIT {
            return Err(format!(
                "record {} is of the unknown kind {}",
                record.lsn, record.kind
            ));
        }
        let ts = CommitTs(record.lsn.0);
        for op in record::decode(record.payload)? {
            match op.kind {
                OpKind::BulkFile => self.bulk_files.note(BulkFiles::decode(&op)?),
                OpKind::Put | OpKind::PutStored | OpKind::Delete => {
                    let collection = self.collections.by_id(op.collection).ok_or_else(|| {
                        format!(
                            "record {ts} writes to the unknown collection {}",
                            op.collection
                        )
                    })?;
                    let (place, change) = match op.kind {
                        OpKind::Delete => (Place::Deleted, -1),
                        OpKind::PutStored => {
                            let pointer = DocPtr::decode(op.body)
                                .filter(|pointer| self.bulk_files.holds(pointer.0))
                                .ok_or_else(|| format!("record {ts} points to nowhere"))?;
                            (Place::Stored(pointer), i64::from(!op.existed))
                        }
                        _ => (Place::Memory(Arc::from(op.body)), i64::from(!op.existed)),
                    };
                    // No snapshot is older than the end of the replay.
                    self.index
                        .install(Key::new(op.collection, op.id), ts, place, &ts.into());
                    let readers = || Readers {
                        visible: ts,
                        held: Vec::new(),
                    };
                    collection.record(ts, change, Some(op.id), &ts.into(), readers);
                }
                OpKind::CreateCollection => {
                    let name = std::str::from_utf8(op.body)
                        .map_err(|_| format!("record {ts} names a collection in no UTF-8"))?;
                    self.collections
                        .add(Collection::new(op.collection, name.to_owned(), ts));
                    self.next_collection = self.next_collection.max(op.collection + 1);
                }
                OpKind::DropCollection => {
                    if let Some(collection) = self.collections.by_id(op.collection) {
                        self.collections.drop_at(&collection, ts);
                    }
                }
            }
        }
        self.commits += 1;
        Ok(())
    }
}

/// The directory that a path is in.
pub(crate) fn parent(dir: &Path) -> PathBuf {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) => PathBuf::from("."),
        None => dir.to_path_buf(),
    }
}

/// The directory in which a database is built before it gets its name.
pub(crate) fn building_dir(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".creating");
    dir.with_file_name(name)
}
