//! Log lines that a client can cause as often as it likes: one a second is written, the others are
//! counted, so that nobody fills the disk with the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The least time between two lines of one kind.
pub(crate) const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Decides which lines of one kind are written.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    /// Milliseconds since the start before which no line is written.
    not_before: AtomicU64,
    left_out: AtomicU64,
}

impl Quiet {
    /// Whether a line is written now, and how many were left out since the last one.
    pub(crate) fn admit(&self, started_at: Instant) -> Option<u64> {
        let now = u64::try_from(started_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let not_before = self.not_before.load(Ordering::Relaxed);
        let next = now.saturating_add(LOG_INTERVAL.as_millis() as u64);
        let admitted = now >= not_before
            && self
                .not_before
                .compare_exchange(not_before, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if admitted {
            Some(self.left_out.swap(0, Ordering::Relaxed))
        } else {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_written_and_the_others_are_counted() {
        let quiet = Quiet::default();
        let started_at = Instant::now();
        assert_eq!(quiet.admit(started_at), Some(0));
        quiet.not_before.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(quiet.admit(started_at), None);
        assert_eq!(quiet.admit(started_at), None);
        quiet.not_before.store(0, Ordering::Relaxed);
        assert_eq!(quiet.admit(started_at), Some(2));
    }
}
