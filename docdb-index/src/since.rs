//! What was committed since a transaction's snapshot.
//!
//! A transaction has lost to a commit above its number that it wrote or read beside. Deletions count,
//! also those that a merge has dropped since: what was replaced since the transaction began is kept
//! as retired, whole, as long as [`Horizon::conflicts_from`](docdb_mvcc::Horizon::conflicts_from) is
//! at or below its number. So the highest version of a document over the layers that are read and
//! those retired ones is its newest, deletions included. Layers without a commit above the number
//! have nothing to say, and are not read: as long as no checkpoint comes between, all is in memory.

use docdb_mvcc::CommitTs;

use crate::layers::{Layers, RetiredLayer};
use crate::{
    Delta, Direction, Index, Key, Pointer, ReadMode, Resident, Result, Run, Seen, Version,
};

/// Documents that are looked at in one step of a range.
const STEP_ITEMS: usize = 1024;

/// A layer that may have something newer.
enum Layer<'a, M, P> {
    Delta(&'a Delta<M, P>),
    Run(&'a Run<P>),
}

impl<M: Resident, P: Pointer> Layers<M, P> {
    /// The layers with a commit above `since`, for a transaction that reads there.
    fn layers_since(&self, since: CommitTs) -> impl Iterator<Item = Layer<'_, M, P>> {
        let deltas = std::iter::once(&self.active).chain(&self.frozen);
        let deltas = deltas.map(|delta| Layer::Delta(delta.as_ref()));
        let runs = self.runs.iter().map(|run| Layer::Run(run.as_ref()));
        let retired = self.retired_for(since).map(|layer| match layer {
            RetiredLayer::Delta(delta) => Layer::Delta(delta.as_ref()),
            RetiredLayer::Run(run) => Layer::Run(run.as_ref()),
        });
        let all = deltas.chain(runs).chain(retired);
        all.filter(move |layer| match layer {
            Layer::Delta(delta) => delta.max_ts() > since,
            Layer::Run(run) => run.meta().max_ts > since,
        })
    }
}

/// How far a search in a range has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Searched {
    /// A document of the range was committed in this version.
    Found(Key, CommitTs),
    /// Nothing up to and including this key; go on behind it.
    Through(Key),
    /// Nothing in the whole range.
    Nothing,
}

impl<M: Resident, P: Pointer> Index<M, P> {
    /// As [`Index::look`], and a deletion above `since` is seen even if it was dropped meanwhile. The
    /// caller holds a transaction's number at `since`.
    pub fn look_since(&self, key: Key, since: CommitTs, mode: ReadMode) -> Result<Seen<M, P>> {
        let layers = self.layers();
        layers.check_kept(since)?;
        let mut newest = layers.find(key, CommitTs::MAX, mode, &self.cache)?;
        if newest.as_ref().is_none_or(|version| version.ts <= since)
            && let Some(ts) = newest_since(&layers, key, since, self, mode)?
        {
            let place = crate::Place::Deleted;
            newest = Some(Version { ts, place });
        }
        Ok(Seen {
            key,
            newest,
            active_delta_id: layers.active.id(),
            generation: layers.generation,
        })
    }

    /// The newest version of a document above `since`, deletions included. The caller holds a
    /// transaction's number at `since`. Versions that are installed meanwhile may be missed.
    pub fn newest_since(
        &self,
        key: Key,
        since: CommitTs,
        mode: ReadMode,
    ) -> Result<Option<CommitTs>> {
        let layers = self.layers();
        layers.check_kept(since)?;
        newest_since(&layers, key, since, self, mode)
    }

    /// Looks for a document in `from..=to` that has a version above `since`, deletions included; a
    /// step of the way. The caller holds a transaction's number at `since`. Versions that are
    /// installed meanwhile may be missed.
    pub fn search_since(
        &self,
        from: Key,
        to: Key,
        since: CommitTs,
        mode: ReadMode,
    ) -> Result<Searched> {
        let layers = self.layers();
        layers.check_kept(since)?;
        let (mut end, mut is_all) = (to, true);
        for layer in layers.layers_since(since) {
            let (found, complete_through) = match layer {
                Layer::Delta(delta) => {
                    let at = CommitTs::MAX;
                    let chunk = delta.chunk(from, end, Direction::Ascending, at, STEP_ITEMS)?;
                    let mut newer = chunk.items.into_iter().map(|(key, v)| (key, v.ts));
                    (newer.find(|(_, ts)| *ts > since), chunk.complete_through)
                }
                Layer::Run(run) => {
                    let chunk = run.chunk_cached(
                        from,
                        end,
                        Direction::Ascending,
                        STEP_ITEMS,
                        mode,
                        &self.cache,
                    )?;
                    let mut newer = chunk.items.into_iter().map(|entry| (entry.key, entry.ts));
                    (newer.find(|(_, ts)| *ts > since), chunk.complete_through)
                }
            };
            if let Some((key, ts)) = found {
                return Ok(Searched::Found(key, ts));
            }
            if let Some(through) = complete_through {
                // The other layers need not be read further for now.
                (end, is_all) = (through, false);
            }
        }
        Ok(if is_all {
            Searched::Nothing
        } else {
            Searched::Through(end)
        })
    }
}

fn newest_since<M: Resident, P: Pointer>(
    layers: &Layers<M, P>,
    key: Key,
    since: CommitTs,
    index: &Index<M, P>,
    mode: ReadMode,
) -> Result<Option<CommitTs>> {
    let mut newest = None;
    for layer in layers.layers_since(since) {
        let ts = match layer {
            Layer::Delta(delta) => delta.newest(key).map(|(ts, _)| ts),
            Layer::Run(run) if Some(run.meta().max_ts) <= newest => None,
            Layer::Run(run) => {
                let found = run.get_cached(key, mode, &index.cache, true)?;
                found.map(|(ts, _)| ts)
            }
        };
        newest = newest.max(ts.filter(|ts| *ts > since));
    }
    Ok(newest)
}
