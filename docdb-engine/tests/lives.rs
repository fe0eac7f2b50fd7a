//! Long random lives in which everything meets: kept checkpoints, large commits, both caches, tiny budgets,
//! held snapshots and transactions, failing disks, crashes and reopenings, against a model.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;

use common::kept::{copied, nothing_lacks_a_file};
use common::model::{Op, State, submit};
use common::{create_with, dir, disk, dump, open_with, options, settle};
use docdb_engine::vfs::sim::{CrashPolicy, Fault, FaultKind, SectorSize, SimVfs};
use docdb_engine::{
    Db, DbOptions, ErrorKind, Scan, Snapshot, Txn, TxnOptions, WriteKind, checkpoints,
};

const NAMES: [&str; 3] = ["_default", "a", "b"];
const IDS: u64 = 14;
const LIVES: u64 = 300;
/// Snapshots give way only to a budget so small.
const TIGHT: u64 = 64 << 10;

struct Random(u64);

impl Random {
    /// Xorshift.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Id, version and body.
type Item = (u64, u64, Vec<u8>);

struct Life {
    seed: u64,
    random: Random,
    vfs: SimVfs,
    options: DbOptions,
    db: Option<Db>,
    /// By version.
    states: BTreeMap<u64, State>,
    snapshots: Vec<(Snapshot, State)>,
    txns: Vec<(Txn, State)>,
    /// With the collection's name and what is still to come.
    scans: Vec<(Scan, String, Vec<Item>)>,
    lost_snapshots: u64,
    poisonings: u64,
    copies: u64,
    refused: u64,
    /// A commit of which the next open tells.
    maybe: Option<Vec<Op>>,
    /// Whether the versions of all states are known.
    is_numbered: bool,
}

fn random_options(random: &mut Random) -> DbOptions {
    let mut options = options();
    options.keep_checkpoints = random.below(4) as usize + 1;
    options.bulk_bytes_min = [1 << 10, 2 << 10, 4 << 10, 1 << 20][random.below(4) as usize];
    options.memory_bytes_max = [64 << 10, 12 << 10, 8 << 10, 16 << 20][random.below(4) as usize];
    options.document_cache_bytes_max = [u64::MAX, 3_000, 0, u64::MAX][random.below(4) as usize];
    options.block_cache_bytes_max = [u64::MAX, 9_000, 0][random.below(3) as usize];
    options.wal_bytes_max = [128 << 10, 1 << 20, 256 << 20][random.below(3) as usize];
    options.keep_segments = random.below(3) as usize;
    options.runs_max = 1 + random.below(4) as usize;
    options.data_file_bytes_max = [4 << 10, 16 << 10, 64 << 10][random.below(3) as usize];
    options.compact_slice_bytes = [1 << 10, 4 << 10, 1 << 20][random.below(3) as usize];
    options
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..5 {
            random.next();
        }
        let options = random_options(&mut random);
        let vfs = disk();
        let db = create_with(&vfs, options.clone()).unwrap();
        Life {
            seed,
            random,
            vfs,
            options,
            db: Some(db),
            states: BTreeMap::from([(0, State::new())]),
            snapshots: Vec::new(),
            txns: Vec::new(),
            scans: Vec::new(),
            lost_snapshots: 0,
            poisonings: 0,
            copies: 0,
            refused: 0,
            maybe: None,
            is_numbered: true,
        }
    }

    fn db(&self) -> Db {
        self.db.clone().unwrap()
    }

    fn now(&self) -> &State {
        self.states.values().next_back().unwrap()
    }

    fn op(&mut self) -> Op {
        let kind = match self.random.below(10) {
            0..5 => WriteKind::Upsert,
            5..8 => WriteKind::Delete,
            8 => WriteKind::Insert,
            _ => WriteKind::Update,
        };
        let name = NAMES[self.random.below(3) as usize];
        let bytes = [20, 60, 200, 900, 1_500][self.random.below(5) as usize];
        let body = common::workload::text(self.random.below(1 << 30), bytes);
        let id = self.random.below(IDS);
        Op::new(kind, name, id, body.as_bytes())
    }

    fn commit(&mut self) {
        let count = [1, 1, 1, 2, 4, 8][self.random.below(6) as usize];
        let ops: Vec<_> = (0..count).map(|_| self.op()).collect();
        let db = self.db();
        let is_faulty = self.random.one_in(12) && ops.iter().any(|op| op.kind != WriteKind::Delete);
        if is_faulty {
            let kind = [FaultKind::Os(28), FaultKind::Os(5), FaultKind::Short]
                [self.random.below(3) as usize];
            self.vfs.set_fault(Fault {
                at_op: self.vfs.op_count() + self.random.below(8),
                kind,
                sticky: self.random.one_in(3),
            });
        }
        let outcome = submit(&db, &ops).wait();
        self.vfs.clear_faults();
        if is_faulty && let Err(error) = &outcome {
            self.failed(&ops, error.kind());
            return;
        }
        match outcome {
            Ok(committed) => {
                let (state, ids) = self.now().apply(&ops, committed.version).unwrap();
                assert_eq!(ids, &*committed.ids, "seed {}", self.seed);
                self.states.insert(committed.version, state);
            }
            Err(error) if error.kind() == ErrorKind::MemoryLimit => self.refused += 1,
            Err(error) => {
                let refused = self.now().apply(&ops, u64::MAX);
                assert_eq!(
                    refused.unwrap_err(),
                    (error.kind(), error.op_index()),
                    "seed {}: {error}",
                    self.seed
                );
            }
        }
    }

    /// A commit has failed, perhaps because the disk did.
    fn failed(&mut self, ops: &[Op], kind: ErrorKind) {
        let refused = self.now().apply(ops, u64::MAX).err();
        if refused.is_some_and(|(expected, _)| expected == kind) {
            return;
        }
        if self.is_poisoned() {
            self.poisonings += 1;
            self.look_at(3);
            if kind == ErrorKind::OutcomeUnknown {
                self.maybe = Some(ops.to_vec());
            }
            self.crash();
            return;
        }
        assert!(
            matches!(
                kind,
                ErrorKind::DiskFull | ErrorKind::Io | ErrorKind::MemoryLimit
            ),
            "seed {}: {kind:?}",
            self.seed
        );
    }

    fn is_poisoned(&self) -> bool {
        let db = self.db();
        db.stats().poisoned || db.wal().poisoned().is_some()
    }

    fn collections(&mut self) {
        let name = NAMES[self.random.below(2) as usize + 1];
        let db = self.db();
        if self.random.one_in(3) {
            if let Ok(committed) = db.drop_collection(name, true).wait() {
                let state = self.now().without_collection(name, true).unwrap();
                self.states.insert(committed.version, state);
            }
        } else if let Ok(committed) = db.create_collection(name).wait() {
            let state = self.now().with_collection(name).unwrap();
            self.states.insert(committed.version, state);
        }
    }

    fn look_at(&mut self, tries: u64) {
        let db = self.db();
        for _ in 0..tries {
            let name = NAMES[self.random.below(3) as usize];
            let id = self.random.below(IDS);
            let wanted = |state: &State| match state.collections.get(name) {
                None => Err(ErrorKind::CollectionNotFound),
                Some(c) => c.documents.get(&id).cloned().ok_or(ErrorKind::NotFound),
            };
            let read = |r: docdb_engine::Result<docdb_engine::Document>| {
                r.map(|d| (d.version, d.body.to_vec()))
                    .map_err(|e| e.kind())
            };
            assert_eq!(
                read(db.read(name, id)),
                wanted(self.now()),
                "seed {}: read {name}/{id}",
                self.seed
            );
            for n in 0..self.snapshots.len() {
                let (snapshot, state) = &self.snapshots[n];
                match read(snapshot.read(name, id)) {
                    Err(ErrorKind::SnapshotTooOld) => {
                        assert!(self.options.memory_bytes_max <= TIGHT, "seed {}", self.seed);
                        self.lost_snapshots += 1;
                    }
                    shown => assert_eq!(
                        shown,
                        wanted(state),
                        "seed {}: snapshot at {} reads {name}/{id}",
                        self.seed,
                        snapshot.version()
                    ),
                }
            }
            for n in 0..self.txns.len() {
                let (txn, state) = &mut self.txns[n];
                let expected = wanted(state);
                let shown = read(txn.read(name, id));
                if !matches!(
                    shown,
                    Err(ErrorKind::TransactionExpired | ErrorKind::SnapshotTooOld)
                ) {
                    assert_eq!(
                        shown,
                        expected,
                        "seed {}: txn at {}",
                        self.seed,
                        txn.version()
                    );
                }
            }
        }
    }

    fn hold(&mut self) {
        let db = self.db();
        if self.snapshots.len() < 5 {
            let snapshot = db.snapshot().unwrap();
            assert!(snapshot.version() >= *self.states.keys().next_back().unwrap());
            self.snapshots.push((snapshot, self.now().clone()));
        }
        if self.txns.len() < 2 && self.random.one_in(2) {
            let txn = db.begin(&TxnOptions::default()).unwrap();
            self.txns.push((txn, self.now().clone()));
        }
        if self.scans.len() < 2 && self.random.one_in(2) {
            let name = NAMES[self.random.below(3) as usize];
            if let Some(collection) = self.now().collections.get(name) {
                let all: Vec<_> = collection
                    .documents
                    .iter()
                    .map(|(id, (version, body))| (*id, *version, body.clone()))
                    .collect();
                let scan = db.scan(&common::in_collection(name)).unwrap();
                self.scans.push((scan, name.to_owned(), all));
            }
        }
    }

    fn go_on(&mut self) {
        for (scan, name, rest) in &mut self.scans {
            match scan.next_chunk(2, 1 << 10) {
                Ok(chunk) => {
                    if chunk.is_empty() {
                        assert!(rest.is_empty(), "seed {}: {name} lacks {rest:?}", self.seed);
                    }
                    for item in chunk {
                        assert!(!rest.is_empty(), "seed {}", self.seed);
                        assert_eq!(
                            (item.id, item.version, item.body.to_vec()),
                            rest.remove(0),
                            "seed {}",
                            self.seed
                        );
                    }
                }
                Err(error) => assert_eq!(
                    error.kind(),
                    ErrorKind::SnapshotTooOld,
                    "seed {}: {error}",
                    self.seed
                ),
            }
        }
        self.scans.retain(|(_, _, rest)| !rest.is_empty());
    }

    fn let_go(&mut self) {
        if !self.snapshots.is_empty() {
            let n = self.random.below(self.snapshots.len() as u64) as usize;
            self.snapshots.remove(n);
        }
        if !self.txns.is_empty() && self.random.one_in(2) {
            let (txn, _) = self.txns.remove(0);
            txn.rollback();
        }
        if !self.scans.is_empty() && self.random.one_in(2) {
            self.scans.remove(0);
        }
    }

    fn full_look(&mut self) {
        let shown = dump(&self.db()).unwrap_or_else(|e| panic!("seed {}: {e}", self.seed));
        assert_eq!(shown, self.now().visible(), "seed {}", self.seed);
        for (snapshot, state) in &self.snapshots {
            for (name, collection) in &state.collections {
                match snapshot.count(name) {
                    Ok(count) => assert_eq!(
                        count,
                        collection.documents.len() as u64,
                        "seed {}",
                        self.seed
                    ),
                    Err(e) => assert_eq!(
                        e.kind(),
                        ErrorKind::SnapshotTooOld,
                        "seed {}: {e}",
                        self.seed
                    ),
                }
            }
        }
    }

    /// Whether the database is as it was; else it is poisoned.
    fn upkeep(&mut self) {
        let db = self.db();
        let is_faulty = self.random.one_in(3);
        if is_faulty {
            let kind = [FaultKind::Os(28), FaultKind::Os(5), FaultKind::Short]
                [self.random.below(3) as usize];
            let within = [3, 12, 40][self.random.below(3) as usize];
            self.vfs.set_fault(Fault {
                at_op: self.vfs.op_count() + self.random.below(within),
                kind,
                sticky: self.random.one_in(3),
            });
        }
        let outcome = match self.random.below(6) {
            0..3 => db.checkpoint().map(|_| ()),
            3 => db.compact().map(|_| ()),
            4 => settle(&db),
            _ => db.maintenance_step().map(|_| ()),
        };
        self.vfs.clear_faults();
        if let Err(error) = outcome {
            if error.kind() == ErrorKind::Poisoned || db.wal().poisoned().is_some() {
                assert!(is_faulty, "seed {}: {error}", self.seed);
                self.poisonings += 1;
                self.look_at(3);
                self.full_look();
                self.crash();
            } else {
                assert!(is_faulty, "seed {}: {error}", self.seed);
            }
        }
    }

    fn drop_readers(&mut self) {
        self.snapshots.clear();
        self.txns.clear();
        self.scans.clear();
    }

    fn crash(&mut self) {
        self.drop_readers();
        let policy = match self.random.below(6) {
            0 => CrashPolicy::Kill,
            1 => CrashPolicy::KeepAll,
            2 => CrashPolicy::KeepNone,
            3 => CrashPolicy::DropOne(self.random.below(10) as usize),
            4 => CrashPolicy::KeepOne(self.random.below(10) as usize),
            _ => CrashPolicy::Random {
                seed: self.random.next(),
                sector: SectorSize::Bytes4096,
            },
        };
        let image = self.vfs.fork_crash(&policy);
        drop(self.db.take());
        self.vfs = image;
        self.reopen();
    }

    fn close(&mut self) {
        self.drop_readers();
        let db = self.db.take().unwrap();
        if let Err(error) = db.close() {
            panic!("seed {}: close: {error}", self.seed);
        }
        drop(db);
        self.reopen();
    }

    fn reopen(&mut self) {
        self.check_kept();
        let budget = self.options.wal_bytes_max;
        self.options = random_options(&mut self.random);
        self.options.wal_bytes_max = self.options.wal_bytes_max.max(budget);
        let db = open_with(&self.vfs, self.options.clone())
            .unwrap_or_else(|e| panic!("seed {}: does not open: {e}", self.seed));
        self.db = Some(db);
        if let Some(ops) = self.maybe.take() {
            let shown = dump(&self.db()).unwrap();
            if shown != self.now().visible() {
                let last = *self.states.keys().next_back().unwrap();
                // Its version is seen in what it wrote.
                let version = shown
                    .collections
                    .values()
                    .flat_map(|c| c.documents.values())
                    .map(|d| d.0)
                    .max()
                    .unwrap_or(0);
                let is_seen = version > last;
                self.is_numbered &= is_seen;
                let version = if is_seen { version } else { last + 1 };
                let (state, _) = self.now().apply(&ops, version).unwrap();
                self.states.insert(version, state);
            }
        }
        self.full_look();
    }

    fn check_kept(&mut self) {
        if !self.random.one_in(3) || !self.is_numbered {
            return;
        }
        let vfs = self.vfs.fork_crash(&CrashPolicy::KeepAll);
        // A name that a failed sync has lost may come back without its files.
        if self.poisonings == 0 {
            nothing_lacks_a_file(&vfs).unwrap_or_else(|what| panic!("seed {}: {what}", self.seed));
        }
        let list = checkpoints::list_with(&vfs, dir()).unwrap();
        for kept in list {
            if kept.version == 0 {
                continue;
            }
            let state = &self
                .states
                .range(..=kept.version)
                .next_back()
                .unwrap()
                .1
                .visible();
            let found =
                copied(&vfs, kept.version).unwrap_or_else(|e| panic!("seed {}: {e}", self.seed));
            assert_eq!(found, *state, "seed {}: {kept:?}", self.seed);
            self.copies += 1;
        }
    }

    fn live(&mut self, steps: u64) {
        for step in 0..steps {
            match self.random.below(40) {
                0..14 => self.commit(),
                14..16 => self.collections(),
                16..23 => self.look_at(4),
                23..25 => self.hold(),
                25..27 => self.let_go(),
                27..29 => self.go_on(),
                29..37 => self.upkeep(),
                37 => self.full_look(),
                38 if step % 3 == 0 => self.close(),
                _ if step % 2 == 0 => self.crash(),
                _ => {}
            }
            self.look_at(1);
            if self.is_poisoned() {
                self.poisonings += 1;
                self.full_look();
                self.crash();
            }
        }
        self.full_look();
    }
}

#[test]
fn every_reader_sees_its_state_whatever_else_goes_on() {
    let (mut poisonings, mut copies, mut given_way) = (0, 0, 0);
    for seed in 1..=LIVES {
        let mut life = Life::new(seed);
        life.live(300);
        poisonings += life.poisonings;
        copies += life.copies;
        given_way += life.lost_snapshots + life.refused;
    }
    println!("{poisonings} poisonings, {copies} copies, {given_way} given way");
    assert!(poisonings > LIVES / 2 && copies > LIVES && given_way > 0);
}
