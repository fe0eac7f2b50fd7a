//! A disk that is full: a log on it can be opened, read, and written again once there is space.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::sync::Arc;

use common::{Entry, Promise, append, append_and_wait, dir, disk, open_with, policies};
use docdb_wal::vfs::sim::{CrashPolicy, Fault, FaultKind, SimVfs};
use docdb_wal::vfs::{OpenMode, Vfs};
use docdb_wal::{Durability, Lsn, ManualDriver, Result, Wal, WalOptions};

fn options(durability: Durability) -> WalOptions {
    let mut options = common::options();
    options.durability = durability;
    options
}

/// Appends records of these sizes, by turns, until the disk is full.
fn fill(wal: &Wal, promise: &mut Promise, sizes: &[usize]) -> Result<()> {
    for n in promise.appended.len() as u64.. {
        match append(wal, n, sizes[n as usize % sizes.len()]) {
            Ok((ticket, entry)) => {
                promise.appended.push(entry);
                ticket.wait()?;
            }
            Err(error) if error.is_disk_full() => return Ok(()),
            Err(error) => return Err(error),
        }
        let _ = wal.prepare_step();
    }
    Ok(())
}

/// A log that filled its disk, none of it synced for the caller but what the mode syncs.
fn filled(durability: Durability, room: u64, sizes: &[usize]) -> (SimVfs, Promise) {
    let vfs = disk();
    let shared = Arc::new(vfs.clone());
    let options = options(durability);
    let wal = Wal::create(shared, dir(), options, Arc::new(ManualDriver)).unwrap();
    vfs.set_capacity_bytes(Some(vfs.used_bytes() + room));
    let mut promise = Promise::default();
    fill(&wal, &mut promise, sizes).unwrap();
    assert!(!promise.appended.is_empty());
    if durability == Durability::Full {
        promise.acknowledged = promise.appended.len();
    }
    (vfs, promise)
}

/// Opens the log, with the disk still full, again and again; each time what was shown stays.
fn reopen(vfs: &SimVfs, durability: Durability, promise: &Promise, context: &str) {
    let mut shown: Option<Vec<Entry>> = None;
    // For a tail of one large group it is enough for one opening, see the docs of the reserve.
    let large = promise.appended.iter().any(|e| e.payload.len() > 10_000);
    for round in 0..if large { 0 } else { 40 } {
        let opened = open_with(vfs, options(durability));
        let opened = opened.unwrap_or_else(|e| panic!("{context}, opening {round}: {e}"));
        match &shown {
            None => assert_eq!(promise.violation(&opened.entries), None, "{context}"),
            Some(shown) => assert_eq!(&opened.entries, shown, "{context}, opening {round}"),
        }
        shown = Some(opened.entries);
        drop(opened.wal);
        vfs.crash(&CrashPolicy::KeepNone);
    }
    // Appends go on by themselves once there is space, in a log that was opened when there was none.
    let opened = open_with(vfs, options(durability)).unwrap();
    assert_eq!(promise.violation(&opened.entries), None, "{context}");
    let mut expected = opened.entries;
    let error = loop {
        match append(&opened.wal, 900 + expected.len() as u64, 3_000) {
            Ok((ticket, entry)) => {
                ticket.wait().unwrap();
                expected.push(entry);
            }
            Err(error) => break error,
        }
    };
    assert!(error.is_disk_full() && opened.wal.poisoned().is_none());
    vfs.set_capacity_bytes(None);
    for n in 0..5 {
        expected.push(append_and_wait(&opened.wal, 800 + n, 9_000).unwrap());
    }
    opened.wal.sync().unwrap();
    drop(opened.wal);
    vfs.crash(&CrashPolicy::KeepNone);
    let again = open_with(vfs, options(durability)).unwrap();
    assert_eq!(again.entries, expected, "{context}");
}

#[test]
fn a_full_disk_opens_whatever_a_crash_leaves() {
    for sizes in [&[300][..], &[10, 6_000, 10], &[9_000, 100, 40_000]] {
        for room in [0, 4 << 10, 60 << 10, 100 << 10, 200 << 10] {
            let (vfs, promise) = filled(Durability::Full, room, &[&[10], sizes].concat());
            for policy in policies(&vfs, room, 20) {
                let context = format!("{sizes:?}, {room} bytes, {policy:?}");
                reopen(
                    &vfs.fork_crash(&policy),
                    Durability::Full,
                    &promise,
                    &context,
                );
            }
        }
    }
}

#[test]
fn a_full_disk_opens_with_a_segment_that_was_never_synced() {
    for room in [0, 40 << 10, 100 << 10, 200 << 10] {
        let (vfs, promise) = filled(Durability::Os, room, &[3_000, 100, 7_000]);
        for policy in policies(&vfs, room, 10) {
            let image = vfs.fork_crash(&policy);
            let context = format!("{room} bytes, {policy:?}");
            let opened = open_with(&image, options(Durability::Os));
            let opened = opened.unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(promise.violation(&opened.entries), None, "{context}");
            if policy == CrashPolicy::Kill {
                assert_eq!(opened.entries, promise.appended, "{context}");
                assert!(room < 100 << 10 || opened.report.tail_groups > 2);
            }
        }
    }
}

/// Power is lost at every operation of a recovery on a full disk.
#[test]
fn a_full_disk_opens_after_a_crash_inside_its_recovery() {
    let (vfs, promise) = filled(Durability::Full, 60 << 10, &[300, 5_000]);
    for first in [CrashPolicy::Kill, CrashPolicy::KeepNone] {
        let rehearsal = vfs.fork_crash(&first);
        drop(open_with(&rehearsal, options(Durability::Full)).unwrap());
        assert!(rehearsal.op_count() > 6);
        for at_op in 0..rehearsal.op_count() {
            let image = vfs.fork_crash(&first);
            image.set_fault(Fault {
                at_op,
                kind: FaultKind::PowerOff,
                sticky: false,
            });
            let _ = open_with(&image, options(Durability::Full));
            for policy in policies(&image, at_op, 4) {
                let context = format!("{first:?}, operation {at_op}, {policy:?}");
                reopen(
                    &image.fork_crash(&policy),
                    Durability::Full,
                    &promise,
                    &context,
                );
            }
        }
    }
}

#[test]
fn what_is_set_aside_follows_the_largest_segment_in_use() {
    let vfs = disk();
    let shared = Arc::new(vfs.clone());
    let wal = Wal::create(shared, dir(), common::options(), Arc::new(ManualDriver)).unwrap();
    let more = 20 << 10;
    assert_eq!(wal.stats().reserved_bytes, (16 << 10) + more);
    for n in 0..9 {
        append_and_wait(&wal, n, 9_000).unwrap();
    }
    assert_eq!(wal.stats().reserved_bytes, (64 << 10) + more);
    append_and_wait(&wal, 9, 200_000).unwrap();
    assert!(wal.stats().reserved_bytes > 200_000);
    wal.retire_below(Lsn(10)).unwrap();
    wal.close().unwrap();
    let opened = common::open(&vfs).unwrap();
    assert_eq!(opened.wal.stats().reserved_bytes, (16 << 10) + more);
    assert!(opened.report.foreign.is_empty());
}

/// What is set aside for the next recovery can be borrowed on a full disk, and comes back.
#[test]
fn space_is_lent_and_taken_back() {
    let vfs = disk();
    let shared = Arc::new(vfs.clone());
    let wal = Wal::create(
        shared,
        dir(),
        options(Durability::Full),
        Arc::new(ManualDriver),
    )
    .unwrap();
    let path = dir().with_file_name("beside");
    let write = || -> docdb_wal::vfs::Result<()> {
        let file = vfs.open(&path, OpenMode::CreateNew);
        let file = file.or_else(|_| vfs.open(&path, OpenMode::ReadWrite))?;
        file.write_all_at(&[1; 4096], 0)
    };
    let full = vfs.used_bytes();
    vfs.set_capacity_bytes(Some(full));
    assert!(write().is_err());
    let replaced = wal.lend_space(4096, || {
        write()?;
        assert_eq!(vfs.used_bytes(), full);
        vfs.remove_file(&path)
    });
    replaced.unwrap().unwrap();
    assert_eq!(vfs.used_bytes(), full, "it is set aside again");
    // What is not given back is missing from what is set aside, and only from that.
    wal.lend_space(4096, write).unwrap().unwrap();
    assert_eq!(vfs.used_bytes(), full);
    let needed = wal.lend_space(u64::MAX, || full - vfs.used_bytes());
    assert_eq!(needed.unwrap(), 16 << 10, "no more is lent");
}
