//! A store of many versions behind one mutex, as simple as it can be, that can be told to be wrong
//! in known ways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use docdb_history::{Direction, Failure, Level, ScanRange, Seen, Session, TxnSource};

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Writers that overlap all commit; the last one wins.
    FirstCommitterWinsOff,
    /// Writes are seen before they are committed.
    DirtyRead,
    /// Every eighth snapshot is three commits old.
    StaleSnapshot,
    /// The second half of a commit becomes visible a little later.
    HalfVisible,
    /// What a serializable transaction read may change before it commits.
    ReadSetUnvalidated,
    /// Documents may appear in ranges that a serializable transaction scanned.
    RangesUnvalidated,
    /// Every 20th commit is acknowledged and forgotten.
    LostCommit,
    /// Superseded versions are dropped although a snapshot needs them.
    NeededVersionCollected,
    /// Reads see the newest version, whatever the snapshot.
    ReadsLatest,
    /// What is rolled back stays.
    RollbackKeeps,
    /// A transaction does not see its own writes.
    OwnWritesUnseen,
    /// Every 20th commit has the version of the one before.
    VersionReused,
}

/// All of them.
pub(crate) const BUGS: [Bug; 12] = [
    Bug::FirstCommitterWinsOff,
    Bug::DirtyRead,
    Bug::StaleSnapshot,
    Bug::HalfVisible,
    Bug::ReadSetUnvalidated,
    Bug::RangesUnvalidated,
    Bug::LostCommit,
    Bug::NeededVersionCollected,
    Bug::ReadsLatest,
    Bug::RollbackKeeps,
    Bug::OwnWritesUnseen,
    Bug::VersionReused,
];

/// Lists and documents have separate keys.
type Key = (bool, u64);
const LIST: bool = false;
const DOCUMENT: bool = true;

/// A list, or a document as a list of one.
type Body = Option<Vec<u64>>;
type Writes = BTreeMap<Key, Body>;

#[derive(Default)]
struct State {
    ts: u64,
    begins: u64,
    commits: u64,
    calls: u64,
    versions: BTreeMap<Key, Vec<(u64, Body)>>,
    uncommitted: BTreeMap<Key, Body>,
    /// Writes that become visible at a later call.
    late: Vec<(u64, u64, Writes)>,
}

#[derive(Default)]
pub(crate) struct Store {
    bug: Option<Bug>,
    /// Every 16th commit has an unknown outcome; every second of them happens.
    loses_answers: bool,
    /// Snapshots and versions are not told.
    pub(crate) secretive: bool,
    state: Mutex<State>,
}

impl Store {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        Self {
            bug,
            ..Self::default()
        }
    }

    pub(crate) fn that_loses_answers() -> Self {
        Self {
            loses_answers: true,
            ..Self::default()
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.calls += 1;
        let calls = state.calls;
        let late = std::mem::take(&mut state.late);
        let (due, late) = late.into_iter().partition(|(due, ..)| *due <= calls);
        state.late = late;
        for (_, ts, writes) in due {
            state.install(ts, writes);
        }
        state
    }
}

impl State {
    fn install(&mut self, ts: u64, writes: Writes) {
        for (key, body) in writes {
            let versions = self.versions.entry(key).or_default();
            let at = versions.partition_point(|(t, _)| *t <= ts);
            versions.insert(at, (ts, body));
        }
    }

    fn at(&self, key: Key, ts: u64) -> Option<(u64, Vec<u64>)> {
        let versions = self.versions.get(&key)?;
        let behind = versions.partition_point(|(t, _)| *t <= ts);
        let (ts, body) = versions[..behind].last()?;
        Some((*ts, body.clone()?))
    }

    fn changed_since(&self, key: Key, ts: u64) -> bool {
        let versions = self.versions.get(&key);
        versions.is_some_and(|v| v.last().is_some_and(|(t, _)| *t > ts))
    }
}

impl TxnSource for Store {
    fn session(&self, _process: u32) -> Result<Box<dyn Session + '_>, Failure> {
        Ok(Box::new(Transaction {
            store: self,
            level: Level::Snapshot,
            snapshot: 0,
            own: Writes::new(),
            reads: BTreeSet::new(),
            ranges: Vec::new(),
        }))
    }
}

struct Transaction<'s> {
    store: &'s Store,
    level: Level,
    snapshot: u64,
    own: Writes,
    reads: BTreeSet<Key>,
    ranges: Vec<(u64, u64)>,
}

impl Transaction<'_> {
    /// A body and its version, none if it is the transaction's own.
    fn look(&mut self, key: Key) -> Option<(Option<u64>, Vec<u64>)> {
        let store = self.store;
        if let Some(own) = self.own.get(&key)
            && !store.has(Bug::OwnWritesUnseen)
        {
            return own.clone().map(|body| (None, body));
        }
        self.reads.insert(key);
        let state = store.state();
        self.stored(&state, key)
    }

    fn stored(&self, state: &State, key: Key) -> Option<(Option<u64>, Vec<u64>)> {
        if self.store.has(Bug::DirtyRead)
            && let Some(dirty) = state.uncommitted.get(&key)
        {
            return dirty.clone().map(|body| (None, body));
        }
        let ts = if self.store.has(Bug::ReadsLatest) {
            u64::MAX
        } else {
            self.snapshot
        };
        let (ts, body) = state.at(key, ts)?;
        Some(((!self.store.secretive).then_some(ts), body))
    }

    fn write(&mut self, key: Key, body: Body) {
        let store = self.store;
        store.state().uncommitted.insert(key, body.clone());
        self.own.insert(key, body);
    }

    /// Ends the transaction; what it wrote is no longer under way.
    fn end(&mut self, state: &mut State) -> Writes {
        for key in self.own.keys() {
            state.uncommitted.remove(key);
        }
        self.reads.clear();
        self.ranges.clear();
        std::mem::take(&mut self.own)
    }

    fn may_commit(&self, state: &State) -> bool {
        let store = self.store;
        let changed = |key: &Key| state.changed_since(*key, self.snapshot);
        if !store.has(Bug::FirstCommitterWinsOff) && self.own.keys().any(changed) {
            return false;
        }
        if self.level == Level::Snapshot || store.has(Bug::ReadSetUnvalidated) {
            return true;
        }
        let range_changed = |(from, to): &(u64, u64)| {
            let keys = state.versions.range((DOCUMENT, *from)..=(DOCUMENT, *to));
            keys.map(|(key, _)| key).any(changed)
        };
        let ranges = store.has(Bug::RangesUnvalidated) || !self.ranges.iter().any(range_changed);
        ranges && !self.reads.iter().any(changed)
    }
}

impl Session for Transaction<'_> {
    fn begin(&mut self, level: Level) -> Result<Option<u64>, Failure> {
        let mut state = self.store.state();
        state.begins += 1;
        self.level = level;
        self.snapshot = state.ts;
        let told = self.snapshot;
        if self.store.has(Bug::StaleSnapshot) && state.begins.is_multiple_of(8) {
            self.snapshot = self.snapshot.saturating_sub(3);
        }
        Ok((!self.store.secretive).then_some(told))
    }

    fn append(&mut self, key: u64, value: u64) -> Result<(), Failure> {
        let mut list = self.read(key)?;
        list.push(value);
        self.write((LIST, key), Some(list));
        Ok(())
    }

    fn read(&mut self, key: u64) -> Result<Vec<u64>, Failure> {
        Ok(self
            .look((LIST, key))
            .map_or_else(Vec::new, |(_, list)| list))
    }

    fn get(&mut self, key: u64) -> Result<Option<Seen>, Failure> {
        let found = self.look((DOCUMENT, key));
        Ok(found.map(|(version, body)| Seen {
            version,
            value: body[0],
        }))
    }

    fn scan(&mut self, range: ScanRange) -> Result<Vec<(u64, Seen)>, Failure> {
        let store = self.store;
        let state = store.state();
        let keys = (DOCUMENT, range.from)..=(DOCUMENT, range.to);
        let mut all: BTreeSet<Key> = state
            .versions
            .range(keys.clone())
            .map(|(k, _)| *k)
            .collect();
        all.extend(self.own.range(keys).map(|(key, _)| *key));
        let mut found: Vec<(u64, Seen)> = Vec::new();
        for key in all {
            let own = self.own.get(&key);
            let body = match own.filter(|_| !store.has(Bug::OwnWritesUnseen)) {
                Some(own) => own.clone().map(|body| (None, body)),
                None => self.stored(&state, key),
            };
            if let Some((version, body)) = body {
                let value = body[0];
                found.push((key.1, Seen { version, value }));
            }
        }
        if range.direction == Direction::Descending {
            found.reverse();
        }
        let limit = range.limit.map_or(usize::MAX, |limit| limit as usize);
        let mut seen = (range.from, range.to);
        if found.len() >= limit {
            found.truncate(limit);
            match (range.direction, found.last()) {
                (Direction::Ascending, Some((last, _))) => seen.1 = *last,
                (Direction::Descending, Some((last, _))) => seen.0 = *last,
                _ => {}
            }
        }
        self.ranges.push(seen);
        Ok(found)
    }

    fn put(&mut self, key: u64, value: u64) -> Result<(), Failure> {
        self.write((DOCUMENT, key), Some(vec![value]));
        Ok(())
    }

    fn delete(&mut self, key: u64) -> Result<bool, Failure> {
        let exists = self.look((DOCUMENT, key)).is_some();
        if exists {
            self.write((DOCUMENT, key), None);
        }
        Ok(exists)
    }

    fn commit(&mut self) -> Result<Option<u64>, Failure> {
        let store = self.store;
        let mut state = store.state();
        let may = self.may_commit(&state);
        let mut writes = self.end(&mut state);
        if writes.is_empty() {
            return Ok(None);
        }
        if !may {
            return Err(Failure::Aborted);
        }
        state.commits += 1;
        let commits = state.commits;
        if store.loses_answers && commits.is_multiple_of(32) {
            return Err(Failure::Unknown);
        }
        if !(store.has(Bug::VersionReused) && commits.is_multiple_of(20)) {
            state.ts += 1;
        }
        let ts = state.ts;
        if store.has(Bug::LostCommit) && commits.is_multiple_of(20) {
            writes.clear();
        }
        if store.has(Bug::HalfVisible) {
            let middle = writes.keys().nth(writes.len().div_ceil(2)).copied();
            if let Some(middle) = middle {
                let late = writes.split_off(&middle);
                let due = state.calls + 10;
                state.late.push((due, ts, late));
            }
        }
        state.install(ts, writes);
        if store.has(Bug::NeededVersionCollected) {
            for versions in state.versions.values_mut() {
                versions.drain(..versions.len() - 1);
            }
        }
        if store.loses_answers && commits.is_multiple_of(16) {
            return Err(Failure::Unknown);
        }
        Ok((!store.secretive).then_some(ts))
    }

    fn rollback(&mut self) {
        let mut state = self.store.state();
        let writes = self.end(&mut state);
        if self.store.has(Bug::RollbackKeeps) {
            state.ts += 1;
            let ts = state.ts;
            state.install(ts, writes);
        }
    }
}
