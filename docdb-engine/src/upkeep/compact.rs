//! Compacting one data file: what is live is copied away, then the file goes.
//!
//! A slice at a time, in bounded memory:
//!
//! 1. Read verified frames from where the last slice ended, look up in the runs which of them are
//!    current, and append those to the output file; sync it.
//! 2. Under the checkpointer's lock: leave out what a checkpoint has superseded meanwhile, write a
//!    *relocation run* with the same versions at their new places, and publish both by a manifest
//!    edit. With the last slice the edit leaves out the file itself.
//!
//! The file goes only if its count of live bytes has come down to zero. A frame that does not verify
//! keeps its file: its document is neither lost nor passed off as absent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use docdb_datafile::{
    DataFile, DataFileError, DataFileWriter, FilePtr, Frame, FrameId, data_file_name,
};
use docdb_index::{IndexError, Key, Probe, Run, RunWriter, run_file_name};
use docdb_mvcc::CommitTs;
use docdb_types::ErrorKind;

use super::Work;
use crate::checkpoint::Checkpointer;
use crate::db::Inner;
use crate::error::{Error, Result};
use crate::manifest::{DataFileEntry, RunEntry};
use crate::planted::{Bug, is_planted};
use crate::pointer::DocPtr;
use crate::publish::{entry_of, reserve_run};
use crate::space::{LiveChanges, READ_FACTOR};

/// Most documents that a slice moves: the relocation run is written under the checkpointer's lock.
const SLICE_DOCUMENTS: usize = 64 << 10;
/// A compaction under way.
#[derive(Debug)]
pub(super) struct CompactJob {
    victim: u32,
    /// Where the next slice begins.
    offset: u64,
    /// What before there does not verify first.
    damage: Option<Error>,
}

impl CompactJob {
    pub(super) fn new(victim: u32) -> CompactJob {
        CompactJob {
            victim,
            offset: 0,
            damage: None,
        }
    }
}

/// What a slice has read and copied.
pub(super) struct Slice {
    pub(super) runs: Vec<Arc<Run<DocPtr>>>,
    pub(super) collections: BTreeSet<u32>,
    /// In the order of the keys.
    pub(super) moved: Vec<Moved>,
    read_bytes: u64,
    pub(super) copied_bytes: u64,
    /// The file's end was reached.
    is_last: bool,
}

impl Slice {
    /// Nothing copied yet, of what these runs and collections hold.
    pub(super) fn new(runs: Vec<Arc<Run<DocPtr>>>, collections: BTreeSet<u32>) -> Slice {
        Slice {
            runs,
            collections,
            moved: Vec::new(),
            read_bytes: 0,
            copied_bytes: 0,
            is_last: false,
        }
    }
}

/// What came of a slice.
pub(super) struct Published {
    /// The victim is in the manifest no more.
    pub(super) is_gone: bool,
    /// What has a new place, in order.
    pub(super) keys: Vec<Key>,
}

/// A document's current version that was copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    pub(super) key: Key,
    pub(super) ts: CommitTs,
    pub(super) from: FilePtr,
    pub(super) to: FilePtr,
}

impl Inner {
    /// Whether that was the end of it, and the bytes that were read and written.
    pub(super) fn step_compact(
        &self,
        job: &mut CompactJob,
        work: &mut Work,
    ) -> Result<(bool, u64)> {
        let started = self.vfs.now();
        let Some(file) = self.store.get(job.victim) else {
            return Ok((true, 0));
        };
        let slice = self.copy_slice(job, &file, work)?;
        let bytes = slice.read_bytes + slice.copied_bytes;
        let is_gone = self.publish_slice(Some(job.victim), &slice, work)?.is_gone;
        let took = self.vfs.now().saturating_sub(started).as_nanos() as u64;
        let counters = &self.counters;
        counters.compaction_nanos.fetch_add(took, Ordering::Relaxed);
        counters
            .compacted_bytes
            .fetch_add(slice.copied_bytes, Ordering::Relaxed);
        if is_gone {
            counters.compactions.fetch_add(1, Ordering::Relaxed);
        }
        if slice.is_last {
            let nanos = counters.compaction_nanos.swap(0, Ordering::Relaxed);
            counters
                .last_compaction_nanos
                .store(nanos, Ordering::Relaxed);
        }
        if !slice.is_last || is_gone {
            return Ok((slice.is_last, bytes));
        }
        work.damaged.insert(job.victim);
        Err(job.damage.take().unwrap_or_else(|| {
            let path = file.path().display();
            Error::new(
                ErrorKind::Internal,
                format!("{path} counts as referenced after all of it was moved; it is kept"),
            )
        }))
    }

    fn copy_slice(&self, job: &mut CompactJob, file: &DataFile, work: &mut Work) -> Result<Slice> {
        let bytes_max = self.options.compact_slice_bytes.max(1);
        let (mut slice, has_live) = {
            let state = self.checkpointer.lock();
            self.check_publishable()?;
            let manifest = &state.manifest;
            let entry = manifest.data_files.iter().find(|e| e.number == job.victim);
            let collections = manifest.collections.iter().map(|entry| entry.id).collect();
            let slice = Slice::new(self.index.runs(), collections);
            (slice, entry.is_some_and(|entry| entry.live_bytes > 0))
        };
        if !has_live {
            slice.is_last = true;
            return Ok(slice);
        }
        let mut frames = file.frames_from(job.offset);
        while !slice.is_last
            && slice.copied_bytes < bytes_max
            && slice.moved.len() < SLICE_DOCUMENTS
            && slice.read_bytes < bytes_max.saturating_mul(READ_FACTOR)
        {
            let mut chunk: Vec<Frame> = Vec::new();
            let mut chunk_bytes = 0;
            let room = SLICE_DOCUMENTS - slice.moved.len();
            while chunk_bytes < bytes_max && chunk.len() < room {
                match frames.next() {
                    None => {
                        slice.is_last = true;
                        break;
                    }
                    Some(Ok(frame)) => {
                        chunk_bytes += frame.ptr.frame_bytes();
                        if !frame.tombstone && slice.collections.contains(&frame.id.collection) {
                            chunk.push(frame);
                        }
                    }
                    Some(Err(
                        error @ (DataFileError::Corrupt { .. } | DataFileError::Unsupported { .. }),
                    )) => {
                        self.suspect_file(job.victim);
                        job.damage.get_or_insert(error.into());
                    }
                    Some(Err(error)) => return Err(error.into()),
                }
            }
            slice.read_bytes += chunk_bytes;
            self.copy_current(chunk, &mut slice, job, work)?;
        }
        job.offset = frames.offset();
        slice.moved.sort_unstable_by_key(|moved| moved.key);
        Ok(slice)
    }

    /// Copies those frames that are their documents' newest versions.
    fn copy_current(
        &self,
        mut chunk: Vec<Frame>,
        slice: &mut Slice,
        job: &mut CompactJob,
        work: &mut Work,
    ) -> Result<()> {
        chunk.sort_unstable_by_key(|frame| (frame.id.collection, frame.id.id));
        let mut probe = Probe::new(slice.runs.clone());
        for frame in chunk {
            let key = Key::new(frame.id.collection, frame.id.id);
            let newest = match probe.newest(key) {
                Ok(newest) => newest,
                // Whether it is current cannot be known, so the file stays.
                Err(error @ (IndexError::Corrupt { .. } | IndexError::Unsupported { .. })) => {
                    job.damage.get_or_insert(error.into());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let pointer = Some(DocPtr(frame.ptr));
            let Some(current) = newest.filter(|entry| entry.pointer == pointer) else {
                continue;
            };
            // The frame of a large commit does not know its version; its copy does.
            let id = FrameId {
                version: current.ts.0,
                ..frame.id
            };
            let output = self.output(work)?;
            let to = output.append(&id, &frame.body)?;
            self.pace_data(output)?;
            slice.copied_bytes += to.frame_bytes();
            slice.moved.push(Moved {
                key,
                ts: current.ts,
                from: frame.ptr,
                to,
            });
        }
        Ok(())
    }

    pub(super) fn output<'a>(&self, work: &'a mut Work) -> Result<&'a mut DataFileWriter> {
        let is_full =
            |output: &DataFileWriter| output.durable_len() >= self.options.data_file_bytes_max;
        if work.output.as_ref().is_some_and(is_full) {
            work.output = None;
        }
        match &mut work.output {
            Some(output) => Ok(output),
            none => {
                let identity = self.new_data_file();
                let path = self.dir.join(data_file_name(identity.number));
                let output = DataFileWriter::create(self.vfs.as_ref(), &path, identity)?;
                Ok(none.insert(output))
            }
        }
    }

    /// Makes a slice count. With its last one the victim, if there is one, leaves the manifest.
    pub(super) fn publish_slice(
        &self,
        victim: Option<u32>,
        slice: &Slice,
        work: &mut Work,
    ) -> Result<Published> {
        let mut output = None;
        if !slice.moved.is_empty()
            && let Some(writer) = &mut work.output
        {
            let entry = entry_of(writer)?;
            output = Some((entry, self.open_if_new(&entry)?));
            self.sync_dir()?;
        }
        let mut state = self.checkpointer.lock();
        self.check_publishable()?;
        let current = self.still_current(&state, slice)?;
        let mut manifest = state.manifest.clone();
        if let Some((entry, _)) = &output {
            manifest.enter_data_file(*entry);
        }
        let mut live = LiveChanges::default();
        for moved in &current {
            live.remove(DocPtr(moved.from));
            live.add(DocPtr(moved.to));
        }
        live.enter(&mut manifest);
        let is_free = |entry: &DataFileEntry| {
            Some(entry.number) == victim && slice.is_last && entry.live_bytes == 0
        };
        let gone = manifest.data_files.iter().find(|e| is_free(e)).copied();
        manifest.data_files.retain(|entry| !is_free(entry));
        if current.is_empty() && output.is_none() && gone.is_none() {
            return Ok(Published {
                is_gone: false,
                keys: Vec::new(),
            });
        }
        let mut run = None;
        if !current.is_empty() {
            let identity = reserve_run(&mut state.manifest, self.vfs.as_ref());
            let path = self.dir.join(run_file_name(identity.number));
            let written = RunWriter::create(self.vfs.as_ref(), &path, identity)
                .map_err(Error::from)
                .and_then(|writer| self.write_relocation(writer, &current));
            match written {
                Ok((entry, opened)) => {
                    manifest.runs.insert(0, entry);
                    run = Some((path, opened));
                }
                Err(error) => {
                    let _ = self.vfs.remove_file(&path);
                    return Err(error);
                }
            }
        }
        if is_planted(Bug::UnlinkedBeforeManifest)
            && let Some(gone) = gone
        {
            let _ = self
                .vfs
                .remove_file(&self.dir.join(data_file_name(gone.number)));
        }
        let bound = CommitTs(manifest.checkpoint_ts);
        if let Err(error) = self.replace_manifest(&mut state, manifest) {
            if self.poisoned.get().is_none()
                && let Some((path, _)) = &run
            {
                let _ = self.vfs.remove_file(path);
            }
            return Err(error);
        }
        if let Some((entry, opened)) = output {
            self.adopt(entry, opened);
        }
        self.note_live(&state.manifest);
        if let Some((_, run)) = run {
            self.index.replace_runs(&[], Some(run), bound)?;
        }
        let documents = current.len() as u64;
        self.counters
            .documents_moved
            .fetch_add(documents, Ordering::Relaxed);
        if let Some(gone) = gone {
            self.keep_for_snapshots(gone.number, gone.durable_bytes, bound);
            self.count_pinned(&state);
        }
        drop(state);
        self.release();
        Ok(Published {
            is_gone: gone.is_some(),
            keys: current.into_iter().map(|moved| moved.key).collect(),
        })
    }

    /// What was copied and has not been superseded or dropped by a checkpoint since it was looked up.
    fn still_current(&self, state: &Checkpointer, slice: &Slice) -> Result<Vec<Moved>> {
        if is_planted(Bug::RelocatedUnchecked) || is_planted(Bug::HealedUnchecked) {
            return Ok(slice.moved.clone());
        }
        let known: BTreeSet<u64> = slice.runs.iter().map(|run| run.identity().number).collect();
        let mut newer = self.index.runs();
        newer.retain(|run| !known.contains(&run.identity().number));
        let mut probe = Probe::new(newer);
        let collections = &state.manifest.collections;
        let mut current = Vec::with_capacity(slice.moved.len());
        for moved in &slice.moved {
            let exists = collections
                .binary_search_by_key(&moved.key.collection, |entry| entry.id)
                .is_ok();
            if exists && probe.newest(moved.key)?.is_none_or(|e| e.ts <= moved.ts) {
                current.push(*moved);
            }
        }
        Ok(current)
    }

    fn write_relocation(
        &self,
        mut writer: RunWriter<DocPtr>,
        moved: &[Moved],
    ) -> Result<(RunEntry, Arc<Run<DocPtr>>)> {
        for moved in moved {
            writer.push(moved.key, moved.ts, Some(DocPtr(moved.to)))?;
        }
        let finished = self.finish_run(writer)?;
        self.sync_dir()?;
        Ok(finished)
    }

    /// Gives back what the output holds and the manifest does not name.
    pub(super) fn abandon_output(&self, output: &DataFileWriter) {
        let number = output.identity().number;
        let state = self.checkpointer.lock();
        match state
            .manifest
            .data_files
            .iter()
            .find(|e| e.number == number)
        {
            Some(entry) => {
                let _ = self.append_to(entry);
            }
            None => {
                let _ = self.vfs.remove_file(output.path());
            }
        }
    }
}
