//! Every frame of a file, one after the other, for checks and salvage.

use crate::file::read_error;
use crate::format::{self, FRAME_ALIGN_BYTES, FRAME_HEADER_BYTES, FrameHeader};
use crate::{DataFile, DataFileError, FilePtr, FrameId, Result};

/// How much of the file is read at a time, in bytes; more only for a frame that is larger.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// A verified frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where it lies.
    pub ptr: FilePtr,
    /// Whose version it is.
    pub id: FrameId,
    /// Whether that version is a deletion; then there is no body.
    pub tombstone: bool,
    /// The document's bytes.
    pub body: Vec<u8>,
}

/// A verified frame, in the memory that it was read into.
#[derive(Debug, Clone, Copy)]
pub struct FrameInPlace<'a> {
    /// Where it lies.
    pub ptr: FilePtr,
    /// What its header says.
    pub header: FrameHeader,
    /// The document's bytes.
    pub body: &'a [u8],
}

/// An iterator over the verified frames of a file up to its durable length; padding is checked and
/// left out.
///
/// Damage is yielded once per damaged stretch, as `Corrupt` with the offset where it begins; then
/// the iterator goes on at the next frame that verifies. A read that fails is yielded and ends the
/// iteration. Memory is bounded by the largest frame plus 1 MiB.
#[derive(Debug)]
pub struct Frames<'a> {
    file: &'a DataFile,
    end: u64,
    next: u64,
    /// Bytes of the file from `buffer_at`.
    buffer: Vec<u8>,
    buffer_at: u64,
    done: bool,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(file: &'a DataFile, offset: u64) -> Self {
        Self {
            file,
            end: file.durable_len(),
            next: offset,
            buffer: Vec::new(),
            buffer_at: 0,
            done: false,
        }
    }

    /// Where the next frame begins, in bytes from the file's beginning.
    pub fn offset(&self) -> u64 {
        self.next
    }

    /// The `len` bytes at `offset`; both lie within the file's durable length.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let buffered = offset
            .checked_sub(self.buffer_at)
            .is_some_and(|skip| skip + len as u64 <= self.buffer.len() as u64);
        if !buffered {
            let ahead = (self.end - offset).min(READ_AHEAD_BYTES.max(len) as u64) as usize;
            self.buffer.clear();
            self.buffer.resize(ahead, 0);
            self.buffer_at = offset;
            let read = self.file.file().read_exact_at(&mut self.buffer, offset);
            read.map_err(|error| read_error(self.file.path(), offset, error))?;
        }
        let start = (offset - self.buffer_at) as usize;
        Ok(&self.buffer[start..start + len])
    }

    /// The header of the frame at `offset`, if it verifies and the frame ends within the file.
    fn header(&mut self, offset: u64) -> Result<FrameHeader> {
        let file = self.file;
        if self.end - offset < FRAME_HEADER_BYTES as u64 {
            return Err(file.corrupt(offset, "no frame begins here"));
        }
        let header = file.decode_header(self.bytes(offset, FRAME_HEADER_BYTES)?, offset)?;
        if format::frame_bytes(header.len) > self.end - offset {
            return Err(file.corrupt(offset, "the frame ends beyond the durable length"));
        }
        Ok(header)
    }

    /// The frame at `self.next`, whose body is then in the buffer; `None` for padding. Moves on past the
    /// frame whose header verifies.
    fn frame(&mut self) -> Result<Option<(FilePtr, FrameHeader)>> {
        let offset = self.next;
        let header = self.header(offset)?;
        let file = self.file;
        let frame_bytes = format::frame_bytes(header.len);
        self.next = offset + frame_bytes;
        let rest = &self.bytes(offset, frame_bytes as usize)?[FRAME_HEADER_BYTES..];
        let (body, zeros) = rest.split_at(header.len as usize);
        if crc32fast::hash(body) != header.body_crc {
            return Err(file.corrupt(offset, "the body's checksum is wrong"));
        }
        if zeros.iter().any(|&byte| byte != 0) {
            return Err(file.corrupt(offset, "the zeros after the body are not zero"));
        }
        if header.is_padding() {
            return Ok(None);
        }
        let ptr = FilePtr {
            file: file.identity().number,
            offset,
            len: header.len,
        };
        Ok(Some((ptr, header)))
    }

    /// Moves on to the next offset where a header verifies.
    fn resynchronize(&mut self) -> Result<()> {
        self.next += FRAME_ALIGN_BYTES;
        while self.next < self.end {
            match self.header(self.next) {
                Ok(_) => break,
                Err(DataFileError::Corrupt { .. } | DataFileError::Unsupported { .. }) => {
                    self.next += FRAME_ALIGN_BYTES;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Frames<'_> {
    /// As [`Iterator::next`], without a copy of the body.
    pub fn next_in_place(&mut self) -> Option<Result<FrameInPlace<'_>>> {
        let (ptr, header) = match self.advance()? {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let start = (ptr.offset - self.buffer_at) as usize + FRAME_HEADER_BYTES;
        let body = &self.buffer[start..start + ptr.len as usize];
        Some(Ok(FrameInPlace { ptr, header, body }))
    }

    fn advance(&mut self) -> Option<Result<(FilePtr, FrameHeader)>> {
        while !self.done && self.next < self.end {
            let offset = self.next;
            match self.frame() {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => {}
                Err(
                    error @ (DataFileError::Corrupt { .. } | DataFileError::Unsupported { .. }),
                ) => {
                    if self.next == offset
                        && let Err(error) = self.resynchronize()
                    {
                        self.done = true;
                        return Some(Err(error));
                    }
                    return Some(Err(error));
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.next_in_place()?;
        Some(frame.map(|frame| Frame {
            ptr: frame.ptr,
            id: frame.header.id,
            tombstone: frame.header.is_tombstone(),
            body: frame.body.to_vec(),
        }))
    }
}
