//! The tests of isolation are tests only if they see bugs: each planted one turns one of these red.
#![cfg(all(feature = "planted-bugs", debug_assertions))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;

use common::hooked::Hooked;
use common::transactions::*;
use common::workload::text;
use common::{create, disk, in_collection, open, options};
use docdb_engine::planted::{Bug, plant};
use docdb_engine::vfs::sim::CrashPolicy;
use docdb_engine::{Db, ErrorKind, Isolation, ManualDriver, WriteOp};

type Outcome = Result<(), String>;

fn must_conflict(outcome: Result<docdb_engine::Committed, docdb_engine::Error>) -> Outcome {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        other => Err(format!("no conflict: {other:?}")),
    }
}

/// Two add one to the same counter.
fn lost_update() -> Outcome {
    for isolation in [Isolation::Snapshot, Isolation::Serializable] {
        let db = create(&disk()).unwrap();
        put(&db, 1, "0");
        let (mut a, mut b) = (begin_as(&db, isolation), begin_as(&db, isolation));
        for txn in [&mut a, &mut b] {
            txn.update(C, 1, b"1").unwrap();
        }
        commit(a).unwrap();
        must_conflict(commit(b))?;
    }
    Ok(())
}

/// Two write what the other has read.
fn write_skew() -> Outcome {
    let db = create(&disk()).unwrap();
    put(&db, 1, "1");
    put(&db, 2, "1");
    let (mut a, mut b) = (begin_serializable(&db), begin_serializable(&db));
    for txn in [&mut a, &mut b] {
        assert_eq!(txn_scan(txn, &in_collection(C)).len(), 2);
    }
    a.update(C, 1, b"0").unwrap();
    b.update(C, 2, b"0").unwrap();
    commit(a).unwrap();
    must_conflict(commit(b))
}

/// What was read is written after the read set was looked at, and before the commit is sequenced.
fn late_write() -> Outcome {
    let hooked = Hooked::new(&disk(), "data-");
    let driver = Arc::new(ManualDriver);
    let db = Db::create(hooked.vfs(), common::dir(), options(), driver).unwrap();
    put(&db, 1, "1");
    let mut txn = begin_serializable(&db);
    txn_get(&mut txn, 1);
    txn.upsert(C, 2, text(1, 8 << 10).as_bytes()).unwrap();
    let other = db.clone();
    hooked.hook(move || {
        put(&other, 1, "2");
    });
    must_conflict(commit(txn))
}

/// What was acknowledged before it began must be seen.
fn own_commit_is_seen() -> Outcome {
    let db = create(&disk()).unwrap();
    for n in 0..5 {
        let version = put(&db, 1, &n.to_string());
        let snapshot = db.snapshot().unwrap();
        if snapshot.version() < version
            || *snapshot.read(C, 1).unwrap().body != *get(&db, 1).as_bytes()
        {
            return Err(format!(
                "{version} was acknowledged, {snapshot:?} misses it"
            ));
        }
        let mut txn = begin(&db);
        if txn_get(&mut txn, 1) != n.to_string() {
            return Err(format!("{version} was acknowledged, {txn:?} misses it"));
        }
    }
    Ok(())
}

/// What is seen must be there after a power loss.
fn what_is_seen_is_durable() -> Outcome {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let ticket = db.submit(&[WriteOp::upsert(C, 1, b"1")]);
    let seen = txn_get(&mut begin(&db), 1);
    let left = get(&open(&vfs.fork_crash(&CrashPolicy::KeepNone)).unwrap(), 1);
    drop(ticket);
    if seen == left {
        Ok(())
    } else {
        Err(format!("{seen:?} was seen, {left:?} is there"))
    }
}

/// A snapshot reads on while what it sees is superseded, in memory and by checkpoints.
fn held_versions_stay() -> Outcome {
    let db = create(&disk()).unwrap();
    for id in 0..3 {
        put(&db, id, "1");
    }
    let snapshot = db.snapshot().unwrap();
    for round in 0..3 {
        for id in 0..3 {
            put(&db, id, "2");
        }
        if round == 1 {
            db.checkpoint().unwrap();
            db.maintenance_step().unwrap();
        }
        for id in 0..3 {
            match snapshot.read(C, id) {
                Ok(document) if *document.body == *b"1" => {}
                other => return Err(format!("round {round}: {other:?}")),
            }
        }
    }
    Ok(())
}

/// One test, since a planted bug is there for the whole process.
#[test]
fn every_planted_bug_of_isolation_is_caught() {
    let cases: [(Bug, fn() -> Outcome); 6] = [
        (Bug::FirstCommitterIgnored, lost_update),
        (Bug::ReadSetUnchecked, write_skew),
        (Bug::LateCommitsUnchecked, late_write),
        (Bug::BegunBehind, own_commit_is_seen),
        (Bug::BegunAhead, what_is_seen_is_durable),
        (Bug::CollectedThoughHeld, held_versions_stay),
    ];
    for (bug, test) in cases {
        plant(Some(bug));
        let panicked = |_| Err("by a panic".to_owned());
        let outcome = std::thread::spawn(test).join().unwrap_or_else(panicked);
        plant(None);
        let how = outcome.expect_err("goes unseen");
        println!("{bug:?} is caught: {how:.300}");
        test().expect("nothing is planted");
    }
}
