//! Threads and tasks that share a log. Nothing here is timed: a lost wake-up shows as a hang.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::hook::{Gate, HookVfs};
use common::tasks::{block_on, join_all};
use common::{append, append_and_wait, create, dir, disk, open, options};
use docdb_wal::vfs::sim::{CrashPolicy, SimVfs};
use docdb_wal::vfs::{IoOp, RealVfs, Vfs};
use docdb_wal::{FlushDriver, ManualDriver, Recovery, ThreadDriver, Wal, WalError, WalOptions};

fn small_segments() -> WalOptions {
    let mut options = WalOptions::default();
    options.segment_bytes_min = 64 << 10;
    options.segment_bytes_max = 1 << 20;
    options
}

/// A record's payload: who wrote it, and its number there.
fn tagged(writer: u64, n: u64) -> Vec<u8> {
    let mut payload = vec![writer as u8; 16 + (n as usize * 37) % 300];
    payload[..8].copy_from_slice(&writer.to_le_bytes());
    payload[8..16].copy_from_slice(&n.to_le_bytes());
    payload
}

/// Reads a log back and checks that its numbers are dense, that each writer's records are there in
/// its order, and that there are `expected` in all.
fn assert_complete(vfs: Arc<dyn Vfs>, dir: &Path, expected: u64) {
    let mut next_lsn = 1;
    let mut next_of_writer: HashMap<u64, u64> = HashMap::new();
    let verdict = Recovery::judge(vfs, dir, small_segments(), &mut |record| {
        assert_eq!(record.lsn.0, next_lsn);
        next_lsn += 1;
        let writer = u64::from_le_bytes(record.payload[..8].try_into().unwrap());
        let n = u64::from_le_bytes(record.payload[8..16].try_into().unwrap());
        assert_eq!(record.payload, tagged(writer, n));
        let next = next_of_writer.entry(writer).or_default();
        assert_eq!(n, *next, "writer {writer}");
        *next += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(verdict.report().records, expected);
}

fn real_log(driver: Arc<dyn FlushDriver>) -> (tempfile::TempDir, Arc<RealVfs>, Wal) {
    let temp = tempfile::tempdir().unwrap();
    let vfs = Arc::new(RealVfs::new());
    let wal = Wal::create(vfs.clone(), temp.path(), small_segments(), driver).unwrap();
    (temp, vfs, wal)
}

#[test]
fn sixty_four_threads_wait_for_each_append() {
    for driven in [false, true] {
        let driver: Arc<dyn FlushDriver> = match driven {
            true => Arc::new(ThreadDriver::start().unwrap()),
            false => Arc::new(ManualDriver),
        };
        let (temp, vfs, wal) = real_log(driver);
        std::thread::scope(|scope| {
            for writer in 0..64 {
                let wal = wal.clone();
                scope.spawn(move || {
                    for n in 0..200 {
                        wal.append(1, &tagged(writer, n)).unwrap().wait().unwrap();
                    }
                });
            }
        });
        let flush = wal.stats().flush;
        assert_eq!(flush.records, 64 * 200);
        assert!(flush.group_records_max > 1, "nobody shared a sync");
        drop(wal);
        assert_complete(vfs, temp.path(), 64 * 200);
    }
}

#[test]
fn a_thousand_tickets_in_flight_are_awaited() {
    let (temp, vfs, wal) = real_log(Arc::new(ThreadDriver::start().unwrap()));
    for round in 0..5 {
        let tickets = (0..1_000)
            .map(|n| wal.append(1, &tagged(0, round * 1_000 + n)).unwrap())
            .collect();
        for outcome in join_all(tickets) {
            outcome.unwrap();
        }
    }
    wal.close().unwrap();
    assert_complete(vfs, temp.path(), 5_000);
}

#[test]
fn threads_tasks_timeouts_and_dropped_tickets_mix() {
    let (temp, vfs, wal) = real_log(Arc::new(ThreadDriver::start().unwrap()));
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let wal = wal.clone();
            scope.spawn(move || {
                let mut tickets = Vec::new();
                for n in 0..200 {
                    let ticket = wal.append(1, &tagged(writer, n)).unwrap();
                    match (writer + n) % 5 {
                        0 => ticket.wait().unwrap(),
                        1 => block_on(ticket).unwrap(),
                        2 => drop(ticket),
                        3 => match ticket.wait_timeout(Duration::from_micros(n % 60)) {
                            Ok(()) => assert!(ticket.is_durable()),
                            Err(WalError::TimedOut) => {}
                            Err(error) => panic!("{error}"),
                        },
                        _ => tickets.push(ticket),
                    }
                }
                for outcome in join_all(tickets) {
                    outcome.unwrap();
                }
            });
        }
    });
    wal.close().unwrap();
    assert_complete(vfs, temp.path(), 16 * 200);
}

#[test]
fn a_dropped_ticket_is_flushed() {
    let (_temp, _vfs, wal) = real_log(Arc::new(ThreadDriver::start().unwrap()));
    for polled in [false, true] {
        let mut ticket = wal.append(1, b"x").unwrap();
        let lsn = ticket.lsn();
        if polled {
            let waker = std::task::Waker::noop();
            let _ = std::future::Future::poll(
                std::pin::Pin::new(&mut ticket),
                &mut std::task::Context::from_waker(waker),
            );
        }
        drop(ticket);
        while wal.durable_lsn() < lsn {
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_last_handle_may_be_dropped_while_the_driver_works() {
    for _ in 0..50 {
        let temp = tempfile::tempdir().unwrap();
        let vfs = Arc::new(RealVfs::new());
        let driver = Arc::new(ThreadDriver::start().unwrap());
        let wal = Wal::create(vfs.clone(), temp.path(), small_segments(), driver.clone()).unwrap();
        drop(wal.append(1, &tagged(0, 0)).unwrap());
        drop(wal);
        // Joins the thread, which flushes what was asked for first.
        drop(driver);
        while Recovery::judge(vfs.clone(), temp.path(), small_segments(), &mut |_| Ok(()))
            .unwrap()
            .last_lsn()
            .0
            == 0
        {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_manual_driver_leaves_it_to_waiting_threads_and_steps() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let ticket = append(&wal, 0, 10).unwrap().0;
    assert!(wal.needs_flush() && !ticket.is_durable());
    assert!(wal.flush_step().unwrap());
    assert!(ticket.is_durable() && !wal.needs_flush());
    assert!(!wal.flush_step().unwrap());
    assert!(matches!(block_on(ticket), Ok(())));
    let ticket = append(&wal, 1, 10).unwrap().0;
    ticket.wait_timeout(Duration::ZERO).unwrap();
}

/// A log whose syncs stand at a gate.
fn gated() -> (SimVfs, Arc<Gate>, Wal) {
    let gate = Arc::new(Gate::default());
    let at_gate = Arc::clone(&gate);
    let sim = disk();
    let vfs = HookVfs::new(sim.clone(), move |op, _| {
        if op == IoOp::Sync {
            at_gate.pass();
        }
    });
    let wal = Wal::create(Arc::new(vfs), dir(), options(), Arc::new(ManualDriver)).unwrap();
    (sim, gate, wal)
}

#[test]
fn an_append_that_waits_for_the_open_group_leads_it_when_nobody_does() {
    // Large enough to fill the group twice, in segments that hold it.
    let gate = Arc::new(Gate::default());
    let at_gate = Arc::clone(&gate);
    let vfs = HookVfs::new(disk(), move |op, _| {
        if op == IoOp::Sync {
            at_gate.pass();
        }
    });
    let mut options = options();
    options.segment_bytes_min = 64 << 20;
    options.segment_bytes_max = 64 << 20;
    let wal = Wal::create(Arc::new(vfs), dir(), options, Arc::new(ManualDriver)).unwrap();
    let body = vec![7; 3 << 20];
    let first = wal.append(1, b"first").unwrap();
    gate.shut();
    std::thread::scope(|scope| {
        let leader = scope.spawn(move || first.wait());
        gate.wait_for_one();
        let appender = scope.spawn(|| {
            // The third does not fit beside the first two, and nobody waits for these.
            (0..3).fold(None, |_, _| Some(wal.append(1, &body).unwrap()))
        });
        while wal.appended_lsn().0 < 3 {
            std::thread::yield_now();
        }
        gate.open();
        leader.join().unwrap().unwrap();
        let last = appender.join().unwrap().unwrap();
        assert_eq!(last.lsn().0, 4);
        last.wait().unwrap();
    });
}

#[test]
fn a_waiter_that_gives_up_passes_the_token_on() {
    let (sim, gate, wal) = gated();
    for round in 0..20 {
        let first = append(&wal, 0, 10).unwrap().0;
        gate.shut();
        std::thread::scope(|scope| {
            let leader = scope.spawn(move || first.wait());
            gate.wait_for_one();
            let waiters: Vec<_> = (0..4)
                .map(|n| {
                    let ticket = append(&wal, n, 10).unwrap().0;
                    scope.spawn(move || match n % 2 {
                        // The simulated clock is moved past this deadline below.
                        0 => ticket.wait_timeout(Duration::from_millis(1 + round)),
                        _ => ticket.wait(),
                    })
                })
                .collect();
            sim.advance(Duration::from_secs(1));
            gate.open();
            leader.join().unwrap().unwrap();
            for (n, waiter) in waiters.into_iter().enumerate() {
                match waiter.join().unwrap() {
                    Ok(()) => {}
                    Err(WalError::TimedOut) => assert_eq!(n % 2, 0),
                    Err(error) => panic!("{error}"),
                }
            }
        });
        wal.sync().unwrap();
    }
}

#[test]
fn a_second_close_waits_for_the_first() {
    let (sim, gate, wal) = gated();
    let ticket = append(&wal, 0, 10).unwrap().0;
    gate.shut();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| wal.close());
        gate.wait_for_one();
        let second = scope.spawn(|| wal.close());
        gate.open();
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
    });
    assert!(ticket.is_durable());
    assert!(matches!(wal.append(1, b"x"), Err(WalError::Closed)));
    wal.close().unwrap();
    assert!(open(&sim).unwrap().report.clean);
}

/// Large and small records compete for the prepared segment on a disk that is full now and then.
/// Preparing may fail; the log must not.
#[test]
fn a_close_waits_for_the_one_who_still_wakes_others() {
    for _ in 0..400 {
        let wal = create(&disk()).unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let wal = &wal;
                scope.spawn(move || append_and_wait(wal, n, 100).unwrap());
            }
            // Everything is durable before the last flush has woken everybody.
            while wal.durable_lsn().0 < 8 {
                std::hint::spin_loop();
            }
            wal.close().unwrap();
        });
        assert!(matches!(wal.append(1, b"late"), Err(WalError::Closed)));
        wal.close().unwrap();
    }
}

#[test]
fn competing_for_a_prepared_segment_never_poisons() {
    for round in 0..30 {
        let vfs = disk();
        let wal = create(&vfs).unwrap();
        let done = AtomicBool::new(false);
        let acknowledged = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..6_usize)
                .map(|writer| {
                    let (wal, acknowledged) = (&wal, &acknowledged);
                    scope.spawn(move || {
                        for n in 0..40 {
                            let bytes = [10, 3_000, 9_000, 30_000, 90_000][(writer + n) % 5];
                            match append(wal, n as u64, bytes) {
                                Ok((ticket, _)) => {
                                    ticket.wait().unwrap();
                                    acknowledged.fetch_add(1, Ordering::SeqCst);
                                }
                                Err(error) => assert!(error.is_disk_full(), "{error}"),
                            }
                        }
                    })
                })
                .collect();
            let (wal, done, vfs) = (&wal, &done, &vfs);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    vfs.set_capacity_bytes(Some(vfs.used_bytes() + (round % 7) * 20_000));
                    vfs.advance(Duration::from_secs(1));
                    wal.run_steps();
                    std::thread::yield_now();
                    vfs.set_capacity_bytes(None);
                    let _ = wal.retire_below(wal.durable_lsn());
                }
            });
            let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            done.store(true, Ordering::SeqCst);
            outcomes.into_iter().for_each(|outcome| outcome.unwrap());
        });
        assert!(wal.poisoned().is_none());
        let durable = wal.durable_lsn();
        assert!(durable.0 >= acknowledged.load(Ordering::SeqCst) as u64);
        vfs.set_capacity_bytes(None);
        let found = open(&vfs.fork_crash(&CrashPolicy::KeepNone)).unwrap();
        assert_eq!(found.report.last_lsn, durable.0);
    }
}

/// Many short lives of many waiters with random patience, on a disk where nothing takes time: the
/// densest possible traffic on the token.
#[test]
fn no_wake_up_is_lost() {
    for round in 0..15_u64 {
        let vfs = disk();
        let driver: Arc<dyn FlushDriver> = match round % 3 {
            0 => Arc::new(ManualDriver),
            _ => Arc::new(ThreadDriver::start().unwrap()),
        };
        let wal = Wal::create(Arc::new(vfs.clone()), dir(), options(), driver).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..24_u64 {
                let wal = wal.clone();
                let vfs = vfs.clone();
                scope.spawn(move || {
                    let mut random = (round * 64 + writer + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    for n in 0..100 {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        let bytes = (random >> 32) as usize % 2_000;
                        let ticket = append(&wal, n, bytes).unwrap().0;
                        match random % 6 {
                            0 if round % 3 != 0 => block_on(ticket).unwrap(),
                            1 => drop(ticket),
                            2 => {
                                vfs.advance(Duration::from_micros(3));
                                let _ = ticket.wait_timeout(Duration::from_micros(random % 5));
                            }
                            3 => wal.sync().unwrap(),
                            _ => ticket.wait().unwrap(),
                        }
                    }
                });
            }
        });
        wal.close().unwrap();
        let found = open(&vfs.fork_crash(&CrashPolicy::KeepNone)).unwrap();
        assert!(found.report.clean);
        assert_eq!(found.entries.len(), 2_400);
        assert_eq!(found.entries.last().map(|entry| entry.lsn), Some(2_400));
    }
}

#[test]
fn a_panic_in_one_log_leaves_the_driver_to_the_others() {
    let driver = Arc::new(ThreadDriver::start().unwrap());
    let armed = Arc::new(AtomicBool::new(false));
    let in_hook = Arc::clone(&armed);
    let bad = HookVfs::new(disk(), move |op, _| {
        let armed = in_hook.load(Ordering::SeqCst);
        assert!(!(armed && op == IoOp::Sync), "the hook panics on purpose");
    });
    let bad = Wal::create(Arc::new(bad), dir(), options(), driver.clone()).unwrap();
    let good = Wal::create(Arc::new(disk()), dir(), options(), driver).unwrap();
    armed.store(true, Ordering::SeqCst);
    let lost = append(&bad, 0, 10).unwrap().0;
    assert!(matches!(block_on(lost), Err(WalError::Poisoned(_))));
    let kept = append(&good, 0, 10).unwrap().0;
    block_on(kept).unwrap();
    append_and_wait(&good, 1, 10).unwrap();
}
