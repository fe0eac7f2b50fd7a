//! Space is given back: compactions and merges, what they must not change, and what may happen to
//! them.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::hooked::Hooked;
use common::workload::{Promise, Run, delete, put, text};
use common::{
    check_space, create, create_with, disk, dump, fault_at, in_collection, kind, open, open_with,
    options, scan_all, settle,
};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind, SimVfs};
use docdb_engine::{Db, DbOptions, ErrorKind, ManualDriver, ScanRequest, WriteOp};

const C: &str = "_default";
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn write(db: &Db, id: u64, body: &str) {
    db.submit(&[WriteOp::upsert(C, id, body.as_bytes())])
        .wait()
        .unwrap();
}

fn remove(db: &Db, id: u64) {
    db.submit(&[WriteOp::delete(C, id)]).wait().unwrap();
}

/// The names of the database's files with that prefix.
fn names(vfs: &SimVfs, prefix: &str) -> Vec<String> {
    let mut names = vfs.list(common::dir()).unwrap();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names
}

/// Compactions only when they are asked for, each file in one slice.
fn by_hand() -> DbOptions {
    let mut options = options();
    options.compaction_bytes_per_second = 0;
    options.compact_slice_bytes = 64 << 10;
    options
}

/// Documents with these ids are in one data file; of them only each fourth is not superseded.
const IDS: u64 = 48;

fn mostly_dead(vfs: &SimVfs, options: DbOptions) -> Db {
    let db = create_with(vfs, options).unwrap();
    for id in 0..IDS {
        write(&db, id, &text(id, 1_000));
    }
    db.checkpoint().unwrap();
    for id in (0..IDS).filter(|id| id % 4 != 0) {
        write(&db, id, &text(100 + id, 200));
    }
    db.checkpoint().unwrap();
    db
}

/// Writes so much that there is more alive than dead, and compactions keep to their rate.
fn more_is_live(db: &Db) {
    for id in 1_000..1_060 {
        write(db, id, &text(id, 1_000));
    }
    db.checkpoint().unwrap();
}

#[test]
fn a_set_that_is_overwritten_takes_little_more_than_itself() {
    let vfs = disk();
    let mut options = options();
    options.data_file_bytes_max = 64 << 10;
    options.compact_slice_bytes = 64 << 10;
    let db = create_with(&vfs, options).unwrap();
    for round in 0..20 {
        for id in 0..400 {
            write(&db, id, &text(round * 1_000 + id, 1_000));
            if id % 100 == 99 {
                db.checkpoint().unwrap();
            }
        }
        settle(&db).unwrap();
    }
    let stats = db.stats();
    let (live, all) = (stats.data_live_bytes, stats.data_bytes);
    println!("{live} live of {all}: {stats:?}");
    assert!(all <= live * 3 / 2 + (64 << 10), "{live} live of {all}");
    assert!(stats.compactions > 5 && stats.merges > 5);
    check_space(&db).unwrap();
    assert_eq!(db.maintenance_due(), None, "it is idle");
    let report = db.compact().unwrap();
    assert_eq!(report.bytes_before, all);
    assert!(
        report.bytes_after <= live * 11 / 10 + (16 << 10),
        "{report:?}"
    );
    check_space(&db).unwrap();
    // Nothing is left to be gained.
    let again = db.compact().unwrap();
    assert_eq!((again.files, again.documents_moved), (0, 0));
    for id in 0..400 {
        let body = db.read(C, id).unwrap().body;
        assert_eq!(*body, *text(19_000 + id, 1_000).as_bytes());
    }
}

#[test]
fn snapshots_and_cursors_read_what_they_saw_through_compactions() {
    let vfs = disk();
    let db = mostly_dead(&vfs, by_hand());
    let mut expected = vec![
        (0..IDS)
            .map(|id| (id, db.read(C, id).unwrap().body.to_vec()))
            .collect(),
    ];
    let page = |limit| ScanRequest {
        limit: Some(limit),
        ..in_collection(C)
    };
    let mut scans = Vec::new();
    let mut cursors = Vec::new();
    for round in 0..4 {
        scans.push(db.scan(&in_collection(C)).unwrap());
        let mut paged = db.scan(&page(5)).unwrap();
        assert_eq!(paged.next_chunk(5, usize::MAX).unwrap().len(), 5);
        cursors.push(paged.cursor().unwrap());
        let mut state: BTreeMap<u64, Vec<u8>> = BTreeMap::clone(&expected[round]);
        for id in (round as u64..IDS).step_by(3) {
            let body = text(1_000 * (1 + round as u64) + id, 700);
            write(&db, id, &body);
            state.insert(id, body.into_bytes());
        }
        remove(&db, IDS - 1 - round as u64);
        state.remove(&(IDS - 1 - round as u64));
        expected.push(state);
        db.checkpoint().unwrap();
        settle(&db).unwrap();
        let report = db.compact().unwrap();
        assert!(report.files > 0, "{report:?}");
    }
    let stats = db.stats();
    assert!(stats.data_kept_bytes > 0, "{stats:?}");
    for ((mut scan, cursor), expected) in scans.into_iter().zip(cursors).zip(&expected) {
        let mut found = BTreeMap::new();
        while let chunk = scan.next_chunk(3, usize::MAX).unwrap()
            && !chunk.is_empty()
        {
            found.extend(chunk.into_iter().map(|item| (item.id, item.body.to_vec())));
            db.compact().unwrap();
        }
        assert_eq!(found, *expected);
        let rest = ScanRequest {
            cursor: Some(cursor),
            ..in_collection(C)
        };
        let rest = scan_all(&db, &rest).unwrap();
        assert!(
            rest.into_iter()
                .map(|(id, _, body)| (id, body))
                .eq(expected.clone().split_off(&5))
        );
    }
    // The cursors' snapshots end.
    vfs.advance(common::LONG);
    db.maintenance_step().unwrap();
    assert_eq!(db.stats().data_kept_bytes, 0);
    assert_eq!(names(&vfs, "data-").len() as u64, db.stats().data_files);
    check_space(&db).unwrap();
}

#[test]
fn a_close_removes_what_only_snapshots_kept() {
    let vfs = disk();
    let db = mostly_dead(&vfs, by_hand());
    let scan = db.scan(&in_collection(C)).unwrap();
    write(&db, 0, "0");
    db.compact().unwrap();
    assert!(db.stats().data_kept_bytes > 0);
    db.close().unwrap();
    drop(scan);
    let reopened = open(&vfs).unwrap();
    assert_eq!(reopened.recovery_report().removed, Vec::<String>::new());
}

/// A deletion, the version that it hides at its old place, and the same version at a new one.
#[test]
fn what_was_deleted_stays_deleted() {
    for kill in [false, true] {
        let vfs = disk();
        let mut options = by_hand();
        options.runs_max = 3;
        let hooked = Hooked::new(&vfs, "data-");
        let db = Db::create(
            hooked.vfs(),
            common::dir(),
            options.clone(),
            Arc::new(ManualDriver),
        )
        .unwrap();
        for id in 0..20 {
            write(&db, id, &text(id, 1_000));
        }
        db.checkpoint().unwrap();
        for id in 0..8 {
            write(&db, id, "1");
        }
        db.checkpoint().unwrap();
        // Deleted while the older version has been found current, and is being moved.
        let deleting = db.clone();
        hooked.hook(move || {
            for id in 9..15 {
                deleting.submit(&[WriteOp::delete(C, id)]).wait().unwrap();
            }
            deleting.checkpoint().unwrap();
        });
        db.compact().unwrap();
        assert!(!hooked.is_hooked());
        let mut expected: Vec<u64> = (0..20).filter(|id| !(9..15).contains(id)).collect();
        let check = |db: &Db, expected: &[u64]| {
            let found = scan_all(db, &in_collection(C)).unwrap();
            assert!(
                found
                    .iter()
                    .map(|(id, ..)| *id)
                    .eq(expected.iter().copied())
            );
            assert_eq!(db.count(C).unwrap(), expected.len() as u64);
            check_space(db).unwrap();
        };
        check(&db, &expected);
        settle(&db).unwrap();
        check(&db, &expected);
        // Merges of all kinds.
        for id in 100..110 {
            write(&db, id, &text(id, 300));
            expected.push(id);
            db.checkpoint().unwrap();
            settle(&db).unwrap();
            check(&db, &expected);
        }
        if !kill {
            db.compact().unwrap();
            check(&db, &expected);
            db.close().unwrap();
        }
        drop(db);
        let db = open_with(&vfs, options).unwrap();
        check(&db, &expected);
        db.compact().unwrap();
        check(&db, &expected);
    }
}

/// A checkpoint supersedes, and drops, what a slice has just copied.
#[test]
fn what_changes_while_it_is_moved_is_not_moved() {
    for prefix in ["data-", "run-"] {
        let vfs = disk();
        let hooked = Hooked::new(&vfs, prefix);
        let db = Db::create(
            hooked.vfs(),
            common::dir(),
            by_hand(),
            Arc::new(ManualDriver),
        )
        .unwrap();
        db.create_collection("gone").wait().unwrap();
        for id in 0..20 {
            write(&db, id, &text(id, 600));
            let body = text(id, 600);
            let op = WriteOp::upsert("gone", id, body.as_bytes());
            db.submit(&[op]).wait().unwrap();
        }
        db.checkpoint().unwrap();
        for id in 0..12 {
            write(&db, id, "1");
        }
        db.checkpoint().unwrap();
        // A merge's run, or a slice's data, is about to be synced.
        let writing = db.clone();
        hooked.hook(move || {
            for id in 10..16 {
                write(&writing, id, "2");
            }
            writing.drop_collection("gone", true).wait().unwrap();
            writing.checkpoint().unwrap();
        });
        if prefix == "run-" {
            write(&db, 50, "0");
            // Three runs are one too many: the checkpoint's own sync comes first.
            let other = db.clone();
            hooked.hook(move || drop(other));
            db.checkpoint().unwrap();
            let writing = db.clone();
            hooked.hook(move || {
                for id in 10..16 {
                    write(&writing, id, "2");
                }
                writing.drop_collection("gone", true).wait().unwrap();
                writing.checkpoint().unwrap();
            });
            settle(&db).unwrap();
        } else {
            db.compact().unwrap();
        }
        assert!(!hooked.is_hooked());
        check_space(&db).unwrap();
        settle(&db).unwrap();
        db.compact().unwrap();
        check_space(&db).unwrap();
        for id in 0..20 {
            let body = match id {
                10..16 => "2".to_owned(),
                0..10 => "1".to_owned(),
                _ => text(id, 600),
            };
            assert_eq!(*db.read(C, id).unwrap().body, *body.as_bytes());
        }
        assert_eq!(kind(db.count("gone")), ErrorKind::CollectionNotFound);
    }
}

#[test]
fn a_dropped_collection_gives_its_space_back_without_being_copied() {
    let vfs = disk();
    let mut options = options();
    options.data_file_bytes_max = 32 << 10;
    let db = create_with(&vfs, options).unwrap();
    db.create_collection("big").wait().unwrap();
    for id in 0..200 {
        let body = text(id, 1_000);
        db.submit(&[WriteOp::upsert("big", id, body.as_bytes())])
            .wait()
            .unwrap();
        if id % 50 == 49 {
            db.checkpoint().unwrap();
        }
    }
    write(&db, 1, "1");
    settle(&db).unwrap();
    let scan = db.scan(&in_collection("big")).unwrap();
    let before = db.stats();
    assert!(before.data_live_bytes > 200_000);
    db.drop_collection("big", true).wait().unwrap();
    db.checkpoint().unwrap();
    settle(&db).unwrap();
    let after = db.stats();
    assert_eq!(after.compacted_bytes, before.compacted_bytes);
    assert!(after.data_bytes < 20 << 10, "{after:?}");
    assert!(after.data_live_bytes < 200, "{after:?}");
    // Its index entries are gone, too.
    assert!(after.runs <= 1 && after.merges > before.merges, "{after:?}");
    assert!(after.data_kept_bytes > 200_000);
    let mut scan = scan;
    assert_eq!(scan.next_chunk(1_000, usize::MAX).unwrap().len(), 200);
    drop(scan);
    db.maintenance_step().unwrap();
    assert_eq!(db.stats().data_kept_bytes, 0);
    check_space(&db).unwrap();
}

#[test]
fn a_document_that_rots_keeps_its_file_and_nothing_else() {
    let vfs = disk();
    let db = mostly_dead(&vfs, by_hand());
    let first = vfs.list(common::dir()).unwrap();
    let first = first.iter().filter(|name| name.starts_with("data-")).min();
    let path = common::dir().join(first.unwrap());
    let mut bytes = vfs.read_file(&path).unwrap();
    let needle = text(8, 1_000);
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle.as_bytes())
        .unwrap();
    bytes[at + 500] ^= 1;
    vfs.write_file(&path, &bytes).unwrap();

    assert_eq!(kind(db.compact()), ErrorKind::Corrupt);
    let check = |db: &Db| {
        for id in 0..IDS {
            match id {
                8 => assert_eq!(kind(db.read(C, id)), ErrorKind::Corrupt),
                _ => drop(db.read(C, id).unwrap()),
            }
        }
        check_space(db).unwrap();
        assert!(vfs.exists(&path).unwrap());
    };
    check(&db);
    // It is not tried again and again.
    let moved = db.stats().compacted_bytes;
    for _ in 0..3 {
        db.compact().unwrap();
        settle(&db).unwrap();
    }
    assert_eq!(db.stats().compacted_bytes, moved);
    check(&db);
    drop(db);
    let db = open(&vfs).unwrap();
    let failed = settle(&db).map(|()| db.compact());
    assert!(matches!(failed, Err(e) if e.kind() == ErrorKind::Corrupt));
    check(&db);
    // Written again, it lets the file go.
    write(&db, 8, "8");
    drop(db);
    let db = open(&vfs).unwrap();
    db.compact().unwrap();
    assert!(!vfs.exists(&path).unwrap());
    assert_eq!(*db.read(C, 8).unwrap().body, *b"8");
    check_space(&db).unwrap();
}

/// Every operation of merging and compacting fails, once or from then on.
#[test]
fn what_fails_leaves_everything_as_it_was() {
    for (errno, slice) in [(EIO, 64 << 10), (ENOSPC, 4 << 10)] {
        for sticky in [false, true] {
            let (mut failures, mut poisoned) = (0, 0);
            let mut options = by_hand();
            options.compact_slice_bytes = slice;
            // The third run is one too many, so there is a merge, too.
            let prepared = |vfs: &SimVfs| {
                let db = mostly_dead(vfs, options.clone());
                write(&db, 1, "1");
                db.checkpoint().unwrap();
                db
            };
            let whole = disk();
            let db = prepared(&whole);
            let first = whole.op_count();
            settle(&db).and_then(|()| db.compact()).unwrap();
            let stats = db.stats();
            assert!(stats.merges > 0 && stats.compactions > 0, "{stats:?}");
            for step in 0..whole.op_count() - first {
                let vfs = disk();
                let db = prepared(&vfs);
                let state = dump(&db).unwrap();
                let before = vfs.files();
                fault_at(&vfs, vfs.op_count() + step, FaultKind::Os(errno), sticky);
                let outcome = settle(&db).and_then(|()| db.compact());
                vfs.clear_faults();
                let at = format!("errno {errno}, sticky {sticky}, step {step}");
                assert_eq!(dump(&db).as_ref(), Ok(&state), "{at}");
                match outcome {
                    // What failed was the removal of a file, or is for the log to try again.
                    Ok(report) => assert!(report.files > 0, "{at}"),
                    Err(error) if error.kind() == ErrorKind::Poisoned => {
                        poisoned += 1;
                        assert_eq!(kind(db.compact()), ErrorKind::Poisoned);
                        assert_eq!(db.maintenance_due(), None);
                    }
                    Err(error) => {
                        failures += 1;
                        let expected = if errno == EIO {
                            ErrorKind::Io
                        } else {
                            ErrorKind::DiskFull
                        };
                        assert_eq!(error.kind(), expected, "{at}: {error}");
                        if !sticky {
                            let known = db.space().unwrap().len();
                            assert_eq!(names(&vfs, "data-").len(), known, "{at}: {before:?}");
                            assert_eq!(names(&vfs, "run-").len() as u64, db.stats().runs, "{at}");
                        }
                        db.compact().unwrap_or_else(|e| panic!("{at}: {e}"));
                        assert_eq!(dump(&db).as_ref(), Ok(&state), "{at}");
                    }
                }
                for policy in [
                    CrashPolicy::Kill,
                    CrashPolicy::KeepNone,
                    CrashPolicy::KeepAll,
                ] {
                    let db = open(&vfs.fork_crash(&policy)).unwrap();
                    assert_eq!(dump(&db).as_ref(), Ok(&state), "{at}");
                    db.compact().unwrap();
                    assert_eq!(dump(&db).as_ref(), Ok(&state), "{at}");
                }
            }
            assert!(
                failures > 12 && poisoned > 2,
                "{failures} failures, {poisoned} poisoned"
            );
        }
    }
}

#[test]
fn a_full_disk_leaves_everything_and_is_tried_again() {
    let vfs = disk();
    let mut options = options();
    options.compact_dead_share = 0.2;
    let db = mostly_dead(&vfs, options);
    let state = dump(&db).unwrap();
    vfs.set_capacity_bytes(Some(vfs.used_bytes() + 2_000));
    let files = names(&vfs, "");
    for _ in 0..4 {
        assert_eq!(kind(settle(&db)), ErrorKind::DiskFull);
        assert_eq!(
            names(&vfs, "data-"),
            files
                .iter()
                .filter(|n| n.starts_with("data-"))
                .cloned()
                .collect::<Vec<_>>()
        );
        assert_eq!(dump(&db), Ok(state.clone()));
        // Not at once, again and again.
        let due = db.maintenance_due().unwrap();
        assert!(due > vfs.now());
        assert!(!db.maintenance_step().unwrap());
        vfs.advance(due - vfs.now());
    }
    assert!(db.maintenance_due().unwrap() <= vfs.now());
    vfs.set_capacity_bytes(None);
    settle(&db).unwrap();
    assert!(db.stats().compactions > 0);
    assert_eq!(db.maintenance_due(), None);
    assert_eq!(dump(&db), Ok(state));
}

#[test]
fn the_background_keeps_to_its_rate() {
    let vfs = disk();
    let mut options = options();
    options.compaction_bytes_per_second = 1_000;
    let db = mostly_dead(&vfs, options);
    more_is_live(&db);
    let mut steps = 0;
    let started = vfs.now();
    while let Some(due) = db.maintenance_due() {
        if due > vfs.now() {
            assert!(!db.maintenance_step().unwrap());
            vfs.advance(due - vfs.now());
        }
        db.maintenance_step().unwrap();
        steps += 1;
        assert!(steps < 100);
    }
    let stats = db.stats();
    assert!(stats.compactions > 0, "{stats:?}");
    let took = (vfs.now() - started).as_secs_f64();
    assert!(took * 1_000.0 >= stats.compacted_bytes as f64, "{took} s");
    check_space(&db).unwrap();
}

#[test]
fn a_close_in_the_middle_abandons_the_job() {
    let vfs = disk();
    let mut options = options();
    options.compaction_bytes_per_second = 1;
    options.runs_max = 8;
    let db = mostly_dead(&vfs, options);
    more_is_live(&db);
    let state = dump(&db).unwrap();
    while db.maintenance_step().unwrap() {}
    assert!(db.stats().compacted_bytes > 0 && db.stats().compactions == 0);
    db.close().unwrap();
    let db = open(&vfs).unwrap();
    assert_eq!(db.recovery_report().removed, Vec::<String>::new());
    assert_eq!(dump(&db), Ok(state.clone()));
    settle(&db).unwrap();
    assert!(db.stats().compactions > 0);
    assert_eq!(dump(&db), Ok(state));
}

/// Large commits write to data files of theirs, which are not compacted under their hands.
#[test]
fn the_files_of_large_commits_are_left_to_them() {
    let vfs = disk();
    let mut promise = Promise::default();
    let mut options = options();
    options.data_file_bytes_max = 1 << 20;
    let mut run = Run {
        db: create_with(&vfs, options.clone()).unwrap(),
        promise: &mut promise,
    };
    let large = |n: u64| {
        vec![
            put(C, 10 + n % 3, &text(n, 5_000)),
            put(C, 30, &text(n, 4_000)),
        ]
    };
    for round in 0..6 {
        run.commits(&[large(round)]).unwrap();
        run.db.checkpoint().unwrap();
        // In no manifest yet.
        run.commits(&[large(round + 1), vec![put(C, 1, &text(round, 9))]])
            .unwrap();
        settle(&run.db).unwrap();
        assert_eq!(dump(&run.db).unwrap(), run.promise.last().visible());
        run.commits(&[large(round + 2)]).unwrap();
        run.db.compact().unwrap();
        run.commits(&[large(round + 3)]).unwrap();
        settle(&run.db).unwrap();
        assert_eq!(dump(&run.db).unwrap(), run.promise.last().visible());
        let killed = open_with(&vfs.fork_crash(&CrashPolicy::KeepNone), options.clone()).unwrap();
        killed.compact().unwrap();
        assert_eq!(dump(&killed).unwrap(), run.promise.last().visible());
    }
    assert!(run.db.stats().compactions > 5);
}

/// After a restart a checkpoint does not append to a file of large commits, where it would cut what
/// only the log knows.
#[test]
fn a_restart_leaves_the_files_of_large_commits_whole() {
    let vfs = disk();
    let mut options = by_hand();
    options.data_file_bytes_max = 1 << 20;
    let db = create_with(&vfs, options.clone()).unwrap();
    write(&db, 1, "1");
    db.checkpoint().unwrap();
    write(&db, 2, &text(2, 5_000));
    db.checkpoint().unwrap();
    // Behind the durable length that the manifest knows.
    write(&db, 3, &text(3, 5_000));
    drop(db);
    let db = open_with(&vfs, options).unwrap();
    write(&db, 1, "2");
    db.checkpoint().unwrap();
    for id in [2, 3] {
        let body = db.read(C, id).unwrap().body;
        assert_eq!(*body, *text(id, 5_000).as_bytes());
    }
    check_space(&db).unwrap();
}

/// Checkpoints, drops and deletions between the steps of a merge.
#[test]
fn a_merge_takes_steps_beside_checkpoints() {
    for abandoned in [false, true] {
        let vfs = disk();
        let db = create_with(&vfs, by_hand()).unwrap();
        drop(db);
        let mut options = by_hand();
        options.compact_slice_bytes = 2_000;
        let db = open_with(&vfs, options.clone()).unwrap();
        db.create_collection("gone").wait().unwrap();
        for run in 0..3 {
            for id in 0..120 {
                let ops = [
                    WriteOp::upsert(C, id * 3 + run, b"1"),
                    WriteOp::upsert("gone", id, b"1"),
                ];
                db.submit(&ops).wait().unwrap();
            }
            db.checkpoint().unwrap();
        }
        let mut steps = 0;
        let mut versions = 0;
        let mut scans = Vec::new();
        while db.stats().merges == 0 {
            assert!(db.maintenance_step().unwrap());
            steps += 1;
            for id in (steps * 10)..(steps * 10 + 5) {
                remove(&db, id);
                write(&db, id + 5, "2");
                versions += 1;
            }
            if steps == 2 {
                db.drop_collection("gone", true).wait().unwrap();
            }
            scans.push((db.scan(&in_collection(C)).unwrap(), 360 - versions));
            db.checkpoint().unwrap();
            check_space(&db).unwrap();
            if abandoned && steps == 4 {
                break;
            }
        }
        assert!(steps >= 4, "{steps}");
        for (mut scan, expected) in scans {
            let mut found = 0;
            while let chunk = scan.next_chunk(50, usize::MAX).unwrap()
                && !chunk.is_empty()
            {
                found += chunk.len() as u64;
            }
            assert_eq!(found, expected);
        }
        let state = dump(&db).unwrap();
        if abandoned {
            db.close().unwrap();
            drop(db);
            let db = open_with(&vfs, options).unwrap();
            assert_eq!(db.recovery_report().removed, Vec::<String>::new());
            assert_eq!(dump(&db).as_ref(), Ok(&state));
            settle(&db).unwrap();
            assert_eq!(dump(&db), Ok(state));
        } else {
            settle(&db).unwrap();
            assert!(db.stats().runs <= 2);
            assert_eq!(names(&vfs, "run-").len() as u64, db.stats().runs);
            assert_eq!(dump(&db).as_ref(), Ok(&state));
            let killed = open_with(&vfs.fork_crash(&CrashPolicy::KeepNone), options).unwrap();
            assert_eq!(dump(&killed), Ok(state));
        }
    }
}

#[test]
fn readers_and_writers_go_on_while_space_is_given_back() {
    let temp = tempfile::tempdir().unwrap();
    let mut options = DbOptions::default();
    options.segment_bytes_min = 64 << 10;
    options.segment_bytes_max = 1 << 20;
    options.data_file_bytes_max = 64 << 10;
    options.compact_slice_bytes = 8 << 10;
    options.checkpoint_wal_bytes = 32 << 10;
    options.runs_max = 3;
    options.compaction_bytes_per_second = u64::MAX;
    let path = temp.path().join("db");
    let db = Db::open_with(&path, options.clone()).unwrap();
    let body = |id: u64, n: u64| text(id * 100_000 + n, 200 + (n % 7) as usize * 100);
    for id in 0..100 {
        write(&db, id, &body(id, 0));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..2_u64 {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                let mut last = vec![0; 100];
                let mut n = reader;
                while !stop.load(Ordering::Relaxed) {
                    n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let id = (n >> 33) % 100;
                    let found = db.read(C, id).unwrap();
                    assert!(found.version >= last[id as usize]);
                    last[id as usize] = found.version;
                    if n >> 60 == 0 {
                        let mut scan = db.scan(&in_collection(C)).unwrap();
                        let mut seen = 0;
                        while let chunk = scan.next_chunk(9, usize::MAX).unwrap()
                            && !chunk.is_empty()
                        {
                            seen += chunk.len();
                        }
                        assert_eq!(seen, 100);
                    }
                }
            });
        }
        let (db, stop) = (&db, &stop);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                db.compact().unwrap();
            }
        });
        let writers: Vec<_> = (0..4_u64)
            .map(|writer| {
                scope.spawn(move || {
                    for n in 1..=150_u64 {
                        for id in (writer..100).step_by(4).filter(|id| (id + n) % 3 == 0) {
                            write(db, id, &body(id, n));
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    db.compact().unwrap();
    check_space(&db).unwrap();
    let stats = db.stats();
    println!("{stats:?}");
    assert!(stats.compactions > 3 && stats.merges > 3, "{stats:?}");
    assert!(
        stats.data_bytes <= stats.data_live_bytes * 3 / 2 + (128 << 10),
        "{stats:?}"
    );
    for id in 0..100 {
        let newest = (1..=150).rev().find(|n| (id + n) % 3 == 0).unwrap();
        let found = db.read(C, id).unwrap();
        assert_eq!(*found.body, *body(id, newest).as_bytes());
    }
    db.close().unwrap();
    let files = std::fs::read_dir(Path::new(&path)).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let data = names.filter(|name| name.starts_with("data-")).count() as u64;
    assert_eq!(data, stats.data_files);
    let db = Db::open_with(&path, options).unwrap();
    assert_eq!(db.count(C).unwrap(), 100);
    check_space(&db).unwrap();
}

#[test]
fn deletions_are_purged_when_there_is_nothing_left_for_them_to_hide() {
    let vfs = disk();
    let mut promise = Promise::default();
    let mut run = Run {
        db: create(&vfs).unwrap(),
        promise: &mut promise,
    };
    for id in 0..30 {
        run.commits(&[vec![put(C, id, &text(id, 200))]]).unwrap();
    }
    run.db.checkpoint().unwrap();
    for id in 0..30 {
        run.commits(&[vec![delete(C, id)]]).unwrap();
    }
    run.db.checkpoint().unwrap();
    settle(&run.db).unwrap();
    let stats = run.db.stats();
    assert_eq!((stats.runs, stats.data_files), (0, 0), "{stats:?}");
    assert_eq!(names(&vfs, "run-"), Vec::<String>::new());
    assert_eq!(names(&vfs, "data-"), Vec::<String>::new());
    assert_eq!(dump(&run.db).unwrap(), run.promise.last().visible());
    run.commits(&[vec![put(C, 3, "3")]]).unwrap();
    run.db.close().unwrap();
    drop(run);
    assert_eq!(open(&vfs).unwrap().count(C).unwrap(), 1);
}
