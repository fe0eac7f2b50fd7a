//! Logs that no version wrote, and whose checksums are right all the same: what the fuzzers found.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;
#[path = "fuzzing/seal.rs"]
mod seal;

use common::{Entry, append_and_wait, create, disk, open, segments};
use docdb_wal::vfs::sim::SimVfs;
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
