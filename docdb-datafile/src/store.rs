//! The open data files of one database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::{DataFile, DataFileError, FilePtr, FrameId, Result};

/// How much of a file is still referenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStats {
    /// The file's number.
    pub number: u32,
    /// Its durable length, in bytes.
    pub bytes: u64,
    /// The bytes of its frames that are still referenced, as the owner of the store keeps count;
    /// `None` for a file that is only kept for readers of the past.
    pub live_bytes: Option<u64>,
}

/// [`Entry::live_bytes`] of a file that is kept for readers of the past.
const KEPT: u64 = u64::MAX;

#[derive(Debug)]
struct Entry {
    file: Arc<DataFile>,
    live_bytes: AtomicU64,
}

/// The open data files of one database, by number, and how much of each is live. A reader that
/// found its file goes on with it when the file is removed from the store.
#[derive(Debug, Default)]
pub struct DocStore {
    entries: RwLock<BTreeMap<u32, Entry>>,
}

impl DocStore {
    /// A store without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, with no live bytes. Returns the file that had its number, if one had.
    pub fn add(&self, file: DataFile) -> Option<Arc<DataFile>> {
        let number = file.identity().number;
        let entry = Entry {
            file: Arc::new(file),
            live_bytes: AtomicU64::new(0),
        };
        self.entries
            .write()
            .insert(number, entry)
            .map(|old| old.file)
    }

    /// Removes a file from the store, not from the disk. Readers that have it keep it.
    pub fn remove(&self, number: u32) -> Option<Arc<DataFile>> {
        self.entries.write().remove(&number).map(|entry| entry.file)
    }

    /// The file with that number.
    pub fn get(&self, number: u32) -> Option<Arc<DataFile>> {
        self.entries
            .read()
            .get(&number)
            .map(|entry| Arc::clone(&entry.file))
    }

    /// Reads a body, as [`DataFile::read`]. `NoSuchFile` means that the file was removed, as after
    /// a compaction: whoever got the pointer from an index asks the index again.
    pub fn read(&self, ptr: FilePtr, id: &FrameId) -> Result<Arc<[u8]>> {
        self.file_of(ptr)?.read(ptr, id)
    }

    /// Reads a body, as [`DataFile::read_nowait`].
    pub fn read_nowait(&self, ptr: FilePtr, id: &FrameId) -> Result<Option<Arc<[u8]>>> {
        self.file_of(ptr)?.read_nowait(ptr, id)
    }

    pub(crate) fn file_of(&self, ptr: FilePtr) -> Result<Arc<DataFile>> {
        self.get(ptr.file)
            .ok_or(DataFileError::NoSuchFile { number: ptr.file })
    }

    /// Notes how many bytes of a file's frames ([`FilePtr::frame_bytes`]) are referenced; `None` if
    /// none is any more and the file is kept for readers of the past. A file that is not there is
    /// ignored.
    pub fn set_live(&self, number: u32, bytes: Option<u64>) {
        if let Some(entry) = self.entries.read().get(&number) {
            entry
                .live_bytes
                .store(bytes.unwrap_or(KEPT), Ordering::Relaxed);
        }
    }

    /// Every file's size and live bytes, by number.
    pub fn files(&self) -> Vec<FileStats> {
        let entries = self.entries.read();
        let stats = entries.iter().map(|(number, entry)| FileStats {
            number: *number,
            bytes: entry.file.durable_len(),
            live_bytes: match entry.live_bytes.load(Ordering::Relaxed) {
                KEPT => None,
                bytes => Some(bytes),
            },
        });
        stats.collect()
    }
}
