//! The versions of one document in a delta.

use std::collections::VecDeque;

use docdb_mvcc::CommitTs;

use crate::{Resident, Version};

/// The versions of one document that a delta holds.
#[derive(Debug)]
pub(super) struct Chain<M, P> {
    newest: Version<M, P>,
    /// Oldest first. Most documents have only one version, so that they pay one word for the others.
    older: Option<Box<Older<M, P>>>,
    /// Whether older versions were dropped. They were all older than the oldest that is left, and
    /// that one was at or below the bound of the pruning.
    pruned: bool,
}

#[derive(Debug)]
struct Older<M, P>(VecDeque<Version<M, P>>);

/// What a chain has for a reader.
pub(super) enum ChainGet<'a, M, P> {
    Found(&'a Version<M, P>),
    NotHere,
    Pruned,
}

impl<M: Resident, P: Copy> Chain<M, P> {
    pub(super) fn new(version: Version<M, P>) -> Self {
        Self {
            newest: version,
            older: None,
            pruned: false,
        }
    }

    pub(super) fn newest(&self) -> &Version<M, P> {
        &self.newest
    }

    pub(super) fn get(&self, at: CommitTs) -> ChainGet<'_, M, P> {
        if self.newest.ts <= at {
            return ChainGet::Found(&self.newest);
        }
        if let Some(older) = &self.older {
            let after = older.0.partition_point(|version| version.ts <= at);
            if let Some(version) = after.checked_sub(1).and_then(|i| older.0.get(i)) {
                return ChainGet::Found(version);
            }
        }
        if self.pruned {
            ChainGet::Pruned
        } else {
            ChainGet::NotHere
        }
    }

    /// Makes `version` the newest. One with the same commit is replaced: a commit that writes a
    /// document twice leaves one version, and replaying it again changes nothing.
    pub(super) fn push(&mut self, version: Version<M, P>) {
        debug_assert!(
            version.ts >= self.newest.ts,
            "versions are installed in commit order"
        );
        let superseded = std::mem::replace(&mut self.newest, version);
        if superseded.ts < self.newest.ts {
            let older = self
                .older
                .get_or_insert_with(|| Box::new(Older(VecDeque::new())));
            older.0.push_back(superseded);
        }
    }

    /// Drops the versions older than the newest one at or below `below`.
    pub(super) fn prune(&mut self, below: CommitTs) {
        let Some(older) = &mut self.older else { return };
        let dropped = if self.newest.ts <= below {
            older.0.len()
        } else {
            older
                .0
                .partition_point(|version| version.ts <= below)
                .saturating_sub(1)
        };
        if dropped > 0 {
            older.0.drain(..dropped);
            self.pruned = true;
        }
        if older.0.is_empty() {
            self.older = None;
        }
    }

    /// The memory beyond the chain itself, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let older = self.older.as_ref().map_or(0, |older| {
            size_of::<Older<M, P>>()
                + older.0.capacity() * size_of::<Version<M, P>>()
                + older.0.iter().map(Version::memory_bytes).sum::<usize>()
        });
        self.newest.memory_bytes() + older
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Place;

    type Body = Arc<[u8]>;

    fn version(ts: u64) -> Version<Body, ()> {
        Version {
            ts: CommitTs(ts),
            place: Place::Stored(()),
        }
    }

    fn seen(chain: &Chain<Body, ()>, at: u64) -> Option<u64> {
        match chain.get(CommitTs(at)) {
            ChainGet::Found(version) => Some(version.ts.0),
            ChainGet::NotHere => Some(0),
            ChainGet::Pruned => None,
        }
    }

    #[test]
    fn pruning_keeps_what_the_bound_sees() {
        let mut chain = Chain::new(version(2));
        for ts in [4, 6, 8] {
            chain.push(version(ts));
        }
        assert_eq!(
            [1, 2, 5, 8, 99].map(|at| seen(&chain, at)),
            [0, 2, 4, 8, 8].map(Some)
        );
        chain.prune(CommitTs(1));
        chain.prune(CommitTs(3));
        assert_eq!(seen(&chain, 1), Some(0), "nothing was dropped");
        chain.prune(CommitTs(7));
        assert_eq!([1, 5].map(|at| seen(&chain, at)), [None, None]);
        assert_eq!([6, 7, 8].map(|at| seen(&chain, at)), [6, 6, 8].map(Some));
        chain.prune(CommitTs(8));
        assert_eq!([7, 8].map(|at| seen(&chain, at)), [None, Some(8)]);
        assert!(chain.older.is_none());
    }

    #[test]
    fn the_same_commit_replaces_its_version() {
        let mut chain = Chain::new(version(2));
        chain.push(Version {
            ts: CommitTs(2),
            place: Place::Deleted,
        });
        assert!(chain.older.is_none() && !chain.newest().is_live());
    }
}
