//! How fast scrubs read.

use std::time::Duration;

use parking_lot::Mutex;

/// A device's time for scrubs. Databases that share one scrub one after the other, and together at the
/// rate of one.
#[derive(Debug, Default)]
pub struct ScrubPace {
    /// When the next step may begin.
    next: Mutex<Duration>,
}

impl ScrubPace {
    /// The right to read about `bytes` now; else when to ask again.
    pub(super) fn try_take(
        &self,
        now: Duration,
        bytes: u64,
        bytes_per_second: u64,
    ) -> Result<(), Duration> {
        let mut next = self.next.lock();
        if now < *next {
            return Err(*next);
        }
        *next = now + time_of(bytes, bytes_per_second);
        Ok(())
    }

    /// A step has read so many bytes more than it asked for. Returns when the next may begin.
    pub(super) fn took_more(&self, bytes: u64, bytes_per_second: u64) -> Duration {
        let mut next = self.next.lock();
        *next += time_of(bytes, bytes_per_second);
        *next
    }
}

fn time_of(bytes: u64, bytes_per_second: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / bytes_per_second.max(1) as f64)
}
