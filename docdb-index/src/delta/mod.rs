//! The versions that were committed since the last checkpoint, in memory.

mod block;
mod chain;
mod chunk;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ahash::RandomState;
use docdb_mvcc::{CommitTs, Horizon};
use parking_lot::RwLock;

use crate::key::BlockKey;
use crate::{Key, Place, Pointer, Resident, Version};
use block::Block;
use chain::ChainGet;

pub use chunk::{DeltaChunk, SortedNewest};

/// How many shards a delta has unless told otherwise.
pub const DEFAULT_SHARDS: usize = 256;
/// Most shards of a delta.
pub(crate) const SHARDS_MAX: usize = 1 << 16;

/// What a map entry and an allocation cost beyond their contents, in bytes; an estimate.
const BLOCK_OVERHEAD_BYTES: usize = 48;

type Shard<M, P> = BTreeMap<BlockKey, Block<M, P>>;

/// What a delta has for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeltaGet<M, P> {
    /// The newest version at or below the reader's number; it may be a deletion.
    Found(Version<M, P>),
    /// Nothing at or below the reader's number was ever here: older layers know.
    NotHere,
    /// What the reader should see was here and was dropped: its number was held by no snapshot, and
    /// it must take a newer one. Older layers must not be asked, what they hold was superseded.
    Pruned,
}

/// The versions that were committed since the last checkpoint.
///
/// Blocks of 256 consecutive ids are spread over shards by a hash; a shard keeps its blocks in
/// order. So writers of different documents rarely meet, ids that follow one another lie together,
/// and a range is merged from shards that are sorted already.
///
/// Installs are serialised by the caller, in commit order. Reads run beside them, and see of a
/// commit that is being installed any part: they ask at a commit number below it.
pub struct Delta<M, P> {
    id: u64,
    shards: Box<[RwLock<Shard<M, P>>]>,
    hasher: RandomState,
    keys: AtomicUsize,
    blocks: AtomicUsize,
    bytes: AtomicUsize,
    min_ts: AtomicU64,
    max_ts: AtomicU64,
}

impl<M: Resident, P: Pointer> Delta<M, P> {
    /// An empty delta. The number of shards is rounded up to a power of two, at most 65,536; `seed`
    /// decides which ids share one.
    pub fn new(id: u64, shards: usize, seed: u64) -> Self {
        let shards = shards.clamp(1, SHARDS_MAX).next_power_of_two();
        Self {
            id,
            shards: (0..shards).map(|_| RwLock::new(BTreeMap::new())).collect(),
            hasher: RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 0x1dea),
            keys: AtomicUsize::new(0),
            blocks: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            min_ts: AtomicU64::new(u64::MAX),
            max_ts: AtomicU64::new(0),
        }
    }

    /// The delta's number: it grows with each freeze of an index.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Documents that have a version here, deleted ones included.
    pub fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Whether nothing was ever installed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that versions and bodies take, in bytes; an estimate.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The lowest commit that was installed; [`CommitTs::MAX`] if none was.
    pub fn min_ts(&self) -> CommitTs {
        CommitTs(self.min_ts.load(Ordering::Acquire))
    }

    /// The highest commit that was installed; zero if none was.
    pub fn max_ts(&self) -> CommitTs {
        CommitTs(self.max_ts.load(Ordering::Acquire))
    }

    fn shard(&self, block: BlockKey) -> &RwLock<Shard<M, P>> {
        let hash = self.hasher.hash_one(block);
        &self.shards[hash as usize & (self.shards.len() - 1)]
    }

    /// Installs a document's new version, then drops versions of it that nobody needs by `horizon`.
    /// `ts` is not below any that was installed; the same one again replaces its version.
    pub fn install(&self, key: Key, ts: CommitTs, place: Place<M, P>, horizon: &Horizon) {
        let block_key = key.block();
        let mut is_new_block = false;
        let growth = {
            let mut shard = self.shard(block_key).write();
            let block = shard.entry(block_key).or_insert_with(|| {
                is_new_block = true;
                Block::new()
            });
            block.install(key.slot(), Version { ts, place }, horizon)
        };
        let overhead = if is_new_block {
            size_of::<Block<M, P>>() + BLOCK_OVERHEAD_BYTES
        } else {
            0
        };
        self.bytes
            .fetch_add(growth.bytes_after + overhead, Ordering::Relaxed);
        self.bytes.fetch_sub(growth.bytes_before, Ordering::Relaxed);
        self.keys
            .fetch_add(usize::from(growth.is_new_key), Ordering::Relaxed);
        self.blocks
            .fetch_add(usize::from(is_new_block), Ordering::Relaxed);
        if is_new_block {
            // Commits come in order, and the first one made a block.
            self.min_ts.fetch_min(ts.0, Ordering::AcqRel);
        }
        self.max_ts.fetch_max(ts.0, Ordering::AcqRel);
    }

    /// Gives out every document that has a version here, in no order.
    pub fn for_each_key(&self, mut each: impl FnMut(Key)) {
        for shard in &self.shards {
            for (block_key, block) in shard.read().iter() {
                block.slots().for_each(|slot| each(block_key.key(slot)));
            }
        }
    }

    /// The document's newest version here: its commit, and whether it is a document rather than a
    /// deletion.
    pub fn newest(&self, key: Key) -> Option<(CommitTs, bool)> {
        let shard = self.shard(key.block()).read();
        let newest = shard.get(&key.block())?.chain(key.slot())?.newest();
        Some((newest.ts, newest.is_live()))
    }

    /// The document's newest version here at or below `at`.
    pub fn get(&self, key: Key, at: CommitTs) -> DeltaGet<M, P> {
        // What a reader may see was installed, and counted, before it got its number.
        if self.is_empty() {
            return DeltaGet::NotHere;
        }
        let shard = self.shard(key.block()).read();
        let Some(chain) = shard
            .get(&key.block())
            .and_then(|block| block.chain(key.slot()))
        else {
            return DeltaGet::NotHere;
        };
        match chain.get(at) {
            ChainGet::Found(version) => DeltaGet::Found(version.clone()),
            ChainGet::NotHere => DeltaGet::NotHere,
            ChainGet::Pruned => DeltaGet::Pruned,
        }
    }
}

impl<M, P> fmt::Debug for Delta<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delta")
            .field("id", &self.id)
            .field("shards", &self.shards.len())
            .field("keys", &self.keys)
            .field("bytes", &self.bytes)
            .field("max_ts", &self.max_ts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
