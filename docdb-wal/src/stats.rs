//! Figures of a log since it was opened.

use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering};

/// How many classes of sizes groups are counted in.
const SIZE_CLASSES: usize = 24;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    groups: AtomicU64,
    records: AtomicU64,
    records_bytes: AtomicU64,
    group_records_max: AtomicU64,
    flush_nanos: AtomicU64,
    flush_nanos_max: AtomicU64,
    last_flush_nanos: AtomicU64,
    group_sizes: [AtomicU64; SIZE_CLASSES],
}

impl Counters {
    pub(crate) fn flushed(&self, records: u64, bytes: u64, took: Duration, now: Duration) {
        let nanos = took.as_nanos() as u64;
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.records_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.group_records_max.fetch_max(records, Ordering::Relaxed);
        self.flush_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.flush_nanos_max.fetch_max(nanos, Ordering::Relaxed);
        self.last_flush_nanos
            .store(now.as_nanos() as u64, Ordering::Relaxed);
        if let Some(class) = records.checked_ilog2() {
            let class = (class as usize).min(SIZE_CLASSES - 1);
            self.group_sizes[class].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> FlushStats {
        let groups = self.groups.load(Ordering::Relaxed);
        FlushStats {
            groups,
            records: self.records.load(Ordering::Relaxed),
            records_bytes: self.records_bytes.load(Ordering::Relaxed),
            group_records_max: self.group_records_max.load(Ordering::Relaxed),
            flush_mean: Duration::from_nanos(
                self.flush_nanos
                    .load(Ordering::Relaxed)
                    .checked_div(groups)
                    .unwrap_or(0),
            ),
            flush_max: Duration::from_nanos(self.flush_nanos_max.load(Ordering::Relaxed)),
            last_flush: Duration::from_nanos(self.last_flush_nanos.load(Ordering::Relaxed)),
            group_sizes: std::array::from_fn(|class| {
                self.group_sizes[class].load(Ordering::Relaxed)
            }),
        }
    }
}

/// What has been flushed since the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FlushStats {
    /// Groups written and synced.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of these records, headers included, padding not.
    pub records_bytes: u64,
    /// The most records that shared one sync.
    pub group_records_max: u64,
    /// Mean time of writing and syncing a group.
    pub flush_mean: Duration,
    /// Longest time of writing and syncing a group.
    pub flush_max: Duration,
    /// When the last group was durable, by the clock of the file system seam.
    pub last_flush: Duration,
    /// Groups by their number of records: 1, 2 to 3, 4 to 7, and so on, each class up to twice the one
    /// before.
    pub group_sizes: [u64; SIZE_CLASSES],
}

/// The state of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WalStats {
    /// What has been flushed.
    pub flush: FlushStats,
    /// Segments, the prepared one included.
    pub segments: u64,
    /// Bytes of all segments on the device.
    pub segment_bytes: u64,
    /// Files of retired segments that are kept to become the next ones.
    pub recycled_segments: u64,
    /// Bytes of these.
    pub recycled_bytes: u64,
    /// Bytes set aside so that the log can be opened on a full disk.
    pub reserved_bytes: u64,
    /// Bytes of all files of the log, those above and the one that is being prepared.
    pub file_bytes: u64,
    /// The LSN of the last record appended.
    pub appended_lsn: u64,
    /// The LSN up to which everything is durable.
    pub durable_lsn: u64,
    /// Whether a failed write or sync has ended the log's writing.
    pub poisoned: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_counted_by_the_power_of_two_below_their_size() {
        let counters = Counters::default();
        for records in [0, 1, 2, 3, 4, 1_000, u64::MAX] {
            counters.flushed(records, 0, Duration::ZERO, Duration::ZERO);
        }
        let mut expected = [0; SIZE_CLASSES];
        for (class, groups) in [(0, 1), (1, 2), (2, 1), (9, 1), (SIZE_CLASSES - 1, 1)] {
            expected[class] = groups;
        }
        assert_eq!(counters.read().group_sizes, expected);
    }
}
