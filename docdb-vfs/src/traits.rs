//! The two traits that everything above is written against.

use std::fmt;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::Result;

/// How a file is opened. Files are created with mode 0600 and are closed on exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenMode {
    /// Existing file, reading only.
    Read,
    /// Existing file, reading and writing.
    ReadWrite,
    /// New file, reading and writing; an existing one is an error of kind `AlreadyExists`.
    CreateNew,
}

/// A file system, a monotonic clock and a source of random bytes.
///
/// Paths are taken as they are. A created, renamed or removed entry is durable only after
/// [`Vfs::sync_dir`] of its directory has returned.
pub trait Vfs: Send + Sync + fmt::Debug {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>>;

    /// Creates one directory with mode 0700; its parent must exist. An existing one is an error of
    /// kind `AlreadyExists`. The new entry is durable after `sync_dir` of the parent.
    fn create_dir(&self, path: &Path) -> Result<()>;

    /// Makes the creation, renaming and removal of entries of `path` durable.
    fn sync_dir(&self, path: &Path) -> Result<()>;

    /// The names of the entries of a directory, sorted bytewise. Names that are not UTF-8 are
    /// given lossily: no file of DocDB has one.
    fn list(&self, path: &Path) -> Result<Vec<String>>;

    /// Whether `path` exists (as a file or a directory). Any failure other than its absence is an
    /// error, never `false`.
    fn exists(&self, path: &Path) -> Result<bool>;

    /// Renames a file or directory, replacing a file that stands at `to`.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> Result<()>;

    /// Locks a directory for this owner until the returned guard is dropped. A directory that is
    /// locked already is an error of kind `WouldBlock`, at once. The lock ends with the process,
    /// so nothing stale ever blocks, and it is the same lock through every path to the directory.
    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>>;

    /// Monotonic time since an arbitrary, fixed moment.
    fn now(&self) -> Duration;

    /// Blocks the caller until [`Vfs::now`] is later by `time`.
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Fills `buf` with random bytes.
    fn fill_random(&self, buf: &mut [u8]);
}

/// A guard that holds a directory's lock until it is dropped.
pub trait DirLock: Send + Sync + fmt::Debug {}

/// An open file: positional, shared, without a cursor. Dropping it syncs nothing.
pub trait VfsFile: Send + Sync + fmt::Debug {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file. Interrupted
    /// and short reads go on inside.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize>;

    /// As [`VfsFile::read_at`], if that needs no wait for the device; else `None`.
    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>>;

    /// Fills `buf` from `offset`; the end of the file before that is an error of kind
    /// `UnexpectedEof`.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Writes all of `buf` at `offset`. Interrupted and short writes go on inside.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()>;

    /// Writes all of `bufs`, one after the other, from `offset`.
    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()>;

    /// Says that nobody will soon ask for these `len` bytes from `offset` again, so that they need not
    /// be kept in memory, and that the next read should ask the device. Advice only: a file system
    /// that knows no such thing ignores it.
    fn forget_cached(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// Makes the contents durable, and as much of the metadata as reading them back needs.
    ///
    /// An error is final for what was written before: the kernel may have dropped the pages and
    /// marked them clean, so a second call that succeeds proves nothing.
    fn sync_data(&self) -> Result<()>;

    /// The length in bytes.
    fn len(&self) -> Result<u64>;

    /// Whether the file is empty.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file or extends it with zeros.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Reserves space, so that later writes below `len` do not fail for want of it, and extends the
    /// file to at least `len` bytes (zeros). On file systems that cannot reserve it only extends.
    fn allocate(&self, len: u64) -> Result<()>;
}
