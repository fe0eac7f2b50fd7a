//! The maintenance thread: checkpoints that are due, and the close of idle databases.
//!
//! It works only while there is something to wait for: databases ask for it when they have work, and
//! say when time will make a checkpoint due; a quiet one is looked at again when it is due to be
//! closed; without an open database the thread sleeps until it is poked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use docdb_engine::{ErrorKind, Maintainer};

use crate::PoolEvent;
use crate::executor::Work;
use crate::shared::Shared;

/// The longest time to sleep is at least this, whatever a database says.
const SLEEP_MIN: Duration = Duration::from_millis(100);
/// Between two looks at whether a database that is in use has become unused.
const IN_USE_LOOK: Duration = Duration::from_secs(30);
/// Between two rounds while databases keep asking.
const ROUND_INTERVAL_MIN: Duration = Duration::from_millis(25);
/// Wakes the maintenance thread.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    poked: AtomicBool,
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Activity {
    /// A database was opened or asks for maintenance. Costs one load if the thread has been poked.
    pub(crate) fn poke(&self) {
        if !self.poked.load(Ordering::Relaxed) && !self.poked.swap(true, Ordering::SeqCst) {
            let _closed = self.closed.lock();
            self.changed.notify_all();
        }
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        *self.closed.lock() = true;
        self.changed.notify_all();
    }

    /// Waits for a poke, at most for `timeout`, but not less than the interval between rounds.
    /// False: the thread ends.
    fn wait(&self, timeout: Option<Duration>) -> bool {
        let mut closed = self.closed.lock();
        if !*closed {
            self.changed.wait_for(&mut closed, ROUND_INTERVAL_MIN);
        }
        while !*closed && !self.poked.load(Ordering::SeqCst) {
            match timeout {
                None => self.changed.wait(&mut closed),
                Some(timeout) => {
                    if self.changed.wait_for(&mut closed, timeout).timed_out() {
                        break;
                    }
                }
            }
        }
        self.poked.store(false, Ordering::SeqCst);
        !*closed
    }
}

impl Maintainer for Activity {
    fn request(&self) {
        self.poke();
    }
}

/// What the thread does until [`Activity::close`].
pub(crate) fn run(shared: &Shared) {
    let mut timeout = None;
    while shared.activity.wait(timeout) {
        step_all(shared);
        shared.close_idle();
        timeout = next_due(shared);
    }
}

/// Calls the maintenance step of every open database once; whether one did something.
pub(crate) fn step_all(shared: &Shared) -> bool {
    let mut worked = false;
    for slot in shared.open_slots() {
        let Some(open) = slot.opened() else { continue };
        match open.db.maintenance_step() {
            Ok(did) => {
                worked |= did;
                *open.maintenance_failure.lock() = None;
            }
            // Closed or dropped since it was listed.
            Err(error) if error.kind() == ErrorKind::Closed => {}
            Err(error) => {
                let text = error.to_string();
                let mut last = open.maintenance_failure.lock();
                if last.as_deref() != Some(&*text) {
                    *last = Some(text);
                    drop(last);
                    shared.report(&PoolEvent::MaintenanceFailed {
                        name: slot.name.clone(),
                        error,
                    });
                }
            }
        }
    }
    worked
}

/// How long nothing can become due; `None`: for ever, unless poked.
fn next_due(shared: &Shared) -> Option<Duration> {
    let now = shared.vfs.now();
    let idle_close = shared.options.idle_close;
    let mut soonest: Option<Duration> = None;
    for slot in shared.open_slots() {
        let unused_since = slot.unused_since();
        let Some(open) = slot.opened() else { continue };
        let close_at = match unused_since {
            Some(since) => since + idle_close,
            None => (open.used_at() + idle_close).max(now + IN_USE_LOOK),
        };
        let due = open
            .db
            .maintenance_due()
            .map_or(close_at, |due| due.min(close_at));
        soonest = Some(soonest.map_or(due, |soonest| soonest.min(due)));
    }
    soonest.map(|due| due.saturating_sub(now).max(SLEEP_MIN))
}

/// The threads of a pool, joined when it closes.
pub(crate) fn spawn(shared: &Arc<Shared>) -> crate::Result<Vec<std::thread::JoinHandle<()>>> {
    let mut threads = Vec::new();
    if shared.options.flush_threads == 0 {
        return Ok(threads);
    }
    let failed = |error: std::io::Error| {
        docdb_engine::Error::new(
            docdb_engine::ErrorKind::Io,
            format!("cannot start a thread: {error}"),
        )
    };
    let flushers =
        (0..shared.options.flush_threads).map(|n| (format!("docdb-flush-{n}"), Work::Flush));
    for (name, work) in flushers.chain([("docdb-prepare".into(), Work::Prepare)]) {
        let executor = shared.executor.clone();
        let builder = std::thread::Builder::new().name(name);
        threads.push(builder.spawn(move || executor.run(work)).map_err(failed)?);
    }
    let builder = std::thread::Builder::new().name("docdb-maintain".into());
    let shared = shared.clone();
    threads.push(builder.spawn(move || run(&shared)).map_err(failed)?);
    Ok(threads)
}
