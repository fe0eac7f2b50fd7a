//! The scrub: at intervals, everything is read and verified that has not been for a while.
//!
//! A pass goes through the data files, the runs and the log, a step at a time and at a limited rate.
//! What was verified is passed over until it is so old that it is verified again; of a file to which
//! something was appended only that is new. A pass that has nothing to do does no I/O. Nothing of it is
//! kept on the disk: a database that is opened begins anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::damage::Damaged;
use super::restore::{Fate, How};
use super::walk::{Target, Walk};
use super::{RETRY_AFTER, Wanted, due_of, set_due};
use crate::db::{Db, Inner};
use crate::error::Result;

/// A step reads what the rate allows for this share of a second, within bounds.
const STEPS_PER_SECOND: u64 = 4;
const STEP_BYTES_MIN: u64 = 64 << 10;
const STEP_BYTES_MAX: u64 = 4 << 20;

/// What the scrub goes on from.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    pass: Option<Pass>,
    verified: BTreeMap<Target, Verified>,
}

#[derive(Debug)]
struct Pass {
    began: Duration,
    /// What is yet to be verified, and from where.
    targets: VecDeque<(Target, u64)>,
    walk: Option<Walk>,
}

#[derive(Debug, Clone, Copy)]
struct Verified {
    /// Up to here.
    upto: u64,
    /// When the beginning was.
    since: Duration,
}

impl Db {
    /// Takes one step of the scrub now, whatever the interval and the rate: begins a pass if none is
    /// under way, and reads and verifies up to 4 MiB of it. What is found damaged is restored if there
    /// is an intact copy. Returns whether the pass has more to do. [`Db::maintenance_step`] does the
    /// same at the times that the options say.
    ///
    /// # Errors
    /// `Io` if a file cannot be read: the pass goes on behind it at the next call. Those of
    /// [`Db::checkpoint`], if something is damaged. `Closed`. Damage is no error: see
    /// [`Db::heal_stats`].
    pub fn scrub_step(&self) -> Result<bool> {
        let mut scrub = self.inner.healing.scrub.lock();
        self.inner.check_open()?;
        if scrub.pass.is_none() && !self.inner.begin_pass(&mut scrub) {
            return Ok(false);
        }
        self.inner.scrub_once(&mut scrub, STEP_BYTES_MAX)?;
        Ok(scrub.pass.is_some())
    }
}

impl Inner {
    /// The first scrub is due an interval after the database was opened.
    pub(crate) fn schedule_scrub(&self) {
        let interval = self.options.scrub_interval;
        let first = (!interval.is_zero()).then(|| self.vfs.now() + interval);
        set_due(&self.healing.scrub_due, first);
    }

    /// Has a data file verified soon in which a compaction found damage.
    pub(crate) fn suspect_file(&self, number: u32) {
        self.healing.suspects.lock().insert(number);
        let now = self.vfs.now();
        if due_of(&self.healing.scrub_due).is_none_or(|due| due > now) {
            set_due(&self.healing.scrub_due, Some(now));
        }
        self.request_maintenance();
    }

    /// Takes a step of the scrub if one is due and the rate allows it. Whether it did something.
    pub(crate) fn scrub_if_due(&self) -> Result<bool> {
        let healing = &self.healing;
        let now = self.vfs.now();
        if due_of(&healing.scrub_due).is_none_or(|due| due > now) {
            return Ok(false);
        }
        let Some(mut scrub) = healing.scrub.try_lock() else {
            // All of it is being healed on demand.
            set_due(&healing.scrub_due, Some(now + RETRY_AFTER));
            return Ok(false);
        };
        if scrub.pass.is_none() && !self.begin_pass(&mut scrub) {
            self.rest_till_next(now);
            return Ok(false);
        }
        let rate = self.options.scrub_bytes_per_second.max(1);
        let step = (rate / STEPS_PER_SECOND).clamp(STEP_BYTES_MIN, STEP_BYTES_MAX);
        let pace = self.options.scrub_pace.as_deref().unwrap_or(&healing.pace);
        if let Err(at) = pace.try_take(now, step, rate) {
            set_due(&healing.scrub_due, Some(at));
            return Ok(false);
        }
        let scrubbed = self.scrub_once(&mut scrub, step);
        let read = scrubbed.as_ref().copied().unwrap_or(0);
        let next = pace.took_more(read.saturating_sub(step), rate);
        if scrub.pass.is_some() {
            set_due(&healing.scrub_due, Some(next));
        } else {
            self.rest_till_next(now);
        }
        scrubbed.map(|_| true)
    }

    /// No pass is under way: says when the next begins.
    fn rest_till_next(&self, now: Duration) {
        let interval = self.options.scrub_interval;
        let at = if !self.healing.suspects.lock().is_empty() {
            Some(now)
        } else {
            (!interval.is_zero()).then(|| now + interval)
        };
        set_due(&self.healing.scrub_due, at);
    }

    /// Plans a pass; false if there is nothing to verify.
    fn begin_pass(&self, scrub: &mut Scrub) -> bool {
        let now = self.vfs.now();
        let suspects = std::mem::take(&mut *self.healing.suspects.lock());
        let mut verified = std::mem::take(&mut scrub.verified);
        let mut pass = Pass {
            began: now,
            targets: VecDeque::new(),
            walk: None,
        };
        let mut todo_bytes = 0;
        for (target, bytes) in self.scrub_targets() {
            let is_suspect = matches!(target, Target::Data(number) if suspects.contains(&number));
            let known = verified.remove(&target).filter(|verified| {
                let age = now.saturating_sub(verified.since);
                !is_suspect && age < self.options.scrub_again_after
            });
            let from = known.map_or(0, |verified| verified.upto);
            if let Some(known) = known {
                scrub.verified.insert(target, known);
            }
            if from < bytes {
                pass.targets.push_back((target, from));
                if target != Target::Log {
                    todo_bytes += bytes - from;
                }
            }
        }
        if pass.targets.is_empty() {
            return false;
        }
        self.begin_scan(todo_bytes);
        scrub.pass = Some(pass);
        true
    }

    /// What there is to verify, and how much: bytes of a data file or run; of the log the number behind
    /// its last durable record.
    pub(super) fn scrub_targets(&self) -> Vec<(Target, u64)> {
        let files = self.store.files();
        let data = files.iter().filter(|file| file.live_bytes.is_some());
        let data = data.map(|file| (Target::Data(file.number), file.bytes));
        let runs = self.index.runs();
        let runs = runs
            .iter()
            .map(|run| (Target::Run(run.identity().number), run.meta().file_bytes()));
        let log = (Target::Log, self.wal.durable_lsn().0 + 1);
        data.chain(runs).chain([log]).collect()
    }

    pub(super) fn begin_scan(&self, todo_bytes: u64) {
        let counters = &self.healing.counters;
        counters.scan_done_bytes.store(0, Ordering::Relaxed);
        counters
            .scan_todo_bytes
            .store(todo_bytes, Ordering::Relaxed);
    }

    pub(super) fn end_scan(&self, is_whole: bool) {
        let counters = &self.healing.counters;
        counters.scan_done_bytes.store(0, Ordering::Relaxed);
        counters.scan_todo_bytes.store(0, Ordering::Relaxed);
        if is_whole {
            counters.scans.fetch_add(1, Ordering::Relaxed);
            set_due(&counters.last_scan, Some(self.vfs.now()));
        }
    }

    /// Verifies about so many bytes of the pass, of one target. The bytes that were read.
    fn scrub_once(&self, scrub: &mut Scrub, bytes_max: u64) -> Result<u64> {
        let Some(pass) = &mut scrub.pass else {
            return Ok(0);
        };
        let mut walk = match pass.walk.take() {
            Some(walk) => walk,
            None => match pass.targets.pop_front() {
                Some((target, from)) => Walk::new(target, from),
                None => {
                    scrub.pass = None;
                    return Ok(0);
                }
            },
        };
        let began = pass.began;
        let is_last = pass.targets.is_empty();
        // What fails is not verified, and passed over.
        let outcome = self.walk_on(&mut walk, bytes_max).and_then(|mut part| {
            if part.is_end {
                part.bytes += self.end_walk(&walk)?;
            }
            Ok(part)
        });
        match outcome {
            Ok(part) if !part.is_end => pass.walk = Some(walk),
            Ok(_) => {
                let upto = match walk.target {
                    // All of it; it never grows.
                    Target::Run(_) => u64::MAX,
                    Target::Data(_) | Target::Log => walk.at,
                };
                let verified = scrub.verified.entry(walk.target);
                let verified = verified.or_insert(Verified { upto, since: began });
                verified.upto = upto;
            }
            Err(_) => {
                scrub.verified.remove(&walk.target);
            }
        }
        if pass.walk.is_none() && is_last {
            scrub.pass = None;
            self.end_scan(outcome.is_ok());
            self.review_lost();
        }
        outcome.map(|part| part.bytes)
    }

    /// Restores what was found damaged in a data file. The bytes that were read for it.
    fn end_walk(&self, walk: &Walk) -> Result<u64> {
        if let (Target::Data(number), false) = (walk.target, walk.damage.is_empty()) {
            let damaged = Damaged::from([(number, walk.damage.clone())]);
            let on_fate = &mut |_: &Wanted, _: &Fate| Ok(());
            return self.heal_damaged(&damaged, How::InBackground, on_fate);
        }
        Ok(0)
    }

    /// Counts and tells of a damaged place, if it is not known; whether it was not.
    pub(super) fn note_place(&self, target: Target, at: u64, counter: &AtomicU64) -> bool {
        let mut places = self.healing.places.lock();
        let is_new = places.len() < super::PLACES_KNOWN_MAX && places.insert((target, at));
        if is_new {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        is_new
    }

    /// Ends the scrub for good. The caller has marked the database as closed.
    pub(crate) fn close_healing(&self) {
        self.healing.scrub.lock().pass = None;
    }
}

impl Scrub {
    /// A scan of everything takes the place of the pass under way.
    pub(super) fn abandon(&mut self) {
        self.pass = None;
    }

    /// A scan of everything that began then has verified this.
    pub(super) fn note_verified(&mut self, target: Target, upto: u64, since: Duration) {
        let upto = match target {
            Target::Run(_) => u64::MAX,
            Target::Data(_) | Target::Log => upto,
        };
        self.verified.insert(target, Verified { upto, since });
    }
}
