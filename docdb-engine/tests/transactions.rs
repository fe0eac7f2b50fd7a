//! What a transaction sees, what it refuses, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::transactions::*;
use common::{
    create, create_with, disk, dump, fault_at, in_collection, kind, open, options, settle,
};
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind};
use docdb_engine::{
    Db, DbOptions, Durability, ErrorKind, Isolation, Precondition, ScanRequest,
    TRANSACTION_TIMEOUT_MAX, TxnOptions, WriteOp,
};

fn with(change: impl FnOnce(&mut DbOptions)) -> DbOptions {
    let mut options = options();
    change(&mut options);
    options
}

#[test]
fn patches_and_merges_are_made_of_what_the_transaction_sees() {
    let db = create(&disk()).unwrap();
    put(&db, 1, r#"{"n":1.10,"tags":[]}"#);
    put(&db, 2, "[1]");
    let read = |txn: &mut docdb_engine::Txn, id| {
        String::from_utf8(txn.read(C, id).unwrap().body.to_vec()).unwrap()
    };
    let mut txn = begin(&db);
    let push = br#"[{"op":"insert","path":"/tags/-","value":"a"}]"#;
    txn.patch(C, 1, push).unwrap();
    txn.patch(C, 1, push).unwrap();
    txn.merge(C, 1, br#"{"m":2}"#).unwrap();
    let made = r#"{"n":1.10,"tags":["a","a"],"m":2}"#;
    assert_eq!(read(&mut txn, 1), made);
    // What is refused changes nothing, and the transaction goes on.
    assert_eq!(
        kind(txn.patch(C, 1, br#"[{"op":"delete","path":"/none"}]"#)),
        ErrorKind::InvalidPath
    );
    assert_eq!(kind(txn.patch(C, 1, b"[]")), ErrorKind::InvalidPatch);
    assert_eq!(kind(txn.patch(C, 2, push)), ErrorKind::NotAnObject);
    assert_eq!(kind(txn.merge(C, 3, b"{}")), ErrorKind::NotFound);
    assert_eq!(read(&mut txn, 1), made);
    txn.commit().wait().unwrap();
    assert_eq!(&*db.read(C, 1).unwrap().body, made.as_bytes());

    // Made of a document that somebody else has written since: lost.
    let mut txn = begin(&db);
    txn.merge(C, 1, br#"{"m":3}"#).unwrap();
    let other = WriteOp::merge(C, 1, br#"{"other":true}"#);
    db.submit(&[other]).wait().unwrap();
    assert_eq!(kind(txn.commit().wait()), ErrorKind::Conflict);
    let both = r#"{"n":1.10,"tags":["a","a"],"m":2,"other":true}"#;
    assert_eq!(&*db.read(C, 1).unwrap().body, both.as_bytes());
}

#[test]
fn it_sees_its_own_writes_over_its_snapshot_and_nobody_else_does() {
    let db = create(&disk()).unwrap();
    for id in [10, 20, 30, 40] {
        put(&db, id, "\"old\"");
    }
    let mut txn = begin(&db);
    put(&db, 50, "\"later\"");
    put(&db, 10, "\"later\"");
    txn.update(C, 20, b"\"mine\"").unwrap();
    txn.delete(C, 30).unwrap();
    txn.create(C, 25, b"\"mine\"").unwrap();
    txn.upsert(C, 5, b"\"mine\"").unwrap();
    txn.upsert(C, 6, b"\"mine\"").unwrap();
    txn.delete(C, 6).unwrap();
    let inserted = txn.insert(C, b"\"mine\"").unwrap();
    assert_eq!(
        inserted, 51,
        "above what was ever used, also after it began"
    );

    let mine = "\"mine\"".to_owned();
    let old = "\"old\"".to_owned();
    let expected = vec![
        (5, mine.clone()),
        (10, old.clone()),
        (20, mine.clone()),
        (25, mine.clone()),
        (40, old.clone()),
        (51, mine.clone()),
    ];
    let all = in_collection(C);
    assert_eq!(txn_scan(&mut txn, &all), expected);
    let mut reversed = expected.clone();
    reversed.reverse();
    let backward = ScanRequest {
        reverse: true,
        ..all.clone()
    };
    assert_eq!(txn_scan(&mut txn, &backward), reversed);
    for (from, to) in [
        (0, 4),
        (5, 5),
        (6, 24),
        (20, 25),
        (26, 50),
        (51, 99),
        (30, 20),
    ] {
        let within = |(id, _): &&(u64, String)| (from..=to).contains(id);
        let part: Vec<_> = expected.iter().filter(within).cloned().collect();
        assert_eq!(txn_scan(&mut txn, &range(from, to)), part, "{from}..={to}");
        let mut part_backward = part.clone();
        part_backward.reverse();
        let request = ScanRequest {
            reverse: true,
            ..range(from, to)
        };
        assert_eq!(txn_scan(&mut txn, &request), part_backward);
        for limit in 1..4 {
            let request = ScanRequest {
                limit: Some(limit),
                ..range(from, to)
            };
            let first: Vec<_> = part.iter().take(limit as usize).cloned().collect();
            assert_eq!(txn_scan(&mut txn, &request), first, "the first {limit}");
        }
    }
    for (id, body) in &expected {
        assert_eq!(txn_get(&mut txn, *id), *body);
        assert!(txn.exists(C, *id).unwrap());
        let own = txn.read(C, *id).unwrap().version == 0;
        assert_eq!(own, *body == mine, "what it wrote has no version yet");
    }
    for id in [6, 30, 50] {
        assert_eq!(kind(txn.read(C, id)), ErrorKind::NotFound);
        assert!(!txn.exists(C, id).unwrap());
    }
    assert_eq!(txn.count(C).unwrap(), 6);
    assert_eq!(txn.collections().unwrap()[0].documents, 6);
    assert_eq!((txn.isolation(), txn.writes()), (Isolation::Snapshot, 6));

    assert_eq!(get(&db, 20), old, "nobody else sees it");
    assert_eq!(db.count(C).unwrap(), 5);
    let committed = commit(txn).unwrap();
    assert!(committed.ids.is_empty());
    for (id, body) in &expected {
        let found = db.read(C, *id).unwrap();
        let later = *id == 10;
        assert_eq!(found.version == committed.version, *body == mine);
        assert_eq!(*found.body == *body.as_bytes(), !later);
    }
    assert_eq!(db.count(C).unwrap(), 7);
    assert!(dump(&db).is_ok());
    let insert = db.submit(&[WriteOp::insert(C, b"1")]).wait().unwrap();
    assert_eq!(insert.ids[0], 52);
}

#[test]
fn what_it_created_and_deleted_leaves_only_its_id_used() {
    let db = create(&disk()).unwrap();
    let mut txn = begin(&db);
    txn.create(C, 70, b"1").unwrap();
    txn.delete(C, 70).unwrap();
    commit(txn).unwrap();
    assert_eq!((db.count(C).unwrap(), get(&db, 70)), (0, String::new()));
    let insert = db.submit(&[WriteOp::insert(C, b"1")]).wait().unwrap();
    assert_eq!(insert.ids[0], 71);
}

#[test]
fn dropped_or_rolled_back_nothing_is_written_and_no_id_is_given_twice() {
    let db = create(&disk()).unwrap();
    put(&db, 1, "1");
    let version = db.visible_version();
    let mut txn = begin(&db);
    txn.update(C, 1, b"2").unwrap();
    assert_eq!(txn.insert(C, b"2").unwrap(), 2);
    let mut other = begin(&db);
    assert_eq!(other.insert(C, b"2").unwrap(), 3, "both can commit");
    txn.rollback();
    drop(other);
    assert_eq!((get(&db, 1), db.count(C).unwrap()), ("1".into(), 1));
    assert_eq!(db.visible_version(), version, "nothing was logged");
    let insert = db.submit(&[WriteOp::insert(C, b"1")]).wait().unwrap();
    assert_eq!(insert.ids[0], 4);
    let stats = db.stats();
    assert_eq!(
        (stats.transactions_rolled_back, stats.transactions_open),
        (2, 0)
    );
    assert_eq!((stats.snapshots, stats.transaction_bytes), (0, 0));
}

#[test]
fn transactions_that_insert_do_not_lose_to_one_another() {
    let db = create(&disk()).unwrap();
    let (mut a, mut b) = (begin(&db), begin_serializable(&db));
    let ids = [a.insert(C, b"1").unwrap(), b.insert(C, b"2").unwrap()];
    let plain = db.submit(&[WriteOp::insert(C, b"3")]).wait().unwrap();
    assert_eq!((ids, plain.ids[0]), ([1, 2], 3));
    commit(b).unwrap();
    commit(a).unwrap();
    assert_eq!(db.count(C).unwrap(), 3);
}

#[test]
fn writes_follow_the_rules_of_plain_ones() {
    let db = create(&disk()).unwrap();
    let there = put(&db, 1, "1");
    let mut txn = begin(&db);
    let ops = [
        (WriteOp::create(C, 1, b"2"), ErrorKind::AlreadyExists),
        (WriteOp::update(C, 2, b"2"), ErrorKind::NotFound),
        (WriteOp::delete(C, 2), ErrorKind::NotFound),
        (WriteOp::upsert(C, 1, b"{"), ErrorKind::InvalidJson),
        (
            WriteOp::upsert("none", 1, b"1"),
            ErrorKind::CollectionNotFound,
        ),
        (
            WriteOp::update(C, 1, b"2").when(Precondition::VersionIs(there + 1)),
            ErrorKind::VersionMismatch,
        ),
        (
            WriteOp::upsert(C, 1, b"2").when(Precondition::Absent),
            ErrorKind::VersionMismatch,
        ),
        (
            WriteOp::insert(C, b"2").when(Precondition::VersionIs(1)),
            ErrorKind::VersionMismatch,
        ),
    ];
    for (op, expected) in &ops {
        let error = txn.write(op).unwrap_err();
        assert_eq!(
            (error.kind(), error.op_index()),
            (*expected, None),
            "{op:?}"
        );
    }
    let exists = txn.write(&ops[0].0).unwrap_err();
    assert_eq!(exists.version(), Some(there));
    txn.write(&WriteOp::update(C, 1, b"2").when(Precondition::VersionIs(there)))
        .unwrap();
    // What it wrote has no version that could be demanded, and is there.
    for op in [
        WriteOp::update(C, 1, b"3").when(Precondition::VersionIs(there)),
        WriteOp::upsert(C, 1, b"3").when(Precondition::VersionIs(0)),
        WriteOp::upsert(C, 1, b"3").when(Precondition::Absent),
    ] {
        assert_eq!(kind(txn.write(&op)), ErrorKind::VersionMismatch);
    }
    assert_eq!(kind(txn.create(C, 1, b"3")), ErrorKind::AlreadyExists);
    txn.delete(C, 1).unwrap();
    assert_eq!(kind(txn.update(C, 1, b"3")), ErrorKind::NotFound);
    txn.write(&WriteOp::upsert(C, 1, b"4").when(Precondition::Absent))
        .unwrap();
    commit(txn).unwrap();
    assert_eq!(get(&db, 1), "4");
}

#[test]
fn the_first_to_commit_wins_and_the_other_learns_to_what_it_lost() {
    for isolation in [Isolation::Snapshot, Isolation::Serializable] {
        let db = create(&disk()).unwrap();
        put(&db, 1, "1");
        let mut first = begin_as(&db, isolation);
        let mut second = begin_as(&db, isolation);
        second.update(C, 1, b"3").unwrap();
        first.update(C, 1, b"2").unwrap();
        second.upsert(C, 2, b"3").unwrap();
        let won = commit(first).unwrap().version;
        assert_eq!(lost_to(commit(second)), won);
        assert_eq!((get(&db, 1), get(&db, 2)), ("2".into(), String::new()));

        // A plain write is a commit like any other, and so are deletions and creations.
        let mut txn = begin_as(&db, isolation);
        txn.upsert(C, 1, b"4").unwrap();
        let removed = remove(&db, 1);
        assert_eq!(lost_to(commit(txn)), removed);
        let mut txn = begin_as(&db, isolation);
        txn.create(C, 1, b"4").unwrap();
        let created = put(&db, 1, "5");
        assert_eq!(lost_to(commit(txn)), created);
        // There and gone again is a change, too.
        let mut txn = begin_as(&db, isolation);
        txn.create(C, 9, b"4").unwrap();
        put(&db, 9, "5");
        let removed = remove(&db, 9);
        assert_eq!(lost_to(commit(txn)), removed);

        let stats = db.stats();
        assert_eq!(
            (stats.transactions_committed, stats.transactions_conflicted),
            (1, 4)
        );
        assert_eq!((stats.transactions_open, stats.snapshots), (0, 0));
    }
}

/// Several checkpoints and merges carry the versions away before the transactions commit.
#[test]
fn conflicts_outlive_checkpoints_and_merges() {
    for isolation in [Isolation::Snapshot, Isolation::Serializable] {
        let db = create(&disk()).unwrap();
        for id in 0..20 {
            put(&db, id, "1");
        }
        db.checkpoint().unwrap();
        let writing = |id: u64| {
            let mut txn = begin_as(&db, isolation);
            txn.upsert(C, id, b"9").unwrap();
            txn
        };
        let (updated, deleted, passing) = (writing(1), writing(2), writing(100));
        let (untouched, deleted_before) = (writing(5), {
            remove(&db, 6);
            db.checkpoint().unwrap();
            writing(6)
        });
        let update = put(&db, 1, "2");
        let delete = remove(&db, 2);
        put(&db, 100, "2");
        let pass = remove(&db, 100);
        for round in 0..6 {
            put(&db, 200 + round, "1");
            db.checkpoint().unwrap();
            settle(&db).unwrap();
        }
        db.compact().unwrap();
        settle(&db).unwrap();
        assert!(db.stats().merges > 0, "{:?}", db.stats());
        assert_eq!(lost_to(commit(updated)), update);
        assert_eq!(lost_to(commit(deleted)), delete);
        assert_eq!(
            lost_to(commit(passing)),
            pass,
            "a deletion that was dropped"
        );
        commit(untouched).unwrap();
        commit(deleted_before).unwrap();
        assert_eq!((get(&db, 5), get(&db, 6)), ("9".into(), "9".into()));
        assert!(dump(&db).is_ok());
        db.maintenance_step().unwrap();
        assert_eq!(
            db.stats().retired_bytes,
            0,
            "nobody needs the history any more"
        );
    }
}

#[test]
fn a_collection_that_it_wrote_to_is_gone() {
    for (isolation, recreate) in [
        (Isolation::Snapshot, false),
        (Isolation::Snapshot, true),
        (Isolation::Serializable, false),
        (Isolation::Serializable, true),
    ] {
        let db = create(&disk()).unwrap();
        db.create_collection("c").wait().unwrap();
        let mut txn = begin_as(&db, isolation);
        txn.insert("c", b"1").unwrap();
        db.drop_collection("c", true).wait().unwrap();
        if recreate {
            db.create_collection("c").wait().unwrap();
        }
        txn.upsert("c", 7, b"1").unwrap();
        assert_eq!(txn.count("c").unwrap(), 2, "its snapshot still has it");
        assert_eq!(kind(commit(txn)), ErrorKind::CollectionNotFound);
        if recreate {
            assert_eq!(db.count("c").unwrap(), 0);
        }
        assert_eq!(db.stats().transactions_rolled_back, 1);
    }
}

#[test]
fn a_collection_created_later_is_not_there() {
    let db = create(&disk()).unwrap();
    let mut txn = begin(&db);
    db.create_collection("c").wait().unwrap();
    assert_eq!(kind(txn.read("c", 1)), ErrorKind::CollectionNotFound);
    assert_eq!(kind(txn.insert("c", b"1")), ErrorKind::CollectionNotFound);
    assert_eq!(
        kind(txn.scan(&in_collection("c"))),
        ErrorKind::CollectionNotFound
    );
}

#[test]
fn reading_only_logs_nothing() {
    let db = create(&disk()).unwrap();
    let version = put(&db, 1, "1");
    for isolation in [Isolation::Snapshot, Isolation::Serializable] {
        let mut txn = begin_as(&db, isolation);
        assert_eq!(txn_get(&mut txn, 1), "1");
        txn.count(C).unwrap();
        let records = db.wal().appended_lsn();
        assert_eq!(commit(txn).unwrap().version, version);
        assert_eq!(db.wal().appended_lsn(), records);
    }
    // It ran at its snapshot, as if it had been before what came later.
    let mut txn = begin_serializable(&db);
    assert_eq!(txn_get(&mut txn, 1), "1");
    put(&db, 1, "2");
    assert_eq!(commit(txn).unwrap().version, version);
    assert_eq!(db.stats().transactions_committed, 3);
}

#[test]
fn deadlines() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let too_long =
        TxnOptions::default().with_timeout(TRANSACTION_TIMEOUT_MAX + Duration::from_nanos(1));
    assert_eq!(kind(db.begin(&too_long)), ErrorKind::InvalidArgument);
    let refused = db.transact(&too_long, |_| Ok::<_, docdb_engine::Error>(()));
    assert_eq!(kind(refused), ErrorKind::InvalidArgument);
    let longest = TxnOptions::default().with_timeout(TRANSACTION_TIMEOUT_MAX);
    let mut long = db.begin(&longest).unwrap();

    let mut txn = begin(&db);
    assert_eq!(
        txn.deadline(),
        docdb_engine::vfs::Vfs::now(&vfs) + Duration::from_secs(5)
    );
    txn.upsert(C, 1, b"1").unwrap();
    let mut scan = txn.scan(&in_collection(C)).unwrap();
    let (ending, dropped) = (begin(&db), begin(&db));
    vfs.advance(Duration::from_secs(5) - Duration::from_nanos(1));
    assert!(txn.exists(C, 1).unwrap());
    vfs.advance(Duration::from_nanos(1));
    let expired = ErrorKind::TransactionExpired;
    assert_eq!(kind(txn.read(C, 1)), expired);
    assert_eq!(kind(txn.exists(C, 1)), expired);
    assert_eq!(kind(txn.upsert(C, 1, b"1")), expired);
    assert_eq!(kind(txn.count(C)), expired);
    assert_eq!(kind(txn.collections()), expired);
    assert_eq!(kind(txn.scan(&in_collection(C))), expired);
    assert_eq!(kind(scan.next_chunk(&mut txn, 1, 1)), expired);
    assert_eq!(kind(commit(txn)), expired);
    assert_eq!(kind(commit(ending)), expired);
    drop(dropped);
    assert_eq!(get(&db, 1), "");
    long.upsert(C, 2, b"1").unwrap();
    commit(long).unwrap();
    let stats = db.stats();
    assert_eq!(
        (stats.transactions_expired, stats.transactions_committed),
        (3, 1)
    );
    assert_eq!(
        (stats.transactions_open, stats.transactions_rolled_back),
        (0, 0)
    );
}

/// Nobody asks an abandoned transaction for anything: maintenance ends what it holds.
#[test]
fn an_abandoned_transaction_holds_nothing_after_its_deadline() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    put(&db, 1, "1");
    let mut abandoned = begin(&db);
    put(&db, 1, "2");
    db.checkpoint().unwrap();
    assert!(db.stats().retired_bytes > 0);
    let due = db.maintenance_due().expect("the deadline");
    assert_eq!(due, abandoned.deadline());
    vfs.advance(due - docdb_engine::vfs::Vfs::now(&vfs));
    db.maintenance_step().unwrap();
    let stats = db.stats();
    assert_eq!(
        (
            stats.transactions_open,
            stats.snapshots,
            stats.retired_bytes
        ),
        (0, 0, 0)
    );
    assert_eq!(kind(abandoned.read(C, 1)), ErrorKind::TransactionExpired);
}

/// The clock reaches the deadline while the commit waits for its turn.
#[test]
fn the_deadline_is_checked_last() {
    let vfs = disk();
    // The documents of a large commit are synced to a data file before it is sequenced.
    let hooked = common::hooked::Hooked::new(&vfs, "data-");
    let db = Db::create(
        hooked.vfs(),
        common::dir(),
        options(),
        std::sync::Arc::new(docdb_engine::ManualDriver),
    )
    .unwrap();
    let body = common::workload::text(1, 5_000);
    let mut txn = begin(&db);
    txn.upsert(C, 1, body.as_bytes()).unwrap();
    let clock = vfs.clone();
    hooked.hook(move || clock.advance(Duration::from_secs(5)));
    assert_eq!(kind(commit(txn)), ErrorKind::TransactionExpired);
    assert!(!hooked.is_hooked());
    assert_eq!(
        (get(&db, 1), db.stats().transactions_expired),
        (String::new(), 1)
    );
    // The same without the delay.
    let mut txn = begin(&db);
    txn.upsert(C, 1, body.as_bytes()).unwrap();
    commit(txn).unwrap();
    assert_eq!(get(&db, 1), body);
}

#[test]
fn write_sets_are_bounded() {
    let db = create_with(
        &disk(),
        with(|o| {
            o.transaction_ops_max = 3;
            o.transaction_bytes_max = 20;
        }),
    )
    .unwrap();
    let mut txn = begin(&db);
    for id in 0..3 {
        txn.upsert(C, id, b"1").unwrap();
    }
    assert_eq!(kind(txn.upsert(C, 3, b"1")), ErrorKind::LimitExceeded);
    assert_eq!(kind(txn.insert(C, b"1")), ErrorKind::LimitExceeded);
    txn.upsert(C, 0, b"22").unwrap();
    assert_eq!(
        kind(txn.upsert(C, 0, &b"1".repeat(19))),
        ErrorKind::LimitExceeded
    );
    txn.upsert(C, 0, &b"1".repeat(18)).unwrap();
    assert_eq!(
        kind(txn.delete(C, 1)),
        ErrorKind::LimitExceeded,
        "of one that it created"
    );
    commit(txn).unwrap();
    assert_eq!((get(&db, 0), db.count(C).unwrap()), ("1".repeat(18), 3));
}

#[test]
fn read_sets_are_bounded_and_ranges_that_touch_are_one() {
    let db = create_with(
        &disk(),
        with(|o| {
            o.transaction_read_points_max = 3;
            o.transaction_read_ranges_max = 2;
        }),
    )
    .unwrap();
    for id in 0..40 {
        put(&db, id, "1");
    }
    let mut txn = begin_serializable(&db);
    for id in [1, 3, 5, 5, 3] {
        txn.read(C, id).unwrap();
    }
    assert_eq!(kind(txn.read(C, 7)), ErrorKind::LimitExceeded);
    assert_eq!(kind(txn.exists(C, 99)), ErrorKind::LimitExceeded);
    txn.upsert(C, 7, b"2").unwrap();
    assert_eq!(
        txn_get(&mut txn, 7),
        "2",
        "its own is not read from anywhere"
    );
    assert_eq!(
        txn_items(&mut txn, &range(10, 30)).len(),
        21,
        "seven chunks are one range"
    );
    assert_eq!(txn_items(&mut txn, &range(35, 36)).len(), 2);
    txn.read(C, 12).unwrap();
    let mut third = txn.scan(&range(33, 33)).unwrap();
    assert_eq!(
        kind(third.next_chunk(&mut txn, 1, 1)),
        ErrorKind::LimitExceeded
    );
    assert_eq!(
        txn_items(&mut txn, &range(31, 34)).len(),
        4,
        "it joins the two"
    );
    assert_eq!(
        third.next_chunk(&mut txn, 1, 1).unwrap().len(),
        1,
        "so nothing was lost"
    );
    assert!(db.stats().transaction_bytes > 0);
    commit(txn).unwrap();
    assert_eq!(db.stats().transaction_bytes, 0);
    // Snapshot isolation keeps no read set.
    let mut txn = begin(&db);
    for id in 0..40 {
        txn.read(C, id).unwrap();
    }
}

#[test]
fn open_transactions_are_bounded() {
    let db = create_with(&disk(), with(|o| o.transactions_max = 2)).unwrap();
    let (first, _second) = (begin(&db), begin(&db));
    let error = db.begin(&TxnOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.is_retryable());
    assert_eq!(db.stats().transactions_open, 2);
    drop(first);
    begin(&db).rollback();
}

#[test]
fn write_sets_count_as_memory() {
    let db = create_with(&disk(), with(|o| o.memory_bytes_max = 64 << 10)).unwrap();
    let body = common::workload::text(1, 1_000);
    let mut txn = begin(&db);
    let mut written = 0;
    let refused = loop {
        match txn.upsert(C, written, body.as_bytes()) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::MemoryLimit);
    assert!((40..64).contains(&written), "{written}");
    assert!(
        db.stats().transaction_bytes <= 64 << 10,
        "never above the budget"
    );
    let other = db
        .submit(&[WriteOp::upsert(C, 500, body.as_bytes())])
        .wait();
    assert_eq!(kind(other), ErrorKind::MemoryLimit, "others feel it, too");
    assert!(db.stats().transaction_bytes > 40_000);
    commit(txn).unwrap();
    assert_eq!(db.count(C).unwrap(), written);
    assert_eq!(db.stats().transaction_bytes, 0);
    put(&db, 500, &body);
}

#[test]
fn a_scan_belongs_to_its_transaction_and_takes_no_cursor() {
    let db = create(&disk()).unwrap();
    put(&db, 1, "1");
    let (mut a, mut b) = (begin(&db), begin(&db));
    let mut scan = a.scan(&in_collection(C)).unwrap();
    assert_eq!(
        kind(scan.next_chunk(&mut b, 1, 1)),
        ErrorKind::InvalidArgument
    );
    let none = ScanRequest {
        limit: Some(0),
        ..in_collection(C)
    };
    assert_eq!(kind(a.scan(&none)), ErrorKind::InvalidArgument);
    let cursor = ScanRequest {
        cursor: Some(vec![1]),
        ..in_collection(C)
    };
    assert_eq!(kind(a.scan(&cursor)), ErrorKind::InvalidArgument);
}

/// Also a scan that began before a write sees it, if it is ahead.
#[test]
fn a_scan_sees_what_is_written_before_it_gets_there() {
    let db = create(&disk()).unwrap();
    for id in 0..10 {
        put(&db, id, "1");
    }
    let mut txn = begin(&db);
    let mut scan = txn.scan(&in_collection(C)).unwrap();
    let first = scan.next_chunk(&mut txn, 4, usize::MAX).unwrap();
    assert_eq!(first.len(), 4);
    txn.update(C, 2, b"2").unwrap();
    txn.update(C, 6, b"2").unwrap();
    txn.delete(C, 7).unwrap();
    txn.create(C, 12, b"2").unwrap();
    let mut rest = Vec::new();
    loop {
        let chunk = scan.next_chunk(&mut txn, 1, usize::MAX).unwrap();
        if chunk.is_empty() {
            break;
        }
        rest.extend(chunk.iter().map(|item| (item.id, item.body[0])));
    }
    let expected = [
        (4, b'1'),
        (5, b'1'),
        (6, b'2'),
        (8, b'1'),
        (9, b'1'),
        (12, b'2'),
    ];
    assert_eq!(rest, expected);
}

#[test]
fn transact_repeats_what_lost_until_it_commits() {
    let db = create(&disk()).unwrap();
    put(&db, 1, "0");
    let mut attempts = 0;
    let mut visible = Vec::new();
    let answer = db.transact(&TxnOptions::default(), |txn| {
        attempts += 1;
        visible.push(txn.version());
        let count: u64 = txn_get(txn, 1).parse().unwrap();
        if attempts <= 2 {
            put(&db, 1, &(count + 10).to_string());
        }
        txn.update(C, 1, (count + 1).to_string().as_bytes())?;
        Ok::<_, docdb_engine::Error>(count)
    });
    assert_eq!((answer.unwrap(), attempts), (20, 3));
    assert_eq!(get(&db, 1), "21");
    assert!(visible.is_sorted() && visible[0] < visible[2]);
    let stats = db.stats();
    assert_eq!(
        (stats.transactions_committed, stats.transactions_conflicted),
        (1, 2)
    );
}

#[test]
fn transact_gives_up_after_its_attempts() {
    let db = create(&disk()).unwrap();
    let options = {
        let mut options = TxnOptions::serializable();
        options.attempts_max = 3;
        options
    };
    let mut attempts = 0;
    let answer: Result<(), _> = db.transact(&options, |txn| {
        attempts += 1;
        put(&db, 1, "1");
        txn.upsert(C, 1, b"2")
    });
    assert_eq!(kind(answer), ErrorKind::Conflict);
    assert_eq!((attempts, get(&db, 1)), (3, "1".into()));
}

#[test]
fn transact_ends_with_its_deadline_and_with_errors_of_the_closure() {
    #[derive(Debug)]
    enum Failed {
        Mine,
        Db(docdb_engine::Error),
    }
    impl From<docdb_engine::Error> for Failed {
        fn from(error: docdb_engine::Error) -> Failed {
            Failed::Db(error)
        }
    }
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let mut attempts = 0;
    let answer: Result<(), Failed> = db.transact(&TxnOptions::default(), |txn| {
        attempts += 1;
        txn.upsert(C, 1, b"1")?;
        Err(Failed::Mine)
    });
    assert!(matches!(answer, Err(Failed::Mine)));
    assert_eq!((attempts, get(&db, 1)), (1, String::new()));
    // All attempts share one timeout.
    let mut attempts = 0;
    let answer: Result<(), Failed> = db.transact(&TxnOptions::default(), |txn| {
        attempts += 1;
        put(&db, 1, "1");
        txn.upsert(C, 1, b"2")?;
        vfs.advance(Duration::from_secs(2));
        Ok(())
    });
    assert!(
        matches!(&answer, Err(Failed::Db(e)) if e.kind() == ErrorKind::TransactionExpired),
        "{answer:?}"
    );
    assert_eq!(attempts, 3);
}

/// A conflict is told only when what it rests on is visible: else a power loss could take that back.
#[test]
fn a_conflict_waits_for_what_it_lost_to() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    put(&db, 1, "1");
    for isolation in [Isolation::Snapshot, Isolation::Serializable] {
        let mut txn = begin_as(&db, isolation);
        txn.upsert(C, 1, b"3").unwrap();
        let mut reader = begin_serializable(&db);
        txn_get(&mut reader, 1);
        reader.upsert(C, 2, b"3").unwrap();
        let unseen = submit_unseen(&db, WriteOp::upsert(C, 1, b"2"));
        let before = db.visible_version();
        let (refused, reader) = (txn.commit(), reader.commit());
        assert!(!refused.is_settled() && !reader.is_settled());
        assert_eq!(db.visible_version(), before);
        // A crash now forgets both the commit and that anybody lost to it.
        let image = vfs.fork_crash(&CrashPolicy::KeepNone);
        assert_eq!(get(&open(&image).unwrap(), 1), get(&db, 1));
        let version = lost_to(refused.wait());
        assert_eq!(lost_to(reader.wait()), version);
        assert!(db.visible_version() >= version);
        assert_eq!(unseen.wait().unwrap().version, version);
    }
}

#[test]
fn what_a_transaction_reads_is_durable() {
    let db = create(&disk()).unwrap();
    put(&db, 1, "1");
    let unseen = submit_unseen(&db, WriteOp::upsert(C, 1, b"2"));
    let mut txn = begin(&db);
    assert_eq!(txn_get(&mut txn, 1), "1");
    unseen.wait().unwrap();
    assert_eq!(txn_get(&mut txn, 1), "1");
    assert_eq!(
        txn_get(&mut begin(&db), 1),
        "2",
        "acknowledged before it began"
    );
}

#[test]
fn a_failed_log_ends_transactions_that_write() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    put(&db, 1, "1");
    let mut txn = begin(&db);
    txn.upsert(C, 1, b"2").unwrap();
    let mut late = begin(&db);
    late.upsert(C, 3, b"2").unwrap();
    fault_at(
        &vfs,
        vfs.op_count() + 1,
        FaultKind::Error(std::io::ErrorKind::Other),
        true,
    );
    assert_eq!(kind(commit(txn)), ErrorKind::OutcomeUnknown);
    assert_eq!(kind(commit(late)), ErrorKind::Poisoned);
    let mut reading = begin(&db);
    assert_eq!(txn_get(&mut reading, 1), "1");
    commit(reading).unwrap();
}

#[test]
fn a_closed_database_ends_transactions() {
    let db = create(&disk()).unwrap();
    let (mut txn, writing) = (begin(&db), {
        let mut writing = begin(&db);
        writing.upsert(C, 1, b"1").unwrap();
        writing
    });
    db.close().unwrap();
    assert_eq!(kind(txn.read(C, 1)), ErrorKind::Closed);
    assert_eq!(kind(commit(writing)), ErrorKind::Closed);
    assert_eq!(kind(db.begin(&TxnOptions::default())), ErrorKind::Closed);
}

#[test]
fn the_answer_can_wait_for_more_than_the_mode_does() {
    let vfs = disk();
    let db = create_with(&vfs, with(|o| o.durability = Durability::Os)).unwrap();
    let mut options = TxnOptions::default();
    options.durability = Some(Durability::Full);
    let mut txn = db.begin(&options).unwrap();
    txn.upsert(C, 1, b"1").unwrap();
    commit(txn).unwrap();
    let image = vfs.fork_crash(&CrashPolicy::KeepNone);
    assert_eq!(get(&open(&image).unwrap(), 1), "1");
    // Asked for at the end.
    let mut txn = begin(&db);
    txn.upsert(C, 1, b"2").unwrap();
    txn.commit_as(Durability::Full).wait().unwrap();
    let image = vfs.fork_crash(&CrashPolicy::KeepNone);
    assert_eq!(get(&open(&image).unwrap(), 1), "2");
}

/// Large and small ones, cut by a power loss at every operation on the disk.
#[test]
fn a_crash_leaves_whole_transactions() {
    let run = |vfs: &docdb_engine::vfs::sim::SimVfs| -> (u64, Result<(), docdb_engine::Error>) {
        let mut acknowledged = 0;
        let mut run = || {
            let db = open(vfs)?;
            for round in 1..=6_u64 {
                let size = if round % 3 == 0 { 3_000 } else { 10 };
                let body = format!("[{round},{:?}]", "x".repeat(size));
                let mut txn = db.begin(&TxnOptions::serializable())?;
                for id in 0..4 {
                    if round == 4 && id == 3 {
                        txn.delete(C, id)?;
                    } else {
                        txn.upsert(C, id, body.as_bytes())?;
                    }
                }
                commit(txn)?;
                acknowledged = round;
                if round == 3 {
                    db.checkpoint()?;
                }
            }
            Ok(())
        };
        let outcome = run();
        (acknowledged, outcome)
    };
    let fresh = || {
        let vfs = disk();
        create(&vfs).unwrap().close().unwrap();
        vfs
    };
    let vfs = fresh();
    let start = vfs.op_count();
    run(&vfs).1.unwrap();
    let end = vfs.op_count();
    assert!(end - start > 30);
    for at in start..end {
        let vfs = fresh();
        fault_at(&vfs, at, FaultKind::PowerOff, true);
        let (acknowledged, _) = run(&vfs);
        for policy in [CrashPolicy::KeepNone, CrashPolicy::KeepAll] {
            let image = vfs.fork_crash(&policy);
            let db = open(&image).unwrap();
            let rounds: Vec<u64> = (0..4)
                .filter_map(|id| {
                    let body = get(&db, id);
                    let end = body.find(',')?;
                    Some(body[1..end].parse().unwrap())
                })
                .collect();
            let round = rounds.first().copied().unwrap_or(0);
            assert!(
                rounds.iter().all(|other| *other == round),
                "torn at {at}: {rounds:?}"
            );
            let expected = match round {
                0 => 0,
                4 => 3,
                _ => 4,
            };
            assert_eq!(rounds.len(), expected, "torn at {at}: {rounds:?}");
            assert!(
                round >= acknowledged,
                "{acknowledged} was acknowledged, {round} is there"
            );
            assert!(dump(&db).is_ok());
        }
    }
}

#[test]
fn an_insert_past_the_last_id() {
    let db = create(&disk()).unwrap();
    let mut txn = begin(&db);
    txn.create(C, 7, b"1").unwrap();
    assert_eq!(txn.insert(C, b"1").unwrap(), 8, "above its own, too");
    txn.create(C, u64::MAX, b"1").unwrap();
    assert_eq!(kind(txn.insert(C, b"1")), ErrorKind::LimitExceeded);
    let mut other = begin(&db);
    assert_eq!(
        other.insert(C, b"1").unwrap(),
        1,
        "those of others count when they commit"
    );
    commit(txn).unwrap();
    assert_eq!(kind(other.insert(C, b"1")), ErrorKind::LimitExceeded);
    other.update(C, 1, b"2").unwrap();
    commit(other).unwrap();
}

#[test]
fn a_document_written_again_takes_its_memory_once() {
    let db = create_with(&disk(), with(|o| o.memory_bytes_max = 64 << 10)).unwrap();
    let mut txn = begin(&db);
    txn.upsert(C, 1, b"1").unwrap();
    let small = db.stats().transaction_bytes;
    for n in 0..200 {
        txn.upsert(C, 1, common::workload::text(n, 2_000).as_bytes())
            .unwrap();
    }
    assert_eq!(db.stats().transaction_bytes, small + 1_999);
    txn.upsert(C, 1, b"2").unwrap();
    assert_eq!(db.stats().transaction_bytes, small);
    commit(txn).unwrap();
    assert_eq!(db.stats().transaction_bytes, 0);
}

/// Counts how often maintenance is wished for.
#[derive(Debug, Default)]
struct Wishes(std::sync::atomic::AtomicUsize);

impl docdb_engine::Maintainer for Wishes {
    fn request(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn maintenance_is_woken_for_what_is_free_and_not_for_each_transaction() {
    let wishes = std::sync::Arc::<Wishes>::default();
    let db = create_with(
        &disk(),
        with(|o| o.maintainer = Some(std::sync::Arc::clone(&wishes) as _)),
    )
    .unwrap();
    let wished = || wishes.0.swap(0, std::sync::atomic::Ordering::SeqCst);
    put(&db, 1, "1");
    let long = db.snapshot().unwrap();
    assert!(wished() > 0, "its end is to be watched");
    for n in 0..100 {
        let mut txn = begin(&db);
        txn.upsert(C, n, b"1").unwrap();
        commit(txn).unwrap();
        drop(db.snapshot().unwrap());
    }
    assert_eq!(wished(), 1, "the deadline of the first comes before");
    db.checkpoint().unwrap();
    assert!(db.stats().retired_bytes > 0);
    wished();
    begin(&db).rollback();
    assert_eq!(wished(), 0, "an older one keeps all");
    drop(long);
    assert!(wished() > 0);
    db.maintenance_step().unwrap();
    assert_eq!(db.stats().retired_bytes, 0);
}

#[test]
fn a_closure_that_panics_is_rolled_back() {
    let db = create(&disk()).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.transact(
            &TxnOptions::default(),
            |txn| -> Result<(), docdb_engine::Error> {
                txn.upsert(C, 1, b"1")?;
                panic!("on purpose")
            },
        )
    }));
    assert!(panicked.is_err());
    let stats = db.stats();
    assert_eq!(
        (stats.transactions_open, stats.transactions_rolled_back),
        (0, 1)
    );
    assert_eq!(put(&db, 1, "2"), db.visible_version());
}

#[test]
fn transactions_and_snapshots_may_change_threads() {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_send::<docdb_engine::Txn>();
    is_send::<docdb_engine::TxnScan>();
    is_shared::<docdb_engine::Snapshot>();
}

/// Most options can be as large as they like.
#[test]
fn snapshots_without_an_end() {
    let db = create_with(
        &disk(),
        with(|o| {
            o.snapshot_idle_max = Duration::MAX;
            o.snapshot_age_max = Duration::MAX;
        }),
    )
    .unwrap();
    let snapshot = db.snapshot().unwrap();
    db.maintenance_step().unwrap();
    assert!(db.maintenance_due().is_some());
    assert_eq!(snapshot.count(C).unwrap(), 0);
}

/// What was rolled back was never used.
#[test]
fn ids_that_a_transaction_names_are_used_when_it_commits() {
    let db = create(&disk()).unwrap();
    let mut txn = begin(&db);
    assert_eq!(txn.insert(C, b"1").unwrap(), 1);
    txn.create(C, u64::MAX - 1, b"1").unwrap();
    assert_eq!(txn.insert(C, b"1").unwrap(), u64::MAX);
    assert_eq!(kind(txn.insert(C, b"1")), ErrorKind::LimitExceeded);
    let plain = |db: &Db| db.submit(&[WriteOp::insert(C, b"1")]).wait();
    assert_eq!(plain(&db).unwrap().ids[0], 2);
    let mut other = begin(&db);
    assert_eq!(other.insert(C, b"1").unwrap(), 3);
    txn.rollback();
    commit(other).unwrap();
    assert_eq!(plain(&db).unwrap().ids[0], 4);

    let mut txn = begin(&db);
    txn.create(C, 100, b"1").unwrap();
    let ids = [txn.insert(C, b"1").unwrap(), txn.insert(C, b"1").unwrap()];
    assert_eq!((ids, plain(&db).unwrap().ids[0]), ([101, 102], 5));
    commit(txn).unwrap();
    assert_eq!(plain(&db).unwrap().ids[0], 103);
}
