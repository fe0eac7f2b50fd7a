//! What a transaction has written: of each document what it comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use docdb_index::{Direction, Key};

use crate::collections::Collection;
use crate::ops::WriteOp;

/// What an entry takes in memory beside its body, in bytes; an estimate.
pub(super) const WRITE_BYTES: u64 = 128;

/// What stands for a document that the transaction both created and deleted, so that its id counts
/// as used.
const PASSING: &[u8] = b"null";

/// What a transaction makes of one document.
#[derive(Debug)]
pub(super) struct Written {
    /// `None` if it is deleted.
    pub(super) body: Option<Arc<[u8]>>,
    /// Whether the document exists in the transaction's snapshot.
    existed: bool,
}

impl Written {
    /// The operations that it takes to commit this.
    fn ops(&self) -> usize {
        if self.body.is_none() && !self.existed {
            2
        } else {
            1
        }
    }

    fn bytes(&self) -> usize {
        match &self.body {
            Some(body) => body.len(),
            None if self.existed => 0,
            None => PASSING.len(),
        }
    }

    fn change(&self) -> i64 {
        i64::from(self.body.is_some()) - i64::from(self.existed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct WriteSet {
    documents: BTreeMap<Key, Written>,
    /// The collections that are written to, and by how much their counts change.
    collections: BTreeMap<u32, (Arc<Collection>, i64)>,
    ops: usize,
    bytes: usize,
}

impl WriteSet {
    pub(super) fn len(&self) -> usize {
        self.documents.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Written> {
        self.documents.get(&key)
    }

    /// By how much the count of the collection changes.
    pub(super) fn change(&self, collection: u32) -> i64 {
        let entry = self.collections.get(&collection);
        entry.map_or(0, |(_, change)| *change)
    }

    /// The first document in this direction in `from..=to`.
    pub(super) fn first(
        &self,
        from: Key,
        to: Key,
        direction: Direction,
    ) -> Option<(Key, &Written)> {
        if from > to {
            return None;
        }
        let mut range = self.documents.range(from..=to);
        let first = match direction {
            Direction::Ascending => range.next(),
            Direction::Descending => range.next_back(),
        };
        first.map(|(key, written)| (*key, written))
    }

    /// The highest id that is written to in the collection.
    pub(super) fn highest_id(&self, collection: u32) -> Option<u64> {
        let (from, to) = (Key::new(collection, 0), Key::new(collection, u64::MAX));
        let last = self.first(from, to, Direction::Descending);
        last.map(|(key, _)| key.id)
    }

    /// The operations and bytes of documents that it would be with this write in it.
    pub(super) fn sizes_with(
        &self,
        key: Key,
        existed: bool,
        body: Option<&[u8]>,
    ) -> (usize, usize) {
        let (mut ops, mut bytes) = (self.ops, self.bytes);
        if let Some(before) = self.documents.get(&key) {
            ops -= before.ops();
            bytes -= before.bytes();
        }
        // As of the entry that it would be, without its body.
        let (more_ops, more_bytes) = match body {
            Some(body) => (1, body.len()),
            None if existed => (1, 0),
            None => (2, PASSING.len()),
        };
        (ops + more_ops, bytes + more_bytes)
    }

    /// Puts a document, or its deletion. `existed`: in the transaction's snapshot.
    pub(super) fn put(
        &mut self,
        collection: &Arc<Collection>,
        key: Key,
        existed: bool,
        body: Option<Arc<[u8]>>,
    ) {
        let written = Written { body, existed };
        let entry = self.collections.entry(collection.id);
        let (_, change) = entry.or_insert_with(|| (Arc::clone(collection), 0));
        self.ops += written.ops();
        self.bytes += written.bytes();
        *change += written.change();
        if let Some(before) = self.documents.insert(key, written) {
            self.ops -= before.ops();
            self.bytes -= before.bytes();
            *change -= before.change();
        }
    }

    pub(super) fn existed(&self, key: Key) -> Option<bool> {
        self.documents.get(&key).map(|written| written.existed)
    }

    /// The collections that are written to.
    pub(super) fn collections(&self) -> impl Iterator<Item = &Arc<Collection>> {
        self.collections.values().map(|(collection, _)| collection)
    }

    /// As operations of a commit, in the order of the keys.
    pub(super) fn as_ops(&self) -> Vec<WriteOp<'_>> {
        let mut ops = Vec::with_capacity(self.ops);
        for (key, written) in &self.documents {
            let Some((collection, _)) = self.collections.get(&key.collection) else {
                continue;
            };
            let name = collection.name.as_str();
            match &written.body {
                Some(body) => ops.push(WriteOp::upsert(name, key.id, body)),
                None => {
                    if !written.existed {
                        ops.push(WriteOp::upsert(name, key.id, PASSING));
                    }
                    ops.push(WriteOp::delete(name, key.id));
                }
            }
        }
        ops
    }
}
