//! Which commit numbers somebody still reads at.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::hold::Held;
use crate::{CommitTs, Horizon};

/// Most commit numbers that are kept by leases at a time; one more drops the least recently used.
pub const LEASES_MAX: usize = 1024;

/// The open snapshots and leases of one database. A handle: clones share the registry.
///
/// # Invariant
///
/// A writer that drops only what is invisible at and after [`SnapshotRegistry::oldest`] never drops
/// what a snapshot sees, not even one that is being registered at the same moment: both read the
/// visible watermark under the registry's lock, and the watermark never goes back. Either the
/// snapshot was registered first, then `oldest` counts it; or `oldest` came first, then the
/// snapshot's number is a later reading of the watermark and not below the one that `oldest` took
/// the minimum with. Dropping a snapshot or a lease only raises what `oldest` answers.
#[derive(Clone, Default)]
pub struct SnapshotRegistry {
    pub(crate) shared: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    /// Those of holds, too.
    open: BTreeMap<CommitTs, Open>,
    open_count: usize,
    pub(crate) leases: BTreeMap<CommitTs, Lease>,
    pub(crate) holds: BTreeMap<u64, Held>,
    pub(crate) next_hold: u64,
    /// At how many numbers how many holds with a deadline are.
    pub(crate) transactions: BTreeMap<CommitTs, usize>,
    /// All of these.
    pub(crate) transaction_count: usize,
}

struct Open {
    count: usize,
    since: Duration,
}

pub(crate) struct Lease {
    pub(crate) since: Duration,
    pub(crate) used: Duration,
}

impl State {
    fn oldest(&self) -> Option<CommitTs> {
        let open = self.open.first_key_value().map(|(ts, _)| *ts);
        let leased = self.leases.first_key_value().map(|(ts, _)| *ts);
        match (open, leased) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(crate) fn open(&mut self, ts: CommitTs, now: Duration) {
        self.open
            .entry(ts)
            .or_insert(Open {
                count: 0,
                since: now,
            })
            .count += 1;
        self.open_count += 1;
    }

    pub(crate) fn close(&mut self, ts: CommitTs) {
        self.open_count -= 1;
        if let Some(open) = self.open.get_mut(&ts) {
            open.count -= 1;
            if open.count == 0 {
                self.open.remove(&ts);
            }
        }
    }

    /// The numbers that are held, ascending; one that is both open and leased twice.
    fn held(&self) -> impl Iterator<Item = CommitTs> {
        let mut open = self.open.keys().copied().peekable();
        let mut leased = self.leases.keys().copied().peekable();
        std::iter::from_fn(move || match (open.peek(), leased.peek()) {
            (Some(a), Some(b)) if b < a => leased.next(),
            (Some(_), _) => open.next(),
            (None, _) => leased.next(),
        })
    }
}

impl SnapshotRegistry {
    /// A registry without snapshots.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a snapshot at what `visible` returns, which is called under the registry's lock (it
    /// must not call the registry) and must never go back between calls. `now` is monotonic time.
    pub fn register(&self, now: Duration, visible: impl FnOnce() -> CommitTs) -> Snapshot {
        let mut state = self.shared.lock();
        let ts = visible();
        state.open(ts, now);
        Snapshot {
            ts,
            registry: self.clone(),
        }
    }

    /// The lowest number that somebody reads at or may begin to read at: the minimum of the open
    /// snapshots, the leases and `visible`, which is called as in [`SnapshotRegistry::register`].
    pub fn oldest(&self, visible: impl FnOnce() -> CommitTs) -> CommitTs {
        let state = self.shared.lock();
        let visible = visible();
        state.oldest().map_or(visible, |ts| ts.min(visible))
    }

    /// All that somebody reads at or may begin to read at; `visible` is called as in
    /// [`SnapshotRegistry::register`], and what the [invariant](SnapshotRegistry#invariant) says of
    /// `oldest` holds for each number.
    pub fn horizon(&self, visible: impl FnOnce() -> CommitTs) -> Horizon {
        let state = self.shared.lock();
        let visible = visible();
        let conflicts_from = state.transactions.first_key_value().map(|(ts, _)| *ts);
        Horizon::new(state.held(), visible, conflicts_from)
    }

    /// Keeps the snapshot's number after the snapshot is dropped, for a cursor that may come back,
    /// until [`SnapshotRegistry::expire`] finds it unused. Leasing again counts as use.
    pub fn lease(&self, snapshot: &Snapshot, now: Duration) {
        debug_assert!(
            Arc::ptr_eq(&self.shared, &snapshot.registry.shared),
            "a foreign snapshot"
        );
        let mut state = self.shared.lock();
        if let Some(lease) = state.leases.get_mut(&snapshot.ts) {
            lease.used = lease.used.max(now);
            return;
        }
        if state.leases.len() >= LEASES_MAX {
            let idlest = state.leases.iter().min_by_key(|(_, lease)| lease.used);
            if let Some(ts) = idlest.map(|(ts, _)| *ts) {
                state.leases.remove(&ts);
            }
        }
        state.leases.insert(
            snapshot.ts,
            Lease {
                since: now,
                used: now,
            },
        );
    }

    /// Opens a snapshot at `ts` again, if a lease or an open snapshot kept it; `None` means that
    /// what was visible there may be gone. Counts as use of the lease.
    pub fn resume(&self, ts: CommitTs, now: Duration) -> Option<Snapshot> {
        let mut state = self.shared.lock();
        if let Some(lease) = state.leases.get_mut(&ts) {
            lease.used = lease.used.max(now);
        } else if !state.open.contains_key(&ts) {
            return None;
        }
        state.open(ts, now);
        Some(Snapshot {
            ts,
            registry: self.clone(),
        })
    }

    /// Ends the leases and holds that were not used for `max_idle`, those older than `max_age` used or
    /// not, and the holds whose deadline has come. Returns how many ended. Open snapshots are not
    /// touched.
    pub fn expire(&self, now: Duration, max_idle: Duration, max_age: Duration) -> usize {
        let mut state = self.shared.lock();
        let before = state.leases.len();
        state.leases.retain(|_, lease| {
            now.saturating_sub(lease.used) < max_idle && now.saturating_sub(lease.since) < max_age
        });
        before - state.leases.len() + state.expire_holds(now, max_idle, max_age)
    }

    /// Ends the lease, or the hold without a deadline, on the oldest number, to free what only it
    /// keeps. Returns that number.
    pub fn expire_oldest(&self) -> Option<CommitTs> {
        let mut state = self.shared.lock();
        let leased = state.leases.first_key_value().map(|(ts, _)| *ts);
        match state.oldest_hold() {
            Some((held, id)) if leased.is_none_or(|leased| held < leased) => {
                state.end_hold(id);
                Some(held)
            }
            _ => state.leases.pop_first().map(|(ts, _)| ts),
        }
    }

    /// How many snapshots are open, clones and holds included, leases not.
    pub fn open_count(&self) -> usize {
        self.shared.lock().open_count
    }

    /// How many numbers are kept by leases.
    pub fn lease_count(&self) -> usize {
        self.shared.lock().leases.len()
    }

    /// How long the longest held number has been held, by snapshots or a lease; `None` if none is.
    pub fn oldest_age(&self, now: Duration) -> Option<Duration> {
        let state = self.shared.lock();
        let open = state.open.values().map(|open| open.since);
        let since = open
            .chain(state.leases.values().map(|lease| lease.since))
            .min()?;
        Some(now.saturating_sub(since))
    }

    /// The numbers that are held, ascending, each once.
    pub fn timestamps(&self) -> Vec<CommitTs> {
        let state = self.shared.lock();
        let mut all: Vec<_> = state.held().collect();
        all.dedup();
        all
    }
}

impl fmt::Debug for SnapshotRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("SnapshotRegistry")
            .field("open", &state.open_count)
            .field("leases", &state.leases.len())
            .field("oldest", &state.oldest())
            .finish()
    }
}

/// A commit number that is held for reading until this and all its clones are dropped.
pub struct Snapshot {
    ts: CommitTs,
    registry: SnapshotRegistry,
}

impl Snapshot {
    /// For a number that was opened.
    pub(crate) fn opened(ts: CommitTs, registry: &SnapshotRegistry) -> Self {
        Self {
            ts,
            registry: registry.clone(),
        }
    }

    /// The number: what was committed at or below it is seen.
    pub fn ts(&self) -> CommitTs {
        self.ts
    }
}

impl Clone for Snapshot {
    fn clone(&self) -> Self {
        // The entry exists for as long as this snapshot does, so the time is never used.
        self.registry.shared.lock().open(self.ts, Duration::ZERO);
        Self {
            ts: self.ts,
            registry: self.registry.clone(),
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.registry.shared.lock().close(self.ts);
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("ts", &self.ts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
