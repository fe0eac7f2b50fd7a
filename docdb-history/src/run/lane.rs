//! One process, call by call.

use super::RunError;
use crate::model::{Op, Outcome, Txn};
use crate::recorder::Clock;
use crate::rng::Rng;
use crate::session::{Failure, Session, TxnSource};
use crate::workload::{Plan, Step, Workload};

/// A process and the transaction that it is in.
pub(super) struct Lane<'s> {
    source: &'s dyn TxnSource,
    clock: &'s Clock,
    session: Option<Box<dyn Session + 's>>,
    process: u32,
    /// How many processes there are at a time: their successors count on in these steps.
    processes: u32,
    rng: Rng,
    open: Option<Open>,
}

struct Open {
    txn: Txn,
    plan: Plan,
    next: usize,
}

impl<'s> Lane<'s> {
    pub(super) fn new(
        source: &'s dyn TxnSource,
        clock: &'s Clock,
        process: u32,
        processes: u32,
        seed: u64,
    ) -> Self {
        Self {
            source,
            clock,
            session: None,
            process,
            processes,
            rng: Rng::new(seed, u64::from(process) + 1),
            open: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Makes the next call; a transaction that it ends is answered.
    pub(super) fn step(&mut self, workload: &dyn Workload) -> Result<Option<Txn>, RunError> {
        if self.open.is_none() {
            let plan = workload.plan(&mut self.rng);
            return self.begin(plan);
        }
        self.advance()
    }

    /// Runs one transaction to its end.
    pub(super) fn run(&mut self, plan: Plan) -> Result<Txn, RunError> {
        let mut ended = self.begin(plan)?;
        loop {
            if let Some(txn) = ended {
                return Ok(txn);
            }
            ended = self.advance()?;
        }
    }

    fn begin(&mut self, plan: Plan) -> Result<Option<Txn>, RunError> {
        let txn = Txn {
            process: self.process,
            begin: self.clock.tick(),
            end: 0,
            level: plan.level,
            outcome: Outcome::Aborted,
            snapshot: None,
            commit: None,
            ops: Vec::with_capacity(plan.steps.len()),
        };
        let level = plan.level;
        let open = Open { txn, plan, next: 0 };
        let begun = self.session().and_then(|session| session.begin(level));
        match begun {
            Ok(snapshot) => {
                let open = self.open.insert(open);
                open.txn.snapshot = snapshot;
                Ok(None)
            }
            Err(failure) => self.fail(open.txn, failure).map(Some),
        }
    }

    fn session(&mut self) -> Result<&mut (dyn Session + 's), Failure> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.source.session(self.process)?,
        };
        Ok(self.session.insert(session).as_mut())
    }

    fn advance(&mut self) -> Result<Option<Txn>, RunError> {
        let Some(mut open) = self.open.take() else {
            return Ok(None);
        };
        let step = open.plan.steps.get(open.next).copied();
        let rollback = open.plan.rollback;
        let session = match self.session() {
            Ok(session) => session,
            Err(failure) => return self.fail(open.txn, failure).map(Some),
        };
        let done = match step {
            Some(step) => call(session, step).map(|op| {
                open.txn.ops.push(op);
                open.next += 1;
                true
            }),
            None if rollback => {
                session.rollback();
                Ok(false)
            }
            None => session.commit().map(|version| {
                open.txn.commit = version;
                open.txn.outcome = Outcome::Committed;
                false
            }),
        };
        match done {
            Ok(true) => {
                self.open = Some(open);
                Ok(None)
            }
            Ok(false) => {
                open.txn.end = self.clock.tick();
                Ok(Some(open.txn))
            }
            Err(failure) => self.fail(open.txn, failure).map(Some),
        }
    }

    fn fail(&mut self, mut txn: Txn, failure: Failure) -> Result<Txn, RunError> {
        match failure {
            Failure::Aborted => txn.outcome = Outcome::Aborted,
            Failure::Unknown => {
                txn.outcome = Outcome::Unknown;
                // What it began may still happen, beside what it does next.
                self.session = None;
                self.process = self.process.wrapping_add(self.processes);
            }
            Failure::Broken(what) => {
                let process = self.process;
                return Err(RunError { process, what });
            }
        }
        txn.end = self.clock.tick();
        Ok(txn)
    }
}

fn call(session: &mut dyn Session, step: Step) -> Result<Op, Failure> {
    Ok(match step {
        Step::Append(key, value) => {
            session.append(key, value)?;
            Op::Append(key, value)
        }
        Step::Read(key) => Op::Read(key, session.read(key)?),
        Step::Get(key) => Op::Get(key, session.get(key)?),
        Step::Scan(range) => Op::Scan(range, session.scan(range)?),
        Step::Put(key, value) => {
            session.put(key, value)?;
            Op::Put(key, value)
        }
        Step::Delete(key) => {
            if session.delete(key)? {
                Op::Delete(key)
            } else {
                Op::Get(key, None)
            }
        }
    })
}
