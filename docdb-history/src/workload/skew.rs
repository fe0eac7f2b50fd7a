//! Transactions that provoke write skew.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Plan, Step, Workload, level, read_lists};
use crate::rng::Rng;

/// What a [`SkewWorkload`] is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkewShape {
    /// The first key.
    pub first_key: u64,
    /// How many pairs of keys are used at a time.
    pub hot_pairs: u64,
    /// After so many transactions the oldest pair gives way to a new one.
    pub txns_per_pair: u64,
    /// How many of 100 transactions ask to be serializable.
    pub serializable_percent: u32,
}

impl Default for SkewShape {
    fn default() -> Self {
        Self {
            first_key: 0,
            hot_pairs: 2,
            txns_per_pair: 64,
            serializable_percent: 0,
        }
    }
}

/// Transactions that read the lists of a pair and append to one of them, as a doctor does who goes
/// off call while another is on. At the snapshot level some that overlap must show write skew, or
/// the workload did not reach the database; see [`Report::allowed`](crate::Report::allowed).
#[derive(Debug)]
pub struct SkewWorkload {
    shape: SkewShape,
    appended: AtomicU64,
}

impl SkewWorkload {
    /// A workload from its beginning.
    pub fn new(shape: SkewShape) -> Self {
        Self {
            shape,
            appended: AtomicU64::new(0),
        }
    }
}

impl Workload for SkewWorkload {
    fn plan(&self, rng: &mut Rng) -> Plan {
        let appended = self.appended.fetch_add(1, Ordering::Relaxed);
        let oldest = appended / self.shape.txns_per_pair.max(1);
        let pair = oldest + rng.below(self.shape.hot_pairs);
        let keys = [0, 1].map(|side| self.shape.first_key + 2 * pair + side);
        let side = rng.below(2) as usize;
        Plan {
            level: level(rng, self.shape.serializable_percent),
            steps: vec![
                Step::Read(keys[side]),
                Step::Read(keys[1 - side]),
                Step::Append(keys[side], appended + 1),
            ],
            rollback: false,
        }
    }

    fn last_reads(&self) -> Vec<Plan> {
        let oldest = self.appended.load(Ordering::Relaxed) / self.shape.txns_per_pair.max(1);
        let behind = self.shape.first_key + 2 * (oldest + self.shape.hot_pairs);
        read_lists(self.shape.first_key..behind)
    }
}
