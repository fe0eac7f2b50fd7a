//! Documents that come, change and go.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Plan, Step, Workload, level};
use crate::model::{Direction, Level, ScanRange};
use crate::rng::Rng;

/// What a [`DocumentWorkload`] is like. What is left of 100 operations writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentShape {
    /// How many keys there are; about half of them have a document at a time.
    pub keys: u64,
    /// The distance between keys.
    pub stride: u64,
    /// Most operations of a transaction.
    pub ops_max: u64,
    /// How many of 100 transactions only read.
    pub read_only_percent: u32,
    /// How many of 100 operations read a document.
    pub get_percent: u32,
    /// How many of 100 operations scan.
    pub scan_percent: u32,
    /// How many of 100 operations delete.
    pub delete_percent: u32,
    /// Most keys that a scan goes over.
    pub scan_keys_max: u64,
    /// How many of 100 transactions are rolled back in the end.
    pub rollback_percent: u32,
    /// How many of 100 transactions ask to be serializable.
    pub serializable_percent: u32,
}

impl Default for DocumentShape {
    fn default() -> Self {
        Self {
            keys: 64,
            stride: 3,
            ops_max: 8,
            read_only_percent: 25,
            get_percent: 35,
            scan_percent: 15,
            delete_percent: 20,
            scan_keys_max: 16,
            rollback_percent: 5,
            serializable_percent: 0,
        }
    }
}

/// Transactions that read, scan, write and delete documents, for
/// [`check_documents`](crate::check_documents).
#[derive(Debug)]
pub struct DocumentWorkload {
    shape: DocumentShape,
    written: AtomicU64,
}

impl DocumentWorkload {
    /// A workload from its beginning.
    pub fn new(shape: DocumentShape) -> Self {
        Self {
            shape,
            written: AtomicU64::new(0),
        }
    }

    fn read(&self, rng: &mut Rng) -> Step {
        let shape = &self.shape;
        let first = rng.below(shape.keys);
        let scans = u64::from(shape.scan_percent);
        if rng.below(u64::from(shape.get_percent) + scans) >= scans {
            return Step::Get(first * shape.stride);
        }
        let last = (first + rng.below(shape.scan_keys_max)).min(shape.keys);
        let descending = rng.chance(50);
        Step::Scan(ScanRange {
            // Bounds that are no keys are bounds, too.
            from: (first * shape.stride).saturating_sub(rng.below(2)),
            to: last * shape.stride + rng.below(2),
            direction: if descending {
                Direction::Descending
            } else {
                Direction::Ascending
            },
            limit: rng.chance(30).then(|| 1 + rng.below(4) as u32),
        })
    }

    fn write(&self, rng: &mut Rng) -> Step {
        let shape = &self.shape;
        let key = rng.below(shape.keys) * shape.stride;
        let reads = u64::from(shape.get_percent) + u64::from(shape.scan_percent);
        let writes = 100u64.saturating_sub(reads).max(1);
        if rng.below(writes) < u64::from(shape.delete_percent) {
            Step::Delete(key)
        } else {
            Step::Put(key, 1 + self.written.fetch_add(1, Ordering::Relaxed))
        }
    }
}

impl Workload for DocumentWorkload {
    fn plan(&self, rng: &mut Rng) -> Plan {
        let shape = &self.shape;
        let level = level(rng, shape.serializable_percent);
        let only_reads = rng.chance(shape.read_only_percent);
        let read_percent = shape.get_percent + shape.scan_percent;
        let count = 1 + rng.below(shape.ops_max);
        let steps = (0..count).map(|_| {
            if only_reads || rng.chance(read_percent) {
                self.read(rng)
            } else {
                self.write(rng)
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
        vec![Plan {
            level: Level::Snapshot,
            steps: vec![Step::Scan(ScanRange::ALL)],
            rollback: false,
        }]
    }
}
