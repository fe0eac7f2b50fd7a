//! I/O errors that name the file, the place in it and the operation.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of a file system operation.
pub type Result<T> = std::result::Result<T, IoError>;

/// The operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IoOp {
    /// Opening or creating a file.
    Open,
    /// A positional read.
    Read,
    /// A positional write.
    Write,
    /// Making a file's contents durable.
    Sync,
    /// Making a directory's entries durable.
    SyncDir,
    /// Changing a file's length.
    SetLen,
    /// Reserving space for a file.
    Allocate,
    /// Reading a file's length or kind.
    Metadata,
    /// Creating a directory.
    CreateDir,
    /// Listing a directory.
    List,
    /// Renaming a file or directory.
    Rename,
    /// Removing a file or directory.
    Remove,
    /// Locking a directory.
    Lock,
}

impl fmt::Display for IoOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IoOp::Open => "open",
            IoOp::Read => "read",
            IoOp::Write => "write",
            IoOp::Sync => "sync",
            IoOp::SyncDir => "sync directory",
            IoOp::SetLen => "set length of",
            IoOp::Allocate => "allocate",
            IoOp::Metadata => "stat",
            IoOp::CreateDir => "create directory",
            IoOp::List => "list directory",
            IoOp::Rename => "rename",
            IoOp::Remove => "remove",
            IoOp::Lock => "lock directory",
        })
    }
}

/// A failed file system operation: what was tried, on which file, at which offset, and why it
/// failed. One pointer wide, so that results stay small.
pub struct IoError(Box<Inner>);

struct Inner {
    op: IoOp,
    path: PathBuf,
    offset: Option<u64>,
    source: io::Error,
}

impl IoError {
    /// An error of `op` on `path`.
    pub fn new(op: IoOp, path: &Path, source: io::Error) -> Self {
        Self(Box::new(Inner {
            op,
            path: path.to_path_buf(),
            offset: None,
            source,
        }))
    }

    /// An error of `op` on `path` at byte `offset`.
    pub fn at(op: IoOp, path: &Path, offset: u64, source: io::Error) -> Self {
        Self(Box::new(Inner {
            op,
            path: path.to_path_buf(),
            offset: Some(offset),
            source,
        }))
    }

    /// The operation that failed.
    pub fn op(&self) -> IoOp {
        self.0.op
    }

    /// The file or directory that it failed on.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The byte offset, for reads and writes.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The kind of the underlying error.
    pub fn kind(&self) -> io::ErrorKind {
        self.0.source.kind()
    }

    /// The operating system's error number, if the error came from there.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.source.raw_os_error()
    }

    /// Whether the disk or the quota is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(
            self.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Whether the device could not read or write (EIO): of a read, what lies there is lost.
    pub fn is_device_error(&self) -> bool {
        self.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
    }

    /// Whether the file or directory does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }
}

impl Clone for IoError {
    /// Copies the error; a source that is not an operating system's error number keeps its kind and
    /// its text.
    fn clone(&self) -> Self {
        let source = match self.0.source.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.0.source.kind(), self.0.source.to_string()),
        };
        Self(Box::new(Inner {
            op: self.0.op,
            path: self.0.path.clone(),
            offset: self.0.offset,
            source,
        }))
    }
}

impl fmt::Debug for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoError")
            .field("op", &self.0.op)
            .field("path", &self.0.path)
            .field("offset", &self.0.offset)
            .field("source", &self.0.source)
            .finish()
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.0.op, self.0.path.display())?;
        if let Some(offset) = self.0.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.0.source)
    }
}

impl std::error::Error for IoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.source)
    }
}
