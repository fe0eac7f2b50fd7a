//! Records that stand compressed: what is read is what was given, or an error.

#![cfg(feature = "lz4")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::forge::{self, read_u32, write_u32};
use common::{Entry, Promise, append, append_and_wait, disk, judge, open_with, policies, segments};
use docdb_wal::vfs::sim::{CrashPolicy, Fault, FaultKind, SimVfs};
use docdb_wal::{
    Body, Compression, Durability, Lsn, ManualDriver, Record, Result, Wal, WalError, WalOptions,
    inspect,
};
use proptest::prelude::*;

const FIRST_GROUP: usize = 4096;
const FLAG_COMPRESSED: u16 = 1;

fn options() -> WalOptions {
    let mut options = common::options();
    options.compression = Compression::Lz4;
    options
}

fn create(vfs: &SimVfs) -> Result<Wal> {
    let vfs = Arc::new(vfs.clone());
    Wal::create(vfs, common::dir(), options(), Arc::new(ManualDriver))
}

/// A payload of which about `noise` of 16 bytes cannot be guessed from those before.
fn payload(seed: u64, bytes: usize, noise: u8) -> Vec<u8> {
    let mut state = seed | 1;
    (0..bytes)
        .map(|at| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let dice = (state >> 33) as u8;
            if dice % 16 < noise {
                (state >> 48) as u8
            } else {
                at as u8 % 32
            }
        })
        .collect()
}

#[derive(Debug, Clone)]
struct Given {
    head_bytes: usize,
    payload: Vec<u8>,
    form: u8,
}

fn given() -> impl Strategy<Value = Given> {
    let bytes = prop_oneof![
        4 => 4_000_usize..4_200,
        2 => 0_usize..20_000,
        1 => 20_000_usize..200_000,
    ];
    let noise = prop_oneof![Just(0_u8), Just(16), 0_u8..=16];
    (bytes, noise, any::<u64>(), 0_usize..40, 0_u8..4).prop_map(
        |(bytes, noise, seed, head_bytes, form)| Given {
            head_bytes: head_bytes.min(bytes),
            payload: payload(seed, bytes, noise),
            form,
        },
    )
}

fn append_given(wal: &Wal, n: u64, given: &Given) -> docdb_wal::CommitTicket {
    let (head, body) = given.payload.split_at(given.head_bytes);
    let shared = Body::Shared(bytes::Bytes::copy_from_slice(body));
    let record = Record {
        stamp: n,
        kind: 7,
        head,
        body: match given.form {
            0 => Body::Slice(body),
            1 => shared,
            2 => wal.pack(Body::Slice(body)),
            _ => wal.pack(wal.pack(shared)),
        },
        payload_crc: crc32fast::hash(&given.payload),
    };
    assert_eq!(record.payload_bytes(), given.payload.len());
    wal.append_record(&record).unwrap()
}

fn read_all(wal: &Wal) -> Vec<Vec<u8>> {
    let mut reader = wal.read_from(Lsn(1)).unwrap();
    let mut seen = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        assert!(record.stored_bytes <= record.payload.len());
        seen.push(record.payload.to_vec());
    }
    seen
}

fn inspected(vfs: &SimVfs) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    for path in segments(vfs) {
        inspect::segment(vfs, &path, &mut |_| {}, &mut |record| {
            seen.push(record.payload.to_vec());
        })
        .unwrap();
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_read_is_what_was_given(
        batches in prop::collection::vec(prop::collection::vec(given(), 1..5), 1..6)
    ) {
        let vfs = disk();
        let wal = create(&vfs).unwrap();
        let mut expected = Vec::new();
        for batch in &batches {
            let mut tickets = Vec::new();
            for given in batch {
                expected.push(given.payload.clone());
                tickets.push(append_given(&wal, expected.len() as u64, given));
            }
            for ticket in tickets {
                ticket.wait().unwrap();
            }
        }
        prop_assert_eq!(&read_all(&wal), &expected);
        prop_assert_eq!(&inspected(&vfs), &expected);
        drop(wal); // killed: the last group is copied as it stands
        for _ in 0..2 {
            let opened = open_with(&vfs, options()).unwrap();
            prop_assert_eq!(opened.report.tail_groups, 1);
            let bytes: usize = expected.iter().map(Vec::len).sum();
            prop_assert_eq!(opened.report.payload_bytes, bytes as u64);
            let seen: Vec<_> = opened.entries.iter().map(|e| e.payload.clone()).collect();
            prop_assert_eq!(&seen, &expected);
            prop_assert_eq!(&read_all(&opened.wal), &expected);
        }
    }
}

/// The stored length of each record.
fn stored_bytes(wal: &Wal) -> Vec<usize> {
    let mut reader = wal.read_from(Lsn(1)).unwrap();
    let mut seen = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        seen.push(record.stored_bytes);
    }
    seen
}

#[test]
fn only_what_is_large_and_worth_it_is_compressed() {
    let wal = create(&disk()).unwrap();
    for (bytes, noise) in [(4_095, 0), (4_096, 0), (100_000, 16), (100_000, 3)] {
        wal.append(1, &payload(3, bytes, noise))
            .unwrap()
            .wait()
            .unwrap();
    }
    let stored = stored_bytes(&wal);
    assert_eq!((stored[0], stored[2]), (4_095, 100_000));
    assert!(stored[1] < 400, "{stored:?}");
    assert!((16 << 10..87_500).contains(&stored[3]), "{stored:?}");
}

#[test]
fn without_the_option_nothing_is_compressed() {
    let vfs = disk();
    let wal = common::create(&vfs).unwrap();
    let body = payload(1, 9_000, 0);
    let record = Record {
        stamp: 0,
        kind: 1,
        head: &[],
        body: wal.pack(Body::Slice(&body)),
        payload_crc: crc32fast::hash(&body),
    };
    wal.append_record(&record).unwrap().wait().unwrap();
    assert_eq!(stored_bytes(&wal), [9_000]);
    drop(wal);
    // A log of both kinds.
    let wal = open_with(&vfs, options()).unwrap().wal;
    append_and_wait(&wal, 2, 9_000).unwrap();
    drop(wal);
    let opened = common::open(&vfs).unwrap();
    assert_eq!(opened.entries[0].payload, body);
    assert_eq!(opened.entries[1].payload, common::payload(2, 9_000));
    assert!(stored_bytes(&opened.wal)[1] < 1_000);
}

#[test]
fn a_body_packed_ahead_stands_as_one_that_was_not() {
    let files = [false, true].map(|ahead| {
        let vfs = disk();
        let wal = create(&vfs).unwrap();
        let (head, body) = (b"head", payload(4, 50_000, 3));
        let body = Body::Slice(&body);
        let mut whole = crc32fast::Hasher::new();
        whole.update(head);
        whole.update(&payload(4, 50_000, 3));
        let record = Record {
            stamp: 1,
            kind: 2,
            head,
            body: if ahead { wal.pack(body) } else { body },
            payload_crc: whole.finalize(),
        };
        wal.append_record(&record).unwrap().wait().unwrap();
        vfs.read_file(&segments(&vfs)[0]).unwrap()
    });
    assert!(files[0] == files[1]);
}

#[test]
fn the_limit_is_that_of_the_payload_as_it_is_given() {
    let wal = create(&disk()).unwrap();
    let large = vec![0; (36 << 20) + 1];
    let refused = |record: &Record<'_>| {
        let outcome = wal.append_record(record).map(drop);
        assert!(matches!(outcome, Err(WalError::TooLarge { bytes, .. }) if bytes == 37_748_737));
    };
    refused(&Record {
        stamp: 0,
        kind: 1,
        head: &[],
        body: Body::Slice(&large),
        payload_crc: 0,
    });
    refused(&Record {
        stamp: 0,
        kind: 1,
        head: &[0],
        body: wal.pack(Body::Slice(&large[1..])),
        payload_crc: 0,
    });
    wal.append(1, &large[1..]).unwrap().wait().unwrap();
    assert!(stored_bytes(&wal)[0] < 200_000);
}

/// Batches of records that compress, large enough that some of the blocks are linked; a recovery and
/// reused segments between them.
fn workload(vfs: &SimVfs, promise: &mut Promise) -> Result<()> {
    let mut wal = create(vfs)?;
    promise.created = true;
    let mut n = 0;
    for (round, sizes) in [
        &[5_000, 100][..],
        &[4_096, 4_095, 300_000],
        &[6_000],
        &[9_000, 50],
        &[70_000],
    ]
    .into_iter()
    .enumerate()
    {
        if round == 3 {
            drop(wal); // killed
            let opened = open_with(vfs, options())?;
            assert_eq!(promise.violation(&opened.entries), None);
            wal = opened.wal;
            promise.retired = 2;
            wal.retire_below(Lsn(promise.appended[2].lsn))?;
        }
        let mut tickets = Vec::new();
        for &bytes in sizes {
            n += 1;
            let (ticket, entry) = append_noisy(&wal, n, bytes)?;
            promise.appended.push(entry);
            tickets.push(ticket);
        }
        for ticket in tickets {
            ticket.wait()?;
        }
        promise.acknowledged = promise.appended.len();
        wal.run_steps();
    }
    wal.close()
}

fn append_noisy(wal: &Wal, n: u64, bytes: usize) -> Result<(docdb_wal::CommitTicket, Entry)> {
    let payload = payload(n, bytes, 2);
    let ticket = wal.append_record(&Record {
        stamp: n,
        kind: 1,
        head: &payload[..9],
        body: Body::Slice(&payload[9..]),
        payload_crc: crc32fast::hash(&payload),
    })?;
    let lsn = ticket.lsn().0;
    let entry = Entry {
        lsn,
        stamp: n,
        kind: 1,
        payload,
    };
    Ok((ticket, entry))
}

#[test]
fn after_a_power_loss_everything_acknowledged_is_there() {
    let whole = disk();
    let first = whole.op_count();
    workload(&whole, &mut Promise::default()).unwrap();
    for at_op in first..=whole.op_count() {
        let vfs = disk();
        vfs.set_fault(Fault {
            at_op,
            kind: FaultKind::PowerOff,
            sticky: false,
        });
        let mut promise = Promise::default();
        let _ = workload(&vfs, &mut promise);
        for policy in policies(&vfs, at_op, 6) {
            let image = vfs.fork_crash(&policy);
            let opened = open_with(&image, options());
            if !promise.created && common::is_absent(&opened) {
                continue;
            }
            let opened = opened.unwrap();
            let violation = promise.violation(&opened.entries);
            assert_eq!(violation, None, "at operation {at_op}, {policy:?}");
            // What was shown once stays.
            let again = open_with(&image.fork_crash(&CrashPolicy::KeepNone), options()).unwrap();
            assert!(again.entries == opened.entries, "{at_op}, {policy:?}");
        }
    }
}

#[test]
fn reused_segments_hold_compressed_records() {
    let vfs = disk();
    let mut options = options();
    options.segment_bytes_max = options.segment_bytes_min;
    options.durability = Durability::Os;
    let driver = Arc::new(ManualDriver);
    let wal = Wal::create(
        Arc::new(vfs.clone()),
        common::dir(),
        options.clone(),
        driver,
    )
    .unwrap();
    let mut entries = Vec::new();
    for n in 0..200 {
        let (ticket, entry) = append_noisy(&wal, n, 5_000 + n as usize).unwrap();
        ticket.wait().unwrap();
        entries.push(entry);
        wal.run_steps();
        wal.sync().unwrap();
        wal.retire_below(Lsn(n.saturating_sub(3))).unwrap();
    }
    drop(wal);
    let mut recycled = 0;
    for path in segments(&vfs) {
        inspect::segment(
            &vfs,
            &path,
            &mut |found| {
                if let inspect::Found::Segment(segment) = found {
                    recycled += usize::from(segment.recycled);
                }
            },
            &mut |_| {},
        )
        .unwrap();
    }
    assert!(recycled > 0);
    let found = open_with(&vfs, options).unwrap().entries;
    assert!(found.len() >= 4);
    assert!(found == entries[entries.len() - found.len()..]);
}

/// A closed log whose first group is one compressed record, the rest plain ones.
fn closed_log() -> (SimVfs, Vec<Entry>) {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let entries = [5_000, 10].map(|bytes| append_and_wait(&wal, 1, bytes).unwrap());
    wal.close().unwrap();
    (vfs, entries.to_vec())
}

/// The bytes of the first group, padding excluded.
fn first_group_bytes(vfs: &SimVfs, path: &Path) -> usize {
    let file = vfs.read_file(path).unwrap();
    forge::GROUP_HEADER_BYTES + read_u32(&file, FIRST_GROUP + 40) as usize
}

#[test]
fn every_flipped_bit_of_a_compressed_record_is_found() {
    let (vfs, entries) = closed_log();
    let path = &segments(&vfs)[0];
    let bytes = first_group_bytes(&vfs, path);
    assert!(bytes < 1_000, "the record is compressed");
    for offset in FIRST_GROUP..FIRST_GROUP + bytes {
        for bit in 0..8 {
            vfs.flip_bit(path, offset as u64, bit).unwrap();
            match judge(&vfs, options()).map(drop).unwrap_err() {
                WalError::Corrupt { path: at, .. } => assert_eq!(&at, path),
                error => panic!("{error}"),
            }
            vfs.flip_bit(path, offset as u64, bit).unwrap();
        }
    }
    assert!(judge(&vfs, options()).unwrap().0 == entries);
}

#[test]
fn a_record_that_is_not_what_it_says_is_corrupt_and_no_torn_tail() {
    type Change = fn(&mut Vec<u8>);
    let lies: [(&str, Change); 9] = [
        ("shorter", |s| write_u32(s, 0, 4_999)),
        ("longer", |s| write_u32(s, 0, 5_001)),
        ("none", |s| write_u32(s, 0, 0)),
        ("larger than any record", |s| write_u32(s, 0, u32::MAX)),
        ("another checksum", |s| s[4] ^= 1),
        ("a longer front", |s| write_u32(s, 8, 6)),
        ("a front beyond the end", |s| write_u32(s, 8, u32::MAX)),
        ("a cut block", |s| s.truncate(s.len() - 1)),
        ("a cut prefix", |s| s.truncate(11)),
    ];
    for (name, change) in lies {
        // The last group of a log that was not closed: nothing else says that it was durable.
        let vfs = disk();
        let wal = create(&vfs).unwrap();
        let (ticket, _) = append(&wal, 1, 5_000).unwrap();
        ticket.wait().unwrap();
        let path = &segments(&vfs)[0];
        forge::record(&vfs, path, FIRST_GROUP, FLAG_COMPRESSED, change);
        let assert_refused = |error: WalError| match error {
            WalError::Corrupt {
                path: at, offset, ..
            } => {
                assert_eq!((&at, offset as usize), (path, FIRST_GROUP + 80), "{name}");
            }
            error => panic!("{name}: {error}"),
        };
        let mut reader = wal.read_from(Lsn(1)).unwrap();
        // Asking again does not pass it over.
        assert_refused(reader.next().map(drop).unwrap_err());
        assert_refused(reader.next().map(drop).unwrap_err());
        assert_refused(judge(&vfs, options()).map(drop).unwrap_err());
        let mut unreadable = 0;
        let mut found =
            |found| unreadable += usize::from(matches!(found, inspect::Found::Unreadable { .. }));
        inspect::segment(&vfs, path, &mut found, &mut |_| panic!("{name}")).unwrap();
        assert_eq!(unreadable, 1, "{name}");
        // Below what is still needed it is left alone.
        let mut later = options();
        later.start_lsn = Some(Lsn(2));
        assert!(judge(&vfs, later).unwrap().0.is_empty());
    }
}
