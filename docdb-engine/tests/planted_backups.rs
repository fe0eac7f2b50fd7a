//! The tests of backups are tests themselves only if they see bugs: each planted one turns them red.
#![cfg(all(feature = "planted-bugs", debug_assertions))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::backups::{power_loss_everywhere, taken_while_all_goes_on};
use docdb_engine::planted::{Bug, plant};

/// One test, since a planted bug is there for the whole process.
#[test]
fn every_planted_bug_is_caught() {
    for (bug, test) in [
        (
            Bug::BackupUnpinned,
            (|| taken_while_all_goes_on(1)) as fn() -> Result<(), String>,
        ),
        (Bug::BackupUnsynced, || power_loss_everywhere().map(drop)),
    ] {
        plant(Some(bug));
        let how = test().expect_err("goes unseen");
        println!("{bug:?} is caught: {how:.300}");
        plant(None);
        test().expect("nothing is planted");
    }
}
