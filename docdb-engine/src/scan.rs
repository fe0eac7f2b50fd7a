//! Ordered scans of a collection from one snapshot, in bounded memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use docdb_datafile::{DataFileError, FrameId, ReadAhead, ReadOrder};
use docdb_index::{Direction, Key, Place, ReadMode};
use docdb_mvcc::CommitTs;
use docdb_types::ErrorKind;

use crate::body::Body;
use crate::cursor::Cursor;
use crate::db::{Db, Inner};
use crate::error::{Error, Result};
use crate::ops::Ready;
use crate::planted::{Bug, is_planted};
use crate::read::{Found, deleted_was_read};
use crate::snapshot::View;

/// What to scan.
#[derive(Debug, Clone, Default)]
pub struct ScanRequest {
    /// The collection's name.
    pub collection: String,
    /// The lowest id, inclusive; `None` for no bound. Lower and upper whatever the direction.
    pub from: Option<u64>,
    /// The highest id, inclusive; `None` for no bound.
    pub to: Option<u64>,
    /// The most documents; `None` for all.
    pub limit: Option<u64>,
    /// From high ids to low ones.
    pub reverse: bool,
    /// Go on behind where an earlier scan was cut short, in its snapshot.
    pub cursor: Option<Vec<u8>>,
    /// With a cursor: go on in a new snapshot if that of the cursor is gone.
    pub at_latest: bool,
}

/// A document of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanItem {
    /// Its id.
    pub id: u64,
    /// The number of the commit that wrote it; 0 in a transaction that wrote it itself.
    pub version: u64,
    /// Its bytes.
    pub body: Body,
}

/// A scan under way. Its snapshot is kept until it is dropped.
#[derive(Debug)]
pub struct Scan {
    db: Db,
    reader: Reader,
    collection: u32,
    reverse: bool,
    index: docdb_index::Scan,
    bodies: ReadAhead,
    /// The bytes of its windows that are counted.
    window_bytes: u64,
    left: Option<u64>,
    last_id: Option<u64>,
    done: bool,
}

/// What keeps the state that a scan reads.
#[derive(Debug)]
enum Reader {
    /// The scan itself.
    Own(docdb_mvcc::Snapshot),
    /// A snapshot or a transaction, which may end before.
    View(Arc<View>),
}

impl Reader {
    fn ts(&self) -> CommitTs {
        match self {
            Reader::Own(snapshot) => snapshot.ts(),
            Reader::View(view) => view.ts(),
        }
    }

    /// Keeps the state for the time of a call.
    fn pin(&self) -> Result<Option<docdb_mvcc::Snapshot>> {
        match self {
            Reader::Own(_) => Ok(None),
            Reader::View(view) => view.pin().map(Some),
        }
    }
}

impl Db {
    /// Starts a scan.
    ///
    /// # Errors
    /// `CollectionNotFound`; `InvalidArgument` for a limit of 0 or a cursor that does not fit;
    /// `SnapshotTooOld` if the cursor's snapshot is gone; `Closed`.
    pub fn scan(&self, request: &ScanRequest) -> Result<Scan> {
        let inner = &self.inner;
        inner.check_open()?;
        let cursor = check_request(request)?;
        let snapshot = match cursor {
            Some(cursor) => inner.resume(cursor, request.at_latest)?,
            None => inner.snapshot(),
        };
        Scan::new(self, Reader::Own(snapshot), request, cursor)
    }
}

/// What can be said of a request without a look at the database.
fn check_request(request: &ScanRequest) -> Result<Option<Cursor>> {
    if request.limit == Some(0) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "a scan's limit must be above 0",
        ));
    }
    request.cursor.as_deref().map(Cursor::decode).transpose()
}

impl Scan {
    /// A scan of what a snapshot or a transaction sees.
    pub(crate) fn in_view(view: &Arc<View>, request: &ScanRequest) -> Result<Scan> {
        let cursor = check_request(request)?;
        if cursor.is_some_and(|cursor| cursor.snapshot != view.ts().0) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the cursor belongs to another snapshot",
            ));
        }
        Scan::new(&view.db, Reader::View(Arc::clone(view)), request, cursor)
    }

    fn new(db: &Db, reader: Reader, request: &ScanRequest, cursor: Option<Cursor>) -> Result<Scan> {
        let inner = &db.inner;
        let collection = inner.collections.at(&request.collection, reader.ts())?;
        let from = Key::new(collection.id, request.from.unwrap_or(0));
        let to = Key::new(collection.id, request.to.unwrap_or(u64::MAX));
        let direction = if request.reverse {
            Direction::Descending
        } else {
            Direction::Ascending
        };
        let mut index = inner.index.scan(from, to, direction, reader.ts());
        if let Some(cursor) = cursor {
            if cursor.collection != collection.id || cursor.reverse != request.reverse {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "the cursor belongs to another collection or direction",
                ));
            }
            index = index.after(Key::new(collection.id, cursor.last_id));
        }
        Ok(Scan {
            db: db.clone(),
            reader,
            collection: collection.id,
            reverse: request.reverse,
            index,
            bodies: ReadAhead::new(match direction {
                Direction::Ascending => ReadOrder::Ascending,
                Direction::Descending => ReadOrder::Descending,
            }),
            window_bytes: 0,
            left: request.limit,
            last_id: None,
            done: false,
        })
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        if self.window_bytes > 0 {
            let inner = &self.db.inner;
            inner
                .scan_bytes
                .fetch_sub(self.window_bytes, Ordering::Relaxed);
            inner.make_room(inner.delta_bytes() + inner.admitted_bytes.load(Ordering::Relaxed));
        }
    }
}

impl Inner {
    fn resume(&self, cursor: Cursor, at_latest: bool) -> Result<docdb_mvcc::Snapshot> {
        let ts = CommitTs(cursor.snapshot);
        match self.snapshots.resume(ts, self.vfs.now()) {
            Some(snapshot) => Ok(snapshot),
            None if at_latest => Ok(self.snapshot()),
            None => Err(Error::new(
                ErrorKind::SnapshotTooOld,
                format!(
                    "the snapshot at version {ts} is no longer kept; scan anew or at the latest"
                ),
            )),
        }
    }
}

impl Inner {
    /// The bytes of a version, for a scan.
    fn body_ahead(&self, key: Key, version: &Found, ahead: &mut ReadAhead) -> Result<Body> {
        let pointer = match &version.place {
            Place::Memory(bytes) => return Ok(Body::from(Arc::clone(bytes))),
            Place::Stored(pointer) => pointer.0,
            Place::Deleted => return Err(deleted_was_read()),
        };
        let frame = FrameId {
            collection: key.collection,
            id: key.id,
            version: version.ts.0,
        };
        if let Some(held) = ahead.held(pointer, &frame) {
            return Ok(held?.into());
        }
        // What a scan reads is not kept: it would drive out what others use.
        if let Some(kept) = self.documents.peek(key, version.ts) {
            return Ok(kept.into());
        }
        match ahead.read(&self.store, pointer, &frame) {
            Ok(body) => Ok(body.into()),
            // Compacted since the pointer was found: the document has another place.
            Err(DataFileError::NoSuchFile { .. }) => {
                match self.body(key, version, ReadMode::Blocking, None)? {
                    Ready::Now(body) => Ok(body),
                    Ready::WouldBlock => Err(Error::new(
                        ErrorKind::Internal,
                        "a scan that may block did not",
                    )),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Scan {
    /// The scan as if its request had no limit.
    pub(crate) fn without_limit(mut self) -> Scan {
        self.left = None;
        self
    }

    /// Counts what the windows take now; the caches give way to what has come on top.
    fn count_windows(&mut self, inner: &Inner) {
        let bytes = self.bodies.bytes() as u64;
        if bytes <= self.window_bytes {
            return;
        }
        let more = bytes - self.window_bytes;
        inner.scan_bytes.fetch_add(more, Ordering::Relaxed);
        self.window_bytes = bytes;
        inner.make_room(inner.delta_bytes() + inner.admitted_bytes.load(Ordering::Relaxed));
    }

    /// The version that the scan reads at.
    pub fn version(&self) -> u64 {
        self.reader.ts().0
    }

    /// The next documents in order: at most `items_max`, and no more once their bytes reach
    /// `bytes_max`. Empty at the end and only there.
    ///
    /// # Errors
    /// `Corrupt` for a document that does not verify, `Io`, `SnapshotTooOld`, `Closed`: all before it has been given
    /// out, and asking again asks for it again. A new scan can begin behind it.
    pub fn next_chunk(&mut self, items_max: usize, bytes_max: usize) -> Result<Vec<ScanItem>> {
        let inner = Arc::clone(&self.db.inner);
        inner.check_open()?;
        if self.done {
            return Ok(Vec::new());
        }
        let _pin = self.reader.pin()?;
        let wanted = self.left.map_or(items_max.max(1), |left| {
            items_max
                .max(1)
                .min(usize::try_from(left).unwrap_or(usize::MAX))
        });
        let mut ahead = self.index;
        let found = ahead.next_chunk(&inner.index, wanted, ReadMode::Blocking)?;
        if found.is_empty() {
            self.done = true;
        }
        let mut items = Vec::with_capacity(found.len());
        let mut bytes = 0;
        let mut complete = true;
        for (key, version) in found {
            if !items.is_empty() && bytes >= bytes_max {
                complete = false;
                break;
            }
            let body = match inner.body_ahead(key, &version, &mut self.bodies) {
                Ok(body) => body,
                Err(_) if is_planted(Bug::ScanSkipsDamage) => continue,
                // What was read before it is given out first.
                Err(_) if !items.is_empty() => {
                    complete = false;
                    break;
                }
                Err(error) => {
                    self.count_windows(&inner);
                    return Err(error);
                }
            };
            bytes += body.len();
            items.push(ScanItem {
                id: key.id,
                version: version.ts.0,
                body,
            });
        }
        self.count_windows(&inner);
        if let Some(last) = items.last() {
            self.last_id = Some(last.id);
            self.index = if complete {
                ahead
            } else {
                self.index.after(Key::new(self.collection, last.id))
            };
        }
        if let Some(left) = &mut self.left {
            *left -= items.len() as u64;
            self.done |= *left == 0;
        }
        Ok(items)
    }

    /// Where a later scan can go on if a limit ended this one before the last document: its snapshot
    /// is then kept for a while. `None` if there is nothing more.
    pub fn cursor(&self) -> Option<Vec<u8>> {
        if self.left != Some(0) || self.index.is_done() {
            return None;
        }
        let inner = &self.db.inner;
        let pin = self.reader.pin().ok()?;
        let mut ahead = self.index;
        // If it cannot be read whether there is more, the scan that goes on tells why.
        if let Ok(more) = ahead.next_chunk(&inner.index, 1, ReadMode::Blocking)
            && more.is_empty()
        {
            return None;
        }
        let own = match &self.reader {
            Reader::Own(snapshot) => Some(snapshot),
            Reader::View(_) => None,
        };
        inner
            .snapshots
            .lease(pin.as_ref().or(own)?, inner.vfs.now());
        inner.request_maintenance();
        Some(
            Cursor {
                reverse: self.reverse,
                collection: self.collection,
                last_id: self.last_id?,
                snapshot: self.reader.ts().0,
            }
            .encode(),
        )
    }
}
