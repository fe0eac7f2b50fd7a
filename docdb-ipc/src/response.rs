//! What a server answers.

use std::fmt;
use std::num::NonZeroU16;

use bytes::Bytes;
use docdb_types::ErrorKind;

use crate::{BackupReport, HealOutcome, HealReport, Opcode, Text};

/// One answer. All but [`Response::ScanItems`] end their request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// The request failed.
    Error(WireError),
    /// The answer to a ping.
    Pong,
    /// The request succeeded and has nothing else to say.
    Ok,
    /// The databases, in the order of their names.
    Databases(Vec<DatabaseInfo>),
    /// The collections, in the order of their names.
    Collections(Vec<CollectionInfo>),
    /// A document as it was written.
    Document {
        /// The version that wrote it.
        version: u64,
        /// Its JSON, byte for byte.
        body: Bytes,
    },
    /// Whether the document exists.
    Exists(bool),
    /// How many documents the collection holds.
    Count(u64),
    /// Some of a scan's documents; more frames follow. [`crate::ScanItemsWriter`] writes the same
    /// frame without a list.
    ScanItems(Vec<ScanItem>),
    /// The end of a scan.
    ScanEnd {
        /// Where another scan can go on, if a limit ended this one; opaque.
        cursor: Option<Bytes>,
        /// How many documents were sent.
        items: u64,
    },
    /// A document was written.
    Written {
        /// The commit's version; 0 in a transaction, which has none yet.
        version: u64,
        /// The document.
        id: u64,
    },
    /// What became of a batch's operations, in their order.
    BatchDone {
        /// One result for each operation.
        results: Vec<OpResult>,
    },
    /// What the deletion of a range has done.
    RangeDeleted {
        /// How many documents it has deleted.
        deleted: u64,
        /// The commit's version; `None` if there was nothing to delete.
        version: Option<u64>,
        /// The next id of the range that holds a document; `None` at the end.
        next: Option<u64>,
    },
    /// A transaction or snapshot is open, under the id of the request.
    Opened {
        /// The version that it reads at: what was committed at or below it is seen.
        version: u64,
    },
    /// A transaction is committed.
    Committed {
        /// The commit's version; of a transaction that wrote nothing the one that it read at.
        version: u64,
    },
    /// What a compaction has done.
    Compacted(Compacted),
    /// What became of a document that was to be healed.
    Healed {
        /// What.
        outcome: HealOutcome,
        /// Where it is damaged, for people, if it is.
        what: Option<Text>,
    },
    /// What the healing of a database found and did.
    HealedAll(HealReport),
    /// What healing has found and done, as a JSON object.
    HealStats(Bytes),
    /// What was backed up, and what could not be, in the order of the names.
    BackedUp(BackupReport),
    /// Statistics as a JSON object.
    Stats(Bytes),
}

impl Response {
    /// The answer's frame type.
    pub fn opcode(&self) -> Opcode {
        match self {
            Response::Error(_) => Opcode::Error,
            Response::Pong => Opcode::Pong,
            Response::Ok => Opcode::Ok,
            Response::Databases(_) => Opcode::Databases,
            Response::Collections(_) => Opcode::Collections,
            Response::Document { .. } => Opcode::Document,
            Response::Exists(_) => Opcode::ExistsAnswer,
            Response::Count(_) => Opcode::CountAnswer,
            Response::ScanItems(_) => Opcode::ScanItems,
            Response::ScanEnd { .. } => Opcode::ScanEnd,
            Response::Written { .. } => Opcode::Written,
            Response::BatchDone { .. } => Opcode::BatchDone,
            Response::RangeDeleted { .. } => Opcode::RangeDeleted,
            Response::Opened { .. } => Opcode::Opened,
            Response::Committed { .. } => Opcode::Committed,
            Response::Compacted(_) => Opcode::Compacted,
            Response::Healed { .. } => Opcode::Healed,
            Response::HealedAll(_) => Opcode::HealedAll,
            Response::HealStats(_) => Opcode::HealStatsAnswer,
            Response::BackedUp(_) => Opcode::BackedUp,
            Response::Stats(_) => Opcode::StatsAnswer,
        }
    }

    /// Whether no more frames follow for the same request.
    pub fn is_final(&self) -> bool {
        !matches!(self, Response::ScanItems(_))
    }
}

/// What a compaction has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Data files that are gone.
    pub files: u64,
    /// Bytes of all data files before.
    pub bytes_before: u64,
    /// Bytes of all data files after it.
    pub bytes_after: u64,
    /// Documents that were copied.
    pub documents_moved: u64,
}

/// A database, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// Its name.
    pub name: Text,
    /// Its id, never reused.
    pub id: u64,
    /// Its durability mode.
    pub durability: Text,
    /// Whether the server has it open.
    pub open: bool,
}

/// A collection, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionInfo {
    /// Its name.
    pub name: Text,
    /// Its id, never reused in its database.
    pub id: u64,
    /// How many documents it holds.
    pub documents: u64,
}

/// One document of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanItem {
    /// The document.
    pub id: u64,
    /// The version that wrote it.
    pub version: u64,
    /// Its JSON, byte for byte.
    pub body: Bytes,
}

/// What became of one operation of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult {
    /// It was written.
    Ok {
        /// The commit's version.
        version: u64,
        /// The document.
        id: u64,
    },
    /// It was not.
    Err(WireError),
}

/// The code of an error as it came over the wire: a newer peer may send one that this build has no
/// [`ErrorKind`] for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(NonZeroU16);

impl ErrorCode {
    /// The code with that number; 0 is no error.
    pub fn from_raw(code: u16) -> Option<ErrorCode> {
        NonZeroU16::new(code).map(ErrorCode)
    }

    /// The number.
    pub fn raw(self) -> u16 {
        self.0.get()
    }

    /// What it means: [`ErrorKind::Internal`] if this build does not know the code.
    pub fn kind(self) -> ErrorKind {
        self.known_kind().unwrap_or(ErrorKind::Internal)
    }

    /// What it means, if this build knows.
    pub fn known_kind(self) -> Option<ErrorKind> {
        ErrorKind::from_code(self.raw())
    }
}

impl From<ErrorKind> for ErrorCode {
    fn from(kind: ErrorKind) -> ErrorCode {
        ErrorCode(NonZeroU16::new(kind.code()).expect("codes of kinds start at 1"))
    }
}

/// Why a request or one operation of a batch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    /// The kind of error.
    pub code: ErrorCode,
    /// What happened, for people. Cut at a character when it is encoded: to
    /// [`crate::ERROR_MESSAGE_BYTES_MAX`] bytes, in a batch's results to
    /// [`crate::BATCH_ERROR_MESSAGE_BYTES_MAX`].
    pub message: String,
    /// The version that was found (`VersionMismatch`) or lost to (`Conflict`).
    pub version: Option<u64>,
    /// The position of the operation that failed, from 0.
    pub op_index: Option<u32>,
}

impl WireError {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> WireError {
        WireError {
            code: kind.into(),
            message: message.into(),
            version: None,
            op_index: None,
        }
    }

    /// The same error with the version that was found.
    pub fn with_version(mut self, version: u64) -> WireError {
        self.version = Some(version);
        self
    }

    /// The same error with the position of the operation that failed.
    pub fn with_op_index(mut self, op_index: u32) -> WireError {
        self.op_index = Some(op_index);
        self
    }

    /// What it means; see [`ErrorCode::kind`].
    pub fn kind(&self) -> ErrorKind {
        self.code.kind()
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code.known_kind() {
            Some(kind) => write!(f, "{kind}: {}", self.message),
            None => write!(f, "unknown error {}: {}", self.code.raw(), self.message),
        }
    }
}

impl std::error::Error for WireError {}
