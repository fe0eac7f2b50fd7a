//! What is kept of files in memory: it never changes what is answered, and stays in its budget.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{create_with, disk, in_collection, kind, open_with, options, scan_all};
use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::{Db, DbOptions, ErrorKind, ScanRequest, WriteOp};

const C: &str = "_default";

fn body(id: u64, bytes: usize) -> Vec<u8> {
    let mut body = format!("{{\"n\":{id},\"t\":\"").into_bytes();
    body.resize(bytes.max(body.len() + 2) - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

fn load(db: &Db, ids: impl Iterator<Item = u64>) {
    let bodies: Vec<_> = ids.map(|id| (id, body(id, 300))).collect();
    for batch in bodies.chunks(500) {
        let ops: Vec<_> = batch
            .iter()
            .map(|(id, body)| WriteOp::upsert(C, *id, body))
            .collect();
        db.submit(&ops).wait().unwrap();
    }
    db.checkpoint().unwrap();
}

/// Everything of a database in few files, which are not merged.
fn roomy() -> DbOptions {
    let mut options = options();
    options.runs_max = 100;
    options.data_file_bytes_max = 1 << 30;
    options
}

/// Flips a bit of every page of every file whose name ends so, at `within` a page.
fn damage(vfs: &SimVfs, end: &str, within: usize) {
    for path in vfs.files() {
        if path.to_string_lossy().ends_with(end) {
            let mut bytes = vfs.read_file(&path).unwrap();
            for page in bytes.chunks_mut(4096).skip(1) {
                page[within] ^= 1;
            }
            vfs.write_file(&path, &bytes).unwrap();
        }
    }
}

#[test]
fn damage_is_seen_when_a_page_or_document_is_read_and_not_while_it_is_kept() {
    let vfs = disk();
    let db = create_with(&vfs, roomy()).unwrap();
    load(&db, 1..1000);
    let read = |id| db.read(C, id).map(|document| document.body.to_vec());
    for id in 1..10 {
        assert_eq!(read(id).unwrap(), body(id, 300));
    }
    for end in [".dat", ".idx"] {
        damage(&vfs, end, 3000);
    }
    for id in 1..10 {
        assert_eq!(read(id).unwrap(), body(id, 300));
    }
    // Its page is damaged.
    assert_eq!(kind(db.read(C, 900)), ErrorKind::Corrupt);
    let before = db.stats();
    assert!(before.document_cache.hits >= 9 && before.block_cache.hits >= 9);
    drop(db);
    let db = open_with(&vfs, roomy());
    // Also the fences of the run are damaged.
    assert_eq!(kind(db), ErrorKind::Corrupt);
}

/// A filter tells only what need not be read; damaged, it costs the reading.
#[test]
fn a_damaged_filter_costs_a_read_and_is_counted() {
    let vfs = disk();
    let db = create_with(&vfs, roomy()).unwrap();
    load(&db, (1..1000).map(|id| id * 10));
    drop(db);
    for path in vfs.files() {
        if path.to_string_lossy().ends_with(".idx") {
            let mut bytes = vfs.read_file(&path).unwrap();
            // Ten blocks, their filter, a page of fences, the footer.
            assert_eq!(bytes.len(), 4096 * 14);
            bytes[4096 * 11 + 100] ^= 0xff;
            vfs.write_file(&path, &bytes).unwrap();
        }
    }
    let db = open_with(&vfs, roomy()).unwrap();
    for id in 1..1000 {
        assert!(db.exists(C, id * 10).unwrap());
        assert!(!db.exists(C, id * 10 + 1).unwrap());
    }
    let stats = db.stats();
    assert_eq!((stats.filters_damaged, stats.blocks_filtered), (10, 0));
    assert_eq!(scan_all(&db, &in_collection(C)).unwrap().len(), 999);
}

#[test]
fn ids_in_no_run_are_filtered() {
    let vfs = disk();
    let db = create_with(&vfs, roomy()).unwrap();
    for part in 0..5 {
        load(&db, (1..1000).map(|id| id * 1000 + part));
    }
    assert_eq!(db.stats().runs, 5);
    drop(db);
    let db = open_with(&vfs, roomy()).unwrap();
    vfs.set_reads_count(true);
    let before = vfs.op_count();
    for id in 1..100 {
        assert!(!db.exists(C, id * 10_000 + 500).unwrap());
    }
    let reads = vfs.op_count() - before;
    // The five filters, and a block for one id in fifty and run.
    assert!(reads < 5 + 20, "{reads}");
    assert!(db.stats().blocks_filtered > 400);
}

/// The parts of the memory together are never above the budget, but for what a commit may take at
/// once; the caches are full when nothing else needs room, and give way.
#[test]
fn memory_stays_in_its_budget_while_its_parts_change() {
    const BUDGET: u64 = 2 << 20;
    let vfs = disk();
    let mut options = roomy();
    options.memory_bytes_max = BUDGET;
    options.checkpoint_wal_bytes = u64::MAX;
    let db = create_with(&vfs, options).unwrap();
    let check = |db: &Db| {
        let stats = db.stats();
        let caches = stats.block_cache.bytes + stats.document_cache.bytes;
        let all = stats.delta_bytes + stats.run_bytes + caches;
        assert!(all <= BUDGET + 4096, "{stats:?}");
        assert!(stats.document_cache.bytes <= stats.document_cache.capacity);
        assert!(stats.block_cache.bytes <= stats.block_cache.capacity);
        stats
    };
    let (mut fullest, mut emptiest) = (0, u64::MAX);
    for n in 0..20_000_u64 {
        let id = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        let document = body(id, 100 + (n % 700) as usize);
        db.submit(&[WriteOp::upsert(C, id, &document)])
            .wait()
            .unwrap();
        for id in [id, id / 2, id / 3] {
            let _ = db.read(C, id);
        }
        if n % 50 == 0 {
            check(&db);
        }
        if n % 5_000 == 4_999 {
            let shrunk = check(&db);
            emptiest = emptiest.min(shrunk.document_cache.capacity);
            db.checkpoint().unwrap();
            for id in 0..1 << 16 {
                let _ = db.read(C, id);
            }
            fullest = fullest.max(check(&db).document_cache.bytes);
        }
    }
    assert!(fullest > BUDGET / 5, "{fullest}");
    assert!(emptiest < fullest, "{emptiest} {fullest}");
}

/// What a scan reads does not drive out what point reads use.
#[test]
fn a_scan_leaves_the_caches_as_they_are() {
    let vfs = disk();
    let db = create_with(&vfs, roomy()).unwrap();
    load(&db, 1..5000);
    for id in 1..100 {
        db.read(C, id).unwrap();
    }
    let before = db.stats();
    for reverse in [false, true] {
        let request = ScanRequest {
            reverse,
            ..in_collection(C)
        };
        let mut scan = db.scan(&request).unwrap();
        let mut count = 0;
        loop {
            let chunk = scan.next_chunk(1024, 1 << 20).unwrap();
            count += chunk.len();
            if chunk.is_empty() {
                break;
            }
        }
        assert_eq!(count, 4999);
    }
    let after = db.stats();
    assert_eq!(before.document_cache, after.document_cache);
    assert_eq!(before.block_cache.entries, after.block_cache.entries);
}

/// What open scans have read ahead counts, and the caches give way to it and get it back.
#[test]
fn the_windows_of_open_scans_count_against_the_caches() {
    let vfs = disk();
    let mut options = roomy();
    options.memory_bytes_max = 4 << 20;
    let db = create_with(&vfs, options).unwrap();
    load(&db, 1..5000);
    let room = |db: &Db| {
        let stats = db.stats();
        let caches = stats.block_cache.capacity + stats.document_cache.capacity;
        assert!(stats.block_cache.bytes + stats.document_cache.bytes <= caches);
        (stats.scan_bytes, caches)
    };
    let (none, before) = room(&db);
    assert_eq!(none, 0);
    let mut scans = Vec::new();
    for n in 0..20 {
        let mut scan = db.scan(&in_collection(C)).unwrap();
        scan.next_chunk(2_000, usize::MAX).unwrap();
        scans.push(scan);
        let (scanned, caches) = room(&db);
        assert!(scanned >= (n + 1) * (64 << 10), "{scanned} of {n}");
        // In steps of 1/128 of the budget.
        let step = (4 << 20) / 128;
        assert!(caches + scanned <= before + step, "{caches} and {scanned}");
    }
    drop(scans);
    assert_eq!(room(&db), (0, before));
}

/// A damaged document in the middle of what is read at once: all others come, in both directions, and
/// the error names the file and comes at its place.
#[test]
fn a_scan_meets_damage_at_its_document_and_nowhere_else() {
    let vfs = disk();
    let db = create_with(&vfs, roomy()).unwrap();
    load(&db, 1..1000);
    let path = vfs
        .files()
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(".dat"))
        .unwrap();
    let original = vfs.read_file(&path).unwrap();
    for damaged in [1, 2, 13, 500, 999] {
        let needle = format!("{{\"n\":{damaged},");
        let at = original
            .windows(needle.len())
            .position(|bytes| bytes == needle.as_bytes())
            .unwrap();
        let mut bytes = original.clone();
        bytes[at + 20] ^= 1;
        vfs.write_file(&path, &bytes).unwrap();
        for reverse in [false, true] {
            let request = ScanRequest {
                reverse,
                ..in_collection(C)
            };
            let mut scan = db.scan(&request).unwrap();
            let mut found = Vec::new();
            let error = loop {
                match scan.next_chunk(100, 1 << 20) {
                    Ok(chunk) => found.extend(chunk.into_iter().map(|item| item.id)),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            let message = error.to_string();
            assert!(message.contains("data-"), "{message}");
            // A new scan behind it gives the rest.
            let rest = ScanRequest {
                from: (!reverse).then_some(damaged + 1),
                to: reverse.then_some(damaged - 1),
                ..request
            };
            found.extend(scan_all(&db, &rest).unwrap().iter().map(|item| item.0));
            if reverse {
                found.reverse();
            }
            let expected: Vec<u64> = (1..1000).filter(|id| *id != damaged).collect();
            assert_eq!(found, expected);
        }
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Readers whose pages and documents come and go, beside checkpoints and merges.
#[test]
fn readers_see_the_newest_beside_checkpoints_and_merges() {
    let vfs = disk();
    let mut small = options();
    small.block_cache_bytes_max = 20 << 10;
    small.document_cache_bytes_max = 20 << 10;
    let db = create_with(&vfs, small).unwrap();
    load(&db, 1..300);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (db, stop) = (&db, &stop);
        let readers: Vec<_> = (0..2_u64)
            .map(|seed| {
                scope.spawn(move || {
                    let mut last = vec![0; 300];
                    let mut random = seed;
                    while !stop.load(Ordering::Relaxed) {
                        random = random
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        let id = (random >> 33) % 299 + 1;
                        let read = db.read(C, id).unwrap();
                        assert!(read.version >= last[id as usize], "{id} goes back");
                        last[id as usize] = read.version;
                        assert!(read.body.starts_with(format!("{{\"n\":{id},").as_bytes()));
                    }
                })
            })
            .collect();
        // Also when an assertion fails: the scope waits for the readers.
        let stop_all = StopOnDrop(stop);
        for round in 0..60_u64 {
            for id in (1..300).filter(|id| (id + round) % 3 == 0) {
                let document = body(id, 100 + (round * 7) as usize);
                let written = db.submit(&[WriteOp::upsert(C, id, &document)]).wait();
                let version = written.unwrap().version;
                let read = db.read(C, id).unwrap();
                assert_eq!((read.version, &*read.body), (version, &*document));
            }
            db.checkpoint().unwrap();
            for id in (1..300).filter(|id| (id + round) % 3 == 0) {
                let read = db.read(C, id).unwrap();
                assert_eq!(*read.body, *body(id, 100 + (round * 7) as usize));
            }
        }
        drop(stop_all);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}
