//! Where edits line up that have lost to others too often.

use std::sync::atomic::{AtomicU64, Ordering};

use docdb_mvcc::WriteKind;
use parking_lot::{Mutex, MutexGuard};

use crate::ops::WriteOp;

/// Queues, one bit each; documents share them by their hash.
const QUEUES: usize = u64::BITS as usize;

/// One queue for the edits of each document. Whoever holds several took them in ascending order.
#[derive(Debug)]
pub(crate) struct EditQueues {
    queues: [Mutex<()>; QUEUES],
    /// The queues whose holder is let pass by all other writes, too. A bit is changed only by who holds
    /// the queue.
    urgent: AtomicU64,
    hasher: ahash::RandomState,
}

impl Default for EditQueues {
    fn default() -> EditQueues {
        EditQueues {
            queues: std::array::from_fn(|_| Mutex::new(())),
            urgent: AtomicU64::new(0),
            hasher: ahash::RandomState::new(),
        }
    }
}

impl EditQueues {
    fn bit(&self, op: &WriteOp<'_>) -> u64 {
        1 << (self.hasher.hash_one((op.collection, op.id)) % QUEUES as u64)
    }

    /// Those with a bit in `bits`, in ascending order.
    fn queues(&self, bits: u64) -> impl Iterator<Item = &Mutex<()>> {
        let queues = self.queues.iter().enumerate();
        queues.filter_map(move |(n, queue)| (bits & 1 << n != 0).then_some(queue))
    }

    /// A place in the queues of the documents that `ops` edit, not taken yet.
    pub(super) fn line(&self, ops: &[WriteOp<'_>]) -> Line<'_> {
        let edits = ops.iter().filter(|op| op.kind.is_edit());
        Line {
            all: self,
            bits: edits.fold(0, |bits, op| bits | self.bit(op)),
            turn: Vec::new(),
            is_urgent: false,
        }
    }

    /// Waits while an edit of one of these documents is urgent. The caller holds no queue.
    pub(super) fn give_way(&self, ops: &[WriteOp<'_>]) {
        let urgent = self.urgent.load(Ordering::Relaxed);
        if urgent == 0 {
            return;
        }
        let written = ops.iter().filter(|op| op.kind != WriteKind::Insert);
        let bits = written.fold(0, |bits, op| bits | self.bit(op));
        for queue in self.queues(bits & urgent) {
            drop(queue.lock());
        }
    }
}

/// The place of a commit in the queues of the documents that it edits.
pub(super) struct Line<'a> {
    all: &'a EditQueues,
    bits: u64,
    /// The queues, once they are held.
    turn: Vec<MutexGuard<'a, ()>>,
    is_urgent: bool,
}

impl Line<'_> {
    /// Whether others are in the queues.
    pub(super) fn is_long(&self) -> bool {
        self.all.queues(self.bits).any(Mutex::is_locked)
    }

    pub(super) fn has_turn(&self) -> bool {
        !self.turn.is_empty()
    }

    /// Waits until all others in the queues are through.
    pub(super) fn wait(&mut self) {
        self.turn = self.all.queues(self.bits).map(Mutex::lock).collect();
    }

    /// From now on every other write of the documents waits, until this is dropped. To be called by who
    /// has the turn.
    pub(super) fn urge(&mut self) {
        if self.has_turn() && !std::mem::replace(&mut self.is_urgent, true) {
            self.all.urgent.fetch_or(self.bits, Ordering::Relaxed);
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        // The queues are still held.
        if self.is_urgent {
            self.all.urgent.fetch_and(!self.bits, Ordering::Relaxed);
        }
    }
}
