//! Power is lost, or the process killed, at every operation of a log's life and of its recovery.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::collections::HashSet;

use common::{Entry, Promise, append_and_wait, disk, is_absent, open, policies, workload};
use docdb_wal::vfs::sim::{CrashPolicy, Fault, FaultKind, SimVfs};

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
        let outcome = workload(&vfs, &mut promise);
        assert_eq!(outcome.is_ok(), at_op == end, "at operation {at_op}");
        (at_op, vfs, promise)
    })
}

/// Recovers, checks, appends, and loses power again. Returns what the recovery showed.
fn recover(vfs: &SimVfs, promise: &Promise, context: &str) -> Option<Vec<Entry>> {
    let opened = open(vfs);
    if !promise.created && is_absent(&opened) {
        return None;
    }
    let opened = opened.unwrap_or_else(|e| panic!("{context}: {e}"));
    if let Some(violation) = promise.violation(&opened.entries) {
        panic!("{context}: {violation}");
    }
    let shown = opened.entries;
    // R4: what was shown stays, whatever happens next.
    let again = open(&vfs.fork_crash(&CrashPolicy::KeepNone)).unwrap();
    assert_eq!(again.entries, shown, "{context}: shown and then lost");
    // No number is given out twice.
    let next = append_and_wait(&opened.wal, 900, 5_000).unwrap();
    assert!(
        promise.appended.iter().all(|entry| entry.lsn < next.lsn),
        "{context}: number {} was given out before",
        next.lsn
    );
    let mut expected = shown.clone();
    expected.push(next);
    let last = open(&vfs.fork_crash(&CrashPolicy::KeepNone)).unwrap();
    assert_eq!(last.entries, expected, "{context}: after recovery");
    Some(shown)
}

#[test]
fn crash_at_every_operation() {
    let mut states = HashSet::new();
    let mut images = 0;
    for (at_op, vfs, promise) in interrupted() {
        for policy in policies(&vfs, at_op, 40) {
            let image = vfs.fork_crash(&policy);
            images += 1;
            // A killed process leaves unsynced operations, which are not part of the image.
            if policy != CrashPolicy::Kill && !states.insert((image.image_hash(), at_op)) {
                continue;
            }
            recover(
                &image,
                &promise,
                &format!("at operation {at_op}, {policy:?}"),
            );
        }
    }
    println!("{images} crashes, {} distinct disks", states.len());
    assert!(states.len() > 200, "only {} distinct disks", states.len());
}

#[test]
fn crash_at_every_operation_of_the_recovery() {
    let mut states = HashSet::new();
    let mut recoveries = 0;
    for (at_op, vfs, promise) in interrupted() {
        let firsts = [
            CrashPolicy::Kill,
            CrashPolicy::KeepAll,
            CrashPolicy::KeepNone,
        ];
        for first in firsts {
            let image = vfs.fork_crash(&first);
            if first != CrashPolicy::Kill && !states.insert((image.image_hash(), 0)) {
                continue;
            }
            let rehearsal = vfs.fork_crash(&first);
            let Ok(opened) = open(&rehearsal) else {
                assert!(!promise.created);
                continue;
            };
            drop(opened);
            for inner_op in 0..rehearsal.op_count() {
                let vfs = image.fork_crash(&CrashPolicy::Kill);
                power_off_at(&vfs, inner_op);
                assert!(open(&vfs).is_err());
                let seed = at_op * 1_000 + inner_op;
                for second in policies(&vfs, seed, 3) {
                    let image = vfs.fork_crash(&second);
                    let hash = (image.image_hash(), vfs.image_hash());
                    if second != CrashPolicy::Kill && !states.insert(hash) {
                        continue;
                    }
                    recoveries += 1;
                    let context = format!(
                        "at operation {at_op}, {first:?}, at operation {inner_op} of recovery, \
                         {second:?}"
                    );
                    recover(&image, &promise, &context);
                }
            }
        }
    }
    println!("{recoveries} recoveries, {} distinct disks", states.len());
    assert!(recoveries > 500, "only {recoveries} recoveries");
}

#[test]
fn a_recovery_without_a_crash_changes_nothing_that_is_shown() {
    let vfs = disk();
    let mut promise = Promise::default();
    workload(&vfs, &mut promise).unwrap();
    let shown = open(&vfs).unwrap().entries;
    for round in 0..5 {
        let opened = open(&vfs).unwrap();
        assert_eq!(opened.entries, shown, "round {round}");
        assert_eq!(opened.report.cut, None);
    }
}
