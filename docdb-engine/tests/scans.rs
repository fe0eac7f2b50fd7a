//! Scans: order, bounds, limits, and cursors that go on in the snapshot of their first page.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::modes::{Bench, MODES, Mode, in_every_mode};
use common::{LONG, in_collection, kind, scan_all};
use docdb_engine::{Db, ErrorKind, ScanRequest, WriteOp};

const C: &str = "_default";

fn ids(db: &Db, request: &ScanRequest) -> Vec<u64> {
    let found = scan_all(db, request).unwrap();
    found.into_iter().map(|(id, ..)| id).collect()
}

/// Id, version and body.
type Item = (u64, u64, Vec<u8>);

/// One page, and where the next one begins.
fn page(db: &Db, request: &ScanRequest) -> (Vec<Item>, Option<Vec<u8>>) {
    let mut scan = db.scan(request).unwrap();
    let mut found = Vec::new();
    loop {
        let chunk = scan.next_chunk(2, usize::MAX).unwrap();
        if chunk.is_empty() {
            return (found, scan.cursor());
        }
        found.extend(
            chunk
                .into_iter()
                .map(|item| (item.id, item.version, item.body.to_vec())),
        );
    }
}

/// All pages of so many documents; `between` runs after each.
fn pages(db: &Db, request: &ScanRequest, limit: u64, mut between: impl FnMut()) -> Vec<Item> {
    let mut request = ScanRequest {
        limit: Some(limit),
        ..request.clone()
    };
    let mut found = Vec::new();
    loop {
        let (items, cursor) = page(db, &request);
        assert!(items.len() as u64 <= limit);
        found.extend(items);
        between();
        match cursor {
            None => return found,
            cursor => request.cursor = cursor,
        }
    }
}

#[test]
fn bounds_limits_and_directions() {
    in_every_mode(|bench| {
        let all: Vec<u64> = (0..30).map(|n| n * n * 7).collect();
        for id in &all {
            bench
                .write(&[WriteOp::create(C, *id, id.to_string().as_bytes())])
                .unwrap();
        }
        bench
            .write(&[
                WriteOp::create(C, 1, b"0"),
                WriteOp::create(C, u64::MAX, b"0"),
            ])
            .unwrap();
        bench
            .write(&[WriteOp::delete(C, 1), WriteOp::delete(C, u64::MAX)])
            .unwrap();
        let db = bench.db();
        for from in [None, Some(0), Some(7), Some(8), Some(5_000), Some(u64::MAX)] {
            for to in [
                None,
                Some(0),
                Some(7),
                Some(3_000),
                Some(5_887),
                Some(u64::MAX),
            ] {
                for limit in [None, Some(1), Some(3), Some(30), Some(31), Some(u64::MAX)] {
                    for reverse in [false, true] {
                        let request = ScanRequest {
                            from,
                            to,
                            limit,
                            reverse,
                            ..in_collection(C)
                        };
                        let mut wanted: Vec<_> = all
                            .iter()
                            .copied()
                            .filter(|id| {
                                from.is_none_or(|f| f <= *id) && to.is_none_or(|t| *id <= t)
                            })
                            .collect();
                        if reverse {
                            wanted.reverse();
                        }
                        wanted.truncate(limit.map_or(usize::MAX, |l| l as usize));
                        assert_eq!(ids(db, &request), wanted, "{request:?}");
                    }
                }
            }
        }
        let none = ScanRequest {
            limit: Some(0),
            ..in_collection(C)
        };
        assert_eq!(kind(db.scan(&none)), ErrorKind::InvalidArgument);
        assert_eq!(
            kind(db.scan(&in_collection("no"))),
            ErrorKind::CollectionNotFound
        );
    });
}

#[test]
fn a_chunk_keeps_to_its_size() {
    in_every_mode(|bench| {
        for id in 0..20 {
            bench
                .write(&[WriteOp::create(C, id, b"\"12345678\"")])
                .unwrap();
        }
        for (items_max, bytes_max, wanted) in [
            (1, usize::MAX, 1),
            (7, usize::MAX, 7),
            (0, usize::MAX, 1),
            (100, 0, 1),
            (100, 10, 1),
            (100, 11, 2),
            (100, 25, 3),
            (usize::MAX, usize::MAX, 20),
        ] {
            let mut scan = bench.db().scan(&in_collection(C)).unwrap();
            let mut next = 0;
            loop {
                let chunk = scan.next_chunk(items_max, bytes_max).unwrap();
                if chunk.is_empty() {
                    break;
                }
                assert!(
                    chunk.len() == wanted || next + chunk.len() as u64 == 20,
                    "{}",
                    chunk.len()
                );
                for item in chunk {
                    assert_eq!(item.id, next);
                    next += 1;
                }
            }
            assert_eq!(next, 20);
            assert!(scan.next_chunk(1, 1).unwrap().is_empty());
            assert_eq!(scan.cursor(), None);
        }
    });
}

#[test]
fn a_scan_and_its_pages_stay_in_one_snapshot() {
    // A reopening ends snapshots.
    for mode in MODES
        .into_iter()
        .filter(|mode| !matches!(mode, Mode::Reopened | Mode::Killed))
    {
        for reverse in [false, true] {
            let mut bench = Bench::new(mode);
            bench.create_collection("c").unwrap();
            for id in 0..40 {
                bench
                    .write(&[WriteOp::create("c", id * 50, b"\"old\"")])
                    .unwrap();
            }
            let request = ScanRequest {
                reverse,
                ..in_collection("c")
            };
            let wanted = scan_all(bench.db(), &request).unwrap();
            let mut open = bench.db().scan(&request).unwrap();
            let version = open.version();
            let mut streamed = Vec::new();
            let db = bench.db().clone();
            let mut round = 0;
            let paged = pages(&db, &request, 7, || {
                round += 1;
                for id in 0..40 {
                    let gone = (id + round) % 3 == 0;
                    if gone && db.exists("c", id * 50).unwrap() {
                        bench.write(&[WriteOp::delete("c", id * 50)]).unwrap();
                    }
                    if !gone {
                        bench
                            .write(&[WriteOp::upsert("c", id * 50, b"\"new\"")])
                            .unwrap();
                    }
                }
                bench.write(&[WriteOp::insert("c", b"\"new\"")]).unwrap();
                if round == 3 {
                    bench.drop_collection("c", true).unwrap();
                    bench.create_collection("c").unwrap();
                }
                let chunk = open.next_chunk(3, usize::MAX).unwrap();
                streamed.extend(
                    chunk
                        .into_iter()
                        .map(|i| (i.id, i.version, i.body.to_vec())),
                );
            });
            assert_eq!(paged, wanted);
            while let chunk = open.next_chunk(3, usize::MAX).unwrap()
                && !chunk.is_empty()
            {
                streamed.extend(
                    chunk
                        .into_iter()
                        .map(|i| (i.id, i.version, i.body.to_vec())),
                );
            }
            assert_eq!(streamed, wanted);
            assert_eq!(open.version(), version);
            drop(open);
            // Nothing of it is kept once nobody can come back for it.
            bench.vfs.advance(LONG);
            bench.db().checkpoint().unwrap();
            bench.db().maintenance_step().unwrap();
            assert_eq!(bench.db().stats().snapshots, 0);
            assert_eq!(bench.db().stats().delta_bytes, 0);
            assert!(
                scan_all(bench.db(), &request)
                    .unwrap()
                    .iter()
                    .all(|(.., b)| b == b"\"new\"")
            );
        }
    }
}

#[test]
fn a_cursor_tells_whether_there_is_more() {
    in_every_mode(|bench| {
        for id in 0..6 {
            bench.write(&[WriteOp::create(C, id, b"0")]).unwrap();
        }
        for id in 4..6 {
            bench.write(&[WriteOp::delete(C, id)]).unwrap();
        }
        for (limit, to, more) in [
            (3, None, true),
            (4, None, false),
            (5, None, false),
            (3, Some(2), false),
            (2, Some(2), true),
        ] {
            let request = ScanRequest {
                limit: Some(limit),
                to,
                ..in_collection(C)
            };
            assert_eq!(page(bench.db(), &request).1.is_some(), more, "{request:?}");
        }
        // A scan that has not got to its limit has no place to go on from yet.
        let mut scan = bench
            .db()
            .scan(&ScanRequest {
                limit: Some(3),
                ..in_collection(C)
            })
            .unwrap();
        assert_eq!(scan.cursor(), None);
        scan.next_chunk(2, usize::MAX).unwrap();
        assert_eq!(scan.cursor(), None);
        scan.next_chunk(2, usize::MAX).unwrap();
        assert!(scan.cursor().is_some());
        assert_eq!(page(bench.db(), &in_collection(C)).1, None);
    });
}

#[test]
fn a_cursor_that_does_not_fit_is_refused() {
    in_every_mode(|bench| {
        bench.create_collection("other").unwrap();
        for id in 0..6 {
            bench
                .write(&[
                    WriteOp::create(C, id, b"0"),
                    WriteOp::create("other", id, b"0"),
                ])
                .unwrap();
        }
        let first = ScanRequest {
            limit: Some(2),
            ..in_collection(C)
        };
        let (_, cursor) = page(bench.db(), &first);
        let cursor = cursor.unwrap();
        let with = |request: &ScanRequest, cursor: &[u8]| {
            bench.db().scan(&ScanRequest {
                cursor: Some(cursor.to_vec()),
                ..request.clone()
            })
        };
        let other = in_collection("other");
        assert_eq!(kind(with(&other, &cursor)), ErrorKind::InvalidArgument);
        let backward = ScanRequest {
            reverse: true,
            ..first.clone()
        };
        assert_eq!(kind(with(&backward, &cursor)), ErrorKind::InvalidArgument);
        assert_eq!(
            kind(with(&in_collection("no"), &cursor)),
            ErrorKind::CollectionNotFound
        );
        for bad in [&b""[..], b"x", &cursor[1..], &[&cursor[..], b"x"].concat()] {
            assert_eq!(kind(with(&first, bad)), ErrorKind::InvalidArgument);
        }
        for at in 0..cursor.len() {
            let mut bad = cursor.clone();
            bad[at] ^= 0x10;
            assert_eq!(kind(with(&first, &bad)), ErrorKind::InvalidArgument);
        }
        // Other bounds and another limit are the caller's choice.
        let rest = ScanRequest {
            to: Some(4),
            limit: None,
            cursor: Some(cursor.clone()),
            ..first
        };
        assert_eq!(ids(bench.db(), &rest), [2, 3, 4]);
        let before = ScanRequest {
            to: Some(1),
            ..rest
        };
        assert!(ids(bench.db(), &before).is_empty());
    });
}

#[test]
fn a_snapshot_that_is_gone_is_too_old() {
    in_every_mode(|bench| {
        for id in 0..6 {
            bench.write(&[WriteOp::create(C, id, b"0")]).unwrap();
        }
        let (_, cursor) = page(
            bench.db(),
            &ScanRequest {
                limit: Some(2),
                ..in_collection(C)
            },
        );
        let mut request = ScanRequest {
            cursor,
            ..in_collection(C)
        };
        assert_eq!(ids(bench.db(), &request), [2, 3, 4, 5]);
        bench.vfs.advance(LONG);
        assert!(bench.db().maintenance_due().is_some());
        bench.db().maintenance_step().unwrap();
        bench
            .write(&[WriteOp::delete(C, 3), WriteOp::create(C, 9, b"0")])
            .unwrap();
        assert_eq!(kind(bench.db().scan(&request)), ErrorKind::SnapshotTooOld);
        request.at_latest = true;
        assert_eq!(ids(bench.db(), &request), [2, 4, 5, 9]);
    });
}

#[test]
fn a_cursor_of_an_earlier_opening_is_too_old_or_right() {
    for mode in [Mode::Reopened, Mode::Killed] {
        let mut bench = Bench::new(mode);
        for id in 0..6 {
            bench.write(&[WriteOp::create(C, id, b"0")]).unwrap();
        }
        let (_, cursor) = page(
            bench.db(),
            &ScanRequest {
                limit: Some(2),
                ..in_collection(C)
            },
        );
        bench.turn();
        let mut request = ScanRequest {
            cursor,
            ..in_collection(C)
        };
        assert_eq!(kind(bench.db().scan(&request)), ErrorKind::SnapshotTooOld);
        // Somebody else happens to read at the same version.
        let open = bench.db().scan(&in_collection(C)).unwrap();
        bench.write_without_turn(&[WriteOp::delete(C, 3)]);
        if mode == Mode::Reopened {
            assert_eq!(ids(bench.db(), &request), [2, 3, 4, 5]);
        } else {
            // After a kill no version is given out again, not even to readers.
            assert_eq!(kind(bench.db().scan(&request)), ErrorKind::SnapshotTooOld);
        }
        drop(open);
        request.at_latest = true;
        assert_eq!(ids(bench.db(), &request), [2, 4, 5]);
    }
}

#[test]
fn counts_are_exact_in_every_snapshot() {
    for mode in MODES
        .into_iter()
        .filter(|mode| !matches!(mode, Mode::Reopened | Mode::Killed))
    {
        let mut bench = Bench::new(mode);
        let mut scans = vec![(bench.db().scan(&in_collection(C)).unwrap(), 0)];
        for round in 0..30_u64 {
            let batch = [
                WriteOp::upsert(C, round % 7, b"0"),
                WriteOp::insert(C, b"0"),
                WriteOp::delete(C, round % 7),
                WriteOp::upsert(C, round % 5, b"0"),
            ];
            bench.write(&batch[..1 + (round as usize % 4)]).unwrap();
            let count = bench.db().count(C).unwrap();
            assert_eq!(ids(bench.db(), &in_collection(C)).len() as u64, count);
            assert_eq!(bench.db().stats().documents, count);
            scans.push((bench.db().scan(&in_collection(C)).unwrap(), count));
            if round % 3 == 0 {
                scans.remove(0);
            }
        }
        for (mut scan, count) in scans {
            assert_eq!(
                scan.next_chunk(1_000, usize::MAX).unwrap().len() as u64,
                count
            );
        }
    }
}

#[test]
fn a_scan_merges_memory_and_runs() {
    let mut bench = Bench::new(Mode::Memory);
    let mut expected = std::collections::BTreeMap::new();
    for round in 0..8_u64 {
        for n in 0..60 {
            let id = (n * 37 + round * 11) % 500;
            let body = format!("[{round},{n}]");
            if (n + round) % 5 == 0 && expected.remove(&id).is_some() {
                bench.write(&[WriteOp::delete(C, id)]).unwrap();
            } else {
                bench
                    .write(&[WriteOp::upsert(C, id, body.as_bytes())])
                    .unwrap();
                expected.insert(id, body);
            }
        }
        if round < 7 {
            bench.db().checkpoint().unwrap();
        }
        for reverse in [false, true] {
            let found = scan_all(
                bench.db(),
                &ScanRequest {
                    reverse,
                    ..in_collection(C)
                },
            )
            .unwrap();
            let found = found.into_iter().map(|(id, _, body)| (id, body));
            let wanted = expected
                .iter()
                .map(|(id, body)| (*id, body.clone().into_bytes()));
            assert!(if reverse {
                found.eq(wanted.rev())
            } else {
                found.eq(wanted)
            });
        }
        assert_eq!(bench.db().count(C).unwrap(), expected.len() as u64);
    }
    assert!(bench.db().stats().runs > 0 && bench.db().stats().delta_bytes > 0);
}
