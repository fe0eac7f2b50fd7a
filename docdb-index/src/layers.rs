//! The layers of an index, and what a reader sees through them.
//!
//! # Why a reader sees the right version
//!
//! Every layer holds true versions: what it says of a document was committed at that number. So
//! among the layers that are asked the highest version at or below the reader's number is right if
//! that version is among them, or if it is a deletion that was dropped and nothing older is.
//!
//! A layer is replaced in one of two ways. A frozen delta is replaced by a run that holds, for each
//! document in it, the newest version up to a bound which no version in the delta exceeds. Runs are
//! replaced by a merged one that holds the newest version of each document in them, none above the
//! bound. A reader at or above the bound finds in the replacement all that it would have found, as
//! only the newest version matters to it. A reader below the bound asks the replaced layers as well,
//! which are kept as *retired* until no snapshot is that old. Layers that were replaced at a bound
//! at or below the reader's number are not asked: if their replacement dropped a deletion, what is
//! older was in layers that were replaced along with it, at the same bound, or before, at no higher
//! one; and whoever asks those asks all that were replaced later, and finds the deletion there.
//!
//! Bounds never go back, and what is released is what has the lowest bounds, or what nobody who
//! reads below its bound can see, because all its versions are above their numbers. Such a reader
//! asks what is left, and misses nothing: a version that it sees, a deletion included, is in a layer
//! that has a version at or below its number, and is kept. A reader below a released bound, or
//! between the lowest version and the bound of a layer that was released so, is told (`Pruned`).
//!
//! Among equal versions, which are the same version in two places, the newer layer's place is
//! taken: it was written by a relocation. Of layers that were replaced one may be met first that
//! knows only the old place. If that is gone, [`Layers::stored`] finds the other.

use std::sync::Arc;

use docdb_mvcc::{CommitTs, Horizon};

use crate::{
    BlockCache, Delta, DeltaGet, IndexError, Key, Place, Pointer, ReadMode, Resident, Result, Run,
    Version,
};

/// The layers at one moment. Never changed; an index swaps in new ones.
pub(crate) struct Layers<M, P> {
    /// Takes installs. All its versions are above those of the other layers, or equal to one.
    pub(crate) active: Arc<Delta<M, P>>,
    /// Being written to a run. All its versions are above those of the runs, or equal to one.
    pub(crate) frozen: Option<Arc<Delta<M, P>>>,
    /// Newest first.
    pub(crate) runs: Vec<Arc<Run<P>>>,
    /// Replaced, in order of their bounds, lowest first.
    pub(crate) retired: Vec<Retired<M, P>>,
    /// The highest bound of a layer that was replaced.
    pub(crate) retired_bound: CommitTs,
    /// Readers below this may miss versions that are gone.
    pub(crate) released_bound: CommitTs,
    /// So may readers from the first of these numbers on and below the second. Ascending, disjoint,
    /// above `released_bound`, and no more than there are readers that lie between them.
    pub(crate) gaps: Vec<(CommitTs, CommitTs)>,
    /// The id of the last delta whose contents have left memory for a run; zero if none has.
    pub(crate) published_id: u64,
    /// Grows when runs are added or replaced, which may move what a pointer points to.
    pub(crate) generation: u64,
}

/// A layer that was replaced, and the number from which readers do without it.
pub(crate) struct Retired<M, P> {
    pub(crate) bound: CommitTs,
    /// Its lowest version.
    pub(crate) min_ts: CommitTs,
    pub(crate) layer: RetiredLayer<M, P>,
}

impl<M, P> Retired<M, P> {
    pub(crate) fn is_free(&self, horizon: &Horizon) -> bool {
        self.bound <= horizon.conflicts_from() && !horizon.needs(self.min_ts, self.bound)
    }
}

pub(crate) enum RetiredLayer<M, P> {
    Delta(Arc<Delta<M, P>>),
    Run(Arc<Run<P>>),
}

impl<M, P> Clone for Layers<M, P> {
    fn clone(&self) -> Self {
        Self {
            active: Arc::clone(&self.active),
            frozen: self.frozen.clone(),
            runs: self.runs.clone(),
            retired: self.retired.clone(),
            gaps: self.gaps.clone(),
            ..*self
        }
    }
}

impl<M, P> Clone for Retired<M, P> {
    fn clone(&self) -> Self {
        let layer = match &self.layer {
            RetiredLayer::Delta(delta) => RetiredLayer::Delta(Arc::clone(delta)),
            RetiredLayer::Run(run) => RetiredLayer::Run(Arc::clone(run)),
        };
        Self {
            bound: self.bound,
            min_ts: self.min_ts,
            layer,
        }
    }
}

impl<M: Resident, P: Pointer> Layers<M, P> {
    pub(crate) fn check_kept(&self, at: CommitTs) -> Result<()> {
        let is_gone = |gap: &(CommitTs, CommitTs)| gap.0 <= at && at < gap.1;
        if at < self.released_bound || self.gaps.iter().any(is_gone) {
            Err(IndexError::Pruned { at })
        } else {
            Ok(())
        }
    }

    /// Memory of what was replaced, in bytes.
    pub(crate) fn retired_bytes(&self) -> usize {
        let bytes = self.retired.iter().map(|retired| match &retired.layer {
            RetiredLayer::Delta(delta) => delta.bytes(),
            RetiredLayer::Run(run) => run.memory_bytes(),
        });
        bytes.sum()
    }

    /// Takes out the retired layers that nobody needs.
    pub(crate) fn release(&mut self, horizon: &Horizon) -> Vec<Retired<M, P>> {
        let is_free = |retired: &mut Retired<M, P>| retired.is_free(horizon);
        let released: Vec<_> = self.retired.extract_if(.., is_free).collect();
        let oldest = horizon.oldest();
        for retired in &released {
            if retired.bound <= oldest {
                self.released_bound = self.released_bound.max(retired.bound);
            } else if retired.min_ts < retired.bound {
                self.gaps.push((retired.min_ts, retired.bound));
            }
        }
        self.gaps.retain(|gap| gap.1 > self.released_bound);
        self.gaps.sort_unstable();
        // Where nobody reads between two gaps, they may as well be one.
        self.gaps.dedup_by(|next, gap| {
            let is_one = !horizon.needs(gap.1, next.0);
            if is_one {
                gap.1 = gap.1.max(next.1);
            }
            is_one
        });
        released
    }

    /// The retired layers that a reader at `at` needs.
    pub(crate) fn retired_for(&self, at: CommitTs) -> impl Iterator<Item = &RetiredLayer<M, P>> {
        let needed = self.retired.partition_point(|retired| retired.bound <= at);
        self.retired[needed..].iter().map(|retired| &retired.layer)
    }

    /// The newest version at or below `at`, deletions included.
    pub(crate) fn find(
        &self,
        key: Key,
        at: CommitTs,
        mode: ReadMode,
        cache: &BlockCache,
    ) -> Result<Option<Version<M, P>>> {
        match self.find_in_memory(key, at)? {
            Some(version) => Ok(Some(version)),
            None => self.find_below(key, at, mode, cache),
        }
    }

    /// What the deltas know, without I/O; if that is nothing, [`Layers::find_below`] goes on.
    pub(crate) fn find_in_memory(&self, key: Key, at: CommitTs) -> Result<Option<Version<M, P>>> {
        self.check_kept(at)?;
        for delta in std::iter::once(&self.active).chain(&self.frozen) {
            match delta.get(key, at) {
                DeltaGet::Found(version) => return Ok(Some(version)),
                DeltaGet::NotHere => {}
                DeltaGet::Pruned => return Err(IndexError::Pruned { at }),
            }
        }
        Ok(None)
    }

    /// What the runs know, and the layers that they replaced.
    pub(crate) fn find_below(
        &self,
        key: Key,
        at: CommitTs,
        mode: ReadMode,
        cache: &BlockCache,
    ) -> Result<Option<Version<M, P>>> {
        let mut best = None;
        let is_one_of_many = self.runs.len() > 1;
        for run in &self.runs {
            better_from_run(run, key, at, mode, cache, is_one_of_many, &mut best)?;
        }
        for layer in self.retired_for(at) {
            match layer {
                RetiredLayer::Run(run) => {
                    better_from_run(run, key, at, mode, cache, true, &mut best)?
                }
                RetiredLayer::Delta(delta) => match delta.get(key, at) {
                    DeltaGet::Found(version) if is_better(version.ts, &best) => {
                        best = Some(version);
                    }
                    DeltaGet::Found(_) | DeltaGet::NotHere => {}
                    DeltaGet::Pruned => return Err(IndexError::Pruned { at }),
                },
            }
        }
        Ok(best)
    }

    /// A place of exactly this version that is accepted, among the runs, replaced ones included.
    pub(crate) fn stored(
        &self,
        key: Key,
        ts: CommitTs,
        mode: ReadMode,
        is_there: impl Fn(&P) -> bool,
    ) -> Result<Option<P>> {
        let retired = self
            .retired
            .iter()
            .filter_map(|retired| match &retired.layer {
                RetiredLayer::Run(run) => Some(run),
                RetiredLayer::Delta(_) => None,
            });
        for run in self.runs.iter().chain(retired) {
            let meta = run.meta();
            if meta.min_ts <= ts
                && ts <= meta.max_ts
                && let Some((found, Some(pointer))) = run.get(key, mode)?
                && found == ts
                && is_there(&pointer)
            {
                return Ok(Some(pointer));
            }
        }
        Ok(None)
    }
}

fn is_better<M, P>(ts: CommitTs, best: &Option<Version<M, P>>) -> bool {
    best.as_ref().is_none_or(|best| ts > best.ts)
}

/// Takes what the run has of the document if it is better than `best`. A run in which nothing can be
/// is not read: the usual older run, once a newer one had the document, costs nothing.
fn better_from_run<M, P: Pointer>(
    run: &Run<P>,
    key: Key,
    at: CommitTs,
    mode: ReadMode,
    cache: &BlockCache,
    is_unlikely: bool,
    best: &mut Option<Version<M, P>>,
) -> Result<()> {
    let meta = run.meta();
    if meta.min_ts > at || !is_better(meta.max_ts, best) {
        return Ok(());
    }
    if let Some((ts, pointer)) = run.get_cached(key, mode, cache, is_unlikely)?
        && ts <= at
        && is_better(ts, best)
    {
        *best = Some(Version {
            ts,
            place: place_of(pointer),
        });
    }
    Ok(())
}

/// The place that a run's entry names.
pub(crate) fn place_of<M, P>(pointer: Option<P>) -> Place<M, P> {
    pointer.map_or(Place::Deleted, Place::Stored)
}
