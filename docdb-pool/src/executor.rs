//! The flush executor: a few threads that flush the logs of all databases.
//!
//! Each open database has one [`DbDriver`]. A driver is in the queue at most once, however often
//! its log asks, so the queue is never longer than the number of open databases.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use docdb_wal::{FlushDriver, Wal};
use parking_lot::{Condvar, Mutex};

use crate::maintenance::Activity;
use crate::{EventListener, PoolEvent};

/// Not queued, nobody flushes.
const IDLE: u8 = 0;
/// In the queue.
const QUEUED: u8 = 1;
/// A thread is in its flush step.
const RUNNING: u8 = 2;
/// As `RUNNING`, and another flush was asked for since.
const RUNNING_AGAIN: u8 = 3;

/// How long [`DbDriver::quiesce`] waits before it looks again by itself.
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// The queue and the counters that all drivers share.
pub(crate) struct FlushExecutor {
    queue: Mutex<Queue>,
    work: Condvar,
    /// Signalled when a driver let go of its log.
    released: Condvar,
    activity: Arc<Activity>,
    listener: Option<EventListener>,
    flushes: AtomicU64,
    failures: AtomicU64,
}

struct Queue {
    ready: VecDeque<(Arc<DriverState>, Wal)>,
    closed: bool,
}

struct DriverState {
    phase: AtomicU8,
    /// Clones of the log that the executor holds.
    held: AtomicUsize,
}

/// The driver of one database.
pub(crate) struct DbDriver {
    executor: Arc<FlushExecutor>,
    state: Arc<DriverState>,
}

impl FlushExecutor {
    pub(crate) fn new(activity: Arc<Activity>, listener: Option<EventListener>) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::new(Queue {
                ready: VecDeque::new(),
                closed: false,
            }),
            work: Condvar::new(),
            released: Condvar::new(),
            activity,
            listener,
            flushes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// A driver for one more database.
    pub(crate) fn driver(self: &Arc<Self>) -> Arc<DbDriver> {
        let state = DriverState {
            phase: AtomicU8::new(IDLE),
            held: AtomicUsize::new(0),
        };
        Arc::new(DbDriver {
            executor: self.clone(),
            state: Arc::new(state),
        })
    }

    /// Databases that wait for a flush.
    pub(crate) fn queued(&self) -> usize {
        self.queue.lock().ready.len()
    }

    /// Flush steps that flushed something.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// Flush steps that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// What each thread does until [`FlushExecutor::close`].
    pub(crate) fn run(&self) {
        loop {
            let (driver, wal) = {
                let mut queue = self.queue.lock();
                loop {
                    if let Some(next) = queue.ready.pop_front() {
                        break next;
                    }
                    if queue.closed {
                        return;
                    }
                    self.work.wait(&mut queue);
                }
            };
            self.flush(driver, wal);
        }
    }

    /// Flushes once for the first database of the queue; whether there was one.
    pub(crate) fn step(&self) -> bool {
        let next = self.queue.lock().ready.pop_front();
        match next {
            Some((driver, wal)) => {
                self.flush(driver, wal);
                true
            }
            None => false,
        }
    }

    /// Ends the threads once the queue is empty.
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.work.notify_all();
    }

    fn flush(&self, driver: Arc<DriverState>, wal: Wal) {
        driver.phase.store(RUNNING, Ordering::SeqCst);
        // A panic inside the step poisons that log alone; the executor serves the others.
        let again = match catch_unwind(AssertUnwindSafe(|| wal.flush_step())) {
            Ok(Ok(true)) => {
                self.flushes.fetch_add(1, Ordering::Relaxed);
                self.activity.poke();
                true
            }
            Ok(Ok(false)) => false,
            Ok(Err(error)) => {
                self.failed(error.to_string());
                false
            }
            Err(_) => {
                self.failed("a flush step panicked".into());
                false
            }
        };
        // Another turn goes to the end of the queue, so that no database starves the others.
        let idle = !again
            && driver
                .phase
                .compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok();
        if idle {
            drop(wal);
            driver.held.fetch_sub(1, Ordering::SeqCst);
            let _queue = self.queue.lock();
            self.released.notify_all();
        } else {
            driver.phase.store(QUEUED, Ordering::SeqCst);
            self.queue.lock().ready.push_back((driver, wal));
            self.work.notify_one();
        }
    }

    fn failed(&self, error: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if let Some(listener) = &self.listener {
            listener(&PoolEvent::FlushFailed { error });
        }
    }
}

impl DbDriver {
    /// Waits until the executor holds nothing of the database's log. For a database that is closed,
    /// so that no flush is asked for any more.
    pub(crate) fn quiesce(&self) {
        let mut queue = self.executor.queue.lock();
        while self.state.held.load(Ordering::SeqCst) > 0 {
            // Without threads nobody else would empty the queue.
            if let Some(at) = queue
                .ready
                .iter()
                .position(|(s, _)| Arc::ptr_eq(s, &self.state))
            {
                queue.ready.remove(at);
                self.state.phase.store(IDLE, Ordering::SeqCst);
                self.state.held.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            self.executor.released.wait_for(&mut queue, RELEASE_POLL);
        }
    }
}

impl FlushDriver for DbDriver {
    fn request_flush(&self, wal: &Wal) {
        let mut phase = self.state.phase.load(Ordering::SeqCst);
        loop {
            let next = match phase {
                IDLE => QUEUED,
                RUNNING => RUNNING_AGAIN,
                _ => return,
            };
            if next == QUEUED {
                // Before the phase changes, so that `quiesce` never misses a log about to be queued.
                self.state.held.fetch_add(1, Ordering::SeqCst);
            }
            match self
                .state
                .phase
                .compare_exchange(phase, next, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) if next == QUEUED => break,
                Ok(_) => return,
                Err(now) => phase = now,
            }
            if next == QUEUED {
                self.state.held.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.executor
            .queue
            .lock()
            .ready
            .push_back((self.state.clone(), wal.clone()));
        self.executor.work.notify_one();
    }
}

impl std::fmt::Debug for DbDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DbDriver")
            .field("phase", &self.state.phase)
            .finish()
    }
}

impl std::fmt::Debug for FlushExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlushExecutor")
            .field("flushes", &self.flushes)
            .finish()
    }
}
