//! Many runs into one.

use std::sync::Arc;

use docdb_mvcc::CommitTs;

use super::cursor::RunCursor;
use super::{Run, RunEntry, RunWriter};
use crate::{Key, Pointer, Result};

/// What became of the entries of merged runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MergeStats {
    /// Entries that were read.
    pub read: u64,
    /// Entries that were written.
    pub written: u64,
    /// Entries that a newer version replaced.
    pub superseded: u64,
    /// Deletions that were left out.
    pub tombstones_dropped: u64,
    /// Documents that `keep` refused.
    pub refused: u64,
}

/// The newest version of each document in several runs, in ascending order of keys, in bounded
/// memory: of a document the highest version wins, and between equal versions the newer run's.
pub struct Winners<P> {
    sources: Vec<Source<P>>,
    from: Key,
    to: Key,
    read: u64,
    superseded: u64,
}

struct Source<P> {
    cursor: RunCursor<Arc<Run<P>>, P>,
    head: Option<RunEntry<P>>,
}

impl<P: Pointer> Winners<P> {
    /// Those of `from..=to` in these runs, given newest first. Reads nothing yet beyond each run's
    /// first blocks.
    pub fn new(runs: &[Arc<Run<P>>], from: Key, to: Key) -> Result<Self> {
        let mut sources = Vec::with_capacity(runs.len());
        for run in runs {
            let cursor = if (from, to) == (Key::MIN, Key::MAX) {
                RunCursor::new(Arc::clone(run))
            } else {
                RunCursor::over(Arc::clone(run), from, to)
            };
            sources.push(Source { cursor, head: None });
        }
        let mut winners = Self {
            sources,
            from,
            to,
            read: 0,
            superseded: 0,
        };
        for i in 0..winners.sources.len() {
            winners.advance(i)?;
        }
        Ok(winners)
    }

    /// How many entries were read, superseded ones included.
    pub fn entries_read(&self) -> u64 {
        self.read
    }

    fn advance(&mut self, i: usize) -> Result<()> {
        let source = &mut self.sources[i];
        loop {
            source.head = source.cursor.next()?;
            match source.head {
                Some(entry) if entry.key < self.from => {}
                Some(entry) if entry.key > self.to => {
                    source.head = None;
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }

    /// The next document's newest version; `None` at the end. Not to be called again after an error.
    #[expect(clippy::should_implement_trait, reason = "fails once and for all")]
    pub fn next(&mut self) -> Result<Option<RunEntry<P>>> {
        let heads = self.sources.iter().filter_map(|source| source.head);
        let Some(key) = heads.map(|entry| entry.key).min() else {
            return Ok(None);
        };
        let mut winner: Option<RunEntry<P>> = None;
        for i in 0..self.sources.len() {
            let Some(entry) = self.sources[i].head.filter(|entry| entry.key == key) else {
                continue;
            };
            self.read += 1;
            self.advance(i)?;
            if winner.is_some() {
                self.superseded += 1;
            }
            // Newest run first, so that only a higher version replaces what was found.
            if winner.is_none_or(|winner| entry.ts > winner.ts) {
                winner = Some(entry);
            }
        }
        Ok(winner)
    }
}

/// A merge under way: it takes as many steps as its caller likes.
pub struct Merge<P> {
    winners: Winners<P>,
    drop_tombstones_below: CommitTs,
    stats: MergeStats,
}

impl<P: Pointer> Merge<P> {
    /// Merges runs, given newest first. Deletions by commits below `drop_tombstones_below` are left
    /// out. That is right only if the oldest run is among the merged, and nothing that is not, now or
    /// when the merged run is put in place, holds a version below that number. Zero keeps all.
    pub fn new(runs: &[Arc<Run<P>>], drop_tombstones_below: CommitTs) -> Result<Self> {
        Ok(Self {
            winners: Winners::new(runs, Key::MIN, Key::MAX)?,
            drop_tombstones_below,
            stats: MergeStats::default(),
        })
    }

    /// Moves on by about `entries_max` entries, at least one; whether that was the end. The caller
    /// finishes the writer then. `keep` sees each document that is left once and refuses those that
    /// are no longer wanted, as of a dropped collection. After an error the merge is to be abandoned.
    pub fn step(
        &mut self,
        writer: &mut RunWriter<P>,
        entries_max: u64,
        mut keep: impl FnMut(&Key) -> bool,
    ) -> Result<bool> {
        let end = self.winners.read.saturating_add(entries_max.max(1));
        while self.winners.read < end {
            let Some(entry) = self.winners.next()? else {
                return Ok(true);
            };
            if entry.pointer.is_none() && entry.ts < self.drop_tombstones_below {
                self.stats.tombstones_dropped += 1;
            } else if !keep(&entry.key) {
                self.stats.refused += 1;
            } else {
                self.stats.written += 1;
                writer.push(entry.key, entry.ts, entry.pointer)?;
            }
        }
        Ok(false)
    }

    /// What became of the entries so far.
    pub fn stats(&self) -> MergeStats {
        MergeStats {
            read: self.winners.read,
            superseded: self.winners.superseded,
            ..self.stats
        }
    }
}

/// A [`Merge`] in one go. `drop_tombstones` leaves all deletions out.
pub fn merge_runs<P: Pointer>(
    runs: &[Arc<Run<P>>],
    writer: &mut RunWriter<P>,
    drop_tombstones: bool,
    keep: impl FnMut(&Key) -> bool,
) -> Result<MergeStats> {
    let bound = if drop_tombstones {
        CommitTs::MAX
    } else {
        CommitTs::ZERO
    };
    let mut merge = Merge::new(runs, bound)?;
    merge.step(writer, u64::MAX, keep)?;
    Ok(merge.stats())
}
