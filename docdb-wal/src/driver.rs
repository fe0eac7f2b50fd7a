//! Who flushes when no waiting thread does.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use crate::Wal;
use crate::sync::thread::{self, JoinHandle, ThreadId};
use crate::sync::{Condvar, Mutex};

/// Told by a log that there is background work: records that no blocked thread will flush, or a
/// segment to prepare.
///
/// The driver must see to it that [`Wal::flush_step`] is called until it returns `false`, after it
/// [`Wal::prepare_step`] likewise, and then [`Wal::timed_step`], also whenever the time has come that
/// the last one named; on another thread or later, never inside `request`, which is called on the
/// path of commits.
pub trait FlushDriver: Send + Sync + fmt::Debug {
    /// `wal` has background work.
    fn request(&self, wal: &Wal);
}

/// Does nothing: whoever owns the log calls its steps. Threads that wait for a commit flush by
/// themselves; commits that are only awaited need the steps.
#[derive(Debug, Default, Clone, Copy)]
pub struct ManualDriver;

impl FlushDriver for ManualDriver {
    fn request(&self, _wal: &Wal) {}
}

/// Runs the steps on one thread of its own, which ends with the driver.
#[derive(Debug)]
pub struct ThreadDriver {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Each log at most once, so it is bounded by the number of logs.
    requested: VecDeque<Wal>,
    /// Logs that have something to do later, each at most once.
    timed: Vec<Timed>,
    stop: bool,
}

#[derive(Debug)]
struct Timed {
    /// By the clock of the log's file system seam.
    due: Duration,
    wal: Wal,
}

impl ThreadDriver {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub fn start() -> std::io::Result<ThreadDriver> {
        let shared = Arc::new(Shared::default());
        let in_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("docdb-wal-flush".to_owned())
            .spawn(move || in_thread.run())?;
        let thread_id = thread.thread().id();
        Ok(ThreadDriver {
            shared,
            thread: Mutex::new(Some(thread)),
            thread_id,
        })
    }
}

impl FlushDriver for ThreadDriver {
    fn request(&self, wal: &Wal) {
        let mut queue = self.shared.queue.lock();
        if !queue.requested.iter().any(|queued| queued.is_same(wal)) {
            queue.requested.push_back(wal.clone());
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for ThreadDriver {
    fn drop(&mut self) {
        self.shared.queue.lock().stop = true;
        self.shared.wake.notify_all();
        // The last handle of a log may be dropped by the thread itself, and the driver with it.
        if thread::current().id() != self.thread_id
            && let Some(thread) = self.thread.lock().take()
        {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some(wal) = self.next() {
            // A panic has poisoned its log; the other logs still need this thread.
            let due = std::panic::catch_unwind(AssertUnwindSafe(|| {
                wal.run_steps();
                wal.timed_step().ok().flatten()
            }));
            if let Ok(Some(due)) = due {
                self.queue.lock().timed.push(Timed { due, wal });
            }
        }
    }

    /// The next log to work on; `None` at the end.
    fn next(&self) -> Option<Wal> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(wal) = queue.requested.pop_front() {
                queue.timed.retain(|timed| !timed.wal.is_same(&wal));
                return Some(wal);
            }
            if queue.stop {
                return None;
            }
            let left = |timed: &Timed| timed.due.saturating_sub(timed.wal.now());
            let soonest = queue
                .timed
                .iter()
                .map(left)
                .enumerate()
                .min_by_key(|(_, left)| *left);
            match soonest {
                None => self.wake.wait(&mut queue),
                Some((at, Duration::ZERO)) => return Some(queue.timed.swap_remove(at).wal),
                Some((_, left)) => {
                    self.wake.wait_for(&mut queue, left);
                }
            }
        }
    }
}
