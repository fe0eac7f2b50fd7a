//! Writers, readers and checkpoints on threads, on the real disk.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use docdb_engine::{CommitTicket, Db, DbOptions, ErrorKind, ScanRequest, WriteOp};

const C: &str = "_default";
const WRITERS: u64 = 16;
const ROUNDS: u64 = 120;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Ends the other threads also when this one panics.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn options() -> DbOptions {
    let mut options = DbOptions::default();
    options.segment_bytes_min = 64 << 10;
    options.segment_bytes_max = 256 << 10;
    options.data_file_bytes_max = 128 << 10;
    options.runs_max = 2;
    options.index_shards = 8;
    // Less than there is, so that pages and documents come and go.
    options.block_cache_bytes_max = 10 << 10;
    options.document_cache_bytes_max = 4 << 10;
    options
}

/// Id, and version and body of both documents.
type Pair = (u64, u64, Vec<u8>, u64, Vec<u8>);

/// Both documents of every pair, at ids `n` and `n + 1_000`, in one snapshot.
fn pairs(db: &Db, reverse: bool) -> Vec<Pair> {
    let request = ScanRequest {
        collection: C.into(),
        reverse,
        ..ScanRequest::default()
    };
    let mut scan = db.scan(&request).unwrap();
    let mut items = Vec::new();
    loop {
        let chunk = scan.next_chunk(7, usize::MAX).unwrap();
        if chunk.is_empty() {
            break;
        }
        items.extend(chunk);
    }
    if reverse {
        items.reverse();
    }
    let half = items.len() / 2;
    assert_eq!(items.len() % 2, 0, "half a pair");
    (0..half)
        .map(|n| {
            let (a, b) = (&items[n], &items[n + half]);
            assert_eq!(a.id + 1_000, b.id, "half a pair");
            (a.id, a.version, a.body.to_vec(), b.version, b.body.to_vec())
        })
        .collect()
}

/// What a reader can see, checked until `stop`: whole batches, and nothing that goes back.
fn read_until(db: &Db, stop: &AtomicBool, acknowledged: &[AtomicU64], reverse: bool) -> u64 {
    let mut versions = std::collections::HashMap::new();
    let mut seen = 0;
    let mut last_visible = 0;
    while !stop.load(Ordering::Relaxed) || seen == 0 {
        seen += 1;
        let visible = db.visible_version();
        assert!(visible >= last_visible, "visibility goes back");
        last_visible = visible;
        let floor: Vec<u64> = acknowledged
            .iter()
            .map(|v| v.load(Ordering::Acquire))
            .collect();
        let found = pairs(db, reverse);
        for (id, a, body_a, b, body_b) in &found {
            assert_eq!((a, body_a), (b, body_b), "a torn batch at {id}");
            let last = versions.entry(*id).or_insert(0);
            assert!(a >= last, "version {a} of {id} after {last}");
            *last = *a;
        }
        for (id, floor) in floor.iter().enumerate().filter(|(_, floor)| **floor > 0) {
            let id = id as u64;
            let pair = found.iter().find(|(found, ..)| *found == id);
            assert!(
                pair.is_some_and(|pair| pair.1 >= *floor),
                "{id} acknowledged and not seen"
            );
            let read = db.read(C, id + 1_000).unwrap();
            assert!(read.version >= *floor);
            assert!(db.exists(C, id).unwrap());
        }
        let count = db.count(C).unwrap();
        assert!(count.is_multiple_of(2), "half a batch counted: {count}");
    }
    seen
}

fn write_pair(db: &Db, id: u64, body: &[u8]) -> CommitTicket {
    db.submit(&[
        WriteOp::upsert(C, id, body),
        WriteOp::upsert(C, id + 1_000, body),
    ])
}

fn writers_beside_readers(ids_of: impl Fn(u64, u64) -> u64 + Sync) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("db");
    let db = Db::open_with(&dir, options()).unwrap();
    // The highest acknowledged version of each id.
    let acknowledged: Vec<AtomicU64> = (0..1_000).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (db, acknowledged, ids_of) = (&db, &acknowledged, &ids_of);
                scope.spawn(move || {
                    let mut last = 0;
                    for round in 0..ROUNDS {
                        let id = ids_of(writer, round);
                        let body = format!("[{writer},{round}]");
                        let version = write_pair(db, id, body.as_bytes()).wait().unwrap().version;
                        assert!(version > last);
                        last = version;
                        acknowledged[id as usize].fetch_max(version, Ordering::AcqRel);
                        // Acknowledged, so that a read that starts now sees it or a later one.
                        assert!(db.read(C, id).unwrap().version >= version);
                    }
                })
            })
            .collect();
        for reverse in [false, true] {
            let (db, acknowledged, stop) = (&db, &acknowledged, &stop);
            scope.spawn(move || read_until(db, stop, acknowledged, reverse));
        }
        let checkpoints = scope.spawn(|| {
            let _stop = StopAtEnd(&stop);
            while !stop.load(Ordering::Relaxed) {
                db.checkpoint().unwrap();
            }
        });
        let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        stop.store(true, Ordering::Relaxed);
        checkpoints.join().unwrap();
        assert!(outcomes.iter().all(Result::is_ok));
    });
    let shown = pairs(&db, false);
    for (id, version, ..) in &shown {
        assert_eq!(*version, acknowledged[*id as usize].load(Ordering::Acquire));
    }
    assert_eq!(db.stats().commits, WRITERS * ROUNDS);
    db.close().unwrap();
    let db = Db::open(&dir).unwrap();
    assert_eq!(pairs(&db, false), shown);
}

#[test]
fn writers_of_their_own_documents_beside_readers() {
    writers_beside_readers(|writer, round| writer * 30 + round % 30);
}

#[test]
fn writers_of_the_same_documents_beside_readers() {
    writers_beside_readers(|writer, round| (writer * 7 + round) % 20);
}

#[test]
fn a_thousand_commits_in_flight() {
    let temp = tempfile::tempdir().unwrap();
    let db = Db::open_with(temp.path().join("db"), options()).unwrap();
    let tickets: Vec<_> = (0..1_000)
        .map(|id| db.submit(&[WriteOp::create(C, id, b"{}")]))
        .collect();
    let mut last = 0;
    for (id, ticket) in tickets.into_iter().enumerate() {
        let committed = block_on(ticket).unwrap();
        assert!(committed.version > last);
        last = committed.version;
        assert_eq!(db.read(C, id as u64).unwrap().version, last);
    }
    // Refusals and successes in turn, each awaited in another order than submitted.
    let mut tickets: Vec<_> = (990..1_990)
        .map(|id| (id, db.submit(&[WriteOp::create(C, id, b"{}")])))
        .collect();
    tickets.reverse();
    for (id, ticket) in tickets {
        match block_on(ticket) {
            Ok(_) => assert!(id >= 1_000),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::AlreadyExists);
                assert!(id < 1_000);
            }
        }
    }
    // Dropping a ticket, polled or not, cancels nothing.
    for id in 5_000..5_500 {
        let mut ticket = db.submit(&[WriteOp::create(C, id, b"{}")]);
        if id % 2 == 0 {
            let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
            let _ = std::pin::Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker));
        }
        drop(ticket);
    }
    db.submit(&[WriteOp::create(C, 9_999, b"{}")])
        .wait()
        .unwrap();
    assert_eq!(db.count(C).unwrap(), 1_990 + 500 + 1);
}

#[test]
fn inserts_from_many_threads_get_ids_of_their_own() {
    let temp = tempfile::tempdir().unwrap();
    let db = Db::open_with(temp.path().join("db"), options()).unwrap();
    let mut ids: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let insert =
                        || db.submit(&[WriteOp::insert(C, b"1"), WriteOp::insert(C, b"2")]);
                    let tickets: Vec<_> = (0..50).map(|_| insert()).collect();
                    let ids = tickets.into_iter().map(|t| t.wait().unwrap().ids.to_vec());
                    ids.collect::<Vec<_>>().concat()
                })
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|w| w.join().unwrap())
            .collect()
    });
    ids.sort_unstable();
    assert!(ids.into_iter().eq(1..=800));
    assert_eq!(db.count(C).unwrap(), 800);
}

/// One of many that demand the same version wins.
#[test]
fn a_version_is_matched_once() {
    let temp = tempfile::tempdir().unwrap();
    let db = Db::open_with(temp.path().join("db"), options()).unwrap();
    db.submit(&[WriteOp::create(C, 1, b"0")]).wait().unwrap();
    let increments: u64 = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut won = 0;
                    for _ in 0..60 {
                        let read = db.read(C, 1).unwrap();
                        let n: u64 = std::str::from_utf8(&read.body).unwrap().parse().unwrap();
                        let body = (n + 1).to_string();
                        let op = WriteOp::update(C, 1, body.as_bytes())
                            .when(docdb_engine::Precondition::VersionIs(read.version));
                        match db.submit(&[op]).wait() {
                            Ok(_) => won += 1,
                            Err(error) => assert_eq!(error.kind(), ErrorKind::VersionMismatch),
                        }
                    }
                    won
                })
            })
            .collect();
        let checkpoints = scope.spawn(|| (0..10).try_for_each(|_| db.checkpoint().map(|_| ())));
        checkpoints.join().unwrap().unwrap();
        writers.into_iter().map(|w| w.join().unwrap()).sum()
    });
    assert!(increments > 0);
    assert_eq!(
        *db.read(C, 1).unwrap().body,
        *increments.to_string().as_bytes()
    );
}

#[test]
fn collections_come_and_go_beside_writers() {
    let temp = tempfile::tempdir().unwrap();
    let db = Db::open_with(temp.path().join("db"), options()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    match db
                        .submit(&[WriteOp::insert("c", b"1"), WriteOp::insert("c", b"2")])
                        .wait()
                    {
                        Ok(committed) => assert_eq!(committed.ids[0] + 1, committed.ids[1]),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::CollectionNotFound),
                    }
                    if let Ok(count) = db.count("c") {
                        assert!(count.is_multiple_of(2));
                    }
                }
            });
        }
        let _stop = StopAtEnd(&stop);
        for _ in 0..60 {
            db.create_collection("c").wait().unwrap();
            for _ in 0..3 {
                let pair = [WriteOp::insert("c", b"[]"), WriteOp::insert("c", b"[]")];
                let ids = db.submit(&pair).wait().unwrap().ids;
                let pair = [WriteOp::delete("c", ids[0]), WriteOp::delete("c", ids[1])];
                db.submit(&pair).wait().unwrap();
            }
            db.checkpoint().unwrap();
            db.drop_collection("c", true).wait().unwrap();
        }
    });
    db.close().unwrap();
}

#[test]
fn a_close_beside_writers_loses_nothing() {
    for round in 0..6 {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("db");
        let db = Db::open_with(&dir, options()).unwrap();
        let begun = AtomicU64::new(0);
        let acknowledged: Vec<u64> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8_u64)
                .map(|writer| {
                    let (db, begun) = (db.clone(), &begun);
                    scope.spawn(move || {
                        let mut acknowledged = Vec::new();
                        for n in 0.. {
                            let id = writer * 1_000_000 + n;
                            match db.submit(&[WriteOp::create(C, id, b"1")]).wait() {
                                Ok(_) => acknowledged.push(id),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                                    break;
                                }
                            }
                            begun.fetch_add(1, Ordering::Relaxed);
                        }
                        acknowledged
                    })
                })
                .collect();
            let checkpoints = scope.spawn(|| {
                loop {
                    if let Err(error) = db.checkpoint() {
                        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                        break;
                    }
                }
            });
            while begun.load(Ordering::Relaxed) < 40 * (round + 1) {
                std::thread::yield_now();
            }
            // Closed twice at once: both return when it is closed.
            let other = scope.spawn(|| db.close());
            db.close().unwrap();
            drop(Db::open(&dir).expect("the directory is free"));
            other.join().unwrap().unwrap();
            checkpoints.join().unwrap();
            writers
                .into_iter()
                .flat_map(|w| w.join().unwrap())
                .collect()
        });
        let db = Db::open(&dir).unwrap();
        assert!(db.recovery_report().wal.clean);
        for id in &acknowledged {
            assert!(db.exists(C, *id).unwrap(), "{id} was acknowledged");
        }
        assert_eq!(db.count(C).unwrap(), acknowledged.len() as u64);
    }
}

/// Commits that ask for memory at the same time see each other: together they stay within the budget.
#[test]
fn writers_together_stay_within_the_memory_budget() {
    const BUDGET: u64 = 1 << 20;
    let temp = tempfile::tempdir().unwrap();
    let mut options = options();
    options.memory_bytes_max = BUDGET;
    options.bulk_bytes_min = usize::MAX;
    options.data_file_bytes_max = 64 << 20;
    options.segment_bytes_max = 4 << 20;
    let db = Db::open_with(temp.path().join("db"), options).unwrap();
    let body = format!("\"{}\"", "x".repeat(300_000));
    std::thread::scope(|scope| {
        for writer in 0..6 {
            let (db, body) = (&db, &body);
            scope.spawn(move || {
                for id in 0..30 {
                    let op = WriteOp::upsert("_default", writer * 100 + id, body.as_bytes());
                    match db.submit(&[op]).wait() {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind(), ErrorKind::MemoryLimit),
                    }
                    let taken = db.stats().delta_bytes;
                    assert!(taken <= BUDGET, "{taken}");
                }
            });
        }
    });
    assert!(db.count("_default").unwrap() > 100);
}
