//! Reading a log while it is written, rotated, retired and recovered.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::hook::HookVfs;
use common::{Entry, append, append_and_wait, create, dir, disk, open, options, segments};
use docdb_wal::vfs::sim::{CrashPolicy, Fault, FaultKind};
use docdb_wal::{Durability, LogReader, Lsn, ManualDriver, Recovery, Result, Wal, WalError};
use proptest::prelude::*;

/// Everything that the reader gives until there is nothing more yet.
fn drain(reader: &mut LogReader) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    while let Some(record) = reader.next()? {
        entries.push(Entry {
            lsn: record.lsn.0,
            stamp: record.stamp,
            kind: record.kind,
            payload: record.payload.to_vec(),
        });
    }
    Ok(entries)
}

fn read_from(wal: &Wal, lsn: u64) -> Result<Vec<Entry>> {
    drain(&mut wal.read_from(Lsn(lsn))?)
}

#[test]
fn from_any_record_across_rotations() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let mut following = wal.read_from(Lsn(1)).unwrap();
    let mut entries = Vec::new();
    let mut followed = Vec::new();
    for n in 0..30 {
        entries.push(append_and_wait(&wal, n, [10, 6_000, 18_000][n as usize % 3]).unwrap());
        followed.extend(drain(&mut following).unwrap());
        assert_eq!(followed, entries, "after {n}");
    }
    assert!(wal.stats().segments > 4);
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(read_from(&wal, entry.lsn).unwrap(), entries[at..]);
    }
    assert_eq!(read_from(&wal, 0).unwrap(), entries);
    // One that is still to come is waited for.
    let mut ahead = wal.read_from(wal.next_lsn().next()).unwrap();
    assert_eq!(drain(&mut ahead).unwrap(), []);
    append_and_wait(&wal, 30, 10).unwrap();
    assert_eq!(drain(&mut ahead).unwrap(), []);
    let next = append_and_wait(&wal, 31, 10).unwrap();
    assert_eq!(drain(&mut ahead).unwrap(), [next]);
}

#[test]
fn only_what_is_durable_or_written_is_read() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let mut reader = wal.read_from(Lsn(1)).unwrap();
    let (ticket, entry) = append(&wal, 0, 10).unwrap();
    assert_eq!(drain(&mut reader).unwrap(), []);
    ticket.wait().unwrap();
    assert_eq!(drain(&mut reader).unwrap(), [entry]);
    // The write of the next one succeeds, its sync does not.
    let ticket = append(&wal, 1, 10).unwrap().0;
    vfs.set_fault(Fault {
        at_op: vfs.op_count() + 1,
        kind: FaultKind::Os(5),
        sticky: false,
    });
    assert!(ticket.wait().is_err());
    assert_eq!(drain(&mut reader).unwrap(), []);

    let vfs = disk();
    let mut options = options();
    options.durability = Durability::Memory(Duration::from_millis(10));
    let shared = Arc::new(vfs.clone());
    let wal = Wal::create(shared, dir(), options, Arc::new(ManualDriver)).unwrap();
    let mut reader = wal.read_from(Lsn(1)).unwrap();
    let (ticket, entry) = append(&wal, 0, 10).unwrap();
    ticket.wait().unwrap();
    assert_eq!(drain(&mut reader).unwrap(), [], "it is in no file yet");
    vfs.advance(Duration::from_millis(10));
    wal.timed_step().unwrap();
    assert_eq!(drain(&mut reader).unwrap(), [entry]);
}

#[test]
fn retiring_does_not_disturb_a_reader() {
    let vfs = disk();
    let mut options = options();
    options.segment_bytes_max = options.segment_bytes_min;
    let shared = Arc::new(vfs.clone());
    let wal = Wal::create(shared, dir(), options, Arc::new(ManualDriver)).unwrap();
    let entries: Vec<_> = (0..10)
        .map(|n| append_and_wait(&wal, n, 300).unwrap())
        .collect();
    let mut reader = wal.read_from(Lsn(3)).unwrap();
    assert!(reader.next().unwrap().is_some());
    assert!(wal.retire_below(wal.durable_lsn()).unwrap() > 2);
    // The first segment was not open any more, all others are: only its file serves again.
    assert_eq!(wal.stats().recycled_segments, 1);
    for n in 10..20 {
        append_and_wait(&wal, n, 300).unwrap();
        while wal.prepare_step().unwrap() {}
        wal.retire_below(wal.durable_lsn()).unwrap();
    }
    let rest = drain(&mut reader);
    // It reads all it held, and then says that it was away for too long.
    assert!(
        matches!(rest, Err(WalError::NotRetained { .. })),
        "{rest:?}"
    );
    let mut reader = wal.read_from(wal.oldest_lsn().unwrap()).unwrap();
    let mut seen = 0;
    for n in 20..40 {
        append_and_wait(&wal, n, 300).unwrap();
        wal.retire_below(wal.durable_lsn()).unwrap();
        seen += drain(&mut reader).unwrap().len();
        wal.retire_below(wal.durable_lsn()).unwrap();
    }
    assert!(seen >= 20);
    match wal.read_from(Lsn(entries[2].lsn)) {
        Err(WalError::NotRetained { lsn, oldest }) => {
            assert_eq!(lsn, Lsn(entries[2].lsn));
            assert_eq!(oldest, wal.oldest_lsn().unwrap());
            assert!(wal.read_from(oldest).is_ok());
        }
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn what_a_reader_holds_is_read_to_its_end_after_it_is_retired() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let entries: Vec<_> = (0..20)
        .map(|n| append_and_wait(&wal, n, 6_000).unwrap())
        .collect();
    let mut reader = wal.read_from(Lsn(1)).unwrap();
    wal.retire_below(wal.durable_lsn()).unwrap();
    assert_eq!(drain(&mut reader).unwrap(), entries);
}

/// What a reader begins with is where it was asked to begin, whatever the first header says.
#[test]
fn a_header_of_another_segment_hides_no_records() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    for n in 0..4 {
        append_and_wait(&wal, n, 6_000).unwrap();
    }
    let first = vfs.read_file(&segments(&vfs)[0]).unwrap();
    assert!(wal.retire_below(Lsn(4)).unwrap() > 0);
    let path = &segments(&vfs)[0];
    let mut bytes = vfs.read_file(path).unwrap();
    bytes[..4096].copy_from_slice(&first[..4096]);
    vfs.write_file(path, &bytes).unwrap();
    for outcome in [read_from(&wal, 1).map(drop), wal.oldest_lsn().map(drop)] {
        match outcome.unwrap_err() {
            WalError::Corrupt { path: at, .. } => assert_eq!(at, *path),
            error => panic!("{error}"),
        }
    }
}

#[test]
fn damage_is_an_error_that_names_the_place() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    for n in 0..3 {
        append_and_wait(&wal, n, 300).unwrap();
    }
    let path = &segments(&vfs)[0];
    for (offset, readable) in [(4096 + 20, 0), (8192 + 90, 1), (8192 + 300, 1)] {
        vfs.flip_bit(path, offset, 0).unwrap();
        let mut reader = wal.read_from(Lsn(1)).unwrap();
        for _ in 0..readable {
            assert!(reader.next().unwrap().is_some());
        }
        match reader.next() {
            Err(WalError::Corrupt { path: at, .. }) => assert_eq!(&at, path),
            outcome => panic!("{offset}: {outcome:?}"),
        }
        vfs.flip_bit(path, offset, 0).unwrap();
    }
}

#[test]
fn damage_before_the_first_record_that_is_wanted_is_passed_over() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let [first, second] = [0, 1].map(|n| append_and_wait(&wal, n, 300).unwrap());
    // In what the first group of the segment holds; the other stands behind it.
    assert_eq!(wal.stats().segments, 1);
    vfs.flip_bit(&segments(&vfs)[0], 4096 + 90, 0).unwrap();
    let read = read_from(&wal, first.lsn);
    assert!(matches!(read, Err(WalError::Corrupt { .. })), "{read:?}");
    assert_eq!(read_from(&wal, second.lsn).unwrap(), [second]);
}

#[test]
fn beside_writers_and_a_retiring_thread() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let done = AtomicBool::new(false);
    let read_lsn = [AtomicU64::new(0), AtomicU64::new(0)];
    let mut retired = 0;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u64)
            .map(|thread| {
                let wal = &wal;
                scope.spawn(move || {
                    for n in 0..400 {
                        let size = [10, 500, 3_000][n as usize % 3];
                        append_and_wait(wal, thread * 1_000 + n, size).unwrap();
                    }
                })
            })
            .collect();
        let readers: Vec<_> = (0..2)
            .map(|number| {
                let (wal, done, read_lsn) = (&wal, &done, &read_lsn);
                scope.spawn(move || {
                    let mut reader = wal.read_from(Lsn(1)).unwrap();
                    let mut last = 0;
                    loop {
                        let ended = done.load(Ordering::SeqCst);
                        for entry in drain(&mut reader).unwrap() {
                            assert_eq!(entry.lsn, last + 1);
                            let size = entry.payload.len();
                            assert_eq!(entry.payload, common::payload(entry.stamp, size));
                            last = entry.lsn;
                        }
                        read_lsn[number].store(last, Ordering::SeqCst);
                        if ended {
                            return last;
                        }
                        std::thread::yield_now();
                    }
                })
            })
            .collect();
        // What both have read is retired.
        while !writers.iter().all(|writer| writer.is_finished()) {
            let read = read_lsn.iter().map(|lsn| lsn.load(Ordering::SeqCst)).min();
            retired += wal.retire_below(Lsn(read.unwrap_or(0))).unwrap();
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 1_200);
        }
    });
    retired += wal.retire_below(wal.durable_lsn()).unwrap();
    assert!(retired > 3, "{retired}");
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Kill,
    LosePower(u64),
    Idle,
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Cuts and jumps of any number of recoveries are followed: a reader sees what recoveries show.
    #[test]
    fn recovered_logs_read_as_they_were_shown(
        steps in prop::collection::vec(
            prop_oneof![
                6 => (0..9_000_usize).prop_map(Step::Append),
                1 => Just(Step::Kill),
                1 => any::<u64>().prop_map(Step::LosePower),
                1 => Just(Step::Idle),
            ],
            1..40,
        )
    ) {
        let vfs = disk();
        let mut wal = create(&vfs).unwrap();
        for (n, step) in steps.iter().enumerate() {
            match step {
                Step::Append(bytes) => {
                    // A part of them is in flight when the log ends.
                    let ticket = append(&wal, n as u64, *bytes).unwrap().0;
                    if n % 3 > 0 {
                        ticket.wait().unwrap();
                    }
                }
                Step::Idle => {
                    vfs.advance(Duration::from_millis(60));
                    let _ = wal.timed_step();
                }
                Step::Kill | Step::LosePower(_) => {
                    drop(wal);
                    vfs.crash(&match step {
                        Step::LosePower(seed) => CrashPolicy::Random {
                            seed: *seed,
                            sector: docdb_wal::vfs::sim::SectorSize::Bytes512,
                        },
                        _ => CrashPolicy::Kill,
                    });
                    let opened = open(&vfs).unwrap();
                    wal = opened.wal;
                    prop_assert_eq!(read_from(&wal, 1).unwrap(), opened.entries);
                }
            }
        }
        wal.sync().unwrap();
        let read = read_from(&wal, 1).unwrap();
        drop(wal);
        let opened = open(&vfs).unwrap();
        prop_assert_eq!(&read, &opened.entries);
        for entry in read.iter().step_by(7) {
            let tail: Vec<_> = read.iter().filter(|e| e.lsn >= entry.lsn).cloned().collect();
            prop_assert_eq!(read_from(&opened.wal, entry.lsn).unwrap(), tail);
        }
    }
}

/// In large segments whose groups are small and unproven: neither a reader that follows the log nor a
/// recovery that repeats them reads the whole window again for each.
#[test]
fn small_groups_are_not_read_over_and_over() {
    const GROUPS: u64 = 200;
    let vfs = HookVfs::new(disk(), |_, _| {});
    let read_bytes = Arc::clone(&vfs.read_bytes);
    let mut options = options();
    options.durability = Durability::Os;
    options.segment_bytes_min = 4 << 20;
    let shared = Arc::new(vfs.clone());
    let wal = Wal::create(shared, dir(), options.clone(), Arc::new(ManualDriver)).unwrap();
    let mut reader = wal.read_from(Lsn(1)).unwrap();
    let before = read_bytes.load(Ordering::SeqCst);
    for n in 0..GROUPS {
        let entry = append_and_wait(&wal, n, 20).unwrap();
        assert_eq!(drain(&mut reader).unwrap(), [entry]);
    }
    let read = read_bytes.load(Ordering::SeqCst) - before;
    assert!(read <= GROUPS * (16 << 10), "{read} bytes");
    drop((reader, wal));

    let judged = Recovery::judge(Arc::new(vfs.clone()), dir(), options, &mut |_| Ok(()));
    let before = read_bytes.load(Ordering::SeqCst);
    let (wal, _) = judged.unwrap().act(Arc::new(ManualDriver)).unwrap();
    let read = read_bytes.load(Ordering::SeqCst) - before;
    assert!(read <= 4 << 20, "{read} bytes");
    assert_eq!(read_from(&wal, 1).unwrap().len() as u64, GROUPS);
}
