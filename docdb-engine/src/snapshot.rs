//! Snapshots that a caller keeps: one state of the whole database, read as often as wanted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use docdb_index::{IndexError, Key, Lookup, ReadMode};
use docdb_mvcc::{CommitTs, Hold, HoldLimit};
use docdb_types::ErrorKind;

use crate::collections::Collection;
use crate::db::{Db, Inner};
use crate::error::{Error, Result};
use crate::ops::{CollectionInfo, Document, Ready};
use crate::planted::{Bug, is_planted};
use crate::read::Found;
use crate::scan::{Scan, ScanRequest};

/// The state of a database at one moment, for any number of reads. Cheap to clone; all clones are
/// the same snapshot, and the last one to be dropped releases it.
///
/// It never blocks writers and is never blocked by them. It ends when it was not used for
/// `snapshot_idle_max`, when it is `snapshot_age_max` old, or, the oldest first, when the database
/// needs the memory that it keeps; then every read answers `SnapshotTooOld`.
#[derive(Clone)]
pub struct Snapshot {
    view: Arc<View>,
}

impl Db {
    /// A snapshot of everything that is visible now: whatever was acknowledged before the call.
    ///
    /// ```
    /// # use docdb_engine::{Db, WriteOp};
    /// # fn main() -> docdb_engine::Result<()> {
    /// # let temp = tempfile::tempdir().unwrap();
    /// # let db = Db::open(temp.path().join("db"))?;
    /// db.submit(&[WriteOp::create("_default", 1, b"1")]).wait()?;
    /// let snapshot = db.snapshot()?;
    /// db.submit(&[WriteOp::delete("_default", 1)]).wait()?;
    /// assert_eq!((snapshot.count("_default")?, db.count("_default")?), (1, 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `LimitExceeded` if `snapshots_max` are open; `Closed`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let view = View::open(self, HoldLimit::Use, self.inner.vfs.now())?.ok_or_else(|| {
            let most = self.inner.options.snapshots_max;
            Error::new(
                ErrorKind::LimitExceeded,
                format!("{most} snapshots are open; drop some, or raise snapshots_max"),
            )
        })?;
        Ok(Snapshot {
            view: Arc::new(view),
        })
    }
}

impl Snapshot {
    /// The version that is read at: what was committed at or below it is seen.
    pub fn version(&self) -> u64 {
        self.view.ts().0
    }

    /// As [`Db::read`].
    ///
    /// # Errors
    /// `NotFound`, `CollectionNotFound`, `SnapshotTooOld`, `Corrupt`, `Io`, `Closed`.
    pub fn read(&self, collection: &str, id: u64) -> Result<Document> {
        now(self.document(collection, id, ReadMode::Blocking)?)
    }

    /// As [`Snapshot::read`], if that needs no wait for the device.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_nowait(&self, collection: &str, id: u64) -> Result<Ready<Document>> {
        self.document(collection, id, ReadMode::NoWait)
    }

    fn document(&self, collection: &str, id: u64, mode: ReadMode) -> Result<Ready<Document>> {
        let _pin = self.view.pin()?;
        let key = Key::new(self.view.collection(collection)?.id, id);
        Ok(match self.view.document(key, mode)? {
            Ready::Now(Some(document)) => Ready::Now(document),
            Ready::Now(None) => return Err(Error::document_missing(collection, id)),
            Ready::WouldBlock => Ready::WouldBlock,
        })
    }

    /// Whether the document exists.
    ///
    /// # Errors
    /// As [`Snapshot::read`], without `NotFound`.
    pub fn exists(&self, collection: &str, id: u64) -> Result<bool> {
        now(self.is_there(collection, id, ReadMode::Blocking)?)
    }

    /// As [`Snapshot::exists`], if that needs no wait for the device.
    ///
    /// # Errors
    /// As `exists`.
    pub fn exists_nowait(&self, collection: &str, id: u64) -> Result<Ready<bool>> {
        self.is_there(collection, id, ReadMode::NoWait)
    }

    fn is_there(&self, collection: &str, id: u64, mode: ReadMode) -> Result<Ready<bool>> {
        let _pin = self.view.pin()?;
        let key = Key::new(self.view.collection(collection)?.id, id);
        Ok(match self.view.find(key, mode)? {
            Ready::Now(found) => Ready::Now(found.is_some()),
            Ready::WouldBlock => Ready::WouldBlock,
        })
    }

    /// How many documents the collection holds.
    ///
    /// # Errors
    /// `CollectionNotFound`, `SnapshotTooOld`, `Closed`.
    pub fn count(&self, collection: &str) -> Result<u64> {
        let _pin = self.view.pin()?;
        let collection = self.view.collection(collection)?;
        Ok(collection.count_at(self.view.ts()))
    }

    /// The collections, by name, with their counts.
    ///
    /// # Errors
    /// `SnapshotTooOld`, `Closed`.
    pub fn collections(&self) -> Result<Vec<CollectionInfo>> {
        let _pin = self.view.pin()?;
        Ok(self.view.db.inner.collections_at(self.view.ts()))
    }

    /// Starts a scan in this snapshot, which may go on after the snapshot is dropped. A cursor must be
    /// of a scan of this snapshot.
    ///
    /// # Errors
    /// As [`Db::scan`], and of the scan's chunks `SnapshotTooOld`.
    pub fn scan(&self, request: &ScanRequest) -> Result<Scan> {
        let _pin = self.view.pin()?;
        Scan::in_view(&self.view, request)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

/// A held commit number of a database: what a snapshot and a transaction read at.
pub(crate) struct View {
    pub(crate) db: Db,
    hold: Hold,
}

impl View {
    /// `None` if there are as many as there may be.
    pub(crate) fn open(db: &Db, limit: HoldLimit, now: Duration) -> Result<Option<View>> {
        let inner = &db.inner;
        inner.check_open()?;
        let holds_max = match limit {
            HoldLimit::Use => inner.options.snapshots_max,
            HoldLimit::Deadline(_) => inner.options.transactions_max,
        };
        let read_at = || {
            if is_planted(Bug::BegunBehind) {
                return CommitTs(inner.visible().0.saturating_sub(1));
            }
            if is_planted(Bug::BegunAhead) {
                return inner.installed();
            }
            inner.visible()
        };
        let Some(hold) = inner.snapshots.hold(now, limit, holds_max, read_at) else {
            return Ok(None);
        };
        inner.sweep_by(match limit {
            HoldLimit::Use => now.saturating_add(inner.options.snapshot_idle_max),
            HoldLimit::Deadline(deadline) => deadline,
        });
        Ok(Some(View {
            db: db.clone(),
            hold,
        }))
    }

    pub(crate) fn ts(&self) -> CommitTs {
        self.hold.ts()
    }

    /// Keeps what is visible here for the time of a call.
    pub(crate) fn pin(&self) -> Result<docdb_mvcc::Snapshot> {
        self.pin_at(self.db.inner.vfs.now())
    }

    pub(crate) fn pin_at(&self, now: Duration) -> Result<docdb_mvcc::Snapshot> {
        let inner = &self.db.inner;
        inner.check_open()?;
        let (idle, age) = (
            inner.options.snapshot_idle_max,
            inner.options.snapshot_age_max,
        );
        self.hold
            .pin(now, idle, age)
            .ok_or_else(|| inner.too_old(self.ts()))
    }

    pub(crate) fn collection(&self, name: &str) -> Result<Arc<Collection>> {
        self.db.inner.collections.at(name, self.ts())
    }

    /// The version of a document that is visible here; to be called pinned.
    pub(crate) fn find(&self, key: Key, mode: ReadMode) -> Result<Ready<Option<Found>>> {
        let inner = &self.db.inner;
        match inner.index.get(key, self.ts(), mode) {
            Ok(Lookup::Found(version)) => Ok(Ready::Now(Some(version))),
            Ok(Lookup::Absent) => Ok(Ready::Now(None)),
            Ok(Lookup::Pruned) => Err(inner.too_old(self.ts())),
            Err(IndexError::WouldBlock) => Ok(Ready::WouldBlock),
            Err(error) => Err(error.into()),
        }
    }

    /// The document that is visible here; to be called pinned.
    pub(crate) fn document(&self, key: Key, mode: ReadMode) -> Result<Ready<Option<Document>>> {
        let inner = &self.db.inner;
        let found = inner.document_at(key, self.ts(), mode)?;
        found.ok_or_else(|| inner.too_old(self.ts()))
    }

    /// Ends it, and has what only it kept freed.
    pub(crate) fn release(&self) {
        self.hold.release();
        let inner = &self.db.inner;
        let was_oldest = || inner.snapshots.oldest(|| inner.visible()) > self.ts();
        if inner.keeps_for_readers() && was_oldest() {
            inner.request_maintenance();
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("ts", &self.ts())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn too_old(&self, ts: CommitTs) -> Error {
        Error::new(
            ErrorKind::SnapshotTooOld,
            format!("the snapshot at version {ts} is no longer kept; take a new one"),
        )
    }

    /// Whether there is anything that only readers keep.
    fn keeps_for_readers(&self) -> bool {
        self.index.has_retired() || self.upkeep.kept_bytes() > 0
    }

    pub(crate) fn collections_at(&self, ts: CommitTs) -> Vec<CollectionInfo> {
        let list = self.collections.list_at(ts);
        list.iter()
            .map(|collection| CollectionInfo {
                id: collection.id,
                name: collection.name.clone(),
                documents: collection.count_at(ts),
            })
            .collect()
    }
}

/// The answer of a read that may block.
pub(crate) fn now<T>(ready: Ready<T>) -> Result<T> {
    match ready {
        Ready::Now(answer) => Ok(answer),
        Ready::WouldBlock => Err(crate::read::would_block()),
    }
}
