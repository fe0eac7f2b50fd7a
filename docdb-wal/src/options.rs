//! How a log behaves.

use crate::segment::SEGMENT_BYTES_LEAST;
use crate::{Compression, Durability, Lsn, OnProgress};

/// The options of a log. Build them from [`WalOptions::default`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WalOptions {
    /// When an append is acknowledged.
    pub durability: Durability,
    /// Size of the first segment in bytes; each following one doubles. Rounded up to 4 KiB, at
    /// least 16 KiB, at most 4 GiB. It is written before the log is used.
    pub segment_bytes_min: u64,
    /// Size in bytes at which segments stop growing; at least 16 KiB, at most 4 GiB. A segment is
    /// larger if one record needs it.
    pub segment_bytes_max: u64,
    /// Budget for all files of the log together, in bytes; `None`: there is none. Segments stop
    /// growing at an eighth of it, and when it would be passed, the segments that
    /// [`keep_segments`](WalOptions::keep_segments) keeps and the files that are kept for reuse give
    /// way. Appends do not fail at it: whoever appends looks at
    /// [`Wal::room_bytes`](crate::Wal::room_bytes), and retires or waits in time. At least 128 KiB.
    pub bytes_max: Option<u64>,
    /// How many segments [`Wal::retire_below`](crate::Wal::retire_below) keeps beyond what is
    /// needed.
    pub keep_segments: usize,
    /// How many retired segments keep their files for use as the next ones, under a temporary name,
    /// so that a log at its steady size writes into blocks that are written already; at most 16. A
    /// file is kept only if the next segment would not be larger than it.
    pub recycle_segments: usize,
    /// Whether large records are compressed when they are appended.
    pub compression: Compression,
    /// The log's identity, if the caller knows it: a directory with another log is refused.
    pub wal_id: Option<u128>,
    /// The first record that the caller needs back. `None`: all that the directory still has. If a
    /// record from here on is missing, opening fails. A log that is created begins with it.
    pub start_lsn: Option<Lsn>,
    /// The highest LSN that the caller knows to be durable, from elsewhere. Damage at or below it is
    /// corruption and never a torn tail.
    pub proven_lsn: Lsn,
    /// Is told how far a recovery has got with reading.
    pub on_progress: Option<OnProgress>,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            segment_bytes_min: 256 << 10,
            segment_bytes_max: 64 << 20,
            bytes_max: None,
            keep_segments: 2,
            recycle_segments: 2,
            compression: Compression::None,
            wal_id: None,
            start_lsn: None,
            proven_lsn: Lsn::ZERO,
            on_progress: None,
        }
    }
}

/// Segments stop growing at this share of the log's budget.
const SEGMENTS_IN_BUDGET: u64 = 8;

impl WalOptions {
    /// The budget of all files together.
    pub(crate) fn budget_bytes(&self) -> Option<u64> {
        Some(
            self.bytes_max?
                .max(SEGMENTS_IN_BUDGET * SEGMENT_BYTES_LEAST),
        )
    }

    /// The size at which segments stop growing, unless one record needs more.
    pub(crate) fn segment_bytes_most(&self) -> u64 {
        match self.budget_bytes() {
            Some(bytes) => self.segment_bytes_max.min(bytes / SEGMENTS_IN_BUDGET),
            None => self.segment_bytes_max,
        }
    }
}
