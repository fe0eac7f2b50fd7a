//! Edits end, and what they take is bounded, whatever they are given.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::kind;
use docdb_engine::{Db, DbOptions, Durability, ErrorKind, TxnOptions, WriteOp, limits};

const C: &str = "_default";

fn open() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path().join("db")).unwrap();
    (dir, db)
}

#[test]
fn an_edit_of_an_insert_finds_its_id_beside_one_that_a_transaction_took() {
    let (_dir, db) = open();
    let mut txn = db.begin(&TxnOptions::default()).unwrap();
    assert_eq!(txn.insert(C, b"{}").unwrap(), 1);
    let batch = |id| {
        let ops = [
            WriteOp::insert(C, b"{}"),
            WriteOp::merge(C, id, b"{\"a\":1}"),
        ];
        db.submit(&ops).wait()
    };
    // Nobody inserts 1 any more: the transaction has it.
    assert_eq!(kind(batch(1)), ErrorKind::NotFound);
    assert_eq!(&*batch(2).unwrap().ids, [2, 2]);
    txn.rollback();
    assert_eq!(&*batch(3).unwrap().ids, [3, 3]);
    assert_eq!(&*db.read(C, 3).unwrap().body, b"{\"a\":1}");
}

/// Each edit is small, but what they make of a large document is not.
#[test]
fn a_batch_of_edits_is_given_up_as_soon_as_it_is_too_large() {
    let (_dir, db) = open();
    let large = format!("{{\"t\":\"{}\"}}", "x".repeat(4 << 20));
    let created = db.submit(&[WriteOp::create(C, 1, large.as_bytes())]).wait();
    let version = created.unwrap().version;
    let fitting = limits::COMMIT_BYTES_MAX / large.len();
    let mut ops = vec![WriteOp::merge(C, 1, b"{\"n\":1}"); 3 * fitting];
    let error = db.submit(&ops).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.op_index(), Some(fitting), "not when all are made");
    // The first that fails is what is told.
    ops[1] = WriteOp::create(C, 1, b"{}");
    assert_eq!(kind(db.submit(&ops).wait()), ErrorKind::AlreadyExists);
    assert_eq!(db.read(C, 1).unwrap().version, version);
    db.submit(&ops[2..2 + fitting]).wait().unwrap();
}

/// Writes that need not queue overtake an edit that takes much longer than they do.
#[test]
fn an_edit_gets_its_turn_among_others_that_never_end() {
    const WRITES_MAX: usize = 2_000_000;
    let temp = tempfile::tempdir().unwrap();
    let mut options = DbOptions::default();
    options.durability = Durability::Memory(std::time::Duration::from_millis(100));
    let db = Db::open_with(temp.path().join("db"), options).unwrap();
    db.submit(&[WriteOp::create(C, 1, b"{}")]).wait().unwrap();
    let change = r#"{"op":"set","path":"/b","value":1}"#;
    let patch = format!("[{}]", vec![change; 400_000].join(","));
    let (writes, is_done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let goes_on =
        || !is_done.load(Ordering::Relaxed) && writes.fetch_add(1, Ordering::Relaxed) < WRITES_MAX;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while goes_on() {
                let write = [WriteOp::upsert(C, 1, b"{\"a\":1}")];
                db.submit(&write).wait().unwrap();
            }
        });
        scope.spawn(|| {
            while goes_on() {
                let mut txn = db.begin(&TxnOptions::default()).unwrap();
                txn.upsert(C, 1, b"{\"a\":2}").unwrap();
                drop(txn.commit().wait());
            }
        });
        let patched = db.submit(&[WriteOp::patch(C, 1, patch.as_bytes())]);
        is_done.store(true, Ordering::Relaxed);
        patched.wait().unwrap();
    });
    assert!(writes.into_inner() < WRITES_MAX, "it had its turn last");
}
