//! Merging runs.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use docdb_index::{Key, Merge, Run, RunIdentity, RunWriter, format, run_file_name};
use docdb_mvcc::CommitTs;
use docdb_types::ErrorKind;

use super::tiers;
use crate::checkpoint::Checkpointer;
use crate::db::Inner;
use crate::error::{Error, Result};
use crate::planted::{Bug, is_planted};
use crate::pointer::DocPtr;
use crate::publish::reserve_run;

/// The bytes of an entry.
const ENTRY_BYTES: u64 = format::entry_bytes::<DocPtr>() as u64;
/// Entries between two looks at what is to be synced.
const PART_ENTRIES: u64 = 2048;

/// A merge under way.
pub(super) struct MergeJob {
    inputs: Vec<Arc<Run<DocPtr>>>,
    unread_entries: u64,
    /// See [`Merge::new`].
    drop_tombstones_below: CommitTs,
    identity: RunIdentity,
    path: PathBuf,
    /// `None` before the first step.
    started: Option<(Merge<DocPtr>, RunWriter<DocPtr>)>,
    /// The checkpoint of the manifest that it was planned by; the merged run serves readers from
    /// there on.
    bound: CommitTs,
    /// The collections that existed then; entries of others are dropped.
    collections: BTreeSet<u32>,
    /// Of all runs: the entries that are known to be of dropped collections.
    dropped_entries: u64,
}

impl MergeJob {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for MergeJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergeJob")
            .field("inputs", &self.inputs)
            .field("output", &self.identity.number)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// The runs that are due to be merged, as positions in the manifest's order.
    pub(super) fn runs_to_merge(&self, state: &Checkpointer) -> Option<Range<usize>> {
        let metas: Vec<_> = self.index.runs().iter().map(|run| run.meta()).collect();
        let entries = metas.iter().map(|meta| meta.entries).sum();
        let tombstones: u64 = metas.iter().map(|meta| meta.tombstones).sum();
        let garbage = tombstones + state.manifest.dropped_entries;
        if !metas.is_empty() && tiers::is_purge_due(entries, garbage) {
            return Some(0..metas.len());
        }
        let entries: Vec<_> = metas.iter().map(|meta| meta.entries).collect();
        tiers::choose(&entries, self.options.runs_max)
    }

    /// A merge of a single run, which only writes it anew.
    pub(super) fn plan_rewrite(&self, state: &mut Checkpointer) -> Option<MergeJob> {
        let mut rewrite = self.upkeep.rewrite.lock();
        while let Some(number) = rewrite.pop_first() {
            let mut runs = state.manifest.runs.iter();
            if let Some(at) = runs.position(|entry| entry.number == number) {
                return Some(self.plan_merge(state, at..at + 1));
            }
        }
        None
    }

    pub(super) fn plan_merge(&self, state: &mut Checkpointer, range: Range<usize>) -> MergeJob {
        let runs = self.index.runs();
        let is_all = range == (0..runs.len());
        // A deletion hides older versions. They are all among the merged if the oldest run is, except
        // that a newer run that is not may hold a version at a new place: then the deletion stays, if
        // it is not older than everything there. (What is published while the merge goes on is newer
        // than all of it; compactions, which are not, wait for its end.)
        let drop_tombstones_below = if is_planted(Bug::DeletionDroppedEarly) {
            CommitTs::MAX
        } else if range.end == runs.len() {
            let newer = runs[..range.start].iter().map(|run| run.meta().min_ts);
            newer.min().unwrap_or(CommitTs::MAX)
        } else {
            CommitTs::ZERO
        };
        let inputs = runs[range].to_vec();
        let identity = reserve_run(&mut state.manifest, self.vfs.as_ref());
        let manifest = &state.manifest;
        MergeJob {
            unread_entries: inputs.iter().map(|run| run.meta().entries).sum(),
            inputs,
            drop_tombstones_below,
            path: self.dir.join(run_file_name(identity.number)),
            identity,
            started: None,
            bound: CommitTs(manifest.checkpoint_ts),
            collections: manifest.collections.iter().map(|entry| entry.id).collect(),
            dropped_entries: if is_all { manifest.dropped_entries } else { 0 },
        }
    }

    /// Whether that was the end of it, and the bytes that were read and written, about.
    pub(super) fn step_merge(&self, job: &mut MergeJob) -> Result<(bool, u64)> {
        let (mut merge, mut writer) = match job.started.take() {
            Some(started) => started,
            None => (
                Merge::new(&job.inputs, job.drop_tombstones_below)?,
                RunWriter::create(self.vfs.as_ref(), &job.path, job.identity)?,
            ),
        };
        let collections = &job.collections;
        let keep = |key: &Key| collections.contains(&key.collection);
        let before = writer.entries();
        let bytes = |job: &mut MergeJob, entries: u64, writer: &RunWriter<DocPtr>| {
            let read = entries.min(job.unread_entries);
            job.unread_entries -= read;
            (read + writer.entries() - before) * ENTRY_BYTES
        };
        let step_entries = self.options.compact_slice_bytes / ENTRY_BYTES;
        let mut entries = step_entries;
        while entries > 0 {
            let part = entries.min(PART_ENTRIES);
            entries -= part;
            if merge.step(&mut writer, part, keep)? {
                let bytes = bytes(job, step_entries, &writer);
                self.publish_merge(job, writer)?;
                return Ok((true, bytes));
            }
            self.pace_run(&mut writer)?;
        }
        // So that no step, nor the end, has much to wait for.
        writer.sync_written()?;
        let bytes = bytes(job, step_entries, &writer);
        job.started = Some((merge, writer));
        Ok((false, bytes))
    }

    fn publish_merge(&self, job: &MergeJob, writer: RunWriter<DocPtr>) -> Result<()> {
        let merged = if writer.entries() > 0 {
            Some(self.finish_run(writer)?)
        } else {
            self.vfs.remove_file(&job.path)?;
            None
        };
        self.sync_dir()?;
        let old: Vec<u64> = job.inputs.iter().map(|run| run.identity().number).collect();

        let mut state = self.checkpointer.lock();
        self.check_publishable()?;
        let mut manifest = state.manifest.clone();
        let start = manifest.runs.iter().position(|e| e.number == old[0]);
        let stand = start.filter(|start| {
            let standing = manifest.runs[*start..].iter().map(|entry| entry.number);
            standing.take(old.len()).eq(old.iter().copied())
        });
        let Some(start) = stand else {
            let what = "runs were replaced while they were merged";
            return Err(Error::new(ErrorKind::Internal, what));
        };
        let entry = merged.as_ref().map(|(entry, _)| *entry);
        manifest.runs.splice(start..start + old.len(), entry);
        manifest.dropped_entries = manifest.dropped_entries.saturating_sub(job.dropped_entries);
        self.replace_manifest(&mut state, manifest)?;
        self.index
            .replace_runs(&old, merged.map(|(_, run)| run), job.bound)?;
        self.counters.merges.fetch_add(1, Ordering::Relaxed);
        // Whoever reads one of them has it open. What cannot be removed now is removed by the next
        // open.
        for number in old {
            if !state.names_run(number) {
                let _ = self.vfs.remove_file(&self.dir.join(run_file_name(number)));
            }
        }
        self.count_pinned(&state);
        drop(state);
        self.release();
        Ok(())
    }
}
