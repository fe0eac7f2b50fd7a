//! Where edits line up that have lost to others too often.

use parking_lot::Mutex;

use crate::ops::WriteOp;

/// Queues; documents share them by their hash.
const QUEUES: usize = 64;

/// One queue for the edits of each document. Whoever holds several took them in ascending order.
#[derive(Debug)]
pub(crate) struct EditQueues {
    queues: [Mutex<()>; QUEUES],
    hasher: ahash::RandomState,
}

impl Default for EditQueues {
    fn default() -> EditQueues {
        EditQueues {
            queues: std::array::from_fn(|_| Mutex::new(())),
            hasher: ahash::RandomState::new(),
        }
    }
}

impl EditQueues {
    /// The queues of the documents that `ops` edit.
    pub(super) fn of(&self, ops: &[WriteOp<'_>]) -> Vec<&Mutex<()>> {
        let edits = ops.iter().filter(|op| op.kind.is_edit());
        let hash = |op: &WriteOp<'_>| self.hasher.hash_one((op.collection, op.id));
        let mut numbers: Vec<_> = edits.map(|op| hash(op) as usize % QUEUES).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let queues = numbers.into_iter().filter_map(|n| self.queues.get(n));
        queues.collect()
    }
}
