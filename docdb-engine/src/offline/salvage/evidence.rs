//! What data files, and runs that no manifest names, hold of documents of which the index and the log
//! do not tell enough.
//!
//! A frame says that its document once had that version, and a deletion's frame that it was deleted
//! then; so does an entry of a run. Whether anything came after is not said: superseded frames stay
//! until a compaction, which drops those of deletions. So what is found here is evidence, and proves
//! nothing.

use std::collections::{BTreeMap, btree_map};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_datafile::{DataFile, DataFileError, FilePtr, FrameId};
use docdb_index::{Key, RunFound, RunIdentity, RunSurvey};
use docdb_vfs::Vfs;

use super::super::files::Files;
use super::super::state::State;
use super::super::winners::Ranges;
use crate::error::Result;
use crate::pointer::DocPtr;

/// The newest that is found of a document.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// 0: the frame of a large commit, which does not say.
    pub(super) version: u64,
    /// `None`: it was deleted.
    pub(super) pointer: Option<FilePtr>,
    /// Where that stands.
    pub(super) file: Arc<Path>,
    pub(super) offset: u64,
}

/// A document whose frame does not verify, and what else there is of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// The version that is wanted.
    pub(super) version: u64,
    /// Another frame of that version.
    pub(super) copy: Option<FilePtr>,
    /// The newest of the versions before it.
    pub(super) older: Option<u64>,
}

/// Where evidence is looked for.
pub(super) struct Places<'a> {
    pub(super) vfs: &'a dyn Vfs,
    pub(super) files: &'a Files,
    /// Runs that nothing names, or of which nobody knows whether it is right that it does.
    pub(super) runs: Vec<(PathBuf, RunIdentity)>,
}

/// Evidence in the order of keys, in bounded memory.
pub(super) struct Evidences<'a> {
    places: &'a Places<'a>,
    state: &'a State,
    uncertain: &'a Ranges,
    found: btree_map::IntoIter<Key, Evidence>,
    /// Everything up to here has been given, or is in `found`.
    done: Option<Key>,
    is_complete: bool,
    /// Most documents that are kept at a time; for more everything is read again.
    kept_max: usize,
}

impl<'a> Evidences<'a> {
    pub(super) fn new(
        places: &'a Places<'a>,
        state: &'a State,
        uncertain: &'a Ranges,
        kept_max: usize,
    ) -> Self {
        Self {
            places,
            state,
            uncertain,
            found: BTreeMap::new().into_iter(),
            done: None,
            is_complete: uncertain.is_empty() && state.is_newest(),
            kept_max: kept_max.max(1),
        }
    }

    /// The next document's; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Key, Evidence)>> {
        loop {
            if let Some(found) = self.found.next() {
                return Ok(Some(found));
            }
            if self.is_complete {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// Reads everything for the documents that come next.
    fn fill(&mut self) -> Result<()> {
        let mut found: BTreeMap<Key, Evidence> = BTreeMap::new();
        let mut is_cut = false;
        let mut offer = |key: Key, version: u64, pointer, file: &Arc<Path>, offset| {
            let is_of_interest = self.uncertain.contain(key) || version > self.state.version();
            if !is_of_interest
                || self.done.is_some_and(|done| key <= done)
                || !self.state.may_exist(key.collection)
            {
                return;
            }
            let is_newer = |known: &Evidence| known.version < version;
            if found.get(&key).is_none_or(is_newer) {
                let evidence = Evidence {
                    version,
                    pointer,
                    file: Arc::clone(file),
                    offset,
                };
                found.insert(key, evidence);
            }
            if found.len() > self.kept_max {
                // Those that stay are complete: what is above the cut comes at the next reading.
                found.pop_last();
                is_cut = true;
            }
        };
        for (path, identity) in &self.places.runs {
            let path: Arc<Path> = Arc::from(path.as_path());
            let mut run: RunSurvey<DocPtr> = RunSurvey::open(self.places.vfs, &path, *identity)?;
            while let Some(found) = run.next()? {
                if let RunFound::Entry(entry) = found {
                    let pointer = entry.pointer.map(|DocPtr(pointer)| pointer);
                    offer(entry.key, entry.ts.0, pointer, &path, 0);
                }
            }
        }
        for file in self.places.files.iter() {
            let path: Arc<Path> = Arc::from(file.path());
            each_frame(file, &mut |pointer, id, is_deletion| {
                let key = Key::new(id.collection, id.id);
                let body = (!is_deletion).then_some(pointer);
                offer(key, id.version, body, &path, pointer.offset);
            })?;
        }
        self.is_complete = !is_cut;
        if let Some((last, _)) = found.last_key_value() {
            self.done = Some(*last);
        }
        self.found = found.into_iter();
        Ok(())
    }
}

/// Looks for the copies of what is wanted in all files.
pub(super) fn find_copies(files: &Files, wanted: &mut BTreeMap<Key, Wanted>) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    for file in files.iter() {
        each_frame(file, &mut |pointer, id, is_deletion| {
            let key = Key::new(id.collection, id.id);
            if let Some(wanted) = wanted.get_mut(&key)
                && !is_deletion
            {
                if id.version == wanted.version {
                    wanted.copy = Some(pointer);
                } else if id.version > 0 && id.version < wanted.version {
                    wanted.older = wanted.older.max(Some(id.version));
                }
            }
        })?;
    }
    Ok(())
}

fn each_frame(file: &DataFile, visit: &mut dyn FnMut(FilePtr, FrameId, bool)) -> Result<()> {
    let mut frames = file.frames();
    while let Some(found) = frames.next_in_place() {
        match found {
            Ok(frame) => visit(frame.ptr, frame.header.id, frame.header.is_tombstone()),
            // What is lost by it is told of where it is missed.
            Err(DataFileError::Corrupt { .. } | DataFileError::Unsupported { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
