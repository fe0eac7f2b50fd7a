//! The place of one database in the pool, open or not.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use docdb_engine::{Db, Error};
use parking_lot::{Condvar, Mutex};

use crate::executor::DbDriver;

/// One database of the catalog.
pub(crate) struct Slot {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// The text of its durability mode, as in the catalog.
    pub(crate) durability: String,
    pub(crate) dir: PathBuf,
    /// Lock order: after `Shared::open`. Never held during I/O.
    pub(crate) state: Mutex<SlotState>,
    /// Signalled whenever `state` changes.
    pub(crate) changed: Condvar,
}

pub(crate) struct SlotState {
    pub(crate) phase: Phase,
    /// How often it was tried to open it.
    pub(crate) attempt: u64,
    /// Why the attempt of that number failed, for those who waited for it.
    pub(crate) failure: Option<(u64, Error)>,
}

pub(crate) enum Phase {
    Closed,
    /// One thread opens it; others wait.
    Opening,
    Open(Arc<OpenDb>),
    /// One thread closes or drops it; others wait.
    Closing,
    /// Dropped for good.
    Dropped,
}

/// An open database with what the pool keeps beside it.
pub(crate) struct OpenDb {
    pub(crate) db: Db,
    pub(crate) driver: Arc<DbDriver>,
    /// Handles. Grows from 0 only under the slot's state lock, so that 0 seen there stays 0.
    uses: AtomicUsize,
    /// When it was last asked for, in nanoseconds of the file system's clock.
    used_at_nanos: AtomicU64,
    /// The last failure of maintenance, so that one that stays is reported once.
    pub(crate) maintenance_failure: Mutex<Option<String>>,
}

impl Slot {
    pub(crate) fn new(id: u64, name: &str, durability: &str, dir: PathBuf, phase: Phase) -> Self {
        Self {
            id,
            name: name.into(),
            durability: durability.into(),
            dir,
            state: Mutex::new(SlotState {
                phase,
                attempt: 0,
                failure: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// The database, if it is open.
    pub(crate) fn opened(&self) -> Option<Arc<OpenDb>> {
        match &self.state.lock().phase {
            Phase::Open(db) => Some(db.clone()),
            _ => None,
        }
    }

    /// Since when nobody uses the open database; `None` if it is not open or in use.
    pub(crate) fn unused_since(&self) -> Option<Duration> {
        match &self.state.lock().phase {
            Phase::Open(db) if !db.is_used() => Some(db.used_at()),
            _ => None,
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.state.lock().phase = phase;
        self.changed.notify_all();
    }
}

impl OpenDb {
    pub(crate) fn new(db: Db, driver: Arc<DbDriver>, now: Duration) -> Self {
        let this = Self {
            db,
            driver,
            uses: AtomicUsize::new(0),
            used_at_nanos: AtomicU64::new(0),
            maintenance_failure: Mutex::new(None),
        };
        this.touch(now);
        this
    }

    /// Whether a handle is held.
    pub(crate) fn is_used(&self) -> bool {
        self.uses.load(Ordering::Acquire) > 0
    }

    pub(crate) fn touch(&self, now: Duration) {
        self.used_at_nanos
            .store(now.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn used_at(&self) -> Duration {
        Duration::from_nanos(self.used_at_nanos.load(Ordering::Relaxed))
    }
}

/// The use of an open database: it is not closed for being idle, nor to make room, while a handle
/// is held. Hold one for the length of an operation, or as long as
/// a transaction or snapshot of the database is open, not for the length of a program. Cheap to
/// clone. After a drop of the database, or the close of the pool, its calls answer `Closed`.
pub struct DbHandle(Arc<OpenDb>);

impl DbHandle {
    /// A first use. The caller holds the slot's state, so that nobody closes the database meanwhile.
    pub(crate) fn new(open: &Arc<OpenDb>) -> DbHandle {
        open.uses.fetch_add(1, Ordering::Relaxed);
        DbHandle(open.clone())
    }

    /// Whether both are uses of the same open database: their commits settle in one order.
    pub fn is_same(&self, other: &DbHandle) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Clone for DbHandle {
    fn clone(&self) -> Self {
        DbHandle::new(&self.0)
    }
}

impl Drop for DbHandle {
    fn drop(&mut self) {
        self.0.uses.fetch_sub(1, Ordering::Release);
    }
}

impl Deref for DbHandle {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.0.db
    }
}

impl fmt::Debug for DbHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbHandle").finish_non_exhaustive()
    }
}
