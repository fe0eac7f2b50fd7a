//! A log that is created behind records that another one held.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;

use common::{append_and_wait, dir, disk, open_with, options};
use docdb_wal::vfs::sim::CrashPolicy;
use docdb_wal::{Lsn, ManualDriver, Wal};

#[test]
fn a_log_begins_with_the_record_that_it_is_told() {
    for closed in [false, true] {
        let vfs = disk();
        let mut options = options();
        options.start_lsn = Some(Lsn(78));
        options.proven_lsn = Lsn(77);
        let shared = Arc::new(vfs.clone());
        let wal = Wal::create(shared, dir(), options.clone(), Arc::new(ManualDriver)).unwrap();
        assert_eq!(wal.durable_lsn(), Lsn(77));
        if closed {
            wal.close().unwrap();
        }
        drop(wal);
        let opened = open_with(&vfs.fork_crash(&CrashPolicy::KeepNone), options.clone()).unwrap();
        assert_eq!((opened.entries.len(), opened.report.last_lsn), (0, 77));
        let lsn = append_and_wait(&opened.wal, 1, 10).unwrap().lsn;
        assert!(if closed { lsn == 78 } else { lsn >= 78 });
    }
    let vfs = disk();
    let mut options = options();
    options.start_lsn = Some(Lsn(78));
    let shared = Arc::new(vfs.clone());
    let wal = Wal::create(shared, dir(), options.clone(), Arc::new(ManualDriver)).unwrap();
    assert_eq!(append_and_wait(&wal, 1, 10).unwrap().lsn, 78);
    let opened = open_with(&vfs.fork_crash(&CrashPolicy::KeepNone), options).unwrap();
    assert_eq!(opened.entries[0].lsn, 78);
}
