//! How a database behaves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use docdb_types::limits;
use docdb_wal::{Compression, Durability, OnProgress};

use crate::heal::{OnDamage, ScrubPace};

/// Told by a database that [`Db::maintenance_step`](crate::Db::maintenance_step) has something to do
/// now or, after a quiet time, will have within the checkpoint interval.
///
/// Called on the path of commits: it must only note the wish.
pub trait Maintainer: Send + Sync + fmt::Debug {
    /// Maintenance is wanted.
    fn request(&self);
}

/// The options of a database. Build them from [`DbOptions::default`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DbOptions {
    /// When a commit is acknowledged.
    pub durability: Durability,
    /// A checkpoint is due when this many bytes of records have been logged since the last one.
    pub checkpoint_wal_bytes: u64,
    /// A checkpoint is due when the oldest change that is only in the log is this old.
    pub checkpoint_interval: Duration,
    /// How many checkpoints are kept: the newest, which the database needs, and so many less one before
    /// it. [`checkpoints`](crate::checkpoints) lists them, and makes a database of one. Every file
    /// that an earlier one names takes its space until that is let go. 0 counts as 1.
    pub keep_checkpoints: usize,
    /// Budget for documents and index entries that no checkpoint has written yet, and, in what these
    /// leave, for what is kept of data files and runs, in bytes. Writers wait at it, when nothing is
    /// left, then get MemoryLimit.
    pub memory_bytes_max: u64,
    /// The most of the budget that is used for run pages that were read lately, in bytes; 0 keeps
    /// none.
    pub block_cache_bytes_max: u64,
    /// The most of the budget that is used for documents that were read lately, in bytes; 0 keeps
    /// none.
    pub document_cache_bytes_max: u64,
    /// Shards of the in-memory index; a power of two.
    pub index_shards: usize,
    /// Size of the first log segment in bytes; they double from there.
    pub segment_bytes_min: u64,
    /// Size in bytes at which log segments stop growing.
    pub segment_bytes_max: u64,
    /// Budget for all files of the log together, in bytes. A checkpoint is taken before it is used up,
    /// the segments that `keep_segments` keeps give way, and writers are slowed down near it. Segments
    /// stop growing at an eighth of it. At least 128 KiB.
    pub wal_bytes_max: u64,
    /// Whether the log compresses commits of 4 KiB and more. Anything but `None` exists only in a
    /// build with the feature `lz4`, and so can only such a build open the database while compressed
    /// commits are in its log.
    pub wal_compression: Compression,
    /// Log segments kept beyond what recovery needs.
    pub keep_segments: usize,
    /// The documents of a commit with at least this many bytes of them go to a data file at once,
    /// and not to the log and into memory.
    pub bulk_bytes_min: usize,
    /// A data file takes no more checkpoints once it is larger than this.
    pub data_file_bytes_max: u64,
    /// Index runs are merged when there are more than this.
    pub runs_max: usize,
    /// A data file is compacted when this share of it is dead, from 0 to 1.
    pub compact_dead_share: f64,
    /// A data file is compacted when this many bytes of it are dead, whatever their share.
    pub compact_dead_bytes_max: u64,
    /// A step of a compaction copies at most about this many bytes, which it keeps in memory; a step of
    /// a merge of runs reads as much.
    pub compact_slice_bytes: u64,
    /// Compactions and merges in the background read and write at most this many bytes a second on
    /// average; 0: no compaction takes place, and merges have no limit. Merges do not keep to it while
    /// there are more than twice `runs_max` runs, and nothing does while more of the data files is dead
    /// than `compact_slice_bytes` twice and what is alive. [`Db::compact`](crate::Db::compact) has no
    /// limit.
    pub compaction_bytes_per_second: u64,
    /// So long after it was opened, and so long after each pass, a database begins to scrub: it reads
    /// and verifies its files. Zero: never.
    pub scrub_interval: Duration,
    /// Scrubs read at most this many bytes a second on average.
    pub scrub_bytes_per_second: u64,
    /// What was verified and has not changed is not verified again for so long.
    pub scrub_again_after: Duration,
    /// Shared by databases that are to scrub one after the other, together at the rate of one. `None`:
    /// each goes by itself.
    pub scrub_pace: Option<Arc<ScrubPace>>,
    /// A snapshot, and that of a cursor, ends when it has not been used for this long.
    pub snapshot_idle_max: Duration,
    /// A snapshot, and that of a cursor, ends when it is this old.
    pub snapshot_age_max: Duration,
    /// Most snapshots that are open at a time.
    pub snapshots_max: usize,
    /// Most transactions that are open at a time.
    pub transactions_max: usize,
    /// Most operations in the write set of a transaction; each document that it writes counts once.
    /// The limits of a commit hold, too.
    pub transaction_ops_max: usize,
    /// Most bytes of documents in the write set of a transaction.
    pub transaction_bytes_max: usize,
    /// Most single documents in the read set of a serializable transaction, and most names of
    /// collections.
    pub transaction_read_points_max: usize,
    /// Most ranges of ids in the read set of a serializable transaction; those that touch are one.
    pub transaction_read_ranges_max: usize,
    /// Told how far the reading of the log has got when the database is opened.
    pub on_recovery: Option<OnProgress>,
    /// Told of what is found damaged.
    pub on_damage: Option<OnDamage>,
    /// Told when maintenance is wanted.
    pub maintainer: Option<Arc<dyn Maintainer>>,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            checkpoint_wal_bytes: 64 << 20,
            checkpoint_interval: Duration::from_secs(30),
            keep_checkpoints: 1,
            memory_bytes_max: 256 << 20,
            block_cache_bytes_max: u64::MAX,
            document_cache_bytes_max: u64::MAX,
            index_shards: 256,
            segment_bytes_min: 256 << 10,
            segment_bytes_max: 64 << 20,
            wal_bytes_max: 256 << 20,
            wal_compression: Compression::None,
            keep_segments: 2,
            bulk_bytes_min: 1 << 20,
            data_file_bytes_max: 256 << 20,
            runs_max: 6,
            compact_dead_share: 0.3,
            compact_dead_bytes_max: 100 << 20,
            compact_slice_bytes: 8 << 20,
            compaction_bytes_per_second: 64 << 20,
            scrub_interval: Duration::from_secs(3600),
            scrub_bytes_per_second: 16 << 20,
            scrub_again_after: Duration::from_secs(24 * 3600),
            scrub_pace: None,
            snapshot_idle_max: Duration::from_secs(60),
            snapshot_age_max: Duration::from_secs(3600),
            snapshots_max: 4096,
            transactions_max: 4096,
            transaction_ops_max: limits::COMMIT_OPS_MAX,
            transaction_bytes_max: limits::COMMIT_BYTES_MAX,
            transaction_read_points_max: 100_000,
            transaction_read_ranges_max: 10_000,
            on_recovery: None,
            on_damage: None,
            maintainer: None,
        }
    }
}
