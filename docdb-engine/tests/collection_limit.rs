//! A database has so many collections, and no more.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{create_with, disk, kind, open, options};
use docdb_engine::{Durability, ErrorKind, WriteOp, limits};

#[test]
fn the_last_collection() {
    let vfs = disk();
    let mut options = options();
    options.durability = Durability::Os;
    let db = create_with(&vfs, options).unwrap();
    // One is there from the beginning.
    for n in 1..limits::COLLECTIONS_MAX {
        db.create_collection(&format!("c{n}")).wait().unwrap();
    }
    let one_more = |db: &docdb_engine::Db| db.create_collection("one more").wait();
    assert_eq!(kind(one_more(&db)), ErrorKind::LimitExceeded);
    let taken = db.create_collection("c7").wait();
    assert_eq!(kind(taken), ErrorKind::AlreadyExists);
    db.close().unwrap();

    let db = open(&vfs).unwrap();
    assert_eq!(kind(one_more(&db)), ErrorKind::LimitExceeded);
    db.drop_collection("c7", false).wait().unwrap();
    one_more(&db).unwrap();
    let again = db.create_collection("c7").wait();
    assert_eq!(kind(again), ErrorKind::LimitExceeded);
    db.submit(&[WriteOp::insert("one more", b"1")])
        .wait()
        .unwrap();
    assert_eq!(db.collections().unwrap().len(), limits::COLLECTIONS_MAX);
}
