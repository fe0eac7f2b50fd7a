//! One thing that happens in a life.

use std::sync::Arc;
use std::time::Duration;

use docdb_engine::{Durability, Precondition, WriteKind};
use docdb_vfs::sim::CrashPolicy;

use super::between::Moment;
use super::heal::Heal;
use super::setup::Setup;
use crate::oracle::{Op, State};

/// What a write demands of the version that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    Nothing,
    /// None.
    Absent,
    /// The one that is there when the write is submitted.
    Current,
    /// One that never was.
    Wrong,
}

/// A write, before it is known what it meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What to do.
    pub kind: WriteKind,
    /// The collection.
    pub collection: &'static str,
    /// The document, unless it is inserted.
    pub id: u64,
    /// What to write is made of this.
    pub n: u64,
    /// About so many bytes.
    pub bytes: usize,
    /// What it demands.
    pub demand: Demand,
}

/// A step of one of the transactions that are open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnStep {
    /// Begin.
    Begin {
        /// Whether what it reads is validated.
        serializable: bool,
    },
    /// Write.
    Write(Write),
    /// Read a document.
    Read(&'static str, u64),
    /// Scan a range.
    Scan(&'static str, u64, u64),
    /// Count.
    Count(&'static str),
    /// Commit.
    Commit,
    /// Roll back.
    Rollback,
}

/// How a process ends before the next one opens the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reopen {
    /// It closes the database.
    Close,
    /// It is killed, or power fails.
    Crash(CrashPolicy),
}

/// One thing that happens in a life.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A commit, which is waited for.
    Commit(Vec<Write>),
    /// A commit that asks for more than the database's mode.
    CommitAs(Durability, Vec<Write>),
    /// Commits that are under way together; snapshots are taken before any is waited for.
    UnderWay(Vec<Vec<Write>>),
    /// Commits that nobody waits for.
    Forgotten(Vec<Vec<Write>>),
    /// Commits that are under way while a checkpoint is taken.
    IntoCheckpoint(Vec<Vec<Write>>),
    /// Deletion of a range.
    DeleteRange {
        /// In which collection.
        collection: &'static str,
        /// The lowest id.
        from: u64,
        /// The highest id.
        to: u64,
        /// At most so many.
        limit: u64,
    },
    /// Creation of a collection.
    CreateCollection(&'static str),
    /// Dropping of a collection, also of one with documents if that is forced.
    DropCollection(&'static str, bool),
    /// A step of the transaction in that place.
    Txn(usize, TxnStep),
    /// A snapshot is taken in that place.
    Hold(usize),
    /// The snapshot in that place is given up.
    Release(usize),
    /// A scan is begun in that place.
    BeginScan(usize, &'static str, bool),
    /// The scan in that place goes on.
    GoOn(usize),
    /// Some documents are read, in all snapshots and transactions.
    Look(&'static str, u64, u64),
    /// Everything is looked at.
    LookAtAll,
    /// The log is flushed.
    Flush,
    /// The log is synced.
    Sync,
    /// The log's next segment is prepared.
    Prepare,
    /// The log's background work.
    RunSteps,
    /// What is due of maintenance.
    Maintain,
    /// All that is due of maintenance.
    Settle,
    /// A checkpoint.
    Checkpoint,
    /// A compaction of everything.
    Compact,
    /// Everything is verified; nothing is damaged.
    Scrub,
    /// A document is damaged, and healed if it can be.
    Heal(Heal),
    /// A backup, over the one before, with these commits between.
    Backup(Vec<Vec<Write>>),
    /// Time passes.
    Elapse(Duration),
    /// The process ends, and another one opens the database.
    Reopen(Reopen, Setup),
    /// While that step is under way, a commit comes between at that moment.
    Between(Moment, Vec<Write>, Box<Step>),
    /// A checkpoint, then a compaction with a commit and a checkpoint in the middle.
    CompactBetween(Vec<Write>),
}

/// A document that says where it belongs, of about `bytes`.
pub fn body(collection: &str, n: u64, bytes: usize) -> String {
    let mut body = format!("{{\"in\":\"{collection}\",\"n\":{n},\"t\":\"");
    let mut k = n as usize;
    while body.len() + 2 < bytes {
        k += 1;
        body.push(char::from(b'a' + (k % 26) as u8));
    }
    body.push_str("\"}");
    body
}

impl Write {
    /// A write that demands nothing.
    pub fn new(kind: WriteKind, collection: &'static str, id: u64, n: u64, bytes: usize) -> Write {
        Write {
            kind,
            collection,
            id,
            n,
            bytes,
            demand: Demand::Nothing,
        }
    }

    /// As it is submitted where `state` is what is there.
    pub fn resolve(&self, state: &State) -> Op {
        let text = match self.kind {
            WriteKind::Delete => String::new(),
            WriteKind::Patch => {
                let (n, x) = (self.n, body("x", self.n, self.bytes));
                format!(
                    "[{{\"op\":\"set\",\"path\":\"/n\",\"value\":{n}}},\
                     {{\"op\":\"set\",\"path\":\"/x\",\"value\":{x}}}]"
                )
            }
            WriteKind::Merge => format!(
                "{{\"n\":{},\"t\":{}}}",
                self.n,
                body("t", self.n, self.bytes)
            ),
            _ => body(self.collection, self.n, self.bytes),
        };
        let precondition = match self.demand {
            Demand::Nothing => Precondition::None,
            Demand::Absent => Precondition::Absent,
            Demand::Wrong => Precondition::VersionIs(u64::MAX / 2),
            Demand::Current => {
                let current = state.read(self.collection, self.id);
                Precondition::VersionIs(current.map_or(u64::MAX / 2, |(version, _)| *version))
            }
        };
        Op {
            kind: self.kind,
            collection: Arc::from(self.collection),
            id: self.id,
            precondition,
            body: text.into_bytes(),
        }
    }
}
