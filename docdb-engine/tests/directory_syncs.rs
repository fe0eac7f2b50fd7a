//! A sync of the database's directory that fails may lose every name in it that no sync had written,
//! also those that others had just made and whose own sync then succeeds.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;

use common::hooked::Hooked;
use common::workload::text;
use common::{dir, disk, fault_at, kind, open, options};
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind};
use docdb_engine::{Db, ErrorKind, ManualDriver, WriteOp};

/// Every operation of a checkpoint fails while a large commit has made a file and not synced its name.
#[test]
fn no_commit_is_acknowledged_whose_file_another_sync_may_have_lost() {
    let (mut acknowledged, mut poisoned) = (0, 0);
    for step in 0..60 {
        let vfs = disk();
        let hooked = Hooked::new(&vfs, "data-");
        let driver = Arc::new(ManualDriver);
        let db = Db::create(hooked.vfs(), dir(), options(), driver).unwrap();
        db.submit(&[WriteOp::create("_default", 1, b"1")])
            .wait()
            .unwrap();
        let (beside, disk) = (db.clone(), vfs.clone());
        hooked.hook(move || {
            fault_at(&disk, disk.op_count() + step, FaultKind::Os(5), false);
            let _ = beside.checkpoint();
            disk.clear_faults();
        });
        let large = text(2, 6_000);
        let outcome = db
            .submit(&[WriteOp::create("_default", 2, large.as_bytes())])
            .wait();
        assert!(!hooked.is_hooked());
        let image = vfs.fork_crash(&CrashPolicy::KeepNone);
        let left = open(&image).unwrap_or_else(|e| panic!("step {step}: {e}"));
        assert_eq!(&*left.read("_default", 1).unwrap().body, b"1");
        match outcome {
            Ok(_) => {
                assert_eq!(*left.read("_default", 2).unwrap().body, *large.as_bytes());
                acknowledged += 1;
            }
            Err(_) => {
                let refused = db.submit(&[WriteOp::create("_default", 3, b"3")]).wait();
                assert_eq!(kind(refused), ErrorKind::Poisoned, "step {step}");
                poisoned += 1;
            }
        }
    }
    assert!(
        acknowledged > 30 && poisoned > 0,
        "{acknowledged} {poisoned}"
    );
}
