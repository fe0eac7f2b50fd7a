//! Running a workload and recording what happens.

mod lane;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{History, Outcome};
use crate::recorder::{Log, Recorder};
use crate::rng::Rng;
use crate::session::TxnSource;
use crate::workload::{Plan, Workload};
use lane::Lane;

/// After so many transactions the caller is told how far the run has got.
pub const PROGRESS_EVERY: u64 = 1024;

/// How often one of the last reads is tried before the run is given up.
const LAST_READ_TRIES: u32 = 1000;

/// How long and with how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// How many processes run at a time, each with one transaction at a time.
    pub processes: u32,
    /// The seed of all choices.
    pub seed: u64,
    /// Most transactions that are begun, the last reads not counted.
    pub txns: u64,
    /// Longest time in which transactions are begun, if there is one.
    pub time: Option<Duration>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            processes: 8,
            seed: 1,
            txns: 10_000,
            time: None,
        }
    }
}

/// How far a run has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Transactions that were committed.
    pub committed: u64,
    /// Transactions that were refused or rolled back.
    pub aborted: u64,
    /// Transactions of unknown outcome.
    pub unknown: u64,
}

/// A run that could not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// The process that met it.
    pub process: u32,
    /// What it was.
    pub what: String,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}: {}", self.process, self.what)
    }
}

impl std::error::Error for RunError {}

/// Who is told of progress, by any thread of the run; a break ends the run early.
type Tell<'a> = &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync);

/// What the threads of a run share.
struct Shared<'a> {
    options: RunOptions,
    tell: Tell<'a>,
    started: Instant,
    begun: AtomicU64,
    ended: [AtomicU64; 3],
    stop: AtomicBool,
}

impl<'a> Shared<'a> {
    fn new(options: RunOptions, tell: Tell<'a>) -> Self {
        Self {
            options,
            tell,
            started: Instant::now(),
            begun: AtomicU64::new(0),
            ended: Default::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Whether one more transaction may begin.
    fn one_more(&self) -> bool {
        let late = self
            .options
            .time
            .is_some_and(|time| self.started.elapsed() >= time);
        !late
            && !self.stop.load(Ordering::Relaxed)
            && self.begun.fetch_add(1, Ordering::Relaxed) < self.options.txns
    }

    fn ended(&self, outcome: Outcome) {
        let index = match outcome {
            Outcome::Committed => 0,
            Outcome::Aborted => 1,
            Outcome::Unknown => 2,
        };
        self.ended[index].fetch_add(1, Ordering::Relaxed);
        let [committed, aborted, unknown] =
            [0, 1, 2].map(|i| self.ended[i].load(Ordering::Relaxed));
        if (committed + aborted + unknown).is_multiple_of(PROGRESS_EVERY) {
            let told = Progress {
                committed,
                aborted,
                unknown,
            };
            if (self.tell)(told).is_break() {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Runs a workload with a thread for each process, then reads everything once more.
pub fn run_threads<H: History>(
    source: &dyn TxnSource,
    workload: &dyn Workload,
    options: RunOptions,
    tell: Tell<'_>,
) -> Result<H, RunError> {
    let recorder = Recorder::<H>::new();
    let shared = Shared::new(options, tell);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for process in 0..options.processes {
            let (recorder, shared, failed) = (&recorder, &shared, &failed);
            scope.spawn(move || {
                let mut log = recorder.log();
                let mut lane = Lane::new(
                    source,
                    recorder.clock(),
                    process,
                    options.processes,
                    options.seed,
                );
                if let Err(error) = by_itself(&mut lane, workload, shared, &mut log) {
                    shared.stop.store(true, Ordering::Relaxed);
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.get_or_insert(error);
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    read_all(source, workload, options, &recorder)?;
    Ok(recorder.into_history())
}

fn by_itself<H: History>(
    lane: &mut Lane<'_>,
    workload: &dyn Workload,
    shared: &Shared<'_>,
    log: &mut Log<'_, H>,
) -> Result<(), RunError> {
    while shared.one_more() {
        loop {
            if let Some(txn) = lane.step(workload)? {
                shared.ended(txn.outcome);
                log.push(txn);
                break;
            }
        }
    }
    Ok(())
}

/// Runs a workload in this thread, call by call in an order that the seed decides, then reads
/// everything once more: the same seed gives the same history. No call may wait for another
/// process's.
pub fn run_interleaved<H: History>(
    source: &dyn TxnSource,
    workload: &dyn Workload,
    options: RunOptions,
    tell: Tell<'_>,
) -> Result<H, RunError> {
    let recorder = Recorder::<H>::new();
    let shared = Shared::new(options, tell);
    let mut log = recorder.log();
    let mut rng = Rng::new(options.seed, 0);
    let lane = |process| {
        let clock = recorder.clock();
        Lane::new(source, clock, process, options.processes, options.seed)
    };
    let mut lanes: Vec<_> = (0..options.processes).map(lane).collect();
    while !lanes.is_empty() {
        let at = rng.below(lanes.len() as u64) as usize;
        if !lanes[at].is_open() && !shared.one_more() {
            lanes.swap_remove(at);
            continue;
        }
        if let Some(txn) = lanes[at].step(workload)? {
            shared.ended(txn.outcome);
            log.push(txn);
        }
    }
    drop(lanes);
    drop(log);
    read_all(source, workload, options, &recorder)?;
    Ok(recorder.into_history())
}

fn read_all<H: History>(
    source: &dyn TxnSource,
    workload: &dyn Workload,
    options: RunOptions,
    recorder: &Recorder<H>,
) -> Result<(), RunError> {
    let mut log = recorder.log();
    // Far from the processes of the run and their successors.
    let process = 1 << 31;
    let mut lane = Lane::new(source, recorder.clock(), process, 1, options.seed);
    let mut last_read = |plan: &Plan| {
        for _ in 0..LAST_READ_TRIES {
            let txn = lane.run(plan.clone())?;
            let outcome = txn.outcome;
            log.push(txn);
            if outcome == Outcome::Committed {
                return Ok(());
            }
        }
        let what = format!("the last reads failed {LAST_READ_TRIES} times");
        Err(RunError { process, what })
    };
    workload.last_reads().iter().try_for_each(&mut last_read)
}
