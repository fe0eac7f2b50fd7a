//! Lists that grow.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Plan, Step, Workload, level, read_lists};
use crate::rng::Rng;

/// What a [`ListWorkload`] is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListShape {
    /// The first key.
    pub first_key: u64,
    /// How many keys are used at a time.
    pub hot_keys: u64,
    /// After so many appends the oldest hot key gives way to a new one, so that no list grows for
    /// ever.
    pub appends_per_key: u64,
    /// Most operations of a transaction.
    pub ops_max: u64,
    /// How many of 100 transactions only read.
    pub read_only_percent: u32,
    /// How many of 100 operations of the others read.
    pub read_percent: u32,
    /// How many of 100 transactions are rolled back in the end.
    pub rollback_percent: u32,
    /// How many of 100 transactions ask to be serializable.
    pub serializable_percent: u32,
}

impl Default for ListShape {
    fn default() -> Self {
        Self {
            first_key: 0,
            hot_keys: 8,
            appends_per_key: 64,
            ops_max: 8,
            read_only_percent: 25,
            read_percent: 50,
            rollback_percent: 5,
            serializable_percent: 0,
        }
    }
}

/// Transactions that append to lists and read them, for [`check_lists`](crate::check_lists).
#[derive(Debug)]
pub struct ListWorkload {
    shape: ListShape,
    appended: AtomicU64,
}

impl ListWorkload {
    /// A workload from its beginning.
    pub fn new(shape: ListShape) -> Self {
        Self {
            shape,
            appended: AtomicU64::new(0),
        }
    }

    fn oldest_key(&self) -> u64 {
        let rotations = self.appended.load(Ordering::Relaxed) / self.shape.appends_per_key.max(1);
        self.shape.first_key + rotations
    }
}

impl Workload for ListWorkload {
    fn plan(&self, rng: &mut Rng) -> Plan {
        let shape = &self.shape;
        let level = level(rng, shape.serializable_percent);
        let only_reads = rng.chance(shape.read_only_percent);
        let count = 1 + rng.below(shape.ops_max);
        let steps = (0..count).map(|_| {
            // Of the hot keys the oldest are the hottest.
            let offset = rng.below(shape.hot_keys).min(rng.below(shape.hot_keys));
            let key = self.oldest_key() + offset;
            if only_reads || rng.chance(shape.read_percent) {
                Step::Read(key)
            } else {
                Step::Append(key, 1 + self.appended.fetch_add(1, Ordering::Relaxed))
            }
        });
        let steps = steps.collect();
        Plan {
            level,
            steps,
            rollback: rng.chance(shape.rollback_percent),
        }
    }

    fn last_reads(&self) -> Vec<Plan> {
        read_lists(self.shape.first_key..self.oldest_key() + self.shape.hot_keys)
    }
}
