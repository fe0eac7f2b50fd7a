//! What an operation sees of the earlier ones in its batch.

use ahash::AHashMap;
use docdb_index::Key;
use docdb_mvcc::{Current, WriteKind};

use super::THIS_COMMIT;
use crate::collections::Collection;

/// What the earlier operations of a batch have done.
///
/// Most batches write ascending ids of one collection, and then nobody need look anything up: each key
/// is above all earlier ones.
#[derive(Default)]
pub(super) struct Earlier {
    /// As long as keys ascend, what was done, in order.
    ascending: Vec<(Key, Current)>,
    /// Since they do not: by key. Not made before, since that alone costs a commit of one operation a
    /// twentieth of its instructions.
    states: Option<AHashMap<Key, Current>>,
    /// The collection that was written to last, and the highest id written there.
    last: Option<(u32, u64)>,
    /// Those of the others.
    highest: Option<AHashMap<u32, u64>>,
}

impl Earlier {
    pub(super) fn with_capacity(operations: usize) -> Earlier {
        Earlier {
            ascending: Vec::with_capacity(operations),
            ..Earlier::default()
        }
    }

    pub(super) fn state(&self, key: Key) -> Option<Current> {
        let Some(states) = &self.states else {
            let (last, state) = *self.ascending.last()?;
            if key >= last {
                return (key == last).then_some(state);
            }
            let at = self.ascending.binary_search_by_key(&key, |(key, _)| *key);
            return at.ok().map(|at| self.ascending[at].1);
        };
        states.get(&key).copied()
    }

    /// The highest id that was ever used in the collection, this batch included.
    pub(super) fn highest(&self, collection: &Collection) -> Option<u64> {
        let written = match self.last {
            Some((id, highest)) if id == collection.id => Some(highest),
            _ => self.highest_of(collection.id),
        };
        written.max(collection.highest_taken())
    }

    pub(super) fn note(&mut self, key: Key, kind: WriteKind) {
        let state = match kind {
            WriteKind::Delete => Current::Absent,
            _ => Current::Present(THIS_COMMIT),
        };
        let ascends = self.ascending.last().is_none_or(|(last, _)| *last < key);
        match &mut self.states {
            None if ascends => self.ascending.push((key, state)),
            states => {
                let states = states.get_or_insert_default();
                states.extend(self.ascending.drain(..));
                states.insert(key, state);
            }
        }
        self.note_id(key);
    }

    fn note_id(&mut self, key: Key) {
        match &mut self.last {
            Some((id, highest)) if *id == key.collection => *highest = key.id.max(*highest),
            last => {
                if let Some((id, highest)) = last.take() {
                    self.highest.get_or_insert_default().insert(id, highest);
                }
                let before = self.highest_of(key.collection);
                self.last = Some((key.collection, key.id.max(before.unwrap_or(0))));
            }
        }
    }

    fn highest_of(&self, collection: u32) -> Option<u64> {
        self.highest.as_ref()?.get(&collection).copied()
    }
}
