//! The pool on the real disk, and the life of open databases.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{get, kind, names, put, recording, upsert};
use docdb_pool::engine::vfs::RealVfs;
use docdb_pool::engine::vfs::sim::SimVfs;
use docdb_pool::engine::{DbOptions, ErrorKind, ScanRequest, TxnOptions};
use docdb_pool::{Pool, PoolEvent, PoolOptions};

fn real(dir: &Path, options: PoolOptions) -> Pool {
    Pool::open(Arc::new(RealVfs::new()), dir, options).unwrap()
}

#[test]
fn databases_persist_and_are_isolated() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("a/b/data");
    let pool = real(&dir, PoolOptions::default());
    for name in ["users", "über", "with space", "a.b"] {
        pool.create_database(name, None).unwrap();
        put(&pool.database(name).unwrap(), 1, &format!("{name:?}")).unwrap();
    }
    assert_eq!(
        kind(pool.create_database("users", None)),
        ErrorKind::AlreadyExists
    );
    for name in ["", ".", "..", "../x", "a/b", "a\0", "a\n", &"x".repeat(65)] {
        assert_eq!(
            kind(pool.create_database(name, None)),
            ErrorKind::InvalidName,
            "{name:?}"
        );
    }
    pool.close();
    assert_eq!(kind(pool.database("users")), ErrorKind::Closed);
    assert_eq!(kind(pool.create_database("late", None)), ErrorKind::Closed);
    assert_eq!(kind(pool.drop_database("users")), ErrorKind::Closed);
    drop(pool);

    let pool = real(&dir, PoolOptions::default());
    assert_eq!(names(&pool), ["a.b", "users", "with space", "über"]);
    assert!(
        pool.list()
            .iter()
            .all(|info| !info.open && info.durability == "full")
    );
    for name in names(&pool) {
        assert!(pool.try_database(&name).unwrap().is_none());
        assert_eq!(
            get(&pool.database(&name).unwrap(), 1).unwrap(),
            format!("{name:?}")
        );
        assert!(pool.try_database(&name).unwrap().is_some());
    }
    assert_eq!(kind(pool.database("missing")), ErrorKind::DatabaseNotFound);
    assert_eq!(
        kind(pool.try_database("missing")),
        ErrorKind::DatabaseNotFound
    );
}

#[test]
fn a_second_owner_is_refused_with_the_first_ones_address() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let pool = real(
        &dir,
        PoolOptions::default().owner_address("/run/first.sock"),
    );
    let link = temp.path().join("link");
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    for path in [&dir, &link] {
        let error = Pool::open(Arc::new(RealVfs::new()), path, PoolOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
        let text = error.to_string();
        assert!(text.contains("/run/first.sock"), "{text}");
        assert!(text.contains(&std::process::id().to_string()), "{text}");
    }
    drop(pool);
    real(&dir, PoolOptions::default());
}

#[test]
fn a_dropped_database_is_gone_and_its_name_is_free() {
    let temp = tempfile::tempdir().unwrap();
    let pool = real(temp.path(), PoolOptions::default());
    let first = pool.create_database("db", None).unwrap();
    let handle = pool.database("db").unwrap();
    put(&handle, 1, "1").unwrap();
    pool.drop_database("db").unwrap();
    assert_eq!(kind(handle.read("_default", 1)), ErrorKind::Closed);
    assert_eq!(kind(put(&handle, 2, "2")), ErrorKind::Closed);
    assert_eq!(kind(pool.database("db")), ErrorKind::DatabaseNotFound);
    assert_eq!(kind(pool.drop_database("db")), ErrorKind::DatabaseNotFound);
    let entries = std::fs::read_dir(temp.path()).unwrap();
    assert!(
        entries
            .flatten()
            .all(|e| !e.file_name().to_string_lossy().starts_with("db-"))
    );
    let second = pool.create_database("db", None).unwrap();
    assert!(second > first);
    assert_eq!(
        kind(get(&pool.database("db").unwrap(), 1)),
        ErrorKind::NotFound
    );
}

#[test]
fn the_database_unused_for_longest_makes_room() {
    let disk = SimVfs::new(5);
    let options = PoolOptions::manual().open_databases_max(2);
    let pool = Pool::open(Arc::new(disk.clone()), "/data", options).unwrap();
    for name in ["a", "b", "c"] {
        pool.create_database(name, None).unwrap();
        disk.advance(Duration::from_secs(1));
    }
    let open = || -> Vec<String> {
        pool.list()
            .into_iter()
            .filter(|info| info.open)
            .map(|info| info.name)
            .collect()
    };
    assert_eq!(open(), ["b", "c"]);
    let b = pool.database("b").unwrap();
    disk.advance(Duration::from_secs(1));
    let c = pool.database("c").unwrap();
    assert_eq!(kind(pool.database("a")), ErrorKind::Busy);
    assert_eq!(kind(pool.create_database("d", None)), ErrorKind::Busy);
    assert_eq!(names(&pool), ["a", "b", "c"]);
    drop(b);
    pool.database("a").unwrap();
    assert_eq!(open(), ["a", "c"]);
    drop(c);
    assert_eq!(pool.stats().databases_open, 2);
}

#[test]
fn idle_databases_close_but_never_one_in_use() {
    let disk = SimVfs::new(6);
    let (options, events) = recording(PoolOptions::manual());
    let pool = Pool::open(Arc::new(disk.clone()), "/data", options).unwrap();
    for name in ["idle", "used"] {
        pool.create_database(name, None).unwrap();
        put(&pool.database(name).unwrap(), 1, "1").unwrap();
    }
    let used = pool.database("used").unwrap();
    disk.advance(Duration::from_secs(301));
    pool.step();
    let open: Vec<_> = pool.list().into_iter().map(|info| info.open).collect();
    assert_eq!(open, [false, true]);
    assert_eq!(get(&used, 1).unwrap(), "1");
    assert!(!pool.close_database("used").unwrap());
    drop(used);
    assert!(pool.close_database("used").unwrap());
    assert_eq!(get(&pool.database("idle").unwrap(), 1).unwrap(), "1");
    // A transaction is open as long as its handle is held.
    let db = pool.database("used").unwrap();
    let mut txn = db.begin(&TxnOptions::default()).unwrap();
    txn.upsert("_default", 1, b"2").unwrap();
    assert!(!pool.close_database("used").unwrap());
    txn.commit().wait().unwrap();
    drop(db);
    assert_eq!(get(&pool.database("used").unwrap(), 1).unwrap(), "2");
    let closed = events
        .lock()
        .iter()
        .filter(|e| matches!(e, PoolEvent::Closed { .. }))
        .count();
    assert_eq!(closed, 2);
}

#[test]
fn many_threads_open_one_database_once() {
    let temp = tempfile::tempdir().unwrap();
    let pool = real(temp.path(), PoolOptions::default());
    pool.create_database("db", None).unwrap();
    put(&pool.database("db").unwrap(), 1, "1").unwrap();
    assert!(pool.close_database("db").unwrap());
    let opened_before = pool.stats().opened;
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(get(&pool.database("db").unwrap(), 1).unwrap(), "1"));
        }
    });
    assert_eq!(pool.stats().opened, opened_before + 1);
}

#[test]
fn one_name_created_by_many_threads_exists_once() {
    let temp = tempfile::tempdir().unwrap();
    let pool = real(temp.path(), PoolOptions::default());
    let created = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| pool.create_database("db", None)))
            .collect();
        let results: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        }
        results.into_iter().filter(|result| result.is_ok()).count()
    });
    assert_eq!(created, 1);
}

/// Tickets that nobody waits for are flushed by the executor all the same.
#[test]
fn the_executor_flushes_for_all_databases() {
    let temp = tempfile::tempdir().unwrap();
    let pool = real(temp.path(), PoolOptions::default());
    let databases: Vec<_> = (0..5)
        .map(|n| {
            let name = format!("db{n}");
            pool.create_database(&name, None).unwrap();
            pool.database(&name).unwrap()
        })
        .collect();
    for round in 1..=50 {
        for db in &databases {
            drop(db.submit(&[upsert(round, b"{}")]));
        }
    }
    for db in &databases {
        while db.count("_default").unwrap() < 50 {
            std::thread::yield_now();
        }
    }
    assert!(pool.stats().flushes > 0);
}

/// What is overwritten gives its space back, in every database, though nobody asks for it.
#[test]
fn databases_are_compacted_in_the_background() {
    let temp = tempfile::tempdir().unwrap();
    let mut db = DbOptions::default();
    db.checkpoint_wal_bytes = 32 << 10;
    db.data_file_bytes_max = 64 << 10;
    db.compact_slice_bytes = 16 << 10;
    let pool = real(temp.path(), PoolOptions::default().db(db));
    let databases: Vec<_> = (0..3)
        .map(|n| {
            let name = format!("db{n}");
            pool.create_database(&name, None).unwrap();
            pool.database(&name).unwrap()
        })
        .collect();
    let body = format!("\"{}\"", "x".repeat(1_000));
    for db in &databases {
        let mut round = 0;
        // It goes on until the pool's own thread has done it.
        while db.stats().compactions < 3 {
            put(db, round % 20, &body).unwrap();
            round += 1;
        }
        for id in 0..20 {
            assert_eq!(get(db, id).unwrap(), body);
        }
    }
}

/// Databases come and go under many users with a small limit; nothing is lost or mixed.
#[test]
fn churn() {
    let temp = tempfile::tempdir().unwrap();
    let pool = real(temp.path(), PoolOptions::default().open_databases_max(3));
    for n in 0..6 {
        pool.create_database(&format!("db{n}"), None).unwrap();
    }
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..30u64 {
                    let name = format!("db{}", (thread + round) % 6);
                    let body = format!("\"{name}\"");
                    let result = pool
                        .database(&name)
                        .and_then(|db| put(&db, thread * 1000 + round, &body));
                    if let Err(error) = result {
                        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                    }
                }
            });
        }
    });
    for n in 0..6 {
        let name = format!("db{n}");
        let db = pool.database(&name).unwrap();
        assert!(db.count("_default").unwrap() > 0);
        let request = ScanRequest {
            collection: "_default".into(),
            ..ScanRequest::default()
        };
        let mut scan = db.scan(&request).unwrap();
        for item in scan.next_chunk(10_000, 1 << 20).unwrap() {
            assert_eq!(&item.body[..], format!("\"{name}\"").as_bytes());
        }
    }
}

/// Many threads create and drop at once; what is answered is what a reopened pool has.
#[test]
fn creations_and_drops_by_many_threads() {
    let temp = tempfile::tempdir().unwrap();
    let pool = real(temp.path(), PoolOptions::default().open_databases_max(8));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..6 {
                    let name = format!("t{thread}-{round}");
                    pool.create_database(&name, None).unwrap();
                    put(&pool.database(&name).unwrap(), 1, &format!("{name:?}")).unwrap();
                    if round % 2 == 0 {
                        pool.drop_database(&name).unwrap();
                    }
                    // Everyone's: either answer is right, a mixture is not.
                    match pool.create_database("shared", None) {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
                    }
                    match pool.drop_database("shared") {
                        Ok(()) => {}
                        Err(error) => assert_eq!(error.kind(), ErrorKind::DatabaseNotFound),
                    }
                }
            });
        }
    });
    let expected: Vec<String> = (0..4)
        .flat_map(|thread| [1, 3, 5].map(|round| format!("t{thread}-{round}")))
        .collect();
    assert_eq!(names(&pool), expected);
    pool.close();
    drop(pool);
    let pool = real(temp.path(), PoolOptions::default());
    assert!(pool.repairs().is_empty(), "{:?}", pool.repairs());
    assert_eq!(names(&pool), expected);
    for name in expected {
        assert_eq!(
            get(&pool.database(&name).unwrap(), 1).unwrap(),
            format!("{name:?}")
        );
    }
}
