//! The collections of a database, as every snapshot sees them.
//!
//! Changes are made under the sequencer. Readers resolve a name at their snapshot: a name that was
//! dropped and created again stands for different collections in different snapshots.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ahash::AHashMap;
use docdb_mvcc::{CommitTs, Horizon};
use parking_lot::{Mutex, RwLock};

use crate::error::{Error, Result};
use crate::manifest::CollectionEntry;

/// `Collection::dropped` of one that exists.
const LIVE: u64 = u64::MAX;
/// How many counts are not worth a look at each of them.
const SWEEP_MIN: usize = 16;
/// A horizon names only some of the readers. More counts than this are worth a look at all of them.
const INEXACT_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) id: u32,
    pub(crate) name: String,
    created: u64,
    dropped: AtomicU64,
    counts: Mutex<Counts>,
}

/// How many documents there were after which commit.
#[derive(Debug)]
struct Counts {
    /// Ascending by commit; of every number that somebody may read at the newest entry at or below.
    history: VecDeque<(u64, u64)>,
    /// At so many entries each of them is looked at: twice what the last look left.
    sweep_at: usize,
    /// The highest id that was ever used, also by deleted documents.
    highest_id: Option<u64>,
    /// The highest id that a transaction was given, committed or not. Forgotten by a restart.
    reserved_id: Option<u64>,
}

impl Collection {
    pub(crate) fn new(id: u32, name: String, created: CommitTs) -> Collection {
        Collection::restore(id, name, created.0, 0, None, created.0)
    }

    fn restore(
        id: u32,
        name: String,
        created: u64,
        documents: u64,
        highest_id: Option<u64>,
        at: u64,
    ) -> Collection {
        let counts = Counts {
            history: VecDeque::from([(at, documents)]),
            sweep_at: SWEEP_MIN,
            highest_id,
            reserved_id: None,
        };
        Collection {
            id,
            name,
            created,
            dropped: AtomicU64::new(LIVE),
            counts: Mutex::new(counts),
        }
    }

    /// The commit that dropped it, if one did.
    pub(crate) fn dropped(&self) -> Option<CommitTs> {
        match self.dropped.load(Ordering::Acquire) {
            LIVE => None,
            ts => Some(CommitTs(ts)),
        }
    }

    pub(crate) fn created(&self) -> CommitTs {
        CommitTs(self.created)
    }

    fn exists_at(&self, ts: CommitTs) -> bool {
        self.created <= ts.0 && ts.0 < self.dropped.load(Ordering::Acquire)
    }

    /// How many documents a snapshot at `ts` counts.
    pub(crate) fn count_at(&self, ts: CommitTs) -> u64 {
        let counts = self.counts.lock();
        let after = counts.history.partition_point(|(at, _)| *at <= ts.0);
        counts
            .history
            .get(after.saturating_sub(1))
            .map_or(0, |(_, count)| *count)
    }

    /// How many documents there are, and the highest id ever used, after everything installed.
    pub(crate) fn installed(&self) -> (u64, Option<u64>) {
        let counts = self.counts.lock();
        (
            counts.history.back().map_or(0, |(_, count)| *count),
            counts.highest_id,
        )
    }

    /// The highest id that was ever used or given to a transaction: an insert gets one above.
    pub(crate) fn highest_taken(&self) -> Option<u64> {
        let counts = self.counts.lock();
        counts.highest_id.max(counts.reserved_id)
    }

    /// Takes the next id for a transaction, above what it has written itself: nobody else gets it, also
    /// if that is rolled back. `None` if there are no ids left. To be called under the sequencer, so
    /// that it is not given to an insert that is being sequenced.
    ///
    /// Above a higher id that only the transaction itself has written nothing is reserved: who comes to
    /// ids up there has written that one, too, so that one of the two loses anyway. A transaction that
    /// is rolled back does not use up the ids below what it named.
    pub(crate) fn reserve_id(&self, own_highest: Option<u64>) -> Option<u64> {
        let mut counts = self.counts.lock();
        let taken = counts.highest_id.max(counts.reserved_id);
        let id = taken
            .max(own_highest)
            .map_or(Some(1), |id| id.checked_add(1))?;
        if own_highest <= taken {
            counts.reserved_id = Some(id);
        }
        Some(id)
    }

    /// Records what commit `ts` did. Entries that nobody needs go, as versions do; `readers` are asked
    /// for when those are many.
    pub(crate) fn record(
        &self,
        ts: CommitTs,
        change: i64,
        highest_id: Option<u64>,
        horizon: &Horizon,
        readers: impl FnOnce() -> Readers,
    ) {
        let mut counts = self.counts.lock();
        counts.highest_id = counts.highest_id.max(highest_id);
        if change == 0 {
            return;
        }
        let count = counts.history.back().map_or(0, |(_, count)| *count);
        let count = count.saturating_add_signed(change);
        match counts.history.back_mut() {
            Some(last) if last.0 == ts.0 => last.1 = count,
            _ => counts.history.push_back((ts.0, count)),
        }
        let oldest = horizon.oldest();
        while counts.history.get(1).is_some_and(|(at, _)| *at <= oldest.0) {
            counts.history.pop_front();
        }
        if counts.history.len() >= counts.sweep_at {
            counts.sweep(|start, end| horizon.needs(start, end));
            if counts.history.len() > INEXACT_MAX {
                let readers = readers();
                counts.sweep(|start, end| readers.need(start, end));
            }
        }
    }
}

/// All numbers that are read at.
pub(crate) struct Readers {
    /// From here on anybody may begin to read. Asked for before `held`.
    pub(crate) visible: CommitTs,
    /// Ascending.
    pub(crate) held: Vec<CommitTs>,
}

impl Readers {
    /// As [`Horizon::needs`].
    fn need(&self, start: CommitTs, end: CommitTs) -> bool {
        let next = self.held.partition_point(|ts| *ts < start);
        self.visible < end || self.held.get(next).is_some_and(|ts| *ts < end)
    }
}

impl Counts {
    /// Drops the entries between the numbers that are read at. `needs`: whether somebody reads from
    /// the first number on and below the second.
    fn sweep(&mut self, needs: impl Fn(CommitTs, CommitTs) -> bool) {
        let mut kept = VecDeque::new();
        let mut next = self.history.iter().skip(1).map(|(at, _)| CommitTs(*at));
        for entry in &self.history {
            if next.next().is_none_or(|end| needs(CommitTs(entry.0), end)) {
                kept.push_back(*entry);
            }
        }
        self.sweep_at = SWEEP_MIN.max(kept.len() * 2);
        self.history = kept;
    }
}

/// All collections: those that exist, and dropped ones that an open snapshot may still see.
#[derive(Debug, Default)]
pub(crate) struct Collections {
    map: RwLock<Arc<Map>>,
    /// How many exist after everything installed.
    live: AtomicUsize,
}

#[derive(Debug, Default, Clone)]
struct Map {
    /// Of each name the collections that bore it, oldest first.
    by_name: AHashMap<String, Vec<Arc<Collection>>>,
    by_id: BTreeMap<u32, Arc<Collection>>,
}

impl Map {
    fn add(&mut self, collection: Arc<Collection>) {
        self.by_name
            .entry(collection.name.clone())
            .or_default()
            .push(Arc::clone(&collection));
        self.by_id.insert(collection.id, collection);
    }
}

impl Collections {
    pub(crate) fn restore(entries: &[CollectionEntry], checkpoint_ts: u64) -> Collections {
        let mut map = Map::default();
        for entry in entries {
            map.add(Arc::new(Collection::restore(
                entry.id,
                entry.name.clone(),
                entry.created_ts,
                entry.documents,
                entry.highest_id,
                checkpoint_ts,
            )));
        }
        Collections {
            map: RwLock::new(Arc::new(map)),
            live: AtomicUsize::new(entries.len()),
        }
    }

    /// The collection that bears `name` in a snapshot at `ts`.
    pub(crate) fn at(&self, name: &str, ts: CommitTs) -> Result<Arc<Collection>> {
        let map = self.map.read();
        map.by_name
            .get(name)
            .and_then(|bearers| bearers.iter().rev().find(|c| c.exists_at(ts)))
            .map(Arc::clone)
            .ok_or_else(|| Error::collection_missing(name))
    }

    /// The number of the collection that bears `name` in a snapshot at `ts`.
    pub(crate) fn id_at(&self, name: &str, ts: CommitTs) -> Result<u32> {
        let map = self.map.read();
        map.by_name
            .get(name)
            .and_then(|bearers| bearers.iter().rev().find(|c| c.exists_at(ts)))
            .map(|collection| collection.id)
            .ok_or_else(|| Error::collection_missing(name))
    }

    /// The collection that bears `name` after everything installed.
    pub(crate) fn installed(&self, name: &str) -> Option<Arc<Collection>> {
        let map = self.map.read();
        let newest = map.by_name.get(name)?.last()?;
        newest.dropped().is_none().then(|| Arc::clone(newest))
    }

    pub(crate) fn by_id(&self, id: u32) -> Option<Arc<Collection>> {
        self.map.read().by_id.get(&id).map(Arc::clone)
    }

    /// Those that exist in a snapshot at `ts`, by name.
    pub(crate) fn list_at(&self, ts: CommitTs) -> Vec<Arc<Collection>> {
        let map = Arc::clone(&self.map.read());
        let mut list: Vec<_> = map
            .by_id
            .values()
            .filter(|c| c.exists_at(ts))
            .cloned()
            .collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// How many exist after everything installed.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, collection: Collection) {
        Arc::make_mut(&mut *self.map.write()).add(Arc::new(collection));
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    /// Marks a collection as dropped by commit `ts`.
    pub(crate) fn drop_at(&self, collection: &Collection, ts: CommitTs) {
        if collection.dropped.swap(ts.0, Ordering::AcqRel) == LIVE {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Forgets collections that were dropped at or below `oldest`: no snapshot sees them.
    pub(crate) fn forget_dropped(&self, oldest: CommitTs) {
        let gone = |c: &Arc<Collection>| c.dropped().is_some_and(|ts| ts <= oldest);
        if !self.map.read().by_id.values().any(gone) {
            return;
        }
        let mut map = self.map.write();
        let map = Arc::make_mut(&mut *map);
        map.by_id.retain(|_, collection| !gone(collection));
        map.by_name.retain(|_, bearers| {
            bearers.retain(|collection| !gone(collection));
            !bearers.is_empty()
        });
    }

    /// The entries of a manifest whose checkpoint is everything installed.
    pub(crate) fn entries(&self) -> Vec<CollectionEntry> {
        let map = self.map.read();
        let live = map.by_id.values().filter(|c| c.dropped().is_none());
        live.map(|collection| {
            let (documents, highest_id) = collection.installed();
            CollectionEntry {
                id: collection.id,
                created_ts: collection.created,
                documents,
                highest_id,
                name: collection.name.clone(),
            }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use docdb_mvcc::SnapshotRegistry;

    use super::*;

    #[test]
    fn counts_between_two_readers_go() {
        let registry = SnapshotRegistry::new();
        let collection = Collection::new(1, "c".to_owned(), CommitTs(1));
        let mut held = Vec::new();
        for ts in 2..2_000 {
            if ts % 500 == 0 {
                let snapshot = registry.register(Duration::ZERO, || CommitTs(ts - 1));
                held.push((snapshot, collection.count_at(CommitTs(ts - 1))));
            }
            let change = if ts % 3 == 0 { -1 } else { 1 };
            let horizon = registry.horizon(|| CommitTs(ts - 1));
            collection.record(CommitTs(ts), change, Some(ts), &horizon, || unreachable!());
            let kept = collection.counts.lock().history.len();
            assert!(kept <= 2 * SWEEP_MIN, "{kept} counts");
        }
        for (snapshot, count) in &held {
            assert_eq!(collection.count_at(snapshot.ts()), *count);
        }
        assert_eq!(
            collection.installed().0,
            collection.count_at(CommitTs(5_000))
        );
    }

    /// A horizon says that all after the first of them is read.
    #[test]
    fn counts_between_more_readers_than_a_horizon_names_go() {
        let registry = SnapshotRegistry::new();
        let collection = Collection::new(1, "c".to_owned(), CommitTs(1));
        let mut held = Vec::new();
        for ts in 2..40_000 {
            let visible = CommitTs(ts - 1);
            if ts % 100 == 0 && held.len() < 300 {
                let snapshot = registry.register(Duration::ZERO, || visible);
                held.push((snapshot, collection.count_at(visible)));
            }
            let change = if ts % 3 == 0 { -1 } else { 1 };
            let horizon = registry.horizon(|| visible);
            let readers = || Readers {
                visible,
                held: registry.timestamps(),
            };
            collection.record(CommitTs(ts), change, Some(ts), &horizon, readers);
            let kept = collection.counts.lock().history.len();
            assert!(kept <= 2 * INEXACT_MAX, "{kept} counts");
            assert_eq!(collection.count_at(CommitTs(ts)), collection.installed().0);
        }
        for (snapshot, count) in &held {
            assert_eq!(collection.count_at(snapshot.ts()), *count);
        }
    }
}
