//! What a transaction's commit demands beside what every commit does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use docdb_mvcc::{CommitTs, first_committer_wins};

use super::read_set::ReadSet;
use super::write_set::WriteSet;
use crate::collections::Collection;
use crate::error::{Error, Result};
use crate::planted::{Bug, is_planted};

/// The terms on which a transaction's writes may be committed.
pub(crate) struct Terms<'a> {
    pub(crate) read_ts: CommitTs,
    pub(super) deadline: Duration,
    /// Those that are written to, as the transaction's snapshot knows them.
    collections: BTreeMap<&'a str, &'a Arc<Collection>>,
    pub(super) reads: Option<&'a ReadSet>,
}

impl<'a> Terms<'a> {
    pub(super) fn new(
        read_ts: CommitTs,
        deadline: Duration,
        writes: &'a WriteSet,
        reads: Option<&'a ReadSet>,
    ) -> Terms<'a> {
        let collections = writes.collections();
        Terms {
            read_ts,
            deadline,
            collections: collections.map(|c| (c.name.as_str(), c)).collect(),
            reads,
        }
    }

    /// The collection that the transaction means: not one that was created later.
    pub(crate) fn collection(&self, name: &str) -> Option<Arc<Collection>> {
        self.collections.get(name).map(|found| Arc::clone(found))
    }

    /// Whether a document that the transaction wrote, and whose newest version is `newest`, deletions
    /// included, was not committed by others since.
    pub(crate) fn check_written(&self, newest: CommitTs, name: &str, id: u64) -> Result<()> {
        if is_planted(Bug::FirstCommitterIgnored) {
            return Ok(());
        }
        first_committer_wins(self.read_ts, newest)
            .map_err(|lost_to| Error::conflict(name, id, lost_to))
    }

    /// Whether the deadline has not passed.
    pub(crate) fn check_time(&self, now: Duration) -> Result<()> {
        if now < self.deadline {
            Ok(())
        } else {
            Err(super::expired())
        }
    }
}
