//! What healing costs, and what it counts, when it does not come to its end: it is given up, the disk is
//! full, the log is damaged, too, or there is too much of it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::damaged::{damage_document, files, places, with_log, without_log};
use common::workload::text;
use common::{check_space, create_with, dir, disk, fault_at, kind, open_with, settle};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind, SimVfs};
use docdb_engine::{Db, DbOptions, ErrorKind, HealOptions, HealOutcome, OnDamage, WriteOp};

const C: &str = "_default";
const ENOSPC: i32 = 28;

fn write(db: &Db, id: u64, body: &str) {
    let ticket = db.submit(&[WriteOp::upsert(C, id, body.as_bytes())]);
    ticket.wait().unwrap();
}

fn body(id: u64) -> String {
    text(id, 700)
}

fn written(vfs: &SimVfs, options: DbOptions, documents: u64) -> Db {
    let db = create_with(vfs, options).unwrap();
    for id in 0..documents {
        write(&db, id, &body(id));
    }
    db.checkpoint().unwrap();
    db
}

/// How many operations this is, reads included.
fn operations(vfs: &SimVfs, what: impl FnOnce()) -> u64 {
    vfs.set_reads_count(true);
    let before = vfs.op_count();
    what();
    let operations = vfs.op_count() - before;
    vfs.set_reads_count(false);
    operations
}

fn damage_log(vfs: &SimVfs, document: &[u8]) {
    let places = places(vfs, "wal/", document);
    assert_eq!(places.len(), 1);
    for (path, at) in places {
        vfs.flip_bit(&path, at + 20, 3).unwrap();
    }
}

#[test]
fn heal_all_ends_when_it_is_told_to_while_it_restores() {
    let vfs = disk();
    let db = written(&vfs, with_log(), 8);
    for id in 0..8 {
        damage_document(&vfs, body(id).as_bytes());
    }
    let mut options = HealOptions::default();
    // The scan of the files comes to its end.
    let go_on = |progress: docdb_engine::HealProgress| {
        progress.done_bytes < progress.todo_bytes || db.heal_stats().healed == 0
    };
    options.on_progress = Some(&go_on);
    options.threads = 1;
    assert_eq!(kind(db.heal_all(&options)), ErrorKind::Cancelled);
    let stats = db.heal_stats();
    assert_eq!((stats.healed, stats.scans), (8, 0));
}

#[test]
fn copies_behind_damage_of_the_log_are_found() {
    for all in [false, true] {
        let vfs = disk();
        let db = written(&vfs, with_log(), 8);
        // Of these the log has no intact copy, but of what comes between and behind.
        for id in [1, 4] {
            damage_log(&vfs, body(id).as_bytes());
        }
        for id in [0, 3, 5, 7] {
            damage_document(&vfs, body(id).as_bytes());
        }
        if all {
            let report = db.heal_all(&HealOptions::default()).unwrap();
            assert_eq!((report.healed, report.unhealable), (4, 0));
        } else {
            for id in [7, 5, 3, 0] {
                let outcome = db.heal(C, id).unwrap();
                assert!(matches!(outcome, HealOutcome::Healed), "{id}: {outcome:?}");
            }
        }
        for id in 0..8 {
            assert_eq!(&*db.read(C, id).unwrap().body, body(id).as_bytes());
        }
    }
}

#[test]
fn what_readers_look_for_in_vain_is_not_looked_for_each_time() {
    let vfs = disk();
    let db = written(&vfs, with_log(), 8);
    let snapshot = db.snapshot().unwrap();
    write(&db, 3, "\"newer\"");
    db.checkpoint().unwrap();
    damage_document(&vfs, body(3).as_bytes());
    damage_log(&vfs, body(3).as_bytes());
    let read = || assert_eq!(kind(snapshot.read(C, 3)), ErrorKind::Corrupt);
    let first = operations(&vfs, read);
    settle(&db).unwrap();
    let again = operations(&vfs, read);
    assert!(again <= 3 && again < first, "{first}, then {again}");
    assert_eq!(db.heal_stats().waiting, 0);
    // An old version is nothing to heal.
    assert_eq!(db.heal_stats().found, 0);
    // It may have been the device that would not read for a moment.
    vfs.advance(Duration::from_secs(10));
    assert!(operations(&vfs, read) >= first);
    assert_eq!(&*db.read(C, 3).unwrap().body, b"\"newer\"");
}

#[test]
fn what_cannot_be_written_on_a_full_disk_is_counted_once() {
    let vfs = disk();
    let db = written(&vfs, with_log(), 8);
    damage_document(&vfs, body(3).as_bytes());
    for _ in 0..5 {
        fault_at(&vfs, vfs.op_count(), FaultKind::Os(ENOSPC), true);
        assert_eq!(&*db.read(C, 3).unwrap().body, body(3).as_bytes());
        assert_eq!(kind(db.maintenance_step()), ErrorKind::DiskFull);
        assert_eq!(db.heal_stats().waiting, 1);
        vfs.clear_faults();
        vfs.advance(Duration::from_secs(2));
    }
    assert_eq!(db.heal_stats().found, 0);
    settle(&db).unwrap();
    let stats = db.heal_stats();
    assert_eq!((stats.found, stats.healed, stats.waiting), (1, 1, 0));
}

#[test]
fn more_lost_documents_than_can_be_remembered() {
    const DOCUMENTS: u64 = 70_000;
    const REMEMBERED: u64 = 65_536;
    let vfs = disk();
    let told = Arc::new(AtomicU64::new(0));
    let mut options = without_log();
    let counter = Arc::clone(&told);
    options.on_damage = Some(OnDamage::new(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    let db = create_with(&vfs, options).unwrap();
    for first in (0..DOCUMENTS).step_by(1000) {
        let bodies: Vec<String> = (first..first + 1000).map(|id| id.to_string()).collect();
        let ops = bodies.iter().zip(first..);
        let ops: Vec<_> = ops
            .map(|(body, id)| WriteOp::upsert(C, id, body.as_bytes()))
            .collect();
        db.submit(&ops).wait().unwrap();
        settle(&db).unwrap();
    }
    db.checkpoint().unwrap();
    settle(&db).unwrap();
    for path in files(&vfs, "data-") {
        let mut bytes = vfs.read_file(&path).unwrap();
        bytes[4096..].fill(0);
        vfs.write_file(&path, &bytes).unwrap();
    }
    for _ in 0..2 {
        let report = db.heal_all(&HealOptions::default()).unwrap();
        let stats = db.heal_stats();
        assert_eq!(
            (report.found, report.unhealable, report.healed),
            (DOCUMENTS, DOCUMENTS, 0)
        );
        assert_eq!(report.unhealable_documents.len(), 100);
        assert_eq!(stats.unhealable_now, REMEMBERED);
        assert_eq!(told.load(Ordering::Relaxed), REMEMBERED);
    }
    for id in [0, DOCUMENTS - 1] {
        let read = || assert_eq!(kind(db.read(C, id)), ErrorKind::Corrupt);
        assert!(operations(&vfs, read) <= 3);
    }
    assert_eq!(db.heal_stats().waiting, 0);
    // What is written anew is well.
    write(&db, DOCUMENTS - 1, "1");
    assert_eq!(&*db.read(C, DOCUMENTS - 1).unwrap().body, b"1");
}

/// Reads from what is on the disk alone.
fn check_reopened(vfs: &SimVfs, documents: u64) {
    let again = vfs.fork_crash(&CrashPolicy::KeepNone);
    let db = open_with(&again, without_log()).unwrap();
    for id in 0..documents {
        assert_eq!(&*db.read(C, id).unwrap().body, body(id).as_bytes());
    }
    check_space(&db).unwrap();
}

#[test]
fn a_file_that_somebody_removed_is_written_anew_while_it_can_still_be_read() {
    for prefix in ["data-", "run-"] {
        for all in [false, true] {
            let vfs = disk();
            let db = written(&vfs, with_log(), 8);
            let file = files(&vfs, prefix).pop().unwrap();
            vfs.remove_file(&file).unwrap();
            vfs.sync_dir(dir()).unwrap();
            let image = vfs.fork_crash(&CrashPolicy::KeepNone);
            assert!(open_with(&image, without_log()).is_err());
            if all {
                let report = db.heal_all(&HealOptions::default()).unwrap();
                assert_eq!((report.found, report.places.len()), (0, 1));
                assert!(report.places[0].to_string().contains("has been removed"));
                assert!(!report.is_damaged());
            } else {
                while db.scrub_step().unwrap() {}
            }
            assert_eq!(db.heal_stats().headers_damaged, 1);
            settle(&db).unwrap();
            check_reopened(&vfs, 8);
        }
    }
}

#[test]
fn a_segment_of_the_log_that_is_gone_is_in_nobodys_way() {
    for all in [false, true] {
        let vfs = disk();
        let db = written(&vfs, with_log(), 40);
        let (last, _) = places(&vfs, "wal/", body(0).as_bytes()).pop().unwrap();
        for path in files(&vfs, "wal/") {
            if path.extension().is_some_and(|end| end == "wal") && path <= last {
                vfs.remove_file(&path).unwrap();
            }
        }
        // Of the first the copy is gone, of the last it is not.
        for id in [0, 39] {
            damage_document(&vfs, body(id).as_bytes());
        }
        if all {
            let report = db.heal_all(&HealOptions::default()).unwrap();
            assert_eq!((report.found, report.healed, report.unhealable), (2, 1, 1));
            assert_eq!(report.places.len(), 1);
        } else {
            while db.scrub_step().unwrap() {}
            let stats = db.heal_stats();
            assert_eq!((stats.healed, stats.unhealable), (1, 1));
        }
        assert_eq!(&*db.read(C, 39).unwrap().body, body(39).as_bytes());
        assert_eq!(db.heal_stats().log_damaged, 1);
        assert_eq!(&*db.read(C, 1).unwrap().body, body(1).as_bytes());
    }
}
