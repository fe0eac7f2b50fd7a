//! A lookup in two parts, so that a cache of the caller's can stand between the memory and the runs.

use std::fmt;
use std::sync::Arc;

use docdb_mvcc::CommitTs;

use crate::index::lookup_of;
use crate::layers::Layers;
use crate::{BlockCache, Key, Lookup, Pointer, ReadMode, Resident, Result};

/// What the memory says of a document.
#[derive(Debug)]
pub enum InMemory<M, P> {
    /// That is what the reader sees.
    Known {
        /// It.
        lookup: Lookup<M, P>,
        /// As [`Below::published_id`].
        published_id: u64,
    },
    /// Nothing: the runs know.
    Below(Below<M, P>),
}

/// The rest of a lookup that found nothing in memory.
///
/// What is newest in the runs changes only when a delta is published. So a cache may answer in their
/// place with the newest version that they hold, if that is not above [`Below::at`], and if for every
/// publication, in this order, (1) it refuses from then on what was looked up before it, as
/// [`Below::published_id`] tells, (2) it gives up what it has of the delta's documents, (3) the delta
/// is published.
pub struct Below<M, P> {
    layers: Arc<Layers<M, P>>,
    key: Key,
    at: CommitTs,
}

impl<M: Resident, P: Pointer> Below<M, P> {
    pub(crate) fn new(layers: Arc<Layers<M, P>>, key: Key, at: CommitTs) -> Below<M, P> {
        Below { layers, key, at }
    }

    /// The commit number of the reader.
    pub fn at(&self) -> CommitTs {
        self.at
    }

    /// The number of the delta that had been published last when the lookup began; zero if none had.
    pub fn published_id(&self) -> u64 {
        self.layers.published_id
    }

    /// Whether what [`Below::get`] finds is the newest version in the runs: the reader is not below
    /// any of them.
    pub fn sees_newest(&self) -> bool {
        self.at >= self.layers.retired_bound
    }

    /// What the reader sees; as [`Index::get`](crate::Index::get), whose cache of pages is asked.
    pub fn get(&self, mode: ReadMode, cache: &BlockCache) -> Result<Lookup<M, P>> {
        lookup_of(self.layers.find_below(self.key, self.at, mode, cache))
    }
}

impl<M, P> fmt::Debug for Below<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Below")
            .field("key", &self.key)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
