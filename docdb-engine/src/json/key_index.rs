//! Where the members of a large object are, by their keys.

use ahash::{AHashMap, RandomState};

/// Of the members that an object was opened with only hashes are kept: eight bytes each. Who asks
/// compares the keys.
pub(super) struct KeyIndex {
    hasher: RandomState,
    /// Part of the key's hash, and the member's place; in this order.
    hashes: Vec<(u32, u32)>,
    /// Members that were added since.
    added: AHashMap<Vec<u8>, usize>,
}

impl KeyIndex {
    pub(super) fn with_capacity(members: usize) -> KeyIndex {
        KeyIndex {
            hasher: RandomState::new(),
            hashes: Vec::with_capacity(members),
            added: AHashMap::new(),
        }
    }

    fn hash(&self, meaning: &[u8]) -> u32 {
        self.hasher.hash_one(meaning) as u32
    }

    /// Adds a member, before `sort` is called.
    pub(super) fn add(&mut self, at: usize, meaning: &[u8]) {
        // Documents have no more bytes than that.
        self.hashes.push((self.hash(meaning), at as u32));
    }

    pub(super) fn sort(&mut self) {
        self.hashes.sort_unstable();
    }

    /// Adds a member, after `sort` was called.
    pub(super) fn insert(&mut self, at: usize, meaning: &[u8]) {
        self.added.insert(meaning.to_vec(), at);
    }

    /// Forgets a member that was added.
    pub(super) fn remove(&mut self, meaning: &[u8]) {
        self.added.remove(meaning);
    }

    /// The members that may have the key, also deleted ones.
    pub(super) fn candidates(&self, meaning: &[u8]) -> impl Iterator<Item = usize> {
        let hash = self.hash(meaning);
        let first = self.hashes.partition_point(|(h, _)| *h < hash);
        let same = self.hashes.get(first..).unwrap_or_default();
        let same = same.iter().take_while(move |(h, _)| *h == hash);
        let added = self.added.get(meaning).copied();
        same.map(|(_, at)| *at as usize).chain(added)
    }
}
