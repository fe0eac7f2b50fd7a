//! Deletes what a range of a collection holds.

use docdb_index::{Direction, Key, ReadMode};
use docdb_types::{ErrorKind, limits};
use docdb_wal::Durability;

use crate::db::{Db, Inner};
use crate::error::{Error, Result};
use crate::ops::WriteOp;

/// How often the range is looked at while others delete in it.
const TRIES: usize = 8;

/// What [`Db::delete_range`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangeDeleted {
    /// How many documents it has deleted.
    pub deleted: u64,
    /// The version of the commit; `None` if there was nothing to delete.
    pub version: Option<u64>,
    /// The next id of the range that holds a document, to go on from; `None` at the end.
    pub next: Option<u64>,
}

impl Db {
    /// Deletes the documents with ids from `from` to `to`, both inclusive, that are visible now: in one
    /// commit, which is durable when this returns. At most `limit`, and at most 65,536, the lowest ids
    /// first; the answer says where to go on.
    ///
    /// What others create in the range meanwhile may stay.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit of 0; `CollectionNotFound`; `Busy` if others have deleted in the
    /// range each time that it was tried; those of [`Db::submit`] that concern all of a commit.
    pub fn delete_range(
        &self,
        collection: &str,
        from: Option<u64>,
        to: Option<u64>,
        limit: Option<u64>,
    ) -> Result<RangeDeleted> {
        self.delete_range_as(collection, from, to, limit, self.inner.options.durability)
    }

    /// As [`Db::delete_range`], and waits for what `durability` asks for, if that is more than the
    /// database's mode does.
    ///
    /// # Errors
    /// As `delete_range`.
    pub fn delete_range_as(
        &self,
        collection: &str,
        from: Option<u64>,
        to: Option<u64>,
        limit: Option<u64>,
        durability: Durability,
    ) -> Result<RangeDeleted> {
        if limit == Some(0) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the limit of a deletion must be above 0",
            ));
        }
        let most = limit.map_or(limits::COMMIT_OPS_MAX, |limit| {
            limits::COMMIT_OPS_MAX.min(usize::try_from(limit).unwrap_or(usize::MAX))
        });
        for _ in 0..TRIES {
            self.inner.check_writable()?;
            let mut ids = self.inner.ids(collection, from, to, most + 1)?;
            let next = ids.get(most).copied();
            ids.truncate(most);
            if ids.is_empty() {
                return Ok(RangeDeleted {
                    deleted: 0,
                    version: None,
                    next: None,
                });
            }
            let ops: Vec<_> = ids
                .iter()
                .map(|id| WriteOp::delete(collection, *id))
                .collect();
            match self.submit_as(&ops, durability).wait() {
                Ok(committed) => {
                    return Ok(RangeDeleted {
                        deleted: ops.len() as u64,
                        version: Some(committed.version),
                        next,
                    });
                }
                // Somebody else has deleted one of them, which is visible by now.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(
            ErrorKind::Busy,
            format!("others delete in the range of collection {collection:?}; try again"),
        ))
    }
}

impl Inner {
    /// The first `most` ids of a range that hold documents, in one snapshot.
    fn ids(
        &self,
        collection: &str,
        from: Option<u64>,
        to: Option<u64>,
        most: usize,
    ) -> Result<Vec<u64>> {
        let snapshot = self.snapshot();
        let collection = self.collections.at(collection, snapshot.ts())?.id;
        let from = Key::new(collection, from.unwrap_or(0));
        let to = Key::new(collection, to.unwrap_or(u64::MAX));
        let mut scan = self
            .index
            .scan(from, to, Direction::Ascending, snapshot.ts());
        let mut ids = Vec::new();
        while ids.len() < most {
            let found = scan.next_chunk(&self.index, most - ids.len(), ReadMode::Blocking)?;
            if found.is_empty() {
                break;
            }
            ids.extend(found.iter().map(|(key, _)| key.id));
        }
        Ok(ids)
    }
}
