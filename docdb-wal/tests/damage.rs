//! Bytes that change, files that vanish or stand in for each other. One test for each row of the
//! table of verdicts in the documentation of the recovery.
//!
//! What cannot be told from a torn tail is exactly this: the last group of a log that was not
//! closed, while nothing after it and nobody outside proves that it was durable. It is lost if one
//! of its bytes (header, record headers, payloads; not the padding) changes.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::path::{Path, PathBuf};

use common::{Entry, append, append_and_wait, create, disk, open, open_with, options, segments};
use docdb_wal::vfs::sim::{CrashPolicy, SimVfs};
use docdb_wal::{Lsn, Verdict, WalError, WalOptions};

/// A log of three segments or more with a recovery in the middle, closed or not, that has room
/// prepared ahead. Its last group holds two records.
fn small_log(close: bool) -> (SimVfs, Vec<Entry>) {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let mut entries = Vec::new();
    for n in 0..3 {
        entries.push(append_and_wait(&wal, n, 100).unwrap());
    }
    entries.push(append_and_wait(&wal, 3, 5_000).unwrap());
    drop(wal);
    let wal = open(&vfs).unwrap().wal;
    entries.push(append_and_wait(&wal, 4, 4_500).unwrap());
    while wal.prepare_step().unwrap() {}
    let (first, entry) = append(&wal, 5, 20).unwrap();
    entries.push(entry);
    let (second, entry) = append(&wal, 6, 30).unwrap();
    entries.push(entry);
    second.wait().unwrap();
    first.wait().unwrap();
    if close {
        wal.close().unwrap();
    }
    drop(wal);
    let image = vfs.fork_crash(&CrashPolicy::KeepNone);
    assert_eq!(
        judge(&image, options()).unwrap().0,
        entries,
        "undamaged, everything is there"
    );
    (image, entries)
}

/// Device bytes of the last group of [`small_log`], padding excluded.
const LAST_GROUP_BYTES: usize = 80 + 2 * 32 + 20 + 30;

/// Judges, and checks that this changes nothing, whatever the verdict.
fn judge(vfs: &SimVfs, options: WalOptions) -> Result<(Vec<Entry>, Verdict), WalError> {
    let operations = vfs.op_count();
    let outcome = common::judge(vfs, options);
    assert_eq!(vfs.op_count(), operations, "judging changed something");
    outcome
}

fn damaged_file(error: &WalError) -> &Path {
    match error {
        WalError::Corrupt { path, .. } | WalError::UnsupportedVersion { path, .. } => path,
        error => panic!("an error that is no refusal: {error}"),
    }
}

/// Flips one bit in every byte and collects the bytes whose change cost records.
fn flip_everything(vfs: &SimVfs, entries: &[Entry]) -> (usize, Vec<(PathBuf, usize)>) {
    let (mut refused, mut lossy) = (0, Vec::new());
    for path in segments(vfs) {
        for offset in 0..vfs.read_file(&path).unwrap().len() {
            let bit = (offset % 8) as u8;
            vfs.flip_bit(&path, offset as u64, bit).unwrap();
            match judge(vfs, options()) {
                Err(error) => {
                    assert_eq!(damaged_file(&error), path, "{offset}: {error}");
                    refused += 1;
                }
                Ok((found, _)) if found == entries => {}
                Ok((found, verdict)) => {
                    assert_eq!(found, entries[..entries.len() - 2], "{path:?} {offset}");
                    let cut = verdict.report().cut.clone().unwrap();
                    assert_eq!(cut.path, path);
                    assert!(cut.offset <= offset as u64);
                    lossy.push((path.clone(), offset));
                }
            }
            vfs.flip_bit(&path, offset as u64, bit).unwrap();
        }
    }
    (refused, lossy)
}

#[test]
fn no_changed_bit_of_a_closed_log_costs_a_record() {
    let (vfs, entries) = small_log(true);
    let (refused, lossy) = flip_everything(&vfs, &entries);
    assert_eq!(lossy, []);
    assert!(refused > 10_000, "{refused}");
}

#[test]
fn a_changed_bit_of_an_unclosed_log_costs_its_last_group_at_most() {
    let (vfs, entries) = small_log(false);
    let (refused, lossy) = flip_everything(&vfs, &entries);
    assert!(refused > 9_500, "{refused}");
    // Each byte of the last group, and nothing else.
    assert_eq!(lossy.len(), LAST_GROUP_BYTES);
    let (path, first) = &lossy[0];
    assert_eq!(first % 4096, 0);
    let (last_path, last) = &lossy[lossy.len() - 1];
    assert_eq!((last_path, last - first + 1), (path, LAST_GROUP_BYTES));
    // Unless somebody knows that it was durable.
    let mut proven = options();
    proven.proven_lsn = Lsn(entries[entries.len() - 1].lsn);
    for offset in *first..=*last {
        vfs.flip_bit(path, offset as u64, 0).unwrap();
        let error = judge(&vfs, proven.clone()).unwrap_err();
        assert_eq!(damaged_file(&error), path);
        vfs.flip_bit(path, offset as u64, 0).unwrap();
    }
}

#[test]
fn a_group_bad_or_missing_at_or_below_p_is_refused() {
    let (vfs, _) = small_log(true);
    let path = &segments(&vfs)[0];
    let mut bytes = vfs.read_file(path).unwrap();
    bytes[4096..8192].fill(0);
    vfs.write_file(path, &bytes).unwrap();
    match judge(&vfs, options()).unwrap_err() {
        WalError::Corrupt {
            path: at, offset, ..
        } => assert_eq!((&at, offset), (path, 4096)),
        error => panic!("{error}"),
    }
}

#[test]
fn a_sealed_segment_without_its_successor_is_refused() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    append_and_wait(&wal, 0, 7_000).unwrap();
    append_and_wait(&wal, 1, 7_000).unwrap();
    drop(wal);
    let files = segments(&vfs);
    assert_eq!(files.len(), 2);
    vfs.remove(&files[1]).unwrap();
    let error = judge(&vfs, options()).unwrap_err();
    // The missing file is named, not one that is whole.
    assert_eq!(damaged_file(&error), files[1]);
}

#[test]
fn a_damaged_header_or_a_gap_is_refused() {
    let (vfs, _) = small_log(true);
    for path in segments(&vfs) {
        let vfs = vfs.fork_crash(&CrashPolicy::KeepNone);
        let mut bytes = vfs.read_file(&path).unwrap();
        bytes[..4096].fill(0);
        vfs.write_file(&path, &bytes).unwrap();
        let error = judge(&vfs, options()).unwrap_err();
        assert_eq!(damaged_file(&error), path);
    }
    let files = segments(&vfs);
    vfs.remove(&files[1]).unwrap();
    let error = judge(&vfs, options()).unwrap_err();
    // The missing file is named, not one that is whole.
    assert_eq!(damaged_file(&error), files[1]);
}

#[test]
fn damage_wholly_before_start_lsn_is_left_alone() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let entries: Vec<_> = (0..20)
        .map(|n| append_and_wait(&wal, n, 9_000).unwrap())
        .collect();
    drop(wal);
    let files = segments(&vfs);
    assert!(files.len() >= 4);
    let mut from = options();
    from.start_lsn = Some(Lsn(entries[19].lsn));
    for damage in [
        |vfs: &SimVfs, path: &Path| vfs.remove(path).unwrap(),
        |vfs: &SimVfs, path: &Path| vfs.flip_bit(path, 30, 0).unwrap(),
    ] {
        let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
        damage(&vfs, &files[1]);
        assert!(judge(&vfs, options()).is_err(), "all of it is wanted");
        let opened = open_with(&vfs, from.clone()).unwrap();
        assert_eq!(opened.entries, entries[19..]);
        assert!(opened.report.foreign.contains(&files[0]));
        append_and_wait(&opened.wal, 20, 10).unwrap();
        drop(opened.wal);
        assert_eq!(open_with(&vfs, from.clone()).unwrap().entries.len(), 2);
    }
    // Of the segment in which `start_lsn` stands, nothing may be missing.
    from.start_lsn = Some(Lsn(entries[1].lsn));
    vfs.remove(&files[1]).unwrap();
    assert!(judge(&vfs, from).is_err());
}

#[test]
fn a_group_bad_above_p_is_a_torn_tail() {
    let (vfs, entries) = small_log(false);
    let opened = open(&vfs.fork_crash(&CrashPolicy::KeepNone)).unwrap();
    assert_eq!(opened.report.tail_groups, 1);
    assert_eq!(opened.report.cut, None);
    let path = segments(&vfs).into_iter().rev().find(|path| {
        let bytes = vfs.read_file(path).unwrap();
        bytes[4096..].iter().any(|&byte| byte != 0)
    });
    let path = path.unwrap();
    let bytes = vfs.read_file(&path).unwrap();
    let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    vfs.flip_bit(&path, last as u64, 0).unwrap();
    let opened = open(&vfs).unwrap();
    assert_eq!(opened.entries, entries[..entries.len() - 2]);
    let cut = opened.report.cut.unwrap();
    assert_eq!((cut.path, cut.offset), (path, last as u64 / 4096 * 4096));
    // The cut is final, even if the old bytes were to become right again.
    let next = append_and_wait(&opened.wal, 9, 10).unwrap();
    drop(opened.wal);
    let again = open(&vfs).unwrap();
    assert_eq!(again.report.cut, None);
    assert_eq!(again.entries.last(), Some(&next));
    assert_eq!(again.entries.len(), entries.len() - 1);
}

/// Everything that can happen to whole files. Who knows where the log begins and what is durable
/// is never shown less.
#[test]
fn files_that_vanish_shrink_or_trade_places() {
    for close in [false, true] {
        let (vfs, entries) = small_log(close);
        let files = segments(&vfs);
        let mut knowing = options();
        knowing.start_lsn = Some(Lsn(1));
        knowing.proven_lsn = Lsn(entries[entries.len() - 1].lsn);
        let check = |what: String, damage: &dyn Fn(&SimVfs)| {
            let vfs = vfs.fork_crash(&CrashPolicy::KeepNone);
            damage(&vfs);
            match judge(&vfs, knowing.clone()) {
                Err(error) => {
                    damaged_file(&error);
                }
                Ok((found, _)) => assert_eq!(found, entries, "{what}"),
            }
            // Without that knowledge, what is shown is still a part without a hole.
            if let Ok((found, _)) = judge(&vfs, options()) {
                let whole = entries
                    .windows(found.len().max(1))
                    .any(|part| part == found);
                assert!(found.is_empty() || whole, "{what}: {found:?}");
            }
        };
        for (i, one) in files.iter().enumerate() {
            check(format!("{one:?} vanished"), &|vfs| vfs.remove(one).unwrap());
            let bytes = vfs.read_file(one).unwrap();
            for len in (0..bytes.len()).step_by(1_024).chain([1, 127, 128, 4_095]) {
                check(format!("{one:?} cut to {len}"), &|vfs| {
                    vfs.write_file(one, &bytes[..len]).unwrap();
                });
            }
            check(format!("{one:?} zeroed"), &|vfs| {
                vfs.write_file(one, &vec![0; bytes.len()]).unwrap();
            });
            for start in (0..bytes.len()).step_by(4_096) {
                check(format!("{one:?} zeroed at {start}"), &|vfs| {
                    let mut bytes = bytes.clone();
                    bytes[start..start + 4_096].fill(0);
                    vfs.write_file(one, &bytes).unwrap();
                });
            }
            for other in &files[..i] {
                let other_bytes = vfs.read_file(other).unwrap();
                check(format!("{one:?} swapped with {other:?}"), &|vfs| {
                    vfs.write_file(one, &other_bytes).unwrap();
                    vfs.write_file(other, &bytes).unwrap();
                });
                check(format!("{one:?} copied over {other:?}"), &|vfs| {
                    vfs.write_file(other, &bytes).unwrap();
                });
                check(format!("{other:?} copied over {one:?}"), &|vfs| {
                    vfs.write_file(one, &other_bytes).unwrap();
                });
                // Groups that moved: a block of one in the place of a block of the other.
                for at in (4_096..bytes.len().min(other_bytes.len())).step_by(4_096) {
                    check(
                        format!("block {at} of {other:?} moved to {one:?}"),
                        &|vfs| {
                            let mut bytes = bytes.clone();
                            bytes[at..at + 4_096].copy_from_slice(&other_bytes[at..at + 4_096]);
                            vfs.write_file(one, &bytes).unwrap();
                        },
                    );
                }
            }
        }
        let none = vfs.fork_crash(&CrashPolicy::KeepNone);
        for file in &files {
            none.remove(file).unwrap();
        }
        assert!(matches!(
            judge(&none, options()),
            Err(WalError::NotFound(_))
        ));
    }
}

#[test]
fn another_log_in_the_directory_is_refused() {
    let (vfs, _) = small_log(true);
    let mut other: WalOptions = options();
    other.wal_id = Some(9);
    let error = judge(&vfs, other).unwrap_err();
    assert!(error.to_string().contains("belongs to log"), "{error}");
}

/// Headers whose checksums are right and whose numbers make no sense.
#[test]
fn impossible_numbers_are_refused_and_never_panic() {
    let (vfs, _) = small_log(true);
    let files = segments(&vfs);
    let reseal = |bytes: &mut [u8]| {
        let crc = crc32fast::hash(&bytes[..124]);
        bytes[124..128].copy_from_slice(&crc.to_le_bytes());
    };
    for field in [40, 48, 56, 64, 72, 80, 88, 96] {
        for value in [0, 1, 4_095, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            for path in &files {
                let vfs = vfs.fork_crash(&CrashPolicy::KeepNone);
                let mut bytes = vfs.read_file(path).unwrap();
                bytes[field..field + 8].copy_from_slice(&value.to_le_bytes());
                reseal(&mut bytes);
                vfs.write_file(path, &bytes).unwrap();
                if let Ok(opened) = open(&vfs) {
                    append_and_wait(&opened.wal, 1, 10).unwrap();
                }
            }
        }
    }
    let vfs = vfs.fork_crash(&CrashPolicy::KeepNone);
    let mut bytes = vfs.read_file(&files[0]).unwrap();
    bytes[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
    reseal(&mut bytes);
    let last = Path::new("/wal/18446744073709551615.wal");
    vfs.write_file(last, &bytes).unwrap();
    assert_eq!(damaged_file(&judge(&vfs, options()).unwrap_err()), last);
}
