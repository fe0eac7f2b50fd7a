//! The pool: opening it, getting at its databases, closing it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use docdb_engine::{Error, ErrorKind};
use docdb_vfs::{DirLock, Vfs};
use parking_lot::{Condvar, Mutex, RwLock};

use crate::catalog::{CatalogStore, EntryState};
use crate::error::{self, Result};
use crate::executor::{FlushExecutor, Work};
use crate::maintenance::{self, Activity};
use crate::shared::{Counters, Shared};
use crate::slot::{DbHandle, Phase, Slot};
use crate::{PoolEvent, PoolOptions, layout, lock_file};

/// Databases that are closed at the same time when the pool closes.
const CLOSE_PARALLEL_MAX: usize = 4;

/// Many isolated databases in one data directory, owned by this process.
///
/// All methods take `&self` and may be called from many threads. Dropping the pool closes it.
pub struct Pool {
    pub(crate) shared: Arc<Shared>,
    /// Held for reading while a database is created or dropped; true once the pool closes.
    pub(crate) lifecycle: RwLock<bool>,
    /// Names whose creation is under way.
    pub(crate) creating: Mutex<HashSet<String>>,
    pub(crate) created: Condvar,
    pub(crate) opened_at: Duration,
    repairs: Vec<PoolEvent>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn DirLock>>>,
    closed: AtomicBool,
}

impl Pool {
    /// Opens the data directory, and makes it if it does not exist. The databases in it are opened
    /// when they are first used.
    ///
    /// # Errors
    /// `InUse` if another process owns the directory (the message names it), `Corrupt` if nothing
    /// of the catalog is left or a database directory is not in it (nothing is changed then),
    /// `UnsupportedVersion`, `DiskFull`, `Io`.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        data_dir: impl AsRef<Path>,
        options: PoolOptions,
    ) -> Result<Self> {
        let data_dir = data_dir.as_ref();
        layout::create_dir_all(&*vfs, data_dir).map_err(error::from_io)?;
        let lock = vfs.lock_dir(data_dir).map_err(|error| {
            if error.kind() == std::io::ErrorKind::WouldBlock {
                lock_file::in_use(&*vfs, data_dir)
            } else {
                error::from_io(error)
            }
        })?;
        let names = vfs.list(data_dir).map_err(error::from_io)?;
        let opened =
            CatalogStore::open(vfs.clone(), data_dir, &names).map_err(error::from_catalog)?;
        let mut catalog = opened.store;
        judge_directories(data_dir, &names, &catalog)?;

        // The verdict is "open": from here on things may be changed.
        lock_file::write(&*vfs, data_dir, &options.owner_address).map_err(error::from_io)?;
        let mut events = Vec::new();
        if opened.created {
            events.push(PoolEvent::Created {
                data_dir: data_dir.to_path_buf(),
            });
        }
        if let Some((path, why)) = opened.restored {
            catalog.restore(&path).map_err(error::from_catalog)?;
            events.push(PoolEvent::CatalogRestored { path, why });
        }
        finish_interrupted(&*vfs, data_dir, &mut catalog, &mut events)?;

        let mut slots = HashMap::default();
        for entry in catalog.entries() {
            if entry.state != EntryState::Active {
                continue;
            }
            let dir_name = layout::database_dir_name(entry.id);
            let dir = data_dir.join(&dir_name);
            if names.binary_search(&dir_name).is_err() {
                let event = PoolEvent::DirectoryMissing {
                    name: entry.name.clone(),
                    path: dir.clone(),
                };
                events.push(event);
            }
            let slot = Slot::new(entry.id, &entry.name, &entry.durability, dir, Phase::Closed);
            slots.insert(entry.name.clone(), Arc::new(slot));
        }

        let activity = Arc::new(Activity::default());
        let executor = FlushExecutor::new(Arc::clone(&vfs), options.listener.clone());
        let opened_at = vfs.now();
        let shared = Arc::new(Shared {
            vfs,
            data_dir: data_dir.to_path_buf(),
            options,
            catalog: Mutex::new(catalog),
            names: RwLock::new(slots),
            open: Mutex::default(),
            executor,
            activity,
            closing: AtomicBool::new(false),
            counters: Counters::default(),
        });
        for event in &events {
            shared.report(event);
        }
        let pool = Self {
            lifecycle: RwLock::new(false),
            creating: Mutex::new(HashSet::new()),
            created: Condvar::new(),
            opened_at,
            repairs: events,
            threads: Mutex::new(Vec::new()),
            lock: Mutex::new(Some(lock)),
            closed: AtomicBool::new(false),
            shared,
        };
        *pool.threads.lock() = maintenance::spawn(&pool.shared)?;
        Ok(pool)
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.shared.data_dir
    }

    /// What opening the directory found and did besides reading the catalog, also told as events.
    pub fn repairs(&self) -> &[PoolEvent] {
        &self.repairs
    }

    /// The use of a database, which is opened if it is not. Callers that come while it is being
    /// opened wait for that one attempt and share its outcome.
    ///
    /// # Errors
    /// `DatabaseNotFound`; what opening answers (`Corrupt` for this database alone); `Busy` if as
    /// many databases as may be open stay in use; `Closed`.
    pub fn database(&self, name: &str) -> Result<DbHandle> {
        self.check_open()?;
        self.shared.database(name)
    }

    /// As [`Pool::database`], but never waits: `None` if the database is not open.
    pub fn try_database(&self, name: &str) -> Result<Option<DbHandle>> {
        self.shared.try_database(name)
    }

    /// Checkpoints and closes a database that nobody uses; it opens again at its next use. False if
    /// it was in use or not open.
    ///
    /// # Errors
    /// `DatabaseNotFound`, `Closed`. A checkpoint that fails is an event, not an error.
    pub fn close_database(&self, name: &str) -> Result<bool> {
        self.check_open()?;
        let slot = self.shared.slot(name)?;
        Ok(self.shared.close_if_unused(&slot))
    }

    /// For a pool without threads: flushes once for every database that asked for it and does what
    /// maintenance is due. Whether there was anything to do.
    pub fn step(&self) -> bool {
        let mut worked = false;
        for work in [Work::Flush, Work::Prepare] {
            for _ in 0..self.shared.options.open_databases_max {
                if !self.shared.executor.step(work) {
                    break;
                }
                worked = true;
            }
        }
        worked |= maintenance::step_all(&self.shared);
        self.shared.close_idle();
        worked
    }

    /// Closes the pool: waits for creations and drops under way, flushes, checkpoints and closes
    /// every open database (a few at a time), ends the threads and gives up the directory. Handles
    /// still held answer `Closed`. Databases that could not be closed cleanly are events; their
    /// next open recovers them. Closing twice is fine.
    pub fn close(&self) {
        *self.lifecycle.write() = true;
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let shared = &*self.shared;
        {
            // Under this lock, so that whoever counts a database as open has done so before.
            let _open = shared.open.lock();
            shared.closing.store(true, Ordering::SeqCst);
        }
        let slots = Mutex::new(shared.open_slots());
        let close_some = || {
            loop {
                let Some(slot) = slots.lock().pop() else {
                    return;
                };
                close_slot(shared, &slot);
            }
        };
        if shared.options.flush_threads == 0 {
            close_some();
        } else {
            std::thread::scope(|scope| {
                for _ in 0..CLOSE_PARALLEL_MAX {
                    scope.spawn(close_some);
                }
            });
        }
        shared.activity.close();
        shared.executor.close();
        for thread in self.threads.lock().drain(..) {
            // A thread that panicked has said so; there is nothing left to wait for.
            let _ = thread.join();
        }
        let mut lock = self.lock.lock();
        if lock.is_some() {
            // Only the words go: the lock is on the directory.
            let _ = shared.vfs.remove_file(&shared.data_dir.join(layout::LOCK));
            *lock = None;
        }
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.shared.closing.load(Ordering::SeqCst) {
            Err(error::closed())
        } else {
            Ok(())
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("data_dir", &self.shared.data_dir)
            .finish_non_exhaustive()
    }
}

/// Closes a slot whatever its phase, in use or not; waits for an open under way.
fn close_slot(shared: &Shared, slot: &Arc<Slot>) {
    let mut state = slot.state.lock();
    loop {
        match &state.phase {
            Phase::Opening | Phase::Closing => slot.changed.wait(&mut state),
            Phase::Closed | Phase::Dropped => return,
            Phase::Open(_) => break,
        }
    }
    if let Phase::Open(open) = std::mem::replace(&mut state.phase, Phase::Closing) {
        drop(state);
        shared.close_db(slot, open);
        shared.open.lock().remove(&slot.id);
        slot.set_phase(Phase::Closed);
    }
}

/// Every database directory must be in the catalog: an unknown one is neither adopted nor deleted.
fn judge_directories(data_dir: &Path, names: &[String], catalog: &CatalogStore) -> Result<()> {
    let known: HashSet<String> = catalog
        .entries()
        .iter()
        .flat_map(|entry| {
            [
                layout::database_dir_name(entry.id),
                layout::creating_dir_name(entry.id),
            ]
        })
        .collect();
    match names
        .iter()
        .find(|name| layout::is_database_dir(name) && !known.contains(*name))
    {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "{} is not in the catalog; nothing was changed: move it elsewhere, or bring back \
                 the catalog that knows it",
                data_dir.join(name).display()
            ),
        )),
    }
}

/// Rolls back creations and finishes drops that a crash interrupted.
fn finish_interrupted(
    vfs: &dyn Vfs,
    data_dir: &Path,
    catalog: &mut CatalogStore,
    events: &mut Vec<PoolEvent>,
) -> Result<()> {
    let interrupted: Vec<_> = catalog
        .entries()
        .iter()
        .filter(|entry| entry.state != EntryState::Active)
        .cloned()
        .collect();
    for entry in interrupted {
        // The entry goes only when the directory is gone for good, else the directory could come
        // back after a power loss without an entry.
        let removed = layout::remove_database_again(vfs, data_dir, entry.id);
        let (id, name) = (entry.id, entry.name);
        if let Err(error) = removed {
            let error = error::from_io(error);
            events.push(PoolEvent::RemovalFailed { id, name, error });
            continue;
        }
        catalog.remove(id).map_err(error::from_catalog)?;
        events.push(if entry.state == EntryState::Creating {
            PoolEvent::CreationRolledBack { id, name }
        } else {
            PoolEvent::DropFinished { id, name }
        });
    }
    Ok(())
}
