//! Power is lost, or the process killed, at every operation of a database's life and of its
//! recovery.

mod common;

use common::explore::{crash_everywhere, crash_everywhere_in_recovery};

#[test]
fn crash_at_every_operation() {
    let explored = crash_everywhere().unwrap_or_else(|what| panic!("{what}"));
    println!("{explored:?}");
    assert!(explored.distinct_disks > 350, "{explored:?}");
}

#[test]
fn crash_at_every_operation_of_the_recovery() {
    let explored = crash_everywhere_in_recovery().unwrap_or_else(|what| panic!("{what}"));
    println!("{explored:?}");
    assert!(explored.distinct_disks > 1_000, "{explored:?}");
}
