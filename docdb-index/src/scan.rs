//! Ordered reading of an index, a chunk at a time.

use docdb_mvcc::CommitTs;

use crate::layers::{Layers, RetiredLayer, place_of};
use crate::{
    BlockCache, Delta, Direction, Index, Key, Pointer, ReadMode, Resident, Result, Run, Version,
};

/// Most documents that a chunk holds; also how far ahead each layer is read for one.
const CHUNK_ITEMS_MAX: usize = 1024;

/// A scan's place: a range, a direction and a commit number. It holds nothing of the index: each
/// chunk takes the layers as they are then. A snapshot at its number, which the caller holds, keeps
/// what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// What is left; `None` at the end.
    rest: Option<(Key, Key)>,
    direction: Direction,
    at: CommitTs,
}

impl Scan {
    /// A scan of `from..=to`, lower and upper in either direction, at a commit number.
    pub fn new(from: Key, to: Key, direction: Direction, at: CommitTs) -> Self {
        Self {
            rest: (from <= to).then_some((from, to)),
            direction,
            at,
        }
    }

    /// Leaves out everything up to and including `last` in scan order, where an earlier scan of the
    /// same range ended.
    #[must_use]
    pub fn after(mut self, last: Key) -> Self {
        self.rest = self
            .rest
            .and_then(|(from, to)| self.direction.rest(from, to, last));
        self
    }

    /// The commit number that is scanned.
    pub fn at(&self) -> CommitTs {
        self.at
    }

    /// Whether there is nothing more.
    pub fn is_done(&self) -> bool {
        self.rest.is_none()
    }

    /// The next documents in order, at most `items_max` and at most 1024; empty at the end and only
    /// there. After an error the scan is where it was: `WouldBlock` is answered by asking again with
    /// [`ReadMode::Blocking`].
    pub fn next_chunk<M: Resident, P: Pointer>(
        &mut self,
        index: &Index<M, P>,
        items_max: usize,
        mode: ReadMode,
    ) -> Result<Vec<(Key, Version<M, P>)>> {
        let items_max = items_max.clamp(1, CHUNK_ITEMS_MAX);
        let mut found = Vec::new();
        while found.is_empty()
            && let Some((from, to)) = self.rest
        {
            let mut round = Round::new(from, to, self.direction, self.at, items_max);
            round.read(&index.layers(), mode, index.block_cache())?;
            let done = round.merge(&mut found);
            self.rest = done.and_then(|done| self.direction.rest(from, to, done));
        }
        Ok(found)
    }
}

/// The reading of one stretch from all layers.
struct Round<M, P> {
    from: Key,
    to: Key,
    direction: Direction,
    at: CommitTs,
    items_max: usize,
    /// Versions at or below `at`: each layer's in scan order, the newer layers first.
    items: Vec<(Key, Version<M, P>)>,
    /// The last key in scan order up to which `items` are all there are; `None` if that is all.
    complete_through: Option<Key>,
}

impl<M: Resident, P: Pointer> Round<M, P> {
    fn new(from: Key, to: Key, direction: Direction, at: CommitTs, items_max: usize) -> Self {
        Self {
            from,
            to,
            direction,
            at,
            items_max,
            items: Vec::new(),
            complete_through: None,
        }
    }

    fn read(&mut self, layers: &Layers<M, P>, mode: ReadMode, cache: &BlockCache) -> Result<()> {
        layers.check_kept(self.at)?;
        for delta in std::iter::once(&layers.active).chain(&layers.frozen) {
            self.read_delta(delta)?;
        }
        for run in &layers.runs {
            self.read_run(run, mode, cache)?;
        }
        for layer in layers.retired_for(self.at) {
            match layer {
                RetiredLayer::Delta(delta) => self.read_delta(delta)?,
                RetiredLayer::Run(run) => self.read_run(run, mode, cache)?,
            }
        }
        Ok(())
    }

    /// Notes up to where a layer was read. Later layers need not be read further.
    fn cut(&mut self, complete_through: Option<Key>) {
        if let Some(end) = complete_through {
            let first = self
                .complete_through
                .map_or(end, |cut| self.direction.first_of(cut, end));
            self.complete_through = Some(first);
            match self.direction {
                Direction::Ascending => self.to = first,
                Direction::Descending => self.from = first,
            }
        }
    }

    fn read_delta(&mut self, delta: &Delta<M, P>) -> Result<()> {
        let chunk = delta.chunk(self.from, self.to, self.direction, self.at, self.items_max)?;
        self.items.extend(chunk.items);
        self.cut(chunk.complete_through);
        Ok(())
    }

    fn read_run(&mut self, run: &Run<P>, mode: ReadMode, cache: &BlockCache) -> Result<()> {
        if run.meta().min_ts > self.at {
            return Ok(());
        }
        let chunk = run.chunk_cached(
            self.from,
            self.to,
            self.direction,
            self.items_max,
            mode,
            cache,
        )?;
        let visible = chunk.items.into_iter().filter(|entry| entry.ts <= self.at);
        self.items.extend(visible.map(|entry| {
            (
                entry.key,
                Version {
                    ts: entry.ts,
                    place: place_of(entry.pointer),
                },
            )
        }));
        self.cut(chunk.complete_through);
        Ok(())
    }

    /// Adds the documents of the stretch, at most `items_max`, to `found`. Returns the last key in
    /// scan order that is dealt with; `None` if the whole range is.
    fn merge(mut self, found: &mut Vec<(Key, Version<M, P>)>) -> Option<Key> {
        // A layer that was read before a later one cut the stretch shorter has items beyond.
        let (from, to) = (self.from, self.to);
        self.items.retain(|(key, _)| (from..=to).contains(key));
        // Stable: of equal versions the newer layer's comes first.
        let direction = self.direction;
        self.items.sort_by(|(a, x), (b, y)| {
            let keys = match direction {
                Direction::Ascending => a.cmp(b),
                Direction::Descending => b.cmp(a),
            };
            keys.then(y.ts.cmp(&x.ts))
        });
        self.items.dedup_by_key(|(key, _)| *key);
        for (key, version) in self.items {
            if version.is_live() {
                found.push((key, version));
                if found.len() == self.items_max {
                    return Some(key);
                }
            }
        }
        self.complete_through
    }
}
