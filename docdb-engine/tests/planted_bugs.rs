//! The crash tests are tests themselves only if they see bugs: each planted one turns them red.
#![cfg(all(feature = "planted-bugs", debug_assertions))]

mod common;

use docdb_engine::planted::{Bug, plant};
use docdb_engine::{Db, WriteOp};
use docdb_wal::planted as wal;

use common::explore::{crash_everywhere, crash_everywhere_in_recovery};
use common::{create, disk, open};

/// What a reader was shown and a power loss took back, if so.
fn shown_is_durable() -> Result<(), String> {
    let vfs = disk();
    let db = create(&vfs).map_err(|e| e.to_string())?;
    let ticket = db.submit(&[WriteOp::create("_default", 1, b"1")]);
    let shown = db.exists("_default", 1).map_err(|e| e.to_string())?;
    let image = vfs.fork_crash(&docdb_engine::vfs::sim::CrashPolicy::KeepNone);
    let left: Db = open(&image).map_err(|e| e.to_string())?;
    drop(ticket);
    if shown && !left.exists("_default", 1).map_err(|e| e.to_string())? {
        return Err("a document was shown and is gone".into());
    }
    Ok(())
}

fn explore() -> Result<(), String> {
    shown_is_durable()?;
    crash_everywhere()?;
    crash_everywhere_in_recovery()?;
    Ok(())
}

/// One test, since a planted bug is there for the whole process.
#[test]
fn every_planted_bug_is_caught() {
    for bug in [
        Bug::ManifestBeforeLog,
        Bug::NamesNotPinned,
        Bug::VisibleBeforeDurable,
    ] {
        plant(Some(bug));
        let how = explore().expect_err("goes unseen");
        println!("{bug:?} is caught {how:.300}");
    }
    plant(None);
    for bug in wal::Bug::ALL {
        wal::plant(Some(bug));
        match explore() {
            Ok(()) => println!("{bug:?} of the log goes unseen here"),
            Err(how) => println!("{bug:?} of the log is caught {how:.300}"),
        }
    }
    wal::plant(Some(wal::Bug::AckBeforeSync));
    assert!(
        explore().is_err(),
        "an acknowledgement before the sync goes unseen"
    );
    wal::plant(None);
}
