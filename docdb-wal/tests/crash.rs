//! Power is lost, or the process killed, at every operation of a log's life and of its recovery.

mod common;

use common::explore::{crash_everywhere, crash_everywhere_in_recovery};
use common::{Promise, disk, open, workload};

#[test]
fn crash_at_every_operation() {
    let explored = crash_everywhere().unwrap_or_else(|what| panic!("{what}"));
    println!("{explored:?}");
    assert!(explored.distinct_disks > 300, "{explored:?}");
}

#[test]
fn crash_at_every_operation_of_the_recovery() {
    let explored = crash_everywhere_in_recovery().unwrap_or_else(|what| panic!("{what}"));
    println!("{explored:?}");
    assert!(explored.distinct_disks > 1_000, "{explored:?}");
}

#[test]
fn a_recovery_without_a_crash_changes_nothing_that_is_shown() {
    let vfs = disk();
    let mut promise = Promise::default();
    workload(&vfs, &mut promise).unwrap();
    let shown = open(&vfs).unwrap().entries;
    for round in 0..5 {
        let opened = open(&vfs).unwrap();
        assert_eq!(opened.entries, shown, "round {round}");
        assert_eq!(opened.report.cut, None);
    }
}
