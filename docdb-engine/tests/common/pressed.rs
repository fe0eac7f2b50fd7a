//! Writers that are faster than checkpoints, on a disk and a clock of their own: data files and runs
//! are written at a given rate, and while a checkpoint writes, the writer goes on. All on one thread.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::vfs::{DirLock, OpenMode, Result, Vfs, VfsFile};
use docdb_engine::{Db, DbOptions, DbStats, Durability, ManualDriver, WriteOp};
use parking_lot::Mutex;

use super::{dir, disk};

/// How fast data files and runs are written, in bytes a second.
const DISK_RATE: u64 = 10 << 20;
/// How long a commit takes that is not delayed: four times as fast as the disk.
const COMMIT_TIME: Duration = Duration::from_nanos(7_500);
const BODY_BYTES: usize = 300;
const DOCUMENTS: u64 = 5_000;
/// How often somebody looks whether there is maintenance to do.
const TICK: Duration = Duration::from_millis(5);

/// Two clocks: that of the writer, and that of who takes checkpoints.
#[derive(Debug, Default)]
struct Clocks {
    writer_nanos: AtomicU64,
    disk_nanos: AtomicU64,
    is_writing: AtomicBool,
}

impl Clocks {
    fn current(&self) -> &AtomicU64 {
        if self.is_writing.load(Ordering::Relaxed) {
            &self.writer_nanos
        } else {
            &self.disk_nanos
        }
    }
}

type OnWrite = Arc<dyn Fn(u64) + Send + Sync>;

#[derive(Clone)]
struct Slow {
    vfs: SimVfs,
    clocks: Arc<Clocks>,
    on_write: OnWrite,
}

impl std::fmt::Debug for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slow").finish_non_exhaustive()
    }
}

impl Vfs for Slow {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        let file = self.vfs.open(path, mode)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("data-") && !name.starts_with("run-") {
            return Ok(file);
        }
        let on_write = Arc::clone(&self.on_write);
        Ok(Arc::new(SlowFile { file, on_write }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.vfs.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.vfs.sync_dir(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        self.vfs.list(path)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.vfs.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.vfs.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.vfs.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.vfs.remove_dir(path)
    }

    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>> {
        self.vfs.lock_dir(path)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.clocks.current().load(Ordering::Relaxed))
    }

    fn sleep(&self, time: Duration) {
        let nanos = time.as_nanos() as u64;
        self.clocks.current().fetch_add(nanos, Ordering::Relaxed);
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.vfs.fill_random(buf);
    }
}

struct SlowFile {
    file: Arc<dyn VfsFile>,
    on_write: OnWrite,
}

impl std::fmt::Debug for SlowFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

impl VfsFile for SlowFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.file.read_at_nowait(buf, offset)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(buf, offset)?;
        (self.on_write)(buf.len() as u64);
        Ok(())
    }

    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.file.write_vectored_all_at(bufs, offset)?;
        (self.on_write)(bufs.iter().map(|buf| buf.len() as u64).sum());
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.file.allocate(len)
    }
}

/// One who writes as fast as it is let, and what must hold after each commit.
struct Writer {
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
            let id = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % DOCUMENTS;
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
pub(crate) struct Outcome {
    pub(crate) stats: DbStats,
    pub(crate) commits: u64,
    /// Bytes of documents written in a second.
    pub(crate) rate: u64,
    /// What the log takes at the end, when nothing is written any more.
    pub(crate) wal_bytes_idle: u64,
}

/// Writes for so long within these budgets; what was found wrong if one was passed or a commit failed.
pub(crate) fn press(
    durability: Durability,
    memory_bytes_max: u64,
    wal_bytes_max: u64,
    time: Duration,
) -> std::result::Result<Outcome, String> {
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
        db: Mutex::new(None),
        clocks: Arc::clone(&clocks),
        written: AtomicU64::new(0),
        wrong: Mutex::new(None),
        memory_bytes_max,
        wal_bytes_max,
    });
    let beside = Arc::downgrade(&writer);
    let slow = Slow {
        vfs: disk(),
        clocks: Arc::clone(&clocks),
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
    Ok(Outcome {
        rate: (u128::from(commits * BODY_BYTES as u64) * 1_000_000_000 / u128::from(end)) as u64,
        wal_bytes_idle: db.wal().stats().file_bytes,
        stats: db.stats(),
        commits,
    })
}
