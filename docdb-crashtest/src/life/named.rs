//! Small lives, each about one thing, which are crashed at every operation.

use std::time::Duration;

use docdb_engine::WriteKind::{Create, Delete, Insert, Merge, Patch, Update, Upsert};
use docdb_engine::{Durability, vfs::sim::CrashPolicy};

use super::between::Moment;
use super::heal::{Find, Heal};
use super::setup::Setup;
use super::step::{Demand, Reopen, Step, TxnStep, Write};

/// A small life.
pub struct Named {
    /// What it is about.
    pub name: &'static str,
    steps: fn(Setup) -> Vec<Step>,
    setup: fn(&mut Setup),
}

impl Named {
    /// Its options in this mode.
    pub fn setup(&self, mode: Durability) -> Setup {
        let mut setup = Setup::new(mode);
        (self.setup)(&mut setup);
        setup
    }

    /// Its steps in this mode.
    pub fn steps(&self, mode: Durability) -> Vec<Step> {
        (self.steps)(self.setup(mode))
    }
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All of them.
pub const NAMED: [Named; 10] = [
    Named {
        name: "commits",
        steps: commits,
        setup: |_| {},
    },
    Named {
        name: "rotation",
        steps: rotation,
        setup: |setup| setup.segment_bytes_max = 16 << 10,
    },
    Named {
        name: "checkpoint",
        steps: checkpoint,
        setup: |_| {},
    },
    Named {
        name: "merge",
        steps: merge,
        setup: |_| {},
    },
    Named {
        name: "compaction",
        steps: compaction,
        setup: |setup| {
            setup.data_file_bytes_max = 2 << 10;
            setup.compact_slice_bytes = 1 << 10;
        },
    },
    Named {
        name: "bulk",
        steps: bulk,
        setup: |setup| setup.bulk_bytes_min = 1 << 10,
    },
    Named {
        name: "transactions",
        steps: transactions,
        setup: |_| {},
    },
    Named {
        name: "kept",
        steps: kept,
        setup: |setup| setup.keep_checkpoints = 2,
    },
    Named {
        name: "heal",
        steps: heal,
        setup: |setup| setup.cache_bytes_max = 0,
    },
    Named {
        name: "backup",
        steps: backup,
        setup: |_| {},
    },
];

const D: &str = "_default";

fn put(id: u64, n: u64, bytes: usize) -> Write {
    Write::new(Upsert, D, id, n, bytes)
}

fn one(id: u64, n: u64, bytes: usize) -> Step {
    Step::Commit(vec![put(id, n, bytes)])
}

fn delete(id: u64) -> Write {
    Write::new(Delete, D, id, 0, 0)
}

fn killed(setup: Setup) -> Step {
    Step::Reopen(Reopen::Crash(CrashPolicy::Kill), setup)
}

fn commits(setup: Setup) -> Vec<Step> {
    vec![
        one(1, 1, 60),
        Step::CreateCollection("a"),
        Step::Commit(vec![
            Write::new(Create, "a", 1, 2, 40),
            Write::new(Insert, "a", 0, 3, 50),
            Write::new(Update, D, 1, 4, 60),
        ]),
        Step::UnderWay(vec![
            vec![put(2, 5, 100)],
            vec![Write::new(Merge, D, 2, 6, 20), delete(1)],
            vec![Write::new(Insert, D, 0, 7, 30)],
        ]),
        Step::Commit(vec![Write::new(Patch, D, 2, 8, 20)]),
        Step::CommitAs(Durability::Full, vec![put(4, 9, 20)]),
        Step::Forgotten(vec![vec![put(5, 10, 20)], vec![delete(2)]]),
        Step::Elapse(Duration::from_millis(20)),
        Step::DropCollection("a", true),
        Step::CreateCollection("a"),
        Step::Commit(vec![Write::new(Insert, "a", 0, 11, 20)]),
        Step::DeleteRange {
            collection: D,
            from: 0,
            to: 9,
            limit: 2,
        },
        killed(setup),
        one(7, 12, 30),
    ]
}

fn rotation(setup: Setup) -> Vec<Step> {
    vec![
        one(1, 1, 3_500),
        one(2, 2, 3_500),
        Step::Prepare,
        one(3, 3, 3_500),
        one(4, 4, 3_500),
        Step::UnderWay(vec![vec![put(5, 5, 3_000)], vec![put(1, 6, 3_000)]]),
        one(2, 7, 3_500),
        Step::RunSteps,
        Step::Checkpoint,
        one(6, 8, 3_500),
        Step::Reopen(Reopen::Close, setup),
        one(7, 9, 40),
    ]
    .into_iter()
    .collect()
}

fn checkpoint(setup: Setup) -> Vec<Step> {
    vec![
        Step::CreateCollection("a"),
        Step::Commit(vec![put(1, 1, 300), put(2, 2, 300), put(3, 3, 100)]),
        Step::Checkpoint,
        Step::Commit(vec![delete(1), put(2, 4, 200)]),
        Step::IntoCheckpoint(vec![vec![put(4, 5, 90)], vec![delete(3)]]),
        one(5, 6, 50),
        killed(setup),
        one(6, 7, 50),
        Step::Checkpoint,
        Step::Reopen(Reopen::Close, setup),
        Step::Commit(vec![delete(6), put(1, 8, 40)]),
    ]
}

fn merge(_: Setup) -> Vec<Step> {
    vec![
        // More than twice what the next two have together, so that it is not merged with them.
        Step::Commit((1..14).map(|id| put(id, id, 30)).collect()),
        Step::Checkpoint,
        Step::Commit(vec![delete(1), put(2, 20, 60)]),
        Step::Checkpoint,
        Step::Commit(vec![put(3, 21, 60), put(20, 22, 60)]),
        Step::Checkpoint,
        Step::Between(
            Moment::OfRun(0),
            vec![put(3, 23, 30)],
            Box::new(Step::Settle),
        ),
        Step::LookAtAll,
        Step::Commit((4..9).map(delete).collect()),
        Step::Checkpoint,
        Step::Settle,
        Step::LookAtAll,
    ]
}

fn compaction(_: Setup) -> Vec<Step> {
    vec![
        Step::Commit((1..7).map(|id| put(id, id, 500)).collect()),
        Step::Checkpoint,
        Step::BeginScan(0, D, false),
        Step::Commit((1..4).map(|id| put(id, 10 + id, 60)).collect()),
        Step::CompactBetween(vec![put(4, 20, 40), put(5, 21, 40)]),
        Step::GoOn(0),
        Step::Release(0),
        Step::Commit(vec![delete(6)]),
        Step::Compact,
        Step::Settle,
        one(9, 22, 30),
    ]
}

fn bulk(setup: Setup) -> Vec<Step> {
    vec![
        one(1, 1, 1_500),
        Step::Commit(vec![put(2, 2, 900), put(3, 3, 900)]),
        Step::Between(
            Moment::OfDataFile(0),
            vec![put(1, 4, 40)],
            Box::new(Step::Commit(vec![Write::new(Merge, D, 1, 5, 1_200)])),
        ),
        Step::Checkpoint,
        Step::UnderWay(vec![vec![put(4, 6, 1_200)], vec![put(5, 7, 60)]]),
        killed(setup),
        one(4, 8, 1_300),
        Step::Compact,
        Step::Reopen(Reopen::Close, setup),
        Step::Commit(vec![delete(2)]),
    ]
}

fn transactions(setup: Setup) -> Vec<Step> {
    let txn = |place, step| Step::Txn(place, step);
    vec![
        Step::Commit(vec![put(1, 1, 60), put(2, 2, 60)]),
        txn(0, TxnStep::Begin { serializable: true }),
        txn(
            1,
            TxnStep::Begin {
                serializable: false,
            },
        ),
        txn(0, TxnStep::Read(D, 1)),
        txn(0, TxnStep::Scan(D, 2, 9)),
        txn(0, TxnStep::Write(put(3, 3, 50))),
        txn(0, TxnStep::Write(Write::new(Insert, D, 0, 4, 50))),
        txn(1, TxnStep::Write(put(1, 5, 40))),
        txn(1, TxnStep::Write(delete(2))),
        Step::Hold(0),
        txn(1, TxnStep::Commit),
        txn(0, TxnStep::Commit),
        Step::Look(D, 0, 4),
        Step::Commit(vec![Write {
            demand: Demand::Current,
            ..put(1, 6, 40)
        }]),
        Step::Checkpoint,
        Step::LookAtAll,
        killed(setup),
        Step::Commit(vec![Write::new(Insert, D, 0, 7, 30)]),
    ]
}

fn kept(setup: Setup) -> Vec<Step> {
    vec![
        Step::Commit(vec![put(1, 1, 300), put(2, 2, 300)]),
        Step::Checkpoint,
        Step::Commit(vec![put(1, 3, 300)]),
        Step::Checkpoint,
        Step::Commit(vec![put(2, 4, 300), delete(1)]),
        Step::Checkpoint,
        Step::Settle,
        Step::Compact,
        one(3, 5, 60),
        Step::Checkpoint,
        killed(setup),
        one(4, 6, 60),
    ]
}

fn heal(setup: Setup) -> Vec<Step> {
    let heal = |nth, find, meanwhile, deletes| {
        Step::Heal(Heal {
            nth,
            find,
            meanwhile,
            n: 50 + nth,
            deletes,
        })
    };
    let now = Moment::OfDataFile(0);
    vec![
        Step::Commit((1..6).map(|id| put(id, id, 200)).collect()),
        one(1, 6, 200),
        // An older version is in the log, too.
        heal(0, Find::Demand, None, false),
        heal(1, Find::Demand, Some((now, true, true)), false),
        heal(1, Find::Read, Some((now, false, true)), false),
        heal(2, Find::Scrub, None, false),
        Step::Reopen(Reopen::Close, setup),
        one(9, 9, 40),
        // The log before has gone with the checkpoint.
        heal(0, Find::Demand, None, true),
        heal(1, Find::All, None, false),
        killed(setup),
        one(10, 10, 40),
    ]
}

fn backup(setup: Setup) -> Vec<Step> {
    vec![
        Step::Commit((1..5).map(|id| put(id, id, 300)).collect()),
        Step::Backup(Vec::new()),
        Step::Commit(vec![put(1, 5, 300), delete(2)]),
        Step::Backup(vec![
            vec![put(1, 6, 200), put(3, 7, 200)],
            vec![delete(4), put(5, 8, 40)],
        ]),
        one(6, 9, 40),
        killed(setup),
        one(1, 10, 100),
        Step::Between(
            Moment::OfDataFile(1),
            vec![put(7, 11, 40)],
            Box::new(Step::Backup(Vec::new())),
        ),
    ]
}
