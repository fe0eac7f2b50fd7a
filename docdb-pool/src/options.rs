//! How a pool behaves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use docdb_engine::{DbOptions, Durability};

use crate::PoolEvent;

/// Who hears of a pool's events. Called from whatever thread they happen on.
pub type EventListener = Arc<dyn Fn(&PoolEvent) + Send + Sync>;

/// The options of a pool. Start from [`PoolOptions::default`].
#[derive(Clone)]
#[non_exhaustive]
pub struct PoolOptions {
    /// The durability mode of databases that are created without one.
    pub durability: Durability,
    /// The options of every database. Its durability comes from the catalog, its maintainer is the
    /// pool, and all share one scrub pace.
    pub db: DbOptions,
    /// Most databases open at a time. At the limit the one unused for longest is closed.
    pub open_databases_max: usize,
    /// How long a database may go unused before it is closed.
    pub idle_close: Duration,
    /// Threads that flush, for all databases together. With 0 the pool starts no thread at all,
    /// and its owner calls [`Pool::step`](crate::Pool::step).
    pub flush_threads: usize,
    /// How others reach the owner of the data directory, for the message that they get when they
    /// try to open it too.
    pub owner_address: String,
    /// Who hears of events.
    pub listener: Option<EventListener>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            db: DbOptions::default(),
            open_databases_max: 100,
            idle_close: Duration::from_secs(300),
            flush_threads: 2,
            owner_address: String::new(),
            listener: None,
        }
    }
}

impl PoolOptions {
    /// Options for a pool without threads, whose owner calls [`Pool::step`](crate::Pool::step).
    pub fn manual() -> Self {
        Self {
            flush_threads: 0,
            ..Self::default()
        }
    }

    /// Sets the durability mode of databases that are created without one.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets the options of every database.
    pub fn db(mut self, db: DbOptions) -> Self {
        self.db = db;
        self
    }

    /// Sets how many databases may be open at a time, at least 1.
    pub fn open_databases_max(mut self, count: usize) -> Self {
        self.open_databases_max = count.max(1);
        self
    }

    /// Sets how long a database may go unused before it is closed.
    pub fn idle_close(mut self, after: Duration) -> Self {
        self.idle_close = after;
        self
    }

    /// Sets how many threads flush.
    pub fn flush_threads(mut self, count: usize) -> Self {
        self.flush_threads = count;
        self
    }

    /// Sets how others reach the owner of the data directory.
    pub fn owner_address(mut self, address: impl Into<String>) -> Self {
        self.owner_address = address.into();
        self
    }

    /// Sets who hears of events.
    pub fn listener(mut self, listener: impl Fn(&PoolEvent) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }
}

impl fmt::Debug for PoolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolOptions")
            .field("durability", &self.durability)
            .field("db", &self.db)
            .field("open_databases_max", &self.open_databases_max)
            .field("idle_close", &self.idle_close)
            .field("flush_threads", &self.flush_threads)
            .field("owner_address", &self.owner_address)
            .field("listener", &self.listener.is_some())
            .finish()
    }
}
