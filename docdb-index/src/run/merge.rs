//! Many runs into one.

use std::sync::Arc;

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

/// Merges runs, given newest first, into `writer`, in bounded memory; the caller finishes it. Of a
/// document the highest version wins, and between equal versions the newer run's.
///
/// `drop_tombstones` leaves deletions out. That is right only if the oldest run is among the merged
/// and nothing that is not could still hold an older version. `keep` sees each remaining document
/// once and refuses those that are no longer wanted, as of a dropped collection.
pub fn merge_runs<P: Pointer>(
    runs: &[Arc<Run<P>>],
    writer: &mut RunWriter<P>,
    drop_tombstones: bool,
    mut keep: impl FnMut(&Key) -> bool,
) -> Result<MergeStats> {
    let mut stats = MergeStats::default();
    let mut sources = Vec::with_capacity(runs.len());
    for run in runs {
        let mut cursor = RunCursor::new(run);
        let head = cursor.next()?;
        sources.push((cursor, head));
    }
    while let Some(key) = sources
        .iter()
        .filter_map(|(_, head)| head.map(|entry| entry.key))
        .min()
    {
        let mut winner: Option<RunEntry<P>> = None;
        for (cursor, head) in &mut sources {
            let Some(entry) = head.filter(|entry| entry.key == key) else {
                continue;
            };
            stats.read += 1;
            *head = cursor.next()?;
            if winner.is_some() {
                stats.superseded += 1;
            }
            // Newest run first, so that only a higher version replaces what was found.
            if winner.is_none_or(|winner| entry.ts > winner.ts) {
                winner = Some(entry);
            }
        }
        let Some(entry) = winner else { continue };
        if entry.pointer.is_none() && drop_tombstones {
            stats.tombstones_dropped += 1;
        } else if !keep(&key) {
            stats.refused += 1;
        } else {
            stats.written += 1;
            writer.push(key, entry.ts, entry.pointer)?;
        }
    }
    Ok(stats)
}
