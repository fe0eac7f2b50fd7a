//! What a serializable transaction has read.

use ahash::{AHashMap, AHashSet};
use docdb_index::Key;
use docdb_types::ErrorKind;

use super::range_set::RangeSet;
use crate::error::{Error, Result};

/// What an entry takes in memory, in bytes; estimates.
pub(super) const POINT_BYTES: u64 = 32;
pub(super) const RANGE_BYTES: u64 = 64;
pub(super) const NAME_BYTES: u64 = 160;
/// What one call notes at most: a name, and a document or a range.
pub(super) const NOTE_BYTES_MAX: u64 = NAME_BYTES + RANGE_BYTES;

/// Documents, ranges of ids, and names of collections, present or absent.
#[derive(Debug)]
pub(crate) struct ReadSet {
    points: AHashSet<Key>,
    ranges: RangeSet,
    /// Which collection a name stood for.
    names: AHashMap<String, Option<u32>>,
    /// Whether the list of collections was read.
    all_names: bool,
    points_max: usize,
    ranges_max: usize,
}

impl ReadSet {
    pub(super) fn new(points_max: usize, ranges_max: usize) -> ReadSet {
        ReadSet {
            points: AHashSet::new(),
            ranges: RangeSet::default(),
            names: AHashMap::new(),
            all_names: false,
            points_max,
            ranges_max,
        }
    }

    /// Adds a document. Returns by how many bytes the set grew.
    ///
    /// # Errors
    /// `LimitExceeded`; the set is as it was.
    pub(super) fn add_point(&mut self, key: Key) -> Result<u64> {
        if self.ranges.contains(key) || self.points.contains(&key) {
            return Ok(0);
        }
        if self.points.len() >= self.points_max {
            return Err(limit_exceeded(
                self.points_max,
                "documents",
                "transaction_read_points_max",
            ));
        }
        self.points.insert(key);
        Ok(POINT_BYTES)
    }

    /// Adds a range; see [`ReadSet::add_point`].
    pub(super) fn add_range(&mut self, from: Key, to: Key) -> Result<u64> {
        let grows = self.ranges.grows_by(from, to);
        if grows && self.ranges.len() >= self.ranges_max {
            return Err(limit_exceeded(
                self.ranges_max,
                "ranges",
                "transaction_read_ranges_max",
            ));
        }
        self.ranges.add(from, to);
        Ok(if grows { RANGE_BYTES } else { 0 })
    }

    /// Adds what a name stands for; see [`ReadSet::add_point`].
    pub(super) fn add_name(&mut self, name: &str, id: Option<u32>) -> Result<u64> {
        if self.names.contains_key(name) {
            return Ok(0);
        }
        if self.names.len() >= self.points_max {
            return Err(limit_exceeded(
                self.points_max,
                "names",
                "transaction_read_points_max",
            ));
        }
        self.names.insert(name.to_owned(), id);
        Ok(NAME_BYTES)
    }

    /// Whether nothing was read.
    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty() && self.ranges.len() == 0 && self.names.is_empty()
    }

    /// Adds the list of collections.
    pub(super) fn add_all_names(&mut self) {
        self.all_names = true;
    }

    pub(super) fn has_all_names(&self) -> bool {
        self.all_names
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&str, Option<u32>)> {
        self.names.iter().map(|(name, id)| (name.as_str(), *id))
    }

    pub(super) fn points(&self) -> impl Iterator<Item = Key> {
        self.points.iter().copied()
    }

    pub(super) fn ranges(&self) -> impl Iterator<Item = (Key, Key)> {
        self.ranges.iter()
    }

    /// Whether the document was read, by itself or in a range.
    pub(super) fn contains(&self, key: Key) -> bool {
        self.points.contains(&key) || self.ranges.contains(key)
    }
}

fn limit_exceeded(most: usize, what: &str, option: &str) -> Error {
    Error::new(
        ErrorKind::LimitExceeded,
        format!(
            "a serializable transaction reads at most {most} {what}; read less, or scan ranges, or \
             raise {option}"
        ),
    )
}
