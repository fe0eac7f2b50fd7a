//! What all transactions of a database share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::commit::Recent;
use crate::db::Inner;

#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// Memory of all write sets and read sets, in bytes.
    pub(crate) bytes: AtomicU64,
    pub(crate) counters: TransactionCounters,
    /// What is committed while read sets are being looked at.
    pub(crate) recent: Recent,
    /// When holds are to be looked through next, in nanoseconds of the clock plus 1; 0 for never.
    sweep_at: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct TransactionCounters {
    pub(crate) committed: AtomicU64,
    pub(crate) rolled_back: AtomicU64,
    pub(crate) conflicted: AtomicU64,
    pub(crate) expired: AtomicU64,
}

impl Inner {
    /// Has maintenance come when a hold that was just opened expires, unless it comes before anyway:
    /// to wake it for each of many short transactions would cost more than they do.
    pub(crate) fn sweep_by(&self, expiry: Duration) {
        let nanos = nanos(expiry);
        let due = self.transactions.sweep_at.load(Ordering::SeqCst);
        if due == 0 || nanos < due {
            self.transactions.sweep_at.store(nanos, Ordering::SeqCst);
            self.request_maintenance();
        }
    }

    /// Ends what has expired.
    pub(crate) fn sweep(&self, now: Duration) {
        let (idle, age) = (
            self.options.snapshot_idle_max,
            self.options.snapshot_age_max,
        );
        if self.sweep_due().is_some_and(|due| due <= now) {
            // Before the look: who opens a hold after it finds that nothing is due.
            self.transactions.sweep_at.store(0, Ordering::SeqCst);
        }
        self.snapshots.expire(now, idle, age);
        if let Some(next) = self.snapshots.next_expiry(idle, age) {
            let next = nanos(next);
            let set = |due: u64| (due == 0 || next < due).then_some(next);
            let sweep_at = &self.transactions.sweep_at;
            let _ = sweep_at.fetch_update(Ordering::SeqCst, Ordering::SeqCst, set);
        }
    }

    /// When holds and leases are to be looked through.
    pub(crate) fn sweep_due(&self) -> Option<Duration> {
        match self.transactions.sweep_at.load(Ordering::SeqCst) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos - 1)),
        }
    }
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX - 1) + 1
}
