//! What threads may do with a log, in any mix: whoever waits is told, and what was told is true.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

extern crate docdb_wal_shuttle as docdb_wal;

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{block_on, create, explore, options};
use docdb_wal::vfs::sim::{Fault, FaultKind, SimVfs};
use docdb_wal::{
    Body, CommitTicket, Durability, FlushDriver, Lsn, ManualDriver, Record, Result, ThreadDriver,
    Wal, WalError,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

const MODES: [Durability; 5] = [
    Durability::Full,
    Durability::Always,
    Durability::Interval(Duration::from_millis(5)),
    Durability::Os,
    Durability::Memory(Duration::from_millis(5)),
];

fn random(below: usize) -> usize {
    thread_rng().gen_range(0..below)
}

fn append(wal: &Wal) -> Result<(CommitTicket, Durability)> {
    let payload = vec![7; [0, 20, 3_000, 9_000][random(4)]];
    let asked = MODES[random(MODES.len())];
    let ticket = wal.append_record_as(
        &Record {
            stamp: 0,
            kind: 1,
            head: &payload,
            body: Body::Slice(&[]),
            payload_crc: crc32fast::hash(&payload),
        },
        asked,
    )?;
    Ok((ticket, asked))
}

/// One thing that a thread does; `tasks` says whether somebody flushes for tasks.
fn act(sim: &SimVfs, wal: &Wal, tasks: bool) -> Result<()> {
    match random(if tasks { 10 } else { 8 }) {
        0..=2 => {
            let (ticket, asked) = append(wal)?;
            let lsn = ticket.lsn();
            ticket.wait()?;
            if matches!(asked, Durability::Full | Durability::Always) {
                assert!(wal.durable_lsn() >= lsn);
            }
        }
        3 => {
            let (ticket, _) = append(wal)?;
            match ticket.wait_timeout(Duration::from_millis(random(2) as u64)) {
                Ok(()) => assert!(ticket.is_settled()),
                Err(WalError::TimedOut) => {
                    if random(2) == 0 {
                        ticket.wait()?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        4 => drop(append(wal)?),
        5 => wal.sync()?,
        6 => {
            sim.advance(Duration::from_millis(60));
            let _ = wal.timed_step()?;
        }
        7 => {
            let _ = wal.prepare_step()?;
            let _ = wal.retire_below(wal.durable_lsn())?;
        }
        8 => {
            let (ticket, _) = append(wal)?;
            block_on(ticket)?;
        }
        _ => {
            let lsn = Lsn(wal.appended_lsn().0);
            block_on(wal.watch(lsn))?;
        }
    }
    Ok(())
}

fn run(fails: bool, closes: bool) {
    let mut options = options();
    options.durability = MODES[random(MODES.len())];
    options.keep_segments = 0;
    let tasks = random(2) == 0;
    let driver: Arc<dyn FlushDriver> = if tasks {
        Arc::new(ThreadDriver::start().unwrap())
    } else {
        Arc::new(ManualDriver)
    };
    let (sim, wal) = create(options, driver);
    if fails {
        sim.set_fault(Fault {
            at_op: sim.op_count() + random(12) as u64,
            kind: FaultKind::Os(5),
            sticky: random(2) == 0,
        });
    }
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (wal, sim) = (wal.clone(), sim.clone());
            thread::spawn(move || {
                for _ in 0..3 {
                    match act(&sim, &wal, tasks) {
                        Ok(()) => {}
                        Err(WalError::Closed) if closes => return,
                        Err(WalError::Poisoned(_) | WalError::Io { .. }) if fails => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    if closes {
        match wal.close() {
            Ok(()) => {}
            Err(_) if fails => {}
            Err(error) => panic!("{error}"),
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let closed = wal.close();
    assert!(fails || closed.is_ok(), "{closed:?}");
    // The driver lets go of a log that was closed, or its thread never ends here.
    if closed.is_ok() {
        assert_eq!(wal.durable_lsn(), wal.appended_lsn());
    }
}

#[test]
fn everybody_is_told() {
    explore(1_500, || run(false, false));
}

#[test]
fn everybody_is_told_beside_a_close() {
    explore(1_500, || run(false, true));
}

#[test]
fn everybody_is_told_of_a_failure() {
    explore(1_500, || run(true, random(2) == 0));
}
