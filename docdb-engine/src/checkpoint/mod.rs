//! Checkpoints: what is only in the log and in memory becomes data files and an index run.
//!
//! 1. Under the sequencer: freeze the delta. This is the only pause for writers.
//! 2. Wait until the log is durable up to there. A checkpoint never holds what the log might lose.
//! 3. Append the newest body of every document in the frozen delta to a data file, and write a
//!    sorted run of pointers; sync both, and the directory. Look up which frames of older versions
//!    are dead from now on.
//! 4. Replace the manifest. This is the moment at which the checkpoint counts.
//! 5. Publish: the run takes the frozen delta's place; the log is retired below.
//!
//! A crash before 4 leaves files that no manifest names, which the next open removes. A failure
//! before 4 abandons the files; the delta stays frozen and readable, and the next attempt writes new
//! ones. A failure in 4 leaves it open which manifest stands, and poisons the database. Nothing after
//! 4 can fail in a way that would leave the files and the memory apart.

mod keep;
mod write;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use docdb_datafile::{DataFileWriter, data_file_name, parse_data_file_name};
use docdb_index::{Delta, parse_run_file_name};
use docdb_mvcc::CommitTs;
use docdb_wal::Lsn;

use crate::bulk_files::BulkFiles;
use crate::db::{Db, Inner, poisoned};
use crate::error::Result;
use crate::manifest::{CollectionEntry, DataFileEntry, Manifest};
use crate::planted::{Bug, is_planted};
use crate::pointer::DocPtr;
use crate::publish::identity_of;

pub(crate) use keep::find as find_kept;

/// After a failed checkpoint the next one is due when this has passed.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What checkpoints go on from. Only the holder of its lock changes the manifest, and it does so
/// together with the index's runs and the data files, so that these are then what the manifest says.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    pub(crate) manifest: Manifest,
    /// The data file that checkpoints append to; `None` after an error, and at first.
    pub(crate) writer: Option<DataFileWriter>,
    /// A delta that is frozen and not published, and what was true when it was frozen.
    pending: Option<Pending>,
    /// An error has left the data file that is appended to in doubt behind its durable length:
    /// nothing is appended to it any more.
    data_file_in_doubt: bool,
    /// The files that the current attempt has created, by name.
    created: Vec<String>,
    /// Those of earlier checkpoints that are kept, oldest first.
    pub(crate) kept: Vec<Manifest>,
    /// The one whose files are being copied into a backup.
    pub(crate) backed_up: Option<Manifest>,
    /// The manifest is known to be durable. If it is not, what the one before it needs stays: its
    /// files, and the log.
    pub(crate) is_pinned: bool,
    /// The last checkpoint was taken, or tried, by the close.
    pub(crate) is_closed: bool,
}

#[derive(Debug, Clone)]
struct Pending {
    ts: CommitTs,
    /// Those that exist at `ts`, by number.
    collections: Vec<CollectionEntry>,
    next_collection: u32,
    /// What large commits have written to since the checkpoint before.
    bulk_files: BulkFiles,
}

impl Pending {
    fn has_collection(&self, id: u32) -> bool {
        self.collections
            .binary_search_by_key(&id, |entry| entry.id)
            .is_ok()
    }
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
    pub(crate) fn new(manifest: Manifest, kept: Vec<Manifest>, is_pinned: bool) -> Checkpointer {
        Checkpointer {
            manifest,
            kept,
            backed_up: None,
            is_pinned,
            writer: None,
            pending: None,
            data_file_in_doubt: false,
            created: Vec::new(),
            is_closed: false,
        }
    }
}

impl Checkpointer {
    /// Whether what large commits have written to this data file is not in a checkpoint yet.
    pub(crate) fn has_pending_bulk(&self, number: u32) -> bool {
        let pending = self.pending.as_ref();
        pending.is_some_and(|pending| pending.bulk_files.numbers().any(|n| n == number))
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
            || self.is_pressing(now)
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
        state.created.clear();
        // What an attempt that failed has frozen is older than what was committed since.
        let is_retry = state.pending.is_some();
        let mut outcome = self.checkpoint_once(state);
        if is_retry && outcome.is_ok() {
            outcome = self.checkpoint_once(state);
        }
        if outcome.is_err() {
            self.abandon(state);
            self.retry_later();
        }
        self.schedule_upkeep(state);
        outcome
    }

    /// Gives back the space of what was written and is in no manifest: a full disk must not fill up
    /// with failed attempts. What cannot be removed now, the next open removes.
    fn abandon(&self, state: &mut Checkpointer) {
        if self.poisoned.get().is_some() {
            // Which manifest stands is not known, so neither is what it names.
            return;
        }
        // Also what was to be kept and is not.
        self.pin_files(state);
        let manifest = &state.manifest;
        for name in state.created.drain(..) {
            let data = parse_data_file_name(&name);
            let run = parse_run_file_name(&name);
            let is_named = data.is_some_and(|number| manifest.names_data_file(number))
                || run.is_some_and(|number| manifest.names_run(number));
            if !is_named {
                let _ = self.vfs.remove_file(&self.dir.join(name));
            }
        }
        if state.data_file_in_doubt
            && let Some(entry) = manifest.append_entry()
        {
            let _ = self.append_to(entry);
        }
    }

    /// Has a checkpoint that failed tried again, also if nobody writes any more.
    fn retry_later(&self) {
        let interval = self.options.checkpoint_interval;
        let due = self.vfs.now() + RETRY_AFTER.min(interval);
        self.pressure.retry_at(due);
        let since = due.saturating_sub(interval);
        let nanos = since.as_nanos() as u64 + 1;
        self.dirty_since.store(nanos, Ordering::Release);
        self.request_maintenance();
    }

    fn checkpoint_once(&self, state: &mut Checkpointer) -> Result<CheckpointReport> {
        let outcome = self.try_checkpoint(state);
        self.counters.checkpoint_todo.store(0, Ordering::Relaxed);
        self.counters.checkpoint_done.store(0, Ordering::Relaxed);
        outcome
    }

    fn try_checkpoint(&self, state: &mut Checkpointer) -> Result<CheckpointReport> {
        let outcome = self.write_checkpoint(state);
        let (is_ok, budget) = (outcome.is_ok(), self.options.memory_bytes_max);
        self.pressure.end(is_ok, budget, self.vfs.now());
        outcome
    }

    fn write_checkpoint(&self, state: &mut Checkpointer) -> Result<CheckpointReport> {
        let started = self.vfs.now();
        let (frozen, pending) = self.freeze(state)?;
        self.pressure.begin(frozen.bytes() as u64, started);
        let unchanged = frozen.is_empty() && pending.ts.0 == state.manifest.checkpoint_ts;
        let mut report = CheckpointReport {
            version: pending.ts.0,
            ..Default::default()
        };
        if unchanged {
            if !state.is_pinned {
                self.replace_manifest(state, state.manifest.clone())?;
            }
            self.documents.supersede(&frozen);
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
                None => self.continue_data_file(&state.manifest)?,
            };
            let written = self.write_files(state, continued, &frozen, &pending, &mut report)?;
            let mut manifest = state.manifest.clone();
            pending.bulk_files.enter(&mut manifest);
            written.enter(&mut manifest, &self.options);
            manifest.checkpoint_ts = pending.ts.0;
            manifest.proven_lsn = pending.ts.0;
            manifest.collections = pending.collections;
            manifest.next_collection = pending.next_collection;
            let earlier = self.keep_manifest(state)?;
            self.replace_manifest(state, manifest)?;
            state.kept.extend(earlier);
            state.data_file_in_doubt = was_in_doubt && written.data.is_none();
            if let Some(data) = written.data {
                let goes_on = state.manifest.append_file.is_some();
                state.writer = data.writer.filter(|_| goes_on);
                self.adopt(data.entry, data.opened);
            }
            self.note_live(&state.manifest);
            self.documents.supersede(&frozen);
            self.index
                .publish(written.run.map(|(_, run)| run), pending.ts)?;
            state.pending = None;
            self.counters
                .checkpoint_ts
                .store(pending.ts.0, Ordering::Relaxed);
            self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        }
        self.let_go(state)?;
        self.release();
        self.wal.retire_below(Lsn(pending.ts.0 + 1))?;
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

    /// The data file that checkpoints append to, if it takes more.
    fn continue_data_file(&self, manifest: &Manifest) -> Result<Option<DataFileWriter>> {
        match manifest.append_entry() {
            Some(entry) if entry.durable_bytes < self.options.data_file_bytes_max => {
                self.append_to(entry).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A writer behind the durable end of a data file; what lies beyond is cut off.
    pub(crate) fn append_to(&self, entry: &DataFileEntry) -> Result<DataFileWriter> {
        let path = self.dir.join(data_file_name(entry.number));
        let vfs = self.vfs.as_ref();
        let writer =
            DataFileWriter::append_to(vfs, &path, identity_of(entry), entry.durable_bytes)?;
        Ok(writer)
    }
}

pub(crate) type FrozenDelta = Delta<Arc<[u8]>, DocPtr>;
