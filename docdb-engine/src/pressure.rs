//! Slower writers, so that nobody meets the end of a budget while checkpoints make progress.
//!
//! Writers that are faster than checkpoints would use up the memory budget, or fill the log. From half
//! of the memory on, and in the last quarter of the log, every commit is therefore delayed while a
//! checkpoint is under way or due. The last checkpoints tell how fast one goes, hence how long this one
//! still takes; what is left of the budget is given out evenly over that time:
//!
//! `delay = bytes * time that the checkpoint still takes / bytes that are left`
//!
//! So writers come down to what checkpoints sustain. At least half of the time that one has taken is
//! always thought to be still to come, so if it takes longer than was thought, what is left shrinks
//! ever slower, but does not end. All
//! writers share one clock, on which each commit takes the time of its delay (a leaky bucket), so any
//! number of them is slowed alike; whoever is less than a millisecond ahead of it does not sleep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::db::{Db, Inner};
use crate::planted::{Bug, is_planted};

/// A commit is delayed by this much at most.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(1);
/// Shorter delays are added up.
const DELAY_MIN: Duration = Duration::from_millis(1);
/// A sleeper looks at intervals of this whether the checkpoint has ended.
const SLEEP_MAX: Duration = Duration::from_millis(10);
/// How fast a checkpoint is thought to go before any was measured, in bytes of memory a second.
const RATE_GUESSED: u64 = 16 << 20;
/// A checkpoint that frees less than this share of the memory budget tells nothing about the rate.
const MEASURED_SHARE: u64 = 64;

/// The clock of delays, and what is known of checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    /// When the checkpoint under way began, in nanoseconds of the clock plus 1; 0 if there is none.
    began: AtomicU64,
    /// The memory that it will free, in bytes.
    frozen_bytes: AtomicU64,
    /// What checkpoints free in a second, in bytes; 0 before one was measured.
    rate: AtomicU64,
    /// The time up to which the clock of delays is taken, in nanoseconds.
    taken_until: AtomicU64,
    /// Checkpoints that have ended, well or not.
    ended: AtomicU64,
    /// When the next one was seen to be due, and asked for, in nanoseconds of the clock plus 1; 0 if it
    /// was not since the last one began.
    due_since: AtomicU64,
    /// After a checkpoint that failed, pressure alone makes none due before this, in nanoseconds.
    retry_at: AtomicU64,
    delayed: AtomicU64,
    delayed_nanos: AtomicU64,
}

impl Pressure {
    /// A checkpoint begins to write so much.
    pub(crate) fn begin(&self, frozen_bytes: u64, now: Duration) {
        self.frozen_bytes.store(frozen_bytes, Ordering::Relaxed);
        self.began.store(nanos(now) + 1, Ordering::Release);
        self.due_since.store(0, Ordering::Relaxed);
    }

    /// The checkpoint has ended; if it succeeded, it is measured.
    pub(crate) fn end(&self, is_measured: bool, memory_bytes_max: u64, now: Duration) {
        let began = self.began.swap(0, Ordering::AcqRel);
        let frozen = self.frozen_bytes.load(Ordering::Relaxed);
        let took = (nanos(now) + 1).saturating_sub(began);
        if is_measured && began > 0 && took > 0 && frozen >= memory_bytes_max / MEASURED_SHARE {
            let measured = u128::from(frozen) * 1_000_000_000 / u128::from(took);
            let measured = u64::try_from(measured).unwrap_or(u64::MAX).max(1);
            let before = self.rate.load(Ordering::Relaxed);
            let rate = match before {
                0 => measured,
                before => before / 2 + measured / 2 + 1,
            };
            self.rate.store(rate, Ordering::Relaxed);
        }
        self.taken_until.store(0, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Release);
    }

    /// A checkpoint has failed; pressure alone makes the next one due then.
    pub(crate) fn retry_at(&self, time: Duration) {
        self.retry_at.store(nanos(time), Ordering::Relaxed);
    }

    /// How long freeing so much takes.
    fn time_of(&self, bytes: u64) -> Duration {
        let rate = match self.rate.load(Ordering::Relaxed) {
            0 => RATE_GUESSED,
            rate => rate,
        };
        Duration::from_secs_f64(bytes as f64 / rate as f64)
    }

    /// Commits that were delayed, and for how long altogether.
    pub(crate) fn delayed(&self) -> (u64, Duration) {
        let nanos = self.delayed_nanos.load(Ordering::Relaxed);
        (
            self.delayed.load(Ordering::Relaxed),
            Duration::from_nanos(nanos),
        )
    }
}

impl Db {
    /// Whether a commit that is submitted now may have to wait for memory, or be slowed down, for up to
    /// a second: to be submitted by a thread that may wait. Costs a few loads.
    pub fn commits_may_wait(&self) -> bool {
        let inner = &self.inner;
        inner.is_near_a_budget(inner.delta_bytes() + inner.admitted_bytes.load(Ordering::Relaxed))
    }
}

impl Inner {
    /// Delays a commit of `bytes` if the checkpoints do not keep up. `used_bytes` of the memory budget
    /// are taken. Below the thresholds this costs two loads. Whoever is delayed holds no lock.
    pub(crate) fn delay_commit(&self, used_bytes: u64, bytes: u64) {
        if self.is_near_a_budget(used_bytes) {
            self.slow_down(used_bytes, bytes);
        }
    }

    fn is_near_a_budget(&self, used_bytes: u64) -> bool {
        used_bytes > eighths(self.options.memory_bytes_max, 3)
            || self.wal.room_bytes() < eighths(self.options.wal_bytes_max, 3)
    }

    /// Whether what is only in the log and in memory takes so much of a budget that a checkpoint is
    /// worth while, however little was logged.
    pub(crate) fn is_pressing(&self, now: Duration) -> bool {
        if nanos(now) < self.pressure.retry_at.load(Ordering::Relaxed) {
            return false;
        }
        let is_log_full = self.wal.room_bytes() < eighths(self.options.wal_bytes_max, 3)
            && self.wal.sealed_bytes() > 0;
        is_log_full
            || self.index.stats().active_bytes as u64 > eighths(self.options.memory_bytes_max, 3)
    }

    #[cold]
    fn slow_down(&self, used_bytes: u64, bytes: u64) {
        let pressure = &self.pressure;
        let now = self.vfs.now();
        let Some(left) = self.checkpoint_ends_in(now) else {
            return;
        };
        if is_planted(Bug::WritersNotSlowed) {
            return;
        }
        let memory_max = self.options.memory_bytes_max;
        let mut price = 0.0_f64;
        if used_bytes > memory_max / 2 {
            price = left.as_secs_f64() / memory_max.saturating_sub(used_bytes).max(1) as f64;
        }
        let room = self.wal.room_bytes();
        if room < self.options.wal_bytes_max / 4 {
            price = price.max(left.as_secs_f64() * self.log_bytes_per_byte() / room.max(1) as f64);
        }
        let delay = (price * bytes as f64).min(DELAY_MAX.as_secs_f64());
        let delay = Duration::from_secs_f64(delay);
        let advance = |taken: u64| Some(taken.max(nanos(now)).saturating_add(nanos(delay)));
        let before = pressure
            .taken_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance)
            .unwrap_or_default();
        let until = Duration::from_nanos(before.max(nanos(now))) + delay;
        let until = until.min(now + DELAY_MAX);
        if until < now + DELAY_MIN {
            return;
        }
        let ended = pressure.ended.load(Ordering::Acquire);
        let mut at = now;
        while at < until && pressure.ended.load(Ordering::Acquire) == ended {
            self.vfs.sleep((until - at).min(SLEEP_MAX));
            at = self.vfs.now();
        }
        pressure.delayed.fetch_add(1, Ordering::Relaxed);
        let slept = nanos(at.saturating_sub(now));
        pressure.delayed_nanos.fetch_add(slept, Ordering::Relaxed);
    }

    /// How long the checkpoint that is under way still takes, or the one that is due; `None` if there
    /// is neither. Sees to it that one that is due is taken.
    fn checkpoint_ends_in(&self, now: Duration) -> Option<Duration> {
        let pressure = &self.pressure;
        let mut since = pressure.began.load(Ordering::Acquire);
        let whole = if since > 0 {
            pressure.time_of(pressure.frozen_bytes.load(Ordering::Relaxed))
        } else if self.checkpoint_is_due(now) {
            let first = pressure.due_since.compare_exchange(
                0,
                nanos(now) + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if first.is_ok() {
                self.request_maintenance();
            }
            since = first.map_or_else(|since| since, |_| nanos(now) + 1);
            pressure.time_of(self.index.stats().active_bytes as u64)
        } else {
            return None;
        };
        let past = now.saturating_sub(Duration::from_nanos(since - 1));
        Some(whole.saturating_sub(past).max(past / 2).max(DELAY_MIN))
    }

    /// How much larger what a commit takes in the log's files is than the commit, about: a group that is
    /// synced ends at the end of a block.
    fn log_bytes_per_byte(&self) -> f64 {
        const BLOCK_BYTES: u64 = 4096;
        let flushed = self.wal.flush_stats();
        let mean = (flushed.records_bytes / flushed.groups.max(1)).max(1);
        if self.options.durability.syncs_groups() {
            mean.next_multiple_of(BLOCK_BYTES) as f64 / mean as f64
        } else {
            1.0
        }
    }
}

fn eighths(bytes: u64, count: u64) -> u64 {
    bytes / 8 * count
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
