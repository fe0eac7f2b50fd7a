//! Figures of a database.

use std::time::Duration;

use docdb_index::CacheStats;

/// The state of a database.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DbStats {
    /// Documents in all collections, as a reader now counts them.
    pub documents: u64,
    /// Collections.
    pub collections: u64,
    /// Commits since the database was opened.
    pub commits: u64,
    /// Commits refused since the database was opened: preconditions, missing documents and the like.
    pub refused: u64,
    /// Commits that were delayed since the database was opened, because checkpoints did not keep up.
    pub delayed: u64,
    /// How long altogether.
    pub delayed_time: Duration,
    /// The newest version that readers see.
    pub visible_version: u64,
    /// The version that the last checkpoint covers.
    pub checkpoint_version: u64,
    /// Checkpoints since the database was opened.
    pub checkpoints: u64,
    /// How long the last checkpoint took.
    pub last_checkpoint: Duration,
    /// Documents that the checkpoint under way has gone through; 0 if there is none.
    pub checkpoint_done: u64,
    /// Documents that it has to go through; 0 if there is none.
    pub checkpoint_todo: u64,
    /// The log.
    pub wal: docdb_wal::WalStats,
    /// Data files, without those that only snapshots keep.
    pub data_files: u64,
    /// Bytes of these data files.
    pub data_bytes: u64,
    /// Bytes of the documents in them that the last checkpoint has, each with its header. All the rest
    /// is dead: superseded, deleted, or filling.
    pub data_live_bytes: u64,
    /// Bytes of data files that are compacted and that only open snapshots keep.
    pub data_kept_bytes: u64,
    /// Checkpoints that are kept, the newest included.
    pub checkpoints_kept: u64,
    /// Bytes of data files and index runs that only earlier checkpoints need.
    pub pinned_bytes: u64,
    /// Data files compacted since the database was opened.
    pub compactions: u64,
    /// Bytes that these have copied.
    pub compacted_bytes: u64,
    /// How long the last of them took, the rests between its steps not counted.
    pub last_compaction: Duration,
    /// Merges of index runs since the database was opened.
    pub merges: u64,
    /// How often a checkpoint found an old run damaged where it looked for what has died since: so
    /// many times at least some dead bytes count as live.
    pub unaccounted: u64,
    /// Index runs.
    pub runs: u64,
    /// Bytes in memory for documents and index entries that no checkpoint has written yet.
    pub delta_bytes: u64,
    /// The budget for these, for the fences and for the caches, in bytes.
    pub delta_bytes_max: u64,
    /// Bytes in memory, of `delta_bytes`, that only open snapshots and cursors need.
    pub retired_bytes: u64,
    /// Bytes in memory that open scans have read ahead.
    pub scan_bytes: u64,
    /// Bytes in memory for the fences of the index runs.
    pub run_bytes: u64,
    /// Pages of index runs that are kept in memory.
    pub block_cache: CacheStats,
    /// Documents of data files that are kept in memory.
    pub document_cache: CacheStats,
    /// How often a run's filter saved a look at a block.
    pub blocks_filtered: u64,
    /// How often a run's filter was damaged or could not be read, and the block was read instead.
    pub filters_damaged: u64,
    /// Snapshots open, those of scans, cursors and transactions included.
    pub snapshots: u64,
    /// Age of the oldest of them.
    pub oldest_snapshot: Duration,
    /// Transactions open.
    pub transactions_open: u64,
    /// Bytes in memory for what they have written and read.
    pub transaction_bytes: u64,
    /// Transactions committed since the database was opened, those that wrote nothing included.
    pub transactions_committed: u64,
    /// Transactions rolled back, by whoever began them or because their commit was refused for another
    /// reason than the next two.
    pub transactions_rolled_back: u64,
    /// Transactions that lost to another commit; each attempt of a repeated one counts.
    pub transactions_conflicted: u64,
    /// Transactions whose deadline passed; noticed at their next operation or when they are dropped.
    pub transactions_expired: u64,
    /// Whether a failed write has ended the database's writing.
    pub poisoned: bool,
}
