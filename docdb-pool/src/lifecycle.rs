//! Creating and dropping databases.
//!
//! The catalog says first what is going to happen, so that a crash at any point is either undone or
//! finished by the next open:
//!
//! | step | durable after it | a crash then |
//! |---|---|---|
//! | entry `Creating` | the id is used up | rolled back, id not used again |
//! | directory made | | rolled back, directory removed |
//! | entry `Active` | the creation; answered after this | the database is there |
//! | entry `Dropping` | the drop | finished |
//! | directory removed | | finished |
//! | entry removed | | nothing is left |

use std::sync::Arc;
use std::sync::atomic::Ordering;

use docdb_engine::{Db, Durability, Error, ErrorKind};
use docdb_types::check_database_name;
use docdb_types::limits::DATABASES_MAX;

use crate::catalog::{CatalogError, EntryState};
use crate::error::{self, Result};
use crate::pool::Pool;
use crate::slot::{OpenDb, Phase, Slot};
use crate::{DatabaseInfo, PoolEvent, layout};

impl Pool {
    /// Creates a database, durable when this returns, and answers its id, which is never used
    /// again. Without a mode it gets that of [`PoolOptions`](crate::PoolOptions).
    ///
    /// # Errors
    /// `InvalidName`, `AlreadyExists`, `LimitExceeded`, `Busy` (see [`Pool::database`]),
    /// `DiskFull`, `Io`, `Closed`: nothing was created. `Poisoned`: the catalog takes no more
    /// changes since one failed. `OutcomeUnknown`: the catalog failed during this change.
    pub fn create_database(&self, name: &str, durability: Option<Durability>) -> Result<u64> {
        check_database_name(name).map_err(|error| {
            Error::new(
                ErrorKind::InvalidName,
                format!("database name {name:?}: {error}"),
            )
        })?;
        let closing = self.lifecycle.read();
        if *closing {
            return Err(error::closed());
        }
        let _reservation = self.reserve_name(name)?;
        let durability = durability.unwrap_or(self.shared.options.durability);
        let id = self.create_reserved(name, durability)?;
        self.shared.counters.created.fetch_add(1, Ordering::Relaxed);
        Ok(id)
    }

    /// Drops a database with everything in it; durable when this returns. Handles in use answer
    /// `Closed` from then on.
    ///
    /// # Errors
    /// `DatabaseNotFound`, `Closed`, and what [`Pool::create_database`] says of the catalog. A
    /// directory that cannot be removed is an event, not an error: the next open tries again.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        let closing = self.lifecycle.read();
        if *closing {
            return Err(error::closed());
        }
        let shared = &*self.shared;
        let slot = shared.slot(name)?;
        let open = take_for_drop(&slot)?;

        let dropped = shared
            .catalog
            .lock()
            .set_state(slot.id, EntryState::Dropping);
        if let Err(error) = dropped {
            // Not dropped as far as this process knows: it goes on serving it.
            slot.set_phase(match open {
                Some(open) => Phase::Open(open),
                None => Phase::Closed,
            });
            return Err(error::from_catalog(error));
        }
        shared.names.write().remove(name);
        slot.set_phase(Phase::Dropped);
        if let Some(open) = open {
            shared.close_db(&slot, open);
        }
        shared.open.lock().remove(&slot.id);
        shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
        self.remove_files(&slot);
        Ok(())
    }

    /// The databases, ordered by name.
    pub fn list(&self) -> Vec<DatabaseInfo> {
        let names = self.shared.names.read();
        let mut list: Vec<DatabaseInfo> = names
            .values()
            .map(|slot| DatabaseInfo {
                id: slot.id,
                name: slot.name.clone(),
                durability: slot.durability.clone(),
                open: slot.opened().is_some(),
            })
            .collect();
        drop(names);
        list.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// Whether a database of that name exists.
    pub fn contains(&self, name: &str) -> bool {
        self.shared.names.read().contains_key(name)
    }

    fn create_reserved(&self, name: &str, durability: Durability) -> Result<u64> {
        let shared = &*self.shared;
        let durability_text = durability.to_string();
        let (id, slot) = {
            let mut catalog = shared.catalog.lock();
            if catalog.entries().len() >= DATABASES_MAX {
                let message = format!("there are {DATABASES_MAX} databases already");
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
            let id = catalog
                .add(name, &durability_text)
                .map_err(error::from_catalog)?;
            let dir = shared.data_dir.join(layout::database_dir_name(id));
            let slot = Slot::new(id, name, &durability_text, dir, Phase::Opening);
            (id, Arc::new(slot))
        };
        let result = shared
            .make_room(&slot)
            .and_then(|()| self.create_files(&slot, durability));
        let open = match result {
            Ok(open) => open,
            Err(error) => {
                shared.open.lock().remove(&id);
                slot.set_phase(Phase::Dropped);
                self.remove_files(&slot);
                return Err(error);
            }
        };
        let activated = shared.catalog.lock().set_state(id, EntryState::Active);
        if let Err(error) = activated {
            shared.close_db(&slot, Arc::new(open));
            shared.open.lock().remove(&id);
            slot.set_phase(Phase::Dropped);
            if let CatalogError::Io(_) = error {
                self.remove_files(&slot);
            }
            return Err(error::from_catalog(error));
        }
        slot.set_phase(Phase::Open(Arc::new(open)));
        shared.names.write().insert(name.to_owned(), slot);
        shared.activity.poke();
        Ok(id)
    }

    fn create_files(&self, slot: &Slot, durability: Durability) -> Result<OpenDb> {
        let shared = &*self.shared;
        let mut options = shared.db_options(durability);
        options.on_damage = shared.damage_listener(&slot.name);
        let driver = shared.executor.driver();
        let db = Db::create(shared.vfs.clone(), &slot.dir, options, driver.clone())?;
        let open = OpenDb::new(db, driver, shared.vfs.now());
        self.sync_data_dir()?;
        Ok(open)
    }

    /// A failed sync of the directory that holds the catalog is as final as one of the catalog.
    fn sync_data_dir(&self) -> Result<()> {
        let shared = &*self.shared;
        shared.vfs.sync_dir(&shared.data_dir).map_err(|error| {
            shared.catalog.lock().poison(error.clone());
            error::from_io(error)
        })
    }

    /// Removes a database's directory and then its entry. What fails stays for the next open.
    fn remove_files(&self, slot: &Slot) {
        let shared = &*self.shared;
        let removed = layout::remove_database(&*shared.vfs, &shared.data_dir, slot.id)
            .map_err(error::from_io)
            .and_then(|()| self.sync_data_dir())
            .and_then(|()| {
                shared
                    .catalog
                    .lock()
                    .remove(slot.id)
                    .map_err(error::from_catalog)
            });
        if let Err(error) = removed {
            shared.report(&PoolEvent::RemovalFailed {
                id: slot.id,
                name: slot.name.clone(),
                error,
            });
        }
    }

    /// Keeps others from creating `name` at the same time; waits for one who does.
    fn reserve_name(&self, name: &str) -> Result<NameReservation<'_>> {
        let mut creating = self.creating.lock();
        while creating.contains(name) {
            self.created.wait(&mut creating);
        }
        if self.contains(name) {
            let message = format!("database {name:?} exists already");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        creating.insert(name.to_owned());
        Ok(NameReservation {
            pool: self,
            name: name.to_owned(),
        })
    }
}

/// Takes an open database out of its slot for a drop; others wait meanwhile.
fn take_for_drop(slot: &Slot) -> Result<Option<Arc<OpenDb>>> {
    let mut state = slot.state.lock();
    loop {
        match &state.phase {
            Phase::Opening | Phase::Closing => slot.changed.wait(&mut state),
            Phase::Dropped => return Err(error::not_found(&slot.name)),
            Phase::Closed | Phase::Open(_) => break,
        }
    }
    Ok(match std::mem::replace(&mut state.phase, Phase::Closing) {
        Phase::Open(open) => Some(open),
        _ => None,
    })
}

struct NameReservation<'a> {
    pool: &'a Pool,
    name: String,
}

impl Drop for NameReservation<'_> {
    fn drop(&mut self) {
        self.pool.creating.lock().remove(&self.name);
        self.pool.created.notify_all();
    }
}
