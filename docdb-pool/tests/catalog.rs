//! Damage to the catalog, and to what it names.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{get, kind, names, open, put, recording};
use docdb_pool::engine::ErrorKind;
use docdb_pool::engine::vfs::Vfs;
use docdb_pool::engine::vfs::sim::{CrashPolicy, Fault, FaultKind, SimVfs};
use docdb_pool::{Pool, PoolEvent, PoolOptions};

const DIR: &str = "/data";

fn path(name: &str) -> std::path::PathBuf {
    Path::new(DIR).join(name)
}

/// A closed data directory with two databases.
fn two_databases() -> SimVfs {
    let vfs = SimVfs::new(7);
    let pool = open(&vfs, Path::new(DIR));
    for name in ["one", "two"] {
        pool.create_database(name, None).unwrap();
        put(&pool.database(name).unwrap(), 1, &format!("{name:?}")).unwrap();
    }
    pool.close();
    vfs
}

fn image(disk: &SimVfs) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    disk.files()
        .into_iter()
        .map(|path| (path.clone(), disk.read_file(&path).unwrap()))
        .collect()
}

#[test]
fn one_copy_damaged_at_every_byte_is_restored_from_the_other() {
    let vfs = two_databases();
    for name in ["CATALOG", "CATALOG.copy"] {
        let good = vfs.read_file(&path(name)).unwrap();
        for offset in 0..good.len() as u64 {
            let disk = vfs.fork_crash(&CrashPolicy::Kill);
            disk.flip_bit(&path(name), offset, (offset % 8) as u8)
                .unwrap();
            let (options, events) = recording(PoolOptions::manual());
            let pool = Pool::open(Arc::new(disk.clone()), DIR, options).unwrap();
            assert_eq!(names(&pool), ["one", "two"], "{name} at {offset}");
            assert!(
                events.lock().iter().any(|event| matches!(
                    event,
                    PoolEvent::CatalogRestored { path: restored, .. } if *restored == path(name)
                )),
                "{name} at {offset}: not reported"
            );
            pool.close();
            assert_eq!(
                disk.read_file(&path(name)).unwrap(),
                good,
                "{name} at {offset}"
            );
        }
    }
}

#[test]
fn both_copies_damaged_at_every_byte_are_refused_and_nothing_changes() {
    let vfs = two_databases();
    let len = vfs.read_file(&path("CATALOG")).unwrap().len() as u64;
    for offset in 0..len {
        let disk = vfs.fork_crash(&CrashPolicy::Kill);
        disk.flip_bit(&path("CATALOG"), offset, 0).unwrap();
        disk.flip_bit(&path("CATALOG.copy"), len - 1 - offset, 7)
            .unwrap();
        let before = image(&disk);
        let result = Pool::open(Arc::new(disk.clone()), DIR, PoolOptions::manual());
        assert_eq!(kind(result), ErrorKind::Corrupt, "{offset}");
        assert_eq!(image(&disk), before, "{offset}");
    }
}

#[test]
fn missing_copies() {
    for name in ["CATALOG", "CATALOG.copy"] {
        let disk = two_databases();
        disk.remove(&path(name)).unwrap();
        assert_eq!(names(&open(&disk, Path::new(DIR))), ["one", "two"]);
        assert!(disk.exists(&path(name)).unwrap());
    }
    let disk = two_databases();
    disk.remove(&path("CATALOG")).unwrap();
    disk.remove(&path("CATALOG.copy")).unwrap();
    let before = image(&disk);
    let result = Pool::open(Arc::new(disk.clone()), DIR, PoolOptions::manual());
    assert_eq!(kind(result), ErrorKind::Corrupt);
    assert_eq!(image(&disk), before);
}

#[test]
fn an_unknown_database_directory_is_refused() {
    let disk = two_databases();
    disk.create_dir(&path("db-00000000000000ff")).unwrap();
    let before = image(&disk);
    let error = Pool::open(Arc::new(disk.clone()), DIR, PoolOptions::manual()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("db-00000000000000ff"), "{error}");
    assert_eq!(image(&disk), before);
    assert!(disk.exists(&path("db-00000000000000ff")).unwrap());
}

fn remove_tree(disk: &SimVfs, dir: &Path) {
    for name in disk.list(dir).unwrap() {
        let path = dir.join(name);
        if disk.list(&path).is_ok() {
            remove_tree(disk, &path);
        } else {
            disk.remove_file(&path).unwrap();
        }
    }
    disk.remove_dir(dir).unwrap();
}

#[test]
fn a_missing_database_directory_fails_that_database_alone() {
    let disk = two_databases();
    let dir = path("db-0000000000000001");
    remove_tree(&disk, &dir);
    disk.sync_dir(Path::new(DIR)).unwrap();
    let (options, events) = recording(PoolOptions::manual());
    let pool = Pool::open(Arc::new(disk), DIR, options).unwrap();
    assert!(matches!(
        &events.lock()[..],
        [PoolEvent::DirectoryMissing { .. }]
    ));
    assert_eq!(kind(pool.database("one")), ErrorKind::Corrupt);
    assert_eq!(get(&pool.database("two").unwrap(), 1).unwrap(), "\"two\"");
}

#[test]
fn a_corrupt_database_does_not_touch_the_others() {
    let disk = two_databases();
    let dir = path("db-0000000000000001");
    for file in disk
        .files()
        .into_iter()
        .filter(|file| file.starts_with(&dir))
    {
        let bytes = disk.read_file(&file).unwrap();
        disk.write_file(&file, &vec![0xab; bytes.len()]).unwrap();
    }
    let pool = open(&disk, Path::new(DIR));
    for _ in 0..2 {
        assert_eq!(kind(pool.database("one")), ErrorKind::Corrupt);
        assert_eq!(get(&pool.database("two").unwrap(), 1).unwrap(), "\"two\"");
    }
    pool.drop_database("one").unwrap();
    assert_eq!(names(&pool), ["two"]);
}

#[test]
fn a_failed_sync_of_the_catalog_is_final_and_open_databases_go_on() {
    let disk = two_databases();
    let pool = open(&disk, Path::new(DIR));
    let one = pool.database("one").unwrap();
    // The first sync of a creation is that of the catalog's temporary file.
    let at_op = disk.op_count();
    disk.set_fault(Fault {
        at_op: at_op + 2,
        kind: FaultKind::Os(5),
        sticky: false,
    });
    assert_eq!(
        kind(pool.create_database("three", None)),
        ErrorKind::OutcomeUnknown
    );
    assert_eq!(
        kind(pool.create_database("three", None)),
        ErrorKind::Poisoned
    );
    assert_eq!(kind(pool.drop_database("two")), ErrorKind::Poisoned);
    assert!(pool.stats().catalog_poisoned);
    put(&one, 2, "2").unwrap();
    assert_eq!(get(&pool.database("two").unwrap(), 1).unwrap(), "\"two\"");
    drop(one);
    drop(pool);
    let pool = open(&disk, Path::new(DIR));
    assert_eq!(names(&pool), ["one", "two"]);
    pool.create_database("three", None).unwrap();
}

#[test]
fn running_out_of_descriptors_refuses_a_creation_and_is_not_final() {
    const EMFILE: i32 = 24;
    let disk = two_databases();
    let pool = open(&disk, Path::new(DIR));
    // Each temporary file takes a removal of an older one, the opening, a write and a sync.
    for opening in [1, 5] {
        disk.set_fault(Fault {
            at_op: disk.op_count() + opening,
            kind: FaultKind::Os(EMFILE),
            sticky: false,
        });
        assert_eq!(kind(pool.create_database("three", None)), ErrorKind::Io);
        assert!(!pool.stats().catalog_poisoned);
    }
    pool.create_database("three", None).unwrap();
    assert_eq!(names(&pool), ["one", "three", "two"]);
}

#[test]
fn a_full_disk_refuses_a_creation_and_is_not_final() {
    let disk = two_databases();
    let pool = open(&disk, Path::new(DIR));
    disk.set_capacity_bytes(Some(disk.used_bytes()));
    assert_eq!(
        kind(pool.create_database("three", None)),
        ErrorKind::DiskFull
    );
    assert!(!pool.stats().catalog_poisoned);
    disk.set_capacity_bytes(None);
    pool.create_database("three", None).unwrap();
    assert_eq!(names(&pool), ["one", "three", "two"]);
}
