//! The options of a life, all small, so that a short one rotates, fills, merges and compacts.

use std::time::Duration;

use docdb_engine::{DbOptions, Durability};

use crate::rng::Rng;

/// The interval of the timed modes.
pub const INTERVAL: Duration = Duration::from_millis(10);

/// Every durability mode.
pub const MODES: [Durability; 5] = [
    Durability::Full,
    Durability::Always,
    Durability::Interval(INTERVAL),
    Durability::Os,
    Durability::Memory(INTERVAL),
];

/// The options of a life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup {
    /// When a commit is acknowledged.
    pub mode: Durability,
    /// Whether the driver of the log comes whenever it is asked to, or only when time passes.
    pub prompt: bool,
    /// As in [`DbOptions`].
    pub segment_bytes_max: u64,
    /// As in [`DbOptions`].
    pub keep_segments: usize,
    /// As in [`DbOptions`].
    pub runs_max: usize,
    /// As in [`DbOptions`].
    pub data_file_bytes_max: u64,
    /// As in [`DbOptions`].
    pub bulk_bytes_min: usize,
    /// As in [`DbOptions`].
    pub compact_slice_bytes: u64,
    /// As in [`DbOptions`].
    pub keep_checkpoints: usize,
    /// As in [`DbOptions`].
    pub checkpoint_wal_bytes: u64,
    /// As in [`DbOptions`], of both caches.
    pub cache_bytes_max: u64,
}

impl Setup {
    /// What the named lives have.
    pub fn new(mode: Durability) -> Setup {
        Setup {
            mode,
            prompt: true,
            segment_bytes_max: 32 << 10,
            keep_segments: 0,
            runs_max: 2,
            data_file_bytes_max: 8 << 10,
            bulk_bytes_min: 3 << 10,
            compact_slice_bytes: 4 << 10,
            keep_checkpoints: 1,
            checkpoint_wal_bytes: 64 << 20,
            cache_bytes_max: u64::MAX,
        }
    }

    /// Any, in this mode.
    pub fn draw(rng: &mut Rng, mode: Durability) -> Setup {
        fn of<T: Copy>(rng: &mut Rng, choice: &[T]) -> T {
            choice[rng.below(choice.len() as u64) as usize]
        }
        Setup {
            mode,
            prompt: rng.below(3) > 0,
            segment_bytes_max: of(rng, &[16 << 10, 32 << 10]),
            keep_segments: of(rng, &[0, 0, 1, 2]),
            runs_max: 1 + rng.below(3) as usize,
            data_file_bytes_max: of(rng, &[2 << 10, 8 << 10, 64 << 10]),
            bulk_bytes_min: of(rng, &[1 << 10, 3 << 10, 1 << 20]),
            compact_slice_bytes: of(rng, &[1 << 10, 4 << 10, 1 << 20]),
            keep_checkpoints: of(rng, &[1, 1, 2, 3]),
            checkpoint_wal_bytes: of(rng, &[4 << 10, 16 << 10, 64 << 20]),
            cache_bytes_max: of(rng, &[0, 4 << 10, u64::MAX]),
        }
    }

    /// As the engine takes them.
    pub fn options(&self) -> DbOptions {
        let mut options = DbOptions::default();
        options.durability = self.mode;
        options.segment_bytes_min = 16 << 10;
        options.segment_bytes_max = self.segment_bytes_max;
        options.keep_segments = self.keep_segments;
        options.index_shards = 1;
        options.runs_max = self.runs_max;
        options.data_file_bytes_max = self.data_file_bytes_max;
        options.bulk_bytes_min = self.bulk_bytes_min;
        options.compact_slice_bytes = self.compact_slice_bytes;
        options.compaction_bytes_per_second = u64::MAX;
        // No life is that long.
        options.snapshot_idle_max = Duration::from_secs(3600);
        options.keep_checkpoints = self.keep_checkpoints;
        options.checkpoint_wal_bytes = self.checkpoint_wal_bytes;
        options.block_cache_bytes_max = self.cache_bytes_max;
        options.document_cache_bytes_max = self.cache_bytes_max;
        options
    }
}
