//! Which data file is compacted next.
//!
//! One that takes nothing more, and that only the runs point into: what commits have written there
//! past the log is in a checkpoint.

use std::sync::atomic::Ordering;

use super::compact::CompactJob;
use super::{Victims, Work};
use crate::checkpoint::Checkpointer;
use crate::db::Inner;
use crate::manifest::DataFileEntry;
use crate::space::reclaimable_bytes;

/// On demand a file is compacted if this gives back one byte in so many.
const DEMAND_SHARE: u64 = 64;

/// An append file that is this share of a full one, or half a slice of which more than half is dead,
/// may be compacted, too, and is then appended to no more.
const APPEND_FILE_SHARE: u64 = 8;

impl Inner {
    /// Whether the background compacts this data file.
    pub(super) fn is_worthwhile(&self, state: &Checkpointer, entry: &DataFileEntry) -> bool {
        let options = &self.options;
        if options.compaction_bytes_per_second == 0 {
            return false;
        }
        let is_appended = state.manifest.append_file == Some(entry.number)
            || self.newest_bulk_file.load(Ordering::Relaxed) == entry.number;
        let is_small = entry.durable_bytes < options.data_file_bytes_max / APPEND_FILE_SHARE;
        let is_mostly_dead = entry.live_bytes < entry.durable_bytes / 2
            && entry.durable_bytes >= options.compact_slice_bytes / 2;
        if is_appended && is_small && !is_mostly_dead {
            return false;
        }
        let dead = reclaimable_bytes(entry, options.compact_slice_bytes);
        dead > 0
            && (dead >= options.compact_dead_bytes_max
                || dead as f64 >= entry.durable_bytes as f64 * options.compact_dead_share)
    }

    pub(super) fn choose_victim(
        &self,
        state: &Checkpointer,
        work: &Work,
        victims: Victims<'_>,
    ) -> Option<u32> {
        if self.upkeep.kept.lock().is_full() {
            return None;
        }
        let files = &state.manifest.data_files;
        let is_usable = |number: u32| {
            !work.damaged.contains(&number) && !self.is_written_by_commits(state, number)
        };
        let mut evacuate = self.upkeep.evacuate.lock();
        evacuate.retain(|number| files.iter().any(|entry| entry.number == *number));
        if let Some(number) = evacuate.iter().copied().find(|number| is_usable(*number)) {
            return Some(number);
        }
        drop(evacuate);
        match victims {
            // What gives back most for what is copied.
            Victims::Worthwhile => files
                .iter()
                .filter(|entry| self.is_worthwhile(state, entry) && is_usable(entry.number))
                .min_by_key(|entry| (entry.live_bytes << 10) / entry.durable_bytes.max(1))
                .map(|entry| entry.number),
            Victims::These(numbers) => loop {
                let number = numbers.pop_first()?;
                let entry = files.iter().find(|entry| entry.number == number);
                let pays = |entry: &&DataFileEntry| {
                    let dead = reclaimable_bytes(entry, self.options.compact_slice_bytes);
                    dead > 0 && dead.saturating_mul(DEMAND_SHARE) >= entry.durable_bytes
                };
                if entry.filter(pays).is_some() && is_usable(number) {
                    return Some(number);
                }
            },
        }
    }

    /// Whether commits that no checkpoint covers point into this data file, or may come to.
    fn is_written_by_commits(&self, state: &Checkpointer, number: u32) -> bool {
        // A large commit that is being written writes to the newest of its files.
        (self.newest_bulk_file.load(Ordering::Relaxed) == number && self.bulk.is_locked())
            || self.is_pending_in_bulk(state, number)
    }

    fn is_pending_in_bulk(&self, state: &Checkpointer, number: u32) -> bool {
        state.has_pending_bulk(number)
            || self
                .sequencer
                .lock()
                .bulk_files
                .numbers()
                .any(|n| n == number)
    }

    /// Has nobody write to this data file any more; false if somebody does at this moment. Then what
    /// points into it is in the runs, now and for ever.
    fn seal(&self, state: &mut Checkpointer, work: &mut Work, number: u32) -> bool {
        if let Some(mut bulk) = self.bulk.try_lock() {
            bulk.seal_file(number);
            // While no large commit is under way.
            if self.is_pending_in_bulk(state, number) {
                return false;
            }
        } else if self.newest_bulk_file.load(Ordering::Relaxed) == number
            || self.is_pending_in_bulk(state, number)
        {
            // The large commit that is under way may write there, and the next one, too.
            return false;
        }
        if state.manifest.append_file == Some(number) {
            state.manifest.append_file = None;
            state.writer = None;
        }
        if work.output.as_ref().map(|o| o.identity().number) == Some(number) {
            work.output = None;
        }
        true
    }

    pub(super) fn plan_compact(
        &self,
        state: &mut Checkpointer,
        work: &mut Work,
        victim: u32,
    ) -> Option<CompactJob> {
        self.seal(state, work, victim)
            .then(|| CompactJob::new(victim))
    }
}
