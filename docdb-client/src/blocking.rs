//! The same client for programs without async code.
//!
//! Each call drives the connection on the calling thread, so a program that calls from one thread
//! has no other. Calls from several threads share the connection. Must not be used inside async
//! code: a call that blocks would panic there.
//!
//! ```no_run
//! use docdb_client::blocking::Client;
//!
//! fn main() -> docdb_client::Result<()> {
//!     let client = Client::connect("/tmp/docdb.sock")?;
//!     let notes = client.database("demo").collection::<String>("_default");
//!     let written = notes.insert(&"remember the milk".to_owned())?;
//!     println!("{}", notes.get(written.id)?.value);
//!     Ok(())
//! }
//! ```

mod transaction;

pub use transaction::{Snapshot, Transaction};

use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use docdb_types::ErrorKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::{
    ClientBuilder, CollectionInfo, DatabaseInfo, Document, Error, RangeDeleted, Result, Versioned,
    WriteOptions, Written,
};

/// A blocking [`crate::Client`].
#[derive(Debug, Clone)]
pub struct Client {
    // Before the runtime: it ends its tasks when it is dropped.
    inner: crate::Client,
    runtime: Arc<Runtime>,
}

impl Client {
    /// Connects to the server whose socket has this path, with the default settings.
    pub fn connect(path: impl AsRef<Path>) -> Result<Client> {
        Client::connect_with(crate::Client::builder(path))
    }

    /// Connects with the settings of [`crate::Client::builder`].
    pub fn connect_with(builder: ClientBuilder) -> Result<Client> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Io, format!("cannot start a runtime: {error}"))
                    .with_source(error)
            })?;
        let inner = runtime.block_on(builder.connect())?;
        Ok(Client {
            inner,
            runtime: Arc::new(runtime),
        })
    }

    /// As [`crate::Client::ping`].
    pub fn ping(&self) -> Result<()> {
        self.runtime.block_on(self.inner.ping())
    }

    /// As [`crate::Client::database`].
    pub fn database(&self, name: &str) -> Database {
        Database {
            inner: self.inner.database(name),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// As [`crate::Client::databases`].
    pub fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        self.runtime.block_on(self.inner.databases())
    }

    /// As [`crate::Client::create_database`].
    pub fn create_database(&self, name: &str, durability: Option<&str>) -> Result<()> {
        self.runtime
            .block_on(self.inner.create_database(name, durability))
    }

    /// As [`crate::Client::drop_database`].
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.runtime.block_on(self.inner.drop_database(name))
    }

    /// As [`crate::Client::backup`].
    pub fn backup(&self, dir: &str, options: &crate::BackupOptions) -> Result<crate::BackupReport> {
        self.runtime.block_on(self.inner.backup(dir, options))
    }

    /// As [`crate::Client::stats`].
    pub fn stats(&self) -> Result<serde_json::Value> {
        self.runtime.block_on(self.inner.stats())
    }
}

/// A blocking [`crate::Database`].
#[derive(Debug, Clone)]
pub struct Database {
    inner: crate::Database,
    runtime: Arc<Runtime>,
}

impl Database {
    /// The database's name.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// As [`crate::Database::collection`].
    pub fn collection<T>(&self, name: &str) -> Collection<T> {
        Collection {
            inner: self.inner.collection(name),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// As [`crate::Database::raw_collection`].
    pub fn raw_collection(&self, name: &str) -> RawCollection {
        RawCollection {
            inner: self.inner.raw_collection(name),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// As [`crate::Database::collections`].
    pub fn collections(&self) -> Result<Vec<CollectionInfo>> {
        self.runtime.block_on(self.inner.collections())
    }

    /// As [`crate::Database::create_collection`].
    pub fn create_collection(&self, name: &str) -> Result<()> {
        self.runtime.block_on(self.inner.create_collection(name))
    }

    /// As [`crate::Database::drop_collection`].
    pub fn drop_collection(&self, name: &str, force: bool) -> Result<()> {
        self.runtime
            .block_on(self.inner.drop_collection(name, force))
    }

    /// As [`crate::Database::compact`].
    pub fn compact(&self) -> Result<crate::Compacted> {
        self.runtime.block_on(self.inner.compact())
    }

    /// As [`crate::Database::heal`].
    pub fn heal(&self, collection: &str, id: u64) -> Result<crate::HealOutcome> {
        self.runtime.block_on(self.inner.heal(collection, id))
    }

    /// As [`crate::Database::heal_all`].
    pub fn heal_all(&self) -> Result<crate::HealReport> {
        self.runtime.block_on(self.inner.heal_all())
    }

    /// As [`crate::Database::heal_stats`].
    pub fn heal_stats(&self) -> Result<serde_json::Value> {
        self.runtime.block_on(self.inner.heal_stats())
    }

    /// As [`crate::Database::checkpoint`].
    pub fn checkpoint(&self) -> Result<()> {
        self.runtime.block_on(self.inner.checkpoint())
    }

    /// As [`crate::Database::stats`].
    pub fn stats(&self) -> Result<serde_json::Value> {
        self.runtime.block_on(self.inner.stats())
    }

    /// Starts a batch of writes, to be sent with [`Database::commit`] or
    /// [`Database::commit_independent`].
    pub fn batch(&self) -> crate::Batch {
        self.inner.batch()
    }

    /// As [`crate::Batch::commit`].
    pub fn commit(&self, batch: crate::Batch) -> Result<Vec<Written>> {
        self.runtime.block_on(batch.commit())
    }

    /// As [`crate::Batch::commit_independent`].
    pub fn commit_independent(&self, batch: crate::Batch) -> Result<Vec<Result<Written>>> {
        self.runtime.block_on(batch.commit_independent())
    }
}

/// A blocking [`crate::Collection`].
pub struct Collection<T> {
    inner: crate::Collection<T>,
    runtime: Arc<Runtime>,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Collection {
            inner: self.inner.clone(),
            runtime: Arc::clone(&self.runtime),
        }
    }
}

impl<T> fmt::Debug for Collection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection")
            .field("inner", &self.inner)
            .finish()
    }
}

impl<T> Collection<T> {
    /// As [`crate::Collection::with`].
    pub fn with(&self, options: WriteOptions) -> Self {
        Collection {
            inner: self.inner.with(options),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// As [`crate::Collection::delete`].
    pub fn delete(&self, id: u64) -> Result<Written> {
        self.runtime.block_on(self.inner.delete(id))
    }

    /// As [`crate::Collection::patch`].
    pub fn patch<P: Serialize + ?Sized>(&self, id: u64, patch: &P) -> Result<Written> {
        self.runtime.block_on(self.inner.patch(id, patch))
    }

    /// As [`crate::Collection::merge`].
    pub fn merge<P: Serialize + ?Sized>(&self, id: u64, patch: &P) -> Result<Written> {
        self.runtime.block_on(self.inner.merge(id, patch))
    }

    /// As [`crate::Collection::delete_range`].
    pub fn delete_range(
        &self,
        ids: impl RangeBounds<u64>,
        limit: Option<u64>,
    ) -> Result<RangeDeleted> {
        self.runtime.block_on(self.inner.delete_range(ids, limit))
    }

    /// As [`crate::Collection::exists`].
    pub fn exists(&self, id: u64) -> Result<bool> {
        self.runtime.block_on(self.inner.exists(id))
    }

    /// As [`crate::Collection::count`].
    pub fn count(&self) -> Result<u64> {
        self.runtime.block_on(self.inner.count())
    }
}

impl<T: Serialize> Collection<T> {
    /// As [`crate::Collection::create`].
    pub fn create(&self, id: u64, value: &T) -> Result<Written> {
        self.runtime.block_on(self.inner.create(id, value))
    }

    /// As [`crate::Collection::update`].
    pub fn update(&self, id: u64, value: &T) -> Result<Written> {
        self.runtime.block_on(self.inner.update(id, value))
    }

    /// As [`crate::Collection::upsert`].
    pub fn upsert(&self, id: u64, value: &T) -> Result<Written> {
        self.runtime.block_on(self.inner.upsert(id, value))
    }

    /// As [`crate::Collection::insert`].
    pub fn insert(&self, value: &T) -> Result<Written> {
        self.runtime.block_on(self.inner.insert(value))
    }
}

impl<T: DeserializeOwned> Collection<T> {
    /// As [`crate::Collection::get`].
    pub fn get(&self, id: u64) -> Result<Versioned<T>> {
        self.runtime.block_on(self.inner.get(id))
    }

    /// As [`crate::Collection::get_if_exists`].
    pub fn get_if_exists(&self, id: u64) -> Result<Option<Versioned<T>>> {
        self.runtime.block_on(self.inner.get_if_exists(id))
    }

    /// As [`crate::Collection::scan`], an iterator.
    pub fn scan(&self, ids: impl RangeBounds<u64>) -> Scan<T> {
        Scan {
            inner: self.inner.scan(ids),
            runtime: Arc::clone(&self.runtime),
        }
    }
}

/// A blocking [`crate::RawCollection`].
#[derive(Debug, Clone)]
pub struct RawCollection {
    inner: crate::RawCollection,
    runtime: Arc<Runtime>,
}

impl RawCollection {
    /// As [`crate::RawCollection::with`].
    pub fn with(&self, options: WriteOptions) -> Self {
        RawCollection {
            inner: self.inner.with(options),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// As [`crate::RawCollection::create`].
    pub fn create(&self, id: u64, json: impl Into<Bytes>) -> Result<Written> {
        self.runtime.block_on(self.inner.create(id, json))
    }

    /// As [`crate::RawCollection::update`].
    pub fn update(&self, id: u64, json: impl Into<Bytes>) -> Result<Written> {
        self.runtime.block_on(self.inner.update(id, json))
    }

    /// As [`crate::RawCollection::upsert`].
    pub fn upsert(&self, id: u64, json: impl Into<Bytes>) -> Result<Written> {
        self.runtime.block_on(self.inner.upsert(id, json))
    }

    /// As [`crate::RawCollection::insert`].
    pub fn insert(&self, json: impl Into<Bytes>) -> Result<Written> {
        self.runtime.block_on(self.inner.insert(json))
    }

    /// As [`crate::RawCollection::patch`].
    pub fn patch(&self, id: u64, patch: impl Into<Bytes>) -> Result<Written> {
        self.runtime.block_on(self.inner.patch(id, patch))
    }

    /// As [`crate::RawCollection::merge`].
    pub fn merge(&self, id: u64, patch: impl Into<Bytes>) -> Result<Written> {
        self.runtime.block_on(self.inner.merge(id, patch))
    }

    /// As [`crate::RawCollection::delete_range`].
    pub fn delete_range(
        &self,
        ids: impl RangeBounds<u64>,
        limit: Option<u64>,
    ) -> Result<RangeDeleted> {
        self.runtime.block_on(self.inner.delete_range(ids, limit))
    }

    /// As [`crate::RawCollection::delete`].
    pub fn delete(&self, id: u64) -> Result<Written> {
        self.runtime.block_on(self.inner.delete(id))
    }

    /// As [`crate::RawCollection::get`].
    pub fn get(&self, id: u64) -> Result<Versioned<Bytes>> {
        self.runtime.block_on(self.inner.get(id))
    }

    /// As [`crate::RawCollection::get_if_exists`].
    pub fn get_if_exists(&self, id: u64) -> Result<Option<Versioned<Bytes>>> {
        self.runtime.block_on(self.inner.get_if_exists(id))
    }

    /// As [`crate::RawCollection::exists`].
    pub fn exists(&self, id: u64) -> Result<bool> {
        self.runtime.block_on(self.inner.exists(id))
    }

    /// As [`crate::RawCollection::count`].
    pub fn count(&self) -> Result<u64> {
        self.runtime.block_on(self.inner.count())
    }

    /// As [`crate::RawCollection::scan`], an iterator.
    pub fn scan(&self, ids: impl RangeBounds<u64>) -> RawScan {
        RawScan {
            inner: self.inner.scan(ids),
            runtime: Arc::clone(&self.runtime),
        }
    }
}

/// A blocking [`crate::RawScan`]: an iterator over documents.
#[derive(Debug)]
pub struct RawScan {
    inner: crate::RawScan,
    runtime: Arc<Runtime>,
}

impl RawScan {
    /// As [`crate::RawScan::limit`].
    pub fn limit(self, limit: u64) -> Self {
        RawScan {
            inner: self.inner.limit(limit),
            ..self
        }
    }

    /// As [`crate::RawScan::reverse`].
    pub fn reverse(self) -> Self {
        RawScan {
            inner: self.inner.reverse(),
            ..self
        }
    }
}

impl Iterator for RawScan {
    type Item = Result<Document<Bytes>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.runtime.block_on(self.inner.next()).transpose()
    }
}

/// A blocking [`crate::Scan`]: an iterator over documents.
#[derive(Debug)]
pub struct Scan<T> {
    inner: crate::Scan<T>,
    runtime: Arc<Runtime>,
}

impl<T> Scan<T> {
    /// As [`crate::Scan::limit`].
    pub fn limit(self, limit: u64) -> Self {
        Scan {
            inner: self.inner.limit(limit),
            runtime: self.runtime,
        }
    }

    /// As [`crate::Scan::reverse`].
    pub fn reverse(self) -> Self {
        Scan {
            inner: self.inner.reverse(),
            runtime: self.runtime,
        }
    }
}

impl<T: DeserializeOwned> Iterator for Scan<T> {
    type Item = Result<Document<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.runtime.block_on(self.inner.next()).transpose()
    }
}
