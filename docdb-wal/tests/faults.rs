//! Operations that fail: every one of them, once and for good; a disk that is full; a device that
//! lies.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use common::hook::{Gate, HookVfs};
use common::tasks::CountWakes;
use common::{
    Promise, append, append_and_wait, create, dir, disk, is_absent, open, options, policies,
    workload,
};
use docdb_wal::vfs::sim::{CrashPolicy, Fault, FaultKind, SimVfs};
use docdb_wal::vfs::{IoOp, Vfs};
use docdb_wal::{Lsn, ManualDriver, Result, Wal, WalError};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Checks that a log that says it is poisoned does nothing more, and says so whatever it is asked.
fn assert_poisoned_for_good(vfs: &SimVfs, wal: &Wal, context: &str) {
    let operations = vfs.op_count();
    let durable = wal.durable_lsn();
    let poisoned = |outcome: Result<()>| matches!(outcome, Err(WalError::Poisoned(_)));
    assert!(poisoned(wal.append(1, b"x").map(drop)), "{context}");
    assert!(poisoned(wal.flush_step().map(drop)), "{context}");
    if wal.appended_lsn() > durable {
        assert!(poisoned(wal.sync()), "{context}");
    }
    assert!(!wal.prepare_step().unwrap(), "{context}");
    assert!(!wal.needs_flush(), "{context}");
    match wal.retire_below(Lsn(u64::MAX)) {
        Ok(removed) => assert_eq!(removed, 0, "{context}"),
        Err(error) => assert!(poisoned(Err(error)), "{context}"),
    }
    assert!(poisoned(wal.close()), "{context}");
    assert!(poisoned(wal.close()), "{context}");
    assert!(wal.stats().poisoned, "{context}");
    assert_eq!(wal.durable_lsn(), durable, "{context}");
    assert_eq!(
        vfs.op_count(),
        operations,
        "{context}: a poisoned log touched the disk"
    );
}

/// Lives through one opening of a log in which operations may fail. Whatever fails, what is
/// promised is noted.
fn session(vfs: &SimVfs, promise: &mut Promise, sizes: &[usize], context: &str) {
    let opened = if promise.created {
        open(vfs).map(|opened| {
            assert_eq!(promise.violation(&opened.entries), None, "{context}");
            // What was shown is as good as acknowledged.
            promise.acknowledged = opened.entries.len() + promise.appended.len()
                - promise.appended[promise.retired.min(promise.appended.len())..].len();
            (opened.wal, Some(opened.entries))
        })
    } else {
        match create(vfs) {
            Err(WalError::AlreadyExists(_)) => {
                open(vfs).map(|opened| (opened.wal, Some(opened.entries)))
            }
            outcome => outcome.map(|wal| (wal, None)),
        }
    };
    let (wal, shown) = match opened {
        Ok(opened) => opened,
        Err(WalError::Io(_)) => return,
        Err(error) => panic!("{context}: {error}"),
    };
    promise.created = true;
    if let Some(shown) = shown {
        let first = shown.first().map_or(u64::MAX, |entry| entry.lsn);
        promise.appended.retain(|entry| entry.lsn < first);
        promise.retired = promise.appended.len();
        promise.appended.extend(shown);
        promise.acknowledged = promise.appended.len();
    }
    for &bytes in sizes {
        let n = promise.appended.len() as u64;
        match append(&wal, n, bytes) {
            Ok((ticket, entry)) => {
                promise.appended.push(entry);
                match ticket.wait() {
                    Ok(()) => promise.acknowledged = promise.appended.len(),
                    Err(WalError::Poisoned(_)) => {
                        assert_poisoned_for_good(vfs, &wal, context);
                        return;
                    }
                    Err(error) => panic!("{context}: a wait ended with {error}"),
                }
            }
            // The sync of the directory failed, behind a name that was given to a prepared segment.
            Err(WalError::Poisoned(_)) => {
                assert_poisoned_for_good(vfs, &wal, context);
                return;
            }
            // There is no room; later there may be.
            Err(WalError::Io(_)) => assert!(wal.poisoned().is_none(), "{context}"),
            Err(error) => panic!("{context}: an append ended with {error}"),
        }
        let _ = wal.prepare_step();
        vfs.advance(std::time::Duration::from_secs(1));
    }
    if promise.appended.len() > 8 {
        let from = promise.appended[4].lsn;
        promise.retired = promise.retired.max(4);
        let _ = wal.retire_below(Lsn(from));
    }
    match wal.close() {
        Ok(()) => {}
        Err(_) => assert_poisoned_for_good(vfs, &wal, context),
    }
}

fn sessions(vfs: &SimVfs, promise: &mut Promise, context: &str) {
    session(vfs, promise, &[10, 5_000, 300, 9_000, 10], context);
    session(vfs, promise, &[100, 20_000, 40_000], context);
    session(vfs, promise, &[100, 7_000], context);
}

#[test]
fn every_operation_fails_once_and_for_good() {
    let rehearsal = disk();
    let first = rehearsal.op_count();
    sessions(&rehearsal, &mut Promise::default(), "rehearsal");
    let end = rehearsal.op_count();
    assert!(end > 60);
    for at_op in first..end {
        for kind in [FaultKind::Os(EIO), FaultKind::Os(ENOSPC), FaultKind::Short] {
            for sticky in [false, true] {
                let context = format!("operation {at_op}, {kind:?}, sticky {sticky}");
                let vfs = disk();
                vfs.set_fault(Fault {
                    at_op,
                    kind,
                    sticky,
                });
                let mut promise = Promise::default();
                sessions(&vfs, &mut promise, &context);
                vfs.clear_faults();
                for policy in policies(&vfs, at_op, 6) {
                    let image = vfs.fork_crash(&policy);
                    let context = format!("{context}, {policy:?}");
                    let opened = open(&image);
                    if !promise.created && is_absent(&opened) {
                        continue;
                    }
                    let opened = opened.unwrap_or_else(|e| panic!("{context}: {e}"));
                    assert_eq!(promise.violation(&opened.entries), None, "{context}");
                    let next = append_and_wait(&opened.wal, 7, 100).unwrap();
                    let mut expected = opened.entries;
                    expected.push(next);
                    let again = open(&image.fork_crash(&CrashPolicy::KeepNone))
                        .unwrap_or_else(|e| panic!("{context}: {e}"));
                    // A retired segment may be back after a sync of the directory that failed.
                    assert!(
                        again.entries.ends_with(&expected),
                        "{context}: {:?} shown, {expected:?} expected",
                        again.entries
                    );
                    assert_eq!(promise.violation(&opened_prefix(&again.entries)), None);
                }
            }
        }
    }
}

/// A sync of the directory that fails may cost names that were given by others, and the next one
/// would succeed without them: nothing is acknowledged on top of that.
#[test]
fn a_failed_sync_of_the_directory_is_final_whoever_made_it() {
    let rehearsal = disk();
    let syncs = Arc::new(Mutex::new(Vec::new()));
    let (noted, counted) = (Arc::clone(&syncs), rehearsal.clone());
    let hooked = HookVfs::new(rehearsal.clone(), move |op, _| {
        if op == IoOp::SyncDir {
            noted.lock().unwrap().push(counted.op_count());
        }
    });
    let run = |vfs: Arc<dyn Vfs>, fault: Option<(&SimVfs, u64)>| {
        let wal = Wal::create(vfs, dir(), common::options(), Arc::new(ManualDriver)).unwrap();
        if let Some((sim, at_op)) = fault {
            sim.set_fault(Fault {
                at_op,
                kind: FaultKind::Os(EIO),
                sticky: false,
            });
        }
        for n in 0..40 {
            if append(&wal, n, 3_000).is_ok_and(|(ticket, _)| ticket.wait().is_err()) {
                break;
            }
            while wal.prepare_step().is_ok_and(|more| more) {}
        }
        wal.poisoned().is_some()
    };
    let created = {
        let sim = disk();
        let wal = Wal::create(
            Arc::new(sim.clone()),
            dir(),
            common::options(),
            Arc::new(ManualDriver),
        );
        drop(wal.unwrap());
        sim.op_count()
    };
    assert!(!run(Arc::new(hooked), None));
    let syncs: Vec<_> = syncs
        .lock()
        .unwrap()
        .iter()
        .copied()
        .filter(|at| *at >= created)
        .collect();
    assert!(syncs.len() > 3, "{syncs:?}");
    for at_op in syncs {
        let sim = disk();
        assert!(
            run(Arc::new(sim.clone()), Some((&sim, at_op))),
            "operation {at_op}"
        );
    }
}

/// Fails reads too: a read error is an error and never a shorter log.
#[test]
fn a_read_error_is_an_error_and_never_a_tail() {
    let whole = disk();
    let mut promise = Promise::default();
    workload(&whole, &mut promise).unwrap();
    for policy in [CrashPolicy::Kill, CrashPolicy::KeepAll] {
        let image = whole.fork_crash(&policy);
        image.set_reads_count(true);
        let rehearsal = image.fork_crash(&policy);
        let shown = open(&rehearsal).unwrap().entries;
        for at_op in 0..rehearsal.op_count() {
            let vfs = image.fork_crash(&policy);
            vfs.set_fault(Fault {
                at_op,
                kind: FaultKind::Os(EIO),
                sticky: false,
            });
            match open(&vfs) {
                Err(WalError::Io(error)) => assert_eq!(error.raw_os_error(), Some(EIO)),
                Err(error) => panic!("operation {at_op}: {error}"),
                // Only removing what is not needed any more may fail unseen.
                Ok(opened) => assert_eq!(opened.entries, shown, "operation {at_op}"),
            }
            assert_eq!(open(&vfs).unwrap().entries, shown, "operation {at_op}");
        }
    }
}

#[test]
fn a_full_disk_stops_appends_only_while_there_is_no_room() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let mut entries = vec![append_and_wait(&wal, 0, 10).unwrap()];
    vfs.set_capacity_bytes(Some(vfs.used_bytes() + 4096));
    let mut n = 1;
    let error = loop {
        assert!(n < 100, "the segment has an end");
        match append(&wal, n, 100) {
            Ok((ticket, entry)) => {
                ticket.wait().unwrap();
                entries.push(entry);
            }
            Err(error) => break error,
        }
        n += 1;
    };
    assert!(entries.len() > 1, "there was room in the segment");
    assert!(matches!(error, WalError::Io(_)) && error.is_disk_full());
    for _ in 0..3 {
        assert!(append(&wal, n, 100).unwrap_err().is_disk_full());
        assert!(wal.prepare_step().is_err() || !wal.prepare_step().unwrap());
    }
    assert!(wal.poisoned().is_none());
    vfs.set_capacity_bytes(None);
    entries.push(append_and_wait(&wal, n, 100).unwrap());
    let found = open(&vfs.fork_crash(&CrashPolicy::KeepNone)).unwrap();
    assert_eq!(found.entries, entries);
}

#[test]
fn a_large_record_that_finds_no_space_takes_none_from_small_ones() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let mut entries = vec![append_and_wait(&wal, 0, 7_000).unwrap()];
    while wal.prepare_step().unwrap() {}
    assert_eq!(wal.stats().segments, 2, "one is prepared");
    vfs.set_capacity_bytes(Some(vfs.used_bytes() + 20_000));
    for n in 1..6 {
        assert!(append(&wal, n, 200_000).unwrap_err().is_disk_full());
        // The first of these fill the first segment, the others need the prepared one.
        entries.push(append_and_wait(&wal, n, 100).unwrap());
    }
    vfs.set_capacity_bytes(None);
    let found = open(&vfs.fork_crash(&CrashPolicy::KeepNone)).unwrap();
    assert_eq!(found.entries, entries);
}

#[test]
fn a_failed_preparation_rests_and_starts_over() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    append_and_wait(&wal, 0, 5_000).unwrap();
    vfs.set_fault(Fault {
        at_op: vfs.op_count() + 2,
        kind: FaultKind::Os(EIO),
        sticky: false,
    });
    assert!(matches!(wal.prepare_step(), Err(WalError::Io(_))));
    let operations = vfs.op_count();
    assert!(!wal.prepare_step().unwrap(), "it rests");
    assert_eq!(vfs.op_count(), operations);
    vfs.advance(std::time::Duration::from_secs(1));
    while wal.prepare_step().unwrap() {}
    assert_eq!(wal.stats().segments, 2);
    append_and_wait(&wal, 1, 9_000).unwrap();
    let found = open(&vfs.fork_crash(&CrashPolicy::KeepNone)).unwrap();
    assert_eq!(found.entries.len(), 2);
}

/// A device that lies about one sync and then loses power: what is found is a prefix, and a loss
/// in front of anything proven durable is a refusal.
#[test]
fn a_lying_sync_never_costs_the_middle_of_the_log() {
    let rehearsal = disk();
    let first = rehearsal.op_count();
    workload(&rehearsal, &mut Promise::default()).unwrap();
    let (mut whole, mut refused, mut shorter) = (0, 0, 0);
    for at_op in first..rehearsal.op_count() {
        for sticky in [false, true] {
            let vfs = disk();
            vfs.set_fault(Fault {
                at_op,
                kind: FaultKind::SyncLies,
                sticky,
            });
            let mut promise = Promise::default();
            workload(&vfs, &mut promise).unwrap();
            promise.acknowledged = 0;
            match open(&vfs.fork_crash(&CrashPolicy::KeepNone)) {
                Ok(opened) => {
                    assert_eq!(
                        promise.violation(&opened.entries),
                        None,
                        "operation {at_op}"
                    );
                    let last = promise.appended.last().map(|e| e.lsn);
                    match opened.entries.last().map(|e| e.lsn) == last {
                        true => whole += 1,
                        false => shorter += 1,
                    }
                    let once_in_the_middle = !sticky && at_op + 1 < rehearsal.op_count() / 2;
                    assert!(
                        !once_in_the_middle || opened.entries.last().map(|e| e.lsn) == last,
                        "operation {at_op}"
                    );
                }
                Err(WalError::Corrupt { .. }) => refused += 1,
                Err(error) => assert!(is_absent::<()>(&Err(error)) && sticky),
            }
        }
    }
    assert!(
        whole > 0 && refused > 0 && shorter > 0,
        "{whole} {refused} {shorter}"
    );
}

/// Without the record that the test appended last.
fn opened_prefix(entries: &[common::Entry]) -> Vec<common::Entry> {
    entries[..entries.len() - 1].to_vec()
}

fn create_hooked(vfs: &HookVfs) -> Wal {
    Wal::create(
        Arc::new(vfs.clone()),
        dir(),
        options(),
        Arc::new(ManualDriver),
    )
    .unwrap()
}

#[test]
fn a_failed_sync_wakes_threads_and_tasks() {
    let gate = Arc::new(Gate::default());
    let at_gate = Arc::clone(&gate);
    let sim = disk();
    let vfs = HookVfs::new(sim.clone(), move |op, _| {
        if op == IoOp::Sync {
            at_gate.pass();
        }
    });
    let wal = create_hooked(&vfs);
    gate.shut();
    let in_flight = append(&wal, 0, 10).unwrap().0;
    std::thread::scope(|scope| {
        let leader = scope.spawn(move || in_flight.wait());
        gate.wait_for_one();
        let mut waiting = Vec::new();
        for n in 1..9 {
            let ticket = append(&wal, n, 10).unwrap().0;
            waiting.push(scope.spawn(move || match n % 2 {
                0 => ticket.wait(),
                _ => ticket.wait_timeout(std::time::Duration::MAX),
            }));
        }
        let wakes = Arc::new(CountWakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut tickets: Vec<_> = (0..8).map(|n| append(&wal, n, 10).unwrap().0).collect();
        for ticket in &mut tickets {
            let polled = Pin::new(ticket).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        // The write of the group was operation `op_count - 1`; its sync is next.
        sim.set_fault(Fault {
            at_op: sim.op_count(),
            kind: FaultKind::Os(EIO),
            sticky: false,
        });
        gate.open();
        for thread in std::iter::once(leader).chain(waiting) {
            assert!(matches!(thread.join().unwrap(), Err(WalError::Poisoned(_))));
        }
        assert_eq!(wakes.count(), 8);
        for ticket in tickets {
            let outcome = common::tasks::block_on(ticket);
            assert!(matches!(outcome, Err(WalError::Poisoned(_))));
        }
    });
    assert_poisoned_for_good(&sim, &wal, "after a failed sync");
    assert_eq!(wal.durable_lsn(), Lsn::ZERO);
    // The failed sync marked the pages clean: nothing of it is there, and nothing was promised.
    let found = open(&sim.fork_crash(&CrashPolicy::KeepNone)).unwrap();
    assert!(found.entries.is_empty());
}

#[test]
fn a_panic_while_writing_poisons_the_log_and_wakes_all() {
    let sim = disk();
    let armed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let in_hook = Arc::clone(&armed);
    let vfs = HookVfs::new(sim, move |op, _| {
        let armed = in_hook.load(std::sync::atomic::Ordering::SeqCst);
        assert!(!(armed && op == IoOp::Sync), "the hook panics on purpose");
    });
    let wal = create_hooked(&vfs);
    append_and_wait(&wal, 0, 10).unwrap();
    let other = append(&wal, 1, 10).unwrap().0;
    let leading = append(&wal, 2, 10).unwrap().0;
    armed.store(true, std::sync::atomic::Ordering::SeqCst);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| leading.wait()));
    assert!(panicked.is_err());
    match other.wait() {
        Err(WalError::Poisoned(cause)) => assert!(matches!(*cause, WalError::Panicked)),
        outcome => panic!("{outcome:?}"),
    }
    assert!(matches!(wal.close(), Err(WalError::Poisoned(_))));
}

#[test]
fn a_failed_sync_of_the_directory_ends_retiring() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    for n in 0..12 {
        append_and_wait(&wal, n, 9_000).unwrap();
    }
    let keep = append_and_wait(&wal, 12, 10).unwrap();
    vfs.set_fault(Fault {
        at_op: vfs.op_count() + 1,
        kind: FaultKind::Os(EIO),
        sticky: false,
    });
    assert!(matches!(
        wal.retire_below(Lsn(keep.lsn)),
        Err(WalError::Io(_))
    ));
    assert_poisoned_for_good(&vfs, &wal, "after a failed sync of the directory");
    for policy in policies(&vfs, 1, 20) {
        let opened = open(&vfs.fork_crash(&policy)).unwrap();
        assert_eq!(opened.entries.last(), Some(&keep));
    }
}

#[test]
fn a_failed_removal_is_tried_again() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    for n in 0..12 {
        append_and_wait(&wal, n, 9_000).unwrap();
    }
    let segments = wal.stats().segments;
    vfs.set_fault(Fault {
        at_op: vfs.op_count(),
        kind: FaultKind::Os(EIO),
        sticky: false,
    });
    assert!(wal.retire_below(wal.durable_lsn()).is_err());
    assert!(wal.poisoned().is_none());
    assert_eq!(wal.stats().segments, segments);
    let removed = wal.retire_below(wal.durable_lsn()).unwrap();
    assert!(removed > 1);
    assert_eq!(wal.stats().segments, segments - removed as u64);
}
