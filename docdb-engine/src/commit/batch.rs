//! What an operation sees of the earlier ones in its batch.

use ahash::AHashMap;
use docdb_index::Key;
use docdb_mvcc::{Current, WriteKind};

use super::THIS_COMMIT;
use crate::collections::Collection;

/// What the earlier operations of a batch have done.
#[derive(Default)]
pub(super) struct Earlier {
    states: AHashMap<Key, Current>,
    highest: AHashMap<u32, Option<u64>>,
}

impl Earlier {
    pub(super) fn state(&self, key: Key) -> Option<Current> {
        self.states.get(&key).copied()
    }

    pub(super) fn highest(&self, collection: &Collection) -> Option<u64> {
        match self.highest.get(&collection.id) {
            Some(highest) => *highest,
            None => collection.installed().1,
        }
    }

    pub(super) fn note(&mut self, key: Key, collection: &Collection, kind: WriteKind) {
        let state = match kind {
            WriteKind::Delete => Current::Absent,
            _ => Current::Present(THIS_COMMIT),
        };
        self.states.insert(key, state);
        let highest = self.highest(collection).max(Some(key.id));
        self.highest.insert(collection.id, highest);
    }
}
