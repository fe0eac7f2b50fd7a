//! The crash tests are tests themselves only if they see bugs: each planted one turns them red.
#![cfg(all(feature = "planted-bugs", debug_assertions))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

/// Whether readers beside writers of whole batches ever see a part of one.
fn sees_torn_batches(rounds: usize) -> bool {
    const DOCUMENTS: u64 = 1_000;
    let temp = tempfile::tempdir().unwrap();
    let db = Db::open(temp.path().join("db")).unwrap();
    let (torn, writing) = (AtomicBool::new(false), AtomicUsize::new(2));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let batch: Vec<_> = (0..DOCUMENTS)
                    .map(|id| WriteOp::upsert("_default", id, b"1"))
                    .collect();
                for _ in 0..rounds {
                    if torn.load(Ordering::Relaxed) {
                        break;
                    }
                    db.submit(&batch).wait().unwrap();
                }
                writing.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while writing.load(Ordering::Relaxed) > 0 {
            let request = docdb_engine::ScanRequest {
                collection: "_default".into(),
                ..Default::default()
            };
            let mut scan = db.scan(&request).unwrap();
            // A version that was pruned too early shows the same bug.
            let Ok(items) = scan.next_chunk(DOCUMENTS as usize, usize::MAX) else {
                torn.store(true, Ordering::Relaxed);
                continue;
            };
            let whole = items.is_empty() || items.len() as u64 == DOCUMENTS;
            if !whole || items.iter().any(|item| item.version != items[0].version) {
                torn.store(true, Ordering::Relaxed);
            }
        }
    });
    torn.into_inner()
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
    plant(Some(Bug::VisibleBeforeInstalled));
    assert!(
        sees_torn_batches(20_000),
        "VisibleBeforeInstalled goes unseen"
    );
    plant(None);
    assert!(!sees_torn_batches(100));
    explore().expect("nothing is planted");
    for bug in wal::Bug::SEEN_BY_CRASHES {
        wal::plant(Some(bug));
        let how = explore().expect_err("goes unseen");
        println!("{bug:?} of the log is caught {how:.300}");
    }
    wal::plant(None);
}
