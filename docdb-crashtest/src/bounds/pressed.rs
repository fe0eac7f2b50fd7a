//! Writers that are faster than checkpoints, on a disk and a clock of their own: data files and runs
//! are written at a given rate, and while a checkpoint writes, the writer goes on. All on one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use docdb_engine::{Db, DbOptions, DbStats, Durability, ManualDriver, WriteOp};
use parking_lot::Mutex;

use super::told::{Clocks, Told};
use super::{dir, disk};

/// How fast data files and runs are written, in bytes a second.
const DISK_RATE: u64 = 10 << 20;
/// How long a commit takes that is not delayed: four times as fast as the disk.
const COMMIT_TIME: Duration = Duration::from_nanos(7_500);
const BODY_BYTES: usize = 300;
const DOCUMENTS: u64 = 5_000;
/// How often somebody looks whether there is maintenance to do.
const TICK: Duration = Duration::from_millis(5);

/// One who writes as fast as it is let, and what must hold after each commit.
struct Writer {
    seed: u64,
    db: Mutex<Option<Db>>,
    clocks: Arc<Clocks>,
    written: AtomicU64,
    /// What was found wrong first.
    wrong: Mutex<Option<String>>,
    memory_bytes_max: u64,
    wal_bytes_max: u64,
}

impl Writer {
    /// Writes until this time.
    fn run_until(&self, nanos: u64) {
        let Some(db) = self.db.lock().clone() else {
            return;
        };
        self.clocks.is_writing.store(true, Ordering::Relaxed);
        while self.clocks.writer_nanos.load(Ordering::Relaxed) < nanos && !self.is_wrong() {
            let n = self.written.fetch_add(1, Ordering::Relaxed);
            let id = (n ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) % DOCUMENTS;
            let body = format!("\"{n:0width$}\"", width = BODY_BYTES - 2);
            let op = WriteOp::upsert("_default", id, body.as_bytes());
            // Whoever must not wait asks before.
            let delayed = || db.stats().delayed;
            let unforetold = (n.is_multiple_of(8) && !db.commits_may_wait()).then(delayed);
            if let Err(error) = db.submit(&[op]).wait() {
                self.note(format!("commit {n}: {:?}: {error}", error.kind()));
            }
            if unforetold.is_some_and(|before| delayed() != before) {
                self.note(format!(
                    "commit {n}: was delayed, which nobody could foresee"
                ));
            }
            db.wal().run_steps();
            let cost = COMMIT_TIME.as_nanos() as u64;
            self.clocks.writer_nanos.fetch_add(cost, Ordering::Relaxed);
            let stats = db.wal().stats();
            if stats.file_bytes > self.wal_bytes_max {
                self.note(format!("commit {n}: the log takes {}", stats.file_bytes));
            }
            if n.is_multiple_of(64) && db.stats().delta_bytes > self.memory_bytes_max {
                self.note(format!("commit {n}: {} in memory", db.stats().delta_bytes));
            }
        }
        self.clocks.is_writing.store(false, Ordering::Relaxed);
    }

    fn is_wrong(&self) -> bool {
        self.wrong.lock().is_some()
    }

    fn note(&self, what: String) {
        self.wrong.lock().get_or_insert(what);
    }
}

/// How it went.
#[derive(Debug)]
pub struct Pressed {
    /// Of the database, before it came to rest.
    pub stats: DbStats,
    /// How many there were.
    pub commits: u64,
    /// Bytes of documents written in a second.
    pub rate: u64,
    /// What the log takes at the end, when nothing is written any more.
    pub wal_bytes_idle: u64,
}

/// Writes for so long within these budgets.
///
/// # Errors
///
/// What was found wrong: a budget was passed, or a commit failed.
pub fn press(
    seed: u64,
    durability: Durability,
    memory_bytes_max: u64,
    wal_bytes_max: u64,
    time: Duration,
) -> Result<Pressed, String> {
    let mut options = DbOptions::default();
    options.durability = durability;
    options.memory_bytes_max = memory_bytes_max;
    options.wal_bytes_max = wal_bytes_max;
    options.checkpoint_wal_bytes = memory_bytes_max.min(wal_bytes_max) / 4;
    options.data_file_bytes_max = 4 << 20;
    options.compact_slice_bytes = 128 << 10;
    options.compaction_bytes_per_second = DISK_RATE / 4;
    options.index_shards = 4;
    let clocks = Arc::new(Clocks::default());
    let writer = Arc::new(Writer {
        seed,
        db: Mutex::new(None),
        clocks: Arc::clone(&clocks),
        written: AtomicU64::new(0),
        wrong: Mutex::new(None),
        memory_bytes_max,
        wal_bytes_max,
    });
    let beside = Arc::downgrade(&writer);
    let slow = Told {
        vfs: disk().map_err(|e| e.to_string())?,
        clocks: Some(Arc::clone(&clocks)),
        on_write: Arc::new(move |bytes| {
            let Some(writer) = beside.upgrade() else {
                return;
            };
            let nanos = bytes * 1_000_000_000 / DISK_RATE;
            let now = writer.clocks.disk_nanos.fetch_add(nanos, Ordering::Relaxed) + nanos;
            writer.run_until(now);
        }),
    };
    let driver = Arc::new(ManualDriver);
    let db = Db::create(Arc::new(slow), dir(), options, driver).map_err(|e| e.to_string())?;
    *writer.db.lock() = Some(db.clone());
    let end = time.as_nanos() as u64;
    let now = || clocks.disk_nanos.load(Ordering::Relaxed);
    while now() < end && !writer.is_wrong() {
        clocks
            .disk_nanos
            .fetch_add(TICK.as_nanos() as u64, Ordering::Relaxed);
        writer.run_until(now());
        // The writer goes on in each step, so there may be no end to them.
        while now() < end && db.maintenance_step().map_err(|e| e.to_string())? {}
    }
    *writer.db.lock() = None;
    if let Some(wrong) = writer.wrong.lock().take() {
        return Err(wrong);
    }
    clocks
        .disk_nanos
        .fetch_add(60_000_000_000, Ordering::Relaxed);
    while db.maintenance_step().map_err(|e| e.to_string())? {}
    let commits = writer.written.load(Ordering::Relaxed);
    Ok(Pressed {
        rate: (u128::from(commits * BODY_BYTES as u64) * 1_000_000_000 / u128::from(end)) as u64,
        wal_bytes_idle: db.wal().stats().file_bytes,
        stats: db.stats(),
        commits,
    })
}
