//! A log against a model, through any order of appends, waits, crashes, reopenings and retiring.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use common::{Promise, append, create, disk, open_with, options};
use docdb_wal::vfs::sim::{CrashPolicy, SectorSize, SimVfs};
use docdb_wal::{CommitTicket, Lsn, Wal};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        bytes: usize,
    },
    WaitForOldest,
    WaitForNewest,
    DropTickets,
    Sync,
    RunSteps,
    CloseAndReopen,
    Crash(CrashPolicy),
    /// Retires what is below this share of the known records, in percent.
    Retire(usize),
}

fn sector() -> impl Strategy<Value = SectorSize> {
    prop_oneof![Just(SectorSize::Bytes512), Just(SectorSize::Bytes4096)]
}

fn policy() -> impl Strategy<Value = CrashPolicy> {
    prop_oneof![
        Just(CrashPolicy::Kill),
        Just(CrashPolicy::KeepNone),
        Just(CrashPolicy::KeepAll),
        (any::<u64>(), sector()).prop_map(|(seed, sector)| CrashPolicy::Random { seed, sector }),
        (any::<u64>(), sector()).prop_map(|(seed, sector)| CrashPolicy::Torn { seed, sector }),
        (0..40_usize).prop_map(CrashPolicy::DropOne),
        (0..40_usize).prop_map(CrashPolicy::KeepOne),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..400_usize).prop_map(|bytes| Step::Append { bytes }),
        3 => (0..20_000_usize).prop_map(|bytes| Step::Append { bytes }),
        1 => (60_000..100_000_usize).prop_map(|bytes| Step::Append { bytes }),
        3 => Just(Step::WaitForOldest),
        2 => Just(Step::WaitForNewest),
        1 => Just(Step::DropTickets),
        1 => Just(Step::Sync),
        2 => Just(Step::RunSteps),
        1 => Just(Step::CloseAndReopen),
        2 => policy().prop_map(Step::Crash),
        1 => (0..100_usize).prop_map(Step::Retire),
    ]
}

/// The log and what it must be.
struct Pair {
    vfs: SimVfs,
    wal: Wal,
    tickets: Vec<CommitTicket>,
    promise: Promise,
    appended_ever: u64,
    highest_lsn: u64,
}

impl Pair {
    fn new() -> Pair {
        let vfs = disk();
        let wal = create(&vfs).unwrap();
        Pair {
            vfs,
            wal,
            tickets: Vec::new(),
            promise: Promise {
                created: true,
                ..Promise::default()
            },
            appended_ever: 0,
            highest_lsn: 0,
        }
    }

    fn acknowledge(&mut self, lsn: Lsn) {
        let count = self.promise.appended.iter().filter(|e| e.lsn <= lsn.0);
        self.promise.acknowledged = self.promise.acknowledged.max(count.count());
    }

    /// Opens the log on the disk as it is, and compares.
    fn reopen(&mut self, clean: bool) {
        let mut options = options();
        let retired = self.promise.retired;
        if let Some(first_needed) = self.promise.appended.get(retired) {
            options.start_lsn = Some(Lsn(first_needed.lsn));
        } else {
            options.start_lsn = Some(Lsn(self.highest_lsn + 1));
        }
        let opened = open_with(&self.vfs, options).unwrap();
        let mut needed = self.promise.clone();
        needed.appended.drain(..retired);
        needed.acknowledged = needed.acknowledged.saturating_sub(retired);
        needed.retired = 0;
        assert_eq!(needed.violation(&opened.entries), None);
        assert_eq!(opened.report.clean, clean);
        if clean {
            assert_eq!(opened.entries, needed.appended);
            assert_eq!(opened.report.cut, None);
        }
        // What is shown is a promise; what is not will never come back.
        self.promise
            .appended
            .truncate(retired + opened.entries.len());
        self.promise.acknowledged = self.promise.appended.len();
        assert!(opened.wal.next_lsn().0 > self.highest_lsn);
        self.wal = opened.wal;
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append { bytes } => {
                let (ticket, entry) = append(&self.wal, self.appended_ever, *bytes).unwrap();
                assert!(entry.lsn > self.highest_lsn);
                self.highest_lsn = entry.lsn;
                self.appended_ever += 1;
                self.promise.appended.push(entry);
                self.tickets.push(ticket);
            }
            Step::WaitForOldest if !self.tickets.is_empty() => {
                let ticket = self.tickets.remove(0);
                let lsn = ticket.lsn();
                ticket.wait().unwrap();
                self.acknowledge(lsn);
            }
            Step::WaitForNewest => {
                if let Some(ticket) = self.tickets.pop() {
                    let lsn = ticket.lsn();
                    ticket.wait().unwrap();
                    self.acknowledge(lsn);
                }
            }
            Step::WaitForOldest => {}
            Step::DropTickets => self.tickets.clear(),
            Step::Sync => {
                self.wal.sync().unwrap();
                self.acknowledge(self.wal.durable_lsn());
            }
            Step::RunSteps => self.wal.run_steps(),
            Step::CloseAndReopen => {
                self.wal.close().unwrap();
                self.promise.acknowledged = self.promise.appended.len();
                assert!(self.tickets.drain(..).all(|ticket| ticket.is_durable()));
                self.reopen(true);
            }
            Step::Crash(policy) => {
                self.tickets.clear();
                self.vfs.crash(policy);
                self.reopen(false);
            }
            Step::Retire(percent) => {
                let keep = self.promise.acknowledged * percent / 100;
                if let Some(first_needed) = self.promise.appended.get(keep) {
                    self.promise.retired = self.promise.retired.max(keep);
                    self.wal.retire_below(Lsn(first_needed.lsn)).unwrap();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_log_is_its_model(steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.run(step);
        }
        pair.tickets.clear();
        pair.vfs.crash(&CrashPolicy::KeepNone);
        pair.reopen(false);
    }
}
