//! What is retired must not take the place along where the rest of the log begins.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;

use common::{append_and_wait, dir, disk, open_with, options};
use docdb_wal::vfs::sim::CrashPolicy;
use docdb_wal::{Durability, Lsn, ManualDriver, Wal, WalOptions};

fn relaxed() -> WalOptions {
    let mut options = options();
    options.durability = Durability::Os;
    options.segment_bytes_max = options.segment_bytes_min;
    options
}

/// All records of a full segment are given up, those in the next one are not on the device yet.
#[test]
fn the_segment_before_an_unsynced_one_stays() {
    let vfs = disk();
    let shared = Arc::new(vfs.clone());
    let wal = Wal::create(shared, dir(), relaxed(), Arc::new(ManualDriver)).unwrap();
    let mut last = 0;
    while wal.stats().segments < 2 {
        wal.sync().unwrap();
        last = append_and_wait(&wal, last, 1_500).unwrap().lsn;
    }
    assert_eq!(wal.durable_lsn(), Lsn(last - 1));
    assert_eq!(wal.retire_below(Lsn(last)).unwrap(), 0);
    let start = |lsn| {
        let mut options = relaxed();
        options.start_lsn = Some(Lsn(lsn));
        options
    };
    let found = open_with(&vfs.fork_crash(&CrashPolicy::KeepNone), start(last)).unwrap();
    assert_eq!(found.entries.len(), 0);
    wal.sync().unwrap();
    assert_eq!(wal.retire_below(Lsn(last)).unwrap(), 1);
    let found = open_with(&vfs.fork_crash(&CrashPolicy::KeepNone), start(last)).unwrap();
    assert_eq!(found.entries.len(), 1);
}
