//! What the index holds of a document.

use std::fmt;
use std::sync::Arc;

use docdb_mvcc::CommitTs;

/// Where a stored body lies: a small value that the index keeps and never looks into.
pub trait Pointer: Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// The length of its encoding, in bytes; at most
    /// [`POINTER_BYTES_MAX`](crate::format::POINTER_BYTES_MAX).
    const BYTES: usize;

    /// Writes it into `bytes`, which are [`Pointer::BYTES`] long.
    fn encode(self, bytes: &mut [u8]);

    /// Reads what [`Pointer::encode`] wrote; `None` if these bytes are no pointer.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// A body that is kept in memory.
pub trait Resident: Clone + Send + Sync + 'static {
    /// The memory that it takes beyond the value itself, in bytes.
    fn bytes(&self) -> usize;
}

impl Resident for Arc<[u8]> {
    fn bytes(&self) -> usize {
        // The counters before the bytes.
        self.len() + 2 * size_of::<usize>()
    }
}

/// Where a version's body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<M, P> {
    /// In memory.
    Memory(M),
    /// Where the pointer says.
    Stored(P),
    /// Nowhere: this version deleted the document.
    Deleted,
}

/// One version of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<M, P> {
    /// The commit that wrote it.
    pub ts: CommitTs,
    /// Where its body is.
    pub place: Place<M, P>,
}

impl<M, P> Version<M, P> {
    /// Whether this version is a document rather than its deletion.
    pub fn is_live(&self) -> bool {
        !matches!(self.place, Place::Deleted)
    }
}

impl<M: Resident, P> Version<M, P> {
    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.place {
            Place::Memory(body) => body.bytes(),
            Place::Stored(_) | Place::Deleted => 0,
        }
    }
}
