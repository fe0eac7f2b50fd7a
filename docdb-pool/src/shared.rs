//! What the pool and its threads share, and how databases are opened and closed.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use docdb_engine::{Db, DbOptions, Durability, Error, ErrorKind, OnProgress};
use docdb_vfs::Vfs;
use parking_lot::{Mutex, RwLock};

use crate::catalog::CatalogStore;
use crate::error::{self, Result};
use crate::executor::FlushExecutor;
use crate::maintenance::Activity;
use crate::slot::{DbHandle, OpenDb, Phase, Slot};
use crate::{PoolEvent, PoolOptions};

/// How long an open waits for another database to become unused when the limit is reached.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);
/// Between two looks for such a database.
const ROOM_POLL: Duration = Duration::from_millis(5);
/// Between two looks whether the last maintenance step of a closing database has ended.
const LAST_STEP_POLL: Duration = Duration::from_millis(1);

/// Between two events about a recovery that goes on.
const RECOVERY_TOLD_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Shared {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) data_dir: PathBuf,
    pub(crate) options: PoolOptions,
    /// Held while the catalog is changed. Lock order: before every other lock.
    pub(crate) catalog: Mutex<CatalogStore>,
    /// The active databases by name. Never held during I/O.
    pub(crate) names: RwLock<HashMap<String, Arc<Slot>, RandomState>>,
    /// The databases that are open, opening or closing, by id: they count against the limit. Lock
    /// order: before `Slot::state`. Never held during I/O.
    pub(crate) open: Mutex<BTreeMap<u64, Arc<Slot>>>,
    pub(crate) executor: Arc<FlushExecutor>,
    pub(crate) activity: Arc<Activity>,
    /// Set when the pool closes: nothing is opened from then on.
    pub(crate) closing: AtomicBool,
    pub(crate) counters: Counters,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) opened: AtomicU64,
    pub(crate) open_failures: AtomicU64,
    pub(crate) closed_idle: AtomicU64,
    pub(crate) closed_for_room: AtomicU64,
    pub(crate) created: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

impl Shared {
    pub(crate) fn report(&self, event: &PoolEvent) {
        if let Some(listener) = &self.options.listener {
            listener(event);
        }
    }

    pub(crate) fn slot(&self, name: &str) -> Result<Arc<Slot>> {
        match self.names.read().get(name) {
            Some(slot) => Ok(slot.clone()),
            None => Err(error::not_found(name)),
        }
    }

    pub(crate) fn open_slots(&self) -> Vec<Arc<Slot>> {
        self.open.lock().values().cloned().collect()
    }

    /// The caller holds the slot's state, or is the only one to know the database.
    fn handle(&self, open: &Arc<OpenDb>) -> DbHandle {
        open.touch(self.vfs.now());
        DbHandle::new(open)
    }

    /// A handle if the database is open, `None` if it must be opened or waited for.
    pub(crate) fn try_database(&self, name: &str) -> Result<Option<DbHandle>> {
        let names = self.names.read();
        let Some(slot) = names.get(name) else {
            return Err(if self.closing.load(Ordering::SeqCst) {
                error::closed()
            } else {
                error::not_found(name)
            });
        };
        let state = slot.state.lock();
        match &state.phase {
            Phase::Open(open) => Ok(Some(self.handle(open))),
            _ => Ok(None),
        }
    }

    /// A handle; opens the database or waits for whoever does.
    pub(crate) fn database(&self, name: &str) -> Result<DbHandle> {
        let slot = self.slot(name)?;
        let mut state = slot.state.lock();
        loop {
            match &state.phase {
                Phase::Open(open) => return Ok(self.handle(open)),
                Phase::Dropped => return Err(error::not_found(name)),
                Phase::Closed => break,
                Phase::Opening | Phase::Closing => {
                    let attempt = state.attempt;
                    slot.changed.wait(&mut state);
                    if let (Phase::Closed, Some((failed, error))) = (&state.phase, &state.failure)
                        && *failed == attempt
                    {
                        return Err(error.clone());
                    }
                }
            }
        }
        state.phase = Phase::Opening;
        state.attempt += 1;
        let attempt = state.attempt;
        state.failure = None;
        drop(state);

        let mut guard = OpeningGuard {
            shared: self,
            slot: &slot,
            attempt,
            outcome: None,
        };
        let result = self.make_room(&slot).and_then(|()| self.open_db(&slot));
        match result {
            Ok(open) => {
                let open = Arc::new(open);
                let handle = self.handle(&open);
                self.activity.poke();
                guard.outcome = Some(Ok(open));
                Ok(handle)
            }
            Err(error) => {
                guard.outcome = Some(Err(error.clone()));
                Err(error)
            }
        }
    }

    fn open_db(&self, slot: &Slot) -> Result<OpenDb> {
        let opened = self.open_db_quietly(slot);
        match &opened {
            Ok(open) => {
                self.counters.opened.fetch_add(1, Ordering::Relaxed);
                let recovery = open.db.recovery_report().to_string();
                self.report(&PoolEvent::Opened {
                    name: slot.name.clone(),
                    recovery,
                });
            }
            Err(error) => {
                self.counters.open_failures.fetch_add(1, Ordering::Relaxed);
                let error = error.clone();
                self.report(&PoolEvent::OpenFailed {
                    name: slot.name.clone(),
                    error,
                });
            }
        }
        opened
    }

    fn open_db_quietly(&self, slot: &Slot) -> Result<OpenDb> {
        let durability: Durability = slot.durability.parse().map_err(|error| {
            Error::new(
                ErrorKind::UnsupportedVersion,
                format!("database {:?}: {error}", slot.name),
            )
        })?;
        if !self.vfs.exists(&slot.dir).map_err(error::from_io)? {
            let dir = slot.dir.display();
            let message = format!("the directory {dir} of database {:?} is missing", slot.name);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let mut options = self.db_options(durability);
        options.on_recovery = self.recovery_listener(&slot.name);
        let driver = self.executor.driver();
        let db = Db::open_manual(self.vfs.clone(), &slot.dir, options, driver.clone())?;
        Ok(OpenDb::new(db, driver, self.vfs.now()))
    }

    /// Tells of a recovery that takes longer than a moment, and no more often than that.
    fn recovery_listener(&self, name: &str) -> Option<OnProgress> {
        let listener = self.options.listener.clone()?;
        let (name, vfs) = (name.to_owned(), self.vfs.clone());
        let told_at = Mutex::new(vfs.now());
        Some(OnProgress::new(move |progress| {
            let mut told_at = told_at.lock();
            if vfs.now().saturating_sub(*told_at) < RECOVERY_TOLD_EVERY {
                return;
            }
            *told_at = vfs.now();
            listener(&PoolEvent::Recovering {
                name: name.clone(),
                bytes: progress.bytes,
                bytes_total: progress.bytes_total,
            });
        }))
    }

    /// The options of a database with that durability mode.
    pub(crate) fn db_options(&self, durability: Durability) -> DbOptions {
        let mut options = self.options.db.clone();
        options.durability = durability;
        options.maintainer = Some(self.activity.clone());
        options
    }

    /// Counts `slot` as open, after closing the database unused for longest if the limit is
    /// reached. `Busy` if all stay in use for too long.
    pub(crate) fn make_room(&self, slot: &Arc<Slot>) -> Result<()> {
        let deadline = self.vfs.now() + ROOM_WAIT_MAX;
        // The file system's clock may stand still (a simulated one), so the turns are bounded too.
        let mut turns_left = ROOM_WAIT_MAX.as_millis() / ROOM_POLL.as_millis();
        loop {
            let victim = {
                let mut open = self.open.lock();
                if self.closing.load(Ordering::SeqCst) {
                    return Err(error::closed());
                }
                if open.len() < self.options.open_databases_max {
                    open.insert(slot.id, slot.clone());
                    return Ok(());
                }
                let unused = open
                    .values()
                    .filter_map(|slot| Some((slot.unused_since()?, slot)));
                unused
                    .min_by_key(|(since, _)| *since)
                    .map(|(_, slot)| slot.clone())
            };
            if let Some(victim) = victim
                && self.close_if_unused(&victim)
            {
                self.counters
                    .closed_for_room
                    .fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if turns_left == 0 || self.vfs.now() >= deadline {
                let max = self.options.open_databases_max;
                let message = format!("all of the {max} databases that may be open are in use");
                return Err(Error::new(ErrorKind::Busy, message));
            }
            turns_left -= 1;
            std::thread::sleep(ROOM_POLL);
        }
    }

    /// Closes an open database that nobody uses; whether it did. A poisoned one stays open: opening
    /// it again would show what was never acknowledged.
    pub(crate) fn close_if_unused(&self, slot: &Arc<Slot>) -> bool {
        let open = {
            let mut state = slot.state.lock();
            match &state.phase {
                Phase::Open(open) if !open.is_used() && !open.db.stats().poisoned => {}
                _ => return false,
            }
            match std::mem::replace(&mut state.phase, Phase::Closing) {
                Phase::Open(open) => open,
                other => {
                    state.phase = other;
                    return false;
                }
            }
        };
        // A maintenance step that is under way must not reach into the next opening. No other can
        // begin: the slot gives the database to nobody.
        while Arc::strong_count(&open) > 1 {
            std::thread::sleep(LAST_STEP_POLL);
        }
        self.close_db(slot, open);
        self.report(&PoolEvent::Closed {
            name: slot.name.clone(),
        });
        self.open.lock().remove(&slot.id);
        slot.set_phase(Phase::Closed);
        true
    }

    /// Closes what was taken out of its slot. A failure is reported: the next open recovers.
    pub(crate) fn close_db(&self, slot: &Slot, open: Arc<OpenDb>) {
        if let Err(error) = open.db.close() {
            self.report(&PoolEvent::CloseFailed {
                name: slot.name.clone(),
                error,
            });
        }
        open.driver.quiesce();
    }

    /// Closes the databases that were not used for long.
    pub(crate) fn close_idle(&self) {
        let now = self.vfs.now();
        for slot in self.open_slots() {
            let due = slot
                .unused_since()
                .is_some_and(|since| now >= since + self.options.idle_close);
            if due && self.close_if_unused(&slot) {
                self.counters.closed_idle.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Ends the phase `Opening` on every path, a panic included, so that nobody waits for ever.
struct OpeningGuard<'a> {
    shared: &'a Shared,
    slot: &'a Slot,
    attempt: u64,
    outcome: Option<Result<Arc<OpenDb>>>,
}

impl Drop for OpeningGuard<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            let name = &self.slot.name;
            Err(Error::new(
                ErrorKind::Internal,
                format!("opening database {name:?} panicked"),
            ))
        });
        if outcome.is_err() {
            self.shared.open.lock().remove(&self.slot.id);
        }
        let mut state = self.slot.state.lock();
        match outcome {
            Ok(open) => state.phase = Phase::Open(open),
            Err(error) => {
                state.phase = Phase::Closed;
                state.failure = Some((self.attempt, error));
            }
        }
        self.slot.changed.notify_all();
    }
}
