//! Whether every pointer leads to a frame that is what the pointer says.
//!
//! Pointers come in the order of documents, frames in that of their files. So the pointers into a file
//! are sorted by place, and the file is read once from its beginning to its end. To keep that in
//! bounds, as many files are done at a time as have [`REFERENCES_MAX`] pointers between them, or one;
//! if that is not all of them, the runs are read again for each such batch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use docdb_datafile::{DataFile, DataFileError, FilePtr, FrameId, FrameInPlace, data_file_name};
use docdb_index::Key;
use docdb_vfs::Vfs;
use parking_lot::Mutex;

use super::files::open_data_file;
use super::finding::{DocumentName, Finding, Findings};
use crate::error::{Error, Result};
use crate::json;
use crate::manifest::DataFileEntry;

/// Most pointers that are kept at a time by default, unless a single file has more; 40 bytes each.
pub(super) const REFERENCES_MAX: usize = 2 << 20;

/// A pointer to a document's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) pointer: FilePtr,
    pub(crate) key: Key,
    pub(crate) version: u64,
}

impl Reference {
    fn frame_id(&self) -> FrameId {
        FrameId {
            collection: self.key.collection,
            id: self.key.id,
            version: self.version,
        }
    }
}

/// Names of collections, for people.
pub(crate) type Names = BTreeMap<u32, String>;

pub(crate) fn name_of(names: &Names, key: Key, version: u64) -> DocumentName {
    DocumentName {
        collection: match names.get(&key.collection) {
            Some(name) => name.clone(),
            None => format!("[{}]", key.collection),
        },
        id: key.id,
        version,
    }
}

/// References, by file, while they are few enough.
pub(crate) struct Gathered {
    max: usize,
    by_file: BTreeMap<u32, Vec<Reference>>,
    /// How many there are of each file.
    counts: BTreeMap<u32, usize>,
    held: usize,
    is_over: bool,
}

impl Gathered {
    pub(crate) fn new(max: usize) -> Gathered {
        Gathered {
            max,
            by_file: BTreeMap::new(),
            counts: BTreeMap::new(),
            held: 0,
            is_over: false,
        }
    }

    pub(crate) fn add(&mut self, reference: Reference) {
        let file = reference.pointer.file;
        *self.counts.entry(file).or_default() += 1;
        if self.is_over {
            return;
        }
        self.held += 1;
        if self.held > self.max {
            self.is_over = true;
            self.by_file.clear();
            return;
        }
        self.by_file.entry(file).or_default().push(reference);
    }

    /// Which of these files are done together.
    fn batches(&self, files: &[DataFileEntry]) -> Vec<Vec<DataFileEntry>> {
        if !self.is_over {
            return vec![files.to_vec()];
        }
        let mut batches: Vec<Vec<DataFileEntry>> = Vec::new();
        let mut held = usize::MAX;
        for file in files {
            let count = self.counts.get(&file.number).copied().unwrap_or(0);
            held = held.saturating_add(count);
            if held > self.max {
                batches.push(Vec::new());
                held = count;
            }
            if let Some(batch) = batches.last_mut() {
                batch.push(*file);
            }
        }
        batches
    }
}

/// What is done with each file, and who hears of it.
pub(crate) struct FrameCheck<'a> {
    pub(crate) vfs: &'a dyn Vfs,
    pub(crate) dir: &'a Path,
    pub(crate) findings: &'a Findings<'a>,
    pub(crate) names: &'a Names,
    pub(crate) threads: usize,
    /// Whether the JSON of documents is checked, too.
    pub(crate) documents: bool,
    pub(crate) frames: AtomicU64,
}

impl FrameCheck<'_> {
    /// Verifies every frame of these files, and the references; `again` gives all of these anew to
    /// what it is given.
    pub(crate) fn run(
        &self,
        files: &[DataFileEntry],
        mut gathered: Gathered,
        mut again: impl FnMut(&mut dyn FnMut(Reference)) -> Result<()>,
    ) -> Result<()> {
        let batches = gathered.batches(files);
        for batch in batches {
            if gathered.is_over {
                let mut by_file: BTreeMap<u32, Vec<Reference>> =
                    batch.iter().map(|file| (file.number, Vec::new())).collect();
                again(&mut |reference| {
                    if let Some(references) = by_file.get_mut(&reference.pointer.file) {
                        references.push(reference);
                    }
                })?;
                gathered.by_file = by_file;
            }
            let work: Vec<_> = batch
                .iter()
                .map(|file| {
                    let references = gathered.by_file.remove(&file.number).unwrap_or_default();
                    (file, Mutex::new(references))
                })
                .collect();
            self.files(&work)?;
        }
        // Pointers into files that nothing names.
        for (number, references) in &gathered.by_file {
            if !references.is_empty() && !files.iter().any(|file| file.number == *number) {
                let path = self.dir.join(data_file_name(*number));
                for reference in references {
                    let what = "the index points into a file that the manifest does not name";
                    self.tell(&path, reference, what);
                }
            }
        }
        Ok(())
    }

    fn files(&self, work: &[(&DataFileEntry, Mutex<Vec<Reference>>)]) -> Result<()> {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let go = || {
            while failed.lock().is_none() {
                let Some((file, references)) = work.get(next.fetch_add(1, Ordering::Relaxed))
                else {
                    return;
                };
                let references = std::mem::take(&mut *references.lock());
                if let Err(error) = self.file(file, references) {
                    *failed.lock() = Some(error);
                }
            }
        };
        let helpers = self.threads.min(work.len()).saturating_sub(1);
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(go);
            }
            go();
        });
        failed.into_inner().map_or(Ok(()), Err)
    }

    fn file(&self, entry: &DataFileEntry, mut references: Vec<Reference>) -> Result<()> {
        let Some(file) = open_data_file(self.vfs, self.dir, entry, Some(self.findings))? else {
            let path = self.dir.join(data_file_name(entry.number));
            for reference in &references {
                self.tell(&path, reference, "the file is missing");
            }
            return Ok(());
        };
        // What a checkpoint wrote ascends already.
        references.sort_by_key(|reference| reference.pointer.offset);
        let mut left = references.as_slice();
        let mut frames = file.frames();
        let mut count = 0;
        while let Some(found) = frames.next_in_place() {
            match found {
                Ok(frame) => {
                    count += 1;
                    self.frame(&file, &frame, &mut left);
                }
                Err(DataFileError::Corrupt { offset, what, .. }) => {
                    self.pass(&file, &mut left, offset);
                    let at = left.partition_point(|r| r.pointer.offset <= offset);
                    let (here, rest) = left.split_at(at);
                    left = rest;
                    if here.is_empty() {
                        self.findings
                            .tell(Finding::damage(file.path(), offset, what));
                    }
                    for reference in here {
                        self.tell(file.path(), reference, what);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.pass(&file, &mut left, u64::MAX);
        self.frames.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    fn frame(&self, file: &DataFile, frame: &FrameInPlace<'_>, left: &mut &[Reference]) {
        let offset = frame.ptr.offset;
        self.pass(file, left, offset);
        while let Some((reference, rest)) = left.split_first()
            && reference.pointer.offset == offset
        {
            *left = rest;
            let id = reference.frame_id();
            if !frame.header.is_body_of(&id) || frame.ptr.len != reference.pointer.len {
                let what = "the frame is another one than the index says";
                self.tell(file.path(), reference, what);
            }
        }
        if self.documents
            && !frame.header.is_tombstone()
            && let Err(error) = json::check(frame.body)
        {
            let FrameId {
                collection,
                id,
                version,
            } = frame.header.id;
            let name = name_of(self.names, Key::new(collection, id), version);
            let what = format!("the document is no JSON: {error}");
            let finding = Finding::damage(file.path(), offset, what);
            self.findings.tell(finding.of(name));
        }
    }

    /// Tells of the references to places before `offset` at which no frame was found.
    fn pass(&self, file: &DataFile, left: &mut &[Reference], offset: u64) {
        let before = left.partition_point(|reference| reference.pointer.offset < offset);
        let (missed, rest) = left.split_at(before);
        for reference in missed {
            let what = "the index points to where no frame verifies";
            self.tell(file.path(), reference, what);
        }
        *left = rest;
    }

    fn tell(&self, path: &Path, reference: &Reference, what: &str) {
        let finding = Finding::damage(path, reference.pointer.offset, what);
        let name = name_of(self.names, reference.key, reference.version);
        self.findings.tell(finding.of(name));
    }
}
