//! Logs that no version wrote, and whose checksums are right all the same: what the fuzzers found.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;
#[path = "fuzzing/seal.rs"]
mod seal;

use common::{Entry, append_and_wait, create, disk, judge, open, options, segments};
use docdb_wal::inspect::{self, Found};
use docdb_wal::vfs::sim::SimVfs;
use docdb_wal::{Lsn, WalError};
use seal::{GROUP_HEADER_BYTES, GROUP_MAGIC, Sealing, groups, seal_log};

const SEAL: u8 = 1;
const JUMP: u8 = 2;
const CLOSE: u8 = 4;

/// A log of one segment with a few groups of one record.
fn small_log() -> (SimVfs, Vec<Entry>) {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let entries = (0..2).map(|n| append_and_wait(&wal, n, 40).unwrap());
    let entries = entries.collect();
    (vfs, entries)
}

/// Changes the newest segment, and seals the log.
fn forge(vfs: &SimVfs, sealing: Sealing, change: impl FnOnce(&mut [u8])) {
    let path = segments(vfs).pop().unwrap();
    let mut bytes = vfs.read_file(&path).unwrap();
    change(&mut bytes);
    vfs.write_file(&path, &bytes).unwrap();
    seal_log(vfs, sealing);
}

/// Opens the log, which shows these entries, writes to it, and finds all of it again.
fn goes_on(vfs: &SimVfs, mut entries: Vec<Entry>) {
    let opened = open(vfs).unwrap();
    assert_eq!(opened.entries, entries);
    entries.push(append_and_wait(&opened.wal, 9, 10).unwrap());
    drop(opened.wal);
    assert_eq!(open(vfs).unwrap().entries, entries);
}

/// A seal that was copied with the tail would promise a segment that nobody writes.
#[test]
fn a_mark_on_a_group_with_records_is_none_of_ours() {
    let (vfs, mut entries) = small_log();
    forge(&vfs, Sealing::ALL, |bytes| {
        let last = groups(bytes)[1].offset;
        bytes[last + 48] = SEAL;
    });
    entries.pop();
    goes_on(&vfs, entries);
}

/// Nobody but a recovery lets the numbers jump, and it does so before its segment gets a name.
#[test]
fn a_jump_that_no_recovery_made_is_none_of_ours() {
    for marks in [JUMP, JUMP | CLOSE] {
        let (vfs, entries) = small_log();
        forge(&vfs, Sealing::ALL, |bytes| {
            let at = groups(bytes)[1].offset.next_multiple_of(4096) + 4096;
            let header = &mut bytes[at..at + GROUP_HEADER_BYTES];
            header[..4].copy_from_slice(GROUP_MAGIC);
            header[8] = 3;
            header[16] = 90;
            header[48] = marks;
        });
        goes_on(&vfs, entries);
    }
}

/// A recovery that is done again copies what the one before it has copied, and jumps anew.
#[test]
fn a_jump_is_the_last_that_a_recovery_wrote() {
    let (vfs, _) = small_log();
    let opened = open(&vfs).unwrap();
    append_and_wait(&opened.wal, 2, 10).unwrap();
    drop(opened.wal);
    // As if the record behind the jump had been copied too.
    forge(&vfs, Sealing::ALL, |bytes| {
        let jump = groups(bytes)
            .into_iter()
            .find(|group| bytes[group.offset + 48] == JUMP);
        let number = bytes[jump.unwrap().offset + 8];
        assert_eq!(bytes[64], number, "the header proves the jump");
        bytes[64] += 1;
    });
    let error = judge(&vfs, options()).unwrap_err();
    assert!(matches!(error, WalError::Corrupt { .. }), "{error}");
}

/// The number of a record that would follow the last number there is.
#[test]
fn numbers_at_the_end_of_all_numbers_are_shown_or_refused() {
    let (vfs, _) = small_log();
    forge(&vfs, Sealing::ALL, |bytes| {
        let first = groups(bytes)[0].offset;
        bytes[first + 16..first + 24].fill(0xff);
    });
    let mut numbers = Vec::new();
    inspect::segment(
        &vfs,
        &segments(&vfs)[0],
        &mut |found| {
            if let Found::Group(group) = found {
                numbers.push(group.first_lsn.0);
                assert!(group.fault.is_some() || group.first_lsn == Lsn(2));
            }
        },
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(numbers, [u64::MAX, 2]);
    let error = judge(&vfs, options()).unwrap_err();
    assert!(
        matches!(error, WalError::Corrupt { offset: 4096, .. }),
        "{error}"
    );
}

/// A log whose oldest segment says, once it is open, that it follows the last number there is.
#[test]
fn a_cut_behind_all_numbers_is_refused() {
    let vfs = disk();
    drop(create(&vfs).unwrap());
    let opened = open(&vfs).unwrap();
    append_and_wait(&opened.wal, 0, 40).unwrap();
    opened.wal.retire_below(opened.wal.durable_lsn()).unwrap();
    assert_eq!(segments(&vfs).len(), 1);
    forge(&vfs, Sealing::ALL, |bytes| bytes[88..96].fill(0xff));
    let error = opened.wal.oldest_lsn().unwrap_err();
    assert!(matches!(error, WalError::Corrupt { .. }), "{error}");
}
