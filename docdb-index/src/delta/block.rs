//! 256 consecutive ids of one collection in a delta.

use docdb_mvcc::Horizon;

use super::chain::Chain;
use crate::{Resident, Version};

/// The chains of up to 256 consecutive ids, by slot. A full block finds a slot at its own index.
#[derive(Debug)]
pub(super) struct Block<M, P> {
    entries: Vec<Entry<M, P>>,
}

#[derive(Debug)]
struct Entry<M, P> {
    slot: u8,
    chain: Chain<M, P>,
}

/// How the memory of a delta changed, in bytes and documents.
pub(super) struct Growth {
    pub(super) bytes_before: usize,
    pub(super) bytes_after: usize,
    pub(super) is_new_key: bool,
}

impl<M: Resident, P: Copy> Block<M, P> {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    fn position(&self, slot: u8) -> Result<usize, usize> {
        // Ids that were assigned in order lie this far from the block's first.
        if let Some(first) = self.entries.first() {
            let guess = usize::from(slot.wrapping_sub(first.slot));
            if self
                .entries
                .get(guess)
                .is_some_and(|entry| entry.slot == slot)
            {
                return Ok(guess);
            }
        }
        self.entries.binary_search_by_key(&slot, |entry| entry.slot)
    }

    pub(super) fn chain(&self, slot: u8) -> Option<&Chain<M, P>> {
        self.position(slot).ok().map(|i| &self.entries[i].chain)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = u8> {
        self.entries.iter().map(|entry| entry.slot)
    }

    /// The chains with slots in `first..=last`, ascending.
    pub(super) fn range(
        &self,
        first: u8,
        last: u8,
    ) -> impl DoubleEndedIterator<Item = (u8, &Chain<M, P>)> {
        let start = self.entries.partition_point(|entry| entry.slot < first);
        let end = self.entries.partition_point(|entry| entry.slot <= last);
        self.entries[start..end.max(start)]
            .iter()
            .map(|entry| (entry.slot, &entry.chain))
    }

    pub(super) fn install(
        &mut self,
        slot: u8,
        version: Version<M, P>,
        horizon: &Horizon,
    ) -> Growth {
        let entries_before = self.entries.capacity() * size_of::<Entry<M, P>>();
        match self.position(slot) {
            Ok(i) => {
                let chain = &mut self.entries[i].chain;
                let bytes_before = chain.heap_bytes();
                chain.push(version);
                chain.prune(horizon);
                Growth {
                    bytes_before,
                    bytes_after: chain.heap_bytes(),
                    is_new_key: false,
                }
            }
            Err(i) => {
                if self.entries.is_empty() {
                    // Scattered ids have blocks of their own; growth doubles from here.
                    self.entries.reserve_exact(1);
                } else if self.entries.len() == self.entries.capacity() {
                    self.entries.reserve_exact(self.entries.len().min(64));
                }
                let chain = Chain::new(version);
                let heap_bytes = chain.heap_bytes();
                self.entries.insert(i, Entry { slot, chain });
                let entries_after = self.entries.capacity() * size_of::<Entry<M, P>>();
                Growth {
                    bytes_before: entries_before,
                    bytes_after: entries_after + heap_bytes,
                    is_new_key: true,
                }
            }
        }
    }

    /// The memory of the entries and what hangs on them, counted afresh, in bytes.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<M, P>>()
            + self
                .entries
                .iter()
                .map(|entry| entry.chain.heap_bytes())
                .sum::<usize>()
    }
}
