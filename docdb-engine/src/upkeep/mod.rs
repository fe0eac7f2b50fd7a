//! Upkeep: merging index runs and compacting data files, a bounded step at a time.
//!
//! One job at a time: a merge of runs, or the compaction of one data file. A job is planned under the
//! checkpointer's lock, does its reading and writing without it, and publishes what it made under it
//! again by one manifest edit. Checkpoints go on meanwhile. A step is short, so a close waits for one
//! step at most, and abandons the job.
//!
//! Whatever fails before the manifest is replaced leaves everything as it was: the job's output is
//! removed, and the job is planned anew after a time that doubles. A crash leaves files that no
//! manifest names, which the next open removes.
//!
//! Lock order: `work`, then the checkpointer's, then `kept`.

mod compact;
mod demand;
mod kept;
mod merge;
mod relocate;
mod tiers;
mod victim;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use docdb_datafile::DataFileWriter;
use parking_lot::Mutex;

use crate::checkpoint::{Checkpointer, RETRY_AFTER};
use crate::db::{Inner, poisoned};
use crate::error::Result;
use crate::manifest::Manifest;
use crate::planted::{Bug, is_planted};

use compact::CompactJob;
pub use demand::CompactionReport;
use kept::Kept;
use merge::MergeJob;
pub(crate) use relocate::Relocated;

/// Longest time between two attempts after failures.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// When the dead bytes of all data files are more than the live ones and so many slices, compactions
/// do not rest.
const URGENT_SLICES: u64 = 2;

/// What upkeep goes on from.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    work: Mutex<Work>,
    /// When there is something to do, in nanoseconds of the clock plus 1; 0 if there is nothing.
    due: AtomicU64,
    /// It is due then, and not now, only to keep to the rate.
    is_resting: AtomicBool,
    /// More is dead than can wait for the rate.
    is_urgent: AtomicBool,
    kept: Mutex<Kept>,
    /// Runs of which a page other than those with entries is damaged: they are written anew.
    rewrite: Mutex<BTreeSet<u64>>,
    /// Data files whose header is damaged: they are compacted however little of them is dead, since no
    /// later open would take them.
    evacuate: Mutex<BTreeSet<u32>>,
}

#[derive(Debug, Default)]
pub(crate) struct Work {
    job: Option<Job>,
    /// The data file that compactions write to.
    output: Option<DataFileWriter>,
    /// Data files in which something does not verify: compacted no more by this process.
    damaged: BTreeSet<u32>,
    /// Failures in a row.
    failures: u32,
}

#[derive(Debug)]
enum Job {
    Merge(Box<MergeJob>),
    Compact(CompactJob),
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There was nothing to do.
    Idle,
    /// So many bytes were read and written for a merge.
    Merged(u64),
    /// So many were for a compaction.
    Compacted(u64),
}

/// Which data files are to be compacted.
enum Victims<'a> {
    /// Those that pass the options' thresholds.
    Worthwhile,
    /// These, as far as it gives anything back.
    These(&'a mut BTreeSet<u32>),
}

impl Upkeep {
    /// When there is something to do.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self.due.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos - 1)),
        }
    }

    /// Has a run written anew, from its entries.
    pub(crate) fn rewrite_run(&self, number: u64, now: Duration) {
        self.rewrite.lock().insert(number);
        self.set_due(Some(now));
    }

    /// Has a data file compacted in any case.
    pub(crate) fn evacuate_file(&self, number: u32, now: Duration) {
        self.evacuate.lock().insert(number);
        self.set_due(Some(now));
    }

    fn set_due(&self, at: Option<Duration>) {
        let nanos = at.map_or(0, |at| at.as_nanos() as u64 + 1);
        self.is_resting.store(false, Ordering::Relaxed);
        self.due.store(nanos, Ordering::Release);
    }

    /// The bytes of data files that only snapshots keep.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept.lock().bytes()
    }
}

impl Inner {
    /// Notes that there is upkeep to do, if there is and nobody knows yet. The caller has changed the
    /// manifest.
    pub(crate) fn schedule_upkeep(&self, state: &Checkpointer) {
        let upkeep = &self.upkeep;
        let ends_rest = upkeep.is_resting.load(Ordering::Relaxed) && !self.may_rest_for_space();
        if ends_rest || (upkeep.due().is_none() && self.is_upkeep_wanted(state)) {
            self.upkeep.set_due(Some(self.vfs.now()));
            self.request_maintenance();
        }
    }

    fn is_upkeep_wanted(&self, state: &Checkpointer) -> bool {
        self.runs_to_merge(state).is_some()
            || state
                .manifest
                .data_files
                .iter()
                .any(|entry| self.is_worthwhile(state, entry))
    }

    /// Does a step of upkeep if one is due. Whether it did something.
    pub(crate) fn upkeep_if_due(&self) -> Result<bool> {
        let now = self.vfs.now();
        if self.poisoned.get().is_some() || self.wal.poisoned().is_some() {
            return Ok(false);
        }
        if self.upkeep.due().is_none_or(|due| due > now) {
            return Ok(false);
        }
        let Some(mut work) = self.upkeep.work.try_lock() else {
            // Somebody compacts on demand; what is left then is looked at later.
            self.upkeep.set_due(Some(now + RETRY_AFTER));
            return Ok(false);
        };
        match self.advance(&mut work, Victims::Worthwhile) {
            Ok(Step::Idle) => Ok(false),
            Ok(step) => {
                self.rest(step, now);
                Ok(true)
            }
            Err(error) => {
                let rest = RETRY_AFTER * 2_u32.saturating_pow(work.failures.saturating_sub(1));
                self.upkeep.set_due(Some(now + rest.min(RETRY_AFTER_MAX)));
                Err(error)
            }
        }
    }

    /// Lets upkeep rest so long after a step that it keeps to the rate, if it can wait: not for merges
    /// while there are more than twice as many runs as there should be, and for nothing while more is
    /// dead than alive, since both are promised to be bounded.
    fn rest(&self, step: Step, now: Duration) {
        let rate = self.options.compaction_bytes_per_second;
        let bytes = match step {
            Step::Idle => return,
            Step::Merged(_) if rate == 0 || !self.may_rest_for_runs() => 0,
            Step::Merged(bytes) | Step::Compacted(bytes) if self.may_rest_for_space() => bytes,
            Step::Merged(_) | Step::Compacted(_) => 0,
        };
        let rest = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        self.upkeep.set_due(Some(now + rest.min(RETRY_AFTER_MAX)));
        if rest.is_zero() {
            self.request_maintenance();
        } else {
            self.upkeep.is_resting.store(true, Ordering::Relaxed);
        }
    }

    fn may_rest_for_runs(&self) -> bool {
        self.index.stats().runs <= self.options.runs_max.saturating_mul(2)
    }

    fn may_rest_for_space(&self) -> bool {
        is_planted(Bug::UpkeepRestsAlways) || !self.upkeep.is_urgent.load(Ordering::Relaxed)
    }

    /// Notes how much of the data files is dead. To be called when the manifest has changed.
    pub(crate) fn note_dead(&self, manifest: &Manifest) {
        let bytes: u64 = manifest.data_files.iter().map(|e| e.durable_bytes).sum();
        let live: u64 = manifest.data_files.iter().map(|e| e.live_bytes).sum();
        let floor = self
            .options
            .compact_slice_bytes
            .saturating_mul(URGENT_SLICES);
        let is_urgent = bytes.saturating_sub(live) > live.saturating_add(floor);
        self.upkeep.is_urgent.store(is_urgent, Ordering::Relaxed);
    }

    /// Moves the job on by a step, or plans one and takes its first. After an error there is no job.
    fn advance(&self, work: &mut Work, victims: Victims<'_>) -> Result<Step> {
        let outcome = self.try_advance(work, victims);
        match &outcome {
            Ok(_) => work.failures = 0,
            Err(_) => {
                work.failures = work.failures.saturating_add(1);
                self.abandon_job(work);
            }
        }
        outcome
    }

    fn try_advance(&self, work: &mut Work, victims: Victims<'_>) -> Result<Step> {
        self.check_publishable()?;
        if work.job.is_none() {
            work.job = self.plan_job(work, victims)?;
        }
        match work.job.take() {
            None => Ok(Step::Idle),
            Some(Job::Merge(mut job)) => {
                let step = self.step_merge(&mut job);
                if !matches!(step, Ok((true, _))) {
                    // If it failed, what it wrote is to be removed.
                    work.job = Some(Job::Merge(job));
                }
                step.map(|(_, bytes)| Step::Merged(bytes))
            }
            Some(Job::Compact(mut job)) => {
                let (is_done, bytes) = self.step_compact(&mut job, work)?;
                work.job = (!is_done).then_some(Job::Compact(job));
                Ok(Step::Compacted(bytes))
            }
        }
    }

    /// Chooses what to do next. Merges first: they keep reads fast.
    fn plan_job(&self, work: &mut Work, victims: Victims<'_>) -> Result<Option<Job>> {
        let mut state = self.checkpointer.lock();
        self.check_publishable()?;
        if let Some(range) = self.runs_to_merge(&state) {
            let job = self.plan_merge(&mut state, range);
            return Ok(Some(Job::Merge(Box::new(job))));
        }
        if let Some(job) = self.plan_rewrite(&mut state) {
            return Ok(Some(Job::Merge(Box::new(job))));
        }
        let is_background = matches!(victims, Victims::Worthwhile);
        let victim = self.choose_victim(&state, work, victims);
        let job = victim.and_then(|number| self.plan_compact(&mut state, work, number));
        if job.is_none() && is_background {
            // Under the lock: a checkpoint that makes work says so afterwards. What could not be
            // begun, since somebody writes to it, is looked at again.
            let again = victim.map(|_| self.vfs.now() + RETRY_AFTER);
            self.upkeep.set_due(again);
        }
        Ok(job.map(Job::Compact))
    }

    /// Nothing is published by a database that is closed, or that does not know what is on its disk.
    fn check_publishable(&self) -> Result<()> {
        self.check_open()?;
        if let Some(cause) = self.poisoned.get() {
            return Err(poisoned(cause));
        }
        match self.wal.poisoned() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Gives up the job, and removes what it wrote and no manifest names.
    fn abandon_job(&self, work: &mut Work) {
        let job = work.job.take();
        let output = work.output.take();
        if self.poisoned.get().is_some() {
            // Which manifest stands is not known, so neither is what it names.
            return;
        }
        if let Some(Job::Merge(job)) = &job {
            let _ = self.vfs.remove_file(job.path());
        }
        if let Some(output) = output {
            self.abandon_output(&output);
        }
    }

    /// Ends upkeep for good and frees what it keeps. The caller has marked the database as closed.
    pub(crate) fn close_upkeep(&self) -> parking_lot::MutexGuard<'_, Work> {
        let mut work = self.upkeep.work.lock();
        self.abandon_job(&mut work);
        work
    }
}
