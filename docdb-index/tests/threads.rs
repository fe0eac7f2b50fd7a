//! Readers beside an installer that prunes, a checkpointer and a merger.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use docdb_index::{
    Direction, Index, IndexOptions, Key, Lookup, Place, Pointer, ReadMode, Run, RunIdentity,
    RunWriter, merge_runs, run_file_name,
};
use docdb_mvcc::{CommitTs, SnapshotRegistry};
use docdb_vfs::sim::SimVfs;
use parking_lot::Mutex;

const DOCUMENTS: u64 = 600;
/// The installer goes on until there were at least this many commits, rounds of all readers, looks
/// and checkpoints.
const COMMITS: u64 = 20_000;
const READS: u64 = 300;
const LOOKS: u64 = 2000;
const CHECKPOINTS: u64 = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At(u64);

impl Pointer for At {
    const BYTES: usize = 8;
    fn encode(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.to_le_bytes());
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(At(u64::from_le_bytes(bytes.try_into().ok()?)))
    }
}

/// Commit `ts` writes document `ts % DOCUMENTS`; what a reader at `at` sees follows from that.
fn expected(id: u64, at: u64) -> Option<u64> {
    let behind = (at + DOCUMENTS - id) % DOCUMENTS;
    at.checked_sub(behind).filter(|ts| *ts > 0)
}

struct World {
    index: Index<Arc<[u8]>, At>,
    registry: SnapshotRegistry,
    visible: AtomicU64,
    /// Serialises installs and freezes, as the owner of an index must.
    sequencer: Mutex<u64>,
    done: AtomicBool,
    reads: AtomicU64,
    looks: AtomicU64,
    checkpoints: AtomicU64,
}

impl World {
    fn visible(&self) -> CommitTs {
        CommitTs(self.visible.load(Ordering::SeqCst))
    }

    fn read(&self) {
        while !self.done.load(Ordering::SeqCst) {
            let snapshot = self.registry.register(Duration::ZERO, || self.visible());
            let at = snapshot.ts();
            for id in (0..DOCUMENTS).step_by(37) {
                let found = self.index.get(Key::new(1, id), at, ReadMode::Blocking);
                let found = match found.expect("readable") {
                    Lookup::Found(version) => Some(version.ts.0),
                    Lookup::Absent => None,
                    Lookup::Pruned => panic!("{id} at {at} is held by a snapshot"),
                };
                assert_eq!(found, expected(id, at.0), "{id} at {at}");
            }
            for direction in [Direction::Ascending, Direction::Descending] {
                let (from, to) = (Key::new(1, 0), Key::new(1, u64::MAX));
                let mut scan = self.index.scan(from, to, direction, at);
                let mut found = Vec::new();
                loop {
                    let chunk = scan.next_chunk(&self.index, 150, ReadMode::Blocking);
                    let chunk = chunk.expect("readable");
                    if chunk.is_empty() {
                        break;
                    }
                    found.extend(chunk.into_iter().map(|(key, v)| (key.id, v.ts.0)));
                }
                if direction == Direction::Descending {
                    found.reverse();
                }
                let all = (0..DOCUMENTS).filter_map(|id| Some((id, expected(id, at.0)?)));
                assert_eq!(found, all.collect::<Vec<_>>(), "at {at}");
            }
            drop(snapshot);
            self.reads.fetch_add(1, Ordering::SeqCst);

            // Without a snapshot an answer is right or `Pruned`.
            let at = self.visible();
            let found = self.index.get(Key::new(1, 5), at, ReadMode::Blocking);
            match found.expect("readable") {
                Lookup::Found(version) => assert_eq!(Some(version.ts.0), expected(5, at.0)),
                Lookup::Absent => assert_eq!(None, expected(5, at.0)),
                Lookup::Pruned => assert!(self.visible() > at),
            }
        }
    }

    fn is_enough(&self) -> bool {
        let at_least = |counter: &AtomicU64, count| counter.load(Ordering::SeqCst) >= count;
        at_least(&self.visible, COMMITS)
            && at_least(&self.reads, READS)
            && at_least(&self.looks, LOOKS)
            && at_least(&self.checkpoints, CHECKPOINTS)
    }

    fn install(&self) {
        while !self.is_enough() && !self.done.load(Ordering::SeqCst) {
            let mut last = self.sequencer.lock();
            *last += 1;
            let (key, ts) = (Key::new(1, *last % DOCUMENTS), *last);
            let newest = self.index.newest_in_memory(key).map(|(ts, _)| ts.0);
            assert!(
                newest.is_none() || newest == expected(key.id, ts - 1),
                "{key} before {ts}"
            );
            let place = Place::Memory(Arc::from(ts.to_le_bytes().as_slice()));
            let horizon = self.registry.horizon(|| self.visible());
            self.index.install(key, CommitTs(ts), place, &horizon);
            // Some commits become visible together.
            if ts % 3 == 0 {
                self.visible.store(ts, Ordering::SeqCst);
            }
        }
        let last = self.sequencer.lock();
        self.visible.store(*last, Ordering::SeqCst);
        self.done.store(true, Ordering::SeqCst);
    }

    /// Confirms a look inside the sequencer, as a commit does.
    fn look(&self) {
        let mut id = 0;
        while !self.done.load(Ordering::SeqCst) {
            id = (id + 101) % DOCUMENTS;
            let key = Key::new(1, id);
            let seen = self.index.look(key, ReadMode::Blocking).expect("readable");
            thread::yield_now();
            let last = self.sequencer.lock();
            let newest = match self.index.newest_in_memory(key) {
                Some((ts, _)) => ts,
                None if self.index.is_still_valid(&seen) => seen.newest_ts(),
                None => continue,
            };
            assert_eq!(
                newest.0,
                expected(id, *last).unwrap_or(0),
                "{key} after {}",
                *last
            );
            self.looks.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn checkpoint(&self, vfs: &SimVfs) {
        let mut number = 0;
        let mut write = |fill: &mut dyn FnMut(&mut RunWriter<At>)| {
            number += 1;
            let identity = RunIdentity { number, salt: 1 };
            let path = Path::new("/").join(run_file_name(number));
            let mut writer = RunWriter::create(vfs, &path, identity).expect("created");
            fill(&mut writer);
            writer.finish().expect("finished");
            Arc::new(Run::open(vfs, &path, identity).expect("opened"))
        };
        while !self.done.load(Ordering::SeqCst) {
            let (frozen, bound) = {
                let last = self.sequencer.lock();
                (self.index.freeze().expect("not frozen"), CommitTs(*last))
            };
            let run = write(&mut |writer| {
                let mut newest = frozen.sorted_newest(bound);
                loop {
                    let chunk = newest.next_chunk(100).expect("not pruned");
                    if chunk.is_empty() {
                        break;
                    }
                    for (key, version) in chunk {
                        writer
                            .push(key, version.ts, Some(At(version.ts.0)))
                            .expect("pushed");
                    }
                }
            });
            self.index.publish(Some(run), bound).expect("published");
            self.checkpoints.fetch_add(1, Ordering::SeqCst);
            let runs = self.index.runs();
            if runs.len() > 3 {
                let numbers: Vec<_> = runs.iter().map(|run| run.identity().number).collect();
                let merged = write(&mut |writer| {
                    merge_runs(&runs, writer, true, |_| true).expect("merged");
                });
                self.index
                    .replace_runs(&numbers, Some(merged), bound)
                    .expect("replaced");
            }
            self.index
                .release_retired(&self.registry.horizon(|| self.visible()));
            thread::yield_now();
        }
    }
}

/// Lets the other threads end when one fails.
struct EndOnPanic<'a>(&'a AtomicBool);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn readers_see_their_snapshot_whatever_happens_beside_them() {
    let world = World {
        index: Index::new(
            IndexOptions {
                shards: 16,
                hash_seed: 1,
                // Less than the runs take, so that pages come and go.
                block_cache_bytes: 64 << 10,
            },
            Vec::new(),
        ),
        registry: SnapshotRegistry::new(),
        visible: AtomicU64::new(0),
        sequencer: Mutex::new(0),
        done: AtomicBool::new(false),
        reads: AtomicU64::new(0),
        looks: AtomicU64::new(0),
        checkpoints: AtomicU64::new(0),
    };
    let vfs = SimVfs::new(1);
    let run = |work: &dyn Fn()| {
        let _end = EndOnPanic(&world.done);
        work();
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| run(&|| world.read()));
        }
        scope.spawn(|| run(&|| world.look()));
        scope.spawn(|| run(&|| world.checkpoint(&vfs)));
        scope.spawn(|| run(&|| world.install()));
    });
    // With nobody reading, releasing leaves nothing retired.
    world
        .index
        .release_retired(&world.registry.horizon(|| world.visible()));
    assert_eq!(world.index.stats().retired_layers, 0);
}
