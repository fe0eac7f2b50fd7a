//! What a pool knows about itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use docdb_engine::DbStats;

use crate::pool::Pool;

/// One database of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseInfo {
    /// Its id, never used for another database.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its durability mode, for example `full`.
    pub durability: String,
    /// Whether it is open at the moment.
    pub open: bool,
}

/// Counters and gauges of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Databases that exist.
    pub databases: usize,
    /// Databases that are open, opening or closing.
    pub databases_open: usize,
    /// Most that may be.
    pub databases_open_max: usize,
    /// Since the pool was opened: databases opened.
    pub opened: u64,
    /// Opens that failed.
    pub open_failures: u64,
    /// Databases closed for being idle.
    pub closed_idle: u64,
    /// Databases closed to make room for others.
    pub closed_for_room: u64,
    /// Databases created.
    pub created: u64,
    /// Databases dropped.
    pub dropped: u64,
    /// Changes that the catalog has had in its life.
    pub catalog_edits: u64,
    /// Whether a failure ended the catalog's changes: nothing can be created or dropped.
    pub catalog_poisoned: bool,
    /// Databases that wait for a flush.
    pub flush_queue_depth: usize,
    /// Flush steps of the executor that flushed something.
    pub flushes: u64,
    /// Flush steps that failed.
    pub flush_failures: u64,
    /// Time since the pool was opened.
    pub uptime: Duration,
}

impl Pool {
    /// The databases that are open at the moment, by name, with their figures. Opens none.
    pub fn open_databases(&self) -> Vec<(String, DbStats)> {
        let open: Vec<_> = self.shared.open.lock().values().cloned().collect();
        let mut databases: Vec<_> = open
            .iter()
            .filter_map(|slot| Some((slot.name.clone(), slot.opened()?.db.stats())))
            .collect();
        databases.sort_by(|(a, _), (b, _)| a.cmp(b));
        databases
    }

    /// Counters and gauges.
    pub fn stats(&self) -> PoolStats {
        let shared = &*self.shared;
        let counters = &shared.counters;
        let (catalog_edits, catalog_poisoned) = {
            let catalog = shared.catalog.lock();
            (catalog.edit(), catalog.is_poisoned())
        };
        PoolStats {
            databases: shared.names.read().len(),
            databases_open: shared.open.lock().len(),
            databases_open_max: shared.options.open_databases_max,
            opened: counters.opened.load(Ordering::Relaxed),
            open_failures: counters.open_failures.load(Ordering::Relaxed),
            closed_idle: counters.closed_idle.load(Ordering::Relaxed),
            closed_for_room: counters.closed_for_room.load(Ordering::Relaxed),
            created: counters.created.load(Ordering::Relaxed),
            dropped: counters.dropped.load(Ordering::Relaxed),
            catalog_edits,
            catalog_poisoned,
            flush_queue_depth: shared.executor.queued(),
            flushes: shared.executor.flushes(),
            flush_failures: shared.executor.failures(),
            uptime: shared.vfs.now().saturating_sub(self.opened_at),
        }
    }
}
