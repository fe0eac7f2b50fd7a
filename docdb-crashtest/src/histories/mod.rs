//! The engine as a source of transactions for `docdb-history`.

mod torn;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use docdb_engine::vfs::sim::{CrashPolicy, SectorSize, SimVfs};
use docdb_engine::vfs::{RealVfs, Vfs};
use docdb_engine::{
    Db, DbOptions, Document, Error, ErrorKind, Isolation, ManualDriver, ScanRequest,
    TRANSACTION_TIMEOUT_MAX, Txn, TxnOptions, WriteOp,
};
use docdb_history::{
    Direction, DocumentShape, DocumentWorkload, Failure, History, Level, ListShape, ListWorkload,
    Progress, RunError, RunOptions, ScanRange, Seen, Session, SkewShape, SkewWorkload, TxnSource,
    Workload, run_interleaved,
};

use parking_lot::RwLock;

pub use torn::torn_batches;

/// Where the database is on the simulated disk.
const DIR: &str = "/data/db";
/// Maintenance that goes on for so many steps has no end.
const UPKEEP_STEPS_MAX: usize = 1_000;
const C: &str = "_default";
/// Lists lie behind all documents.
const LISTS: u64 = 1 << 40;
/// Transactions of a run on a simulated disk.
pub const TXNS: u64 = 1_500;
/// Between so many transactions there is a checkpoint, and all the maintenance that is due.
const UPKEEP_EVERY: u64 = 50;

/// How a database ends and begins anew while transactions are under way.
#[derive(Debug)]
enum Restart {
    Never,
    /// The power fails, now and then; any subset of what was not synced is left.
    PowerLoss(SimVfs),
    /// It is closed and opened.
    Reopen(PathBuf, Box<DbOptions>),
    /// The same, and nobody flushes but those who wait.
    ReopenByHand(PathBuf),
}

/// A database from one opening to the next.
#[derive(Debug)]
struct Life {
    db: Db,
    number: u64,
    restart: Restart,
}

/// A database in this process as a source of transactions.
#[derive(Debug)]
pub struct Engine {
    life: RwLock<Life>,
    begun: AtomicU64,
    upkeep: bool,
    /// Between so many transactions it begins anew.
    restart_every: u64,
    /// A transaction may be told that its snapshot is gone.
    pub forgives_lost_snapshots: bool,
}

impl Engine {
    /// On a simulated disk, whose power fails now and then. Nothing happens beside the calls, so one
    /// seed gives one run.
    ///
    /// # Errors
    ///
    /// The database cannot be made.
    pub fn simulated() -> Result<Engine, Error> {
        let disk = SimVfs::new(7);
        disk.create_dir(Path::new("/data"))?;
        disk.sync_dir(Path::new("/"))?;
        let vfs = Arc::new(disk.clone());
        let db = Db::create(vfs, Path::new(DIR), small(), Arc::new(ManualDriver))?;
        Ok(Engine {
            upkeep: true,
            restart_every: 190,
            ..Engine::new(db, Restart::PowerLoss(disk))
        })
    }

    /// On a database that looks after itself.
    pub fn of(db: Db) -> Engine {
        Engine::new(db, Restart::Never)
    }

    /// The same, closed and opened again between so many transactions.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn reopened(dir: &Path, options: &DbOptions, every: u64) -> Result<Engine, Error> {
        let db = Db::open_with(dir, options.clone())?;
        let restart = Restart::Reopen(dir.to_owned(), Box::new(options.clone()));
        Ok(Engine {
            restart_every: every,
            ..Engine::new(db, restart)
        })
    }

    /// A new one on the real disk in `dir`, which is there, that has no threads of its own: whoever
    /// waits for a commit flushes it, or is woken by who does. Closed and opened again between so many
    /// transactions, with upkeep in between.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn by_hand(dir: &Path, every: u64) -> Result<Engine, Error> {
        let dir = dir.join("db");
        let driver = Arc::new(ManualDriver);
        let db = Db::create(Arc::new(RealVfs::new()), &dir, small(), driver)?;
        Ok(Engine {
            upkeep: true,
            restart_every: every,
            ..Engine::new(db, Restart::ReopenByHand(dir))
        })
    }

    fn new(db: Db, restart: Restart) -> Engine {
        Engine {
            life: RwLock::new(Life {
                db,
                number: 0,
                restart,
            }),
            begun: AtomicU64::new(0),
            upkeep: false,
            restart_every: u64::MAX,
            forgives_lost_snapshots: false,
        }
    }

    /// The database as it is now.
    pub fn db(&self) -> Db {
        self.life.read().db.clone()
    }

    fn restart(&self, begun: u64) -> Result<(), Error> {
        let mut life = self.life.write();
        let (db, restart) = match &life.restart {
            Restart::Never => return Ok(()),
            Restart::PowerLoss(disk) => {
                // Whoever still has a handle of before finds it dead.
                disk.crash(&CrashPolicy::Random {
                    seed: begun,
                    sector: SectorSize::Bytes512,
                });
                let vfs = Arc::new(disk.clone());
                let db = Db::open_manual(vfs, Path::new(DIR), small(), Arc::new(ManualDriver))?;
                (db, Restart::PowerLoss(disk.clone()))
            }
            Restart::ReopenByHand(dir) => {
                life.db.close()?;
                (open_by_hand(dir)?, Restart::ReopenByHand(dir.clone()))
            }
            Restart::Reopen(dir, options) => {
                life.db.close()?;
                let db = Db::open_with(dir, DbOptions::clone(options))?;
                (db, Restart::Reopen(dir.clone(), options.clone()))
            }
        };
        let number = life.number + 1;
        *life = Life {
            db,
            number,
            restart,
        };
        Ok(())
    }

    /// What an error of upkeep in this life means: nothing if others have ended the life meanwhile.
    fn failure_of_upkeep(&self, life: u64, error: &Error) -> Failure {
        if self.life.read().number == life {
            return Failure::Broken(format!("{error:?}"));
        }
        Failure::Aborted
    }

    /// What an error of a transaction of this life means.
    fn failure(&self, life: u64, error: &Error) -> Failure {
        match error.kind() {
            ErrorKind::Conflict | ErrorKind::TransactionExpired | ErrorKind::Busy => {
                Failure::Aborted
            }
            ErrorKind::SnapshotTooOld if self.forgives_lost_snapshots => Failure::Aborted,
            ErrorKind::OutcomeUnknown => Failure::Unknown,
            // It says that nothing was written.
            ErrorKind::Closed => Failure::Aborted,
            _ if self.life.read().number != life => Failure::Unknown,
            _ => Failure::Broken(format!("{error:?}")),
        }
    }
}

impl TxnSource for Engine {
    fn session(&self, _process: u32) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Transaction {
            engine: self,
            txn: None,
            life: 0,
            wrote: false,
        }))
    }
}

struct Transaction<'e> {
    engine: &'e Engine,
    txn: Option<Txn>,
    /// In which it began.
    life: u64,
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
            match self.engine.failure(self.life, &error) {
                // It will not commit any more.
                Failure::Unknown => Failure::Aborted,
                failure => failure,
            }
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
        let broken = |error: Error| Failure::Broken(format!("{error:?}"));
        let begun = self.engine.begun.fetch_add(1, Ordering::Relaxed);
        if begun % self.engine.restart_every == self.engine.restart_every - 1 {
            self.engine.restart(begun).map_err(broken)?;
        }
        let (db, life) = {
            let life = self.engine.life.read();
            (life.db.clone(), life.number)
        };
        self.life = life;
        if self.engine.upkeep && begun % UPKEEP_EVERY == UPKEEP_EVERY - 1 {
            db.checkpoint()
                .and_then(|_| settle(&db))
                .map_err(|error| self.engine.failure_of_upkeep(life, &error))?;
        }
        let mut options = TxnOptions::default().with_timeout(TRANSACTION_TIMEOUT_MAX);
        if level == Level::Serializable {
            options.isolation = Isolation::Serializable;
        }
        let txn = db
            .begin(&options)
            .map_err(|error| self.engine.failure(life, &error))?;
        let version = txn.version();
        (self.txn, self.wrote) = (Some(txn), false);
        Ok(Some(version))
    }

    fn append(&mut self, key: u64, value: u64) -> Result<(), Failure> {
        let mut list = self.read(key)?;
        list.push(value);
        self.write(LISTS + key, &serde_json::Value::from(list).to_string())
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
            .map_err(|error| self.engine.failure(self.life, &error))?;
        Ok(self.wrote.then_some(committed.version))
    }

    fn rollback(&mut self) {
        if let Some(txn) = self.txn.take() {
            txn.rollback();
        }
    }
}

/// Tells nobody how far a run has got.
pub fn quiet(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Runs a workload on a new simulated disk, with upkeep and losses of power in between.
///
/// # Errors
///
/// What must not happen did.
pub fn run<H: History>(seed: u64, workload: &dyn Workload) -> Result<H, RunError> {
    let engine = Engine::simulated().map_err(|error| RunError {
        process: 0,
        what: error.to_string(),
    })?;
    run_on(&engine, seed, workload)
}

/// Runs a workload on this database, call by call in an order that follows from the seed.
///
/// # Errors
///
/// What must not happen did.
pub fn run_on<H: History>(
    engine: &Engine,
    seed: u64,
    workload: &dyn Workload,
) -> Result<H, RunError> {
    let options = RunOptions {
        seed,
        txns: TXNS,
        ..RunOptions::default()
    };
    run_interleaved(engine, workload, options, &quiet)
}

/// Transactions that are appended to lists, so many of them serializable.
pub fn lists(serializable_percent: u32) -> ListWorkload {
    ListWorkload::new(ListShape {
        serializable_percent,
        ..ListShape::default()
    })
}

/// Transactions that read, scan, write and delete documents, so many of them serializable.
pub fn documents(serializable_percent: u32) -> DocumentWorkload {
    DocumentWorkload::new(DocumentShape {
        serializable_percent,
        ..DocumentShape::default()
    })
}

/// Transactions that invite write skew, so many of them serializable.
pub fn skew(serializable_percent: u32) -> SkewWorkload {
    SkewWorkload::new(SkewShape {
        serializable_percent,
        ..SkewShape::default()
    })
}

fn open_by_hand(dir: &Path) -> Result<Db, Error> {
    Db::open_manual(
        Arc::new(RealVfs::new()),
        dir,
        small(),
        Arc::new(ManualDriver),
    )
}

/// Everything small, so that a short workload rotates segments, fills data files and merges runs.
fn small() -> DbOptions {
    let mut options = DbOptions::default();
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 64 << 10;
    options.keep_segments = 0;
    options.index_shards = 4;
    options.runs_max = 2;
    options.data_file_bytes_max = 8 << 10;
    options.bulk_bytes_min = 4 << 10;
    options.compact_slice_bytes = 4 << 10;
    options.compaction_bytes_per_second = u64::MAX;
    options
}

/// Does all the maintenance that is due now.
fn settle(db: &Db) -> Result<(), Error> {
    for _ in 0..UPKEEP_STEPS_MAX {
        if !db.maintenance_step()? {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Internal, "maintenance has no end"))
}
