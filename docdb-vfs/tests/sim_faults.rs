//! Planned failures, a full disk, and tampering.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use docdb_vfs::sim::{CrashPolicy, Fault, FaultKind, SimVfs};
use docdb_vfs::{OpenMode, Vfs};

const EIO: i32 = 5;
const F: &str = "/f";

fn path(path: &str) -> &Path {
    Path::new(path)
}

/// Plans a failure of the operation after the next `skip`.
fn fail_next(vfs: &SimVfs, skip: u64, kind: FaultKind, sticky: bool) {
    vfs.set_fault(Fault {
        at_op: vfs.op_count() + skip,
        kind,
        sticky,
    });
}

fn durable(vfs: &SimVfs) -> Option<Vec<u8>> {
    vfs.fork_crash(&CrashPolicy::KeepNone)
        .read_file(path(F))
        .ok()
}

#[test]
fn an_error_strikes_once() {
    let vfs = SimVfs::new(1);
    let file = vfs.open(path(F), OpenMode::CreateNew).unwrap();
    fail_next(&vfs, 1, FaultKind::Os(EIO), false);
    file.write_all_at(b"one", 0).unwrap();
    let error = file.write_all_at(b"two", 0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(EIO));
    assert_eq!(vfs.read_file(path(F)).unwrap(), b"one");
    file.write_all_at(b"two", 0).unwrap();
    assert_eq!(vfs.read_file(path(F)).unwrap(), b"two");
}

#[test]
fn a_sticky_error_stays_until_cleared() {
    let vfs = SimVfs::new(1);
    let file = vfs.open(path(F), OpenMode::CreateNew).unwrap();
    fail_next(&vfs, 0, FaultKind::Error(ErrorKind::StorageFull), true);
    for _ in 0..3 {
        assert!(file.write_all_at(b"x", 0).unwrap_err().is_disk_full());
        assert!(vfs.create_dir(path("/d")).unwrap_err().is_disk_full());
        assert!(vfs.rename(path(F), path("/g")).is_err());
        assert!(vfs.remove_file(path(F)).is_err());
        assert!(file.set_len(5).is_err());
        assert!(file.allocate(5).is_err());
    }
    assert_eq!(vfs.files(), [PathBuf::from(F)]);
    vfs.clear_faults();
    file.write_all_at(b"x", 0).unwrap();
}

#[test]
fn interruptions_go_unseen() {
    let vfs = SimVfs::new(1);
    fail_next(&vfs, 0, FaultKind::Error(ErrorKind::Interrupted), true);
    let file = vfs.open(path(F), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    file.sync_data().unwrap();
}

#[test]
fn reads_fail_only_when_they_count() {
    let vfs = SimVfs::new(1);
    vfs.write_file(path(F), &[1; 100]).unwrap();
    let file = vfs.open(path(F), OpenMode::Read).unwrap();
    fail_next(&vfs, 0, FaultKind::Os(EIO), true);
    file.read_exact_at(&mut [0; 10], 0).unwrap();
    assert_eq!(vfs.op_count(), 0);
    vfs.set_reads_count(true);
    assert!(file.read_at(&mut [0; 10], 0).is_err());
    assert!(vfs.open(path(F), OpenMode::Read).is_err());
    assert!(vfs.list(path("/")).is_err());
    assert!(vfs.exists(path(F)).is_err());
    assert!(vfs.lock_dir(path("/")).is_err());
    assert_eq!(vfs.op_count(), 5);
    vfs.clear_faults();
    fail_next(&vfs, 0, FaultKind::Short, false);
    assert!(file.read_at(&mut [0; 100], 0).unwrap() < 100);
    assert_eq!(file.read_at(&mut [0; 100], 0).unwrap(), 100);
}

#[test]
fn a_short_write_leaves_a_part() {
    let vfs = SimVfs::new(1);
    let file = vfs.open(path(F), OpenMode::CreateNew).unwrap();
    fail_next(&vfs, 0, FaultKind::Short, false);
    assert!(file.write_all_at(&[1; 1000], 0).is_err());
    assert!(file.len().unwrap() < 1000);
}

#[test]
fn a_second_sync_after_a_failed_one_proves_nothing() {
    let vfs = SimVfs::new(1);
    let file = vfs.open(path(F), OpenMode::CreateNew).unwrap();
    vfs.sync_dir(path("/")).unwrap();
    file.write_all_at(&[1; 4096], 0).unwrap();
    fail_next(&vfs, 0, FaultKind::Os(EIO), false);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(
        vfs.read_file(path(F)).unwrap(),
        [1; 4096],
        "still in the cache"
    );
    assert_eq!(durable(&vfs).unwrap(), [0; 4096], "but not on the medium");
    let lucky = vfs.fork_crash(&CrashPolicy::KeepAll);
    assert_eq!(lucky.read_file(path(F)).unwrap(), [1; 4096]);
    file.write_all_at(&[2; 4096], 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(
        durable(&vfs).unwrap(),
        [2; 4096],
        "a new write makes the page dirty again"
    );
    assert_eq!(vfs.unsynced_units(), 0);
}

#[test]
fn a_second_directory_sync_after_a_failed_one_proves_nothing() {
    let vfs = SimVfs::new(1);
    vfs.open(path(F), OpenMode::CreateNew).unwrap();
    fail_next(&vfs, 0, FaultKind::Os(EIO), false);
    assert!(vfs.sync_dir(path("/")).is_err());
    vfs.sync_dir(path("/")).unwrap();
    assert_eq!(durable(&vfs), None);
}

#[test]
fn a_sync_of_a_rename_takes_the_lost_creation_along() {
    let vfs = SimVfs::new(1);
    vfs.open(path(F), OpenMode::CreateNew).unwrap();
    fail_next(&vfs, 0, FaultKind::Os(EIO), false);
    assert!(vfs.sync_dir(path("/")).is_err());
    vfs.rename(path(F), path("/g")).unwrap();
    vfs.sync_dir(path("/")).unwrap();
    for policy in [CrashPolicy::KeepNone, CrashPolicy::KeepAll] {
        assert_eq!(vfs.fork_crash(&policy).files(), [PathBuf::from("/g")]);
    }
}

#[test]
fn a_lying_sync_is_made_good_by_an_honest_one() {
    let vfs = SimVfs::new(1);
    let file = vfs.open(path(F), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    fail_next(&vfs, 0, FaultKind::SyncLies, true);
    file.sync_data().unwrap();
    vfs.sync_dir(path("/")).unwrap();
    assert_eq!(durable(&vfs), None);
    vfs.clear_faults();
    vfs.sync_dir(path("/")).unwrap();
    assert_eq!(durable(&vfs).unwrap(), b"");
    file.sync_data().unwrap();
    assert_eq!(durable(&vfs).unwrap(), b"abc");
}

#[test]
fn without_power_nothing_works() {
    let vfs = SimVfs::new(1);
    vfs.write_file(path(F), b"old").unwrap();
    let file = vfs.open(path(F), OpenMode::ReadWrite).unwrap();
    fail_next(&vfs, 0, FaultKind::PowerOff, false);
    assert!(file.write_all_at(b"new", 0).is_err());
    assert!(vfs.power_is_off());
    let ops = vfs.op_count();
    assert!(file.read_at(&mut [0; 3], 0).is_err());
    assert!(file.sync_data().is_err());
    assert!(file.len().is_err());
    assert!(vfs.open(path(F), OpenMode::Read).is_err());
    assert!(vfs.open(path("/g"), OpenMode::CreateNew).is_err());
    assert!(vfs.list(path("/")).is_err());
    assert!(vfs.exists(path(F)).is_err());
    assert!(vfs.lock_dir(path("/")).is_err());
    assert_eq!(vfs.op_count(), ops);
    // The write that the failure struck is unsynced like any other.
    assert_eq!(durable(&vfs).unwrap(), b"old");
    let all = vfs.fork_crash(&CrashPolicy::KeepAll);
    assert_eq!(all.read_file(path(F)).unwrap(), b"new");
    vfs.crash(&CrashPolicy::KeepNone);
    assert!(!vfs.power_is_off());
    assert_eq!(vfs.list(path("/")).unwrap(), ["f"]);
}

#[test]
fn power_goes_off_also_in_an_operation_that_fails() {
    let vfs = SimVfs::new(1);
    vfs.write_file(path(F), b"").unwrap();
    fail_next(&vfs, 0, FaultKind::PowerOff, false);
    assert!(vfs.open(path(F), OpenMode::CreateNew).is_err());
    assert!(vfs.power_is_off());
    assert!(vfs.sync_dir(path("/")).is_err());
}

#[test]
fn power_lost_in_a_sync_leaves_it_open() {
    let vfs = SimVfs::new(1);
    let file = vfs.open(path(F), OpenMode::CreateNew).unwrap();
    vfs.sync_dir(path("/")).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    fail_next(&vfs, 0, FaultKind::PowerOff, false);
    assert!(file.sync_data().is_err());
    assert_eq!(durable(&vfs).unwrap(), b"");
    let all = vfs.fork_crash(&CrashPolicy::KeepAll);
    assert_eq!(all.read_file(path(F)).unwrap(), b"abc");
}

#[test]
fn a_misdirected_write_lands_elsewhere() {
    let vfs = SimVfs::new(1);
    let file = vfs.open(path(F), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"0123456789", 0).unwrap();
    fail_next(&vfs, 0, FaultKind::Misdirected { offset: 7 }, false);
    file.write_all_at(b"xy", 2).unwrap();
    assert_eq!(vfs.read_file(path(F)).unwrap(), b"0123456xy9");
    fail_next(&vfs, 0, FaultKind::Misdirected { offset: u64::MAX }, false);
    assert!(file.write_all_at(b"xy", 2).is_err());
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let vfs = SimVfs::new(1);
    vfs.set_capacity_bytes(Some(4 * 4096));
    let file = vfs.open(path(F), OpenMode::CreateNew).unwrap();
    file.allocate(2 * 4096).unwrap();
    assert_eq!(vfs.used_bytes(), 2 * 4096);
    let other = vfs.open(path("/g"), OpenMode::CreateNew).unwrap();
    other.write_all_at(&[1; 8192], 0).unwrap();
    assert!(
        other
            .write_all_at(&[1; 1], 8192)
            .unwrap_err()
            .is_disk_full()
    );
    assert!(file.allocate(3 * 4096).unwrap_err().is_disk_full());
    assert_eq!(other.len().unwrap(), 8192);
    // What was set aside and what is there already can be written.
    file.write_all_at(&[2; 8192], 0).unwrap();
    other.write_all_at(&[3; 8192], 0).unwrap();
    other.set_len(1 << 30).unwrap();
    assert_eq!(vfs.used_bytes(), 4 * 4096, "holes take no space");
    vfs.remove_file(path("/g")).unwrap();
    assert!(
        file.write_all_at(&[1; 1], 8192).unwrap_err().is_disk_full(),
        "still open"
    );
    drop(other);
    file.write_all_at(&[1; 1], 8192).unwrap();
    vfs.set_capacity_bytes(None);
    file.write_all_at(&[1; 100_000], 0).unwrap();
}

#[test]
fn tampering_is_durable_at_once() {
    let vfs = SimVfs::new(1);
    vfs.write_file(path(F), &[0; 10]).unwrap();
    vfs.flip_bit(path(F), 3, 7).unwrap();
    let expected = [0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0];
    assert_eq!(vfs.read_file(path(F)).unwrap(), expected);
    assert_eq!(durable(&vfs).unwrap(), expected);
    assert_eq!(
        vfs.flip_bit(path(F), 10, 0).unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
    assert!(
        vfs.write_file(path("/no/f"), b"")
            .unwrap_err()
            .is_not_found()
    );

    let file = vfs.open(path(F), OpenMode::ReadWrite).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    vfs.write_file(path(F), b"xyz").unwrap();
    let mut buf = [0; 3];
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"xyz");
    assert_eq!(vfs.unsynced_units(), 0);

    vfs.remove(path(F)).unwrap();
    assert!(vfs.files().is_empty());
    assert_eq!(durable(&vfs), None);
    assert!(vfs.remove(path(F)).unwrap_err().is_not_found());
    assert!(vfs.read_file(path(F)).unwrap_err().is_not_found());
    assert_eq!(vfs.op_count(), 1, "tampering is not counted");
}

#[test]
fn threads_may_share_a_disk() {
    let vfs = SimVfs::new(1);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let vfs = vfs.clone();
            scope.spawn(move || {
                let file = vfs
                    .open(&PathBuf::from(format!("/{thread}")), OpenMode::CreateNew)
                    .unwrap();
                for i in 0..100 {
                    file.write_all_at(&[thread; 10], i * 10).unwrap();
                    file.sync_data().unwrap();
                    drop(vfs.fork_crash(&CrashPolicy::KeepNone));
                }
            });
        }
    });
    assert_eq!(vfs.op_count(), 4 * 201);
    assert_eq!(vfs.files().len(), 4);
}
