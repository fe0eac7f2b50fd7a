//! The simulator's own proof: a toy log that syncs all it should survives a crash at every
//! operation, and one that leaves out any single sync is caught.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::path::{Path, PathBuf};

use docdb_vfs::sim::{CrashPolicy, Fault, FaultKind, SectorSize, SimVfs};
use docdb_vfs::{OpenMode, Result, Vfs};

const RECORD_BYTES: usize = 700;
const RECORDS_PER_FILE: u64 = 3;
const RECORDS: u64 = 7;

/// A sync that the log may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Omit {
    Nothing,
    SyncOfParent,
    SyncOfRecord,
    SyncOfDirectoryAfterCreate,
    SyncOfHead,
    SyncOfDirectoryAfterRename,
}

fn file_path(number: u64) -> PathBuf {
    PathBuf::from(format!("/log/{number:04}"))
}

/// Record `n` says its number and repeats a byte that nothing unwritten has.
fn record(n: u64) -> Vec<u8> {
    let mut bytes = vec![n as u8 + 1; RECORD_BYTES];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    bytes
}

/// Appends records to files of three and counts what it has promised. The file `head` names the
/// newest log file and is replaced by a rename.
fn run(vfs: &SimVfs, omit: Omit, promised: &mut u64) -> Result<()> {
    let dir = Path::new("/log");
    let (head, head_new) = (dir.join("head"), dir.join("head.new"));
    vfs.create_dir(dir)?;
    if omit != Omit::SyncOfParent {
        vfs.sync_dir(Path::new("/"))?;
    }
    for number in 0..RECORDS.div_ceil(RECORDS_PER_FILE) {
        let file = vfs.open(&file_path(number), OpenMode::CreateNew)?;
        if omit != Omit::SyncOfDirectoryAfterCreate {
            vfs.sync_dir(dir)?;
        }
        let new = vfs.open(&head_new, OpenMode::CreateNew)?;
        new.write_all_at(&number.to_le_bytes(), 0)?;
        if omit != Omit::SyncOfHead {
            new.sync_data()?;
        }
        vfs.rename(&head_new, &head)?;
        if omit != Omit::SyncOfDirectoryAfterRename {
            vfs.sync_dir(dir)?;
        }
        let first = number * RECORDS_PER_FILE;
        for n in first..(first + RECORDS_PER_FILE).min(RECORDS) {
            file.write_all_at(&record(n), (n - first) * RECORD_BYTES as u64)?;
            if omit != Omit::SyncOfRecord {
                file.sync_data()?;
            }
            *promised = n + 1;
        }
    }
    Ok(())
}

/// What is wrong with the log that a crash left.
fn check(vfs: &SimVfs, promised: u64) -> std::result::Result<(), String> {
    let head = vfs.read_file(Path::new("/log/head"));
    if promised == 0 && head.is_err() {
        return Ok(());
    }
    let head = head.map_err(|e| e.to_string())?;
    let newest = head.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let newest = newest.ok_or_else(|| format!("the head has {} bytes", head.len()))?;
    let mut found = 0;
    for number in 0..=newest {
        let bytes = vfs
            .read_file(&file_path(number))
            .map_err(|e| e.to_string())?;
        for stored in bytes.chunks_exact(RECORD_BYTES) {
            if stored != record(found) {
                break;
            }
            found += 1;
        }
    }
    if found < promised {
        return Err(format!("promised {promised} records, found {found}"));
    }
    Ok(())
}

fn policies(vfs: &SimVfs, at: u64) -> Vec<CrashPolicy> {
    let mut policies = vec![
        CrashPolicy::Kill,
        CrashPolicy::KeepNone,
        CrashPolicy::KeepAll,
    ];
    for unit in 0..vfs.unsynced_units() {
        policies.extend([CrashPolicy::DropOne(unit), CrashPolicy::KeepOne(unit)]);
    }
    for round in 0..20 {
        let seed = at * 1000 + round;
        for sector in [SectorSize::Bytes512, SectorSize::Bytes4096] {
            policies.push(CrashPolicy::Random { seed, sector });
            policies.push(CrashPolicy::Torn { seed, sector });
        }
    }
    policies
}

/// Crashes at every operation under every policy and returns the first violation; also how many
/// crash states were looked at.
fn first_violation(omit: Omit) -> (Option<String>, usize) {
    let whole = SimVfs::new(1);
    let mut promised = 0;
    run(&whole, omit, &mut promised).unwrap();
    assert_eq!(promised, RECORDS);
    let mut states = 0;
    for at_op in 0..=whole.op_count() {
        let vfs = SimVfs::new(1);
        vfs.set_unit_sector(SectorSize::Bytes512);
        vfs.set_fault(Fault {
            at_op,
            kind: FaultKind::PowerOff,
            sticky: false,
        });
        let mut promised = 0;
        let finished = run(&vfs, omit, &mut promised).is_ok();
        assert_eq!(finished, at_op == whole.op_count());
        for policy in policies(&vfs, at_op) {
            states += 1;
            if let Err(what) = check(&vfs.fork_crash(&policy), promised) {
                return (
                    Some(format!("at operation {at_op}, {policy:?}: {what}")),
                    states,
                );
            }
        }
    }
    (None, states)
}

#[test]
fn a_log_that_syncs_holds_its_promises() {
    let (violation, states) = first_violation(Omit::Nothing);
    assert_eq!(violation, None);
    assert!(states > 2000, "only {states} crash states");
}

#[test]
fn every_omitted_sync_is_caught() {
    for omit in [
        Omit::SyncOfParent,
        Omit::SyncOfRecord,
        Omit::SyncOfDirectoryAfterCreate,
        Omit::SyncOfHead,
        Omit::SyncOfDirectoryAfterRename,
    ] {
        let (violation, _) = first_violation(omit);
        assert!(violation.is_some(), "{omit:?} went unseen");
    }
}

#[test]
fn a_device_that_lies_about_one_sync_is_caught() {
    let whole = SimVfs::new(1);
    run(&whole, Omit::Nothing, &mut 0).unwrap();
    // The last record's file is synced once after the last write: a lie there is never made good.
    let vfs = SimVfs::new(1);
    let at_op = whole.op_count() - 1;
    vfs.set_fault(Fault {
        at_op,
        kind: FaultKind::SyncLies,
        sticky: false,
    });
    let mut promised = 0;
    run(&vfs, Omit::Nothing, &mut promised).unwrap();
    assert_eq!(promised, RECORDS);
    assert!(check(&vfs.fork_crash(&CrashPolicy::KeepAll), promised).is_ok());
    assert!(check(&vfs.fork_crash(&CrashPolicy::KeepNone), promised).is_err());
}
