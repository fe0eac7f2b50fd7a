//! The first key of every data block of a run, in memory.

use super::search;
use crate::Key;

/// Keys in ascending order: the collections in which they lie, and their ids, so that a key takes 8
/// bytes and ids can be interpolated.
#[derive(Debug, Default)]
pub(super) struct Fences {
    /// Each collection and where its ids begin, ascending.
    collections: Vec<(u32, usize)>,
    ids: Vec<u64>,
}

impl Fences {
    pub(super) fn with_capacity(keys: usize) -> Self {
        Self {
            collections: Vec::new(),
            ids: Vec::with_capacity(keys),
        }
    }

    /// Adds a key, which is above all before.
    pub(super) fn push(&mut self, key: Key) {
        if self
            .collections
            .last()
            .is_none_or(|(last, _)| *last != key.collection)
        {
            self.collections.push((key.collection, self.ids.len()));
        }
        self.ids.push(key.id);
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.ids.capacity() * size_of::<u64>()
            + self.collections.capacity() * size_of::<(u32, usize)>()
    }

    /// Where `key` is in its block of `len` entries, if they are evenly spread up to the next block.
    pub(super) fn guess_in(&self, block: usize, key: Key, len: usize) -> usize {
        match (self.ids.get(block), self.ids.get(block + 1)) {
            // Another collection's ids make a bad guess, and a guess is all it is.
            (Some(first), Some(next)) => search::guess_id(*first, *next, len + 1, key.id),
            _ => len / 2,
        }
    }

    /// How many keys are at or below `key`.
    pub(super) fn count_upto(&self, key: Key) -> usize {
        let after = self
            .collections
            .partition_point(|(collection, _)| *collection <= key.collection);
        let end = self
            .collections
            .get(after)
            .map_or(self.ids.len(), |(_, start)| *start);
        let start = match after.checked_sub(1).and_then(|i| self.collections.get(i)) {
            Some((collection, start)) if *collection == key.collection => *start,
            _ => return end,
        };
        let ids = &self.ids[start..end];
        let guess = match (ids.first(), ids.last()) {
            (Some(first), Some(last)) => search::guess_id(*first, *last, ids.len(), key.id),
            _ => 0,
        };
        start + search::partition(ids.len(), guess, |i| ids[i] <= key.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_a_plain_search() {
        let mut keys = Vec::new();
        keys.extend((5..400).map(|id| Key::new(1, id * 110)));
        keys.extend((0..400_u64).map(|i| Key::new(4, i.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        keys.extend([0, 1, u64::MAX].map(|id| Key::new(5, id)));
        keys.push(Key::new(9, 7));
        keys.sort_unstable();
        let mut fences = Fences::with_capacity(keys.len());
        assert_eq!(fences.count_upto(Key::MAX), 0);
        for key in &keys {
            fences.push(*key);
        }
        assert_eq!(fences.len(), keys.len());
        let probes = keys.iter().flat_map(|key| {
            let others = [0, 1, 2, 3, 4, 6, 9, 10].map(|collection| Key { collection, ..*key });
            [Some(*key), key.next(), key.previous()]
                .into_iter()
                .flatten()
                .chain(others)
        });
        for key in probes.chain([Key::MIN, Key::MAX]) {
            let expected = keys.partition_point(|fence| *fence <= key);
            assert_eq!(fences.count_upto(key), expected, "{key}");
        }
    }
}
