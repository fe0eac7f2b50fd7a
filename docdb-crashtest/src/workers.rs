//! Cases shared out among threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::job::Job;

/// What one case found: the part adds it up in the order of the cases' numbers, so that the
/// outcome does not depend on which thread was faster.
#[derive(Debug)]
pub struct Found<T> {
    /// The number of the case, from 0.
    pub number: u64,
    /// What it gave.
    pub result: T,
}

/// Does the cases `0..of` (or without an end) on the job's threads until the job is over, and
/// returns what they gave in the order of their numbers. `done` says how many countable cases a
/// result stands for.
///
/// A case that has begun is finished. All threads have ended when this returns.
pub fn share<T: Send>(
    job: &Job<'_>,
    of: Option<u64>,
    case: impl Fn(u64) -> T + Sync,
    done: impl Fn(&T) -> u64 + Sync,
) -> Vec<Found<T>> {
    let next = AtomicU64::new(0);
    let total = AtomicU64::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        while !job.is_over(total.load(Ordering::Relaxed)) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if of.is_some_and(|of| number >= of) {
                break;
            }
            let result = case(number);
            total.fetch_add(done(&result), Ordering::Relaxed);
            let mut found = found.lock().unwrap_or_else(|e| e.into_inner());
            found.push(Found { number, result });
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..job.threads {
            scope.spawn(work);
        }
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(|e| e.into_inner());
    found.sort_by_key(|found| found.number);
    found
}
