//! Ordered reading of a delta, a chunk at a time.

use docdb_mvcc::CommitTs;

use super::chain::ChainGet;
use super::{Delta, Shard};
use crate::key::BlockKey;
use crate::{Direction, IndexError, Key, Pointer, Resident, Result, Version};

/// A part of a range, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaChunk<M, P> {
    /// The documents that have a version at or below the reader's number here, deletions included.
    pub items: Vec<(Key, Version<M, P>)>,
    /// The last key in scan order up to which `items` are all there are; `None` if that is the whole
    /// range. Otherwise at least the first key of the range is covered, so that a reader that goes
    /// on after it gets to the end.
    pub complete_through: Option<Key>,
}

/// The blocks that a chunk has to look at.
struct Blocks {
    /// In scan order.
    keys: Vec<BlockKey>,
    /// The last block in scan order up to which `keys` are all there are; `None` if that is all.
    complete_through: Option<BlockKey>,
}

impl<M: Resident, P: Pointer> Delta<M, P> {
    /// The beginning of `from..=to` in this direction, as a reader at `at` sees it: about
    /// `items_max` items, and never more. `Pruned` as in [`Delta::get`].
    ///
    /// Why it is complete as far as it says: each shard names its first blocks of the range, up to a
    /// quota. A shard that has more says nothing of what comes after its last; so the blocks that
    /// were named are all there are up to the first, in scan order, of these last blocks. Only those
    /// are read. Blocks that appear meanwhile hold commits above `at`.
    pub fn chunk(
        &self,
        from: Key,
        to: Key,
        direction: Direction,
        at: CommitTs,
        items_max: usize,
    ) -> Result<DeltaChunk<M, P>> {
        let mut chunk = DeltaChunk {
            items: Vec::new(),
            complete_through: None,
        };
        if from > to || self.is_empty() {
            return Ok(chunk);
        }
        let items_max = items_max.max(1);
        let blocks = self.blocks(from, to, direction, items_max);
        for block_key in blocks.keys {
            if chunk.items.len() >= items_max {
                chunk.complete_through = chunk.items.last().map(|(key, _)| *key);
                return Ok(chunk);
            }
            let shard = self.shard(block_key).read();
            let Some(block) = shard.get(&block_key) else {
                continue;
            };
            let first = if block_key == from.block() {
                from.slot()
            } else {
                0
            };
            let last = if block_key == to.block() {
                to.slot()
            } else {
                u8::MAX
            };
            let mut ascending = block.range(first, last);
            while let Some((slot, chain)) = match direction {
                Direction::Ascending => ascending.next(),
                Direction::Descending => ascending.next_back(),
            } {
                match chain.get(at) {
                    ChainGet::Found(version) => {
                        chunk.items.push((block_key.key(slot), version.clone()));
                    }
                    ChainGet::NotHere => {}
                    ChainGet::Pruned => return Err(IndexError::Pruned { at }),
                }
                if chunk.items.len() >= items_max {
                    break;
                }
            }
        }
        if chunk.items.len() >= items_max {
            chunk.complete_through = chunk.items.last().map(|(key, _)| *key);
        } else if let Some(block) = blocks.complete_through {
            let end = match direction {
                Direction::Ascending => block.last(),
                Direction::Descending => block.first(),
            };
            let (_, last) = direction.ends(from, to);
            chunk.complete_through = direction.is_before(end, last).then_some(end);
        }
        Ok(chunk)
    }

    fn blocks(&self, from: Key, to: Key, direction: Direction, items_max: usize) -> Blocks {
        let (low, high) = (from.block(), to.block());
        if low.collection == high.collection && high.block - low.block < self.shards.len() as u64 {
            // No more blocks than shards: asking for each costs no more than asking every shard.
            let mut keys: Vec<_> = (low.block..=high.block)
                .map(|block| BlockKey { block, ..low })
                .collect();
            if direction == Direction::Descending {
                keys.reverse();
            }
            return Blocks {
                keys,
                complete_through: None,
            };
        }
        let blocks = self
            .blocks
            .load(std::sync::atomic::Ordering::Relaxed)
            .max(1);
        let items_per_block = (self.len() / blocks).max(1);
        let blocks_wanted = items_max.div_ceil(items_per_block);
        // The shards' shares differ by chance; a little more than the mean saves a second round.
        let quota = (blocks_wanted * 3 / 2).div_ceil(self.shards.len()) + 1;

        let mut keys = Vec::new();
        let mut complete_through: Option<BlockKey> = None;
        for shard in &self.shards {
            let cut_at = first_blocks(&shard.read(), low, high, direction, quota, &mut keys);
            if let Some(last) = cut_at {
                let first = complete_through.map_or(last, |end| direction.first_of(end, last));
                complete_through = Some(first);
            }
        }
        if let Some(end) = complete_through {
            keys.retain(|key| !direction.is_before(end, *key));
        }
        keys.sort_unstable();
        if direction == Direction::Descending {
            keys.reverse();
        }
        Blocks {
            keys,
            complete_through,
        }
    }

    /// For each document its newest version at or below `upto`, deletions included, ordered by key
    /// and in bounded memory: what a checkpoint writes.
    pub fn sorted_newest(&self, upto: CommitTs) -> SortedNewest<'_, M, P> {
        SortedNewest {
            delta: self,
            upto,
            rest: Some(Key::MIN),
        }
    }
}

/// Adds the first blocks of a shard in `low..=high`, at most `quota`. Returns the last one added if
/// there are more.
fn first_blocks<M, P>(
    shard: &Shard<M, P>,
    low: BlockKey,
    high: BlockKey,
    direction: Direction,
    quota: usize,
    keys: &mut Vec<BlockKey>,
) -> Option<BlockKey> {
    let mut range = shard.range(low..=high).map(|(key, _)| *key);
    let mut next = || match direction {
        Direction::Ascending => range.next(),
        Direction::Descending => range.next_back(),
    };
    let mut last = None;
    for _ in 0..quota {
        last = Some(next()?);
        keys.extend(last);
    }
    next().and(last)
}

/// The newest versions of a delta, in order; see [`Delta::sorted_newest`].
#[derive(Debug)]
pub struct SortedNewest<'a, M, P> {
    delta: &'a Delta<M, P>,
    upto: CommitTs,
    rest: Option<Key>,
}

impl<M: Resident, P: Pointer> SortedNewest<'_, M, P> {
    /// The next documents, at most `items_max`; empty at the end and only there. `Pruned` if older
    /// versions were dropped from a document that has none at or below the bound: the bound was
    /// below what somebody was allowed to prune.
    pub fn next_chunk(&mut self, items_max: usize) -> Result<Vec<(Key, Version<M, P>)>> {
        while let Some(from) = self.rest {
            let chunk =
                self.delta
                    .chunk(from, Key::MAX, Direction::Ascending, self.upto, items_max)?;
            self.rest = chunk.complete_through.and_then(Key::next);
            if !chunk.items.is_empty() {
                return Ok(chunk.items);
            }
        }
        Ok(Vec::new())
    }
}
