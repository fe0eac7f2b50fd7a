//! The crash tests are tests themselves only if they see bugs: each sync that is left out turns
//! them red.

mod common;

use common::explore::crash_everywhere;
use common::forgetful::{Forgotten, forget};

/// Each sync that the engine does, left out.
#[test]
fn every_forgotten_sync_is_caught() {
    for what in [
        Forgotten::Files("data-"),
        Forgotten::Files("run-"),
        Forgotten::Files("MANIFEST"),
        Forgotten::Directory("/data"),
        Forgotten::Directory("/data/db"),
        Forgotten::Directory("/data/db.creating"),
    ] {
        forget(Some(what));
        match crash_everywhere() {
            Ok(explored) => panic!("{what:?} went unseen: {explored:?}"),
            Err(how) => println!("{what:?} is caught {how:.300}"),
        }
    }
    forget(None);
}
