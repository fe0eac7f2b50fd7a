//! What a part is asked to do.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a part goes on. Both limits hold; what every run has to do is done in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Stop after so long.
    pub time: Option<Duration>,
    /// Stop after so many cases: states, calls, flips, kills, transactions.
    pub cases: Option<u64>,
}

/// How thorough a part is where that is a matter of choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// What every change of the code has to pass: seconds to a minute or two for each part.
    Smoke,
    /// Everything that the part knows, for as long as the budget allows.
    Soak,
}

/// Told how far a part has got.
pub trait Progress: Send + Sync {
    /// `done` cases, of `of` if that is known, and a few words about them. Called often, from any thread.
    fn at(&self, done: u64, of: Option<u64>, what: &dyn fmt::Display);
}

/// A run of one part.
pub struct Job<'a> {
    /// Everything random follows from it.
    pub seed: u64,
    /// How thorough to be.
    pub scale: Scale,
    /// How long to go on.
    pub budget: Budget,
    /// Threads that a part may use.
    pub threads: usize,
    /// Violations after which it is enough.
    pub violations_max: usize,
    /// Set from outside when the part should come to an end although its budget is not used up.
    pub stop: Option<&'a AtomicBool>,
    /// Who wants to know.
    pub progress: &'a dyn Progress,
    began: Instant,
    violations: AtomicUsize,
}

impl<'a> Job<'a> {
    /// A job that begins now, on one thread, and ends with the first violation.
    pub fn new(seed: u64, scale: Scale, budget: Budget, progress: &'a dyn Progress) -> Job<'a> {
        Job {
            seed,
            scale,
            budget,
            threads: 1,
            violations_max: 1,
            stop: None,
            progress,
            began: Instant::now(),
            violations: AtomicUsize::new(0),
        }
    }

    /// Time since it began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether the part should come to an end, having done so many cases.
    pub fn is_over(&self, cases: u64) -> bool {
        self.budget.cases.is_some_and(|most| cases >= most)
            || self.budget.time.is_some_and(|time| self.elapsed() >= time)
            || self.is_broken()
            || self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Whether as many promises were broken as one wants to hear of.
    pub fn is_broken(&self) -> bool {
        self.violations.load(Ordering::Relaxed) >= self.violations_max
    }

    /// Counts a broken promise, so that all threads of the part come to an end.
    pub fn count_violation(&self) {
        self.violations.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("seed", &self.seed)
            .field("scale", &self.scale)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
