//! Ranges of keys; those that touch are one.

use std::collections::BTreeMap;

use docdb_index::Key;

/// Disjoint ranges that do not touch one another, each by its first and last key.
#[derive(Debug, Default)]
pub(crate) struct RangeSet(BTreeMap<Key, Key>);

impl RangeSet {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, Key)> {
        self.0.iter().map(|(from, to)| (*from, *to))
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        let before = self.0.range(..=key).next_back();
        before.is_some_and(|(_, to)| key <= *to)
    }

    /// The first of the ranges that touch `from..=to`, or lie in it; of them the one with the highest
    /// keys.
    fn touching(&self, from: Key, to: Key) -> Option<(Key, Key)> {
        let end = to.next().unwrap_or(to);
        let (low, high) = self.0.range(..=end).next_back()?;
        let touches = high.next().is_none_or(|after| after >= from);
        touches.then_some((*low, *high))
    }

    /// Whether adding a range makes the set larger.
    pub(crate) fn grows_by(&self, from: Key, to: Key) -> bool {
        self.touching(from, to).is_none()
    }

    pub(crate) fn add(&mut self, mut from: Key, mut to: Key) {
        while let Some((low, high)) = self.touching(from, to) {
            self.0.remove(&low);
            from = from.min(low);
            to = to.max(high);
        }
        self.0.insert(from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        let mut set = RangeSet::default();
        for (from, to) in ranges {
            set.add(Key::new(1, *from), Key::new(1, *to));
        }
        set
    }

    fn ids(set: &RangeSet) -> Vec<(u64, u64)> {
        set.iter().map(|(from, to)| (from.id, to.id)).collect()
    }

    #[test]
    fn ranges_that_touch_are_one() {
        assert_eq!(ids(&set(&[(1, 3), (4, 6)])), [(1, 6)]);
        assert_eq!(ids(&set(&[(4, 6), (1, 3)])), [(1, 6)]);
        assert_eq!(ids(&set(&[(1, 3), (5, 6)])), [(1, 3), (5, 6)]);
        assert_eq!(ids(&set(&[(1, 3), (5, 6), (9, 9), (4, 8)])), [(1, 9)]);
        assert_eq!(ids(&set(&[(1, 9), (3, 4)])), [(1, 9)]);
        assert_eq!(ids(&set(&[(3, 4), (1, 9)])), [(1, 9)]);
        let all = set(&[(0, u64::MAX), (u64::MAX, u64::MAX)]);
        assert_eq!(ids(&all), [(0, u64::MAX)]);
    }

    /// Against a list of ids.
    #[test]
    fn it_holds_what_was_added_and_nothing_else() {
        let mut random = 1_u64;
        for _ in 0..200 {
            let mut added = [false; 64];
            let mut ranges = RangeSet::default();
            for _ in 0..12 {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                let from = (random >> 33) % 60;
                let to = from + (random >> 50) % 4;
                let before = ranges.len();
                let grows = ranges.grows_by(Key::new(1, from), Key::new(1, to));
                ranges.add(Key::new(1, from), Key::new(1, to));
                assert_eq!(grows, ranges.len() > before);
                added[from as usize..=to as usize].fill(true);
            }
            for (id, added) in added.into_iter().enumerate() {
                assert_eq!(ranges.contains(Key::new(1, id as u64)), added, "{id}");
            }
            let gaps = ids(&ranges);
            assert!(
                gaps.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0),
                "{gaps:?}"
            );
        }
    }
}
