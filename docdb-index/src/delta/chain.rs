//! The versions of one document in a delta.

use std::collections::VecDeque;

use docdb_mvcc::{CommitTs, Horizon};

use crate::{Resident, Version};

/// The versions of one document that a delta holds.
#[derive(Debug)]
pub(super) struct Chain<M, P> {
    newest: Version<M, P>,
    /// Oldest first. Most documents have only one version, so that they pay one word for the others.
    older: Option<Box<Older<M, P>>>,
    /// The lowest version that was dropped from before the oldest that is left; [`CommitTs::MAX`] if
    /// none was. Readers below it never saw anything here.
    pruned_from: CommitTs,
}

/// How many superseded versions are not worth a look at each of them.
const SWEEP_MIN: usize = 4;

#[derive(Debug)]
struct Older<M, P> {
    versions: VecDeque<Superseded<M, P>>,
    /// At so many versions each of them is looked at: twice what the last look left, so that a
    /// version is looked at a bounded number of times.
    sweep_at: usize,
}

#[derive(Debug)]
struct Superseded<M, P> {
    version: Version<M, P>,
    /// The commit that superseded it: it is what readers below that see. That version may be dropped
    /// already.
    until: CommitTs,
}

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
            pruned_from: CommitTs::MAX,
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
            let after = older.versions.partition_point(|old| old.version.ts <= at);
            if let Some(old) = after.checked_sub(1).and_then(|i| older.versions.get(i)) {
                return if at < old.until {
                    ChainGet::Found(&old.version)
                } else {
                    ChainGet::Pruned
                };
            }
        }
        if self.pruned_from <= at {
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
            let older = self.older.get_or_insert_with(|| {
                Box::new(Older {
                    versions: VecDeque::new(),
                    sweep_at: SWEEP_MIN,
                })
            });
            older.versions.push_back(Superseded {
                version: superseded,
                until: self.newest.ts,
            });
        }
    }

    /// Drops versions that nobody needs: all those that the oldest reader is past, and those between
    /// readers as soon as there are as many as those that were needed.
    pub(super) fn prune(&mut self, horizon: &Horizon) {
        let Some(older) = &mut self.older else { return };
        let oldest = horizon.oldest();
        let passed = older.versions.partition_point(|old| old.until <= oldest);
        let lowest = older.versions.front().map(|old| old.version.ts);
        older.versions.drain(..passed);
        if older.versions.len() >= older.sweep_at {
            let is_needed = |old: &Superseded<M, P>| horizon.needs(old.version.ts, old.until);
            older.versions.retain(is_needed);
            older.sweep_at = SWEEP_MIN.max(older.versions.len() * 2);
        }
        let left = older.versions.front().map(|old| old.version.ts);
        if let Some(lowest) = lowest
            && left != Some(lowest)
        {
            self.pruned_from = self.pruned_from.min(lowest);
        }
        if left.is_none() {
            self.older = None;
        }
    }

    /// The memory beyond the chain itself, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let older = self.older.as_ref().map_or(0, |older| {
            size_of::<Older<M, P>>()
                + older.versions.capacity() * size_of::<Superseded<M, P>>()
                + older
                    .versions
                    .iter()
                    .map(|old| old.version.memory_bytes())
                    .sum::<usize>()
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
        chain.prune(&CommitTs(1).into());
        chain.prune(&CommitTs(3).into());
        assert_eq!(seen(&chain, 1), Some(0), "nothing was dropped");
        chain.prune(&CommitTs(7).into());
        assert_eq!([1, 2, 5].map(|at| seen(&chain, at)), [Some(0), None, None]);
        assert_eq!([6, 7, 8].map(|at| seen(&chain, at)), [6, 6, 8].map(Some));
        chain.prune(&CommitTs(8).into());
        assert_eq!([7, 8].map(|at| seen(&chain, at)), [None, Some(8)]);
        assert!(chain.older.is_none());
    }

    /// A reader at 3 stays; readers come and go at the newest version.
    #[test]
    fn versions_between_two_readers_go() {
        let registry = docdb_mvcc::SnapshotRegistry::new();
        let long = registry.register(std::time::Duration::ZERO, || CommitTs(3));
        let mut chain = Chain::new(version(2));
        let mut most = 0;
        for ts in 4..1_000 {
            let short = registry.register(std::time::Duration::ZERO, || CommitTs(ts - 1));
            chain.push(version(ts));
            chain.prune(&registry.horizon(|| CommitTs(ts)));
            most = most.max(chain.older.as_ref().map_or(0, |older| older.versions.len()));
            assert_eq!(seen(&chain, 3), Some(2), "the long reader, after {ts}");
            assert_eq!(seen(&chain, ts - 1), Some(if ts == 4 { 2 } else { ts - 1 }));
            assert_eq!(seen(&chain, ts), Some(ts));
            // Who holds nothing is told the truth, or that it is gone; never an older version.
            for at in [5, ts / 2].into_iter().filter(|at| (4..ts).contains(at)) {
                assert!([None, Some(at)].contains(&seen(&chain, at)), "{at} of {ts}");
            }
            drop(short);
        }
        assert!(most <= 2 * SWEEP_MIN, "{most} versions for two readers");
        drop(long);
        chain.push(version(1_000));
        chain.prune(&registry.horizon(|| CommitTs(1_000)));
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
