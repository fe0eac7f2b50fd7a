//! The engine as a source of transactions for `docdb-history`.

#![allow(dead_code, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use docdb_engine::{
    Db, Document, Error, ErrorKind, Isolation, ScanRequest, TRANSACTION_TIMEOUT_MAX, Txn,
    TxnOptions, WriteOp,
};
use docdb_history::{
    Direction, DocumentShape, DocumentWorkload, Failure, History, Level, ListShape, ListWorkload,
    Progress, RunError, RunOptions, ScanRange, Seen, Session, SkewShape, SkewWorkload, TxnSource,
    Workload, run_interleaved,
};

use crate::common;

const C: &str = "_default";
/// Lists lie behind all documents.
const LISTS: u64 = 1 << 40;
/// Between so many transactions there is a checkpoint, and all the maintenance that is due.
const UPKEEP_EVERY: u64 = 50;

pub(crate) struct Engine {
    pub(crate) db: Db,
    begun: AtomicU64,
    upkeep: bool,
    /// A transaction may be told that its snapshot is gone.
    pub(crate) forgives_lost_snapshots: bool,
}

impl Engine {
    /// On a simulated disk. Nothing happens beside the calls, so one seed gives one run.
    pub(crate) fn simulated() -> Engine {
        Engine {
            upkeep: true,
            ..Engine::of(common::create(&common::disk()).unwrap())
        }
    }

    /// On a database that looks after itself.
    pub(crate) fn of(db: Db) -> Engine {
        Engine {
            db,
            begun: AtomicU64::new(0),
            upkeep: false,
            forgives_lost_snapshots: false,
        }
    }
}

impl Engine {
    fn failure(&self, error: &Error) -> Failure {
        match error.kind() {
            ErrorKind::Conflict | ErrorKind::TransactionExpired | ErrorKind::Busy => {
                Failure::Aborted
            }
            ErrorKind::SnapshotTooOld if self.forgives_lost_snapshots => Failure::Aborted,
            ErrorKind::OutcomeUnknown => Failure::Unknown,
            _ => Failure::Broken(format!("{error:?}")),
        }
    }
}

impl TxnSource for Engine {
    fn session(&self, _process: u32) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Transaction {
            engine: self,
            txn: None,
            wrote: false,
        }))
    }
}

struct Transaction<'e> {
    engine: &'e Engine,
    txn: Option<Txn>,
    wrote: bool,
}

impl Transaction<'_> {
    /// Makes a call; if it fails, the transaction is over.
    fn call<T>(&mut self, call: impl FnOnce(&mut Txn) -> Result<T, Error>) -> Result<T, Failure> {
        let txn = self
            .txn
            .as_mut()
            .ok_or_else(|| Failure::Broken("a call without a transaction".to_owned()))?;
        call(txn).map_err(|error| {
            self.txn = None;
            self.engine.failure(&error)
        })
    }

    fn write(&mut self, id: u64, body: &str) -> Result<(), Failure> {
        self.wrote = true;
        self.call(|txn| {
            txn.write(&WriteOp::upsert(C, id, body.as_bytes()))
                .map(drop)
        })
    }

    fn find(&mut self, id: u64) -> Result<Option<Document>, Failure> {
        self.call(|txn| match txn.read(C, id) {
            Ok(document) => Ok(Some(document)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
    }
}

/// Documents of many sizes.
fn body(value: u64) -> String {
    format!("[{value},\"{}\"]", "x".repeat((value % 300) as usize))
}

fn seen(version: u64, body: &[u8]) -> Result<Seen, Failure> {
    let (value, padding): (u64, String) =
        serde_json::from_slice(body).map_err(|error| Failure::Broken(error.to_string()))?;
    if padding.len() as u64 != value % 300 {
        return Err(Failure::Broken(format!("{value} has another's padding")));
    }
    // What the transaction has written itself has no version yet.
    let version = (version > 0).then_some(version);
    Ok(Seen { version, value })
}

impl Session for Transaction<'_> {
    fn begin(&mut self, level: Level) -> Result<Option<u64>, Failure> {
        let db = &self.engine.db;
        let begun = self.engine.begun.fetch_add(1, Ordering::Relaxed);
        if self.engine.upkeep && begun % UPKEEP_EVERY == UPKEEP_EVERY - 1 {
            db.checkpoint()
                .map_err(|error| self.engine.failure(&error))?;
            common::settle(db).map_err(|error| self.engine.failure(&error))?;
        }
        let mut options = TxnOptions::default().with_timeout(TRANSACTION_TIMEOUT_MAX);
        if level == Level::Serializable {
            options.isolation = Isolation::Serializable;
        }
        let txn = db
            .begin(&options)
            .map_err(|error| self.engine.failure(&error))?;
        let version = txn.version();
        (self.txn, self.wrote) = (Some(txn), false);
        Ok(Some(version))
    }

    fn append(&mut self, key: u64, value: u64) -> Result<(), Failure> {
        let mut list = self.read(key)?;
        list.push(value);
        self.write(LISTS + key, &serde_json::to_string(&list).unwrap())
    }

    fn read(&mut self, key: u64) -> Result<Vec<u64>, Failure> {
        let found = self.find(LISTS + key)?;
        found.map_or(Ok(Vec::new()), |document| {
            serde_json::from_slice(&document.body)
                .map_err(|error| Failure::Broken(error.to_string()))
        })
    }

    fn get(&mut self, key: u64) -> Result<Option<Seen>, Failure> {
        let found = self.find(key)?;
        found
            .map(|document| seen(document.version, &document.body))
            .transpose()
    }

    fn scan(&mut self, range: ScanRange) -> Result<Vec<(u64, Seen)>, Failure> {
        let request = ScanRequest {
            collection: C.to_owned(),
            from: Some(range.from),
            to: Some(range.to),
            limit: range.limit.map(u64::from),
            reverse: range.direction == Direction::Descending,
            ..ScanRequest::default()
        };
        let items = self.call(|txn| {
            let mut scan = txn.scan(&request)?;
            let mut items = Vec::new();
            loop {
                let chunk = scan.next_chunk(txn, 3, 1 << 10)?;
                if chunk.is_empty() {
                    return Ok(items);
                }
                items.extend(chunk);
            }
        })?;
        let items = items.into_iter();
        items
            .map(|item| Ok((item.id, seen(item.version, &item.body)?)))
            .collect()
    }

    fn put(&mut self, key: u64, value: u64) -> Result<(), Failure> {
        self.write(key, &body(value))
    }

    fn delete(&mut self, key: u64) -> Result<bool, Failure> {
        let existed = self.call(|txn| match txn.delete(C, key) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        })?;
        self.wrote |= existed;
        Ok(existed)
    }

    fn commit(&mut self) -> Result<Option<u64>, Failure> {
        let txn = self.txn.take();
        let txn = txn.ok_or_else(|| Failure::Broken("nothing to commit".to_owned()))?;
        let committed = txn
            .commit()
            .wait()
            .map_err(|error| self.engine.failure(&error))?;
        Ok(self.wrote.then_some(committed.version))
    }

    fn rollback(&mut self) {
        if let Some(txn) = self.txn.take() {
            txn.rollback();
        }
    }
}

pub(crate) fn quiet(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Runs a workload on a new simulated disk, with upkeep in between.
pub(crate) fn run<H: History>(seed: u64, workload: &dyn Workload) -> Result<H, RunError> {
    run_on(&Engine::simulated(), seed, workload)
}

pub(crate) fn run_on<H: History>(
    engine: &Engine,
    seed: u64,
    workload: &dyn Workload,
) -> Result<H, RunError> {
    let options = RunOptions {
        seed,
        txns: 1_500,
        ..RunOptions::default()
    };
    run_interleaved(engine, workload, options, &quiet)
}

pub(crate) fn lists(serializable_percent: u32) -> ListWorkload {
    ListWorkload::new(ListShape {
        serializable_percent,
        ..ListShape::default()
    })
}

pub(crate) fn documents(serializable_percent: u32) -> DocumentWorkload {
    DocumentWorkload::new(DocumentShape {
        serializable_percent,
        ..DocumentShape::default()
    })
}

pub(crate) fn skew(serializable_percent: u32) -> SkewWorkload {
    SkewWorkload::new(SkewShape {
        serializable_percent,
        ..SkewShape::default()
    })
}
