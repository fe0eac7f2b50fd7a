//! What the index is ordered by.

use std::fmt;

/// Ids per block of a delta.
pub(crate) const BLOCK_IDS: u64 = 256;

/// A document: ordered by collection, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The collection's number.
    pub collection: u32,
    /// The document's id.
    pub id: u64,
}

impl Key {
    /// The lowest key.
    pub const MIN: Key = Key {
        collection: 0,
        id: 0,
    };
    /// The highest key.
    pub const MAX: Key = Key {
        collection: u32::MAX,
        id: u64::MAX,
    };

    /// A document's key.
    pub fn new(collection: u32, id: u64) -> Self {
        Self { collection, id }
    }

    /// The key after this one; `None` after the last.
    pub fn next(self) -> Option<Key> {
        match self.id.checked_add(1) {
            Some(id) => Some(Key { id, ..self }),
            None => Some(Key {
                collection: self.collection.checked_add(1)?,
                id: 0,
            }),
        }
    }

    /// The key before this one; `None` before the first.
    pub fn previous(self) -> Option<Key> {
        match self.id.checked_sub(1) {
            Some(id) => Some(Key { id, ..self }),
            None => Some(Key {
                collection: self.collection.checked_sub(1)?,
                id: u64::MAX,
            }),
        }
    }

    pub(crate) fn block(self) -> BlockKey {
        BlockKey {
            collection: self.collection,
            block: self.id / BLOCK_IDS,
        }
    }

    pub(crate) fn slot(self) -> u8 {
        (self.id % BLOCK_IDS) as u8
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.id)
    }
}

/// 256 consecutive ids of one collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockKey {
    pub(crate) collection: u32,
    pub(crate) block: u64,
}

impl BlockKey {
    pub(crate) fn key(self, slot: u8) -> Key {
        Key {
            collection: self.collection,
            id: self.block * BLOCK_IDS + u64::from(slot),
        }
    }

    pub(crate) fn first(self) -> Key {
        self.key(0)
    }

    pub(crate) fn last(self) -> Key {
        self.key(u8::MAX)
    }
}

/// The order of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the lowest key to the highest.
    Ascending,
    /// From the highest key to the lowest.
    Descending,
}

impl Direction {
    /// Whether `a` comes before `b`.
    pub fn is_before<T: Ord>(self, a: T, b: T) -> bool {
        match self {
            Direction::Ascending => a < b,
            Direction::Descending => a > b,
        }
    }

    /// Whichever comes first.
    pub(crate) fn first_of<T: Ord>(self, a: T, b: T) -> T {
        match self {
            Direction::Ascending => a.min(b),
            Direction::Descending => a.max(b),
        }
    }

    /// The first and the last key of `from..=to` in this order.
    pub(crate) fn ends(self, from: Key, to: Key) -> (Key, Key) {
        match self {
            Direction::Ascending => (from, to),
            Direction::Descending => (to, from),
        }
    }

    /// What is left of `from..=to` after `done` in this order; `None` if nothing.
    pub fn rest(self, from: Key, to: Key, done: Key) -> Option<(Key, Key)> {
        let (from, to) = match self {
            Direction::Ascending => (done.next()?.max(from), to),
            Direction::Descending => (from, done.previous()?.min(to)),
        };
        (from <= to).then_some((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_at_the_edges() {
        assert_eq!(Key::new(1, u64::MAX).next(), Some(Key::new(2, 0)));
        assert_eq!(Key::new(2, 0).previous(), Some(Key::new(1, u64::MAX)));
        assert_eq!((Key::MAX.next(), Key::MIN.previous()), (None, None));
    }

    #[test]
    fn blocks_cover_their_ids() {
        let key = Key::new(3, u64::MAX);
        assert_eq!((key.block().last(), key.slot()), (key, 255));
        assert_eq!(Key::new(3, 511).block().first(), Key::new(3, 256));
        assert_eq!(Key::new(3, 511).block().key(7), Key::new(3, 263));
    }

    #[test]
    fn the_rest_of_a_range() {
        let (a, b) = (Key::new(1, 5), Key::new(1, 9));
        assert_eq!(
            Direction::Ascending.rest(a, b, Key::new(1, 7)),
            Some((Key::new(1, 8), b))
        );
        assert_eq!(
            Direction::Descending.rest(a, b, Key::new(1, 7)),
            Some((a, Key::new(1, 6)))
        );
        assert_eq!(Direction::Ascending.rest(a, b, b), None);
        assert_eq!(Direction::Descending.rest(a, b, a), None);
        assert_eq!(Direction::Ascending.rest(a, Key::MAX, Key::MAX), None);
        assert_eq!(Direction::Descending.rest(Key::MIN, b, Key::MIN), None);
    }
}
