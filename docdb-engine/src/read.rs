//! Reads of single documents and of figures, each at one visible commit. They take no lock that a
//! writer holds during I/O, and never wait for a flush.

use docdb_datafile::{DataFileError, FrameId};
use docdb_index::{InMemory, IndexError, Key, Lookup, Place, ReadMode, Version};
use docdb_mvcc::CommitTs;
use docdb_types::ErrorKind;

use crate::body::Body;
use crate::db::{Db, Inner};
use crate::error::{Error, Result};
use crate::ops::{CollectionInfo, Document, Ready};
use crate::planted::{Bug, is_planted};
use crate::pointer::DocPtr;

/// How often a read without a registered snapshot is tried before it registers one.
const UNREGISTERED_TRIES: usize = 4;

impl Db {
    /// The document with that id, in its newest visible version.
    ///
    /// # Errors
    /// `NotFound`, `CollectionNotFound`; `Corrupt` if what is stored does not verify; `Io`;
    /// `Closed`.
    pub fn read(&self, collection: &str, id: u64) -> Result<Document> {
        let read = self.inner.read(collection, id, ReadMode::Blocking);
        let is_damaged = |e: &Error| e.kind() == ErrorKind::Corrupt;
        if is_planted(Bug::DamageIsAbsence) && read.as_ref().is_err_and(is_damaged) {
            return Err(Error::document_missing(collection, id));
        }
        match read? {
            Ready::Now(document) => Ok(document),
            Ready::WouldBlock => Err(would_block()),
        }
    }

    /// As [`Db::read`], if that needs no wait for the device.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_nowait(&self, collection: &str, id: u64) -> Result<Ready<Document>> {
        self.inner.read(collection, id, ReadMode::NoWait)
    }

    /// Whether the document exists.
    ///
    /// # Errors
    /// As [`Db::read`], without `NotFound`.
    pub fn exists(&self, collection: &str, id: u64) -> Result<bool> {
        match self.inner.exists(collection, id, ReadMode::Blocking)? {
            Ready::Now(exists) => Ok(exists),
            Ready::WouldBlock => Err(would_block()),
        }
    }

    /// As [`Db::exists`], if that needs no wait for the device.
    ///
    /// # Errors
    /// As `exists`.
    pub fn exists_nowait(&self, collection: &str, id: u64) -> Result<Ready<bool>> {
        self.inner.exists(collection, id, ReadMode::NoWait)
    }

    /// How many documents the collection holds.
    ///
    /// # Errors
    /// `CollectionNotFound`, `Closed`.
    pub fn count(&self, collection: &str) -> Result<u64> {
        self.inner.check_open()?;
        let snapshot = self.inner.snapshot();
        let collection = self.inner.collections.at(collection, snapshot.ts())?;
        Ok(collection.count_at(snapshot.ts()))
    }

    /// The collections, by name, all counted in one snapshot.
    ///
    /// # Errors
    /// `Closed`.
    pub fn collections(&self) -> Result<Vec<CollectionInfo>> {
        self.inner.check_open()?;
        let snapshot = self.inner.snapshot();
        Ok(self.inner.collections_at(snapshot.ts()))
    }
}

pub(crate) fn would_block() -> Error {
    Error::new(
        ErrorKind::Internal,
        "a read that may block answered that it would block",
    )
}

pub(crate) fn deleted_was_read() -> Error {
    Error::new(ErrorKind::Internal, "a deleted document was read")
}

pub(crate) type Found = Version<std::sync::Arc<[u8]>, DocPtr>;
/// How often a document is looked for that compactions move while it is read.
const MOVED_TRIES: usize = 8;

/// What was found of a document.
enum Sought {
    Missing,
    /// It was kept in memory.
    Kept(Document),
    Version {
        key: Key,
        version: Found,
        /// What the cache wants to know of the lookup; `None` if the version is none to keep.
        published_id: Option<u64>,
    },
}

impl Inner {
    fn read(&self, collection: &str, id: u64, mode: ReadMode) -> Result<Ready<Document>> {
        // Without a registered snapshot a version that is superseded may go with its file.
        for _ in 0..UNREGISTERED_TRIES {
            match self.read_once(collection, id, mode) {
                Err(error) if error.kind() == ErrorKind::SnapshotTooOld => {}
                read => return read,
            }
        }
        let _snapshot = self.snapshot();
        self.read_once(collection, id, mode)
    }

    fn read_once(&self, collection: &str, id: u64, mode: ReadMode) -> Result<Ready<Document>> {
        let found = match self.find(collection, id, mode)? {
            Ready::Now(found) => self.document(found, mode)?,
            Ready::WouldBlock => return Ok(Ready::WouldBlock),
        };
        match found {
            Ready::Now(Some(document)) => Ok(Ready::Now(document)),
            Ready::Now(None) => Err(Error::document_missing(collection, id)),
            Ready::WouldBlock => Ok(Ready::WouldBlock),
        }
    }

    /// The document that a reader at `ts` sees. The outer `None` if what existed there is no longer
    /// kept.
    pub(crate) fn document_at(
        &self,
        key: Key,
        ts: CommitTs,
        mode: ReadMode,
    ) -> Result<Option<Ready<Option<Document>>>> {
        match self.find_key_at(key, ts, mode)? {
            Some(Ready::Now(found)) => self.document(found, mode).map(Some),
            Some(Ready::WouldBlock) => Ok(Some(Ready::WouldBlock)),
            None => Ok(None),
        }
    }

    fn document(&self, found: Sought, mode: ReadMode) -> Result<Ready<Option<Document>>> {
        let (key, version, published_id) = match found {
            Sought::Missing => return Ok(Ready::Now(None)),
            Sought::Kept(document) => return Ok(Ready::Now(Some(document))),
            Sought::Version {
                key,
                version,
                published_id,
            } => (key, version, published_id),
        };
        Ok(match self.body(key, &version, mode, published_id)? {
            Ready::Now(body) => Ready::Now(Some(Document {
                version: version.ts.0,
                body,
            })),
            Ready::WouldBlock => Ready::WouldBlock,
        })
    }

    fn exists(&self, collection: &str, id: u64, mode: ReadMode) -> Result<Ready<bool>> {
        Ok(match self.find(collection, id, mode)? {
            Ready::Now(Sought::Missing) => Ready::Now(false),
            Ready::Now(Sought::Kept(_) | Sought::Version { .. }) => Ready::Now(true),
            Ready::WouldBlock => Ready::WouldBlock,
        })
    }

    /// The version of a document that is visible now.
    fn find(&self, collection: &str, id: u64, mode: ReadMode) -> Result<Ready<Sought>> {
        self.check_open()?;
        // A point read does without registering a snapshot: if a writer prunes the version that is
        // sought in between, the answer is taken at a newer commit.
        for _ in 0..UNREGISTERED_TRIES {
            if let Some(found) = self.find_at(collection, id, self.visible(), mode)? {
                return Ok(found);
            }
        }
        let snapshot = self.snapshot();
        self.find_at(collection, id, snapshot.ts(), mode)?
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a registered snapshot was pruned"))
    }

    /// `None` if what existed at `ts` is no longer kept.
    fn find_at(
        &self,
        collection: &str,
        id: u64,
        ts: CommitTs,
        mode: ReadMode,
    ) -> Result<Option<Ready<Sought>>> {
        let key = Key::new(self.collections.id_at(collection, ts)?, id);
        self.find_key_at(key, ts, mode)
    }

    fn find_key_at(&self, key: Key, ts: CommitTs, mode: ReadMode) -> Result<Option<Ready<Sought>>> {
        let kept = |from, upto| {
            let (version, body) = self.documents.newest(key, from, upto)?;
            Some(Sought::Kept(Document {
                version: version.0,
                body: body.into(),
            }))
        };
        let (found, published_id) = match self.index.get_in_memory(key, ts)? {
            InMemory::Known {
                lookup,
                published_id,
            } => {
                // A large commit has its documents in a data file from the beginning.
                if let Lookup::Found(version) = &lookup
                    && let Place::Stored(_) = version.place
                    && let Some(kept) = kept(version.ts, version.ts)
                {
                    return Ok(Some(Ready::Now(kept)));
                }
                (Ok(lookup), Some(published_id))
            }
            InMemory::Below(below) => {
                if let Some(kept) = kept(CommitTs::ZERO, ts) {
                    return Ok(Some(Ready::Now(kept)));
                }
                let published_id = below.sees_newest().then(|| below.published_id());
                (below.get(mode, self.index.block_cache()), published_id)
            }
        };
        Ok(match found {
            Ok(Lookup::Found(version)) => Some(Ready::Now(Sought::Version {
                key,
                version,
                published_id,
            })),
            Ok(Lookup::Absent) => Some(Ready::Now(Sought::Missing)),
            Ok(Lookup::Pruned) => None,
            Err(IndexError::WouldBlock) => Some(Ready::WouldBlock),
            Err(error) => return Err(error.into()),
        })
    }

    /// The bytes of a version. They are kept for the next reader if `published_id` is given, that of a
    /// lookup which found the version to be the newest in the runs.
    pub(crate) fn body(
        &self,
        key: Key,
        version: &Found,
        mode: ReadMode,
        published_id: Option<u64>,
    ) -> Result<Ready<Body>> {
        let pointer = match &version.place {
            Place::Memory(bytes) => {
                return Ok(Ready::Now(Body::from(std::sync::Arc::clone(bytes))));
            }
            Place::Stored(pointer) => *pointer,
            Place::Deleted => return Err(deleted_was_read()),
        };
        let frame = FrameId {
            collection: key.collection,
            id: key.id,
            version: version.ts.0,
        };
        let mut pointer = pointer;
        for _ in 0..MOVED_TRIES {
            let read = match mode {
                ReadMode::Blocking => self.store.read(pointer.0, &frame).map(Some),
                ReadMode::NoWait => self.store.read_nowait(pointer.0, &frame),
            };
            match read {
                Ok(Some(bytes)) => {
                    if let Some(id) = published_id {
                        self.documents.offer(key, version.ts, &bytes, id);
                    }
                    return Ok(Ready::Now(bytes.into()));
                }
                Ok(None) => return Ok(Ready::WouldBlock),
                // Compacted since the pointer was found: the document has another place.
                Err(DataFileError::NoSuchFile { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let is_there = |moved: &DocPtr| self.store.get(moved.0.file).is_some();
            match self.index.stored(key, version.ts, mode, is_there) {
                Ok(Some(moved)) => pointer = moved,
                Ok(None) => break,
                Err(IndexError::WouldBlock) => return Ok(Ready::WouldBlock),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::new(
            ErrorKind::SnapshotTooOld,
            format!("version {} of the document is no longer kept", version.ts),
        ))
    }
}
