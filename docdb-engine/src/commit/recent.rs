//! What was committed lately, for read sets that are being looked at.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use docdb_index::Key;
use docdb_mvcc::CommitTs;
use docdb_types::limits;
use parking_lot::{Mutex, MutexGuard};

use super::Sequencer;

/// Most documents that are kept: two of the largest commits, 3 MiB.
const ENTRIES_MAX: usize = 2 * limits::COMMIT_OPS_MAX;

/// The documents of the last commits, kept only while somebody watches. Changed under the sequencer.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    watchers: AtomicUsize,
    log: Mutex<Log>,
    /// The last commit that created or dropped a collection since the database was opened.
    catalog_ts: AtomicU64,
}

#[derive(Debug, Default)]
struct Log {
    /// In commit order.
    entries: VecDeque<(CommitTs, Key)>,
    /// What this commit wrote, or one before it, may be missing.
    lost: CommitTs,
}

/// What a look at the log comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lately<T> {
    /// The answer.
    Known(T),
    /// There is more of it than was asked for.
    TooMany,
    /// It is no longer known.
    Lost,
}

/// Keeps the log until it is dropped.
#[derive(Debug)]
pub(crate) struct Watching<'a>(&'a Recent);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut log = self.0.log.lock();
        if self.0.watchers.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The memory, too.
            log.entries = VecDeque::new();
        }
    }
}

impl Recent {
    /// From now on commits are noted: those that are sequenced after this call.
    pub(crate) fn watch(&self, _sequencer: &MutexGuard<'_, Sequencer>) -> Watching<'_> {
        self.watchers.fetch_add(1, Ordering::AcqRel);
        Watching(self)
    }

    /// A commit wrote these documents. Under the sequencer.
    pub(super) fn note(&self, ts: CommitTs, keys: impl Iterator<Item = Key>) {
        if self.watchers.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut log = self.log.lock();
        for key in keys {
            if log.entries.len() == ENTRIES_MAX
                && let Some((lost, _)) = log.entries.pop_front()
            {
                log.lost = lost;
            }
            log.entries.push_back((ts, key));
        }
    }

    /// A commit created or dropped a collection. Under the sequencer.
    pub(super) fn note_catalog(&self, ts: CommitTs) {
        self.catalog_ts.store(ts.0, Ordering::Release);
    }

    pub(crate) fn catalog_ts(&self) -> CommitTs {
        CommitTs(self.catalog_ts.load(Ordering::Acquire))
    }

    /// The first document that was written after commit `since` for which `is_hit` holds, if there are
    /// at most `entries_max` to ask for.
    pub(crate) fn find_since(
        &self,
        since: CommitTs,
        entries_max: usize,
        is_hit: impl Fn(Key) -> bool,
    ) -> Lately<Option<(CommitTs, Key)>> {
        let log = self.log.lock();
        if log.lost > since {
            return Lately::Lost;
        }
        let start = log.entries.partition_point(|(ts, _)| *ts <= since);
        if log.entries.len() - start > entries_max {
            return Lately::TooMany;
        }
        let mut later = log.entries.range(start..);
        Lately::Known(later.find(|(_, key)| is_hit(*key)).copied())
    }

    /// What was written after commit `since`.
    pub(crate) fn since(&self, since: CommitTs) -> Lately<Vec<(CommitTs, Key)>> {
        let log = self.log.lock();
        if log.lost > since {
            return Lately::Lost;
        }
        let start = log.entries.partition_point(|(ts, _)| *ts <= since);
        Lately::Known(log.entries.range(start..).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u64) -> Key {
        Key::new(1, id)
    }

    #[test]
    fn only_what_is_watched_is_kept() {
        let recent = Recent::default();
        let sequencer = Mutex::new(Sequencer::default());
        recent.note(CommitTs(1), [key(1)].into_iter());
        let first = recent.watch(&sequencer.lock());
        recent.note(CommitTs(2), [key(2), key(3)].into_iter());
        let second = recent.watch(&sequencer.lock());
        recent.note(CommitTs(3), [key(4)].into_iter());
        drop(first);
        let at = |ts, id| (CommitTs(ts), key(id));
        assert_eq!(
            recent.since(CommitTs(1)),
            Lately::Known(vec![at(2, 2), at(2, 3), at(3, 4)])
        );
        let find =
            |since, most, id| recent.find_since(CommitTs(since), most, |found| found == key(id));
        assert_eq!(find(1, 3, 3), Lately::Known(Some(at(2, 3))));
        assert_eq!(find(2, 3, 3), Lately::Known(None));
        assert_eq!(find(1, 2, 3), Lately::TooMany);
        drop(second);
        assert_eq!(recent.since(CommitTs(0)), Lately::Known(vec![]));
        recent.note(CommitTs(4), [key(1)].into_iter());
        assert_eq!(recent.since(CommitTs(0)), Lately::Known(vec![]));
    }

    #[test]
    fn what_does_not_fit_is_known_to_be_lost() {
        let recent = Recent::default();
        let sequencer = Mutex::new(Sequencer::default());
        let _watching = recent.watch(&sequencer.lock());
        for ts in 1..=ENTRIES_MAX as u64 + 3 {
            recent.note(CommitTs(ts), [key(ts)].into_iter());
        }
        let find = |since| recent.find_since(CommitTs(since), ENTRIES_MAX, |_| false);
        assert_eq!(find(2), Lately::Lost);
        assert_eq!(recent.since(CommitTs(2)), Lately::Lost);
        assert_eq!(find(3), Lately::Known(None));
    }
}
