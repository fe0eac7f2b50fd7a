//! One database: its parts, and the watermarks that tie them together.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use docdb_datafile::DocStore;
use docdb_index::Index;
use docdb_mvcc::{CommitTs, Horizon, Snapshot, SnapshotRegistry};
use docdb_types::ErrorKind;
use docdb_vfs::{DirLock, Vfs};
use docdb_wal::{Lsn, Wal};
use parking_lot::Mutex;

use crate::caches::DocumentCache;
use crate::checkpoint::Checkpointer;
use crate::collections::{Collections, Readers};
use crate::commit::{BulkFile, EditQueues, Sequencer};
use crate::driver::OwnThreads;
use crate::error::{Error, Result};
use crate::heal::Healing;
use crate::options::DbOptions;
use crate::planted::{Bug, is_planted};
use crate::pointer::DocPtr;
use crate::pressure::Pressure;
use crate::report::RecoveryReport;
use crate::stats::DbStats;
use crate::txn::Transactions;
use crate::upkeep::Upkeep;

/// An open database. Handles are cheap to clone and shared between threads.
#[derive(Clone)]
pub struct Db {
    /// Set if the database runs its own background work; closes the database with the last handle,
    /// and so is dropped before `inner`.
    pub(crate) threads: Option<Arc<OwnThreads>>,
    pub(crate) inner: Arc<Inner>,
}

pub(crate) type DocIndex = Index<Arc<[u8]>, DocPtr>;

/// Invariants:
/// - every commit is one log record, and the commit's number is the record's LSN;
/// - a commit is visible when it is acknowledged, as far as the database's mode asks for, and
///   completely installed: `visible_ts = min(acknowledged_lsn, installed_ts)`;
/// - only the holder of `sequencer` appends to the log and installs, so both happen in commit order.
///
/// Lock order: `edit_queues`; that of `upkeep`, `checkpointer` or `bulk`, then `sequencer`, then the log's and the
/// index's own.
pub(crate) struct Inner {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: DbOptions,
    pub(crate) lock: Mutex<Option<Box<dyn DirLock>>>,
    pub(crate) wal: Wal,
    pub(crate) index: DocIndex,
    pub(crate) store: DocStore,
    pub(crate) documents: DocumentCache,
    pub(crate) collections: Collections,
    pub(crate) snapshots: SnapshotRegistry,
    pub(crate) transactions: Transactions,
    pub(crate) installed_ts: AtomicU64,
    /// The file that large commits write to; the holder is the one whose turn it is.
    pub(crate) bulk: Mutex<BulkFile>,
    /// The last file that `bulk` has begun; 0 if it has not. Changed when no large commit but the one
    /// whose turn it is has yet to be sequenced.
    pub(crate) newest_bulk_file: AtomicU32,
    /// The number of the next data file, whoever creates it.
    pub(crate) next_data_file: AtomicU32,
    /// Held by edits of much contended documents, before anything else.
    pub(crate) edit_queues: EditQueues,
    pub(crate) sequencer: Mutex<Sequencer>,
    pub(crate) checkpointer: Mutex<Checkpointer>,
    pub(crate) closed: AtomicBool,
    /// What ended the writing: a failed replacement of the manifest, so that the files on the device
    /// are in doubt, or a panic inside a commit.
    pub(crate) poisoned: OnceLock<Error>,
    /// Held while the database's directory is synced; see [`Inner::sync_dir`].
    pub(crate) dir_sync: Mutex<()>,
    /// Memory that commits under way have asked for, in bytes.
    pub(crate) admitted_bytes: AtomicU64,
    /// How often permits of commits were given back.
    pub(crate) permits_given_back: AtomicU64,
    /// Memory that the windows of open scans take, in bytes.
    pub(crate) scan_bytes: AtomicU64,
    /// Bytes of commits since the last checkpoint began.
    pub(crate) logged_bytes: AtomicU64,
    /// When the first of them was logged, in nanoseconds of the clock plus 1; 0 if there is none.
    pub(crate) dirty_since: AtomicU64,
    pub(crate) pressure: Pressure,
    pub(crate) upkeep: Upkeep,
    pub(crate) healing: Healing,
    pub(crate) counters: Counters,
    pub(crate) report: RecoveryReport,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) checkpoint_ts: AtomicU64,
    pub(crate) last_checkpoint_nanos: AtomicU64,
    /// How far the checkpoint under way has come, in documents, and how many it has to write.
    pub(crate) checkpoint_done: AtomicU64,
    pub(crate) checkpoint_todo: AtomicU64,
    /// How often a checkpoint found an old run damaged where it looked for what died.
    pub(crate) unaccounted: AtomicU64,
    pub(crate) merges: AtomicU64,
    /// The checkpoints that are kept, the newest included, and the bytes that only earlier ones take.
    pub(crate) checkpoints_kept: AtomicU64,
    pub(crate) pinned_bytes: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) compacted_bytes: AtomicU64,
    pub(crate) documents_moved: AtomicU64,
    /// How long the steps of the compaction under way have taken.
    pub(crate) compaction_nanos: AtomicU64,
    pub(crate) last_compaction_nanos: AtomicU64,
}

impl Inner {
    /// A number for a new data file. One that no manifest ever names is not used again in this run.
    pub(crate) fn take_data_file_number(&self) -> u32 {
        self.next_data_file.fetch_add(1, Ordering::Relaxed)
    }

    /// The newest commit that readers see.
    pub(crate) fn visible(&self) -> CommitTs {
        // Installed first: what is read second can only have grown, and the minimum stays true.
        let installed = self.installed_ts.load(Ordering::Acquire);
        let acknowledged = self.wal.acknowledged_lsn().0;
        if is_planted(Bug::VisibleBeforeDurable) {
            return CommitTs(installed);
        }
        if is_planted(Bug::VisibleBeforeInstalled) {
            return CommitTs(acknowledged);
        }
        CommitTs(installed.min(acknowledged))
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.snapshots.register(self.vfs.now(), || self.visible())
    }

    /// What somebody reads at or may begin to read at.
    pub(crate) fn horizon(&self) -> Horizon {
        if is_planted(Bug::CollectedThoughHeld) {
            return self.visible().into();
        }
        self.snapshots.horizon(|| self.visible())
    }

    /// As `horizon`, all of it.
    pub(crate) fn readers(&self) -> Readers {
        let visible = self.visible();
        let held = self.snapshots.timestamps();
        Readers { visible, held }
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            Err(Error::closed())
        } else {
            Ok(())
        }
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        match self.poisoned.get() {
            Some(cause) => Err(poisoned(cause)),
            None => Ok(()),
        }
    }

    /// The bytes of what no checkpoint has written yet, and of open transactions.
    pub(crate) fn delta_bytes(&self) -> u64 {
        self.index.delta_bytes() as u64 + self.transactions.bytes.load(Ordering::Relaxed)
    }

    /// When the oldest change that is only in the log was made.
    pub(crate) fn dirty_since(&self) -> Option<Duration> {
        match self.dirty_since.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos - 1)),
        }
    }

    /// Frees what no snapshot needs any more.
    pub(crate) fn release(&self) {
        let horizon = self.horizon();
        let oldest = horizon.oldest();
        self.index.release_retired(&horizon);
        self.collections.forget_dropped(oldest);
        self.release_files(oldest);
        self.fit_caches(self.delta_bytes() + self.admitted_bytes.load(Ordering::Relaxed));
    }

    pub(crate) fn request_maintenance(&self) {
        if let Some(maintainer) = &self.options.maintainer {
            maintainer.request();
        }
    }
}

/// The answer to writes after the database's writing has ended.
pub(crate) fn poisoned(cause: &Error) -> Error {
    Error::new(
        ErrorKind::Poisoned,
        format!("the database accepts no writes since a write failed: {cause}; open it again"),
    )
}

impl Db {
    /// What opening the database found and did.
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.inner.report
    }

    /// The database's log.
    pub fn wal(&self) -> &Wal {
        &self.inner.wal
    }

    /// The newest version that readers see.
    pub fn visible_version(&self) -> u64 {
        self.inner.visible().0
    }

    /// Does what is due: ends unused snapshots, frees what only they kept, prepares the log's next
    /// segment, takes a checkpoint if enough has been logged or the oldest change that is only in the
    /// log is old enough, and takes one step, of a few MiB, of merging runs and compacting data files.
    /// Returns whether a checkpoint or such a step was taken.
    ///
    /// # Errors
    /// Those of [`Db::checkpoint`]; of merging and compacting `DiskFull`, `Io`, and `Corrupt` naming a
    /// file. What failed is tried again later; until then everything is as it was.
    pub fn maintenance_step(&self) -> Result<bool> {
        let inner = &self.inner;
        inner.check_open()?;
        let now = inner.vfs.now();
        inner.sweep(now);
        inner.release();
        inner.wal.run_steps();
        let checkpoint = if inner.checkpoint_is_due(now) {
            inner.checkpoint().map(|_| true)
        } else {
            Ok(false)
        };
        if checkpoint
            .as_ref()
            .is_err_and(|e| e.kind() == ErrorKind::Poisoned)
        {
            return checkpoint;
        }
        // Also after a checkpoint that failed: it may be this that frees the space.
        let upkeep = inner.upkeep_if_due();
        let is_writable = inner.poisoned.get().is_none() && inner.wal.poisoned().is_none();
        let healed = match is_writable {
            true => inner.heal_queued_if_due(),
            false => Ok(false),
        };
        let scrubbed = match is_writable {
            true => inner.scrub_if_due(),
            false => Ok(false),
        };
        Ok(checkpoint? | upkeep? | healed? | scrubbed?)
    }

    /// The time, by the clock of the file system seam, at which [`Db::maintenance_step`] has something
    /// to do; `None` if nothing is to come before the next write.
    pub fn maintenance_due(&self) -> Option<Duration> {
        let inner = &self.inner;
        if inner.closed.load(Ordering::Acquire)
            || inner.poisoned.get().is_some()
            || inner.wal.poisoned().is_some()
        {
            return None;
        }
        if inner.logged_bytes.load(Ordering::Relaxed) >= inner.options.checkpoint_wal_bytes
            || inner.is_pressing(inner.vfs.now())
        {
            return Some(Duration::ZERO);
        }
        let checkpoint = inner
            .dirty_since()
            .map(|since| since + inner.options.checkpoint_interval);
        let expiry = inner.snapshots.next_expiry(
            inner.options.snapshot_idle_max,
            inner.options.snapshot_age_max,
        );
        let due = [
            checkpoint,
            expiry,
            inner.sweep_due(),
            inner.upkeep.due(),
            inner.healing.due(),
        ];
        due.into_iter().flatten().min()
    }

    /// Figures of the database.
    pub fn stats(&self) -> DbStats {
        let inner = &self.inner;
        // Held while it is counted at.
        let snapshot = inner.snapshot();
        let visible = snapshot.ts();
        let collections = inner.collections.list_at(visible);
        let documents = collections.iter().map(|c| c.count_at(visible)).sum();
        drop(snapshot);
        let index = inner.index.stats();
        let mut files = inner.store.files();
        files.retain(|file| file.live_bytes.is_some());
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let wal = inner.wal.stats();
        let (delayed, delayed_time) = inner.pressure.delayed();
        DbStats {
            documents,
            collections: collections.len() as u64,
            commits: inner.counters.commits.load(Ordering::Relaxed),
            refused: inner.counters.refused.load(Ordering::Relaxed),
            delayed,
            delayed_time,
            visible_version: visible.0,
            checkpoint_version: inner.counters.checkpoint_ts.load(Ordering::Relaxed),
            checkpoints: inner.counters.checkpoints.load(Ordering::Relaxed),
            checkpoint_done: load(&inner.counters.checkpoint_done),
            checkpoint_todo: load(&inner.counters.checkpoint_todo),
            last_checkpoint: Duration::from_nanos(
                inner.counters.last_checkpoint_nanos.load(Ordering::Relaxed),
            ),
            poisoned: wal.poisoned || inner.poisoned.get().is_some(),
            wal,
            data_files: files.len() as u64,
            data_bytes: files.iter().map(|file| file.bytes).sum(),
            data_live_bytes: files.iter().filter_map(|file| file.live_bytes).sum(),
            data_kept_bytes: inner.upkeep.kept_bytes(),
            checkpoints_kept: load(&inner.counters.checkpoints_kept),
            pinned_bytes: load(&inner.counters.pinned_bytes),
            compactions: load(&inner.counters.compactions),
            compacted_bytes: load(&inner.counters.compacted_bytes),
            last_compaction: Duration::from_nanos(load(&inner.counters.last_compaction_nanos)),
            merges: load(&inner.counters.merges),
            unaccounted: load(&inner.counters.unaccounted),
            runs: index.runs as u64,
            delta_bytes: (index.active_bytes + index.frozen_bytes + index.retired_bytes) as u64,
            delta_bytes_max: inner.options.memory_bytes_max,
            retired_bytes: index.retired_bytes as u64,
            scan_bytes: load(&inner.scan_bytes),
            run_bytes: index.run_bytes as u64,
            block_cache: inner.index.block_cache().stats(),
            document_cache: inner.documents.stats(),
            blocks_filtered: inner.index.block_cache().filtered(),
            filters_damaged: inner.index.block_cache().filters_damaged(),
            snapshots: (inner.snapshots.open_count() + inner.snapshots.lease_count()) as u64,
            transactions_open: inner.snapshots.hold_counts().1 as u64,
            transaction_bytes: load(&inner.transactions.bytes),
            transactions_committed: load(&inner.transactions.counters.committed),
            transactions_rolled_back: load(&inner.transactions.counters.rolled_back),
            transactions_conflicted: load(&inner.transactions.counters.conflicted),
            transactions_expired: load(&inner.transactions.counters.expired),
            oldest_snapshot: inner
                .snapshots
                .oldest_age(inner.vfs.now())
                .unwrap_or_default(),
        }
    }

    /// Makes everything durable, takes a checkpoint, marks the log as closed cleanly and gives up the
    /// directory. Every later call, through any handle, answers `Closed`; tickets settle first.
    ///
    /// # Errors
    /// Those of [`Db::checkpoint`]. The database is closed all the same, and nothing acknowledged is
    /// lost: the next open replays the log.
    pub fn close(&self) -> Result<()> {
        if let Some(threads) = &self.threads {
            threads.stop();
        }
        self.inner.close()
    }
}

impl Inner {
    pub(crate) fn close(&self) -> Result<()> {
        {
            let _sequencer = self.sequencer.lock();
            self.closed.store(true, Ordering::Release);
        }
        self.close_healing();
        // Waits for a large commit that is being written.
        self.bulk.lock().seal();
        // Waits for one step at most.
        let _work = self.close_upkeep();
        // Held until the directory is given up: whoever waits for it to take a checkpoint finds the
        // database closed, and whoever closes it, too, returns when it is.
        let mut checkpointer = self.checkpointer.lock();
        if std::mem::replace(&mut checkpointer.is_closed, true) {
            return Ok(());
        }
        let checkpoint = self.checkpoint_with(&mut checkpointer).map(|_| ());
        // Clean only if what the log says needs no second look.
        let sealed = self.wal.close().map_err(Error::from);
        self.close_kept();
        *self.lock.lock() = None;
        checkpoint.and(sealed)
    }

    /// The record that must be acknowledged before anyone may learn of commit `ts`.
    pub(crate) fn watch(&self, ts: CommitTs) -> Option<docdb_wal::CommitTicket> {
        (self.wal.acknowledged_lsn().0 < ts.0).then(|| self.wal.watch(Lsn(ts.0)))
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("dir", &self.inner.dir)
            .finish_non_exhaustive()
    }
}
