//! The tests are tests themselves only if they see bugs: each planted one turns a check red that is
//! green without it. The bugs that only threads can suffer from are planted in `shuttle`.
#![cfg(all(feature = "planted-bugs", debug_assertions))]
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use common::explore::{Finding, crash_everywhere, fail_everywhere};
use common::tasks::CountWakes;
use common::{append, append_and_wait, create, dir, disk, judge, options, segments};
use docdb_wal::planted::{Bug, plant};
use docdb_wal::vfs::sim::{CrashPolicy, Fault, FaultKind};
use docdb_wal::{Durability, ManualDriver, Wal, WalError};

/// A check, and the bugs that it is there for.
type Check = (fn() -> Finding<()>, &'static [Bug]);

const CHECKS: [Check; 5] = [
    (|| crash_everywhere().map(drop), &Bug::SEEN_BY_CRASHES),
    (|| fail_everywhere().map(drop), &[Bug::RetriedSync]),
    (a_moved_group_is_not_read, &[Bug::ChecksumWithoutPlace]),
    (a_failed_flush_wakes_tasks, &[Bug::ErrorWakesNobody]),
    (a_refused_log_is_left_alone, &[Bug::ActBeforeJudging]),
];

/// One test, since a planted bug is there for the whole process.
#[test]
fn every_planted_bug_is_caught() {
    let mut caught = vec![Bug::TokenNotPassed];
    for (check, bugs) in CHECKS {
        plant(None);
        if let Err(what) = check() {
            panic!("without any planted bug: {what}");
        }
        for &bug in bugs {
            plant(Some(bug));
            match check() {
                Ok(()) => panic!("{bug:?} went unseen"),
                Err(what) => println!("{bug:?} is caught: {what}"),
            }
            caught.push(bug);
        }
    }
    plant(None);
    for bug in Bug::ALL {
        assert!(caught.contains(&bug), "nothing looks for {bug:?}");
    }
}

/// Two groups in one block; the second is moved to the start of the next, where a reader looks too.
fn a_moved_group_is_not_read() -> Finding<()> {
    let vfs = disk();
    let mut options = options();
    options.durability = Durability::Os;
    let driver = Arc::new(ManualDriver);
    let wal = Wal::create(Arc::new(vfs.clone()), dir(), options, driver).unwrap();
    append_and_wait(&wal, 1, 100).unwrap();
    append_and_wait(&wal, 2, 100).unwrap();
    drop(wal);
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    let path = &segments(&vfs)[0];
    let mut bytes = vfs.read_file(path).unwrap();
    let second = (4_096 + 80 + 32 + 100_usize).next_multiple_of(64);
    let group = bytes[second..second + 80 + 32 + 100].to_vec();
    assert_eq!(group[..4], *b"DGRP");
    bytes[second..8_192].fill(0);
    bytes[8_192..8_192 + group.len()].copy_from_slice(&group);
    vfs.write_file(path, &bytes).unwrap();
    match judge(&vfs, common::options()) {
        Ok((found, _)) if found.len() == 1 => Ok(()),
        Ok((found, _)) => Err(format!("{found:?} is read, the second from elsewhere")),
        Err(error) => Err(error.to_string()),
    }
}

fn a_failed_flush_wakes_tasks() -> Finding<()> {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let wakes = Arc::new(CountWakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut tickets: Vec<_> = (0..3).map(|n| append(&wal, n, 10).unwrap().0).collect();
    for ticket in &mut tickets {
        let polled = Pin::new(ticket).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    vfs.set_fault(Fault {
        at_op: vfs.op_count() + 1,
        kind: FaultKind::Os(5),
        sticky: false,
    });
    assert!(matches!(wal.flush_step(), Err(WalError::Poisoned(_))));
    match wakes.count() {
        3 => Ok(()),
        woken => Err(format!("the flush failed, {woken} of 3 tasks were woken")),
    }
}

/// Damage that is refused, beside the leftover of a preparation.
fn a_refused_log_is_left_alone() -> Finding<()> {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    for n in 0..3 {
        append_and_wait(&wal, n, 100).unwrap();
    }
    drop(wal);
    let leftover = Path::new("/wal/00000000000000000002.wal.tmp");
    vfs.write_file(leftover, b"half a segment").unwrap();
    vfs.flip_bit(&segments(&vfs)[0], 4_096 + 20, 0).unwrap();
    let before = vfs.op_count();
    let refused = judge(&vfs, options());
    assert!(matches!(refused, Err(WalError::Corrupt { .. })));
    match vfs.op_count() - before {
        0 => Ok(()),
        operations => Err(format!("{operations} operations on a log that is refused")),
    }
}
