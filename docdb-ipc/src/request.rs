//! What a client asks for.

use bytes::Bytes;

use crate::{BackupRequest, FEATURE_HEALING, FEATURE_VIEWS, Opcode, Text, ViewRequest};

/// One request. Names are checked by the server, not here; durability modes are written as in the
/// command line (`full`, `always`, `interval(100)`, `os`, `memory`, `none`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Asks for [`crate::Response::Pong`].
    Ping,
    /// Gives up on the request in flight with the same id. It has no answer of its own: the
    /// request's answer comes, whatever it then is.
    Cancel,
    /// Adds credit to the scan in flight with the same id. It has no answer of its own.
    ScanCredit {
        /// How many more bytes the server may send; see [`crate::CreditWindow`].
        bytes: u32,
    },
    /// Lists the databases.
    ListDatabases,
    /// Creates a database.
    CreateDatabase {
        /// Its name.
        name: Text,
        /// Its durability mode; the server's default without.
        durability: Option<Text>,
    },
    /// Drops a database with everything in it.
    DropDatabase {
        /// Its name.
        name: Text,
    },
    /// Lists a database's collections.
    ListCollections {
        /// The database.
        db: Text,
    },
    /// Creates a collection.
    CreateCollection {
        /// The database.
        db: Text,
        /// The collection's name.
        name: Text,
    },
    /// Drops a collection.
    DropCollection {
        /// The database.
        db: Text,
        /// The collection's name.
        name: Text,
        /// Whether to drop it with the documents it holds.
        force: bool,
    },
    /// Reads a document.
    Read {
        /// The database.
        db: Text,
        /// The collection.
        collection: Text,
        /// The document.
        id: u64,
    },
    /// Asks whether a document exists.
    Exists {
        /// The database.
        db: Text,
        /// The collection.
        collection: Text,
        /// The document.
        id: u64,
    },
    /// Counts a collection's documents.
    Count {
        /// The database.
        db: Text,
        /// The collection.
        collection: Text,
    },
    /// Streams documents in the order of their ids.
    Scan(Scan),
    /// Writes one document.
    Write {
        /// The database.
        db: Text,
        /// A durability mode safer than the database's, for this commit alone.
        durability: Option<Text>,
        /// What to write.
        op: WriteOp,
    },
    /// Writes many documents of one database; each operation sees the earlier ones.
    Batch {
        /// The database.
        db: Text,
        /// Whether the operations succeed or fail together.
        mode: BatchMode,
        /// A durability mode safer than the database's, for these commits alone.
        durability: Option<Text>,
        /// What to write, at most `COMMIT_OPS_MAX`.
        ops: Vec<WriteOp>,
    },
    /// Deletes the documents of a range in one commit, the lowest ids first. The answer says where to
    /// go on.
    DeleteRange {
        /// The database.
        db: Text,
        /// The collection.
        collection: Text,
        /// Lowest id, inclusive.
        from: Option<u64>,
        /// Highest id, inclusive.
        to: Option<u64>,
        /// Most documents to delete; `COMMIT_OPS_MAX` without, and in any case. 0 is refused by the
        /// server.
        limit: Option<u64>,
        /// A durability mode safer than the database's, for this commit alone.
        durability: Option<Text>,
    },
    /// Takes a checkpoint of a database.
    Checkpoint {
        /// The database.
        db: Text,
    },
    /// Gives back the space of what was deleted or replaced.
    Compact {
        /// The database.
        db: Text,
    },
    /// Verifies a document, and restores it if it is damaged and there is an intact copy.
    Heal {
        /// The database.
        db: Text,
        /// The collection.
        collection: Text,
        /// The document.
        id: u64,
    },
    /// Verifies all of a database, and restores what is damaged. It can be cancelled.
    HealAll {
        /// The database.
        db: Text,
    },
    /// Asks what healing has found and done, and how far it has come.
    HealStats {
        /// The database.
        db: Text,
    },
    /// Backs databases up.
    Backup(BackupRequest),
    /// Asks for statistics.
    Stats {
        /// The database; the whole server without.
        db: Option<Text>,
    },
    /// Opens a transaction or snapshot, or asks for something in one.
    View(ViewRequest),
}

impl Request {
    /// The request's frame type; its name is the operation's name in logs and metrics.
    pub fn opcode(&self) -> Opcode {
        match self {
            Request::Ping => Opcode::Ping,
            Request::Cancel => Opcode::Cancel,
            Request::ScanCredit { .. } => Opcode::ScanCredit,
            Request::ListDatabases => Opcode::ListDatabases,
            Request::CreateDatabase { .. } => Opcode::CreateDatabase,
            Request::DropDatabase { .. } => Opcode::DropDatabase,
            Request::ListCollections { .. } => Opcode::ListCollections,
            Request::CreateCollection { .. } => Opcode::CreateCollection,
            Request::DropCollection { .. } => Opcode::DropCollection,
            Request::Read { .. } => Opcode::Read,
            Request::Exists { .. } => Opcode::Exists,
            Request::Count { .. } => Opcode::Count,
            Request::Scan(_) => Opcode::Scan,
            Request::Write { .. } => Opcode::Write,
            Request::Batch { .. } => Opcode::Batch,
            Request::DeleteRange { .. } => Opcode::DeleteRange,
            Request::Checkpoint { .. } => Opcode::Checkpoint,
            Request::Compact { .. } => Opcode::Compact,
            Request::Heal { .. } => Opcode::Heal,
            Request::HealAll { .. } => Opcode::HealAll,
            Request::HealStats { .. } => Opcode::HealStats,
            Request::Backup(_) => Opcode::Backup,
            Request::Stats { .. } => Opcode::Stats,
            Request::View(request) => request.opcode(),
        }
    }

    /// The database the request is about, if it is about one.
    pub fn db(&self) -> Option<&Text> {
        match self {
            Request::Ping
            | Request::Cancel
            | Request::ScanCredit { .. }
            | Request::Backup(_)
            | Request::ListDatabases => None,
            Request::CreateDatabase { name, .. } | Request::DropDatabase { name } => Some(name),
            Request::ListCollections { db }
            | Request::CreateCollection { db, .. }
            | Request::DropCollection { db, .. }
            | Request::Read { db, .. }
            | Request::Exists { db, .. }
            | Request::Count { db, .. }
            | Request::Write { db, .. }
            | Request::Batch { db, .. }
            | Request::DeleteRange { db, .. }
            | Request::Checkpoint { db }
            | Request::Compact { db }
            | Request::Heal { db, .. }
            | Request::HealAll { db }
            | Request::HealStats { db } => Some(db),
            Request::Scan(scan) => Some(&scan.db),
            Request::Stats { db } => db.as_ref(),
            Request::View(request) => request.db(),
        }
    }

    /// Whether the request leaves nothing behind that outlives its connection, so that it may be
    /// repeated when its answer is lost with the connection.
    pub fn is_read_only(&self) -> bool {
        match self {
            Request::Ping
            | Request::ListDatabases
            | Request::ListCollections { .. }
            | Request::Read { .. }
            | Request::Exists { .. }
            | Request::Count { .. }
            | Request::Scan(_)
            | Request::HealStats { .. }
            | Request::Stats { .. } => true,
            Request::Cancel
            | Request::ScanCredit { .. }
            | Request::CreateDatabase { .. }
            | Request::DropDatabase { .. }
            | Request::CreateCollection { .. }
            | Request::DropCollection { .. }
            | Request::Write { .. }
            | Request::Batch { .. }
            | Request::DeleteRange { .. }
            | Request::Checkpoint { .. }
            | Request::Compact { .. }
            | Request::Heal { .. }
            | Request::HealAll { .. }
            | Request::Backup(_) => false,
            Request::View(request) => request.is_read_only(),
        }
    }

    /// The feature bits that a server must have agreed to before it is sent the request.
    pub fn features(&self) -> u64 {
        match self {
            Request::View(_) => FEATURE_VIEWS,
            Request::Heal { .. } | Request::HealAll { .. } | Request::HealStats { .. } => {
                FEATURE_HEALING
            }
            _ => 0,
        }
    }
}

/// The range, order and flow control of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The database.
    pub db: Text,
    /// The collection.
    pub collection: Text,
    /// Lowest id, inclusive, in either direction.
    pub from: Option<u64>,
    /// Highest id, inclusive, in either direction.
    pub to: Option<u64>,
    /// Most documents to send; all without. 0 is refused by the server.
    pub limit: Option<u64>,
    /// Whether the highest id comes first.
    pub reverse: bool,
    /// Where an earlier scan ended, as its [`crate::Response::ScanEnd`] said; opaque.
    pub cursor: Option<Bytes>,
    /// Whether a cursor whose snapshot is gone may go on in the newest state.
    pub at_latest: bool,
    /// The first credit, in bytes; see [`crate::CreditWindow`].
    pub credit_bytes: u32,
}

impl Scan {
    /// A scan over the whole collection, lowest id first.
    pub fn new(db: impl Into<Text>, collection: impl Into<Text>, credit_bytes: u32) -> Scan {
        Scan {
            db: db.into(),
            collection: collection.into(),
            from: None,
            to: None,
            limit: None,
            reverse: false,
            cursor: None,
            at_latest: false,
            credit_bytes,
        }
    }
}

/// What a write does. Numbers are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum WriteKind {
    /// The document must not exist.
    Create = 1,
    /// Replaces a document that must exist.
    Update = 2,
    /// Creates or replaces.
    Upsert = 3,
    /// Deletes a document that must exist.
    Delete = 4,
    /// Creates under an id that the server assigns.
    Insert = 5,
    /// Changes parts of a document that must exist, by a list of operations at paths.
    Patch = 6,
    /// Merges into a document that must exist, after RFC 7396.
    Merge = 7,
}

impl WriteKind {
    /// The kind's stable number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind with that number.
    pub fn from_code(code: u8) -> Option<WriteKind> {
        match code {
            1 => Some(WriteKind::Create),
            2 => Some(WriteKind::Update),
            3 => Some(WriteKind::Upsert),
            4 => Some(WriteKind::Delete),
            5 => Some(WriteKind::Insert),
            6 => Some(WriteKind::Patch),
            7 => Some(WriteKind::Merge),
            _ => None,
        }
    }

    /// The kind's name, as in docs, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            WriteKind::Create => "create",
            WriteKind::Update => "update",
            WriteKind::Upsert => "upsert",
            WriteKind::Delete => "delete",
            WriteKind::Insert => "insert",
            WriteKind::Patch => "patch",
            WriteKind::Merge => "merge",
        }
    }

    /// Whether what is written comes of what is there.
    pub fn is_edit(self) -> bool {
        matches!(self, WriteKind::Patch | WriteKind::Merge)
    }

    pub(crate) fn has_id(self) -> bool {
        self != WriteKind::Insert
    }

    pub(crate) fn has_body(self) -> bool {
        self != WriteKind::Delete
    }
}

/// What must hold for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The document's version equals this one.
    VersionIs(u64),
    /// There is no such document.
    Absent,
}

/// One write. Only [`WriteKind::Insert`] has no id, only [`WriteKind::Delete`] has no body; another
/// combination is neither encoded nor decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOp {
    /// What to do.
    pub kind: WriteKind,
    /// The collection.
    pub collection: Text,
    /// The document; `None` exactly for an insert.
    pub id: Option<u64>,
    /// What must hold.
    pub precondition: Precondition,
    /// The document's JSON; of a patch and a merge what to change; empty for a delete.
    pub body: Bytes,
}

impl WriteOp {
    fn new(kind: WriteKind, collection: Text, id: Option<u64>, body: Bytes) -> WriteOp {
        WriteOp {
            kind,
            collection,
            id,
            precondition: Precondition::None,
            body,
        }
    }

    /// Creates a document that must not exist.
    pub fn create(collection: impl Into<Text>, id: u64, body: impl Into<Bytes>) -> WriteOp {
        WriteOp::new(WriteKind::Create, collection.into(), Some(id), body.into())
    }

    /// Replaces a document that must exist.
    pub fn update(collection: impl Into<Text>, id: u64, body: impl Into<Bytes>) -> WriteOp {
        WriteOp::new(WriteKind::Update, collection.into(), Some(id), body.into())
    }

    /// Creates or replaces a document.
    pub fn upsert(collection: impl Into<Text>, id: u64, body: impl Into<Bytes>) -> WriteOp {
        WriteOp::new(WriteKind::Upsert, collection.into(), Some(id), body.into())
    }

    /// Deletes a document that must exist.
    pub fn delete(collection: impl Into<Text>, id: u64) -> WriteOp {
        WriteOp::new(WriteKind::Delete, collection.into(), Some(id), Bytes::new())
    }

    /// Creates a document under an id that the server assigns.
    pub fn insert(collection: impl Into<Text>, body: impl Into<Bytes>) -> WriteOp {
        WriteOp::new(WriteKind::Insert, collection.into(), None, body.into())
    }

    /// Changes parts of a document that must exist.
    pub fn patch(collection: impl Into<Text>, id: u64, patch: impl Into<Bytes>) -> WriteOp {
        WriteOp::new(WriteKind::Patch, collection.into(), Some(id), patch.into())
    }

    /// Merges into a document that must exist.
    pub fn merge(collection: impl Into<Text>, id: u64, patch: impl Into<Bytes>) -> WriteOp {
        WriteOp::new(WriteKind::Merge, collection.into(), Some(id), patch.into())
    }

    /// The same write under a precondition.
    pub fn when(mut self, precondition: Precondition) -> WriteOp {
        self.precondition = precondition;
        self
    }
}

/// Whether a batch's operations succeed or fail together. Numbers are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[repr(u8)]
pub enum BatchMode {
    /// One commit, one version, all or nothing.
    #[default]
    Atomic = 0,
    /// Each operation its own commit and outcome, in order.
    Independent = 1,
}

impl BatchMode {
    /// The mode's stable number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The mode with that number.
    pub fn from_code(code: u8) -> Option<BatchMode> {
        match code {
            0 => Some(BatchMode::Atomic),
            1 => Some(BatchMode::Independent),
            _ => None,
        }
    }
}
