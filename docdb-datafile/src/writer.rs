//! Appending frames to one file.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_vfs::{OpenMode, Vfs, VfsFile};

use crate::file::open_checked;
use crate::format::{self, FLAG_TOMBSTONE, FLAG_UNVERSIONED, FrameHeader};
use crate::{DataFileError, FileIdentity, FilePtr, FrameId, Result};

/// How many bytes are gathered before they are written, and the largest body that is gathered
/// rather than written from where it lies.
pub const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// Appends frames to one data file: sequential, in large writes, durable at [`DataFileWriter::sync`].
///
/// After an error nobody knows what of the file reached the disk. Every later call answers
/// `WriterFailed`; the caller abandons the file, or keeps what was durable before.
#[derive(Debug)]
pub struct DataFileWriter {
    file: Arc<dyn VfsFile>,
    path: PathBuf,
    identity: FileIdentity,
    /// What is appended and not yet written; it belongs at `written_len`.
    buffer: Vec<u8>,
    written_len: u64,
    durable_len: u64,
    /// Up to here nothing need be carried to the device any more.
    synced_len: u64,
    failed: bool,
}

impl DataFileWriter {
    /// Creates a file that must not exist yet. Its header becomes durable with the first
    /// [`DataFileWriter::sync`], its name when the caller syncs the directory.
    pub fn create(vfs: &dyn Vfs, path: &Path, identity: FileIdentity) -> Result<Self> {
        let file = vfs.open(path, OpenMode::CreateNew)?;
        let mut writer = Self::new(file, path, identity, 0);
        writer
            .buffer
            .extend_from_slice(&format::encode_file_header(&identity));
        Ok(writer)
    }

    /// Opens a file of which `durable_len` bytes are known to be synced, checks its header, and
    /// cuts off what is beyond.
    pub fn append_to(
        vfs: &dyn Vfs,
        path: &Path,
        identity: FileIdentity,
        durable_len: u64,
    ) -> Result<Self> {
        let file = open_checked(vfs, path, OpenMode::ReadWrite, &identity, durable_len)?;
        if file.len()? != durable_len {
            file.set_len(durable_len)?;
        }
        Ok(Self::new(file, path, identity, durable_len))
    }

    fn new(file: Arc<dyn VfsFile>, path: &Path, identity: FileIdentity, len: u64) -> Self {
        Self {
            file,
            path: path.to_path_buf(),
            identity,
            buffer: Vec::new(),
            written_len: len,
            durable_len: len,
            synced_len: len,
            failed: false,
        }
    }

    /// Appends a document's version.
    pub fn append(&mut self, id: &FrameId, body: &[u8]) -> Result<FilePtr> {
        self.append_frame(0, id, body)
    }

    /// Appends a body of a document whose version is not known yet.
    pub fn append_unversioned(&mut self, collection: u32, id: u64, body: &[u8]) -> Result<FilePtr> {
        let id = FrameId {
            collection,
            id,
            version: 0,
        };
        self.append_frame(FLAG_UNVERSIONED, &id, body)
    }

    /// Appends the deletion of a document.
    pub fn append_tombstone(&mut self, id: &FrameId) -> Result<FilePtr> {
        self.append_frame(FLAG_TOMBSTONE, id, &[])
    }

    /// Writes what is appended and makes it durable, filling up the last block. Returns the durable
    /// length in bytes, which the caller must remember: it is what the file is opened with.
    pub fn sync(&mut self) -> Result<u64> {
        self.check_usable()?;
        let end = self.len();
        if end == self.durable_len {
            return Ok(end);
        }
        let padding = format::padding_bytes(end);
        if padding > 0 {
            let frame = format::padding_frame(padding, &self.identity, end);
            self.buffer.extend_from_slice(&frame);
        }
        self.latch(Self::write_buffer)?;
        self.latch(|writer| Ok(writer.file.sync_data()?))?;
        self.durable_len = self.written_len;
        self.synced_len = self.written_len;
        Ok(self.durable_len)
    }

    /// Writes and syncs what was appended so far, so that less is left for [`DataFileWriter::sync`]:
    /// a long sync keeps the device from others. Proves nothing durable by itself.
    ///
    /// # Errors
    /// As [`DataFileWriter::sync`].
    pub fn sync_written(&mut self) -> Result<()> {
        self.check_usable()?;
        self.latch(Self::write_buffer)?;
        self.latch(|writer| Ok(writer.file.sync_data()?))?;
        self.synced_len = self.written_len;
        Ok(())
    }

    /// Bytes that the next sync has to carry to the device.
    pub fn unsynced_bytes(&self) -> u64 {
        self.len() - self.synced_len
    }

    /// Where the next frame goes, in bytes from the file's beginning.
    // A file without its header does not exist, so there is no emptiness to ask for.
    #[expect(clippy::len_without_is_empty, reason = "a data file is never empty")]
    pub fn len(&self) -> u64 {
        self.written_len + self.buffer.len() as u64
    }

    /// What the last [`DataFileWriter::sync`] returned; 0 for a new file.
    pub fn durable_len(&self) -> u64 {
        self.durable_len
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's number and salt.
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }

    fn append_frame(&mut self, flags: u32, id: &FrameId, body: &[u8]) -> Result<FilePtr> {
        self.check_usable()?;
        if body.len() > format::BODY_BYTES_MAX as usize {
            return Err(DataFileError::TooLarge {
                bytes: body.len() as u64,
                max: u64::from(format::BODY_BYTES_MAX),
            });
        }
        let ptr = FilePtr {
            file: self.identity.number,
            offset: self.len(),
            len: body.len() as u32,
        };
        let header = FrameHeader {
            flags,
            id: *id,
            len: ptr.len,
            body_crc: crc32fast::hash(body),
        };
        let header = format::encode_frame_header(&header, &self.identity, ptr.offset);
        let frame_bytes = ptr.frame_bytes();
        let padding = frame_bytes as usize - header.len() - body.len();
        let zeros = &[0; format::FRAME_ALIGN_BYTES as usize][..padding];

        if body.len() > WRITE_BUFFER_BYTES {
            self.latch(Self::write_buffer)?;
            self.latch(|writer| {
                let parts = [
                    IoSlice::new(&header),
                    IoSlice::new(body),
                    IoSlice::new(zeros),
                ];
                writer
                    .file
                    .write_vectored_all_at(&parts, writer.written_len)?;
                writer.written_len += frame_bytes;
                Ok(())
            })?;
            return Ok(ptr);
        }
        if !self.buffer.is_empty()
            && self.buffer.len() as u64 + frame_bytes > WRITE_BUFFER_BYTES as u64
        {
            self.latch(Self::write_buffer)?;
        }
        self.buffer.extend_from_slice(&header);
        self.buffer.extend_from_slice(body);
        self.buffer.extend_from_slice(zeros);
        Ok(ptr)
    }

    fn write_buffer(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_all_at(&self.buffer, self.written_len)?;
            self.written_len += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    fn check_usable(&self) -> Result<()> {
        if self.failed {
            return Err(DataFileError::WriterFailed {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    fn latch(&mut self, step: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let result = step(self);
        self.failed |= result.is_err();
        result
    }
}
