//! Snapshots show one state of everything, whatever goes on beside them, and keep no more than that.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::transactions::{C, begin, get, put, remove};
use common::{create, create_with, disk, dump, in_collection, kind, options, settle};
use docdb_engine::vfs::Vfs;
use docdb_engine::{Db, ErrorKind, ScanRequest, Snapshot, WriteOp};

/// All that a snapshot shows, looked at in every way.
#[derive(Debug, PartialEq, Eq)]
struct Shown(Vec<(String, Vec<Item>)>);

/// Id, version and body.
type Item = (u64, u64, Vec<u8>);

fn shown(snapshot: &Snapshot) -> Shown {
    let infos = snapshot.collections().unwrap();
    let mut all = Vec::new();
    for info in infos {
        let forward = items(snapshot, &in_collection(&info.name));
        let backward = ScanRequest {
            reverse: true,
            ..in_collection(&info.name)
        };
        let mut backward = items(snapshot, &backward);
        backward.reverse();
        assert_eq!(forward, backward);
        assert_eq!(info.documents, forward.len() as u64);
        assert_eq!(snapshot.count(&info.name).unwrap(), info.documents);
        for (id, version, body) in &forward {
            let read = snapshot.read(&info.name, *id).unwrap();
            assert_eq!((read.version, &*read.body), (*version, body.as_slice()));
            assert!(snapshot.exists(&info.name, *id).unwrap());
            assert!(*version <= snapshot.version());
        }
        let (low, high) = (forward.len() / 3, forward.len() * 2 / 3);
        if let (Some(from), Some(to)) = (forward.get(low), forward.get(high)) {
            let part = ScanRequest {
                from: Some(from.0),
                to: Some(to.0),
                ..in_collection(&info.name)
            };
            assert_eq!(items(snapshot, &part), forward[low..=high]);
        }
        all.push((info.name, forward));
    }
    Shown(all)
}

fn items(snapshot: &Snapshot, request: &ScanRequest) -> Vec<Item> {
    let mut scan = snapshot.scan(request).unwrap();
    let mut found = Vec::new();
    loop {
        let chunk = scan.next_chunk(7, 1 << 10).unwrap();
        if chunk.is_empty() {
            return found;
        }
        found.extend(
            chunk
                .iter()
                .map(|item| (item.id, item.version, item.body.to_vec())),
        );
    }
}

/// Random work, with checkpoints, compactions, drops and deletions, and snapshots of all of it.
#[test]
fn they_show_the_same_whatever_goes_on() {
    for seed in 1..=4 {
        let db = create(&disk()).unwrap();
        for name in ["a", "b"] {
            db.create_collection(name).wait().unwrap();
        }
        let mut random: u64 = seed;
        let mut pick = |below: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            (random >> 33) % below
        };
        let mut open: Vec<(Snapshot, Shown)> = Vec::new();
        for step in 0..600_u64 {
            let name = [C, "a", "b"][pick(3) as usize];
            match pick(100) {
                0..60 => {
                    let size = if pick(10) == 0 { 3_000 } else { 20 };
                    let body = common::workload::text(step, size);
                    let op = WriteOp::upsert(name, pick(60), body.as_bytes());
                    let _ = db.submit(&[op]).wait();
                }
                60..75 => {
                    let _ = db.submit(&[WriteOp::delete(name, pick(60))]).wait();
                }
                75..82 => {
                    db.checkpoint().unwrap();
                }
                82..84 => {
                    let _ = db.drop_collection(name, true).wait();
                }
                84..87 => {
                    let _ = db.create_collection(name).wait();
                }
                87..90 => settle(&db).unwrap(),
                90 => {
                    db.compact().unwrap();
                }
                91..96 => {
                    let snapshot = db.snapshot().unwrap();
                    let state = shown(&snapshot);
                    open.push((snapshot, state));
                }
                96..98 if !open.is_empty() => {
                    open.swap_remove(pick(open.len() as u64) as usize);
                }
                _ => {}
            }
            if step % 40 == 39 {
                for (snapshot, state) in &open {
                    assert_eq!(shown(snapshot), *state, "at {}", snapshot.version());
                }
            }
        }
        assert!(open.len() > 3, "{}", open.len());
        drop(open);
        db.maintenance_step().unwrap();
        let stats = db.stats();
        assert_eq!(
            (stats.snapshots, stats.retired_bytes, stats.data_kept_bytes),
            (0, 0, 0)
        );
        assert!(dump(&db).is_ok());
    }
}

/// Money moves between accounts by transactions; every snapshot shows the same sum.
#[test]
fn they_are_whole_beside_threads_that_write() {
    const ACCOUNTS: u64 = 20;
    let temp = tempfile::tempdir().unwrap();
    let mut few = options();
    few.checkpoint_wal_bytes = 16 << 10;
    let db = Db::open_with(temp.path().join("db"), few).unwrap();
    for id in 0..ACCOUNTS {
        put(&db, id, "100");
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u64)
            .map(|writer| {
                let db = &db;
                scope.spawn(move || {
                    for n in 0..150_u64 {
                        let (from, to) =
                            ((n * 7 + writer) % ACCOUNTS, (n * 3 + writer * 5) % ACCOUNTS);
                        if from == to {
                            continue;
                        }
                        db.transact(&Default::default(), |txn| {
                            let mut change = |id, by: i64| {
                                let body = txn.read(C, id)?.body.to_vec();
                                let held: i64 = String::from_utf8(body).unwrap().parse().unwrap();
                                txn.update(C, id, (held + by).to_string().as_bytes())
                            };
                            change(from, -1)?;
                            change(to, 1)
                        })
                        .unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let snapshot = db.snapshot().unwrap();
                    for _ in 0..3 {
                        let held = items(&snapshot, &in_collection(C));
                        let held = held.iter().map(|(_, _, body)| {
                            String::from_utf8(body.clone())
                                .unwrap()
                                .parse::<i64>()
                                .unwrap()
                        });
                        assert_eq!(held.sum::<i64>(), 100 * ACCOUNTS as i64);
                        assert_eq!(snapshot.count(C).unwrap(), ACCOUNTS);
                    }
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    db.close().unwrap();
}

#[test]
fn they_end_when_they_are_not_used() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    put(&db, 1, "1");
    let (used, unused) = (db.snapshot().unwrap(), db.snapshot().unwrap());
    let mut scan = unused.scan(&in_collection(C)).unwrap();
    vfs.advance(Duration::from_secs(59));
    assert!(used.exists(C, 1).unwrap());
    let stats = db.stats();
    assert_eq!((stats.snapshots, stats.oldest_snapshot.as_secs()), (2, 59));
    vfs.advance(Duration::from_secs(1));
    let gone = ErrorKind::SnapshotTooOld;
    assert_eq!(kind(unused.read(C, 1)), gone);
    assert_eq!(kind(unused.exists(C, 1)), gone);
    assert_eq!(kind(unused.count(C)), gone);
    assert_eq!(kind(unused.collections()), gone);
    assert_eq!(kind(unused.scan(&in_collection(C))), gone);
    assert_eq!(kind(scan.next_chunk(1, 1)), gone);
    assert_eq!(kind(unused.clone().read(C, 1)), gone, "a clone is the same");
    assert!(used.read(C, 1).is_ok());
    assert_eq!(db.stats().snapshots, 1);
}

#[test]
fn they_end_at_their_highest_age_used_or_not() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let snapshot = db.snapshot().unwrap();
    for _ in 0..119 {
        vfs.advance(Duration::from_secs(30));
        assert_eq!(snapshot.count(C).unwrap(), 0);
    }
    vfs.advance(Duration::from_secs(30));
    assert_eq!(kind(snapshot.count(C)), ErrorKind::SnapshotTooOld);
}

/// Nobody asks an unused snapshot for anything: maintenance comes when it is due, and frees.
#[test]
fn maintenance_frees_what_an_unused_one_keeps() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    put(&db, 1, "1");
    let snapshot = db.snapshot().unwrap();
    put(&db, 1, "2");
    db.checkpoint().unwrap();
    assert!(db.stats().retired_bytes > 0);
    let due = db.maintenance_due().expect("the snapshot's end");
    assert_eq!(due, vfs.now() + Duration::from_secs(60));
    vfs.advance(due - vfs.now());
    db.maintenance_step().unwrap();
    let stats = db.stats();
    assert_eq!((stats.snapshots, stats.retired_bytes), (0, 0));
    assert_eq!(kind(snapshot.read(C, 1)), ErrorKind::SnapshotTooOld);
    assert_eq!(db.maintenance_due(), None);
}

#[test]
fn dropped_they_keep_nothing() {
    let db = create(&disk()).unwrap();
    put(&db, 1, "1");
    let snapshot = db.snapshot().unwrap();
    let clone = snapshot.clone();
    let mut scan = snapshot.scan(&in_collection(C)).unwrap();
    drop(snapshot);
    put(&db, 1, "2");
    assert_eq!(*clone.read(C, 1).unwrap().body, *b"1");
    drop(clone);
    assert_eq!(db.stats().snapshots, 1, "a scan goes on in it");
    assert_eq!(*scan.next_chunk(9, 99).unwrap()[0].body, *b"1");
    drop(scan);
    assert_eq!(db.stats().snapshots, 0);
}

#[test]
fn they_are_bounded_in_number() {
    let db = create_with(&disk(), {
        let mut options = options();
        options.snapshots_max = 2;
        options
    })
    .unwrap();
    let (_a, b) = (db.snapshot().unwrap(), db.snapshot().unwrap());
    assert_eq!(kind(db.snapshot()), ErrorKind::LimitExceeded);
    begin(&db).rollback();
    drop(b);
    db.snapshot().unwrap();
}

/// One long snapshot, many short ones, and a document that is written all the time, with checkpoints:
/// memory does not grow with the number of versions.
#[test]
fn versions_that_no_snapshot_sees_go_also_beside_an_old_one() {
    let db = create_with(&disk(), {
        let mut options = options();
        options.bulk_bytes_min = usize::MAX;
        options
    })
    .unwrap();
    let body = |n: u64| common::workload::text(n, 1_000);
    for id in 0..4 {
        put(&db, id, &body(1_000 + id));
    }
    let long = db.snapshot().unwrap();
    let first = shown(&long);
    let mut most = 0;
    let mut middle = None;
    for n in 0..400_u64 {
        let short = db.snapshot().unwrap();
        put(&db, n % 4, &body(n));
        put(&db, 10 + n, "1");
        remove(&db, 10 + n);
        if n % 50 == 25 {
            db.checkpoint().unwrap();
        }
        if n == 200 {
            middle = Some((db.snapshot().unwrap(), shown(&db.snapshot().unwrap())));
        }
        assert!(*short.read(C, n % 4).unwrap().body != *body(n).as_bytes());
        drop(short);
        let stats = db.stats();
        most = most.max(stats.delta_bytes);
    }
    assert_eq!(shown(&long), first);
    let (snapshot, state) = middle.unwrap();
    assert_eq!(shown(&snapshot), state);
    // 400 versions of 1,000 bytes were written; two snapshots need four of them each.
    println!("{most} bytes");
    assert!(most < 120_000, "{most} bytes");
    drop(long);
    db.maintenance_step().unwrap();
    assert_eq!(shown(&snapshot), state);
}

/// More of them than a commit looks at one by one, each at another version of the same documents.
#[test]
fn many_at_a_time_each_show_their_own() {
    let db = create(&disk()).unwrap();
    let mut open = Vec::new();
    for n in 0..100_u64 {
        put(&db, n % 3, &n.to_string());
        put(&db, 3, &n.to_string());
        let snapshot = db.snapshot().unwrap();
        let state = shown(&snapshot);
        open.push((snapshot, state));
        if n % 30 == 29 {
            db.checkpoint().unwrap();
        }
    }
    for n in 0..50 {
        put(&db, n % 4, "\"later\"");
    }
    for (snapshot, state) in &open {
        assert_eq!(shown(snapshot), *state);
    }
    // Every second one goes; the others still see theirs.
    let mut n = 0;
    open.retain(|_| {
        n += 1;
        n % 2 == 0
    });
    for n in 0..50 {
        put(&db, n % 4, "\"latest\"");
    }
    db.checkpoint().unwrap();
    for (snapshot, state) in &open {
        assert_eq!(shown(snapshot), *state);
    }
}

/// A full memory ends the oldest snapshots before writers are refused.
#[test]
fn they_give_way_to_writers() {
    let db = create_with(&disk(), {
        let mut options = options();
        options.memory_bytes_max = 64 << 10;
        options.bulk_bytes_min = usize::MAX;
        options
    })
    .unwrap();
    let body = common::workload::text(1, 1_000);
    for id in 0..30 {
        put(&db, id, &body);
    }
    let snapshot = db.snapshot().unwrap();
    for id in 30..40 {
        put(&db, id, &body);
    }
    assert_eq!(snapshot.count(C).unwrap(), 30, "as long as there is room");
    for id in 40..200 {
        put(&db, id, &body);
    }
    assert_eq!(kind(snapshot.count(C)), ErrorKind::SnapshotTooOld);
    assert_eq!(db.count(C).unwrap(), 200);
    assert_eq!(db.snapshot().unwrap().count(C).unwrap(), 200);
}

#[test]
fn a_cursor_goes_on_in_the_snapshot_that_it_is_of_only() {
    let db = create(&disk()).unwrap();
    for id in 0..6 {
        put(&db, id, "1");
    }
    let snapshot = db.snapshot().unwrap();
    let mut request = ScanRequest {
        limit: Some(2),
        ..in_collection(C)
    };
    let mut scan = snapshot.scan(&request).unwrap();
    assert_eq!(scan.next_chunk(9, 99).unwrap().len(), 2);
    request.cursor = scan.cursor();
    assert!(request.cursor.is_some());
    remove(&db, 3);
    let ids = |scan: &mut docdb_engine::Scan| -> Vec<u64> {
        let chunk = scan.next_chunk(9, 99).unwrap();
        chunk.iter().map(|item| item.id).collect()
    };
    assert_eq!(ids(&mut snapshot.scan(&request).unwrap()), [2, 3]);
    assert_eq!(
        ids(&mut db.scan(&request).unwrap()),
        [2, 3],
        "by itself, too"
    );
    let later = db.snapshot().unwrap();
    assert_eq!(kind(later.scan(&request)), ErrorKind::InvalidArgument);
}

#[test]
fn a_snapshot_shows_all_that_was_acknowledged_and_nothing_else() {
    let db = create(&disk()).unwrap();
    put(&db, 1, "1");
    let unseen = db.submit(&[WriteOp::upsert(C, 1, b"2")]);
    let snapshot = db.snapshot().unwrap();
    assert_eq!(*snapshot.read(C, 1).unwrap().body, *b"1");
    unseen.wait().unwrap();
    assert_eq!(*db.snapshot().unwrap().read(C, 1).unwrap().body, *b"2");
    assert_eq!(*snapshot.read(C, 1).unwrap().body, *b"1");
    assert_eq!(get(&db, 1), "2");
    db.close().unwrap();
    assert_eq!(kind(snapshot.read(C, 1)), ErrorKind::Closed);
    assert_eq!(kind(db.snapshot()), ErrorKind::Closed);
}
