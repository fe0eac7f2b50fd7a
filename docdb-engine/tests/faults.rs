//! Every operation on files fails once, or from then on for good. Nothing acknowledged is lost,
//! nothing wrong is shown, errors say what happened, and what was only being produced starts over.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;

use common::workload::{Promise, Run, WORKLOADS, Workload, delete, insert, put, text};
use common::{create, create_with, disk, dump, fault_at, kind, open, options};
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind, SimVfs};
use docdb_engine::{Db, Error, ErrorKind, WriteOp};

const C: &str = "_default";
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn is_typed(error: &Error, errno: i32) -> bool {
    match error.kind() {
        ErrorKind::Poisoned | ErrorKind::OutcomeUnknown => true,
        ErrorKind::DiskFull => errno == ENOSPC,
        ErrorKind::Io => errno == EIO,
        _ => false,
    }
}

/// Whatever failed when: what is on the disk afterwards is what was promised.
#[test]
fn every_operation_fails() {
    let failures: u32 = WORKLOADS.into_iter().map(every_operation_of).sum();
    assert!(failures > 1_000, "{failures}");
}

fn every_operation_of(workload: Workload) -> u32 {
    let whole = disk();
    let first = whole.op_count();
    workload(&whole, &mut Promise::default()).unwrap();
    let mut failures = 0;
    for errno in [EIO, ENOSPC] {
        for sticky in [false, true] {
            for at_op in first..whole.op_count() {
                let at = format!("errno {errno}, sticky {sticky}, at operation {at_op}");
                let vfs = disk();
                fault_at(&vfs, at_op, FaultKind::Os(errno), sticky);
                let mut promise = Promise::default();
                if let Err(error) = workload(&vfs, &mut promise) {
                    failures += 1;
                    assert!(is_typed(&error, errno), "{at}: {:?}: {error}", error.kind());
                }
                vfs.clear_faults();
                for policy in [
                    CrashPolicy::Kill,
                    CrashPolicy::KeepNone,
                    CrashPolicy::KeepAll,
                ] {
                    let vfs = vfs.fork_crash(&policy);
                    let db = match open(&vfs) {
                        Ok(db) => db,
                        Err(_) if !promise.created => create(&vfs).unwrap(),
                        Err(error) => panic!("{at}, {policy:?}: {error}"),
                    };
                    let shown = dump(&db).unwrap_or_else(|what| panic!("{at}: {what}"));
                    promise
                        .matching(&shown)
                        .unwrap_or_else(|what| panic!("{at}: {what}"));
                    db.submit(&[WriteOp::upsert(C, 1, b"1")]).wait().unwrap();
                    db.close().unwrap();
                }
            }
        }
    }
    failures
}

/// A database with documents in two runs and in memory, and what it holds.
fn prepared(vfs: &SimVfs, promise: &mut Promise) -> Db {
    let db = create(vfs).unwrap();
    promise.created = true;
    let mut run = Run { db, promise };
    run.create_collection("a").unwrap();
    run.commits(&[vec![put(C, 1, "1"), put("a", 1, &text(1, 500))]])
        .unwrap();
    run.db.checkpoint().unwrap();
    run.commits(&[vec![put(C, 2, "2")], vec![put("a", 2, &text(2, 3_000))]])
        .unwrap();
    run.db.checkpoint().unwrap();
    run.commits(&[vec![
        delete(C, 1),
        put("a", 1, &text(3, 700)),
        insert("a", "0"),
    ]])
    .unwrap();
    run.db
}

fn reopened_equals(vfs: &SimVfs, promise: &Promise) {
    for policy in [
        CrashPolicy::Kill,
        CrashPolicy::KeepNone,
        CrashPolicy::KeepAll,
    ] {
        let db = open(&vfs.fork_crash(&policy)).unwrap();
        promise.matching(&dump(&db).unwrap()).unwrap();
    }
}

#[test]
fn a_failed_flush_poisons_and_reads_go_on() {
    for kind_of_fault in [FaultKind::Os(EIO), FaultKind::Os(ENOSPC), FaultKind::Short] {
        // A commit writes its group and syncs it.
        for step in 0..2 {
            let vfs = disk();
            let mut promise = Promise::default();
            let db = prepared(&vfs, &mut promise);
            let visible = dump(&db).unwrap();
            fault_at(&vfs, vfs.op_count() + step, kind_of_fault, false);
            let ticket = db.submit(&[WriteOp::create(C, 50, b"1")]);
            let refused = db.submit(&[WriteOp::create(C, 50, b"2")]);
            let outcome = ticket.wait();
            if matches!(kind_of_fault, FaultKind::Short) && step == 1 {
                outcome.unwrap(); // A sync cannot be short.
                continue;
            }
            assert_eq!(kind(outcome), ErrorKind::OutcomeUnknown);
            // What it rested on is lost, and it wrote nothing.
            assert_eq!(kind(refused.wait()), ErrorKind::Poisoned);
            // Never made visible, never shown.
            assert_eq!(dump(&db).unwrap(), visible);
            assert!(db.stats().poisoned);
            for _ in 0..2 {
                assert_eq!(
                    kind(db.submit(&[WriteOp::upsert(C, 1, b"1")]).wait()),
                    ErrorKind::Poisoned
                );
                assert_eq!(kind(db.create_collection("n").wait()), ErrorKind::Poisoned);
                assert_eq!(
                    kind(db.drop_collection("a", true).wait()),
                    ErrorKind::Poisoned
                );
                assert_eq!(kind(db.checkpoint()), ErrorKind::Poisoned);
            }
            assert_eq!(db.maintenance_due(), None);
            let files = vfs.files();
            assert_eq!(kind(db.close()), ErrorKind::Poisoned);
            assert_eq!(vfs.files(), files);
            drop(db);
            // The lost commit may be there, whole.
            let mut maybe = promise.last().clone();
            let documents = &mut maybe.collections.get_mut(C).unwrap().documents;
            documents.insert(50, (promise.version + 1, b"1".to_vec()));
            promise.states.push(maybe);
            reopened_equals(&vfs, &promise);
        }
    }
}

/// A failed sync may leave names that are there until the power goes, and that no later sync writes.
/// Whoever opens the database after the process that saw the failure must not build on them, even if
/// the disk is so full that the manifest cannot be written anew.
#[test]
fn what_a_failed_sync_left_behind_is_not_built_on() {
    for is_full in [false, true] {
        let mut opened = 0;
        for workload in WORKLOADS {
            let whole = disk();
            let first = whole.op_count();
            workload(&whole, &mut Promise::default()).unwrap();
            for at_op in first..whole.op_count() {
                let vfs = disk();
                fault_at(&vfs, at_op, FaultKind::Os(EIO), false);
                let mut promise = Promise::default();
                let _ = workload(&vfs, &mut promise);
                vfs.clear_faults();
                if promise.created {
                    let vfs = vfs.fork_crash(&CrashPolicy::Kill);
                    opened_after(&vfs, &promise, is_full)
                        .unwrap_or_else(|what| panic!("at {at_op}, full {is_full}: {what}"));
                    opened += 1;
                }
            }
        }
        assert!(opened > 300, "{opened}");
    }
}

fn opened_after(vfs: &SimVfs, promise: &Promise, is_full: bool) -> Result<(), String> {
    if is_full {
        vfs.set_capacity_bytes(Some(vfs.used_bytes()));
    }
    let db = match open(vfs) {
        // A crash inside an opening has left too little for the next one.
        Err(error) if is_full && error.kind() == ErrorKind::DiskFull => {
            vfs.set_capacity_bytes(None);
            open(vfs)
        }
        opened => opened,
    };
    let db = db.map_err(|e| e.to_string())?;
    let shown = dump(&db)?;
    promise.matching(&shown)?;
    let is_kept = |what: &str| {
        let image = vfs.fork_crash(&CrashPolicy::KeepNone);
        image.set_capacity_bytes(None);
        let left = open(&image);
        let left = dump(&left.map_err(|e| format!("{what}: {e}"))?)?;
        if left != shown {
            return Err(format!("{what}: {shown:?}, then {left:?}"));
        }
        Ok(())
    };
    is_kept("opened")?;
    let _ = db.checkpoint();
    is_kept("a checkpoint was tried")?;
    vfs.set_capacity_bytes(None);
    db.checkpoint().map_err(|e| e.to_string())?;
    is_kept("a checkpoint was taken")?;
    db.compact().map_err(|e| e.to_string())?;
    is_kept("compacted")
}

/// The log lends the space for it.
#[test]
fn on_a_full_disk_the_manifest_is_written_anew_all_the_same() {
    let mut vfs = disk();
    let mut promise = Promise::default();
    let db = prepared(&vfs, &mut promise);
    db.checkpoint().unwrap();
    db.close().unwrap();
    for _ in 0..4 {
        vfs = vfs.fork_crash(&CrashPolicy::KeepNone);
        vfs.set_capacity_bytes(Some(vfs.used_bytes()));
        let before = vfs.op_count();
        let db = open(&vfs).unwrap();
        assert!(vfs.op_count() > before);
        let names = docdb_engine::vfs::Vfs::list(&vfs, common::dir()).unwrap();
        assert!(!names.contains(&"MANIFEST.tmp".to_owned()), "{names:?}");
        assert_eq!(
            db.wal().stats().segments,
            1,
            "what is not needed is retired"
        );
        assert_eq!(dump(&db), Ok(promise.last().visible()));
    }
}

/// What becomes of a checkpoint, operation by operation, until none fails any more.
#[test]
fn a_failed_checkpoint_is_poison_or_starts_over() {
    for merging in [false, true] {
        for errno in [EIO, ENOSPC] {
            let (mut abandoned, mut poisoned) = (0, 0);
            for step in 0.. {
                let vfs = disk();
                let mut promise = Promise::default();
                let db = prepared(&vfs, &mut promise);
                let mut run = Run {
                    db,
                    promise: &mut promise,
                };
                if !merging {
                    // The next checkpoint finds few runs.
                    run.db.checkpoint().unwrap();
                    run.commits(&[vec![put(C, 1, "1"), put(C, 8, &text(4, 900))]])
                        .unwrap();
                }
                let before = vfs.files();
                fault_at(&vfs, vfs.op_count() + step, FaultKind::Os(errno), false);
                let outcome = run.db.checkpoint();
                vfs.clear_faults();
                let state = run.promise.last().visible();
                assert_eq!(dump(&run.db).unwrap(), state, "step {step}");
                let Err(error) = outcome else {
                    // Removals of old files are not the checkpoint's business.
                    let later = run.db.checkpoint();
                    later.unwrap();
                    if step > 60 {
                        break;
                    }
                    continue;
                };
                assert!(
                    is_typed(&error, errno),
                    "step {step}: {:?}: {error}",
                    error.kind()
                );
                if run.db.stats().poisoned {
                    poisoned += 1;
                    assert_eq!(kind(run.db.checkpoint()), ErrorKind::Poisoned);
                    let refused = run.db.submit(&[WriteOp::upsert(C, 1, b"1")]).wait();
                    assert_eq!(kind(refused), ErrorKind::Poisoned);
                    assert_eq!(run.db.maintenance_due(), None);
                    assert_eq!(kind(run.db.close()), ErrorKind::Poisoned);
                } else {
                    abandoned += 1;
                    // It is due again although nobody writes.
                    let due = run
                        .db
                        .maintenance_due()
                        .expect("a failed checkpoint is due again");
                    assert!(
                        due > vfs_now(&vfs) || due.is_zero(),
                        "at once, again and again"
                    );
                    // Nothing of the attempt stays behind but its log's and its manifest's file.
                    let left: Vec<_> = vfs
                        .files()
                        .into_iter()
                        .filter(|path| {
                            !before.contains(path) && path.parent() == Some(common::dir())
                        })
                        .filter(|path| !path.ends_with("MANIFEST.tmp"))
                        .filter(|_| run.db.stats().checkpoint_version < run.promise.version)
                        .collect();
                    assert!(left.is_empty(), "step {step}: {left:?}");
                    reopened_equals(&vfs, run.promise);
                    run.commits(&[vec![put(C, 3, "3"), put("a", 9, &text(7, 400))]])
                        .unwrap();
                    run.db.checkpoint().unwrap();
                    assert_eq!(run.db.stats().checkpoint_version, run.promise.version);
                    assert_eq!(run.db.stats().delta_bytes, 0);
                    assert_eq!(dump(&run.db).unwrap(), run.promise.last().visible());
                    let image = vfs.fork_crash(&CrashPolicy::KeepNone);
                    assert_eq!(
                        dump(&open(&image).unwrap()),
                        Ok(run.promise.last().visible())
                    );
                    run.commits(&[vec![put(C, 4, "4")]]).unwrap();
                    run.db.close().unwrap();
                }
                drop(run);
                reopened_equals(&vfs, &promise);
            }
            assert!(
                abandoned > 6 && poisoned > 1,
                "{abandoned} abandoned, {poisoned} poisoned"
            );
        }
    }
}

fn vfs_now(vfs: &SimVfs) -> std::time::Duration {
    docdb_engine::vfs::Vfs::now(vfs)
}

#[test]
fn a_failed_checkpoint_is_repeated_by_maintenance() {
    let vfs = disk();
    vfs.advance(common::LONG);
    let mut promise = Promise::default();
    let db = prepared(&vfs, &mut promise);
    fault_at(&vfs, vfs.op_count(), FaultKind::Os(EIO), false);
    assert_eq!(kind(db.checkpoint()), ErrorKind::Io);
    vfs.clear_faults();
    let due = db.maintenance_due().unwrap();
    assert!(due > vfs_now(&vfs) && due <= vfs_now(&vfs) + std::time::Duration::from_secs(1));
    assert!(!db.maintenance_step().unwrap());
    vfs.advance(std::time::Duration::from_secs(1));
    assert!(db.maintenance_step().unwrap());
    assert_eq!(db.stats().checkpoint_version, promise.version);
    common::settle(&db).unwrap();
    assert_eq!(db.maintenance_due(), None);
}

#[test]
fn a_manifest_that_may_or_may_not_stand_poisons() {
    // The temporary file is created, written and synced; then come the rename and the directory.
    for (from_the_end, finally) in [(5, false), (4, false), (3, false), (2, true), (1, true)] {
        let rehearsal = disk();
        let db = prepared(&rehearsal, &mut Promise::default());
        // A checkpoint that neither merges nor retires ends with the manifest.
        db.checkpoint().unwrap();
        db.submit(&[WriteOp::upsert(C, 1, b"1")]).wait().unwrap();
        let before = rehearsal.op_count();
        db.checkpoint().unwrap();
        let operations = rehearsal.op_count() - before;

        let vfs = disk();
        let mut promise = Promise::default();
        let db = prepared(&vfs, &mut promise);
        db.checkpoint().unwrap();
        let mut run = Run {
            db,
            promise: &mut promise,
        };
        run.commits(&[vec![put(C, 1, "1")]]).unwrap();
        assert_eq!(vfs.op_count(), before);
        fault_at(
            &vfs,
            before + operations - from_the_end,
            FaultKind::Os(EIO),
            false,
        );
        let failed = run.db.checkpoint();
        assert_eq!(
            kind(failed) == ErrorKind::Poisoned,
            finally,
            "{from_the_end}"
        );
        drop(run);
        reopened_equals(&vfs, &promise);
    }
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again() {
    for writing in [true, false] {
        let vfs = disk();
        let mut promise = Promise::default();
        let db = prepared(&vfs, &mut promise);
        let mut run = Run {
            db,
            promise: &mut promise,
        };
        vfs.set_capacity_bytes(Some(vfs.used_bytes() + 4096));
        if writing {
            // Until the log has no room left: refused, and nothing changed.
            let refused = loop {
                let version = run.db.wal().next_lsn().0;
                let op = put(C, version, &text(version, 3_000));
                match run.db.submit(&[op.as_write()]).wait() {
                    Ok(_) => {
                        let (state, _) = run.promise.last().apply(&[op], version).unwrap();
                        run.promise.states.push(state);
                        run.promise.acknowledged += 1;
                        run.promise.version = version;
                    }
                    Err(error) => break error,
                }
            };
            assert_eq!(refused.kind(), ErrorKind::DiskFull, "{refused}");
        }
        for _ in 0..5 {
            let full = vfs.used_bytes();
            assert_eq!(kind(run.db.checkpoint()), ErrorKind::DiskFull);
            assert!(vfs.used_bytes() <= full, "attempts pile up");
        }
        assert!(!run.db.stats().poisoned);
        assert_eq!(dump(&run.db).unwrap(), run.promise.last().visible());
        vfs.set_capacity_bytes(None);
        run.commits(&[vec![put(C, 7, "7")]]).unwrap();
        run.db.checkpoint().unwrap();
        assert_eq!(run.db.stats().checkpoint_version, run.promise.version);
        run.db.close().unwrap();
        drop(run);
        reopened_equals(&vfs, &promise);
    }
}

#[test]
fn reads_that_fail_are_errors_and_never_absences() {
    let vfs = disk();
    let mut promise = Promise::default();
    let db = prepared(&vfs, &mut promise);
    db.checkpoint().unwrap();
    let state = promise.last().visible();
    vfs.set_reads_count(true);
    fault_at(&vfs, vfs.op_count(), FaultKind::Os(EIO), true);
    for (name, collection) in &state.collections {
        for id in collection.documents.keys() {
            assert_eq!(kind(db.read(name, *id)), ErrorKind::Io);
        }
        assert_eq!(
            kind(common::scan_all(&db, &common::in_collection(name))),
            ErrorKind::Io
        );
        let refused = db.submit(&[WriteOp::delete(name, 2)]).wait().unwrap_err();
        assert_eq!(
            (refused.kind(), refused.op_index()),
            (ErrorKind::Io, Some(0))
        );
    }
    vfs.clear_faults();
    assert_eq!(dump(&db), Ok(state.clone()));
    db.close().unwrap();
    drop(db);
    // The same for every operation of an open.
    for step in 0.. {
        let vfs = vfs.fork_crash(&CrashPolicy::Kill);
        vfs.set_reads_count(true);
        fault_at(&vfs, vfs.op_count() + step, FaultKind::Os(EIO), false);
        let outcome = open(&vfs);
        vfs.clear_faults();
        let Err(error) = outcome else {
            assert_eq!(dump(&outcome.unwrap()), Ok(state.clone()));
            assert!(step > 20, "{step}");
            break;
        };
        assert_eq!(error.kind(), ErrorKind::Io, "step {step}: {error}");
        assert_eq!(dump(&open(&vfs).unwrap()), Ok(state.clone()), "step {step}");
    }
}

#[test]
fn a_database_that_cannot_be_created_can_be_created_later() {
    let whole = disk();
    let first = whole.op_count();
    drop(create(&whole).unwrap());
    for at_op in first..whole.op_count() {
        for errno in [EIO, ENOSPC] {
            let vfs = disk();
            fault_at(&vfs, at_op, FaultKind::Os(errno), false);
            let outcome = create_with(&vfs, options());
            vfs.clear_faults();
            match outcome {
                Err(error) => assert!(is_typed(&error, errno), "{at_op}: {error}"),
                // What failed was a file that the log could do without.
                Ok(db) => drop(db),
            }
            let there = docdb_engine::vfs::Vfs::exists(&vfs, common::dir()).unwrap();
            let db = if there { open(&vfs) } else { create(&vfs) };
            let db = db.unwrap_or_else(|e| panic!("{at_op}: {e}"));
            assert_eq!(db.count(C).unwrap(), 0);
            db.submit(&[WriteOp::create(C, 1, b"1")]).wait().unwrap();
            drop(db);
            assert_eq!(kind(create(&vfs)), ErrorKind::AlreadyExists);
            assert!(
                !vfs.files()
                    .iter()
                    .any(|path| path.starts_with(Path::new("/data/db.creating")))
            );
        }
    }
}

/// A name that a failed sync may have lost is lost to the power even if a later sync succeeds: nobody
/// opens a database under it.
#[test]
fn a_database_whose_creation_failed_at_its_name_is_not_there() {
    let whole = disk();
    drop(create(&whole).unwrap());
    let mut hit = 0;
    for at_op in disk().op_count()..whole.op_count() {
        let vfs = disk();
        fault_at(&vfs, at_op, FaultKind::Os(EIO), false);
        let created = create(&vfs).is_ok();
        vfs.clear_faults();
        let vfs = vfs.fork_crash(&CrashPolicy::Kill);
        let there = docdb_engine::vfs::Vfs::exists(&vfs, common::dir()).unwrap();
        let db = if there { open(&vfs) } else { create(&vfs) }.unwrap();
        db.submit(&[WriteOp::create(C, 1, b"1")]).wait().unwrap();
        let left = open(&vfs.fork_crash(&CrashPolicy::KeepNone));
        let left = left.unwrap_or_else(|e| panic!("{at_op}: what was acknowledged is gone: {e}"));
        assert_eq!(left.count(C).unwrap(), 1, "{at_op}");
        hit += u32::from(!created);
    }
    assert!(hit > 10, "{hit}");
}

/// `EAGAIN` says that a directory is in use only where one is locked.
#[test]
fn a_read_that_would_block_is_an_io_error() {
    let vfs = disk();
    drop(create(&vfs).unwrap());
    vfs.set_reads_count(true);
    let (mut reads, mut step) = (0, 0);
    loop {
        let vfs = vfs.fork_crash(&CrashPolicy::Kill);
        fault_at(&vfs, step, FaultKind::Os(11), false);
        match open(&vfs) {
            Err(error) if error.to_string().contains("cannot lock") => {
                assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
            }
            Err(error) if error.to_string().contains("cannot read") => {
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                reads += 1;
            }
            Err(_) => {}
            Ok(_) if step > 20 => break,
            Ok(_) => {}
        }
        step += 1;
    }
    assert!(reads > 2, "{reads}");
}
