//! What healing has found and done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::db::{Db, Inner};

/// What healing has found and done since the database was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealStats {
    /// Passes of the scrub, and scans of the whole database on demand, that came to their end.
    pub scans: u64,
    /// How long ago the last of them ended.
    pub since_scan: Option<Duration>,
    /// Bytes that scans have verified, the one under way included.
    pub scanned_bytes: u64,
    /// Bytes that the scan under way has verified; 0 if there is none.
    pub scan_done_bytes: u64,
    /// Bytes that it has to verify; 0 if there is none.
    pub scan_todo_bytes: u64,
    /// Documents that were found damaged.
    pub found: u64,
    /// How long ago the last of them was found.
    pub since_found: Option<Duration>,
    /// Documents that were restored: on demand and in the background together.
    pub healed: u64,
    /// How long ago the last of them was restored.
    pub since_healed: Option<Duration>,
    /// Documents that were restored by `heal` and `heal_all`.
    pub healed_on_demand: u64,
    /// Documents that were restored by the scrub, and after a read that found them damaged.
    pub healed_in_background: u64,
    /// Reads of damaged documents that were answered from an intact copy.
    pub rescued_reads: u64,
    /// Documents of which no intact copy was found when they were found damaged. More than are
    /// remembered are counted, and not told of, whenever they are found.
    pub unhealable: u64,
    /// Those of them that are known to be damaged still; at most 65,536 are remembered.
    pub unhealable_now: u64,
    /// Documents that wait to be restored in the background.
    pub waiting: u64,
    /// Pages of index runs that were found damaged and hold entries: what they hold cannot be restored.
    pub index_pages_damaged: u64,
    /// Other pages of index runs, and headers of data files, that were found damaged, and files of both
    /// kinds that somebody has removed: the file is written anew in the background.
    pub headers_damaged: u64,
    /// How often the log was found damaged; a checkpoint is then taken, so that data files have
    /// what it held, and no open reads it once a checkpoint lies in another segment.
    pub log_damaged: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) scans: AtomicU64,
    /// Times are in nanoseconds of the clock plus 1; 0 for never.
    pub(super) last_scan: AtomicU64,
    pub(super) scanned_bytes: AtomicU64,
    pub(super) scan_done_bytes: AtomicU64,
    pub(super) scan_todo_bytes: AtomicU64,
    pub(super) found: AtomicU64,
    pub(super) last_found: AtomicU64,
    pub(super) last_healed: AtomicU64,
    pub(super) healed_on_demand: AtomicU64,
    pub(super) healed_in_background: AtomicU64,
    pub(super) rescued: AtomicU64,
    pub(super) unhealable: AtomicU64,
    pub(super) index_pages_damaged: AtomicU64,
    pub(super) headers_damaged: AtomicU64,
    pub(super) log_damaged: AtomicU64,
}

impl Db {
    /// What healing has found and done since the database was opened, and how far the scan under way
    /// has come.
    pub fn heal_stats(&self) -> HealStats {
        self.inner.heal_stats()
    }
}

impl Inner {
    fn heal_stats(&self) -> HealStats {
        let healing = &self.healing;
        let counters = &healing.counters;
        let now = self.vfs.now();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let since = |at: &AtomicU64| {
            let at = super::due_of(at)?;
            Some(now.saturating_sub(at))
        };
        let on_demand = load(&counters.healed_on_demand);
        let in_background = load(&counters.healed_in_background);
        let todo_bytes = load(&counters.scan_todo_bytes);
        HealStats {
            scans: load(&counters.scans),
            since_scan: since(&counters.last_scan),
            scanned_bytes: load(&counters.scanned_bytes),
            scan_done_bytes: load(&counters.scan_done_bytes).min(todo_bytes),
            scan_todo_bytes: todo_bytes,
            found: load(&counters.found),
            since_found: since(&counters.last_found),
            healed: on_demand + in_background,
            since_healed: since(&counters.last_healed),
            healed_on_demand: on_demand,
            healed_in_background: in_background,
            rescued_reads: load(&counters.rescued),
            unhealable: load(&counters.unhealable),
            unhealable_now: healing.lost.lock().len() as u64,
            waiting: healing.queue.lock().len() as u64,
            index_pages_damaged: load(&counters.index_pages_damaged),
            headers_damaged: load(&counters.headers_damaged),
            log_damaged: load(&counters.log_damaged),
        }
    }
}
