//! What a serializable transaction has read is so when it commits, or it does not.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;

use common::hooked::Hooked;
use common::transactions::*;
use common::workload::text;
use common::{create, create_with, disk, in_collection, kind, options, settle};
use docdb_engine::{
    Db, DbOptions, ErrorKind, Isolation, ManualDriver, ScanRequest, Txn, TxnOptions, WriteOp,
};

/// Something that a transaction reads.
type Read = fn(&mut Txn);
/// Something that another one commits meanwhile.
type Change = fn(&Db) -> u64;

/// Documents 10, 20 to 90, and an empty collection `c`.
fn filled() -> Db {
    let db = create(&disk()).unwrap();
    fill(&db);
    db
}

fn fill(db: &Db) {
    for id in 1..10 {
        put(db, id * 10, "1");
    }
    db.create_collection("c").wait().unwrap();
}

fn scan_some(txn: &mut Txn, request: &ScanRequest, items: usize) {
    let mut scan = txn.scan(request).unwrap();
    assert_eq!(
        scan.next_chunk(txn, items, usize::MAX).unwrap().len(),
        items
    );
}

fn backward(from: u64, to: u64) -> ScanRequest {
    ScanRequest {
        reverse: true,
        ..range(from, to)
    }
}

/// What is read, what is changed, and whether the reader loses.
const CASES: &[(&str, Read, Change, bool)] = &[
    (
        "point, updated",
        |t| drop(t.read(C, 10)),
        |db| put(db, 10, "2"),
        true,
    ),
    (
        "point, deleted",
        |t| drop(t.exists(C, 10)),
        |db| remove(db, 10),
        true,
    ),
    (
        "point, another",
        |t| drop(t.read(C, 10)),
        |db| put(db, 20, "2"),
        false,
    ),
    (
        "absent, created",
        |t| drop(t.read(C, 11)),
        |db| put(db, 11, "2"),
        true,
    ),
    (
        "absent, another",
        |t| drop(t.exists(C, 11)),
        |db| put(db, 12, "2"),
        false,
    ),
    (
        "refused create, deleted",
        |t| drop(t.create(C, 10, b"1").unwrap_err()),
        |db| remove(db, 10),
        true,
    ),
    (
        "refused update, created",
        |t| drop(t.update(C, 11, b"1").unwrap_err()),
        |db| put(db, 11, "1"),
        true,
    ),
    (
        "range, phantom",
        |t| drop(txn_items(t, &range(20, 40))),
        |db| put(db, 25, "2"),
        true,
    ),
    (
        "range, its ends",
        |t| drop(txn_items(t, &range(21, 39))),
        |db| put(db, 39, "2"),
        true,
    ),
    (
        "range, deleted",
        |t| drop(txn_items(t, &range(20, 40))),
        |db| remove(db, 30),
        true,
    ),
    (
        "range, beside it",
        |t| drop(txn_items(t, &range(20, 40))),
        |db| {
            put(db, 19, "2");
            put(db, 41, "2")
        },
        false,
    ),
    (
        "empty range, phantom",
        |t| assert!(txn_items(t, &range(91, u64::MAX)).is_empty()),
        |db| put(db, u64::MAX - 1, "2"),
        true,
    ),
    (
        "part of a scan, in it",
        |t| scan_some(t, &range(20, 90), 2),
        |db| put(db, 25, "2"),
        true,
    ),
    (
        "part of a scan, at its end",
        |t| scan_some(t, &range(20, 90), 2),
        |db| remove(db, 30),
        true,
    ),
    (
        "part of a scan, behind it",
        |t| scan_some(t, &range(20, 90), 2),
        |db| {
            put(db, 31, "2");
            remove(db, 40)
        },
        false,
    ),
    (
        "part of a scan backward, in it",
        |t| scan_some(t, &backward(20, 90), 2),
        |db| put(db, 85, "2"),
        true,
    ),
    (
        "part of a scan backward, before its start",
        |t| scan_some(t, &backward(20, 75), 2),
        |db| put(db, 75, "2"),
        true,
    ),
    (
        "part of a scan backward, behind it",
        |t| scan_some(t, &backward(20, 90), 2),
        |db| put(db, 79, "2"),
        false,
    ),
    (
        "scan with a limit, behind it",
        |t| {
            let request = ScanRequest {
                limit: Some(2),
                ..in_collection(C)
            };
            assert_eq!(txn_items(t, &request).len(), 2);
        },
        |db| put(db, 21, "2"),
        false,
    ),
    (
        "scan with a limit, in it",
        |t| {
            let request = ScanRequest {
                limit: Some(2),
                ..in_collection(C)
            };
            assert_eq!(txn_items(t, &request).len(), 2);
        },
        |db| put(db, 1, "2"),
        true,
    ),
    (
        "scan of which nothing was asked for",
        |t| drop(t.scan(&in_collection(C)).unwrap()),
        |db| put(db, 10, "2"),
        false,
    ),
    (
        "count, created",
        |t| drop(t.count(C)),
        |db| put(db, 11, "2"),
        true,
    ),
    (
        "count, deleted",
        |t| drop(t.count(C)),
        |db| remove(db, 90),
        true,
    ),
    (
        "count, another collection",
        |t| drop(t.count("c")),
        |db| put(db, 11, "2"),
        false,
    ),
    (
        "collection, dropped",
        |t| assert_eq!(t.count("c").unwrap(), 0),
        |db| db.drop_collection("c", false).wait().unwrap().version,
        true,
    ),
    (
        "collection, dropped and created",
        |t| drop(t.read("c", 1).unwrap_err()),
        |db| {
            db.drop_collection("c", false).wait().unwrap();
            db.create_collection("c").wait().unwrap().version
        },
        true,
    ),
    (
        "no collection, created",
        |t| drop(t.read("d", 1).unwrap_err()),
        |db| db.create_collection("d").wait().unwrap().version,
        true,
    ),
    (
        "no collection, another created",
        |t| drop(t.read("d", 1).unwrap_err()),
        |db| db.create_collection("e").wait().unwrap().version,
        false,
    ),
    (
        "list, created",
        |t| assert_eq!(t.collections().unwrap().len(), 2),
        |db| db.create_collection("e").wait().unwrap().version,
        true,
    ),
    (
        "list, counted",
        |t| drop(t.collections()),
        |db| remove(db, 10),
        true,
    ),
    (
        "its own write, read",
        |t| {
            t.upsert(C, 500, b"1").unwrap();
            assert_eq!(txn_get(t, 500), "1");
        },
        |db| put(db, 501, "2"),
        false,
    ),
];

fn check(how: &str, db: &Db, case: &(&str, Read, Change, bool), meanwhile: impl Fn(&Db)) {
    let (name, read, change, loses) = case;
    println!("{how}: {name}");
    let before = db.visible_version();
    let mut txn = begin_serializable(db);
    let mut other = begin(db);
    read(&mut txn);
    read(&mut other);
    let changed = change(db);
    meanwhile(db);
    txn.upsert(C, 1_000, b"1").unwrap();
    let wrote_the_same = other.writes() > 0;
    other.upsert(C, 2_000, b"1").unwrap();
    let outcome = commit(txn);
    match commit(other) {
        Ok(_) => assert!(!wrote_the_same),
        Err(error) => assert!(
            wrote_the_same,
            "snapshot isolation looks at writes only: {error}"
        ),
    }
    if *loses {
        let version = lost_to(outcome);
        assert!(before < version && version <= changed, "{name}");
    } else {
        outcome.expect(name);
    }
}

#[test]
fn whatever_was_read_and_changed_is_a_conflict_and_nothing_else_is() {
    for case in CASES {
        check("in memory", &filled(), case, |_| ());
    }
}

#[test]
fn also_behind_checkpoints_merges_and_compactions() {
    for case in CASES {
        let db = filled();
        db.checkpoint().unwrap();
        check("behind a checkpoint", &db, case, |db| {
            db.checkpoint().unwrap();
        });
        let db = filled();
        db.checkpoint().unwrap();
        check("behind many", &db, case, |db| {
            for round in 0..5 {
                put(db, 3_000 + round, "1");
                remove(db, 3_000 + round);
                db.checkpoint().unwrap();
                settle(db).unwrap();
            }
            db.compact().unwrap();
            settle(db).unwrap();
        });
    }
}

/// There and gone again before the commit, and the deletion was dropped by merges.
#[test]
fn a_passing_phantom_counts() {
    let db = filled();
    db.checkpoint().unwrap();
    let mut txn = begin_serializable(&db);
    assert_eq!(txn_items(&mut txn, &range(91, 99)).len(), 0);
    txn.upsert(C, 1_000, b"1").unwrap();
    put(&db, 95, "1");
    let removed = remove(&db, 95);
    for round in 0..5 {
        put(&db, 3_000 + round, "1");
        db.checkpoint().unwrap();
        settle(&db).unwrap();
    }
    db.compact().unwrap();
    settle(&db).unwrap();
    assert_eq!(lost_to(commit(txn)), removed);
}

/// A database on which something happens while a transaction commits: after its read set was looked
/// at, and before it is sequenced. For that its documents are many bytes, which are synced in between.
fn commit_with<T>(
    meanwhile: impl FnOnce(&Db) -> T + Send + 'static,
) -> (Db, Result<u64, docdb_engine::Error>) {
    let vfs = disk();
    let hooked = Hooked::new(&vfs, "data-");
    let mut options = options();
    options.memory_bytes_max = 256 << 20;
    options.bulk_bytes_min = 4 << 20;
    let db = Db::create(hooked.vfs(), common::dir(), options, Arc::new(ManualDriver)).unwrap();
    fill(&db);
    let mut txn = begin_serializable(&db);
    txn.read(C, 10).unwrap();
    txn.read(C, 11).unwrap_err();
    assert_eq!(txn_items(&mut txn, &range(20, 40)).len(), 3);
    txn.count("c").unwrap();
    txn.upsert(C, 5_000, text(1, 4 << 20).as_bytes()).unwrap();
    let other = db.clone();
    hooked.hook(move || drop(meanwhile(&other)));
    let outcome = commit(txn).map(|committed| committed.version);
    assert!(!hooked.is_hooked());
    (db, outcome)
}

fn batch(db: &Db, ids: impl Iterator<Item = u64>) -> u64 {
    let ops: Vec<_> = ids.map(|id| WriteOp::upsert(C, id, b"2")).collect();
    db.submit(&ops).wait().unwrap().version
}

#[test]
fn what_is_committed_during_the_commit_counts() {
    for (change, loses) in [
        ((|db| put(db, 10, "2")) as Change, true),
        (|db| put(db, 11, "2"), true),
        (|db| put(db, 25, "2"), true),
        (|db| put(db, 41, "2"), false),
        (
            |db| db.drop_collection("c", false).wait().unwrap().version,
            true,
        ),
        (
            |db| db.create_collection("x").wait().unwrap().version,
            false,
        ),
        // More than is compared under the sequencer.
        (|db| batch(db, 100..1_000), false),
        (|db| batch(db, (30..31).chain(100..1_000)), true),
        (|db| batch(db, (100..1_000).chain(30..31)), true),
        (
            |db| {
                batch(db, 100..1_000);
                put(db, 10, "2")
            },
            true,
        ),
    ] {
        let (db, outcome) = commit_with(change);
        match outcome {
            Ok(_) => assert!(!loses),
            Err(error) => {
                assert!(loses && error.kind() == ErrorKind::Conflict, "{error}");
                assert_eq!(get(&db, 5_000), "");
            }
        }
    }
}

/// So much that the log of recent commits forgets the first of it.
#[test]
fn what_is_forgotten_is_looked_up_again() {
    let (_, outcome) = commit_with(|db| {
        for n in 1..4 {
            batch(db, n * 100_000..n * 100_000 + 60_000);
        }
    });
    outcome.unwrap();
    let (_, outcome) = commit_with(|db| {
        put(db, 10, "2");
        for n in 1..4 {
            batch(db, n * 100_000..n * 100_000 + 60_000);
        }
    });
    assert_eq!(kind(outcome), ErrorKind::Conflict);
}

/// Write skew under threads: of two flags at least one stays up. Snapshot isolation may lose both.
#[test]
fn threads_never_skew() {
    let temp = tempfile::tempdir().unwrap();
    let db = Db::open(temp.path().join("db")).unwrap();
    for round in 0..60_u64 {
        let (a, b) = (round * 2, round * 2 + 1);
        put(&db, a, "1");
        put(&db, b, "1");
        std::thread::scope(|scope| {
            for (mine, other) in [(a, b), (b, a)] {
                let db = &db;
                scope.spawn(move || {
                    db.transact(&TxnOptions::serializable(), |txn| {
                        if txn_get(txn, other) == "1" {
                            txn.update(C, mine, b"0")?;
                        }
                        Ok::<_, docdb_engine::Error>(())
                    })
                    .unwrap();
                });
            }
        });
        let left = (get(&db, a), get(&db, b));
        assert!(
            left == ("1".into(), "0".into()) || left == ("0".into(), "1".into()),
            "{left:?}"
        );
    }
    db.close().unwrap();
}

/// Increments of one document by many threads, all of them counted; and of one each, none of them lost
/// to another.
#[test]
fn hot_and_disjoint_documents_under_threads() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 50;
    for isolation in [Isolation::Snapshot, Isolation::Serializable] {
        let temp = tempfile::tempdir().unwrap();
        let mut few = options();
        few.checkpoint_wal_bytes = 8 << 10;
        let db = Db::open_with(temp.path().join("db"), few).unwrap();
        for id in 0..=THREADS {
            put(&db, id, "0");
        }
        let mut options = TxnOptions::default();
        options.isolation = isolation;
        options.attempts_max = u32::MAX;
        let options = options.with_timeout(docdb_engine::TRANSACTION_TIMEOUT_MAX);
        let increment = |id: u64| {
            db.transact(&options, |txn| {
                let count: u64 = txn_get(txn, id).parse().unwrap();
                txn.update(C, id, (count + 1).to_string().as_bytes())
            })
            .unwrap();
        };
        std::thread::scope(|scope| {
            for thread in 1..=THREADS {
                let increment = &increment;
                scope.spawn(move || (0..ROUNDS).for_each(|_| increment(thread)));
            }
        });
        assert_eq!(db.stats().transactions_conflicted, 0, "disjoint");
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..ROUNDS).for_each(|_| increment(0)));
            }
        });
        assert_eq!(get(&db, 0), (THREADS * ROUNDS).to_string());
        for id in 1..=THREADS {
            assert_eq!(get(&db, id), ROUNDS.to_string());
        }
        let stats = db.stats();
        assert_eq!(stats.transactions_committed, 2 * THREADS * ROUNDS);
        assert_eq!(stats.transactions_open, 0);
        db.close().unwrap();
    }
}

fn with(change: impl FnOnce(&mut DbOptions)) -> DbOptions {
    let mut options = options();
    change(&mut options);
    options
}

#[test]
fn read_sets_count_as_memory() {
    let budget = 256 << 10;
    let db = create_with(&disk(), with(|o| o.memory_bytes_max = budget)).unwrap();
    let mut few = begin_serializable(&db);
    assert!(!few.exists(C, 1).unwrap());
    let mut txn = begin_serializable(&db);
    let mut asked = 0;
    let refused = loop {
        match txn.exists(C, asked) {
            Ok(found) => assert!(!found),
            Err(error) => break error,
        }
        asked += 1;
        assert!(asked < 100_000, "it never ends");
    };
    assert_eq!(refused.kind(), ErrorKind::MemoryLimit);
    assert!(asked > 4_000, "{asked}");
    let taken = db.stats().transaction_bytes;
    assert!((200 << 10..=budget).contains(&taken), "{taken}");
    // It cannot be told now, and may not wait.
    let ready = txn.read_nowait(C, asked + 1).unwrap();
    assert!(matches!(ready, docdb_engine::Ready::WouldBlock));
    let ready = txn.exists_nowait(C, asked + 1).unwrap();
    assert_eq!(ready, docdb_engine::Ready::WouldBlock);
    drop(txn);
    few.create(C, 1, b"1").unwrap();
    commit(few).unwrap();
    assert_eq!(db.stats().transaction_bytes, 0);
}

/// What is no name never becomes one: it is not kept, however long it is.
#[test]
fn names_that_cannot_be_are_not_kept() {
    let db = create_with(&disk(), with(|o| o.transaction_read_points_max = 2)).unwrap();
    let mut txn = begin_serializable(&db);
    for n in 0..10 {
        let name = format!("{n}{}", "x".repeat(64));
        assert_eq!(kind(txn.count(&name)), ErrorKind::CollectionNotFound);
    }
    for name in ["a", "b"] {
        assert_eq!(kind(txn.count(name)), ErrorKind::CollectionNotFound);
    }
    assert_eq!(kind(txn.count("c")), ErrorKind::LimitExceeded);
}
