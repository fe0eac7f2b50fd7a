//! The cases of Hermitage (Martin Kleppmann's tests of isolation levels), each in both levels: what is
//! prevented, and what is observed. Documents 1 and 2 hold 10 and 20.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::transactions::*;
use common::{create, disk, in_collection};
use docdb_engine::{Db, Isolation, Txn};

use Isolation::{Serializable, Snapshot};

fn accounts() -> Db {
    let db = create(&disk()).unwrap();
    put(&db, 1, "10");
    put(&db, 2, "20");
    db
}

fn two(db: &Db, isolation: Isolation) -> (Txn, Txn) {
    (begin_as(db, isolation), begin_as(db, isolation))
}

fn set(txn: &mut Txn, id: u64, value: u64) {
    txn.upsert(C, id, value.to_string().as_bytes()).unwrap();
}

fn value(txn: &mut Txn, id: u64) -> u64 {
    txn_get(txn, id).parse().unwrap()
}

/// The documents whose value the predicate holds for: a scan of all, as there are no indexes.
fn values(txn: &mut Txn, holds: impl Fn(u64) -> bool) -> Vec<(u64, u64)> {
    let all = txn_scan(txn, &in_collection(C)).into_iter();
    let all = all.map(|(id, body)| (id, body.parse().unwrap()));
    all.filter(|(_, value)| holds(*value)).collect()
}

fn values_now(db: &Db) -> Vec<(u64, u64)> {
    values(&mut begin(db), |_| true)
}

/// G0, write cycles: prevented.
#[test]
fn g0() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        set(&mut t1, 1, 11);
        set(&mut t2, 1, 12);
        set(&mut t1, 2, 21);
        let first = commit(t1).unwrap().version;
        assert_eq!(values_now(&db), [(1, 11), (2, 21)]);
        set(&mut t2, 2, 22);
        assert_eq!(lost_to(commit(t2)), first);
        assert_eq!(values_now(&db), [(1, 11), (2, 21)]);
    }
}

/// G1a, aborted reads: prevented.
#[test]
fn g1a() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        set(&mut t1, 1, 101);
        assert_eq!(values(&mut t2, |_| true), [(1, 10), (2, 20)]);
        t1.rollback();
        assert_eq!(values(&mut t2, |_| true), [(1, 10), (2, 20)]);
        commit(t2).unwrap();
    }
}

/// G1b, intermediate reads: prevented.
#[test]
fn g1b() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        set(&mut t1, 1, 101);
        assert_eq!(value(&mut t2, 1), 10);
        set(&mut t1, 1, 11);
        commit(t1).unwrap();
        assert_eq!(value(&mut t2, 1), 10, "its snapshot does not move");
        commit(t2).unwrap();
        assert_eq!(values_now(&db), [(1, 11), (2, 20)]);
    }
}

/// G1c, circular flow of information: prevented. Neither sees the other's write; that both commit, as
/// if neither had been there, only a serializable transaction prevents.
#[test]
fn g1c() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        set(&mut t1, 1, 11);
        set(&mut t2, 2, 22);
        assert_eq!(value(&mut t1, 2), 20);
        assert_eq!(value(&mut t2, 1), 10);
        let first = commit(t1).unwrap().version;
        match isolation {
            Snapshot => drop(commit(t2).unwrap()),
            Serializable => assert_eq!(lost_to(commit(t2)), first),
        }
    }
}

/// OTV, an observed transaction vanishes: prevented.
#[test]
fn otv() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        set(&mut t1, 1, 11);
        set(&mut t1, 2, 19);
        set(&mut t2, 1, 12);
        let first = commit(t1).unwrap().version;
        let mut t3 = begin_as(&db, isolation);
        assert_eq!(value(&mut t3, 1), 11);
        set(&mut t2, 2, 18);
        assert_eq!(value(&mut t3, 2), 19);
        assert_eq!(lost_to(commit(t2)), first);
        assert_eq!((value(&mut t3, 2), value(&mut t3, 1)), (19, 11));
        commit(t3).unwrap();
    }
}

/// PMP, predicate-many-preceders, for reads: prevented.
#[test]
fn pmp() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        assert_eq!(values(&mut t1, |value| value == 30), []);
        set(&mut t2, 3, 30);
        commit(t2).unwrap();
        assert_eq!(values(&mut t1, |value| value % 3 == 0), []);
        commit(t1).unwrap();
    }
}

/// PMP for writes that a predicate chooses: prevented.
#[test]
fn pmp_write_predicate() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        for (id, value) in values(&mut t1, |_| true) {
            set(&mut t1, id, value + 10);
        }
        let chosen = values(&mut t2, |value| value == 20);
        assert_eq!(chosen, [(2, 20)]);
        t2.delete(C, 2).unwrap();
        let first = commit(t1).unwrap().version;
        assert_eq!(lost_to(commit(t2)), first);
        assert_eq!(values_now(&db), [(1, 20), (2, 30)]);
    }
}

/// P4, lost update: prevented.
#[test]
fn p4() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        assert_eq!((value(&mut t1, 1), value(&mut t2, 1)), (10, 10));
        set(&mut t1, 1, 11);
        set(&mut t2, 1, 11);
        let first = commit(t1).unwrap().version;
        assert_eq!(lost_to(commit(t2)), first);
    }
}

/// G-single, read skew: prevented.
#[test]
fn g_single() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        assert_eq!(value(&mut t1, 1), 10);
        assert_eq!((value(&mut t2, 1), value(&mut t2, 2)), (10, 20));
        set(&mut t2, 1, 12);
        set(&mut t2, 2, 18);
        commit(t2).unwrap();
        assert_eq!(value(&mut t1, 2), 20);
        commit(t1).unwrap();
    }
}

/// G-single by predicates: prevented.
#[test]
fn g_single_dependencies() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        assert_eq!(values(&mut t1, |value| value % 5 == 0), [(1, 10), (2, 20)]);
        for (id, _) in values(&mut t2, |value| value == 10) {
            set(&mut t2, id, 12);
        }
        commit(t2).unwrap();
        assert_eq!(values(&mut t1, |value| value % 3 == 0), []);
        commit(t1).unwrap();
    }
}

/// G-single with a write that a predicate chooses: prevented.
#[test]
fn g_single_write_1() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        assert_eq!(value(&mut t1, 1), 10);
        assert_eq!(values(&mut t2, |_| true), [(1, 10), (2, 20)]);
        set(&mut t2, 1, 12);
        set(&mut t2, 2, 18);
        let first = commit(t2).unwrap().version;
        assert_eq!(values(&mut t1, |value| value == 20), [(2, 20)]);
        t1.delete(C, 2).unwrap();
        assert_eq!(lost_to(commit(t1)), first);
        assert_eq!(values_now(&db), [(1, 12), (2, 18)]);
    }
}

/// G-single with a write that a predicate chooses, before the other has committed: prevented.
#[test]
fn g_single_write_2() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        assert_eq!(value(&mut t1, 1), 10);
        assert_eq!(values(&mut t2, |_| true), [(1, 10), (2, 20)]);
        set(&mut t2, 1, 12);
        t1.delete(C, 2).unwrap();
        set(&mut t2, 2, 18);
        t1.rollback();
        commit(t2).unwrap();
        assert_eq!(values_now(&db), [(1, 12), (2, 18)]);
    }
}

/// G-single where the reader writes something else: it read one state in both levels; that the state
/// is over when it commits, only a serializable transaction minds.
#[test]
fn g_single_read_then_write_elsewhere() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        assert_eq!(value(&mut t1, 1), 10);
        set(&mut t2, 1, 12);
        set(&mut t2, 2, 18);
        let first = commit(t2).unwrap().version;
        assert_eq!(value(&mut t1, 2), 20);
        set(&mut t1, 3, 30);
        match isolation {
            Snapshot => drop(commit(t1).unwrap()),
            Serializable => assert_eq!(lost_to(commit(t1)), first),
        }
    }
}

/// G2-item, write skew: observed in snapshot isolation, prevented in serializable.
#[test]
fn g2_item() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        for txn in [&mut t1, &mut t2] {
            assert_eq!((value(txn, 1), value(txn, 2)), (10, 20));
        }
        set(&mut t1, 1, 11);
        set(&mut t2, 2, 21);
        let first = commit(t1).unwrap().version;
        match isolation {
            Snapshot => {
                commit(t2).unwrap();
                assert_eq!(values_now(&db), [(1, 11), (2, 21)], "write skew");
            }
            Serializable => {
                assert_eq!(lost_to(commit(t2)), first);
                assert_eq!(values_now(&db), [(1, 11), (2, 20)]);
            }
        }
    }
}

/// G2, cycles of anti-dependencies by predicates: observed in snapshot isolation, prevented in
/// serializable.
#[test]
fn g2() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let (mut t1, mut t2) = two(&db, isolation);
        for txn in [&mut t1, &mut t2] {
            assert_eq!(values(txn, |value| value % 3 == 0), []);
        }
        set(&mut t1, 3, 30);
        set(&mut t2, 4, 42);
        let first = commit(t1).unwrap().version;
        match isolation {
            Snapshot => {
                commit(t2).unwrap();
                let found = values(&mut begin(&db), |value| value % 3 == 0);
                assert_eq!(found, [(3, 30), (4, 42)], "a phantom each");
            }
            Serializable => assert_eq!(lost_to(commit(t2)), first),
        }
    }
}

/// G2 with two edges, where one transaction only reads (Fekete's anomaly): observed in snapshot
/// isolation, prevented in serializable.
#[test]
fn g2_two_edges() {
    for isolation in [Snapshot, Serializable] {
        let db = accounts();
        let mut t1 = begin_as(&db, isolation);
        assert_eq!(values(&mut t1, |_| true), [(1, 10), (2, 20)]);
        let mut t2 = begin_as(&db, isolation);
        let old = value(&mut t2, 2);
        set(&mut t2, 2, old + 5);
        let second = commit(t2).unwrap().version;
        let mut t3 = begin_as(&db, isolation);
        assert_eq!(values(&mut t3, |_| true), [(1, 10), (2, 25)]);
        commit(t3).unwrap();
        set(&mut t1, 1, 0);
        match isolation {
            Snapshot => drop(commit(t1).unwrap()),
            Serializable => assert_eq!(lost_to(commit(t1)), second),
        }
    }
}
