//! Crashes a log at every operation and says what is wrong with what is left.

use std::collections::HashSet;

use docdb_wal::vfs::sim::{CrashPolicy, Fault, FaultKind, SimVfs};

use super::{Entry, Promise, append_and_wait, disk, is_absent, open, policies, workload};

/// What Linux calls an error of the device.
const EIO: i32 = 5;

pub(crate) type Finding<T> = Result<T, String>;

/// What was looked at.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    pub(crate) crashes: usize,
    pub(crate) distinct_disks: usize,
}

fn power_off_at(vfs: &SimVfs, at_op: u64) {
    vfs.set_fault(Fault {
        at_op,
        kind: FaultKind::PowerOff,
        sticky: false,
    });
}

/// The disks on which the workload lost power, each with what had been promised by then.
fn interrupted() -> impl Iterator<Item = (u64, SimVfs, Promise)> {
    let whole = disk();
    let first = whole.op_count();
    workload(&whole, &mut Promise::default()).unwrap();
    let end = whole.op_count();
    assert!(end > 60, "only {end} operations");
    (first..=end).map(move |at_op| {
        let vfs = disk();
        power_off_at(&vfs, at_op);
        let mut promise = Promise::default();
        // A log with a planted bug may not notice that the power is off.
        let _ = workload(&vfs, &mut promise);
        (at_op, vfs, promise)
    })
}

/// Recovers, checks, appends, and loses power again.
fn recover(vfs: &SimVfs, promise: &Promise) -> Finding<()> {
    let opened = open(vfs);
    if !promise.created && is_absent(&opened) {
        return Ok(());
    }
    let opened = opened.map_err(|e| e.to_string())?;
    if let Some(violation) = promise.violation(&opened.entries) {
        return Err(violation);
    }
    let shown: Vec<Entry> = opened.entries;
    // R4: what was shown stays, whatever happens next.
    let again = open(&vfs.fork_crash(&CrashPolicy::KeepNone)).map_err(|e| e.to_string())?;
    if again.entries != shown {
        return Err(format!("{shown:?} was shown, then {:?}", again.entries));
    }
    // No number is given out twice.
    let next = append_and_wait(&opened.wal, 900, 5_000).map_err(|e| e.to_string())?;
    if promise.appended.iter().any(|entry| entry.lsn >= next.lsn) {
        return Err(format!("number {} was given out before", next.lsn));
    }
    let mut expected = shown;
    expected.push(next);
    let last = open(&vfs.fork_crash(&CrashPolicy::KeepNone)).map_err(|e| e.to_string())?;
    if last.entries != expected {
        return Err(format!(
            "{expected:?} was acknowledged, {:?} is left",
            last.entries
        ));
    }
    Ok(())
}

/// Crashes at every operation of the workload.
pub(crate) fn crash_everywhere() -> Finding<Explored> {
    let mut explored = Explored::default();
    let mut states = HashSet::new();
    for (at_op, vfs, promise) in interrupted() {
        for policy in policies(&vfs, at_op, usize::MAX) {
            let image = vfs.fork_crash(&policy);
            explored.crashes += 1;
            // A killed process leaves unsynced operations, which are not part of the image.
            if policy != CrashPolicy::Kill && !states.insert((image.image_hash(), at_op)) {
                continue;
            }
            recover(&image, &promise)
                .map_err(|what| format!("at operation {at_op}, {policy:?}: {what}"))?;
        }
    }
    explored.distinct_disks = states.len();
    Ok(explored)
}

/// Crashes at every operation of the workload, and then at every operation of the recovery.
pub(crate) fn crash_everywhere_in_recovery() -> Finding<Explored> {
    let mut explored = Explored::default();
    let mut states = HashSet::new();
    for (at_op, vfs, promise) in interrupted() {
        for first in [
            CrashPolicy::Kill,
            CrashPolicy::KeepAll,
            CrashPolicy::KeepNone,
        ] {
            let image = vfs.fork_crash(&first);
            if first != CrashPolicy::Kill && !states.insert((image.image_hash(), 0)) {
                continue;
            }
            let rehearsal = vfs.fork_crash(&first);
            let opened = open(&rehearsal);
            if !promise.created && is_absent(&opened) {
                continue;
            }
            drop(opened.map_err(|e| format!("at operation {at_op}, {first:?}: {e}"))?);
            for inner_op in 0..rehearsal.op_count() {
                let vfs = image.fork_crash(&CrashPolicy::Kill);
                power_off_at(&vfs, inner_op);
                assert!(open(&vfs).is_err());
                for second in policies(&vfs, at_op * 1_000 + inner_op, 3) {
                    let image = vfs.fork_crash(&second);
                    let hash = (image.image_hash(), vfs.image_hash());
                    explored.crashes += 1;
                    if second != CrashPolicy::Kill && !states.insert(hash) {
                        continue;
                    }
                    recover(&image, &promise).map_err(|what| {
                        format!(
                            "at operation {at_op}, {first:?}, at operation {inner_op} of \
                             recovery, {second:?}: {what}"
                        )
                    })?;
                }
            }
        }
    }
    explored.distinct_disks = states.len();
    Ok(explored)
}

/// Lets every operation of the workload fail once, and loses power at its end.
pub(crate) fn fail_everywhere() -> Finding<usize> {
    let whole = disk();
    let first = whole.op_count();
    workload(&whole, &mut Promise::default()).unwrap();
    for at_op in first..whole.op_count() {
        let vfs = disk();
        vfs.set_fault(Fault {
            at_op,
            kind: FaultKind::Os(EIO),
            sticky: false,
        });
        let mut promise = Promise::default();
        // Whether it goes on or not: what it has promised by its end counts.
        let _ = workload(&vfs, &mut promise);
        vfs.clear_faults();
        for policy in [CrashPolicy::KeepNone, CrashPolicy::KeepAll] {
            recover(&vfs.fork_crash(&policy), &promise)
                .map_err(|what| format!("operation {at_op} failed, {policy:?}: {what}"))?;
        }
    }
    Ok((whole.op_count() - first) as usize)
}
