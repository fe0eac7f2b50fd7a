//! Healing: damaged documents come back from intact copies of exactly their version, durably; what has
//! no copy is `Corrupt` by itself; nothing old and nothing deleted comes back.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use common::damaged::{damage_document, files, frames_of, with_log, without_log};
use common::explore::policies;
use common::hooked::Hooked;
use common::workload::text;
use common::{
    check_space, create_with, dir, disk, fault_at, in_collection, kind, open_with, scan_all, settle,
};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind, SimVfs};
use docdb_engine::{
    Db, DbOptions, ErrorKind, HealOptions, HealOutcome, ManualDriver, Ready, WriteOp,
};

const C: &str = "_default";
const IDS: u64 = 8;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn write(db: &Db, id: u64, body: &str) -> u64 {
    let ticket = db.submit(&[WriteOp::upsert(C, id, body.as_bytes())]);
    ticket.wait().unwrap().version
}

fn remove(db: &Db, id: u64) {
    db.submit(&[WriteOp::delete(C, id)]).wait().unwrap();
}

fn body(id: u64) -> String {
    text(id, 700)
}

/// A database of which documents 0 to 7 are in a data file.
fn written(vfs: &SimVfs, options: DbOptions) -> Db {
    let db = create_with(vfs, options).unwrap();
    for id in 0..IDS {
        write(&db, id, &body(id));
    }
    db.checkpoint().unwrap();
    db
}

fn check_all(db: &Db) {
    for id in 0..IDS {
        assert_eq!(&*db.read(C, id).unwrap().body, body(id).as_bytes(), "{id}");
    }
    assert_eq!(scan_all(db, &in_collection(C)).unwrap().len(), IDS as usize);
    check_space(db).unwrap();
}

fn check_all_but(db: &Db, lost: u64) {
    for id in (0..IDS).filter(|id| *id != lost) {
        assert_eq!(&*db.read(C, id).unwrap().body, body(id).as_bytes(), "{id}");
    }
    let error = db.read(C, lost).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("data-"), "{error}");
    assert!(error.to_string().contains("offset"), "{error}");
    assert_eq!(db.count(C).unwrap(), IDS);
    check_space(db).unwrap();
}

/// Reads from what is on the disk alone.
fn reopened(vfs: &SimVfs, options: DbOptions) -> Db {
    open_with(&vfs.fork_crash(&CrashPolicy::KeepNone), options).unwrap()
}

#[test]
fn a_read_is_answered_from_the_log_and_maintenance_restores_the_document() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    damage_document(&vfs, body(3).as_bytes());
    assert_eq!(&*db.read(C, 3).unwrap().body, body(3).as_bytes());
    let stats = db.heal_stats();
    assert_eq!(
        (stats.rescued_reads, stats.waiting, stats.healed),
        (1, 1, 0)
    );
    assert!(db.maintenance_due().unwrap() <= vfs.now());
    settle(&db).unwrap();
    let stats = db.heal_stats();
    assert_eq!((stats.found, stats.healed, stats.waiting), (1, 1, 0));
    assert_eq!((stats.healed_in_background, stats.unhealable), (1, 0));
    assert_eq!(stats.since_healed, Some(Duration::ZERO));
    // No copy is needed any more.
    let again = reopened(&vfs, without_log());
    check_all(&again);
    assert_eq!(again.heal_stats().rescued_reads, 0);
    check_all(&db);
}

#[test]
fn what_the_device_cannot_read_is_healed_as_what_is_damaged() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    vfs.set_reads_count(true);
    fault_at(&vfs, vfs.op_count(), FaultKind::Os(EIO), false);
    assert!(matches!(
        db.heal(C, 3).unwrap(),
        HealOutcome::Intact | HealOutcome::Healed
    ));
    // The first read of a read of a document: of its run.
    let before = vfs.op_count();
    db.read(C, 4).unwrap();
    let reads = vfs.op_count() - before;
    fault_at(&vfs, vfs.op_count() + reads - 1, FaultKind::Os(EIO), false);
    assert_eq!(&*db.read(C, 4).unwrap().body, body(4).as_bytes());
    assert_eq!(db.heal_stats().rescued_reads, 1);
    vfs.clear_faults();
    // The scrub goes on behind it: after a look for the file's name, its header and its length.
    fault_at(&vfs, vfs.op_count() + 3, FaultKind::Os(EIO), false);
    while db.scrub_step().unwrap() {}
    vfs.clear_faults();
    settle(&db).unwrap();
    assert_eq!(db.heal_stats().scans, 1);
    check_all(&db);
}

#[test]
fn damage_is_told_once() {
    let vfs = disk();
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut options = with_log();
    let sink = Arc::clone(&told);
    options.on_damage = Some(docdb_engine::OnDamage::new(move |found| {
        sink.lock().push((found.what, found.is_healed));
    }));
    let db = create_with(&vfs, options).unwrap();
    let large = text(1, 5_000);
    write(&db, 1, &large);
    write(&db, 2, &body(2));
    db.checkpoint().unwrap();
    damage_document(&vfs, large.as_bytes());
    damage_document(&vfs, body(2).as_bytes());
    for _ in 0..2 {
        db.heal_all(&HealOptions::default()).unwrap();
        assert_eq!(kind(db.read(C, 1)), ErrorKind::Corrupt);
        settle(&db).unwrap();
    }
    let mut told = told.lock().clone();
    told.sort();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0]
            .0
            .starts_with("document 1 of collection \"_default\": ")
    );
    assert!(told[0].0.contains("data-") && told[0].0.contains("offset"));
    assert_eq!((told[0].1, told[1].1), (false, true));
}

#[test]
fn a_read_that_may_not_wait_leaves_the_search_to_one_that_may() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    damage_document(&vfs, body(3).as_bytes());
    assert!(matches!(db.read_nowait(C, 3), Ok(Ready::WouldBlock)));
    assert_eq!(&*db.read(C, 3).unwrap().body, body(3).as_bytes());
}

#[test]
fn scans_and_edits_and_transactions_get_the_copy_too() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    damage_document(&vfs, body(3).as_bytes());
    check_all(&db);
    let mut txn = db.begin(&docdb_engine::TxnOptions::default()).unwrap();
    assert_eq!(&*txn.read(C, 3).unwrap().body, body(3).as_bytes());
    drop(txn);
    assert!(db.heal_stats().rescued_reads >= 3);
}

#[test]
fn heal_tells_what_it_found() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    assert!(matches!(db.heal(C, 1).unwrap(), HealOutcome::Intact));
    assert!(matches!(db.heal(C, 99).unwrap(), HealOutcome::NotFound));
    assert_eq!(kind(db.heal("none", 1)), ErrorKind::CollectionNotFound);
    damage_document(&vfs, body(1).as_bytes());
    assert!(matches!(db.heal(C, 1).unwrap(), HealOutcome::Healed));
    assert!(matches!(db.heal(C, 1).unwrap(), HealOutcome::Intact));
    let stats = db.heal_stats();
    assert_eq!((stats.healed_on_demand, stats.found), (1, 1));
    check_all(&reopened(&vfs, without_log()));
    // What is not in a data file yet is in the log.
    write(&db, 1, "1");
    assert!(matches!(db.heal(C, 1).unwrap(), HealOutcome::Intact));
}

#[test]
fn without_a_copy_the_document_alone_is_corrupt() {
    let vfs = disk();
    let db = written(&vfs, without_log());
    drop(db);
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    let db = open_with(&vfs, without_log()).unwrap();
    // The log of before is gone with this checkpoint.
    write(&db, 100, "1");
    db.checkpoint().unwrap();
    remove(&db, 100);
    damage_document(&vfs, body(5).as_bytes());
    check_all_but(&db, 5);
    let HealOutcome::Unhealable(error) = db.heal(C, 5).unwrap() else {
        panic!("there is no copy");
    };
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("data-"), "{error}");
    settle(&db).unwrap();
    let stats = db.heal_stats();
    assert_eq!((stats.unhealable, stats.unhealable_now), (1, 1));
    check_all_but(&db, 5);
    // Found again, it is not counted again; and no reader goes through the log for it.
    assert!(matches!(db.heal(C, 5).unwrap(), HealOutcome::Unhealable(_)));
    assert_eq!(db.heal_stats().unhealable, 1);
    vfs.set_reads_count(true);
    let before = vfs.op_count();
    assert_eq!(kind(db.read(C, 5)), ErrorKind::Corrupt);
    assert!(vfs.op_count() - before <= 3, "{}", vfs.op_count() - before);
    vfs.set_reads_count(false);
    // Written anew, it is well.
    write(&db, 5, &body(5));
    db.checkpoint().unwrap();
    check_all(&db);
    db.heal_all(&HealOptions::default()).unwrap();
    assert_eq!(db.heal_stats().unhealable_now, 0);
}

#[test]
fn what_is_healed_survives_a_power_loss_at_every_operation() {
    let prepared = disk();
    let db = written(&prepared, with_log());
    damage_document(&prepared, body(2).as_bytes());
    db.close().unwrap();
    let heal = |vfs: &SimVfs| {
        let db = open_with(vfs, with_log())?;
        let healed = db.heal(C, 2)?;
        Ok::<_, docdb_engine::Error>((db, healed))
    };
    let rehearsal = prepared.fork_crash(&CrashPolicy::KeepAll);
    let (_db, outcome) = heal(&rehearsal).unwrap();
    assert!(matches!(outcome, HealOutcome::Healed));
    let end = rehearsal.op_count();
    assert!(end > 20, "{end}");
    // Told to be healed, it is so without the log.
    for policy in policies(&rehearsal, 1, 3, 12) {
        let image = rehearsal.fork_crash(&policy);
        let db = open_with(&image, without_log()).unwrap();
        check_all(&db);
        assert_eq!(db.heal_stats().rescued_reads, 0, "{policy:?}");
    }
    let mut crashes = 0;
    for at_op in 0..=end {
        let vfs = prepared.fork_crash(&CrashPolicy::KeepAll);
        fault_at(&vfs, at_op, FaultKind::PowerOff, false);
        let healed = heal(&vfs);
        let is_healed = matches!(healed, Ok((_, HealOutcome::Healed)));
        drop(healed);
        for policy in policies(&vfs, at_op, 2, 6) {
            crashes += 1;
            let image = vfs.fork_crash(&policy);
            let db = open_with(&image, with_log()).unwrap();
            // Healed or to be healed: the bytes are right.
            check_all(&db);
            if is_healed {
                assert_eq!(db.heal_stats().rescued_reads, 0, "{at_op} {policy:?}");
            }
        }
    }
    println!("{crashes} crashes");
}

#[test]
fn an_older_version_in_the_log_is_no_copy() {
    let vfs = disk();
    let db = create_with(&vfs, without_log()).unwrap();
    write(&db, 1, &text(900, 700));
    let current = write(&db, 1, &body(1));
    db.checkpoint().unwrap();
    damage_document(&vfs, body(1).as_bytes());
    // Both are in the log.
    assert_eq!(&*db.read(C, 1).unwrap().body, body(1).as_bytes());
    assert_eq!(db.read(C, 1).unwrap().version, current);
    assert!(matches!(db.heal(C, 1).unwrap(), HealOutcome::Healed));
    let again = reopened(&vfs, without_log());
    assert_eq!(&*again.read(C, 1).unwrap().body, body(1).as_bytes());
    assert_eq!(again.read(C, 1).unwrap().version, current);
}

#[test]
fn a_commit_that_writes_a_document_twice_leaves_the_last() {
    let vfs = disk();
    let db = create_with(&vfs, with_log()).unwrap();
    let (first, last) = (text(900, 700), body(1));
    db.submit(&[
        WriteOp::upsert(C, 1, first.as_bytes()),
        WriteOp::upsert(C, 1, last.as_bytes()),
    ])
    .wait()
    .unwrap();
    db.checkpoint().unwrap();
    damage_document(&vfs, last.as_bytes());
    assert_eq!(&*db.read(C, 1).unwrap().body, last.as_bytes());
}

/// What happens while a document is healed: just before its new place is synced.
fn healed_beside(meanwhile: impl FnOnce(&Db) + Send + 'static) -> (SimVfs, Db) {
    let vfs = disk();
    drop(written(&vfs, with_log()));
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    let hooked = Hooked::new(&vfs, "data-");
    let driver = Arc::new(ManualDriver);
    let db = Db::open_manual(hooked.vfs(), dir(), with_log(), driver).unwrap();
    damage_document(&vfs, body(3).as_bytes());
    let beside = db.clone();
    hooked.hook(move || meanwhile(&beside));
    let outcome = db.heal(C, 3).unwrap();
    assert!(!hooked.is_hooked(), "nothing was synced: {outcome:?}");
    (vfs, db)
}

#[test]
fn a_document_that_is_written_while_it_is_healed_keeps_what_was_written() {
    let (vfs, db) = healed_beside(|db| {
        write(db, 3, "\"newer\"");
        db.checkpoint().unwrap();
    });
    for db in [&db, &reopened(&vfs, with_log())] {
        assert_eq!(&*db.read(C, 3).unwrap().body, b"\"newer\"");
        check_space(db).unwrap();
    }
}

#[test]
fn a_document_that_is_deleted_while_it_is_healed_stays_deleted() {
    let (vfs, db) = healed_beside(|db| {
        remove(db, 3);
        db.checkpoint().unwrap();
    });
    for db in [&db, &reopened(&vfs, with_log())] {
        assert_eq!(kind(db.read(C, 3)), ErrorKind::NotFound);
        assert_eq!(db.count(C).unwrap(), IDS - 1);
        check_space(db).unwrap();
    }
}

#[test]
fn a_collection_that_is_dropped_while_its_document_is_healed_stays_dropped() {
    let vfs = disk();
    let hooked = Hooked::new(&vfs, "data-");
    let driver = Arc::new(ManualDriver);
    let db = Db::create(hooked.vfs(), dir(), with_log(), driver).unwrap();
    db.create_collection("a").wait().unwrap();
    let document = body(3);
    db.submit(&[WriteOp::create("a", 3, document.as_bytes())])
        .wait()
        .unwrap();
    db.checkpoint().unwrap();
    damage_document(&vfs, document.as_bytes());
    let beside = db.clone();
    hooked.hook(move || {
        beside.drop_collection("a", true).wait().unwrap();
        beside.checkpoint().unwrap();
    });
    assert_eq!(kind(db.heal("a", 3)), ErrorKind::CollectionNotFound);
    check_space(&db).unwrap();
    check_space(&reopened(&vfs, with_log())).unwrap();
}

#[test]
fn deleted_documents_stay_deleted_whatever_is_damaged() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    remove(&db, 3);
    db.checkpoint().unwrap();
    damage_document(&vfs, body(3).as_bytes());
    assert!(matches!(db.heal(C, 3).unwrap(), HealOutcome::NotFound));
    let report = db.heal_all(&HealOptions::default()).unwrap();
    assert_eq!((report.found, report.healed), (0, 0));
    assert_eq!(kind(db.read(C, 3)), ErrorKind::NotFound);
    assert_eq!(
        kind(reopened(&vfs, with_log()).read(C, 3)),
        ErrorKind::NotFound
    );
}

#[test]
fn a_snapshot_reads_an_old_version_from_its_copy_and_only_the_current_is_restored() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    let snapshot = db.snapshot().unwrap();
    write(&db, 3, "\"newer\"");
    db.checkpoint().unwrap();
    damage_document(&vfs, body(3).as_bytes());
    assert_eq!(&*snapshot.read(C, 3).unwrap().body, body(3).as_bytes());
    settle(&db).unwrap();
    assert_eq!(db.heal_stats().healed, 0);
    assert_eq!(&*db.read(C, 3).unwrap().body, b"\"newer\"");
    check_space(&db).unwrap();
}

#[test]
fn an_old_version_that_is_lost_is_nothing_that_cannot_be_healed() {
    let vfs = disk();
    let db = create_with(&vfs, without_log()).unwrap();
    let large = text(1, 5_000);
    write(&db, 1, &large);
    db.checkpoint().unwrap();
    let snapshot = db.snapshot().unwrap();
    write(&db, 1, "\"newer\"");
    damage_document(&vfs, large.as_bytes());
    assert_eq!(kind(snapshot.read(C, 1)), ErrorKind::Corrupt);
    settle(&db).unwrap();
    let stats = db.heal_stats();
    assert_eq!((stats.unhealable, stats.unhealable_now), (0, 0));
    assert_eq!(&*db.read(C, 1).unwrap().body, b"\"newer\"");
}

#[test]
fn a_document_of_a_large_commit_is_restored_from_a_file_that_it_was_copied_from() {
    let vfs = disk();
    let mut options = without_log();
    options.keep_checkpoints = 3;
    options.data_file_bytes_max = 1 << 20;
    options.compaction_bytes_per_second = 0;
    let db = create_with(&vfs, options.clone()).unwrap();
    let large = text(1, 5_000);
    write(&db, 1, &large);
    write(&db, 2, &text(2, 6_000));
    write(&db, 100, "1");
    db.checkpoint().unwrap();
    let bulk = frames_of(&vfs, large.as_bytes());
    assert_eq!(bulk.len(), 1);
    // Its file is compacted, and stays for the checkpoint that is kept.
    remove(&db, 2);
    write(&db, 100, "2");
    db.checkpoint().unwrap();
    assert_eq!(db.compact().unwrap().documents_moved, 1);
    let both = frames_of(&vfs, large.as_bytes());
    assert_eq!(both.len(), 2);
    let copy = both.iter().find(|place| **place != bulk[0]).unwrap();
    vfs.flip_bit(&copy.0, copy.1 + 10, 3).unwrap();
    let outcome = db.heal(C, 1).unwrap();
    assert!(matches!(outcome, HealOutcome::Healed), "{outcome:?}");
    assert_eq!(&*db.read(C, 1).unwrap().body, large.as_bytes());
    check_space(&db).unwrap();
    drop(db);
    let again = reopened(&vfs, options);
    assert_eq!(&*again.read(C, 1).unwrap().body, large.as_bytes());
}

#[test]
fn a_document_of_a_large_commit_without_a_copy_is_unhealable() {
    for checkpoint in [false, true] {
        let vfs = disk();
        let db = create_with(&vfs, with_log()).unwrap();
        let large = text(1, 5_000);
        write(&db, 1, &large);
        write(&db, 2, "2");
        if checkpoint {
            db.checkpoint().unwrap();
        }
        damage_document(&vfs, large.as_bytes());
        while db.scrub_step().unwrap() {}
        assert_eq!(db.heal_stats().unhealable_now, 1);
        assert_eq!(kind(db.read(C, 1)), ErrorKind::Corrupt);
        let outcome = db.heal(C, 1).unwrap();
        assert!(matches!(outcome, HealOutcome::Unhealable(_)), "{outcome:?}");
        assert_eq!(&*db.read(C, 2).unwrap().body, b"2");
        let report = db.heal_all(&HealOptions::default()).unwrap();
        assert_eq!(report.unhealable, 1);
        let lost = &report.unhealable_documents[0];
        assert_eq!((lost.collection.as_str(), lost.id), (C, 1));
        assert!(report.is_damaged());
    }
}

#[test]
fn heal_all_restores_whatever_has_a_copy() {
    for threads in [1, 4] {
        let vfs = disk();
        let mut log = with_log();
        log.keep_segments = 64;
        let db = create_with(&vfs, log).unwrap();
        for id in 0..200 {
            write(&db, id, &body(id));
            if id % 50 == 49 {
                db.checkpoint().unwrap();
            }
        }
        let damaged: Vec<u64> = (0..200).step_by(7).collect();
        for id in &damaged {
            damage_document(&vfs, body(*id).as_bytes());
        }
        let told = AtomicUsize::new(0);
        let progress = |progress: docdb_engine::HealProgress| {
            assert!(progress.done_bytes <= progress.todo_bytes);
            told.fetch_add(1, Ordering::Relaxed);
            true
        };
        let mut options = HealOptions::default();
        options.threads = threads;
        options.on_progress = Some(&progress);
        let report = db.heal_all(&options).unwrap();
        let count = damaged.len() as u64;
        assert_eq!((report.found, report.healed), (count, count), "{report:?}");
        assert!(!report.is_damaged());
        assert!(told.load(Ordering::Relaxed) > 2);
        check_space(&db).unwrap();
        drop(db);
        let again = reopened(&vfs, without_log());
        for id in 0..200 {
            assert_eq!(&*again.read(C, id).unwrap().body, body(id).as_bytes());
        }
        assert_eq!(again.heal_stats().rescued_reads, 0);
    }
}

#[test]
fn heal_all_ends_when_it_is_told_to() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    let mut options = HealOptions::default();
    options.on_progress = Some(&|_| false);
    assert_eq!(kind(db.heal_all(&options)), ErrorKind::Cancelled);
    assert_eq!(db.heal_stats().scans, 0);
    // One at a time.
    let other = db.clone();
    let tell = move |_| {
        assert_eq!(
            kind(other.heal_all(&HealOptions::default())),
            ErrorKind::Busy
        );
        true
    };
    options.on_progress = Some(&tell);
    db.heal_all(&options).unwrap();
    assert_eq!(db.heal_stats().scans, 1);
}

fn hourly(mut options: DbOptions) -> DbOptions {
    options.scrub_interval = Duration::from_secs(3600);
    options
}

/// Maintenance until the clock has moved on by `time`.
fn live_on(vfs: &SimVfs, db: &Db, time: Duration) {
    let end = vfs.now() + time;
    loop {
        settle(db).unwrap();
        match db.maintenance_due() {
            Some(due) if due <= end => vfs.advance(due.saturating_sub(vfs.now())),
            _ => break vfs.advance(end.saturating_sub(vfs.now())),
        }
    }
}

#[test]
fn the_scrub_finds_and_restores_what_nobody_reads() {
    let vfs = disk();
    let db = written(&vfs, hourly(with_log()));
    damage_document(&vfs, body(3).as_bytes());
    live_on(&vfs, &db, Duration::from_secs(3599));
    assert_eq!(db.heal_stats().found, 0);
    live_on(&vfs, &db, Duration::from_secs(60));
    let stats = db.heal_stats();
    assert_eq!((stats.scans, stats.found, stats.healed), (1, 1, 1));
    assert_eq!((stats.healed_in_background, stats.rescued_reads), (1, 0));
    assert!(stats.since_scan.unwrap() < Duration::from_secs(60));
    drop(db);
    check_all(&reopened(&vfs, without_log()));
}

#[test]
fn the_scrub_counts_what_has_no_copy_and_goes_on() {
    let vfs = disk();
    let db = written(&vfs, hourly(without_log()));
    let mut options = hourly(without_log());
    options.keep_segments = 0;
    drop(db);
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    let db = open_with(&vfs, options).unwrap();
    write(&db, 100, "1");
    db.checkpoint().unwrap();
    remove(&db, 100);
    db.checkpoint().unwrap();
    damage_document(&vfs, body(5).as_bytes());
    damage_document(&vfs, body(6).as_bytes());
    live_on(&vfs, &db, Duration::from_secs(2 * 3600));
    let stats = db.heal_stats();
    assert_eq!((stats.found, stats.healed), (2, 0), "{stats:?}");
    assert_eq!((stats.unhealable, stats.unhealable_now), (2, 2));
    assert_eq!(kind(db.read(C, 5)), ErrorKind::Corrupt);
    // A day later they are found again, and counted once.
    live_on(&vfs, &db, Duration::from_secs(26 * 3600));
    let stats = db.heal_stats();
    assert_eq!((stats.found, stats.unhealable), (2, 2));
}

/// The operations of a time, reads included.
fn operations(vfs: &SimVfs, during: impl FnOnce()) -> u64 {
    vfs.set_reads_count(true);
    let before = vfs.op_count();
    during();
    let after = vfs.op_count();
    vfs.set_reads_count(false);
    after - before
}

#[test]
fn what_is_verified_and_unchanged_is_not_read_for_a_day() {
    let vfs = disk();
    let db = written(&vfs, hourly(with_log()));
    let hours = |n: u64| live_on(&vfs, &db, Duration::from_secs(n * 3600));
    assert!(operations(&vfs, || hours(2)) > 0);
    let first = db.heal_stats();
    assert_eq!(first.scans, 1);
    assert_eq!(operations(&vfs, || hours(21)), 0, "it is idle");
    assert_eq!(db.heal_stats().scanned_bytes, first.scanned_bytes);
    // Of a file that grows only what is new.
    write(&db, 50, "50");
    db.checkpoint().unwrap();
    hours(1);
    let grown = db.heal_stats();
    assert_eq!(grown.scans, 2);
    assert!(grown.scanned_bytes - first.scanned_bytes < first.scanned_bytes);
    hours(2);
    assert!(db.heal_stats().scanned_bytes > grown.scanned_bytes + first.scanned_bytes / 2);
}

#[test]
fn the_scrub_keeps_to_its_rate() {
    let vfs = disk();
    let mut options = hourly(with_log());
    options.data_file_bytes_max = 4 << 20;
    options.segment_bytes_max = 4 << 20;
    options.scrub_bytes_per_second = 256 << 10;
    let db = create_with(&vfs, options).unwrap();
    for id in 0..3_000 {
        write(&db, id, &body(id));
    }
    db.checkpoint().unwrap();
    vfs.advance(Duration::from_secs(3600));
    let begun = vfs.now();
    let mut last = (vfs.now(), 0);
    while db.heal_stats().scans == 0 {
        settle(&db).unwrap();
        let read = db.heal_stats().scanned_bytes;
        // A step is a quarter of a second's worth, with what the last record or frame is longer.
        assert!(read - last.1 <= (64 << 10) + (8 << 10), "{read} {last:?}");
        last = (vfs.now(), read);
        let stats = db.heal_stats();
        assert!(stats.scan_done_bytes <= stats.scan_todo_bytes);
        if stats.scans == 0 {
            let due = db.maintenance_due().unwrap();
            vfs.advance(due.saturating_sub(vfs.now()));
        }
    }
    let read = db.heal_stats().scanned_bytes;
    assert!(read > 4 << 20, "{read}");
    let took = (vfs.now() - begun).as_secs_f64();
    let rate = read as f64 / took;
    assert!(rate <= 1.1 * f64::from(256 << 10), "{rate} bytes a second");
    assert!(rate >= 0.5 * f64::from(256 << 10), "{rate} bytes a second");
}

#[test]
fn databases_that_share_a_pace_scrub_one_after_the_other() {
    let pace = Arc::new(docdb_engine::ScrubPace::default());
    let vfs = disk();
    let mut options = hourly(with_log());
    options.scrub_bytes_per_second = 64 << 10;
    options.scrub_pace = Some(pace);
    let dbs: Vec<Db> = ["/data/a", "/data/b"]
        .iter()
        .map(|dir| {
            let driver = Arc::new(ManualDriver);
            let vfs: Arc<dyn Vfs> = Arc::new(vfs.clone());
            let db = Db::create(vfs, dir.as_ref(), options.clone(), driver).unwrap();
            for id in 0..200 {
                write(&db, id, &body(id));
            }
            db.checkpoint().unwrap();
            db
        })
        .collect();
    vfs.advance(Duration::from_secs(3600));
    let begun = vfs.now();
    while dbs.iter().any(|db| db.heal_stats().scans == 0) {
        let under_way = |db: &&Db| db.heal_stats().scan_done_bytes > 0;
        assert!(dbs.iter().filter(under_way).count() <= 1);
        for db in &dbs {
            db.maintenance_step().unwrap();
        }
        let due = dbs.iter().filter_map(Db::maintenance_due).min().unwrap();
        vfs.advance(due.saturating_sub(vfs.now()));
    }
    let read: u64 = dbs.iter().map(|db| db.heal_stats().scanned_bytes).sum();
    let rate = read as f64 / (vfs.now() - begun).as_secs_f64();
    assert!(rate <= 1.2 * f64::from(64 << 10), "{rate} bytes a second");
}

#[test]
fn scrub_step_needs_no_clock() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    damage_document(&vfs, body(3).as_bytes());
    let mut steps = 0;
    while db.scrub_step().unwrap() {
        steps += 1;
        assert!(steps < 100);
    }
    assert_eq!(db.heal_stats().healed, 1);
    assert_eq!(db.heal_stats().scans, 1);
    check_all(&reopened(&vfs, without_log()));
    // All is verified.
    assert!(!db.scrub_step().unwrap() || db.scrub_step().is_ok());
    db.close().unwrap();
    assert_eq!(kind(db.scrub_step()), ErrorKind::Closed);
    assert_eq!(kind(db.heal(C, 1)), ErrorKind::Closed);
}

fn runs(vfs: &SimVfs) -> Vec<PathBuf> {
    files(vfs, "run-")
}

#[test]
fn a_damaged_page_of_index_entries_is_told_by_file_and_offset() {
    let vfs = disk();
    let mut options = with_log();
    options.block_cache_bytes_max = 0;
    options.document_cache_bytes_max = 0;
    let db = create_with(&vfs, options).unwrap();
    for id in 0..400 {
        write(&db, id, "1");
    }
    db.checkpoint().unwrap();
    let run = runs(&vfs).pop().unwrap();
    // The first page of entries.
    vfs.flip_bit(&run, 4096 + 100, 1).unwrap();
    while db.scrub_step().unwrap() {}
    assert_eq!(db.heal_stats().index_pages_damaged, 1);
    let report = db.heal_all(&HealOptions::default()).unwrap();
    assert_eq!(report.index_pages_damaged, 1);
    assert!(report.is_damaged());
    let place = report.places[0].to_string();
    let name = run.file_name().unwrap().to_str().unwrap();
    assert!(
        place.contains(name) && place.contains("offset 4096"),
        "{place}"
    );
    assert_eq!(db.heal_stats().index_pages_damaged, 1);
    // Its documents are `Corrupt`, and the others of the same run are not.
    assert_eq!(kind(db.read(C, 0)), ErrorKind::Corrupt);
    assert_eq!(kind(db.heal(C, 0)), ErrorKind::Corrupt);
    assert_eq!(&*db.read(C, 399).unwrap().body, b"1");
}

#[test]
fn damage_beside_a_damaged_page_of_index_entries_is_healed() {
    let vfs = disk();
    let mut options = with_log();
    options.block_cache_bytes_max = 0;
    let db = create_with(&vfs, options).unwrap();
    for id in 0..400 {
        let document = if id == 399 { body(id) } else { "1".into() };
        write(&db, id, &document);
    }
    db.checkpoint().unwrap();
    vfs.flip_bit(&runs(&vfs).pop().unwrap(), 4096 + 100, 1)
        .unwrap();
    damage_document(&vfs, body(399).as_bytes());
    let report = db.heal_all(&HealOptions::default()).unwrap();
    assert_eq!((report.found, report.healed), (1, 1), "{report:?}");
    assert_eq!(&*db.read(C, 399).unwrap().body, body(399).as_bytes());
}

#[test]
fn a_page_of_index_entries_that_is_damaged_meanwhile_is_in_nobody_elses_way() {
    let vfs = disk();
    let mut options = with_log();
    options.block_cache_bytes_max = 1 << 20;
    options.keep_segments = 64;
    let db = create_with(&vfs, options).unwrap();
    for id in 0..400 {
        let document = if id % 399 == 0 { body(id) } else { "1".into() };
        write(&db, id, &document);
    }
    db.checkpoint().unwrap();
    // Both pages are kept in memory.
    for id in [0, 399] {
        assert_eq!(&*db.read(C, id).unwrap().body, body(id).as_bytes());
        damage_document(&vfs, body(id).as_bytes());
    }
    vfs.flip_bit(&runs(&vfs).pop().unwrap(), 4096 + 100, 1)
        .unwrap();
    for id in [0, 399] {
        assert_eq!(&*db.read(C, id).unwrap().body, body(id).as_bytes());
    }
    assert_eq!(db.heal_stats().waiting, 2);
    settle(&db).unwrap();
    let stats = db.heal_stats();
    assert_eq!((stats.found, stats.healed, stats.waiting), (2, 1, 0));
    assert!(matches!(db.heal(C, 399).unwrap(), HealOutcome::Intact));
}

#[test]
fn a_run_whose_other_pages_are_damaged_is_written_anew() {
    // Header, footer and fences, which an open needs, and the filter.
    for page in [Some(0), None] {
        let vfs = disk();
        let db = written(&vfs, with_log());
        let run = runs(&vfs).pop().unwrap();
        let bytes = vfs.read_file(&run).unwrap().len() as u64;
        let pages = bytes / 4096;
        for page in page.map_or(2..pages, |page| page..page + 1) {
            vfs.flip_bit(&run, page * 4096 + 70, 1).unwrap();
        }
        let report = db.heal_all(&HealOptions::default()).unwrap();
        assert!(!report.is_damaged());
        assert!(!report.places.is_empty());
        settle(&db).unwrap();
        assert!(!runs(&vfs).contains(&run), "it is gone");
        assert!(db.heal_stats().headers_damaged > 0);
        check_all(&db);
        drop(db);
        check_all(&reopened(&vfs, with_log()));
    }
}

#[test]
fn a_data_file_whose_header_is_damaged_is_emptied() {
    let vfs = disk();
    let mut options = with_log();
    options.compaction_bytes_per_second = 1 << 20;
    let db = written(&vfs, options.clone());
    let file = files(&vfs, "data-").pop().unwrap();
    vfs.flip_bit(&file, 40, 1).unwrap();
    while db.scrub_step().unwrap() {}
    assert_eq!(db.heal_stats().headers_damaged, 1);
    settle(&db).unwrap();
    assert!(!files(&vfs, "data-").contains(&file), "it is gone");
    check_all(&db);
    drop(db);
    check_all(&reopened(&vfs, options));
}

#[test]
fn a_damaged_log_is_made_dispensable_by_a_checkpoint() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    let newest = text(77, 3_000);
    write(&db, 3, &newest);
    write(&db, 4, "4");
    let (path, offset) = frames_in(&vfs, "wal/", newest.as_bytes()).pop().unwrap();
    vfs.flip_bit(&path, offset + 5, 2).unwrap();
    // So it could not be opened.
    let image = vfs.fork_crash(&CrashPolicy::KeepNone);
    assert_eq!(kind(open_with(&image, with_log())), ErrorKind::Corrupt);
    while db.scrub_step().unwrap() {}
    assert_eq!(db.heal_stats().log_damaged, 1);
    assert_eq!(db.stats().checkpoint_version, db.visible_version());
    // With a checkpoint that lies in another segment nobody reads what is damaged.
    for _ in 0..20 {
        write(&db, 100, &text(78, 3_000));
    }
    db.checkpoint().unwrap();
    let again = reopened(&vfs, with_log());
    assert_eq!(&*again.read(C, 3).unwrap().body, newest.as_bytes());
    assert_eq!(&*again.read(C, 4).unwrap().body, b"4");
}

#[test]
fn a_compaction_that_meets_damage_has_it_healed_and_goes_on() {
    let vfs = disk();
    let mut options = with_log();
    options.compact_slice_bytes = 64 << 10;
    let db = create_with(&vfs, options).unwrap();
    for id in 0..12 {
        write(&db, id, &body(id));
    }
    db.checkpoint().unwrap();
    damage_document(&vfs, body(9).as_bytes());
    for id in 0..8 {
        write(&db, id, "1");
    }
    db.checkpoint().unwrap();
    let victim = files(&vfs, "data-")[0].clone();
    for _ in 0..100 {
        let _ = db.maintenance_step();
        if let Some(due) = db.maintenance_due() {
            vfs.advance(due.saturating_sub(vfs.now()));
        }
    }
    assert_eq!(db.heal_stats().healed, 1, "{:?}", db.heal_stats());
    assert!(!files(&vfs, "data-").contains(&victim), "it is gone");
    assert_eq!(&*db.read(C, 9).unwrap().body, body(9).as_bytes());
    check_space(&db).unwrap();
}

#[test]
fn a_failed_heal_changes_nothing_and_is_tried_again() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    damage_document(&vfs, body(3).as_bytes());
    // Each write of the heal in turn finds the disk full.
    let mut failed = 0;
    loop {
        fault_at(&vfs, vfs.op_count() + failed, FaultKind::Os(ENOSPC), false);
        let outcome = db.heal(C, 3);
        vfs.clear_faults();
        check_space(&db).unwrap();
        match outcome {
            Ok(outcome) => {
                assert!(matches!(outcome, HealOutcome::Healed), "{outcome:?}");
                break;
            }
            Err(error) if error.kind() == ErrorKind::DiskFull => failed += 1,
            // The sync of the directory: it is final.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
                check_all(&reopened(&vfs, with_log()));
                return assert!(failed > 1, "{failed}");
            }
        }
        assert_eq!(db.heal_stats().healed, 0);
        assert_eq!(&*db.read(C, 3).unwrap().body, body(3).as_bytes());
    }
    assert!(failed > 1, "{failed}");
    check_all(&db);
}

#[test]
fn reads_beside_heals_see_one_version() {
    let vfs = disk();
    let db = written(&vfs, with_log());
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..50 {
                for id in 0..IDS {
                    assert_eq!(&*db.read(C, id).unwrap().body, body(id).as_bytes());
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for id in 0..IDS {
            damage_document(&vfs, body(id).as_bytes());
            db.heal(C, id).unwrap();
        }
    });
    assert_eq!(reads.load(Ordering::Relaxed), 50 * IDS);
    check_all(&db);
}

/// Where these bytes begin in files whose path below the database begins so.
fn frames_in(vfs: &SimVfs, prefix: &str, bytes: &[u8]) -> Vec<(PathBuf, u64)> {
    common::damaged::places(vfs, prefix, bytes)
}
