//! Readers beside writers, flushes, compactions; and a large commit that falls back to the log.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use common::hooked::Hooked;
use common::workload::text;
use common::{check_space, dir, disk, in_collection, kind, options, scan_all};
use docdb_engine::{Db, DbOptions, ErrorKind, ManualDriver, WriteOp};

const C: &str = "_default";
/// More than `bulk_bytes_min` of the options of tests.
const LARGE: usize = 5_000;

/// A document that tells what all of it must be.
fn whole(id: u64, n: u64) -> String {
    let words = (0..20 + n % 30).map(|_| format!("{id}:{n}"));
    format!("\"{}\"", words.collect::<Vec<_>>().join(" "))
}

fn check_whole(id: u64, body: &[u8]) -> u64 {
    let text = std::str::from_utf8(body).unwrap().trim_matches('"');
    let first = text.split(' ').next().unwrap();
    let n = first.strip_prefix(&format!("{id}:")).unwrap();
    let n = n.parse().unwrap();
    assert_eq!(body, whole(id, n).as_bytes());
    n
}

fn upsert(db: &Db, id: u64, body: &str) -> u64 {
    let ticket = db.submit(&[WriteOp::upsert(C, id, body.as_bytes())]);
    ticket.wait().unwrap().version
}

#[test]
fn many_readers_beside_writers_see_whole_documents() {
    const WRITERS: u64 = 16;
    const READERS: u64 = 128;
    const IDS: u64 = 64;
    let temp = tempfile::tempdir().unwrap();
    let mut options = options();
    options.checkpoint_wal_bytes = 64 << 10;
    options.document_cache_bytes_max = 8 << 10;
    let db = Db::open_with(temp.path().join("db"), options).unwrap();
    for id in 0..IDS {
        upsert(&db, id, &whole(id, 0));
    }
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (db, reads) = (&db, &reads);
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for n in 1..=40 {
                    let id = (writer * 7 + n * 5) % IDS;
                    upsert(db, id, &whole(id, writer * 1_000 + n));
                }
            });
        }
        for reader in 0..READERS {
            scope.spawn(move || {
                let mut versions = [0; IDS as usize];
                for n in 0..60 {
                    let id = (reader * 11 + n * 13) % IDS;
                    let read = db.read(C, id).unwrap();
                    check_whole(id, &read.body);
                    let last = std::mem::replace(&mut versions[id as usize], read.version);
                    assert!(read.version >= last, "{id} goes back");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(reads.into_inner(), READERS * 60);
    assert_eq!(db.count(C).unwrap(), IDS);
}

/// A flush is held for as long as readers need to look at everything in every way.
#[test]
fn readers_do_not_wait_for_a_flush() {
    let vfs = disk();
    let hooked = Hooked::new(&vfs, "0");
    let driver = Arc::new(ManualDriver);
    let db = Db::create(hooked.vfs(), dir(), options(), driver).unwrap();
    for id in 0..20 {
        upsert(&db, id, &whole(id, 1));
    }
    db.checkpoint().unwrap();
    for id in 0..5 {
        upsert(&db, id, &whole(id, 2));
    }
    let (begin, began) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    hooked.hook(move || {
        begin.send(()).unwrap();
        // The flush goes on when the readers are done; if they wait for it, nobody is.
        let done = ended.recv_timeout(Duration::from_secs(60));
        done.expect("readers wait for the flush");
    });
    std::thread::scope(|scope| {
        let (reading, writing) = (&db, &db);
        scope.spawn(move || {
            began.recv().unwrap();
            for id in 0..20 {
                let read = reading.read(C, id).unwrap();
                assert_eq!(check_whole(id, &read.body), if id < 5 { 2 } else { 1 });
                assert!(reading.exists(C, id).unwrap());
            }
            assert_eq!(scan_all(reading, &in_collection(C)).unwrap().len(), 20);
            assert_eq!(reading.count(C).unwrap(), 20);
            end.send(()).unwrap();
        });
        upsert(writing, 3, &whole(3, 3));
    });
    assert!(!hooked.is_hooked());
    assert_eq!(check_whole(3, &db.read(C, 3).unwrap().body), 3);
}

/// What was kept before a document moves is right after it, and while it moves.
#[test]
fn caches_are_right_while_documents_move() {
    for cache_bytes in [0, 6 << 10, u64::MAX] {
        let vfs = disk();
        let hooked = Hooked::new(&vfs, "run-");
        let mut options = options();
        options.block_cache_bytes_max = cache_bytes;
        options.document_cache_bytes_max = cache_bytes;
        options.compaction_bytes_per_second = 0;
        let driver = Arc::new(ManualDriver);
        let db = Db::create(hooked.vfs(), dir(), options, driver).unwrap();
        let mut newest = [0; 60];
        let mut moved = 0;
        let check = |db: &Db, newest: &[u64; 60]| {
            for id in 0..60 {
                let read = db.read(C, id).unwrap();
                assert_eq!(check_whole(id, &read.body), newest[id as usize]);
            }
        };
        for n in 1..12 {
            for id in (0..60).filter(|id| n == 1 || (id + n) % 3 != 0) {
                upsert(&db, id, &whole(id, n));
                newest[id as usize] = n;
            }
            check(&db, &newest);
            db.checkpoint().unwrap();
            check(&db, &newest);
            // Its run with the new places is written, and not published.
            let beside = db.clone();
            if n > 1 {
                hooked.hook(move || check(&beside, &newest));
            }
            let report = db.compact().unwrap();
            moved += report.documents_moved;
            // Not in the next checkpoint, if nothing was moved.
            hooked.hook(|| {});
            check(&db, &newest);
            check(&db, &newest);
        }
        check_space(&db).unwrap();
        let stats = db.stats();
        assert!(stats.compactions > 5 && moved > 20, "{moved} {stats:?}");
        assert_eq!(stats.document_cache.hits > 0, cache_bytes > 0, "{stats:?}");
    }
}

/// A database in which a small insert takes the id that the next large one has guessed.
fn with_rival(options: DbOptions) -> (Db, Hooked) {
    let hooked = Hooked::new(&disk(), "data-");
    let db = Db::create(hooked.vfs(), dir(), options, Arc::new(ManualDriver)).unwrap();
    let rival = db.clone();
    hooked.hook(move || {
        let op = WriteOp::insert(C, b"\"rival\"");
        rival.submit(&[op]).wait().unwrap();
    });
    (db, hooked)
}

/// A large commit asks for no memory for its documents; when it has to go through the log after all,
/// it asks again, for all of it, and holds nothing meanwhile.
#[test]
fn a_large_commit_that_goes_through_the_log_asks_for_memory() {
    let mut options = options();
    options.memory_bytes_max = 8_000;
    let body = text(1, LARGE);
    let large = || [WriteOp::insert(C, body.as_bytes())];

    // There is enough.
    let (db, hooked) = with_rival(options.clone());
    let committed = db.submit(&large()).wait().unwrap();
    assert!(!hooked.is_hooked() && committed.ids[0] == 2);
    assert!(db.stats().delta_bytes > LARGE as u64);
    assert_eq!(*db.read(C, 2).unwrap().body, *body.as_bytes());

    // There is enough after a checkpoint, which nothing that the commit holds is in the way of.
    let (db, _hooked) = with_rival(options.clone());
    upsert(&db, 1, &text(2, 3_500));
    let before = db.stats().checkpoints;
    let committed = db.submit(&large()).wait().unwrap();
    assert!(db.stats().checkpoints > before);
    assert_eq!(
        *db.read(C, committed.ids[0]).unwrap().body,
        *body.as_bytes()
    );
    assert_eq!(db.count(C).unwrap(), 3);

    // There is never enough: nothing is written, nothing stays taken, and the next one succeeds.
    options.memory_bytes_max = 4_500;
    let (db, _hooked) = with_rival(options);
    assert_eq!(kind(db.submit(&large()).wait()), ErrorKind::MemoryLimit);
    assert_eq!(db.count(C).unwrap(), 1);
    for _ in 0..5 {
        db.submit(&large()).wait().unwrap();
    }
    upsert(&db, 100, &text(3, 3_000));
    assert_eq!(db.count(C).unwrap(), 7);
    db.compact().unwrap();
    check_space(&db).unwrap();
}
