//! The log's own threads, tasks, time-outs and errors, in as many orders as time allows. A lost
//! wake-up shows as threads that wait for each other, which the scheduler reports.

extern crate docdb_wal_shuttle as docdb_wal;

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{block_on, create, explore, last_after_power_loss, options};
use docdb_wal::vfs::sim::{Fault, FaultKind};
use docdb_wal::{Durability, ManualDriver, ThreadDriver, Wal, WalError};
use shuttle::thread;

fn payload(writer: usize, bytes: usize) -> Vec<u8> {
    vec![writer as u8; bytes]
}

/// Every thread that waits is woken, by whoever led; what it is told is on the medium.
#[test]
fn threads_that_wait_flush_for_each_other() {
    explore(2_000, || {
        let (sim, wal) = create(options(), Arc::new(ManualDriver));
        let threads: Vec<_> = (0..3)
            .map(|writer| {
                let (wal, sim) = (wal.clone(), sim.clone());
                thread::spawn(move || {
                    for _ in 0..2 {
                        let ticket = wal.append(1, &payload(writer, 20)).unwrap();
                        let lsn = ticket.lsn().0;
                        ticket.wait().unwrap();
                        assert!(last_after_power_loss(&sim) >= lsn);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!wal.needs_flush());
        assert_eq!(wal.durable_lsn().0, 6);
    });
}

/// The watermark never goes back and never runs ahead of the medium.
#[test]
fn the_durable_watermark_is_monotone_and_true() {
    explore(1_500, || {
        let (sim, wal) = create(options(), Arc::new(ManualDriver));
        let watcher = {
            let wal = wal.clone();
            thread::spawn(move || {
                let mut before = 0;
                while before < 4 {
                    let durable = wal.durable_lsn().0;
                    assert!(durable >= before && durable <= wal.appended_lsn().0);
                    assert!(last_after_power_loss(&sim) >= durable);
                    before = durable;
                    thread::yield_now();
                }
            })
        };
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let wal = wal.clone();
                thread::spawn(move || {
                    for _ in 0..2 {
                        wal.append(1, &payload(writer, 20)).unwrap().wait().unwrap();
                    }
                })
            })
            .collect();
        for thread in writers {
            thread.join().unwrap();
        }
        watcher.join().unwrap();
    });
}

/// A waiter that was chosen to lead and gives up at that moment passes the token on.
#[test]
fn a_chosen_waiter_that_times_out_passes_the_token_on() {
    explore(4_000, || {
        let (sim, wal) = create(options(), Arc::new(ManualDriver));
        let impatient = |writer| {
            let wal = wal.clone();
            thread::spawn(move || {
                let ticket = wal.append(1, &payload(writer, 20)).unwrap();
                match ticket.wait_timeout(Duration::from_millis(1)) {
                    Ok(()) => assert!(ticket.is_durable()),
                    Err(WalError::TimedOut) => {}
                    Err(error) => panic!("{error}"),
                }
            })
        };
        let patient = |writer| {
            let wal = wal.clone();
            thread::spawn(move || wal.append(1, &payload(writer, 20)).unwrap().wait().unwrap())
        };
        let threads = [impatient(0), patient(1), impatient(2), patient(3)];
        sim.advance(Duration::from_secs(1));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// The token that was offered to a thread which gave up is not lost to tasks, for whom only the driver
/// flushes, which is asked only while nobody has the token.
#[test]
fn a_token_offered_to_nobody_does_not_starve_tasks() {
    explore(4_000, || {
        let (sim, wal) = create(options(), Arc::new(ThreadDriver::start().unwrap()));
        let leader = {
            let wal = wal.clone();
            thread::spawn(move || wal.append(1, b"leads").unwrap().wait().unwrap())
        };
        let impatient = {
            let wal = wal.clone();
            thread::spawn(move || {
                let ticket = wal.append(1, b"gives up").unwrap();
                let _ = ticket.wait_timeout(Duration::from_millis(1));
                // Not dropped yet: that would ask the driver.
                ticket
            })
        };
        let task = {
            let wal = wal.clone();
            thread::spawn(move || block_on(wal.append(1, b"awaited").unwrap()).unwrap())
        };
        sim.advance(Duration::from_secs(1));
        leader.join().unwrap();
        task.join().unwrap();
        drop(impatient.join().unwrap());
        wal.close().unwrap();
    });
}

/// Tasks have nobody but the driver; tickets that are dropped, polled or not, are flushed too.
#[test]
fn tasks_and_dropped_tickets_are_flushed_by_the_driver() {
    explore(1_500, || {
        let (_sim, wal) = create(options(), Arc::new(ThreadDriver::start().unwrap()));
        let tasks: Vec<_> = (0..2)
            .map(|writer| {
                let wal = wal.clone();
                thread::spawn(move || {
                    let mut ticket = wal.append(1, &payload(writer, 20)).unwrap();
                    if writer == 0 {
                        let waker = std::task::Waker::noop();
                        let mut context = std::task::Context::from_waker(waker);
                        let _ = std::future::Future::poll(
                            std::pin::Pin::new(&mut ticket),
                            &mut context,
                        );
                    }
                    drop(ticket);
                    block_on(wal.append(1, &payload(writer, 20)).unwrap()).unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        // The last record was awaited or dropped: nobody but the driver can have flushed it.
        block_on(wal.watch(wal.appended_lsn())).unwrap();
        assert_eq!(wal.durable_lsn().0, 4);
        // The driver holds the log until the marker of an idle log is due, unless it is closed.
        wal.close().unwrap();
    });
}

/// Whatever operation fails: everybody who waits is told, threads and tasks.
#[test]
fn a_failed_flush_wakes_everybody() {
    explore(2_000, || {
        let driver = Arc::new(ThreadDriver::start().unwrap());
        let (sim, wal) = create(options(), driver.clone());
        sim.set_fault(Fault {
            // Either the write or the sync of the first group.
            at_op: sim.op_count()
                + shuttle::rand::Rng::gen_range(&mut shuttle::rand::thread_rng(), 0..2),
            kind: FaultKind::Os(5),
            sticky: true,
        });
        let threads: Vec<_> = (0..4)
            .map(|writer| {
                let wal = wal.clone();
                thread::spawn(move || {
                    let ticket = match wal.append(1, &payload(writer, 20)) {
                        Ok(ticket) => ticket,
                        Err(error) => return Err(error),
                    };
                    if writer % 2 == 0 {
                        ticket.wait()
                    } else {
                        block_on(ticket)
                    }
                })
            })
            .collect();
        for thread in threads {
            let outcome = thread.join().unwrap();
            assert!(matches!(outcome, Err(WalError::Poisoned(_))), "{outcome:?}");
        }
        assert!(wal.close().is_err());
        assert_eq!(wal.durable_lsn().0, 0);
        drop(wal);
        drop(driver);
    });
}

/// Appends that wait for the open group (as every append of mode `always` does), for room, for a
/// rotation or for a segment never wait for each other.
#[test]
fn appends_that_wait_for_room_always_get_it() {
    explore(1_000, || {
        for mode in [Durability::Always, Durability::Full] {
            let mut options = options();
            options.durability = mode;
            let (sim, wal) = create(options, Arc::new(ManualDriver));
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let wal = wal.clone();
                    thread::spawn(move || {
                        let tickets = [100, 5_000, 9_000]
                            .map(|bytes| wal.append(1, &payload(writer, bytes)).unwrap());
                        for ticket in tickets {
                            ticket.wait().unwrap();
                        }
                    })
                })
                .collect();
            let preparer = {
                let wal = wal.clone();
                thread::spawn(move || {
                    for _ in 0..4 {
                        let _ = wal.prepare_step().unwrap();
                    }
                })
            };
            for thread in writers.into_iter().chain([preparer]) {
                thread.join().unwrap();
            }
            assert_eq!(last_after_power_loss(&sim), 9);
        }
    });
}

/// In modes that do not sync each group, threads that ask for a sync wait beside others that do not,
/// while a rotation or the marker of an idle log may sync before they get to it.
#[test]
fn threads_that_ask_for_more_than_the_mode_are_woken() {
    explore(2_000, || {
        for mode in [Durability::Os, Durability::Memory(Duration::from_millis(1))] {
            let mut options = options();
            options.durability = mode;
            let (sim, wal) = create(options, Arc::new(ManualDriver));
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let wal = wal.clone();
                    thread::spawn(move || {
                        for bytes in [20, 9_000] {
                            let payload = payload(writer, bytes);
                            let record = docdb_wal::Record {
                                stamp: 0,
                                kind: 1,
                                head: &payload,
                                body: docdb_wal::Body::Slice(&[]),
                                payload_crc: crc32fast::hash(&payload),
                            };
                            let asked = [Durability::Os, Durability::Full][(writer + bytes) % 2];
                            let ticket = wal.append_record_as(&record, asked).unwrap();
                            let lsn = ticket.lsn();
                            ticket.wait().unwrap();
                            if writer == 0 {
                                wal.wait_durable(lsn).unwrap();
                            }
                        }
                    })
                })
                .collect();
            let idle = {
                let (wal, sim) = (wal.clone(), sim.clone());
                thread::spawn(move || {
                    sim.advance(Duration::from_secs(1));
                    let _ = wal.timed_step().unwrap();
                    let _ = wal.prepare_step().unwrap();
                })
            };
            for thread in writers.into_iter().chain([idle]) {
                thread.join().unwrap();
            }
            wal.sync().unwrap();
            assert_eq!(last_after_power_loss(&sim), 6);
        }
    });
}

/// A timed mode that has fallen behind makes appends wait, not for ever.
#[test]
fn appends_that_wait_for_a_late_sync_go_on() {
    explore(1_500, || {
        let mut options = options();
        options.durability = Durability::Interval(Duration::from_millis(1));
        let (sim, wal) = create(options, Arc::new(ManualDriver));
        let threads: Vec<_> = (0..3)
            .map(|writer| {
                let (wal, sim) = (wal.clone(), sim.clone());
                thread::spawn(move || {
                    for _ in 0..2 {
                        wal.append(1, &payload(writer, 20)).unwrap().wait().unwrap();
                        sim.advance(Duration::from_millis(3));
                    }
                })
            })
            .collect();
        let _ = wal.timed_step().unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        wal.sync().unwrap();
        assert_eq!(last_after_power_loss(&sim), 6);
    });
}

/// Closing beside those who wait, those who append, another close, and the marker of an idle log.
#[test]
fn closing_waits_for_everybody() {
    explore(2_500, || {
        let (sim, wal) = create(options(), Arc::new(ManualDriver));
        wal.append(1, b"first").unwrap().wait().unwrap();
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let wal: Wal = wal.clone();
                thread::spawn(move || match wal.append(1, &payload(writer, 20)) {
                    Ok(ticket) => {
                        ticket.wait().unwrap();
                        1
                    }
                    Err(WalError::Closed) => 0,
                    Err(error) => panic!("{error}"),
                })
            })
            .collect();
        let (idle, closer) = {
            let (wal, other, sim) = (wal.clone(), wal.clone(), sim.clone());
            (
                thread::spawn(move || {
                    sim.advance(Duration::from_secs(1));
                    let _ = wal.timed_step().unwrap();
                }),
                thread::spawn(move || other.close().unwrap()),
            )
        };
        wal.close().unwrap();
        let operations = sim.op_count();
        let appended: u64 = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum();
        idle.join().unwrap();
        closer.join().unwrap();
        assert_eq!(sim.op_count(), operations, "written to after it was closed");
        assert_eq!(last_after_power_loss(&sim), 1 + appended);
        assert!(matches!(wal.append(1, b"x"), Err(WalError::Closed)));
        let image = sim.fork_crash(&docdb_wal::vfs::sim::CrashPolicy::KeepNone);
        let judged =
            docdb_wal::Recovery::judge(Arc::new(image), common::dir(), options(), &mut |_| Ok(()));
        assert!(judged.unwrap().report().clean);
    });
}
