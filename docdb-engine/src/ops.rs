//! What goes into the engine and what comes out.

use std::ops::Deref;

use crate::body::Body;

pub use docdb_mvcc::WriteKind;

/// What a write demands of the document's current version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The document exists in this version.
    VersionIs(u64),
    /// The document does not exist.
    Absent,
}

impl From<Precondition> for docdb_mvcc::Precondition {
    fn from(precondition: Precondition) -> Self {
        match precondition {
            Precondition::None => docdb_mvcc::Precondition::None,
            Precondition::VersionIs(version) => docdb_mvcc::Precondition::VersionIs(version.into()),
            Precondition::Absent => docdb_mvcc::Precondition::Absent,
        }
    }
}

/// One write. Borrowed: what has to be kept is copied once, into its final place.
#[derive(Debug, Clone, Copy)]
pub struct WriteOp<'a> {
    /// What to do.
    pub kind: WriteKind,
    /// The collection's name.
    pub collection: &'a str,
    /// The document's id; an insert ignores it and assigns one.
    pub id: u64,
    /// What the write demands of the current version.
    pub precondition: Precondition,
    /// The document; of a patch and a merge what to change; a delete ignores it.
    pub body: &'a [u8],
}

impl<'a> WriteOp<'a> {
    /// A write without a precondition.
    pub fn new(kind: WriteKind, collection: &'a str, id: u64, body: &'a [u8]) -> WriteOp<'a> {
        WriteOp {
            kind,
            collection,
            id,
            precondition: Precondition::None,
            body,
        }
    }

    /// Create `id`; it must not exist.
    pub fn create(collection: &'a str, id: u64, body: &'a [u8]) -> WriteOp<'a> {
        WriteOp::new(WriteKind::Create, collection, id, body)
    }

    /// Replace `id`; it must exist.
    pub fn update(collection: &'a str, id: u64, body: &'a [u8]) -> WriteOp<'a> {
        WriteOp::new(WriteKind::Update, collection, id, body)
    }

    /// Create or replace `id`.
    pub fn upsert(collection: &'a str, id: u64, body: &'a [u8]) -> WriteOp<'a> {
        WriteOp::new(WriteKind::Upsert, collection, id, body)
    }

    /// Change parts of `id`, as [`json::patch`](crate::json::patch()) does; it must exist.
    pub fn patch(collection: &'a str, id: u64, patch: &'a [u8]) -> WriteOp<'a> {
        WriteOp::new(WriteKind::Patch, collection, id, patch)
    }

    /// Merge into `id`, as [`json::merge`](crate::json::merge()) does; it must exist.
    pub fn merge(collection: &'a str, id: u64, patch: &'a [u8]) -> WriteOp<'a> {
        WriteOp::new(WriteKind::Merge, collection, id, patch)
    }

    /// Create under the next id of the collection.
    pub fn insert(collection: &'a str, body: &'a [u8]) -> WriteOp<'a> {
        WriteOp::new(WriteKind::Insert, collection, 0, body)
    }

    /// Delete `id`; it must exist.
    pub fn delete(collection: &'a str, id: u64) -> WriteOp<'a> {
        WriteOp::new(WriteKind::Delete, collection, id, &[])
    }

    /// The write with a precondition.
    #[must_use]
    pub fn when(self, precondition: Precondition) -> WriteOp<'a> {
        WriteOp {
            precondition,
            ..self
        }
    }
}

/// A commit that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The number of the commit, and so the version of every document that it wrote.
    pub version: u64,
    /// The ids written, one for each operation; of a transaction none.
    pub ids: Ids,
}

/// The ids that a commit wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids(IdsInner);

#[derive(Debug, Clone, PartialEq, Eq)]
enum IdsInner {
    One([u64; 1]),
    Many(Vec<u64>),
}

impl Ids {
    pub(crate) fn one(id: u64) -> Ids {
        Ids(IdsInner::One([id]))
    }

    pub(crate) fn many(ids: Vec<u64>) -> Ids {
        Ids(IdsInner::Many(ids))
    }
}

impl Deref for Ids {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        match &self.0 {
            IdsInner::One(id) => id,
            IdsInner::Many(ids) => ids,
        }
    }
}

/// A document and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The number of the commit that wrote it; 0 in a transaction that wrote it itself.
    pub version: u64,
    /// Its bytes.
    pub body: Body,
}

/// A collection as one snapshot sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionInfo {
    /// Its number, never reused.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// How many documents it holds.
    pub documents: u64,
}

/// The answer of an operation that does not wait for the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready<T> {
    /// The answer.
    Now(T),
    /// It needs the device: ask the waiting variant, on a thread that may block.
    WouldBlock,
}
