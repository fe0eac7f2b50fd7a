//! The index of one database.

use std::fmt;
use std::sync::Arc;

use docdb_mvcc::{CommitTs, Current, Horizon};
use parking_lot::RwLock;

use crate::delta::DEFAULT_SHARDS;
use crate::layers::{Layers, Retired, RetiredLayer};
use crate::{
    Below, BlockCache, Delta, Direction, InMemory, IndexError, Key, Place, Pointer, ReadMode,
    Resident, Result, Run, Scan, Version,
};

/// How an index is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexOptions {
    /// Shards of a delta, rounded up to a power of two, at most 65,536.
    pub shards: usize,
    /// Decides which ids share a shard.
    pub hash_seed: u64,
    /// The most that the cache of run pages takes, in bytes; zero for none. It can be changed:
    /// [`Index::block_cache`].
    pub block_cache_bytes: u64,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self {
            shards: DEFAULT_SHARDS,
            hash_seed: 0,
            block_cache_bytes: 0,
        }
    }
}

/// What a reader at one commit number finds of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<M, P> {
    /// The document; its place is never `Deleted`.
    Found(Version<M, P>),
    /// It did not exist.
    Absent,
    /// What existed at that number is no longer kept: take a newer one.
    Pruned,
}

/// What [`Index::look`] found: the newest installed state of a document at some moment during the
/// call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<M, P> {
    /// The document.
    pub key: Key,
    /// Its newest version, visible or not; it may be a deletion. `None` if there is none, or only a
    /// deletion that was dropped.
    pub newest: Option<Version<M, P>>,
    /// The delta that took installs when the look began.
    pub active_delta_id: u64,
    pub(crate) generation: u64,
}

impl<M, P> Seen<M, P> {
    /// The state in terms of the rules for writes.
    pub fn current(&self) -> Current {
        match &self.newest {
            Some(version) if version.is_live() => Current::Present(version.ts),
            _ => Current::Absent,
        }
    }

    /// The version that was seen, deletions included; zero if there was none.
    pub fn newest_ts(&self) -> CommitTs {
        self.newest
            .as_ref()
            .map_or(CommitTs::ZERO, |version| version.ts)
    }
}

/// Sizes of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// Documents with a version in the active delta.
    pub active_keys: usize,
    /// Memory of the active delta, in bytes.
    pub active_bytes: usize,
    /// Memory of the frozen delta, in bytes.
    pub frozen_bytes: usize,
    /// Memory of replaced layers that snapshots keep, in bytes.
    pub retired_bytes: usize,
    /// Replaced layers that snapshots keep.
    pub retired_layers: usize,
    /// Runs that are read.
    pub runs: usize,
    /// Entries in them, deletions included.
    pub run_entries: u64,
    /// Memory of their fences, in bytes.
    pub run_bytes: usize,
}

impl IndexStats {
    /// All memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.active_bytes + self.frozen_bytes + self.retired_bytes + self.run_bytes
    }
}

/// The versions of all documents of one database: a delta in memory over immutable runs.
///
/// Installs, and freezing in relation to them, are serialised by the caller, in commit order.
/// Everything else may run at any time; readers take the layers as they are at one moment and go on
/// with them.
pub struct Index<M, P> {
    options: IndexOptions,
    pub(crate) cache: BlockCache,
    /// Taken before any lock of a delta's shard; never held during I/O.
    layers: RwLock<Arc<Layers<M, P>>>,
}

impl<M: Resident, P: Pointer> Index<M, P> {
    /// An index over these runs, newest first. A reader below their highest version is told that
    /// what it wants is no longer kept.
    pub fn new(options: IndexOptions, runs: Vec<Arc<Run<P>>>) -> Self {
        let newest = runs
            .iter()
            .map(|run| run.meta().max_ts)
            .max()
            .unwrap_or(CommitTs::ZERO);
        let layers = Layers {
            active: Arc::new(Delta::new(1, options.shards, options.hash_seed)),
            frozen: None,
            runs,
            retired: Vec::new(),
            retired_bound: newest,
            released_bound: newest,
            gaps: Vec::new(),
            published_id: 0,
            generation: 0,
        };
        Self {
            options,
            cache: BlockCache::new(options.block_cache_bytes),
            layers: RwLock::new(Arc::new(layers)),
        }
    }

    /// The pages of runs that were read lately.
    pub fn block_cache(&self) -> &BlockCache {
        &self.cache
    }

    pub(crate) fn layers(&self) -> Arc<Layers<M, P>> {
        Arc::clone(&self.layers.read())
    }

    /// Installs a document's new version, and drops versions of it that nobody needs by `horizon`. `ts` is above everything in the runs and not below any that was
    /// installed; serialised by the caller.
    pub fn install(&self, key: Key, ts: CommitTs, place: Place<M, P>, horizon: &Horizon) {
        // Held, so that a freeze does not overtake the install.
        self.layers.read().active.install(key, ts, place, horizon);
    }

    /// The document's newest version, if it was installed since what was last published: its commit,
    /// and whether it is a document rather than a deletion. Without I/O.
    pub fn newest_in_memory(&self, key: Key) -> Option<(CommitTs, bool)> {
        let layers = self.layers.read();
        let frozen = || layers.frozen.as_ref()?.newest(key);
        layers.active.newest(key).or_else(frozen)
    }

    /// The document's newest installed state over all layers.
    ///
    /// Used outside the caller's sequencer, to be confirmed inside without I/O: if
    /// [`Index::newest_in_memory`] knows the document, that is its state; else, if the look
    /// [is still valid](Index::is_still_valid), what it saw is; else look again.
    ///
    /// Why: let `d` be the delta that was active when the look began. The layers below `d` never
    /// change, and the look has read them, or stopped in `d` at a newer version. So the state
    /// differs from what was seen, or was seen in `d`, only if a version of the document is in `d`
    /// or a later delta. As long as none of these has been published, they are the active and the
    /// frozen one, and both are asked. Once one has been published, its versions are in a run, where
    /// a look at the memory does not find them: then the look counts no more.
    pub fn look(&self, key: Key, mode: ReadMode) -> Result<Seen<M, P>> {
        let layers = self.layers();
        Ok(Seen {
            key,
            newest: layers.find(key, CommitTs::MAX, mode, &self.cache)?,
            active_delta_id: layers.active.id(),
            generation: layers.generation,
        })
    }

    /// Whether what a look saw, together with [`Index::newest_in_memory`], still tells the
    /// document's newest state: false once a delta that was active at or after the look has been
    /// published.
    pub fn is_still_valid(&self, seen: &Seen<M, P>) -> bool {
        self.layers.read().published_id < seen.active_delta_id
    }

    /// Whether no run was added or replaced since the look, so that its pointer is the current one.
    pub fn is_pointer_current(&self, seen: &Seen<M, P>) -> bool {
        self.layers.read().generation == seen.generation
    }

    /// What a reader at `at` sees of a document.
    ///
    /// The reader holds a snapshot at `at`, or is ready for `Pruned`. `WouldBlock` only in
    /// [`ReadMode::NoWait`].
    pub fn get(&self, key: Key, at: CommitTs, mode: ReadMode) -> Result<Lookup<M, P>> {
        lookup_of(self.layers().find(key, at, mode, &self.cache))
    }

    /// The first part of [`Index::get`], which needs no I/O.
    pub fn get_in_memory(&self, key: Key, at: CommitTs) -> Result<InMemory<M, P>> {
        let layers = self.layers();
        match layers.find_in_memory(key, at) {
            Ok(None) => Ok(InMemory::Below(Below::new(layers, key, at))),
            found => Ok(InMemory::Known {
                lookup: lookup_of(found)?,
                published_id: layers.published_id,
            }),
        }
    }

    /// Where exactly that version of a document is stored: a place that `is_there` accepts of those
    /// that runs know, also runs that were replaced. For a reader who found the version and then its
    /// file gone, since a compaction had moved it.
    pub fn stored(
        &self,
        key: Key,
        ts: CommitTs,
        mode: ReadMode,
        is_there: impl Fn(&P) -> bool,
    ) -> Result<Option<P>> {
        self.layers().stored(key, ts, mode, is_there)
    }

    /// A scan of `from..=to` as a reader at `at` sees it; as to `at` see [`Index::get`].
    pub fn scan(&self, from: Key, to: Key, direction: Direction, at: CommitTs) -> Scan {
        Scan::new(from, to, direction, at)
    }

    /// Puts a new delta in place of the active one, which is now frozen: it takes no more installs,
    /// and holds all that were made before. Its contents are to be written to a run; if that fails it
    /// stays frozen, and is readable, until a later attempt is published.
    pub fn freeze(&self) -> Result<Arc<Delta<M, P>>> {
        let mut layers = self.layers.write();
        if layers.frozen.is_some() {
            return Err(IndexError::AlreadyFrozen);
        }
        let mut next = Layers::clone(&layers);
        let IndexOptions {
            shards, hash_seed, ..
        } = self.options;
        let active = Arc::new(Delta::new(next.active.id() + 1, shards, hash_seed));
        let frozen = std::mem::replace(&mut next.active, active);
        next.frozen = Some(Arc::clone(&frozen));
        *layers = Arc::new(next);
        Ok(frozen)
    }

    /// The delta that is frozen and not published.
    pub fn frozen(&self) -> Option<Arc<Delta<M, P>>> {
        self.layers.read().frozen.clone()
    }

    /// The number of the delta that takes installs.
    pub fn active_delta_id(&self) -> u64 {
        self.layers.read().active.id()
    }

    /// Puts a durable run in place of the frozen delta: for each document in the delta it holds the
    /// newest version. `None` if the delta holds nothing that is to be kept. The delta is retired for
    /// readers below `bound`, the checkpoint's commit number.
    ///
    /// `BoundTooLow` if the delta holds commits above `bound`.
    pub fn publish(&self, new_run: Option<Arc<Run<P>>>, bound: CommitTs) -> Result<()> {
        let mut layers = self.layers.write();
        let Some(frozen) = layers.frozen.clone() else {
            return Err(IndexError::NothingFrozen);
        };
        check_bound(bound, frozen.max_ts())?;
        let mut next = Layers::clone(&layers);
        next.frozen = None;
        next.published_id = frozen.id();
        if let Some(run) = new_run {
            next.runs.insert(0, run);
            next.generation += 1;
        }
        if !frozen.is_empty() {
            next.retire(bound, RetiredLayer::Delta(frozen));
        }
        *layers = Arc::new(next);
        Ok(())
    }

    /// Puts a durable run, or nothing, in place of those with the numbers in `old`, which lie next
    /// to one another; it holds the newest version of each document in them that is to be kept. They
    /// are retired for readers below `bound`, which is not below their highest commit.
    ///
    /// With no `old`, the run is added as the newest: it holds versions that other runs hold, too,
    /// at another place (a relocation).
    pub fn replace_runs(
        &self,
        old: &[u64],
        new_run: Option<Arc<Run<P>>>,
        bound: CommitTs,
    ) -> Result<()> {
        let mut layers = self.layers.write();
        let mut next = Layers::clone(&layers);
        let numbers: Vec<_> = next.runs.iter().map(|run| run.identity().number).collect();
        let start = numbers
            .iter()
            .position(|number| old.contains(number))
            .unwrap_or(0);
        let end = start + old.len();
        let adjacent = numbers.get(start..end).unwrap_or_default();
        if let Some(&number) = old.iter().find(|number| !adjacent.contains(number)) {
            return Err(IndexError::NoSuchRun { number });
        }
        // A number given twice would take in a run that was not given.
        if let Some(&number) = adjacent.iter().find(|number| !old.contains(number)) {
            return Err(IndexError::NoSuchRun { number });
        }
        for run in &next.runs[start..end] {
            check_bound(bound, run.meta().max_ts)?;
        }
        let replaced: Vec<_> = next.runs.splice(start..end, new_run).collect();
        for run in replaced {
            next.retire(bound, RetiredLayer::Run(run));
        }
        next.generation += 1;
        *layers = Arc::new(next);
        Ok(())
    }

    /// Drops the replaced layers that nobody needs by `horizon`, and of those that transactions may
    /// have to find conflicts in, none. Returns how many are dropped, and the numbers of the runs among
    /// them, whose files nobody but readers that are under way needs any more.
    pub fn release_retired(&self, horizon: &Horizon) -> (usize, Vec<u64>) {
        let released = {
            let mut layers = self.layers.write();
            if !layers
                .retired
                .iter()
                .any(|retired| retired.is_free(horizon))
            {
                return (0, Vec::new());
            }
            let mut next = Layers::clone(&layers);
            let released = next.release(horizon);
            *layers = Arc::new(next);
            released
        };
        // Freed after the lock is.
        let runs = released.iter().filter_map(|retired| match &retired.layer {
            RetiredLayer::Run(run) => Some(run.identity().number),
            RetiredLayer::Delta(_) => None,
        });
        let runs: Vec<_> = runs.collect();
        self.cache.forget(&runs);
        (released.len(), runs)
    }

    /// The runs that are read, newest first, without the retired ones.
    pub fn runs(&self) -> Vec<Arc<Run<P>>> {
        self.layers.read().runs.clone()
    }

    /// Whether snapshots keep anything that was replaced.
    pub fn has_retired(&self) -> bool {
        !self.layers.read().retired.is_empty()
    }

    /// The runs that were replaced and that snapshots may still need.
    pub fn retired_runs(&self) -> Vec<Arc<Run<P>>> {
        let layers = self.layers();
        let runs = layers
            .retired
            .iter()
            .filter_map(|retired| match &retired.layer {
                RetiredLayer::Run(run) => Some(Arc::clone(run)),
                RetiredLayer::Delta(_) => None,
            });
        runs.collect()
    }

    /// Memory of deltas, bodies and fences, in bytes; an estimate.
    pub fn memory_bytes(&self) -> usize {
        self.stats().memory_bytes()
    }

    /// Memory of deltas and bodies and of what was replaced, as in [`Index::stats`], in bytes: what is
    /// asked for each commit.
    pub fn delta_bytes(&self) -> usize {
        let layers = self.layers.read();
        let deltas = std::iter::once(&layers.active).chain(&layers.frozen);
        let deltas: usize = deltas.map(|delta| delta.bytes()).sum();
        deltas + layers.retired_bytes()
    }

    /// The index's sizes.
    pub fn stats(&self) -> IndexStats {
        let layers = self.layers();
        let mut stats = IndexStats {
            active_keys: layers.active.len(),
            active_bytes: layers.active.bytes(),
            frozen_bytes: layers.frozen.as_ref().map_or(0, |delta| delta.bytes()),
            retired_layers: layers.retired.len(),
            runs: layers.runs.len(),
            ..IndexStats::default()
        };
        stats.retired_bytes = layers.retired_bytes();
        for run in &layers.runs {
            stats.run_entries += run.meta().entries;
            stats.run_bytes += run.memory_bytes();
        }
        stats
    }
}

pub(crate) fn lookup_of<M: Resident, P: Pointer>(
    found: Result<Option<Version<M, P>>>,
) -> Result<Lookup<M, P>> {
    match found {
        Ok(Some(version)) if version.is_live() => Ok(Lookup::Found(version)),
        Ok(_) => Ok(Lookup::Absent),
        Err(IndexError::Pruned { .. }) => Ok(Lookup::Pruned),
        Err(error) => Err(error),
    }
}

fn check_bound(bound: CommitTs, max_ts: CommitTs) -> Result<()> {
    if bound < max_ts {
        Err(IndexError::BoundTooLow { bound, max_ts })
    } else {
        Ok(())
    }
}

impl<M: Resident, P: Pointer> Layers<M, P> {
    /// Keeps a replaced layer. Bounds never go back, so that the list stays in order; a higher one
    /// only keeps the layer longer.
    fn retire(&mut self, bound: CommitTs, layer: RetiredLayer<M, P>) {
        self.retired_bound = self.retired_bound.max(bound);
        self.retired.push(Retired {
            bound: self.retired_bound,
            min_ts: match &layer {
                RetiredLayer::Delta(delta) => delta.min_ts(),
                RetiredLayer::Run(run) => run.meta().min_ts,
            },
            layer,
        });
    }
}

impl<M: Resident, P: Pointer> fmt::Debug for Index<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
