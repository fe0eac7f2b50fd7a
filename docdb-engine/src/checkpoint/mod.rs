//! Checkpoints: what is only in the log and in memory becomes data files and an index run.
//!
//! 1. Under the sequencer: freeze the delta. This is the only pause for writers.
//! 2. Wait until the log is durable up to there. A checkpoint never holds what the log might lose.
//! 3. Append the newest body of every document in the frozen delta to a data file, and write a
//!    sorted run of pointers; sync both, and the directory.
//! 4. Replace the manifest. This is the moment at which the checkpoint counts.
//! 5. Publish: the run takes the frozen delta's place; the log is retired below.
//!
//! A crash before 4 leaves files that no manifest names, which the next open removes. A failure
//! before 4 abandons the files; the delta stays frozen and readable, and the next attempt writes new
//! ones. A failure in 4 leaves it open which manifest stands, and poisons the database.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use docdb_datafile::{DataFile, DataFileWriter, FileIdentity, FrameId, data_file_name};
use docdb_index::{Delta, Place, Run, RunIdentity, RunWriter, merge_runs, run_file_name};
use docdb_mvcc::CommitTs;
use docdb_wal::Lsn;

use crate::bulk_files::BulkFiles;
use crate::db::{Db, Inner, poisoned};
use crate::error::{Error, Result};
use crate::manifest::{self, CollectionEntry, DataFileEntry, Manifest, ReplaceError, RunEntry};
use crate::planted::{Bug, is_planted};
use crate::pointer::DocPtr;
use crate::random::random_salt;

/// After a failed checkpoint the next one is due when this has passed.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Documents taken from the frozen delta at a time.
const CHUNK_ITEMS: usize = 1024;

/// What checkpoints go on from. Only the holder of its lock changes the manifest.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    pub(crate) manifest: Manifest,
    /// The data file that checkpoints append to; `None` after an error, and at first.
    writer: Option<DataFileWriter>,
    /// A delta that is frozen and not published, and what was true when it was frozen.
    pending: Option<Pending>,
    /// The data files that this attempt of a checkpoint has created.
    created: Vec<u32>,
    /// The data file in the manifest that checkpoints append to, if there is one.
    appended: Option<u32>,
    /// An error has left that data file in doubt behind its durable length: nothing is appended
    /// to it any more.
    data_file_in_doubt: bool,
    /// The last checkpoint was taken, or tried, by the close.
    pub(crate) is_closed: bool,
}

#[derive(Debug, Clone)]
struct Pending {
    ts: CommitTs,
    collections: Vec<CollectionEntry>,
    next_collection: u32,
    /// What large commits have written to since the checkpoint before.
    bulk_files: BulkFiles,
}

/// What a checkpoint did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointReport {
    /// Every commit up to this version is in the data files.
    pub version: u64,
    /// Documents written.
    pub documents: u64,
    /// Deletions written.
    pub deletions: u64,
    /// Bytes of the documents.
    pub bytes: u64,
    /// How long it took.
    pub time: Duration,
}

impl Checkpointer {
    pub(crate) fn new(manifest: Manifest) -> Checkpointer {
        let appended = manifest.data_files.last().map(|entry| entry.number);
        Checkpointer {
            manifest,
            writer: None,
            pending: None,
            created: Vec::new(),
            appended,
            data_file_in_doubt: false,
            is_closed: false,
        }
    }
}

impl Checkpointer {
    fn appended_file(&self) -> Option<&DataFileEntry> {
        let number = self.appended?;
        self.manifest.data_files.iter().find(|e| e.number == number)
    }
}

impl Db {
    /// Takes a checkpoint now. Writers and readers go on meanwhile.
    ///
    /// # Errors
    /// `DiskFull` or `Io`: nothing is lost, the log is kept and a later call tries again;
    /// `Poisoned`; `Closed`.
    pub fn checkpoint(&self) -> Result<CheckpointReport> {
        self.inner.checkpoint()
    }
}

impl Inner {
    pub(crate) fn checkpoint_is_due(&self, now: Duration) -> bool {
        if self.poisoned.get().is_some() || self.wal.poisoned().is_some() {
            return false;
        }
        let old = self
            .dirty_since()
            .is_some_and(|since| now >= since + self.options.checkpoint_interval);
        old || self.logged_bytes.load(Ordering::Relaxed) >= self.options.checkpoint_wal_bytes
    }

    pub(crate) fn checkpoint(&self) -> Result<CheckpointReport> {
        let mut state = self.checkpointer.lock();
        // Asked under the lock: once the database is closed, its directory may be another owner's.
        self.check_open()?;
        self.checkpoint_with(&mut state)
    }

    /// Takes a checkpoint. The caller has made sure, holding the lock, that the directory is still
    /// this database's.
    pub(crate) fn checkpoint_with(&self, state: &mut Checkpointer) -> Result<CheckpointReport> {
        if let Some(cause) = self.poisoned.get() {
            return Err(poisoned(cause));
        }
        if let Some(error) = self.wal.poisoned() {
            return Err(error.into());
        }
        // What an attempt that failed has frozen is older than what was committed since.
        let is_retry = state.pending.is_some();
        let next_run = state.manifest.next_run;
        state.created.clear();
        let mut outcome = self.checkpoint_once(state);
        if is_retry && outcome.is_ok() {
            outcome = self.checkpoint_once(state);
        }
        if outcome.is_err() {
            self.abandon(state, next_run);
            self.retry_later();
        }
        outcome
    }

    /// Gives back the space of what was written since these numbers and is in no manifest: a full disk
    /// must not fill up with failed attempts. What cannot be removed now, the next open removes.
    fn abandon(&self, state: &Checkpointer, run: u64) {
        if self.poisoned.get().is_some() {
            // Which manifest stands is not known, so neither is what it names.
            return;
        }
        let (vfs, manifest) = (self.vfs.as_ref(), &state.manifest);
        let created = state.created.iter().copied();
        let data_files = created
            .filter(|number| manifest.data_files.iter().all(|e| e.number != *number))
            .map(data_file_name);
        let runs = (run..manifest.next_run)
            .filter(|number| manifest.runs.iter().all(|e| e.number != *number))
            .map(run_file_name);
        for name in data_files.chain(runs) {
            let _ = vfs.remove_file(&self.dir.join(name));
        }
        if state.data_file_in_doubt
            && let Some(entry) = state.appended_file()
        {
            let _ = self.append_to(entry);
        }
    }

    /// Has a checkpoint that failed tried again, also if nobody writes any more.
    fn retry_later(&self) {
        let interval = self.options.checkpoint_interval;
        let due = self.vfs.now() + RETRY_AFTER.min(interval);
        let since = due.saturating_sub(interval);
        let nanos = since.as_nanos() as u64 + 1;
        self.dirty_since.store(nanos, Ordering::Release);
        self.request_maintenance();
    }

    fn checkpoint_once(&self, state: &mut Checkpointer) -> Result<CheckpointReport> {
        let started = self.vfs.now();
        let (frozen, pending) = self.freeze(state)?;
        let unchanged = frozen.is_empty() && pending.ts.0 == state.manifest.checkpoint_ts;
        let mut report = CheckpointReport {
            version: pending.ts.0,
            ..Default::default()
        };
        if unchanged {
            self.index.publish(None, pending.ts)?;
            state.pending = None;
        } else {
            if !is_planted(Bug::ManifestBeforeLog) {
                self.wal.wait_durable(Lsn(pending.ts.0))?;
            }
            // Until a manifest says how much of it counts.
            let was_in_doubt = std::mem::replace(&mut state.data_file_in_doubt, true);
            let continued = match state.writer.take() {
                _ if was_in_doubt => None,
                Some(writer) => Some(writer),
                None => self.continue_data_file(state)?,
            };
            let files = self.write_files(state, continued, &frozen, pending.ts, &mut report)?;
            let mut manifest = state.manifest.clone();
            pending.bulk_files.enter(&mut manifest);
            files.enter(&mut manifest);
            // Also those of large commits that this checkpoint does not cover.
            manifest.next_data_file = self.next_data_file.load(Ordering::Relaxed);
            manifest.edit += 1;
            manifest.checkpoint_ts = pending.ts.0;
            manifest.proven_lsn = pending.ts.0;
            manifest.collections = pending.collections;
            manifest.next_collection = pending.next_collection;
            self.replace_manifest(state, manifest)?;
            state.data_file_in_doubt = was_in_doubt && files.data.is_none();
            if let Some((entry, path)) = files.data {
                state.appended = Some(entry.number);
                self.adopt_data_file(entry, path)?;
            }
            self.index
                .publish(files.run.map(|(_, run)| run), pending.ts)?;
            state.pending = None;
            self.counters
                .checkpoint_ts
                .store(pending.ts.0, Ordering::Relaxed);
            self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        }
        self.release();
        self.wal.retire_below(Lsn(pending.ts.0 + 1))?;
        self.merge_if_many(state)?;
        report.time = self.vfs.now().saturating_sub(started);
        self.counters
            .last_checkpoint_nanos
            .store(report.time.as_nanos() as u64, Ordering::Relaxed);
        Ok(report)
    }

    /// The frozen delta: that of an attempt that failed, or everything installed so far.
    fn freeze(&self, state: &mut Checkpointer) -> Result<(Arc<FrozenDelta>, Pending)> {
        if let (Some(frozen), Some(pending)) = (self.index.frozen(), &state.pending) {
            return Ok((frozen, pending.clone()));
        }
        let mut sequencer = self.sequencer.lock();
        let frozen = self.index.freeze()?;
        let pending = Pending {
            ts: CommitTs(self.installed_ts.load(Ordering::Acquire)),
            collections: self.collections.entries(),
            next_collection: sequencer.next_collection,
            bulk_files: std::mem::take(&mut sequencer.bulk_files),
        };
        state.pending = Some(pending.clone());
        self.logged_bytes.store(0, Ordering::Relaxed);
        self.dirty_since.store(0, Ordering::Release);
        Ok((frozen, pending))
    }

    fn write_files(
        &self,
        state: &mut Checkpointer,
        mut data: Option<DataFileWriter>,
        frozen: &FrozenDelta,
        ts: CommitTs,
        report: &mut CheckpointReport,
    ) -> Result<NewFiles> {
        let mut run: Option<RunWriter<DocPtr>> = None;
        let has_older = !state.manifest.runs.is_empty();
        let mut source = frozen.sorted_newest(ts);
        loop {
            let chunk = source.next_chunk(CHUNK_ITEMS)?;
            if chunk.is_empty() {
                break;
            }
            for (key, version) in chunk {
                let Some(collection) = self.collections.by_id(key.collection) else {
                    continue;
                };
                if collection.dropped().is_some_and(|dropped| dropped <= ts) {
                    continue;
                }
                let frame = FrameId {
                    collection: key.collection,
                    id: key.id,
                    version: version.ts.0,
                };
                let pointer = match &version.place {
                    Place::Deleted if !has_older => continue,
                    Place::Deleted => {
                        self.data_writer(state, &mut data)?
                            .append_tombstone(&frame)?;
                        report.deletions += 1;
                        None
                    }
                    Place::Memory(body) => {
                        let pointer = self.data_writer(state, &mut data)?.append(&frame, body)?;
                        report.documents += 1;
                        report.bytes += body.len() as u64;
                        Some(DocPtr(pointer))
                    }
                    Place::Stored(pointer) => Some(*pointer),
                };
                let run = match &mut run {
                    Some(run) => run,
                    None => run.insert(self.new_run(state)?),
                };
                run.push(key, version.ts, pointer)?;
            }
        }
        let mut files = NewFiles::default();
        if let Some(mut writer) = data {
            let durable_bytes = writer.sync()?;
            let FileIdentity { number, salt } = writer.identity();
            let entry = DataFileEntry::new(number, salt, durable_bytes);
            let path = self.dir.join(data_file_name(number));
            files.data = Some((entry, path));
            if durable_bytes < self.options.data_file_bytes_max {
                state.writer = Some(writer);
            }
        }
        if let Some(writer) = run {
            files.run = Some(self.finish_run(writer)?);
        }
        self.vfs.sync_dir(&self.dir)?;
        Ok(files)
    }

    fn data_writer<'a>(
        &self,
        state: &mut Checkpointer,
        data: &'a mut Option<DataFileWriter>,
    ) -> Result<&'a mut DataFileWriter> {
        match data {
            Some(writer) => Ok(writer),
            None => {
                let number = self.take_data_file_number();
                state.created.push(number);
                let identity = FileIdentity {
                    number,
                    salt: random_salt(self.vfs.as_ref()),
                };
                let path = self.dir.join(data_file_name(number));
                Ok(data.insert(DataFileWriter::create(self.vfs.as_ref(), &path, identity)?))
            }
        }
    }

    /// The last data file, if it takes more.
    fn continue_data_file(&self, state: &Checkpointer) -> Result<Option<DataFileWriter>> {
        match state.appended_file() {
            Some(entry) if entry.durable_bytes < self.options.data_file_bytes_max => {
                self.append_to(entry).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A writer behind the durable end of a data file; what lies beyond is cut off.
    fn append_to(&self, entry: &DataFileEntry) -> Result<DataFileWriter> {
        let identity = FileIdentity {
            number: entry.number,
            salt: entry.salt,
        };
        let path = self.dir.join(data_file_name(entry.number));
        let vfs = self.vfs.as_ref();
        let writer = DataFileWriter::append_to(vfs, &path, identity, entry.durable_bytes)?;
        Ok(writer)
    }

    fn new_run(&self, state: &mut Checkpointer) -> Result<RunWriter<DocPtr>> {
        let number = state.manifest.next_run;
        state.manifest.next_run += 1;
        let identity = RunIdentity {
            number,
            salt: random_salt(self.vfs.as_ref()),
        };
        let path = self.dir.join(run_file_name(number));
        Ok(RunWriter::create(self.vfs.as_ref(), &path, identity)?)
    }

    fn finish_run(&self, writer: RunWriter<DocPtr>) -> Result<(RunEntry, Arc<Run<DocPtr>>)> {
        let identity = writer.identity();
        let path = writer.path().to_path_buf();
        writer.finish()?;
        let run = Run::open(self.vfs.as_ref(), &path, identity)?;
        Ok((
            RunEntry {
                number: identity.number,
                salt: identity.salt,
            },
            Arc::new(run),
        ))
    }

    fn adopt_data_file(&self, entry: DataFileEntry, path: PathBuf) -> Result<()> {
        match self.store.get(entry.number) {
            Some(file) => file.extend(entry.durable_bytes),
            None => {
                let identity = FileIdentity {
                    number: entry.number,
                    salt: entry.salt,
                };
                let vfs = self.vfs.as_ref();
                self.store
                    .add(DataFile::open(vfs, &path, identity, entry.durable_bytes)?);
            }
        }
        Ok(())
    }

    fn replace_manifest(&self, state: &mut Checkpointer, manifest: Manifest) -> Result<()> {
        match manifest::replace(self.vfs.as_ref(), &self.dir, &manifest) {
            Ok(()) => {
                state.manifest = manifest;
                Ok(())
            }
            Err(ReplaceError::Abandoned(error)) => {
                // The data file's new end is not in the manifest.
                state.writer = None;
                Err(error)
            }
            Err(ReplaceError::Final(error)) => Err(self.poison(error)),
        }
    }

    fn poison(&self, cause: Error) -> Error {
        let _ = self.poisoned.set(cause.clone());
        poisoned(&cause)
    }

    /// Frees what no snapshot needs any more.
    pub(crate) fn release(&self) {
        let oldest = self.snapshots.oldest(|| self.visible());
        self.index.release_retired(oldest);
        self.collections.forget_dropped(oldest);
    }

    /// Merges all runs into one when there are too many.
    fn merge_if_many(&self, state: &mut Checkpointer) -> Result<()> {
        let runs = self.index.runs();
        if runs.len() <= self.options.runs_max {
            return Ok(());
        }
        let bound = CommitTs(state.manifest.checkpoint_ts);
        let mut writer = self.new_run(state)?;
        // All runs take part, so a deletion has nothing left to hide.
        merge_runs(&runs, &mut writer, true, |key| {
            self.collections
                .by_id(key.collection)
                .is_some_and(|c| c.dropped().is_none_or(|dropped| dropped > bound))
        })?;
        let (entry, run) = self.finish_run(writer)?;
        self.vfs.sync_dir(&self.dir)?;
        let mut manifest = state.manifest.clone();
        manifest.edit += 1;
        manifest.runs = vec![entry];
        self.replace_manifest(state, manifest)?;
        let old: Vec<u64> = runs.iter().map(|run| run.identity().number).collect();
        self.index.replace_runs(&old, Some(run), bound)?;
        // Whoever reads one of them has it open. What cannot be removed now is removed by the next
        // open.
        for number in old {
            let _ = self.vfs.remove_file(&self.dir.join(run_file_name(number)));
        }
        self.release();
        Ok(())
    }
}

type FrozenDelta = Delta<Arc<[u8]>, DocPtr>;

/// The files that a checkpoint has written and synced.
#[derive(Default)]
struct NewFiles {
    data: Option<(DataFileEntry, PathBuf)>,
    run: Option<(RunEntry, Arc<Run<DocPtr>>)>,
}

impl NewFiles {
    fn enter(&self, manifest: &mut Manifest) {
        if let Some((entry, _)) = &self.data {
            manifest.enter_data_file(*entry);
        }
        if let Some((entry, _)) = &self.run {
            manifest.runs.insert(0, *entry);
        }
    }
}
