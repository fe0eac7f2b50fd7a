//! Writing a checkpoint's data and run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use docdb_datafile::{DataFile, DataFileWriter, FrameId, data_file_name};
use docdb_index::{IndexError, Key, Place, Probe, Run, RunWriter, Winners, run_file_name};

use super::{CheckpointReport, Checkpointer, FrozenDelta, Pending};
use crate::db::Inner;
use crate::error::Result;
use crate::manifest::{DataFileEntry, Manifest, RunEntry};
use crate::options::DbOptions;
use crate::pointer::DocPtr;
use crate::publish::{entry_of, reserve_run};
use crate::space::LiveChanges;

/// Of what is live, checkpoints make about so many data files, if these are no smaller than a slice of a
/// compaction and no larger than the options say.
const FILES_OF_LIVE: u64 = 4;
/// Documents taken from the frozen delta at a time; what they take is synced in between.
const CHUNK_ITEMS: usize = 256;

/// What a checkpoint has written and synced, and what is dead because of it.
#[derive(Default)]
pub(super) struct Written {
    pub(super) data: Option<WrittenData>,
    pub(super) run: Option<(RunEntry, Arc<Run<DocPtr>>)>,
    live: LiveChanges,
    dropped_entries: u64,
}

pub(super) struct WrittenData {
    pub(super) entry: DataFileEntry,
    /// The file for readers, if it is new.
    pub(super) opened: Option<DataFile>,
    pub(super) writer: Option<DataFileWriter>,
}

impl Written {
    pub(super) fn enter(&self, manifest: &mut Manifest, options: &DbOptions) {
        if let Some(data) = &self.data {
            manifest.enter_data_file(data.entry);
        }
        if let Some((entry, _)) = &self.run {
            manifest.runs.insert(0, *entry);
        }
        self.live.enter(manifest);
        manifest.dropped_entries += self.dropped_entries;
        if let Some(data) = &self.data {
            let is_full = data.entry.durable_bytes >= full_bytes(manifest, options);
            manifest.append_file = (!is_full).then_some(data.entry.number);
        }
    }
}

/// The length from which on checkpoints append to another data file: a part of what is live, so that
/// what is overwritten often dies together with its file, and little is to be copied at a time.
fn full_bytes(manifest: &Manifest, options: &DbOptions) -> u64 {
    let live: u64 = manifest.data_files.iter().map(|e| e.live_bytes).sum();
    let part = live / FILES_OF_LIVE;
    part.max(options.compact_slice_bytes)
        .min(options.data_file_bytes_max)
}

/// What older runs hold of a document.
enum Older {
    Nothing,
    Deletion,
    Document(DocPtr),
    /// They are damaged there.
    Unknown,
}

impl Inner {
    pub(super) fn write_files(
        &self,
        state: &mut Checkpointer,
        mut data: Option<DataFileWriter>,
        frozen: &FrozenDelta,
        pending: &Pending,
        report: &mut CheckpointReport,
    ) -> Result<Written> {
        let mut written = Written::default();
        self.count_dropped(&state.manifest, pending, &mut written)?;
        let mut run: Option<RunWriter<DocPtr>> = None;
        let mut probe = Probe::new(self.index.runs());
        let counters = &self.counters;
        counters
            .checkpoint_todo
            .store(frozen.len() as u64, Ordering::Relaxed);
        let mut source = frozen.sorted_newest(pending.ts);
        loop {
            let chunk = source.next_chunk(CHUNK_ITEMS)?;
            if chunk.is_empty() {
                break;
            }
            let gone_through = chunk.len() as u64;
            for (key, version) in chunk {
                if !pending.has_collection(key.collection) {
                    continue;
                }
                let frame = FrameId {
                    collection: key.collection,
                    id: key.id,
                    version: version.ts.0,
                };
                let older = self.older(&mut probe, key)?;
                if let Older::Document(pointer) = older {
                    written.live.remove(pointer);
                }
                let pointer = match &version.place {
                    // There is nothing that it would hide.
                    Place::Deleted if matches!(older, Older::Nothing | Older::Deletion) => continue,
                    Place::Deleted => {
                        self.data_writer(state, &mut data)?
                            .append_tombstone(&frame)?;
                        report.deletions += 1;
                        None
                    }
                    Place::Memory(body) => {
                        let pointer = self.data_writer(state, &mut data)?.append(&frame, body)?;
                        report.documents += 1;
                        report.bytes += body.len() as u64;
                        Some(DocPtr(pointer))
                    }
                    Place::Stored(pointer) => Some(*pointer),
                };
                if let Some(pointer) = pointer {
                    written.live.add(pointer);
                }
                let run = match &mut run {
                    Some(run) => run,
                    None => run.insert(self.checkpoint_run(state)?),
                };
                run.push(key, version.ts, pointer)?;
            }
            counters
                .checkpoint_done
                .fetch_add(gone_through, Ordering::Relaxed);
            if let Some(data) = &mut data {
                self.pace_data(data)?;
            }
            if let Some(run) = &mut run {
                self.pace_run(run)?;
            }
        }
        if let Some(writer) = data {
            written.data = Some(self.finish_data(writer)?);
        }
        if let Some(writer) = run {
            written.run = Some(self.finish_run(writer)?);
        }
        self.sync_dir()?;
        Ok(written)
    }

    /// A checkpoint must go on although an old run is damaged: then a frame that is dead counts as
    /// live, which only costs its space.
    fn older(&self, probe: &mut Probe<DocPtr>, key: Key) -> Result<Older> {
        Ok(match probe.newest(key) {
            Ok(None) => Older::Nothing,
            Ok(Some(entry)) => entry.pointer.map_or(Older::Deletion, Older::Document),
            Err(error) => {
                self.unaccounted(error)?;
                Older::Unknown
            }
        })
    }

    /// All documents of a collection die with its drop.
    fn count_dropped(
        &self,
        manifest: &Manifest,
        pending: &Pending,
        written: &mut Written,
    ) -> Result<()> {
        let before: BTreeSet<u32> = manifest.collections.iter().map(|entry| entry.id).collect();
        for id in before {
            if pending.has_collection(id) {
                continue;
            }
            let (from, to) = (Key::new(id, 0), Key::new(id, u64::MAX));
            let counted = Winners::new(&self.index.runs(), from, to).and_then(|mut winners| {
                while let Some(entry) = winners.next()? {
                    if let Some(pointer) = entry.pointer {
                        written.live.remove(pointer);
                    }
                }
                written.dropped_entries += winners.entries_read();
                Ok(())
            });
            counted.or_else(|error| self.unaccounted(error))?;
        }
        Ok(())
    }

    fn unaccounted(&self, error: IndexError) -> Result<()> {
        match error {
            IndexError::Corrupt { .. } | IndexError::Unsupported { .. } => {
                self.counters.unaccounted.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            error => Err(error.into()),
        }
    }

    fn data_writer<'a>(
        &self,
        state: &mut Checkpointer,
        data: &'a mut Option<DataFileWriter>,
    ) -> Result<&'a mut DataFileWriter> {
        match data {
            Some(writer) => Ok(writer),
            None => {
                let identity = self.new_data_file();
                let name = data_file_name(identity.number);
                state.created.push(name.clone());
                let path = self.dir.join(name);
                Ok(data.insert(DataFileWriter::create(self.vfs.as_ref(), &path, identity)?))
            }
        }
    }

    fn checkpoint_run(&self, state: &mut Checkpointer) -> Result<RunWriter<DocPtr>> {
        let identity = reserve_run(&mut state.manifest, self.vfs.as_ref());
        let name = run_file_name(identity.number);
        state.created.push(name.clone());
        Ok(RunWriter::create(
            self.vfs.as_ref(),
            &self.dir.join(name),
            identity,
        )?)
    }

    fn finish_data(&self, mut writer: DataFileWriter) -> Result<WrittenData> {
        let entry = entry_of(&mut writer)?;
        let opened = self.open_if_new(&entry)?;
        let is_full = entry.durable_bytes >= self.options.data_file_bytes_max;
        Ok(WrittenData {
            entry,
            opened,
            writer: (!is_full).then_some(writer),
        })
    }
}
