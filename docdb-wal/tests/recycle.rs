//! Segments in files that served before: their old groups stand at the very places where new ones
//! go, and none of them is ever taken for a new one.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::hook::HookVfs;
use common::{Entry, Promise, append, append_and_wait, dir, disk, is_absent, open, open_with};
use common::{policies, segments};
use docdb_wal::vfs::IoOp;
use docdb_wal::vfs::sim::{CrashPolicy, Fault, FaultKind, SimVfs};
use docdb_wal::{Lsn, ManualDriver, Result, Wal, WalOptions};

/// Segments that do not grow, so that every retired file is as large as the next segment.
fn options() -> WalOptions {
    let mut options = common::options();
    options.segment_bytes_max = options.segment_bytes_min;
    options
}

/// Fills segments with groups of one size, and retires all but the newest.
fn work(wal: &Wal, promise: &mut Promise, records: u64) -> Result<()> {
    let first = promise.appended.len() as u64;
    for n in first..first + records {
        let (ticket, entry) = append(wal, n, 300)?;
        promise.appended.push(entry);
        ticket.wait()?;
        promise.acknowledged = promise.appended.len();
        while wal.prepare_step()? {}
        promise.retired = promise.appended.len() - 1;
        wal.retire_below(Lsn(promise.appended[promise.retired].lsn))?;
    }
    Ok(())
}

fn workload(vfs: &SimVfs, promise: &mut Promise) -> Result<()> {
    let shared = Arc::new(vfs.clone());
    let wal = Wal::create(shared, dir(), options(), Arc::new(ManualDriver))?;
    promise.created = true;
    work(&wal, promise, 11)?;
    drop(wal); // killed
    let opened = open_with(vfs, options())?;
    assert_eq!(promise.violation(&opened.entries), None);
    work(&opened.wal, promise, 6)?;
    opened.wal.close()
}

fn is_recycled(vfs: &SimVfs, path: &std::path::Path) -> bool {
    vfs.read_file(path).unwrap()[16] & 1 == 1
}

#[test]
fn retired_files_serve_again_without_being_written_anew() {
    let allocations = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&allocations);
    let sim = disk();
    let vfs = HookVfs::new(sim.clone(), move |op, _| {
        if op == IoOp::Allocate {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let shared = Arc::new(vfs);
    let wal = Wal::create(shared, dir(), options(), Arc::new(ManualDriver)).unwrap();
    let mut promise = Promise::default();
    work(&wal, &mut promise, 10).unwrap();
    let allocated = allocations.load(Ordering::SeqCst);
    let used = sim.used_bytes();
    work(&wal, &mut promise, 30).unwrap();
    assert_eq!(allocations.load(Ordering::SeqCst), allocated);
    assert!(sim.used_bytes() <= used, "the log has its steady size");
    assert!(wal.stats().recycled_segments <= 2);
    assert!(segments(&sim).iter().any(|path| is_recycled(&sim, path)));
    let found = open_with(&sim.fork_crash(&CrashPolicy::KeepNone), options()).unwrap();
    assert_eq!(promise.violation(&found.entries), None);
    assert!(
        found
            .report
            .removed
            .iter()
            .any(|path| path.extension() == Some("tmp".as_ref())),
        "retired files are leftovers"
    );
}

#[test]
fn no_more_files_are_kept_than_the_options_say() {
    for most in [0, 1, 3] {
        let vfs = disk();
        let mut options = options();
        options.recycle_segments = most;
        let shared = Arc::new(vfs.clone());
        let wal = Wal::create(shared, dir(), options, Arc::new(ManualDriver)).unwrap();
        let mut last = Lsn::ZERO;
        for n in 0..30 {
            last = Lsn(append_and_wait(&wal, n, 300).unwrap().lsn);
        }
        let retired = wal.retire_below(last).unwrap();
        assert!(retired > 3);
        let stats = wal.stats();
        assert_eq!(stats.recycled_segments, most as u64);
        assert_eq!(stats.recycled_bytes, most as u64 * (16 << 10));
        // One more sets space aside for a recovery.
        assert_eq!(vfs.files().len(), stats.segments as usize + most + 1);
    }
}

#[test]
fn files_that_have_become_too_small_are_not_kept() {
    let vfs = disk();
    let wal = common::create(&vfs).unwrap();
    for n in 0..9 {
        append_and_wait(&wal, n, 9_000).unwrap();
    }
    wal.retire_below(wal.durable_lsn()).unwrap();
    // The next segment has 64 KiB, which only the newest of the retired ones have.
    let (files, bytes) = (wal.stats().recycled_segments, wal.stats().recycled_bytes);
    assert_eq!(bytes, files * (64 << 10));
    assert_eq!(vfs.files().len() as u64, wal.stats().segments + files + 1);
}

/// Crashes at every operation while files are retired and serve again.
#[test]
fn stale_groups_at_the_same_places_never_count() {
    let whole = disk();
    let first = whole.op_count();
    workload(&whole, &mut Promise::default()).unwrap();
    let end = whole.op_count();
    let (mut states, mut recycled) = (HashSet::new(), 0);
    for at_op in first..=end {
        let vfs = disk();
        vfs.set_fault(Fault {
            at_op,
            kind: FaultKind::PowerOff,
            sticky: false,
        });
        let mut promise = Promise::default();
        let _ = workload(&vfs, &mut promise);
        for policy in policies(&vfs, at_op, 40) {
            let image = vfs.fork_crash(&policy);
            let context = format!("operation {at_op}, {policy:?}");
            if policy != CrashPolicy::Kill && !states.insert((image.image_hash(), at_op)) {
                continue;
            }
            recycled += usize::from(segments(&image).iter().any(|path| {
                let bytes = image.read_file(path).unwrap();
                bytes.len() > 16 && bytes[16] == 1
            }));
            let opened = open_with(&image, options());
            if !promise.created && is_absent(&opened) {
                continue;
            }
            let opened = opened.unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(promise.violation(&opened.entries), None, "{context}");
            let next = append_and_wait(&opened.wal, 900, 300).unwrap();
            let mut expected: Vec<Entry> = opened.entries;
            expected.push(next);
            let again = open_with(&image.fork_crash(&CrashPolicy::KeepNone), options()).unwrap();
            assert_eq!(again.entries, expected, "{context}");
        }
    }
    assert!(
        states.len() > 300 && recycled > 200,
        "{} {recycled}",
        states.len()
    );
}

/// A log of one segment with two groups, in a file that served before, and old groups behind them.
fn ends_in_recycled() -> (SimVfs, Vec<Entry>) {
    let vfs = disk();
    let mut options = options();
    options.segment_bytes_min = 32 << 10;
    options.segment_bytes_max = 32 << 10;
    let shared = Arc::new(vfs.clone());
    let wal = Wal::create(shared, dir(), options, Arc::new(ManualDriver)).unwrap();
    let mut promise = Promise::default();
    loop {
        work(&wal, &mut promise, 1).unwrap();
        assert!(promise.appended.len() < 100);
        let image = vfs.fork_crash(&CrashPolicy::KeepNone);
        let current = &segments(&image)[0];
        let entries = open(&image.fork_crash(&CrashPolicy::KeepAll))
            .unwrap()
            .entries;
        if is_recycled(&image, current) && entries.len() == 2 {
            let bytes = image.read_file(current).unwrap();
            for block in bytes[4096..28 << 10].chunks(4096) {
                assert_eq!(block[..4], *b"DGRP");
            }
            assert_eq!(segments(&image).len(), 1);
            return (image, entries);
        }
    }
}

#[test]
fn old_bytes_behind_the_end_are_no_torn_tail() {
    let (vfs, entries) = ends_in_recycled();
    let opened = open(&vfs).unwrap();
    assert_eq!(opened.entries, entries);
    assert_eq!(opened.report.cut, None);
}

#[test]
fn a_torn_group_in_a_recycled_file_is_reported() {
    let (vfs, entries) = ends_in_recycled();
    let path = segments(&vfs).pop().unwrap();
    let start = 4096 * entries.len() as u64;
    for (what, offset) in [
        ("the group's header", start + 20),
        ("its record's header", start + 80 + 12),
        ("its payload", start + 80 + 32 + 100),
    ] {
        let vfs = vfs.fork_crash(&CrashPolicy::KeepNone);
        vfs.flip_bit(&path, offset, 0).unwrap();
        let opened = open(&vfs).unwrap();
        assert_eq!(opened.entries, entries[..entries.len() - 1], "{what}");
        let cut = opened.report.cut.expect(what);
        assert_eq!(cut.path, path, "{what}");
        // At the group, or, if no header says that it begins there, behind the one before it.
        assert!((start - 4096 + 80..=start).contains(&cut.offset), "{what}");
    }
}

/// A closed log takes little more than its records, and opening it does not read what is void.
#[test]
fn a_closed_log_gives_back_what_only_a_log_in_use_needs() {
    let sim = disk();
    let mut options = common::options();
    options.segment_bytes_max = 1 << 20;
    options.keep_segments = 0;
    let shared = Arc::new(sim.clone());
    let wal = Wal::create(shared, dir(), options.clone(), Arc::new(ManualDriver)).unwrap();
    let mut promise = Promise::default();
    work(&wal, &mut promise, 1500).unwrap();
    while wal.prepare_step().unwrap() {}
    assert!(sim.used_bytes() > 2 << 20, "{} bytes", sim.used_bytes());
    wal.close().unwrap();
    let stats = wal.stats();
    drop(wal);
    let left: u64 = segments(&sim)
        .iter()
        .map(|path| sim.read_file(path).unwrap().len() as u64)
        .sum();
    assert_eq!(stats.segment_bytes, left);
    assert_eq!((stats.recycled_bytes, stats.recycled_segments), (0, 0));
    assert!(sim.used_bytes() < 1 << 20, "{} bytes", sim.used_bytes());

    let opened = open_with(&sim, options).unwrap();
    assert_eq!(promise.violation(&opened.entries), None);
    assert!(opened.report.clean, "{:?}", opened.report);
    let entry = append_and_wait(&opened.wal, 1500, 300).unwrap();
    promise.appended.push(entry);
    drop(opened);
    let opened = open(&sim).unwrap();
    assert_eq!(
        opened.entries.last().unwrap(),
        promise.appended.last().unwrap()
    );
}
