//! Whether what a serializable transaction has read is still so when it commits.
//!
//! All of the read set is looked at outside the sequencer, in the index: only layers with commits
//! since the transaction began are asked. What is committed meanwhile is noted in a log
//! ([`Recent`](crate::commit::Recent)), and only those documents are compared with the read set under
//! the sequencer, if they are few; else they are compared outside, and what was committed meanwhile
//! under it. So the work under the sequencer has a bound, whatever was read and whoever writes.

use docdb_index::{Key, ReadMode, Searched};
use docdb_mvcc::CommitTs;
use docdb_types::ErrorKind;
use parking_lot::MutexGuard;

use super::read_set::ReadSet;
use super::terms::Terms;
use crate::commit::{Lately, Sequencer, Watching};
use crate::db::Inner;
use crate::error::Error;
use crate::planted::{Bug, is_planted};

/// Documents that are compared with a read set under the sequencer at most.
const COMPARED_MAX: usize = 64;
/// Documents between two looks at the clock.
const POINTS_PER_LOOK: usize = 1024;

/// Why a commit is refused, and the commit that may have been the reason.
pub(crate) struct Refused {
    pub(crate) error: Error,
    pub(crate) rests_on: CommitTs,
}

/// For a reason that has nothing to do with other commits.
impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused {
            error,
            rests_on: CommitTs::ZERO,
        }
    }
}

type Checked<T = ()> = std::result::Result<T, Refused>;

/// What the sequencer is told of a read set.
pub(crate) enum Confirmed {
    /// It is as it was.
    Yes,
    No(Refused),
    /// There is more to compare than is done under the sequencer: catch up, and ask again.
    Later,
}

/// A read set that is as it was, up to a commit.
pub(crate) struct ReadCheck<'a> {
    inner: &'a Inner,
    terms: &'a Terms<'a>,
    reads: &'a ReadSet,
    /// Of what was committed up to here nothing was read before.
    checked_ts: CommitTs,
    /// The last change to the collections when names were looked at.
    catalog_ts: CommitTs,
    _watching: Watching<'a>,
}

impl Inner {
    /// Looks at a transaction's read set, if it has one, outside the sequencer.
    pub(crate) fn check_reads<'a>(
        &'a self,
        terms: &'a Terms<'a>,
    ) -> Checked<Option<ReadCheck<'a>>> {
        let Some(reads) = terms.reads else {
            return Ok(None);
        };
        if is_planted(Bug::ReadSetUnchecked) {
            return Ok(None);
        }
        let (watching, installed) = {
            let sequencer = self.sequencer.lock();
            (self.transactions.recent.watch(&sequencer), self.installed())
        };
        let mut check = ReadCheck {
            inner: self,
            terms,
            reads,
            checked_ts: installed,
            catalog_ts: CommitTs::ZERO,
            _watching: watching,
        };
        check.look_at_all()?;
        Ok(Some(check))
    }
}

impl ReadCheck<'_> {
    /// Under the sequencer, without I/O and with bounded work: whether nothing that was read has been
    /// committed by now.
    pub(crate) fn confirm(&self, _sequencer: &MutexGuard<'_, Sequencer>) -> Confirmed {
        if is_planted(Bug::LateCommitsUnchecked) {
            return Confirmed::Yes;
        }
        let recent = &self.inner.transactions.recent;
        if recent.catalog_ts() > self.catalog_ts {
            return Confirmed::Later;
        }
        let found = recent.find_since(self.checked_ts, COMPARED_MAX, |key| {
            self.reads.contains(key)
        });
        match found {
            Lately::Known(None) => Confirmed::Yes,
            Lately::Known(Some((ts, key))) => Confirmed::No(self.lost(key, ts)),
            Lately::TooMany | Lately::Lost => Confirmed::Later,
        }
    }

    /// Compares what was committed since the last look, outside the sequencer.
    pub(crate) fn catch_up(&mut self) -> Checked {
        self.terms.check_time(self.inner.vfs.now())?;
        match self.inner.transactions.recent.since(self.checked_ts) {
            Lately::Known(commits) => {
                self.look_at_names()?;
                let mut hits = commits.iter().filter(|(_, key)| self.reads.contains(*key));
                if let Some((ts, key)) = hits.next() {
                    return Err(self.lost(*key, *ts));
                }
                if let Some((last, _)) = commits.last() {
                    self.checked_ts = *last;
                }
                Ok(())
            }
            Lately::TooMany | Lately::Lost => {
                // Everything up to here is in the index as a whole.
                let sequencer = self.inner.sequencer.lock();
                self.checked_ts = self.inner.installed();
                drop(sequencer);
                self.look_at_all()
            }
        }
    }

    fn look_at_all(&mut self) -> Checked {
        self.look_at_names()?;
        let (inner, since) = (self.inner, self.terms.read_ts);
        for (i, key) in self.reads.points().enumerate() {
            if i % POINTS_PER_LOOK == 0 {
                self.terms.check_time(inner.vfs.now())?;
            }
            let newest = inner.index.newest_since(key, since, ReadMode::Blocking);
            if let Some(ts) = newest.map_err(Error::from)? {
                return Err(self.lost(key, ts));
            }
        }
        for (mut from, to) in self.reads.ranges() {
            loop {
                self.terms.check_time(inner.vfs.now())?;
                let step = inner
                    .index
                    .search_since(from, to, since, ReadMode::Blocking);
                match step.map_err(Error::from)? {
                    Searched::Found(key, ts) => return Err(self.lost(key, ts)),
                    Searched::Nothing => break,
                    Searched::Through(key) => match key.next() {
                        Some(next) => from = next,
                        None => break,
                    },
                }
            }
        }
        Ok(())
    }

    /// Whether the names still stand for what they stood for.
    fn look_at_names(&mut self) -> Checked {
        let inner = self.inner;
        // Before the look: what changes during it is looked at again.
        let catalog_ts = inner.transactions.recent.catalog_ts();
        if std::mem::replace(&mut self.catalog_ts, catalog_ts) == catalog_ts
            || catalog_ts <= self.terms.read_ts
        {
            return Ok(());
        }
        if self.reads.has_all_names() {
            let what = "the list of collections that it read was changed";
            return Err(lost(what, catalog_ts));
        }
        for (name, id) in self.reads.names() {
            let now = inner.collections.installed(name);
            // Whether what it wrote to is still there is asked of each write, and has its own answer.
            let is_written = self.terms.collection(name).is_some();
            if is_written || now.as_ref().map(|collection| collection.id) == id {
                continue;
            }
            let old = id.and_then(|id| inner.collections.by_id(id));
            let changed = old.and_then(|old| old.dropped());
            let changed = changed.or_else(|| now.map(|now| now.created()));
            let what = format!("collection {name:?}, which it read, was created or dropped");
            return Err(lost(&what, changed.unwrap_or(catalog_ts)));
        }
        Ok(())
    }

    fn lost(&self, key: Key, ts: CommitTs) -> Refused {
        let collection = self.inner.collections.by_id(key.collection);
        let name = collection.map_or_else(String::new, |collection| collection.name.clone());
        let id = key.id;
        lost(
            &format!("document {id} of collection {name:?}, which it read, was written"),
            ts,
        )
    }
}

fn lost(what: &str, ts: CommitTs) -> Refused {
    let message = format!("{what} in version {ts} since the transaction began; begin it anew");
    Refused {
        error: Error::new(ErrorKind::Conflict, message).with_version(ts.0),
        rests_on: ts,
    }
}
