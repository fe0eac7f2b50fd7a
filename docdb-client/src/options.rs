//! How a write is to be made.

use docdb_ipc::{Precondition, Text};

/// What a write asks for beside its document: a precondition, and how safe it must be before it is
/// answered.
///
/// ```
/// use docdb_client::WriteOptions;
///
/// let careful = WriteOptions::new().if_version(7).durability("always");
/// # let _ = careful;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    pub(crate) precondition: Precondition,
    pub(crate) durability: Option<Text>,
}

impl WriteOptions {
    /// No precondition, the database's own durability.
    pub fn new() -> Self {
        WriteOptions::default()
    }

    /// Writes only if the document's version is this one, else `VersionMismatch`. Replaces an
    /// earlier precondition.
    pub fn if_version(mut self, version: u64) -> Self {
        self.precondition = Precondition::VersionIs(version);
        self
    }

    /// Writes only if there is no such document, else `VersionMismatch`. Replaces an earlier
    /// precondition.
    pub fn if_absent(mut self) -> Self {
        self.precondition = Precondition::Absent;
        self
    }

    /// Asks for a safer mode than the database's for this commit's answer: `full`, `always`,
    /// `interval(MILLISECONDS)`, `os` or `memory(MILLISECONDS)`.
    pub fn durability(mut self, mode: &str) -> Self {
        self.durability = Some(Text::from(mode));
        self
    }
}

/// What a write answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Written {
    /// The version of the commit that wrote the document; 0 in a transaction, which has none yet.
    pub version: u64,
    /// The document's id; for an insert the one that the server assigned.
    pub id: u64,
}

/// What the deletion of a range answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RangeDeleted {
    /// How many documents were deleted.
    pub deleted: u64,
    /// The version of the commit; `None` if there was nothing to delete.
    pub version: Option<u64>,
    /// The next id of the range that holds a document, to go on from; `None` at the end.
    pub next: Option<u64>,
}

/// A value and the version that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Versioned<T> {
    /// The version of the commit that wrote the document, for
    /// [`WriteOptions::if_version`]; 0 in a transaction that wrote it itself.
    pub version: u64,
    /// The document.
    pub value: T,
}
