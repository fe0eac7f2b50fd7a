//! The flush executor: a few threads that do the background work of the logs of all databases.
//!
//! Two queues, each with threads of its own: flushes, which somebody waits for, and the preparation
//! of segments, which takes long and must not hold flushes up. Each open database has one
//! [`DbDriver`], which is in a queue at most once, however often its log asks; so a queue is never
//! longer than the number of open databases.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use docdb_vfs::Vfs;
use docdb_wal::{FlushDriver, Wal};
use parking_lot::{Condvar, Mutex};

use crate::{EventListener, PoolEvent};

/// Not queued, nobody works on it.
const IDLE: u8 = 0;
/// In the queue.
const QUEUED: u8 = 1;
/// A thread works on it.
const RUNNING: u8 = 2;
/// As `RUNNING`, and more was asked for since.
const RUNNING_AGAIN: u8 = 3;

/// How long [`DbDriver::quiesce`] waits before it looks again by itself.
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// The queues and the counters that all drivers share.
pub(crate) struct FlushExecutor {
    flushes: WorkQueue,
    preparations: WorkQueue,
    /// Whose clock the logs' times are read from.
    vfs: Arc<dyn Vfs>,
    listener: Option<EventListener>,
    flush_count: AtomicU64,
    failure_count: AtomicU64,
}

/// Which of the two queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Flush,
    Prepare,
}

#[derive(Default)]
struct WorkQueue {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<(Arc<DriverState>, Wal)>,
    /// Logs that have something to do at a time of their own, each at most once.
    timed: Vec<Timed>,
    closed: bool,
}

struct Timed {
    /// By the clock of the pool's file system seam.
    due: Duration,
    driver: Arc<DriverState>,
    wal: Wal,
}

struct DriverState {
    flush: AtomicU8,
    prepare: AtomicU8,
    /// Clones of the log that the executor holds.
    held: AtomicUsize,
    /// Whether a failed flush was reported: the first one ends the log's writing.
    failed: AtomicBool,
}

/// The driver of one database.
pub(crate) struct DbDriver {
    executor: Arc<FlushExecutor>,
    state: Arc<DriverState>,
}

impl FlushExecutor {
    pub(crate) fn new(vfs: Arc<dyn Vfs>, listener: Option<EventListener>) -> Arc<Self> {
        Arc::new(Self {
            flushes: WorkQueue::default(),
            preparations: WorkQueue::default(),
            vfs,
            listener,
            flush_count: AtomicU64::new(0),
            failure_count: AtomicU64::new(0),
        })
    }

    /// A driver for one more database.
    pub(crate) fn driver(self: &Arc<Self>) -> Arc<DbDriver> {
        let state = DriverState {
            flush: AtomicU8::new(IDLE),
            prepare: AtomicU8::new(IDLE),
            held: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        };
        Arc::new(DbDriver {
            executor: self.clone(),
            state: Arc::new(state),
        })
    }

    /// Databases that wait for a flush.
    pub(crate) fn queued(&self) -> usize {
        self.flushes.queue.lock().ready.len()
    }

    /// Flush steps that flushed something.
    pub(crate) fn flushes(&self) -> u64 {
        self.flush_count.load(Ordering::Relaxed)
    }

    /// Steps that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failure_count.load(Ordering::Relaxed)
    }

    /// What each thread does until [`FlushExecutor::close`].
    pub(crate) fn run(&self, work: Work) {
        while let Some((driver, wal)) = self.next(work) {
            self.turn(work, driver, wal);
        }
    }

    /// One turn for the first database of a queue; whether there was one.
    pub(crate) fn step(&self, work: Work) -> bool {
        while let Some(timed) = self.queue_of(work).queue.lock().take_due(self.vfs.now()) {
            self.enqueue_timed(timed);
        }
        let next = self.queue_of(work).queue.lock().ready.pop_front();
        let found = next.is_some();
        if let Some((driver, wal)) = next {
            self.turn(work, driver, wal);
        }
        found
    }

    /// Ends the threads once their queue is empty.
    pub(crate) fn close(&self) {
        for queue in [&self.flushes, &self.preparations] {
            queue.queue.lock().closed = true;
            queue.work.notify_all();
        }
    }

    /// The first in a queue, waited for; `None` once the queue is closed and empty.
    fn next(&self, work: Work) -> Option<(Arc<DriverState>, Wal)> {
        let WorkQueue { queue, work } = self.queue_of(work);
        loop {
            let mut queue = queue.lock();
            if let Some(next) = queue.ready.pop_front() {
                return Some(next);
            }
            if queue.closed {
                return None;
            }
            let now = self.vfs.now();
            if let Some(timed) = queue.take_due(now) {
                drop(queue);
                self.enqueue_timed(timed);
                continue;
            }
            match queue.timed.iter().map(|timed| timed.due).min() {
                None => work.wait(&mut queue),
                Some(due) => {
                    work.wait_for(&mut queue, due.saturating_sub(now));
                }
            }
        }
    }

    /// Notes when a log has something to do again.
    fn enqueue_at(&self, due: Duration, driver: &Arc<DriverState>, wal: &Wal) {
        driver.held.fetch_add(1, Ordering::SeqCst);
        let timed = Timed {
            due,
            driver: driver.clone(),
            wal: wal.clone(),
        };
        let mut queue = self.flushes.queue.lock();
        let before = queue.take_timed(driver);
        queue.timed.push(timed);
        drop(queue);
        // A thread that waits for something later must wait for this.
        self.flushes.work.notify_one();
        if let Some(before) = before {
            drop(before.wal);
            driver.held.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn enqueue_timed(&self, timed: Timed) {
        let Timed { driver, wal, .. } = timed;
        self.enqueue(Work::Flush, &driver, &wal);
        drop(wal);
        driver.held.fetch_sub(1, Ordering::SeqCst);
    }

    fn queue_of(&self, work: Work) -> &WorkQueue {
        match work {
            Work::Flush => &self.flushes,
            Work::Prepare => &self.preparations,
        }
    }

    fn turn(&self, work: Work, driver: Arc<DriverState>, wal: Wal) {
        let phase = driver.phase(work);
        phase.store(RUNNING, Ordering::SeqCst);
        // A panic inside a step poisons that log alone; the executor serves the others.
        let again = catch_unwind(AssertUnwindSafe(|| match work {
            Work::Flush => self.flush(&driver, &wal),
            Work::Prepare => self.prepare(&wal),
        }));
        let again = again.unwrap_or_else(|_| {
            self.failed(&driver, || "a step of the log panicked".into());
            false
        });
        let idle = !again
            && phase
                .compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok();
        if idle {
            drop(wal);
            driver.held.fetch_sub(1, Ordering::SeqCst);
        } else {
            // At the end of the queue, so that no database starves the others.
            phase.store(QUEUED, Ordering::SeqCst);
            self.queue_of(work).push(driver, wal);
        }
    }

    /// Flushes once; whether there may be more.
    fn flush(&self, driver: &Arc<DriverState>, wal: &Wal) -> bool {
        match wal.flush_step() {
            Ok(true) => {
                self.flush_count.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            Ok(false) => {}
            Err(error) => {
                self.failed(driver, || error.to_string());
                return false;
            }
        }
        // The first part of a preparation tells whether there is one to do at all.
        if driver.prepare.load(Ordering::SeqCst) == IDLE && self.prepare(wal) {
            self.enqueue(Work::Prepare, driver, wal);
        }
        match wal.timed_step() {
            Ok(Some(due)) => self.enqueue_at(due, driver, wal),
            Ok(None) => {}
            Err(error) => self.failed(driver, || error.to_string()),
        }
        false
    }

    /// Prepares a part of a segment; whether there is more. A failure is retried by the log itself
    /// once it is written to again.
    fn prepare(&self, wal: &Wal) -> bool {
        wal.prepare_step().unwrap_or_else(|_| {
            self.failure_count.fetch_add(1, Ordering::Relaxed);
            false
        })
    }

    fn failed(&self, driver: &DriverState, error: impl FnOnce() -> String) {
        self.failure_count.fetch_add(1, Ordering::Relaxed);
        if !driver.failed.swap(true, Ordering::SeqCst)
            && let Some(listener) = &self.listener
        {
            listener(&PoolEvent::FlushFailed { error: error() });
        }
    }

    fn enqueue(&self, work: Work, driver: &Arc<DriverState>, wal: &Wal) {
        let phase = driver.phase(work);
        let mut current = phase.load(Ordering::SeqCst);
        loop {
            let next = match current {
                IDLE => QUEUED,
                RUNNING => RUNNING_AGAIN,
                _ => return,
            };
            if next == QUEUED {
                // Before the phase changes, so that `quiesce` never misses a log about to be queued.
                driver.held.fetch_add(1, Ordering::SeqCst);
            }
            match phase.compare_exchange(current, next, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) if next == QUEUED => break,
                Ok(_) => return,
                Err(now) => current = now,
            }
            if next == QUEUED {
                driver.held.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.queue_of(work).push(driver.clone(), wal.clone());
    }
}

impl WorkQueue {
    fn push(&self, driver: Arc<DriverState>, wal: Wal) {
        self.queue.lock().ready.push_back((driver, wal));
        self.work.notify_one();
    }

    /// Takes a driver out of the queue; whether it was there.
    fn remove(&self, driver: &Arc<DriverState>) -> bool {
        let mut queue = self.queue.lock();
        let at = queue
            .ready
            .iter()
            .position(|(queued, _)| Arc::ptr_eq(queued, driver));
        at.and_then(|at| queue.ready.remove(at)).is_some()
    }
}

impl Queue {
    /// Takes out a log whose time has come.
    fn take_due(&mut self, now: Duration) -> Option<Timed> {
        let at = self.timed.iter().position(|timed| timed.due <= now)?;
        Some(self.timed.swap_remove(at))
    }

    /// Takes out the log of that driver.
    fn take_timed(&mut self, driver: &Arc<DriverState>) -> Option<Timed> {
        let at = self
            .timed
            .iter()
            .position(|timed| Arc::ptr_eq(&timed.driver, driver))?;
        Some(self.timed.swap_remove(at))
    }
}

impl DriverState {
    fn phase(&self, work: Work) -> &AtomicU8 {
        match work {
            Work::Flush => &self.flush,
            Work::Prepare => &self.prepare,
        }
    }
}

impl DbDriver {
    /// Waits until the executor holds nothing of the database's log. For a database that is closed,
    /// so that no work is asked for any more.
    pub(crate) fn quiesce(&self) {
        while self.state.held.load(Ordering::SeqCst) > 0 {
            let timed = self.executor.flushes.queue.lock().take_timed(&self.state);
            let mut removed = timed.is_some();
            if let Some(timed) = timed {
                drop(timed);
                self.state.held.fetch_sub(1, Ordering::SeqCst);
            }
            for work in [Work::Flush, Work::Prepare] {
                if self.executor.queue_of(work).remove(&self.state) {
                    self.state.phase(work).store(IDLE, Ordering::SeqCst);
                    self.state.held.fetch_sub(1, Ordering::SeqCst);
                    removed = true;
                }
            }
            if !removed {
                std::thread::sleep(RELEASE_POLL);
            }
        }
    }
}

impl FlushDriver for DbDriver {
    fn request(&self, wal: &Wal) {
        self.executor.enqueue(Work::Flush, &self.state, wal);
    }
}

impl fmt::Debug for DbDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbDriver")
            .field("flush", &self.state.flush)
            .finish_non_exhaustive()
    }
}
