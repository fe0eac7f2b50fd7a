//! Reading frames of one file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use docdb_vfs::{IoError, OpenMode, Vfs, VfsFile};

use crate::format::{self, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FormatError, FrameHeader};
use crate::frames::Frames;
use crate::scratch;
use crate::{DataFileError, FileIdentity, FilePtr, FrameId, Result};

/// An open data file, for reading. What lies beyond its durable length is never read.
#[derive(Debug)]
pub struct DataFile {
    file: Arc<dyn VfsFile>,
    path: PathBuf,
    identity: FileIdentity,
    durable_len: AtomicU64,
}

/// Opens a file and checks that it is the one that is meant and holds what was synced.
pub(crate) fn open_checked(
    vfs: &dyn Vfs,
    path: &Path,
    mode: OpenMode,
    identity: &FileIdentity,
    durable_len: u64,
) -> Result<Arc<dyn VfsFile>> {
    if durable_len < FILE_HEADER_BYTES as u64 || !durable_len.is_multiple_of(format::BLOCK_BYTES) {
        return Err(DataFileError::corrupt(
            path,
            durable_len,
            "no file has that durable length",
        ));
    }
    let file = vfs.open(path, mode)?;
    let len = file.len()?;
    if len < durable_len {
        return Err(DataFileError::corrupt(
            path,
            len,
            "the file ends before its durable length",
        ));
    }
    let mut header = [0; FILE_HEADER_BYTES];
    file.read_exact_at(&mut header, 0)
        .map_err(|error| read_error(path, 0, error))?;
    let found =
        format::decode_file_header(&header).map_err(|error| format_error(path, 0, error))?;
    if found != *identity {
        return Err(DataFileError::corrupt(
            path,
            32,
            "the header is another file's",
        ));
    }
    Ok(file)
}

/// A file that ends too early is damaged; any other failure is the operating system's.
pub(crate) fn read_error(path: &Path, offset: u64, error: IoError) -> DataFileError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        DataFileError::corrupt(path, offset, "the file ends before its durable length")
    } else {
        DataFileError::Io(error)
    }
}

pub(crate) fn format_error(path: &Path, offset: u64, error: FormatError) -> DataFileError {
    match error {
        FormatError::Corrupt(what) => DataFileError::corrupt(path, offset, what),
        FormatError::Unsupported(what) => DataFileError::Unsupported {
            path: path.to_path_buf(),
            what,
        },
    }
}

impl DataFile {
    /// Opens a file of which `durable_len` bytes are known to be synced, and checks its header.
    /// Another file's header, or a file that is shorter, is `Corrupt`.
    pub fn open(
        vfs: &dyn Vfs,
        path: &Path,
        identity: FileIdentity,
        durable_len: u64,
    ) -> Result<Self> {
        let file = open_checked(vfs, path, OpenMode::Read, &identity, durable_len)?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            identity,
            durable_len: AtomicU64::new(durable_len),
        })
    }

    /// As [`DataFile::open`], whatever is wrong with the file: its header is not looked at, and what is
    /// missing at its end counts as damaged where it is read. For salvage; only a file that cannot be
    /// opened is an error. `durable_len` may also be more than was ever durable.
    pub fn open_damaged(
        vfs: &dyn Vfs,
        path: &Path,
        identity: FileIdentity,
        durable_len: u64,
    ) -> Result<Self> {
        let file = vfs.open(path, OpenMode::Read)?;
        let len = file.len()?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            identity,
            durable_len: AtomicU64::new(durable_len.min(len)),
        })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's number and salt.
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// How many bytes are durable, the file header and padding included.
    pub fn durable_len(&self) -> u64 {
        self.durable_len.load(Ordering::Acquire)
    }

    /// Notes that a writer has synced more of the file. A smaller length is ignored.
    pub fn extend(&self, durable_len: u64) {
        self.durable_len.fetch_max(durable_len, Ordering::AcqRel);
    }

    /// Reads the body that `ptr` points to and checks that it is that version of that document.
    /// Anything else is `Corrupt`.
    pub fn read(&self, ptr: FilePtr, id: &FrameId) -> Result<Arc<[u8]>> {
        scratch::with(self.frame_bytes(ptr)?, |frame| {
            let read = self.file.read_exact_at(frame, ptr.offset);
            read.map_err(|error| read_error(&self.path, ptr.offset, error))?;
            self.verified_body(frame, ptr, id).map(Arc::from)
        })
    }

    /// As [`DataFile::read`], if that needs no wait for the device; else `None`.
    pub fn read_nowait(&self, ptr: FilePtr, id: &FrameId) -> Result<Option<Arc<[u8]>>> {
        scratch::with(self.frame_bytes(ptr)?, |frame| {
            match self.file.read_at_nowait(frame, ptr.offset) {
                Ok(Some(read)) if read == frame.len() => self
                    .verified_body(frame, ptr, id)
                    .map(|body| Some(Arc::from(body))),
                // Part of it: the page cache held only that much, or the file ends; a read that may
                // wait tells which.
                Ok(_) => Ok(None),
                Err(error) => Err(read_error(&self.path, ptr.offset, error)),
            }
        })
    }

    /// All frames, in file order, verified, in bounded memory.
    pub fn frames(&self) -> Frames<'_> {
        Frames::new(self, FILE_HEADER_BYTES as u64)
    }

    /// As [`DataFile::frames`], from an offset on where an earlier iteration
    /// [stood](Frames::offset).
    pub fn frames_from(&self, offset: u64) -> Frames<'_> {
        Frames::new(self, offset.max(FILE_HEADER_BYTES as u64))
    }

    pub(crate) fn file(&self) -> &dyn VfsFile {
        &*self.file
    }

    /// Checks the file's header as it is on the disk now.
    pub(crate) fn check_header(&self) -> Result<()> {
        let mut header = [0; FILE_HEADER_BYTES];
        let read = self.file.read_exact_at(&mut header, 0);
        read.map_err(|error| read_error(&self.path, 0, error))?;
        let found = format::decode_file_header(&header);
        match found.map_err(|error| format_error(&self.path, 0, error))? {
            found if found == self.identity => Ok(()),
            _ => Err(self.corrupt(32, "the header is another file's")),
        }
    }

    pub(crate) fn corrupt(&self, offset: u64, what: &'static str) -> DataFileError {
        DataFileError::corrupt(&self.path, offset, what)
    }

    /// The length of header and body, which lie within the durable file.
    pub(crate) fn frame_bytes(&self, ptr: FilePtr) -> Result<usize> {
        if ptr.file != self.identity.number {
            return Err(self.corrupt(ptr.offset, "the pointer is another file's"));
        }
        let bytes = FRAME_HEADER_BYTES as u64 + u64::from(ptr.len);
        let end = ptr.offset.checked_add(bytes);
        let fits = ptr.offset >= FILE_HEADER_BYTES as u64
            && ptr.len <= format::BODY_BYTES_MAX
            && end.is_some_and(|end| end <= self.durable_len());
        if !fits {
            return Err(self.corrupt(ptr.offset, "the pointer leads out of the file"));
        }
        Ok(bytes as usize)
    }

    /// The body in `frame`, which is as long as [`DataFile::frame_bytes`] says and was read from
    /// `ptr.offset`.
    pub(crate) fn verified_body<'a>(
        &self,
        frame: &'a [u8],
        ptr: FilePtr,
        id: &FrameId,
    ) -> Result<&'a [u8]> {
        let header = self.decode_header(frame, ptr.offset)?;
        if !header.is_body_of(id) || header.len != ptr.len {
            return Err(self.corrupt(ptr.offset, "the frame is another one than was asked for"));
        }
        let body = &frame[FRAME_HEADER_BYTES..];
        if crc32fast::hash(body) != header.body_crc {
            return Err(self.corrupt(ptr.offset, "the body's checksum is wrong"));
        }
        Ok(body)
    }

    /// `frame` holds at least a header.
    pub(crate) fn decode_header(&self, frame: &[u8], offset: u64) -> Result<FrameHeader> {
        let mut header = [0; FRAME_HEADER_BYTES];
        header.copy_from_slice(&frame[..FRAME_HEADER_BYTES]);
        format::decode_frame_header(&header, &self.identity, offset)
            .map_err(|error| format_error(&self.path, offset, error))
    }
}
