//! Backups of data directories, and data directories restored from them.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{get, kind, names, open, put};
use docdb_pool::engine::backup::{BackupOptions, DatabaseBackup, Progress, VERSIONS_LEFT_OUT};
use docdb_pool::engine::vfs::Vfs;
use docdb_pool::engine::vfs::sim::{CrashPolicy, Fault, FaultKind, SimVfs};
use docdb_pool::engine::{Durability, Error, ErrorKind};
use docdb_pool::{Pool, PoolOptions, Which, restore};

const DIR: &str = "/data";
const BACKUP: &str = "/kept";
const RESTORED: &str = "/again";

fn quiet(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// What was backed up, if that is all that was asked for.
fn back_up(pool: &Pool, which: Which<'_>) -> Result<Vec<DatabaseBackup>, Error> {
    let report = pool.backup(BACKUP, which, BackupOptions::default(), &mut quiet)?;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    Ok(report.databases)
}

fn named(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn restored(vfs: &SimVfs, names: &[&str]) -> Result<usize, Error> {
    restored_into(vfs, RESTORED, names)
}

fn restored_into(vfs: &SimVfs, into: &str, names: &[&str]) -> Result<usize, Error> {
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let (backup, into) = (Path::new(BACKUP), Path::new(into));
    Ok(restore(&shared, backup, into, &named(names), &mut quiet)?.len())
}

fn files(vfs: &SimVfs, below: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = vfs.files();
    files.retain(|path| path.starts_with(below));
    let read = |path: PathBuf| (path.clone(), vfs.read_file(&path).unwrap());
    files.into_iter().map(read).collect()
}

/// Databases 1, 2 and 4 of a data directory in which there was a third.
fn filled(vfs: &SimVfs) -> Pool {
    let pool = open(vfs, Path::new(DIR));
    for name in ["one", "two ü", "gone", "four"] {
        let mode = (name == "four").then_some(Durability::Os);
        pool.create_database(name, mode).unwrap();
        put(&pool.database(name).unwrap(), 1, &format!("{name:?}")).unwrap();
    }
    pool.drop_database("gone").unwrap();
    pool
}

#[test]
fn names_ids_and_modes_are_restored() {
    let vfs = SimVfs::new(7);
    let pool = filled(&vfs);
    // One that is closed is opened for it.
    assert!(pool.close_database("one").unwrap());
    let taken = back_up(&pool, Which::All).unwrap();
    let of = |taken: &[DatabaseBackup]| -> Vec<(String, u64, u64)> {
        let of = |d: &DatabaseBackup| (d.name.clone(), d.id, d.documents);
        taken.iter().map(of).collect()
    };
    let expected = [
        ("four".into(), 4, 1),
        ("one".into(), 1, 1),
        ("two ü".into(), 2, 1),
    ];
    assert_eq!(of(&taken), expected);
    put(&pool.database("one").unwrap(), 1, "\"later\"").unwrap();
    assert_eq!(restored(&vfs, &[]).unwrap(), 3);
    let again = open(&vfs, Path::new(RESTORED));
    let (was, is) = (pool.list(), again.list());
    for (was, is) in was.iter().zip(&is) {
        let of =
            |info: &docdb_pool::DatabaseInfo| (info.id, info.name.clone(), info.durability.clone());
        assert_eq!(of(was), of(is));
        let body = get(&again.database(&is.name).unwrap(), 1).unwrap();
        assert_eq!(body, format!("{:?}", is.name));
    }
    assert_eq!(is.len(), 3);
    // Neither ids nor versions are given out again.
    assert_eq!(again.create_database("new", None).unwrap(), 5);
    let version = put(&again.database("one").unwrap(), 2, "1").unwrap();
    assert!(version > VERSIONS_LEFT_OUT);
    // The restored directory is another one: its backups go elsewhere.
    assert_eq!(
        kind(back_up(&again, Which::All)),
        ErrorKind::InvalidArgument
    );
    again.close();
    assert_eq!(kind(restored(&vfs, &[])), ErrorKind::AlreadyExists);
}

#[test]
fn some_databases_are_backed_up_and_restored() {
    let vfs = SimVfs::new(7);
    let pool = filled(&vfs);
    back_up(&pool, Which::All).unwrap();
    for name in ["one", "four"] {
        put(&pool.database(name).unwrap(), 1, "2").unwrap();
    }
    let before = files(&vfs, BACKUP);
    let none: [String; 0] = [];
    assert_eq!(
        kind(back_up(&pool, Which::Named(&none))),
        ErrorKind::InvalidArgument
    );
    let missing = back_up(&pool, Which::Named(&named(&["one", "gone"])));
    assert_eq!(kind(missing), ErrorKind::DatabaseNotFound);
    assert_eq!(files(&vfs, BACKUP), before);
    // Of the others the backup keeps what it has.
    let taken = back_up(&pool, Which::Named(&named(&["one", "one"]))).unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(kind(restored(&vfs, &["gone"])), ErrorKind::DatabaseNotFound);
    assert!(!vfs.exists(Path::new(RESTORED)).unwrap());
    restored(&vfs, &["one", "four"]).unwrap();
    let again = open(&vfs, Path::new(RESTORED));
    assert_eq!(names(&again), ["four", "one"]);
    assert_eq!(get(&again.database("one").unwrap(), 1).unwrap(), "2");
    assert_eq!(
        get(&again.database("four").unwrap(), 1).unwrap(),
        "\"four\""
    );
    // A name that went to another database is that database's.
    pool.drop_database("one").unwrap();
    pool.create_database("one", None).unwrap();
    put(&pool.database("one").unwrap(), 1, "3").unwrap();
    back_up(&pool, Which::Named(&named(&["one"]))).unwrap();
    restored_into(&vfs, "/once more", &["one"]).unwrap();
    let again = open(&vfs, Path::new("/once more"));
    assert_eq!(get(&again.database("one").unwrap(), 1).unwrap(), "3");
    // Those that are dropped leave the backup with the next one of all.
    pool.drop_database("four").unwrap();
    back_up(&pool, Which::All).unwrap();
    assert!(files(&vfs, "/kept/db-0000000000000004").is_empty());
    assert!(!vfs.exists(Path::new("/kept/db-0000000000000004")).unwrap());
}

#[test]
fn data_directories_are_no_place_for_backups() {
    let vfs = SimVfs::new(7);
    let pool = filled(&vfs);
    let other = open(&vfs, Path::new("/other"));
    let before = files(&vfs, "/");
    for dir in [
        "/data",
        "/data/kept",
        "/data/db-0000000000000001",
        "/other/kept",
    ] {
        let outcome = pool.backup(dir, Which::All, BackupOptions::default(), &mut quiet);
        assert_eq!(kind(outcome), ErrorKind::InvalidArgument, "{dir}");
    }
    assert_eq!(files(&vfs, "/"), before);
    back_up(&pool, Which::All).unwrap();
    assert_eq!(
        kind(back_up(&other, Which::All)),
        ErrorKind::InvalidArgument
    );
}

/// A database that cannot be opened does not keep the others from being backed up, and is not left out
/// in silence: the report names it, and the backup keeps what it has of it.
#[test]
fn one_damaged_database_does_not_keep_the_others_out() {
    let vfs = SimVfs::new(7);
    let pool = filled(&vfs);
    back_up(&pool, Which::All).unwrap();
    // Damaged before it was ever backed up.
    pool.create_database("never", None).unwrap();
    put(&pool.database("never").unwrap(), 1, "1").unwrap();
    for (name, id) in [("one", 1), ("never", 5)] {
        assert!(pool.close_database(name).unwrap());
        let manifest = format!("/data/db-{id:016x}/MANIFEST");
        vfs.remove(Path::new(&manifest)).unwrap();
    }
    for name in ["two ü", "four"] {
        put(&pool.database(name).unwrap(), 1, "\"later\"").unwrap();
    }
    let some = named(&["one", "two ü"]);
    for (n, which) in [Which::All, Which::Named(&some), Which::All]
        .iter()
        .enumerate()
    {
        let options = BackupOptions::default();
        let report = pool.backup(BACKUP, *which, options, &mut quiet).unwrap();
        let failed: Vec<(&str, u64, Option<u64>)> = report
            .failed
            .iter()
            .map(|failed| (failed.name.as_str(), failed.id, failed.kept_version))
            .collect();
        let one = ("one", 1, Some(1));
        match which {
            Which::All => {
                assert_eq!(failed, [("never", 5, None), one]);
                assert_eq!(report.databases.len(), 2);
            }
            Which::Named(_) => {
                assert_eq!(failed, [one]);
                assert_eq!(report.databases.len(), 1);
            }
        }
        for failed in report.failed {
            assert_eq!(failed.error.kind(), ErrorKind::Corrupt);
            let message = failed.error.message();
            assert!(message.contains(&format!("{:?}", failed.name)), "{message}");
        }
        let into = format!("/again {n}");
        assert_eq!(restored_into(&vfs, &into, &[]).unwrap(), 3);
        let again = open(&vfs, Path::new(&into));
        for (name, body) in [
            ("one", "\"one\""),
            ("two ü", "\"later\""),
            ("four", "\"later\""),
        ] {
            let db = again.database(name).unwrap();
            assert_eq!(get(&db, 1).unwrap(), body, "{name}");
        }
        assert!(again.create_database("new", None).unwrap() > 5);
    }
    // Nothing at all is no backup.
    let before = files(&vfs, BACKUP);
    let alone = named(&["one"]);
    let error = back_up(&pool, Which::Named(&alone)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("\"one\""), "{error}");
    assert_eq!(files(&vfs, BACKUP), before);
}

/// What fails in the backup's directory ends the backup: that is not a fault of one database.
#[test]
fn a_place_that_fails_ends_the_backup_of_all() {
    let vfs = SimVfs::new(7);
    let pool = filled(&vfs);
    back_up(&pool, Which::All).unwrap();
    for name in names(&pool) {
        let db = pool.database(&name).unwrap();
        put(&db, 1, "\"later\"").unwrap();
        db.checkpoint().unwrap();
    }
    let start = vfs.op_count();
    let rehearsal = vfs.fork_crash(&CrashPolicy::KeepAll);
    let operations = {
        let pool = open(&rehearsal, Path::new(DIR));
        for name in names(&pool) {
            pool.database(&name).unwrap();
        }
        let start = rehearsal.op_count();
        back_up(&pool, Which::All).unwrap();
        rehearsal.op_count() - start
    };
    assert!(start > 0 && operations > 30, "{operations}");
    for n in 0..operations {
        let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
        let pool = open(&vfs, Path::new(DIR));
        for name in names(&pool) {
            pool.database(&name).unwrap();
        }
        let before = vfs.read_file(&Path::new(BACKUP).join("BACKUP")).unwrap();
        vfs.set_fault(Fault {
            at_op: vfs.op_count() + n,
            kind: FaultKind::Os(28),
            sticky: true,
        });
        let outcome = pool.backup(BACKUP, Which::All, BackupOptions::default(), &mut quiet);
        vfs.clear_faults();
        let now = vfs.read_file(&Path::new(BACKUP).join("BACKUP")).unwrap();
        match outcome {
            Ok(report) => assert!(report.failed.is_empty() && now != before, "{n}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::DiskFull, "{n}: {error}"),
        }
        restored(&vfs, &[]).unwrap_or_else(|e| panic!("{n}: {e}"));
    }
}

/// A restore makes the whole data directory or nothing.
#[test]
fn an_interrupted_restore_leaves_nothing_or_all() {
    let vfs = SimVfs::new(7);
    let pool = filled(&vfs);
    back_up(&pool, Which::All).unwrap();
    pool.close();
    let disk = vfs.fork_crash(&CrashPolicy::KeepAll);
    // An empty directory is as good as none.
    disk.create_dir(Path::new(RESTORED)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let rehearsal = disk.fork_crash(&CrashPolicy::KeepAll);
    restored(&rehearsal, &[]).unwrap();
    let (mut all, mut nothing) = (0, 0);
    for at_op in 0..rehearsal.op_count() {
        for kind in [FaultKind::PowerOff, FaultKind::Os(5), FaultKind::Os(28)] {
            let disk = disk.fork_crash(&CrashPolicy::KeepAll);
            disk.set_fault(Fault {
                at_op,
                kind,
                sticky: false,
            });
            let failed = restored(&disk, &[]);
            disk.clear_faults();
            let at = format!("{kind:?} at {at_op}");
            if kind != FaultKind::PowerOff {
                let beside = Path::new("/again.restoring");
                assert!(failed.is_ok() || !disk.exists(beside).unwrap(), "{at}");
            }
            for policy in [
                CrashPolicy::KeepNone,
                CrashPolicy::KeepAll,
                CrashPolicy::Kill,
            ] {
                let disk = disk.fork_crash(&policy);
                if files(&disk, RESTORED).is_empty() {
                    nothing += 1;
                    assert!(failed.is_err(), "{at}, {policy:?}");
                    restored(&disk, &[]).unwrap_or_else(|e| panic!("{at}, {policy:?}: {e}"));
                } else {
                    all += 1;
                }
                let shared: Arc<dyn Vfs> = Arc::new(disk.clone());
                let again = Pool::open(shared, RESTORED, PoolOptions::manual()).unwrap();
                assert!(again.repairs().is_empty(), "{at}, {policy:?}");
                assert_eq!(names(&again), ["four", "one", "two ü"]);
                for name in names(&again) {
                    let body = get(&again.database(&name).unwrap(), 1).unwrap();
                    assert_eq!(body, format!("{name:?}"), "{at}, {policy:?}");
                }
            }
        }
    }
    assert!(all > 0 && nothing > 100, "{all}, {nothing}");
}

/// What is damaged in a backup is named, and nothing is made of it.
#[test]
fn a_damaged_backup_is_not_restored() {
    let vfs = SimVfs::new(7);
    let pool = filled(&vfs);
    back_up(&pool, Which::All).unwrap();
    for (path, bytes) in files(&vfs, BACKUP) {
        let disk = vfs.fork_crash(&CrashPolicy::KeepAll);
        disk.flip_bit(&path, bytes.len() as u64 / 2, 1).unwrap();
        let error = restored(&disk, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", path.display());
        assert!(error.message().contains(path.to_str().unwrap()), "{error}");
        assert!(!disk.exists(Path::new(RESTORED)).unwrap());
        assert!(!disk.exists(Path::new("/again.restoring")).unwrap());
        // The other databases of it can be had.
        if path.starts_with("/kept/db-0000000000000001") {
            assert_eq!(restored(&disk, &["four", "two ü"]).unwrap(), 2);
        }
    }
    // Somebody else's directory beside it is left alone.
    vfs.create_dir(Path::new("/again.restoring")).unwrap();
    vfs.write_file(Path::new("/again.restoring/letter"), b"dear")
        .unwrap();
    assert_eq!(kind(restored(&vfs, &[])), ErrorKind::AlreadyExists);
    assert_eq!(
        vfs.read_file(Path::new("/again.restoring/letter")).unwrap(),
        b"dear"
    );
}
