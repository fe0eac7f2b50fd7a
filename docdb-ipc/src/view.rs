//! What a client asks for in a transaction or a snapshot.

use crate::{Opcode, RequestId, Scan, Text, WriteOp};

/// A request about a view: an open transaction or snapshot, which is a state of one database that
/// stays the same. A view belongs to its connection and bears the id of the request that opened it,
/// so that a client can ask for things in it before it is known to be open.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewRequest {
    /// Begins a transaction.
    Begin {
        /// The database.
        db: Text,
        /// Whether what it has read must be the same when it commits.
        serializable: bool,
        /// How long it may last, in milliseconds; the server's default without.
        timeout_ms: Option<u32>,
    },
    /// Commits a transaction, which ends it.
    Commit {
        /// The transaction.
        view: RequestId,
        /// A durability mode safer than the database's, for this commit alone.
        durability: Option<Text>,
    },
    /// Ends a transaction; nothing of it is written.
    Rollback {
        /// The transaction.
        view: RequestId,
    },
    /// Opens a snapshot.
    OpenSnapshot {
        /// The database.
        db: Text,
    },
    /// Closes a snapshot.
    CloseSnapshot {
        /// The snapshot.
        view: RequestId,
    },
    /// Reads a document.
    Read {
        /// The transaction or snapshot.
        view: RequestId,
        /// The collection.
        collection: Text,
        /// The document.
        id: u64,
    },
    /// Asks whether a document exists.
    Exists {
        /// The transaction or snapshot.
        view: RequestId,
        /// The collection.
        collection: Text,
        /// The document.
        id: u64,
    },
    /// Counts a collection's documents.
    Count {
        /// The transaction or snapshot.
        view: RequestId,
        /// The collection.
        collection: Text,
    },
    /// Streams documents in the order of their ids. The scan names no database, and is not at the
    /// latest state; only a snapshot's may have a cursor.
    Scan {
        /// The transaction or snapshot.
        view: RequestId,
        /// What to send; its `db` is empty and its `at_latest` false.
        scan: Scan,
    },
    /// Lists the collections.
    ListCollections {
        /// The transaction or snapshot.
        view: RequestId,
    },
    /// Writes one document, to be committed with the transaction.
    Write {
        /// The transaction.
        view: RequestId,
        /// What to write.
        op: WriteOp,
    },
}

impl ViewRequest {
    /// The request's frame type.
    pub fn opcode(&self) -> Opcode {
        match self {
            ViewRequest::Begin { .. } => Opcode::Begin,
            ViewRequest::Commit { .. } => Opcode::Commit,
            ViewRequest::Rollback { .. } => Opcode::Rollback,
            ViewRequest::OpenSnapshot { .. } => Opcode::OpenSnapshot,
            ViewRequest::CloseSnapshot { .. } => Opcode::CloseSnapshot,
            ViewRequest::Read { .. } => Opcode::ReadIn,
            ViewRequest::Exists { .. } => Opcode::ExistsIn,
            ViewRequest::Count { .. } => Opcode::CountIn,
            ViewRequest::Scan { .. } => Opcode::ScanIn,
            ViewRequest::ListCollections { .. } => Opcode::ListCollectionsIn,
            ViewRequest::Write { .. } => Opcode::WriteIn,
        }
    }

    /// The database, of a request that opens a view.
    pub fn db(&self) -> Option<&Text> {
        match self {
            ViewRequest::Begin { db, .. } | ViewRequest::OpenSnapshot { db } => Some(db),
            _ => None,
        }
    }

    /// The view that the request is about; `None` if it opens one.
    pub fn view(&self) -> Option<RequestId> {
        match self {
            ViewRequest::Begin { .. } | ViewRequest::OpenSnapshot { .. } => None,
            ViewRequest::Commit { view, .. }
            | ViewRequest::Rollback { view }
            | ViewRequest::CloseSnapshot { view }
            | ViewRequest::Read { view, .. }
            | ViewRequest::Exists { view, .. }
            | ViewRequest::Count { view, .. }
            | ViewRequest::Scan { view, .. }
            | ViewRequest::ListCollections { view }
            | ViewRequest::Write { view, .. } => Some(*view),
        }
    }

    /// As [`crate::Request::is_read_only`]: nothing but a commit outlives the connection.
    pub fn is_read_only(&self) -> bool {
        !matches!(self, ViewRequest::Commit { .. })
    }
}
