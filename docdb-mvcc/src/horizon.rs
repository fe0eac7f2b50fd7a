//! Which versions somebody may still read.

use std::fmt;

use crate::CommitTs;

/// Most commit numbers that a horizon names one by one.
pub const HELD_MAX: usize = 32;

/// The commit numbers that are read at, as they were at one moment: some that are held, and every
/// number from the visible watermark on, where a reader may begin at any time.
///
/// A version is needed if somebody reads at a number at which it is the newest. So what lies between
/// two held numbers and is seen from neither need not be kept, however old the oldest of them is.
///
/// A horizon has a fixed size. When more than [`HELD_MAX`] numbers are held, it names the oldest of
/// them, and counts every number from the next one on as read: that keeps more, never less.
#[derive(Clone, Copy)]
pub struct Horizon {
    /// Ascending; the first `count` count.
    held: [CommitTs; HELD_MAX],
    count: usize,
    from: CommitTs,
    conflicts_from: CommitTs,
}

impl Horizon {
    /// `held` ascending, all at or below `visible`; `conflicts_from` is the lowest number at which a
    /// transaction reads.
    pub(crate) fn new(
        held: impl Iterator<Item = CommitTs>,
        visible: CommitTs,
        conflicts_from: Option<CommitTs>,
    ) -> Self {
        let mut horizon = Self::from(visible);
        for ts in held {
            if horizon.held().last() == Some(&ts) {
                continue;
            }
            if horizon.count == HELD_MAX {
                horizon.from = horizon.from.min(ts);
                break;
            }
            horizon.held[horizon.count] = ts;
            horizon.count += 1;
        }
        horizon.conflicts_from = conflicts_from.unwrap_or(CommitTs::MAX);
        horizon
    }

    fn held(&self) -> &[CommitTs] {
        &self.held[..self.count]
    }

    /// The lowest number that is read at.
    pub fn oldest(&self) -> CommitTs {
        let first = self.held().first();
        first.map_or(self.from, |first| self.from.min(*first))
    }

    /// Whether somebody reads at a number from `start` on and below `end`: whether a version that
    /// commit `start` wrote and commit `end` superseded is needed.
    pub fn needs(&self, start: CommitTs, end: CommitTs) -> bool {
        let held = self.held();
        let next = held.partition_point(|ts| *ts < start);
        start < end && (self.from < end || held.get(next).is_some_and(|ts| *ts < end))
    }

    /// What was committed above this number may have to be known to tell whether a transaction lost
    /// to it, deletions included; [`CommitTs::MAX`] if there is no transaction.
    pub fn conflicts_from(&self) -> CommitTs {
        self.conflicts_from
    }
}

/// Nobody reads below this number, and anybody may at or above it.
impl From<CommitTs> for Horizon {
    fn from(from: CommitTs) -> Self {
        Self {
            held: [CommitTs::ZERO; HELD_MAX],
            count: 0,
            from,
            conflicts_from: CommitTs::MAX,
        }
    }
}

impl fmt::Debug for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Horizon")
            .field("held", &self.held())
            .field("from", &self.from)
            .field("conflicts_from", &self.conflicts_from)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn horizon(held: &[u64], visible: u64) -> Horizon {
        let held = held.iter().map(|ts| CommitTs(*ts));
        Horizon::new(held, CommitTs(visible), None)
    }

    fn needs(horizon: &Horizon, start: u64, end: u64) -> bool {
        horizon.needs(CommitTs(start), CommitTs(end))
    }

    #[test]
    fn what_lies_between_two_readers_is_not_needed() {
        let h = horizon(&[3, 9], 20);
        assert_eq!(h.oldest(), CommitTs(3));
        assert!(!needs(&h, 1, 3), "superseded at 3 is not seen at 3");
        assert!(needs(&h, 1, 4) && needs(&h, 3, 4));
        assert!(!needs(&h, 4, 9) && needs(&h, 4, 10) && needs(&h, 9, 10));
        assert!(!needs(&h, 10, 20), "a reader that begins at 20 sees 20");
        assert!(needs(&h, 10, 21) && needs(&h, 20, 30) && needs(&h, 25, 26));
        assert!(!needs(&h, 9, 9));
    }

    #[test]
    fn without_readers_all_below_the_watermark_goes() {
        let h = Horizon::from(CommitTs(7));
        assert_eq!(h.oldest(), CommitTs(7));
        assert!(!needs(&h, 1, 7) && needs(&h, 1, 8));
    }

    #[test]
    fn more_readers_than_fit_keep_more() {
        let many: Vec<_> = (0..HELD_MAX as u64 + 5).map(|n| n * 10).collect();
        let h = horizon(&many, 10_000);
        assert_eq!(h.oldest(), CommitTs(0));
        assert!(!needs(&h, 1, 10) && needs(&h, 1, 11));
        let first_unnamed = HELD_MAX as u64 * 10;
        assert!(!needs(&h, first_unnamed - 9, first_unnamed));
        assert!(needs(&h, first_unnamed + 1, first_unnamed + 2));
    }
}
