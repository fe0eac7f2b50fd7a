//! Snapshots that somebody owns for longer than a call, and that may end before their owner does.

use std::fmt;
use std::time::Duration;

use crate::registry::State;
use crate::{CommitTs, Snapshot, SnapshotRegistry};

/// How long a hold lasts at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldLimit {
    /// As long as it is used, in the limits that [`SnapshotRegistry::expire`] is given; it gives way
    /// to [`SnapshotRegistry::expire_oldest`].
    Use,
    /// Until this time; what was committed above its number is kept for the detection of conflicts.
    Deadline(Duration),
}

/// A commit number that is held for reading until this is dropped, or until it expires.
///
/// Whoever reads pins it for the time of a call: a pinned number stays, whatever happens to the hold.
pub struct Hold {
    id: u64,
    ts: CommitTs,
    registry: SnapshotRegistry,
}

/// What the registry knows of a hold.
pub(crate) struct Held {
    pub(crate) ts: CommitTs,
    pub(crate) since: Duration,
    pub(crate) used: Duration,
    pub(crate) limit: HoldLimit,
}

impl Held {
    /// When it expires.
    fn end(&self, max_idle: Duration, max_age: Duration) -> Duration {
        match self.limit {
            HoldLimit::Use => last_until(self.since, self.used, max_idle, max_age),
            HoldLimit::Deadline(deadline) => deadline,
        }
    }
}

/// Until when something is kept that was not used since.
fn last_until(since: Duration, used: Duration, max_idle: Duration, max_age: Duration) -> Duration {
    let idle = used.saturating_add(max_idle);
    idle.min(since.saturating_add(max_age))
}

impl State {
    pub(crate) fn end_hold(&mut self, id: u64) {
        if let Some(held) = self.holds.remove(&id) {
            self.close(held.ts);
            if let HoldLimit::Deadline(_) = held.limit
                && let Some(count) = self.transactions.get_mut(&held.ts)
            {
                self.transaction_count -= 1;
                *count -= 1;
                if *count == 0 {
                    self.transactions.remove(&held.ts);
                }
            }
        }
    }

    /// Ends what is due. Returns how many ended.
    pub(crate) fn expire_holds(
        &mut self,
        now: Duration,
        max_idle: Duration,
        max_age: Duration,
    ) -> usize {
        let ended = |(id, held): (&u64, &Held)| {
            let is_over = now >= held.end(max_idle, max_age);
            is_over.then_some(*id)
        };
        let ended: Vec<_> = self.holds.iter().filter_map(ended).collect();
        for id in &ended {
            self.end_hold(*id);
        }
        ended.len()
    }

    /// The hold with the lowest number among those that give way.
    pub(crate) fn oldest_hold(&self) -> Option<(CommitTs, u64)> {
        let giving = self.holds.iter().filter(|(_, h)| h.limit == HoldLimit::Use);
        giving.map(|(id, held)| (held.ts, *id)).min()
    }
}

impl SnapshotRegistry {
    /// Opens a hold at what `visible` returns, which is called as in [`SnapshotRegistry::register`];
    /// `None` if there are `holds_max` with such a limit already.
    pub fn hold(
        &self,
        now: Duration,
        limit: HoldLimit,
        holds_max: usize,
        visible: impl FnOnce() -> CommitTs,
    ) -> Option<Hold> {
        let mut state = self.shared.lock();
        let is_transaction = limit != HoldLimit::Use;
        let transactions = state.transaction_count;
        let alike = if is_transaction {
            transactions
        } else {
            state.holds.len() - transactions
        };
        if alike >= holds_max {
            return None;
        }
        let ts = visible();
        state.open(ts, now);
        if is_transaction {
            *state.transactions.entry(ts).or_insert(0) += 1;
            state.transaction_count += 1;
        }
        let id = state.next_hold;
        state.next_hold += 1;
        let held = Held {
            ts,
            since: now,
            used: now,
            limit,
        };
        state.holds.insert(id, held);
        Some(Hold {
            id,
            ts,
            registry: self.clone(),
        })
    }

    /// The earliest time at which a lease or a hold expires if nobody uses it again.
    pub fn next_expiry(&self, max_idle: Duration, max_age: Duration) -> Option<Duration> {
        let state = self.shared.lock();
        let holds = state.holds.values().map(|held| held.end(max_idle, max_age));
        let leases = state.leases.values();
        let leases = leases.map(|lease| last_until(lease.since, lease.used, max_idle, max_age));
        holds.chain(leases).min()
    }

    /// How many holds give way when they are not used, and how many have a deadline.
    pub fn hold_counts(&self) -> (usize, usize) {
        let state = self.shared.lock();
        let transactions = state.transaction_count;
        (state.holds.len() - transactions, transactions)
    }
}

impl Hold {
    /// The number: what was committed at or below it is seen.
    pub fn ts(&self) -> CommitTs {
        self.ts
    }

    /// The number for one call, which counts as use; `None` if the hold has ended: what was visible
    /// there may be gone.
    pub fn pin(&self, now: Duration, max_idle: Duration, max_age: Duration) -> Option<Snapshot> {
        let mut state = self.registry.shared.lock();
        let held = state.holds.get_mut(&self.id)?;
        if now >= held.end(max_idle, max_age) {
            state.end_hold(self.id);
            return None;
        }
        held.used = held.used.max(now);
        state.open(self.ts, now);
        Some(Snapshot::opened(self.ts, &self.registry))
    }

    /// Ends the hold.
    pub fn release(&self) {
        self.registry.shared.lock().end_hold(self.id);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("ts", &self.ts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const AGES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(100));

    fn hold(registry: &SnapshotRegistry, at: u64, now: Duration, limit: HoldLimit) -> Hold {
        registry.hold(now, limit, 3, || CommitTs(at)).expect("room")
    }

    fn pin(hold: &Hold, now: Duration) -> Option<Snapshot> {
        hold.pin(now, AGES.0, AGES.1)
    }

    #[test]
    fn a_hold_lasts_while_it_is_used_and_never_longer_than_its_age() {
        let registry = SnapshotRegistry::new();
        let used = hold(&registry, 3, Duration::ZERO, HoldLimit::Use);
        let unused = hold(&registry, 3, Duration::ZERO, HoldLimit::Use);
        for second in 0..99 {
            assert!(pin(&used, SECOND * second).is_some(), "{second}");
        }
        assert_eq!(registry.next_expiry(AGES.0, AGES.1), Some(SECOND * 10));
        assert!(pin(&unused, SECOND * 10).is_none(), "also without a sweep");
        assert_eq!(registry.next_expiry(AGES.0, AGES.1), Some(SECOND * 100));
        let pinned = pin(&used, SECOND * 99);
        assert_eq!(registry.expire(SECOND * 100, AGES.0, AGES.1), 1);
        assert!(pin(&used, SECOND * 99).is_none());
        assert_eq!(registry.oldest(|| CommitTs(9)), CommitTs(3), "pinned");
        drop(pinned);
        assert_eq!(registry.oldest(|| CommitTs(9)), CommitTs(9));
        drop((used, unused));
        assert_eq!(registry.open_count(), 0);
    }

    #[test]
    fn a_deadline_is_not_put_off_by_use_and_does_not_give_way() {
        let registry = SnapshotRegistry::new();
        let limit = HoldLimit::Deadline(SECOND * 20);
        let transaction = hold(&registry, 4, Duration::ZERO, limit);
        let snapshot = hold(&registry, 7, Duration::ZERO, HoldLimit::Use);
        assert_eq!(registry.hold_counts(), (1, 1));
        let horizon = || registry.horizon(|| CommitTs(9));
        assert_eq!(horizon().conflicts_from(), CommitTs(4));
        assert_eq!(registry.expire_oldest(), Some(CommitTs(7)));
        assert_eq!(registry.expire_oldest(), None);
        assert!(pin(&snapshot, SECOND).is_none());
        assert!(pin(&transaction, SECOND * 19).is_some());
        assert_eq!(registry.expire(SECOND * 20, AGES.0, AGES.1), 1);
        assert_eq!(horizon().conflicts_from(), CommitTs::MAX);
        assert!(pin(&transaction, SECOND * 19).is_none());
        drop(transaction);
        assert_eq!((registry.hold_counts(), registry.open_count()), ((0, 0), 0));
    }

    #[test]
    fn holds_are_bounded_by_kind() {
        let registry = SnapshotRegistry::new();
        let at = |limit| registry.hold(SECOND, limit, 2, || CommitTs(1));
        let first = at(HoldLimit::Use);
        let _second = at(HoldLimit::Use);
        assert!(at(HoldLimit::Use).is_none());
        assert!(at(HoldLimit::Deadline(SECOND * 5)).is_some());
        drop(first);
        assert!(at(HoldLimit::Use).is_some());
    }

    #[test]
    fn a_horizon_names_snapshots_leases_and_holds() {
        let registry = SnapshotRegistry::new();
        let held = hold(&registry, 3, SECOND, HoldLimit::Use);
        let snapshot = registry.register(SECOND, || CommitTs(5));
        registry.lease(&snapshot, SECOND);
        drop(snapshot);
        let open = registry.register(SECOND, || CommitTs(7));
        let horizon = registry.horizon(|| CommitTs(9));
        let needs = |at: u64| horizon.needs(CommitTs(at), CommitTs(at + 1));
        let needed: Vec<_> = (0..11).filter(|at| needs(*at)).collect();
        assert_eq!(needed, [3, 5, 7, 9, 10]);
        drop((held, open));
        let horizon = registry.horizon(|| CommitTs(9));
        assert!(horizon.needs(CommitTs(5), CommitTs(6)));
        assert!(
            !horizon.needs(CommitTs(6), CommitTs(9)) && !horizon.needs(CommitTs(1), CommitTs(4))
        );
    }
}
