//! The file system as the offline tools see what they read: nothing in it can be changed, bytes that
//! the medium does not give are zeros, which verify nowhere, and whoever wants to know hears how much
//! has been read.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use docdb_vfs::{DirLock, IoError, IoOp, OpenMode, Result, Vfs, VfsFile};
use parking_lot::Mutex;

use super::Progress;

/// Where a read failed as a whole, the medium is asked for so many bytes at a time.
const SECTOR_BYTES: usize = 4096;
/// Most places that are kept of those that could not be read.
const UNREADABLE_MAX: usize = 10_000;
/// The medium could not give the bytes: EIO, EBADMSG and EUCLEAN of Linux.
const MEDIUM_ERRORS: [i32; 3] = [5, 74, 117];

/// A file system that can only be read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    vfs: Arc<dyn Vfs>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    progress: Progress,
    /// Places that could not be read, until somebody takes them.
    unreadable: Mutex<BTreeSet<(PathBuf, u64)>>,
}

impl Source {
    pub(crate) fn new(vfs: Arc<dyn Vfs>, progress: Progress) -> Source {
        Source {
            vfs,
            shared: Arc::new(Shared {
                progress,
                unreadable: Mutex::default(),
            }),
        }
    }

    /// The places that could not be read since the last call, in steps of 4 KiB; at most 10,000.
    pub(crate) fn take_unreadable(&self) -> BTreeSet<(PathBuf, u64)> {
        std::mem::take(&mut *self.shared.unreadable.lock())
    }
}

fn refused<T>(op: IoOp, path: &Path) -> Result<T> {
    let error = io::Error::new(
        io::ErrorKind::PermissionDenied,
        "what is checked or salvaged is never changed",
    );
    Err(IoError::new(op, path, error))
}

impl Vfs for Source {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        if mode != OpenMode::Read {
            return refused(IoOp::Open, path);
        }
        Ok(Arc::new(SourceFile {
            file: self.vfs.open(path, mode)?,
            path: path.to_path_buf(),
            shared: Arc::clone(&self.shared),
        }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        refused(IoOp::CreateDir, path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        refused(IoOp::SyncDir, path)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        self.vfs.list(path)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.vfs.exists(path)
    }

    fn rename(&self, from: &Path, _to: &Path) -> Result<()> {
        refused(IoOp::Rename, from)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        refused(IoOp::Remove, path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        refused(IoOp::Remove, path)
    }

    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>> {
        self.vfs.lock_dir(path)
    }

    fn now(&self) -> Duration {
        self.vfs.now()
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.vfs.fill_random(buf);
    }
}

#[derive(Debug)]
struct SourceFile {
    file: Arc<dyn VfsFile>,
    path: PathBuf,
    shared: Arc<Shared>,
}

impl SourceFile {
    fn count(&self, bytes: usize) {
        self.shared.progress.add(bytes as u64);
    }

    /// Reads what can be read of a stretch in which something cannot.
    fn read_around(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let to_boundary = SECTOR_BYTES - (at % SECTOR_BYTES as u64) as usize;
            let end = (done + to_boundary).min(buf.len());
            let part = &mut buf[done..end];
            match self.file.read_at(part, at) {
                Ok(read) if read < part.len() => return Ok(done + read),
                Ok(_) => {}
                Err(error) if is_of_the_medium(&error) => {
                    part.fill(0);
                    let mut unreadable = self.shared.unreadable.lock();
                    if unreadable.len() < UNREADABLE_MAX {
                        unreadable.insert((self.path.clone(), at - at % SECTOR_BYTES as u64));
                    }
                    // A file may end inside what cannot be read.
                    let left = self.file.len()?.saturating_sub(at);
                    if left < part.len() as u64 {
                        return Ok(done + left as usize);
                    }
                }
                Err(error) => return Err(error),
            }
            done = end;
        }
        Ok(done)
    }
}

fn is_of_the_medium(error: &IoError) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| MEDIUM_ERRORS.contains(&code))
}

impl VfsFile for SourceFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.count(buf.len());
        match self.file.read_at(buf, offset) {
            Err(error) if is_of_the_medium(&error) => self.read_around(buf, offset),
            outcome => outcome,
        }
    }

    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.read_at(buf, offset).map(Some)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        if self.read_at(buf, offset)? == buf.len() {
            return Ok(());
        }
        let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before that");
        Err(IoError::at(IoOp::Read, &self.path, offset, error))
    }

    fn write_all_at(&self, _buf: &[u8], _offset: u64) -> Result<()> {
        refused(IoOp::Write, &self.path)
    }

    fn write_vectored_all_at(&self, _bufs: &[IoSlice<'_>], _offset: u64) -> Result<()> {
        refused(IoOp::Write, &self.path)
    }

    fn sync_data(&self) -> Result<()> {
        refused(IoOp::Sync, &self.path)
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn set_len(&self, _len: u64) -> Result<()> {
        refused(IoOp::SetLen, &self.path)
    }

    fn allocate(&self, _len: u64) -> Result<()> {
        refused(IoOp::Allocate, &self.path)
    }
}

/// How far an offline tool has got; a clone tells of the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(pub(super) Arc<[AtomicU64; 2]>);

impl Counter {
    pub(super) fn get(&self, i: usize) -> u64 {
        self.0[i].load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, i: usize, value: u64) {
        self.0[i].fetch_add(value, Ordering::Relaxed);
    }
}
