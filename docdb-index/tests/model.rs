//! The whole index against a map of every version of every document: installs, snapshots, freezes,
//! checkpoints, merges and releases in any order, with reads and scans at every open snapshot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use docdb_index::{
    Direction, Index, IndexError, IndexOptions, Key, Lookup, Place, Pointer, ReadMode, Run,
    RunIdentity, RunWriter, Scan, Searched, Seen, merge_runs, run_file_name,
};
use docdb_mvcc::{CommitTs, Current, Hold, HoldLimit, Horizon, Snapshot, SnapshotRegistry};
use docdb_vfs::Vfs;
use docdb_vfs::sim::SimVfs;
use proptest::prelude::*;

type Body = Arc<[u8]>;

/// The version and the generation of the place: a relocation raises the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    ts: u64,
    moves: u32,
}

impl Pointer for At {
    const BYTES: usize = 12;
    fn encode(self, bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(&self.ts.to_le_bytes());
        bytes[8..].copy_from_slice(&self.moves.to_le_bytes());
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(At {
            ts: u64::from_le_bytes(bytes[..8].try_into().ok()?),
            moves: u32::from_le_bytes(bytes[8..].try_into().ok()?),
        })
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// One commit that writes or deletes these documents.
    Commit(Vec<(usize, bool)>),
    /// What is installed becomes visible.
    Reveal,
    Snapshot,
    DropSnapshot(usize),
    /// A transaction begins.
    Begin,
    End(usize),
    Freeze,
    Publish,
    /// Merges some adjacent runs.
    Merge {
        skip: usize,
        count: usize,
    },
    /// Adds a run that moves every nth document of the runs.
    Relocate(usize),
    Release,
    Look(usize),
    StartScan {
        snapshot: usize,
        from: usize,
        to: usize,
        descending: bool,
    },
    ScanChunk {
        scan: usize,
        items: usize,
    },
    CheckAll,
}

fn op() -> impl Strategy<Value = Op> {
    let writes = prop::collection::vec((any::<usize>(), prop::bool::weighted(0.75)), 1..20);
    prop_oneof![
        8 => writes.prop_map(Op::Commit),
        4 => Just(Op::Reveal),
        3 => Just(Op::Snapshot),
        2 => any::<usize>().prop_map(Op::DropSnapshot),
        2 => Just(Op::Begin),
        1 => any::<usize>().prop_map(Op::End),
        2 => Just(Op::Freeze),
        2 => Just(Op::Publish),
        1 => (0..3usize, 1..4usize).prop_map(|(skip, count)| Op::Merge { skip, count }),
        1 => (1..4usize).prop_map(Op::Relocate),
        2 => Just(Op::Release),
        2 => any::<usize>().prop_map(Op::Look),
        2 => (any::<usize>(), any::<usize>(), any::<usize>(), any::<bool>()).prop_map(
            |(snapshot, from, to, descending)| Op::StartScan { snapshot, from, to, descending }
        ),
        4 => (any::<usize>(), 1..40usize).prop_map(|(scan, items)| Op::ScanChunk { scan, items }),
        1 => Just(Op::CheckAll),
    ]
}

/// Dense ids, scattered ids, and both ends of two collections.
fn keys() -> Vec<Key> {
    let dense = (0..300).map(|id| Key::new(1, id));
    let scattered = (1..40_u64).map(|i| Key::new(2, i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let ends = [0, 1, 255, 256, u64::MAX - 1, u64::MAX].map(|id| Key::new(2, id));
    let mut keys: Vec<_> = dense.chain(scattered).chain(ends).collect();
    keys.push(Key::new(1, u64::MAX));
    keys
}

struct OpenScan {
    scan: Scan,
    snapshot: Snapshot,
    /// What is still to come, in reverse.
    expected: Vec<(Key, u64)>,
}

struct World {
    vfs: SimVfs,
    index: Index<Body, At>,
    registry: SnapshotRegistry,
    keys: Vec<Key>,
    /// Every version ever: whether it is a document.
    model: BTreeMap<(Key, u64), bool>,
    installed: u64,
    visible: u64,
    frozen_at: u64,
    next_run: u64,
    moves: u32,
    snapshots: Vec<Snapshot>,
    transactions: Vec<Hold>,
    scans: Vec<OpenScan>,
    looks: Vec<Seen<Body, At>>,
}

impl World {
    fn new(block_cache_bytes: u64) -> Self {
        Self {
            vfs: SimVfs::new(1),
            index: Index::new(
                IndexOptions {
                    shards: 8,
                    hash_seed: 3,
                    block_cache_bytes,
                },
                Vec::new(),
            ),
            registry: SnapshotRegistry::new(),
            keys: keys(),
            model: BTreeMap::new(),
            installed: 0,
            visible: 0,
            frozen_at: 0,
            next_run: 1,
            moves: 0,
            snapshots: Vec::new(),
            transactions: Vec::new(),
            scans: Vec::new(),
            looks: Vec::new(),
        }
    }

    fn key(&self, i: usize) -> Key {
        self.keys[i % self.keys.len()]
    }

    /// The newest version at or below `at`, if it is a document.
    fn expected(&self, key: Key, at: u64) -> Option<u64> {
        let ((_, ts), live) = self.model.range((key, 0)..=(key, at)).next_back()?;
        live.then_some(*ts)
    }

    fn horizon(&self) -> Horizon {
        self.registry.horizon(|| CommitTs(self.visible))
    }

    fn run_path(&self, number: u64) -> PathBuf {
        Path::new("/").join(run_file_name(number))
    }

    fn write_run(
        &mut self,
        fill: impl FnOnce(&mut RunWriter<At>) -> Result<(), IndexError>,
    ) -> Arc<Run<At>> {
        let identity = RunIdentity {
            number: self.next_run,
            salt: 9,
        };
        self.next_run += 1;
        let path = self.run_path(identity.number);
        let mut writer = RunWriter::create(&self.vfs, &path, identity).expect("created");
        fill(&mut writer).expect("filled");
        writer.finish().expect("finished");
        Arc::new(Run::open(&self.vfs, &path, identity).expect("opened"))
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Commit(writes) => {
                self.installed += 1;
                let ts = self.installed;
                let horizon = self.horizon();
                for (i, live) in writes {
                    // Some are hot, so that they have many versions.
                    let key = self.key(if i % 4 == 0 { i / 4 % 3 } else { i });
                    let body = || Arc::from(ts.to_le_bytes().as_slice());
                    let place = if live {
                        Place::Memory(body())
                    } else {
                        Place::Deleted
                    };
                    self.index.install(key, CommitTs(ts), place, &horizon);
                    self.model.insert((key, ts), live);
                }
            }
            Op::Reveal => self.visible = self.installed,
            Op::Snapshot => {
                if self.snapshots.len() < 6 {
                    let visible = CommitTs(self.visible);
                    self.snapshots
                        .push(self.registry.register(Duration::ZERO, || visible));
                }
            }
            Op::Begin => {
                let visible = CommitTs(self.visible);
                let limit = HoldLimit::Deadline(Duration::MAX);
                let begun = self.registry.hold(Duration::ZERO, limit, 3, || visible);
                self.transactions.extend(begun);
            }
            Op::End(i) => {
                if !self.transactions.is_empty() {
                    self.transactions.swap_remove(i % self.transactions.len());
                }
            }
            Op::DropSnapshot(i) => {
                if !self.snapshots.is_empty() {
                    self.snapshots.swap_remove(i % self.snapshots.len());
                }
            }
            Op::Freeze => match self.index.freeze() {
                Ok(frozen) => {
                    assert!(frozen.max_ts().0 <= self.installed);
                    self.frozen_at = self.installed;
                }
                Err(error) => assert!(matches!(error, IndexError::AlreadyFrozen)),
            },
            Op::Publish => self.publish(),
            Op::Merge { skip, count } => self.merge(skip, count),
            Op::Relocate(nth) => self.relocate(nth),
            Op::Release => {
                let (count, numbers) = self.index.release_retired(&self.horizon());
                assert!(numbers.len() <= count);
                for number in numbers {
                    self.vfs
                        .remove_file(&self.run_path(number))
                        .expect("removed");
                }
            }
            Op::Look(i) => {
                let seen = self
                    .index
                    .look(self.key(i), ReadMode::Blocking)
                    .expect("seen");
                let newest = self.expected(seen.key, u64::MAX).map(CommitTs);
                assert_eq!(
                    seen.current(),
                    newest.map_or(Current::Absent, Current::Present)
                );
                self.looks.push(seen);
            }
            Op::StartScan {
                snapshot,
                from,
                to,
                descending,
            } => {
                self.start_scan(snapshot, from, to, descending);
            }
            Op::ScanChunk { scan, items } => self.scan_chunk(scan, items),
            Op::CheckAll => self.check_all(),
        }
        self.check_looks();
    }

    fn publish(&mut self) {
        let bound = CommitTs(self.frozen_at);
        let Some(frozen) = self.index.frozen() else {
            let refused = self.index.publish(None, bound);
            assert!(matches!(refused, Err(IndexError::NothingFrozen)));
            return;
        };
        if frozen.is_empty() {
            self.index.publish(None, bound).expect("published");
            return;
        }
        // A checkpoint waits until what it covers is durable; here that makes it visible.
        self.visible = self.visible.max(self.frozen_at);
        let run = self.write_run(|writer| {
            let mut newest = frozen.sorted_newest(bound);
            loop {
                let chunk = newest.next_chunk(33)?;
                if chunk.is_empty() {
                    return Ok(());
                }
                for (key, version) in chunk {
                    let at = At {
                        ts: version.ts.0,
                        moves: 0,
                    };
                    writer.push(key, version.ts, version.is_live().then_some(at))?;
                }
            }
        });
        let low = CommitTs(frozen.max_ts().0 - 1);
        let refused = self.index.publish(Some(Arc::clone(&run)), low);
        assert!(matches!(refused, Err(IndexError::BoundTooLow { .. })));
        self.index.publish(Some(run), bound).expect("published");
    }

    fn merge(&mut self, skip: usize, count: usize) {
        let runs = self.index.runs();
        let old: Vec<_> = runs.iter().skip(skip).take(count).cloned().collect();
        if old.is_empty() {
            return;
        }
        let numbers: Vec<_> = old.iter().map(|run| run.identity().number).collect();
        // Dropping a deletion needs the oldest run, and a bound that no relocation can undercut:
        // the highest version of all runs.
        let drop_tombstones = skip + old.len() == runs.len() && skip == 0;
        let bound = runs
            .iter()
            .map(|run| run.meta().max_ts)
            .max()
            .expect("runs");
        let run =
            self.write_run(|writer| merge_runs(&old, writer, drop_tombstones, |_| true).map(drop));
        self.index
            .replace_runs(&numbers, Some(run), bound)
            .expect("replaced");
    }

    fn relocate(&mut self, nth: usize) {
        self.moves += 1;
        let moves = self.moves;
        let mut newest: BTreeMap<Key, CommitTs> = BTreeMap::new();
        for run in self.index.runs() {
            for entry in run.entries().map(|entry| entry.expect("entry")) {
                let ts = newest.entry(entry.key).or_default();
                // Deletions stay where they are.
                *ts = (*ts).max(entry.ts);
            }
        }
        let model = &self.model;
        newest.retain(|key, ts| model[&(*key, ts.0)]);
        if newest.is_empty() {
            return;
        }
        let run = self.write_run(|writer| {
            for (key, ts) in newest.iter().step_by(nth) {
                writer.push(*key, *ts, Some(At { ts: ts.0, moves }))?;
            }
            Ok(())
        });
        self.index
            .replace_runs(&[], Some(run), CommitTs::ZERO)
            .expect("added");
        for (key, ts) in newest.iter().step_by(nth) {
            // A reader for whom this is the newest version finds its new place, unless it is in
            // memory too.
            let found = self
                .index
                .get(*key, CommitTs(self.visible.max(ts.0)), ReadMode::Blocking);
            if let Ok(Lookup::Found(version)) = found
                && version.ts == *ts
                && let Place::Stored(at) = version.place
            {
                assert_eq!(at, At { ts: ts.0, moves });
            }
        }
    }

    fn start_scan(&mut self, snapshot: usize, from: usize, to: usize, descending: bool) {
        if self.snapshots.is_empty() || self.scans.len() > 4 {
            return;
        }
        let snapshot = self.snapshots[snapshot % self.snapshots.len()].clone();
        let collection = self.key(from).collection;
        let end = |i| match i % 3 {
            0 => 0,
            1 => u64::MAX,
            _ => self.key(i).id,
        };
        let (from, to) = (end(from).min(end(to)), end(from).max(end(to)));
        let (from, to) = (Key::new(collection, from), Key::new(collection, to));
        let direction = if descending {
            Direction::Descending
        } else {
            Direction::Ascending
        };
        let expected = self.visible_range(from, to, snapshot.ts().0);
        let expected = if descending {
            expected
        } else {
            expected.into_iter().rev().collect()
        };
        let scan = self.index.scan(from, to, direction, snapshot.ts());
        self.scans.push(OpenScan {
            scan,
            snapshot,
            expected,
        });
    }

    fn visible_range(&self, from: Key, to: Key, at: u64) -> Vec<(Key, u64)> {
        let mut keys: Vec<_> = self
            .keys
            .iter()
            .filter(|key| (from..=to).contains(*key))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| Some((*key, self.expected(*key, at)?)))
            .collect()
    }

    fn scan_chunk(&mut self, scan: usize, items: usize) {
        if self.scans.is_empty() {
            return;
        }
        let i = scan % self.scans.len();
        let OpenScan {
            scan,
            snapshot,
            expected,
        } = &mut self.scans[i];
        let chunk = scan
            .next_chunk(&self.index, items, ReadMode::Blocking)
            .expect("chunk");
        assert!(chunk.len() <= items);
        if chunk.is_empty() {
            assert!(
                expected.is_empty() && scan.is_done(),
                "{expected:?} missing"
            );
            self.scans.swap_remove(i);
            return;
        }
        for (key, version) in chunk {
            assert_eq!(
                expected.pop(),
                Some((key, version.ts.0)),
                "at {}",
                snapshot.ts()
            );
            check_place(version.ts, &version.place);
        }
    }

    /// Whoever holds nothing is told the truth, or that it is gone.
    fn check_unheld(&self) {
        for at in 0..=self.installed {
            for key in &self.keys {
                match self.index.get(*key, CommitTs(at), ReadMode::Blocking) {
                    Ok(Lookup::Found(version)) => {
                        assert_eq!(Some(version.ts.0), self.expected(*key, at), "{key} at {at}");
                    }
                    Ok(Lookup::Absent) => {
                        assert_eq!(None, self.expected(*key, at), "{key} at {at}");
                    }
                    Ok(Lookup::Pruned) => {}
                    Err(error) => panic!("{key} at {at}: {error}"),
                }
            }
        }
    }

    /// Transactions learn of every commit since they began, of dropped deletions, too.
    fn check_transactions(&self) {
        for transaction in &self.transactions {
            let since = transaction.ts();
            let newest = |key: Key| {
                let mut versions = self.model.range((key, 0)..=(key, u64::MAX));
                let ts = CommitTs(versions.next_back()?.0.1);
                (ts > since).then_some(ts)
            };
            for key in &self.keys {
                let found = self.index.newest_since(*key, since, ReadMode::Blocking);
                assert_eq!(found.expect("kept"), newest(*key), "{key} since {since}");
                let seen = self.index.look_since(*key, since, ReadMode::Blocking);
                let seen = seen.expect("kept");
                if let Some(ts) = newest(*key) {
                    assert_eq!(seen.newest_ts(), ts, "{key} since {since}");
                }
                let live = self.expected(*key, u64::MAX).map(CommitTs);
                let current = live.map_or(Current::Absent, Current::Present);
                assert_eq!(seen.current(), current, "{key}");
            }
            for (low, high) in [(0, 9), (3, 4), (9, 9)] {
                let (from, to) = (self.key(low), self.key(high));
                let (from, to) = (from.min(to), from.max(to));
                let mut newer = self.keys.iter().filter(|key| (from..=to).contains(*key));
                let expected = newer.any(|key| newest(*key).is_some());
                let mut at = from;
                let found = loop {
                    let step = self.index.search_since(at, to, since, ReadMode::Blocking);
                    match step.expect("kept") {
                        Searched::Found(key, ts) => {
                            assert!(newest(key) >= Some(ts) && ts > since);
                            break true;
                        }
                        Searched::Through(key) => at = key.next().expect("before the end"),
                        Searched::Nothing => break false,
                    }
                };
                assert_eq!(found, expected, "{from}..={to} since {since}");
            }
        }
    }

    fn check_all(&mut self) {
        self.check_unheld();
        self.check_transactions();
        let mut numbers = self.registry.timestamps();
        numbers.push(CommitTs(self.visible));
        for at in numbers {
            for key in &self.keys {
                let found = match self.index.get(*key, at, ReadMode::Blocking).expect("read") {
                    Lookup::Found(version) => {
                        check_place(version.ts, &version.place);
                        Some(version.ts.0)
                    }
                    Lookup::Absent => None,
                    Lookup::Pruned => panic!("{key} at {at} is held by a snapshot"),
                };
                assert_eq!(found, self.expected(*key, at.0), "{key} at {at}");
            }
            for collection in [1, 2] {
                let (from, to) = (Key::new(collection, 0), Key::new(collection, u64::MAX));
                for direction in [Direction::Ascending, Direction::Descending] {
                    let mut scan = self.index.scan(from, to, direction, at);
                    let mut found = Vec::new();
                    loop {
                        let chunk = scan.next_chunk(&self.index, 64, ReadMode::Blocking);
                        let chunk = chunk.expect("chunk");
                        if chunk.is_empty() {
                            break;
                        }
                        found.extend(chunk.into_iter().map(|(key, version)| (key, version.ts.0)));
                    }
                    if direction == Direction::Descending {
                        found.reverse();
                    }
                    assert_eq!(found, self.visible_range(from, to, at.0));
                }
            }
        }
        // Numbers that nobody holds are answered rightly or not at all.
        for at in 0..self.visible {
            for key in self.keys.iter().step_by(7) {
                match self
                    .index
                    .get(*key, CommitTs(at), ReadMode::Blocking)
                    .expect("read")
                {
                    Lookup::Found(version) => {
                        assert_eq!(Some(version.ts.0), self.expected(*key, at), "{key} at {at}");
                    }
                    Lookup::Absent => assert_eq!(None, self.expected(*key, at), "{key} at {at}"),
                    Lookup::Pruned => {}
                }
            }
        }
    }

    /// What a look saw and what the memory knows tell the newest state for as long as the index
    /// says so.
    fn check_looks(&mut self) {
        self.looks.retain(|seen| self.index.is_still_valid(seen));
        for seen in &self.looks {
            let newest = match self.index.newest_in_memory(seen.key) {
                Some((ts, live)) => live.then_some(ts),
                None => match seen.current() {
                    Current::Present(ts) => Some(ts),
                    Current::Absent => None,
                },
            };
            assert_eq!(
                newest.map(|ts| ts.0),
                self.expected(seen.key, u64::MAX),
                "{}",
                seen.key
            );
        }
        let excess = self.looks.len().saturating_sub(8);
        self.looks.drain(..excess);
    }
}

fn check_place(ts: CommitTs, place: &Place<Body, At>) {
    match place {
        Place::Memory(body) => assert_eq!(**body, ts.0.to_le_bytes()),
        Place::Stored(at) => assert_eq!(at.ts, ts.0),
        Place::Deleted => panic!("a deletion was returned"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_index_matches_a_map_of_all_versions(
        ops in prop::collection::vec(op(), 1..120),
        // None, room for one page, room for all.
        block_cache_bytes in prop_oneof![Just(0), Just(5_000), Just(1 << 20)],
    ) {
        let mut world = World::new(block_cache_bytes);
        for op in ops {
            world.apply(op);
        }
        world.check_all();
        while !world.scans.is_empty() {
            world.scan_chunk(0, 50);
        }
        world.snapshots.clear();
        world.visible = world.installed;
        world.apply(Op::Release);
        world.check_all();
    }
}
