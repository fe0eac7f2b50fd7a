//! The maintenance thread: checkpoints that are due, and the close of idle databases.
//!
//! It works only while there is something to wait for. A database that was used lately is looked at
//! every second, since it may have become due for a checkpoint; a quiet one is looked at again when
//! it is due to be closed; without an open database the thread sleeps until it is poked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::PoolEvent;
use crate::shared::Shared;

/// Between two looks at a database that may be dirty.
const TICK: Duration = Duration::from_secs(1);
/// Between two rounds while flushes go on.
const ROUND_INTERVAL_MIN: Duration = Duration::from_millis(25);
/// A database unused for its checkpoint interval and this much more has nothing left to write.
const QUIET_MARGIN: Duration = Duration::from_secs(5);

/// Tells the maintenance thread that databases are in use.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    poked: AtomicBool,
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Activity {
    /// Something was used or written. Costs one load while the thread has work anyway.
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
    let quiet_after = shared.options.db.checkpoint_interval + QUIET_MARGIN;
    let idle_close = shared.options.idle_close;
    let slots = shared.open_slots();
    slots
        .iter()
        .map(|slot| match slot.unused_since() {
            Some(since) if now >= since + quiet_after => {
                (since + idle_close).saturating_sub(now).max(TICK)
            }
            Some(since) => (since + idle_close)
                .saturating_sub(now)
                .min(TICK)
                .max(ROUND_INTERVAL_MIN),
            None => TICK,
        })
        .min()
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
    for n in 0..shared.options.flush_threads {
        let executor = shared.executor.clone();
        let builder = std::thread::Builder::new().name(format!("docdb-flush-{n}"));
        threads.push(builder.spawn(move || executor.run()).map_err(failed)?);
    }
    let builder = std::thread::Builder::new().name("docdb-maintain".into());
    let shared = shared.clone();
    threads.push(builder.spawn(move || run(&shared)).map_err(failed)?);
    Ok(threads)
}
