//! The budget of a log's files: what gives way, and that the room that is told is there.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;

use common::{append, append_and_wait, dir, disk};
use docdb_wal::vfs::Vfs;
use docdb_wal::vfs::sim::SimVfs;
use docdb_wal::{Lsn, ManualDriver, Wal, WalOptions};

const BUDGET: u64 = 1 << 20;
/// What is set aside for a recovery is so much larger than a segment.
const ABOVE: u64 = 20 << 10;

fn options() -> WalOptions {
    let mut options = common::options();
    options.segment_bytes_max = 64 << 20;
    options.keep_segments = 2;
    options.bytes_max = Some(BUDGET);
    options
}

fn create(vfs: &SimVfs, options: WalOptions) -> Wal {
    Wal::create(
        Arc::new(vfs.clone()),
        dir(),
        options,
        Arc::new(ManualDriver),
    )
    .unwrap()
}

/// The bytes of all that is in the log's directory.
fn bytes(vfs: &SimVfs) -> u64 {
    let files = vfs.files().into_iter();
    files
        .map(|path| vfs.read_file(&path).unwrap().len() as u64)
        .sum()
}

fn prepare(wal: &Wal) {
    while wal.prepare_step().unwrap() {}
}

/// Whoever appends no more than there is room for never passes the budget, however large the records
/// are and whether or not each group is synced by itself.
#[test]
fn within_the_room_the_files_stay_within_the_budget() {
    for record_bytes in [10, 300, 5_000, 60_000] {
        for records_per_group in [1, 7] {
            let vfs = disk();
            let wal = create(&vfs, options());
            let mut last = Lsn::ZERO;
            for n in 0.. {
                let group_bytes = (record_bytes as u64 + 100) * records_per_group;
                let room = wal.room_bytes();
                if room < (group_bytes + 8_192).next_multiple_of(4_096) {
                    break;
                }
                for _ in 0..records_per_group {
                    last = append(&wal, n, record_bytes).unwrap().0.lsn();
                }
                wal.sync().unwrap();
                prepare(&wal);
                assert!(wal.room_bytes() < room, "{room} and {}", wal.room_bytes());
                assert_eq!(wal.stats().file_bytes, bytes(&vfs));
                assert!(bytes(&vfs) <= BUDGET, "{} at {n}", bytes(&vfs));
            }
            let sealed = wal.sealed_bytes();
            assert!(bytes(&vfs) > BUDGET / 8 * 5 && sealed > BUDGET / 4);
            // Everything that is given up comes back as room.
            let room = wal.room_bytes();
            wal.retire_below(last).unwrap();
            assert!(wal.room_bytes() >= room + sealed / 2, "{sealed}");
            assert_eq!(wal.sealed_bytes(), 0);
        }
    }
}

/// What nobody needs is kept while there is place for it, gives way to what is written, and takes half
/// of the budget at most when nothing is written any more.
#[test]
fn what_is_kept_gives_way() {
    let vfs = disk();
    let wal = create(&vfs, options());
    let mut last = 0;
    let mut write = |n| {
        last = append_and_wait(&wal, n, 3_000).unwrap().lsn;
        prepare(&wal);
        assert!(bytes(&vfs) <= BUDGET, "{} at {n}", bytes(&vfs));
        last
    };
    for _ in 0..10 {
        // Slowly: a segment is filled between two checkpoints.
        for n in 0..300 {
            let last = write(n);
            if n % 60 == 59 {
                wal.retire_below(Lsn(last)).unwrap();
                assert!(bytes(&vfs) <= BUDGET / 2 + ABOVE, "{:?}", wal.stats());
            }
        }
        let kept = wal.oldest_lsn().unwrap().0;
        let last = write(300);
        assert!(kept + 40 < last, "{:?}", wal.stats());
        // Then as much as there is room for.
        for n in 0.. {
            write(n);
            if wal.room_bytes() < 20_000 {
                break;
            }
        }
        assert!(bytes(&vfs) > BUDGET / 8 * 7);
        assert!(wal.oldest_lsn().unwrap().0 > kept);
        wal.retire_below(wal.appended_lsn()).unwrap();
    }
    assert!(wal.stats().segment_bytes / wal.stats().segments <= BUDGET / 8);
    let last = wal.appended_lsn();
    wal.retire_below(Lsn(last.0 + 1)).unwrap();
    assert!(bytes(&vfs) <= BUDGET / 2 + ABOVE, "{:?}", wal.stats());
    // The names are gone for good, and the rest opens.
    let image = vfs.fork_crash(&docdb_wal::vfs::sim::CrashPolicy::KeepNone);
    let opened = common::open_with(&image, options()).unwrap();
    assert_eq!(opened.wal.appended_lsn(), last);
}

/// Nothing that is needed gives way: the budget is passed rather, and there is no room.
#[test]
fn what_is_needed_stays_whatever_it_takes() {
    let vfs = disk();
    let wal = create(&vfs, options());
    let first = append_and_wait(&wal, 0, 10).unwrap().lsn;
    for n in 1..100 {
        append_and_wait(&wal, n, 60_000).unwrap();
        prepare(&wal);
    }
    assert!(bytes(&vfs) > BUDGET);
    assert_eq!(wal.room_bytes(), 0);
    assert_eq!(wal.oldest_lsn().unwrap(), Lsn(first));
    // A record that is larger than a segment of that budget gets one of its own.
    append_and_wait(&wal, 100, 500_000).unwrap();
    wal.retire_below(wal.appended_lsn()).unwrap();
    assert!(wal.sealed_bytes() == 0 && bytes(&vfs) < 4 * BUDGET);
    let opened = common::open_with(
        &vfs.fork_crash(&docdb_wal::vfs::sim::CrashPolicy::KeepNone),
        options(),
    );
    assert_eq!(opened.unwrap().wal.appended_lsn(), wal.appended_lsn());
}

#[test]
fn without_a_budget_there_is_room_without_end() {
    let vfs = disk();
    let mut options = options();
    options.bytes_max = None;
    let wal = create(&vfs, options);
    for n in 0..100 {
        append_and_wait(&wal, n, 60_000).unwrap();
        assert!(wal.room_bytes() > 1 << 60);
    }
    assert!(vfs.exists(dir()).unwrap() && wal.sealed_bytes() > 0);
}
