//! What data files hold of documents of which the index and the log do not tell enough.
//!
//! A frame says that its document once had that version, and a deletion's frame that it was deleted
//! then. Whether anything came after is not said: superseded frames stay until a compaction, which
//! drops those of deletions. So what is found here is evidence, and proves nothing.

use std::collections::BTreeMap;

use docdb_datafile::{DataFileError, FilePtr, FrameId};
use docdb_index::Key;

use super::super::state::{Files, State};
use super::super::winners::Ranges;
use crate::error::Result;

/// Most documents that are kept at a time; for more the files are read again.
const KEPT_MAX: usize = 1 << 20;

/// The newest frame of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    /// 0: the frame of a large commit, which does not say.
    pub(super) version: u64,
    pub(super) pointer: FilePtr,
    pub(super) is_deletion: bool,
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

/// Evidence in the order of keys, in bounded memory.
pub(super) struct Evidences<'a> {
    files: &'a Files,
    state: &'a State,
    uncertain: &'a Ranges,
    found: std::collections::btree_map::IntoIter<Key, Evidence>,
    /// Everything up to here has been given, or is in `found`.
    done: Option<Key>,
    is_complete: bool,
    kept_max: usize,
}

impl<'a> Evidences<'a> {
    pub(super) fn new(files: &'a Files, state: &'a State, uncertain: &'a Ranges) -> Self {
        Self {
            files,
            state,
            uncertain,
            found: BTreeMap::new().into_iter(),
            done: None,
            is_complete: false,
            kept_max: KEPT_MAX,
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

    /// Reads all files for the documents that come next.
    fn fill(&mut self) -> Result<()> {
        let mut found: BTreeMap<Key, Evidence> = BTreeMap::new();
        let mut is_cut = false;
        if self.uncertain.is_empty() && self.state.is_newest() {
            self.is_complete = true;
            return Ok(());
        }
        each_frame(self.files, &mut |pointer, id, is_deletion| {
            let key = Key::new(id.collection, id.id);
            let is_of_interest = self.uncertain.contain(key) || id.version > self.state.version();
            if !is_of_interest
                || self.done.is_some_and(|done| key <= done)
                || !self.state.may_exist(key.collection)
            {
                return;
            }
            let is_newest = |known: &Evidence| known.version <= id.version;
            if found.get(&key).is_none_or(is_newest) {
                let evidence = Evidence {
                    version: id.version,
                    pointer,
                    is_deletion,
                };
                found.insert(key, evidence);
            }
            if found.len() > self.kept_max {
                // The ones that stay are complete: whatever is above the cut comes at the next reading.
                found.pop_last();
                is_cut = true;
            }
        })?;
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
    each_frame(files, &mut |pointer, id, is_deletion| {
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
    })
}

fn each_frame(files: &Files, visit: &mut dyn FnMut(FilePtr, FrameId, bool)) -> Result<()> {
    for file in files.iter() {
        let mut frames = file.frames();
        while let Some(found) = frames.next_in_place() {
            match found {
                Ok(frame) => visit(frame.ptr, frame.header.id, frame.header.is_tombstone()),
                // Told of when the file was checked, and not a reason to stop.
                Err(DataFileError::Corrupt { .. } | DataFileError::Unsupported { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
