//! The budget of the log's files: what gives way when they take too much, and how much room is left.
//!
//! Two kinds of files serve no recovery: segments that are kept although nobody needs them, and files
//! of retired segments that wait to serve again. They give way, in this order, when the next segment
//! would not fit beside them, and down to a part of the budget whenever segments are retired. What is
//! left then is bounded by whoever appends, who is told how much room there is.

use std::sync::Arc;

use super::Log;
use crate::error::Result;
use crate::preparer::Preparer;
use crate::reserve;
use crate::sync::atomic::Ordering;

impl Log {
    /// Has what serves no recovery give way to a segment with room for a group of `bytes`, if that has
    /// to be begun. What cannot be removed now is tried again with the next.
    pub(super) fn give_way(self: &Arc<Self>, bytes: u64) {
        let Some(max) = self.options.budget_bytes() else {
            return;
        };
        if self.preparer.lock().growth_bytes(bytes) == 0 {
            return;
        }
        let _one_at_a_time = self.retiring.lock();
        loop {
            let growth = self.preparer.lock().growth_bytes(bytes);
            if growth == 0 || self.file_bytes() + growth <= max {
                return;
            }
            if !matches!(self.give_up_one(), Ok(true)) {
                return;
            }
        }
    }

    /// Leaves of what serves no recovery only what fits into a part of the budget: a smaller one if
    /// nothing was sealed since what was retired, as in a log that is idle.
    pub(super) fn shrink(self: &Arc<Self>) -> Result<usize> {
        let Some(max) = self.options.budget_bytes() else {
            return Ok(0);
        };
        let needed_lsn = self.needed_lsn.load(Ordering::Relaxed);
        let is_quiet = self.unneeded(needed_lsn).len() + 1 >= self.segments.lock().len();
        let part = if is_quiet { max / 2 } else { max / 4 * 3 };
        // What is set aside is a little larger than a segment.
        let limit = part + reserve::wanted_bytes(0);
        let before = self.segments.lock().len();
        let drop_retired = || self.preparer.lock().drop_retired(&self.home).is_some();
        // A log that grows slowly can write its next segment anew.
        while self.file_bytes() > limit && (is_quiet && drop_retired() || self.give_up_one()?) {}
        Ok(before.saturating_sub(self.segments.lock().len()))
    }

    /// Gives up the oldest segment that nobody needs, or a file that waits to serve again; false if
    /// there is neither. The file of a segment may be made one that waits.
    fn give_up_one(self: &Arc<Self>) -> Result<bool> {
        let oldest = self.unneeded(self.needed_lsn.load(Ordering::Relaxed));
        match oldest.into_iter().next() {
            Some(oldest) => self.retire(oldest).map(|()| true),
            None => Ok(self.preparer.lock().drop_retired(&self.home).is_some()),
        }
    }

    /// The bytes of all files.
    pub(crate) fn file_bytes(&self) -> u64 {
        let preparer = self.preparer.lock();
        let others = preparer.file_bytes() + preparer.reserved_bytes();
        let segments = self.segments.lock();
        others + segments.iter().map(|s| s.capacity_bytes).sum::<u64>()
    }

    /// Reckons anew how much can be appended behind the current segment within the budget. To be called
    /// whenever segments were added or retired.
    pub(super) fn reckon_room(&self, preparer: &Preparer) {
        let needed_lsn = self.needed_lsn.load(Ordering::Relaxed);
        let (mut current, mut sealed) = (0, 0);
        for segment in self.segments.lock().iter() {
            match segment.last_lsn {
                None => current = segment.capacity_bytes,
                Some(last) if last >= needed_lsn => sealed += segment.capacity_bytes,
                Some(_) => {}
            }
        }
        self.sealed_bytes.store(sealed, Ordering::Relaxed);
        let Some(max) = self.options.budget_bytes() else {
            return;
        };
        let next = preparer.next_bytes();
        // Of what is free only whole segments count, since no others are begun, and what is set aside
        // grows with the largest.
        let unit = preparer.capacity_bytes_max();
        let reserve = reserve::wanted_bytes(unit.max(next).max(current));
        let reserve = reserve.max(preparer.reserved_bytes());
        let unit = unit as i64;
        let free = max as i64 - (sealed + current + next + reserve) as i64;
        // The next one is used only if there is place for another behind it, which is prepared then.
        let behind = next as i64 + (free.div_euclid(unit) - 1) * unit;
        self.room_behind_bytes
            .store(behind as u64, Ordering::Relaxed);
    }

    /// How much can still be appended before the files pass the budget.
    pub(crate) fn room_bytes(&self) -> u64 {
        let behind = self.room_behind_bytes.load(Ordering::Relaxed) as i64;
        let current = self.room_here_bytes.load(Ordering::Relaxed) as i64;
        behind.saturating_add(current).max(0) as u64
    }
}
