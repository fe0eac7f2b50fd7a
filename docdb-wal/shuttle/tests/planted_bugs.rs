//! The scheduler finds the bugs that it is there for: each planted one leaves threads asleep.
#![cfg(debug_assertions)]
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

extern crate docdb_wal_shuttle as docdb_wal;

mod common;

use std::sync::Arc;

use common::{create, explore, options};
use docdb_wal::ManualDriver;
use docdb_wal::planted::{Bug, plant};
use docdb_wal::vfs::sim::{Fault, FaultKind};
use shuttle::thread;

/// Three threads that wait, on a disk whose first sync fails or not.
fn three_threads(fails: bool) {
    let (sim, wal) = create(options(), Arc::new(ManualDriver));
    if fails {
        sim.set_fault(Fault {
            at_op: sim.op_count() + 1,
            kind: FaultKind::Os(5),
            sticky: true,
        });
    }
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let wal = wal.clone();
            thread::spawn(move || wal.append(1, b"x").and_then(|ticket| ticket.wait()))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap().is_err(), fails);
    }
}

/// One test, since a planted bug is there for the whole process.
#[test]
fn every_planted_bug_leaves_threads_asleep() {
    let checks: [(Bug, fn()); 2] = [
        (Bug::TokenNotPassed, || three_threads(false)),
        (Bug::ErrorWakesNobody, || three_threads(true)),
    ];
    for (bug, work) in checks {
        plant(None);
        explore(300, work);
        plant(Some(bug));
        let outcome = std::panic::catch_unwind(|| explore(300, work));
        plant(None);
        let panic = outcome.expect_err("the bug went unseen");
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("deadlock"), "{bug:?}: {text}");
    }
}
