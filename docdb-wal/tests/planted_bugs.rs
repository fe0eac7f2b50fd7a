//! The crash tests are tests themselves only if they see bugs: each planted one turns them red.
#![cfg(all(feature = "planted-bugs", debug_assertions))]

mod common;

use common::explore::crash_everywhere;
use docdb_wal::planted::{Bug, plant};

/// One test, since a planted bug is there for the whole process.
#[test]
fn every_planted_bug_is_caught() {
    for bug in Bug::ALL {
        plant(Some(bug));
        match crash_everywhere() {
            Ok(explored) => panic!("{bug:?} went unseen: {explored:?}"),
            Err(what) => println!("{bug:?} is caught {what}"),
        }
    }
    plant(None);
    if let Err(what) = crash_everywhere() {
        panic!("without any planted bug: {what}");
    }
}
