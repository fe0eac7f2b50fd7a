//! The open group: what has been appended since the last group was issued.

use std::io::IoSlice;

use bytes::Bytes;
use docdb_vfs::VfsFile;

use crate::format::group::HEADER_BYTES;
use crate::format::record::{self, RecordHeader, RecordSeed};
use crate::format::{BLOCK_BYTES, align_group, align_up};
use crate::pack::{Packed, PackedRecord, Rest};

/// Payload parts larger than this are linked into the group and written from where they are.
pub(crate) const LINK_BYTES_MIN: usize = 16 << 10;
/// A buffer that grew beyond this is given back to the allocator after its group was written.
const BUFFER_KEPT_BYTES_MAX: usize = 1 << 20;

static ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

/// The bulk of a record's payload.
#[derive(Debug, Clone)]
pub enum Body<'a> {
    /// Copied into the group.
    Slice(&'a [u8]),
    /// Linked into the group when it is large, and written from where it is.
    Shared(Bytes),
    /// As [`Wal::pack`](crate::Wal::pack) has left it; the append does not try to compress it again.
    Packed(Packed<'a>),
}

impl Body<'_> {
    /// The body's length in bytes, before any compression.
    pub fn len(&self) -> usize {
        match self {
            Body::Slice(bytes) => bytes.len(),
            Body::Shared(bytes) => bytes.len(),
            Body::Packed(packed) => packed.body_bytes(),
        }
    }

    /// Whether the body has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A record to append: its payload is `head` followed by `body`, of which only `body` is ever
/// compressed.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The caller's number for the record, stored beside the LSN.
    pub stamp: u64,
    /// The caller's kind of record.
    pub kind: u16,
    /// The small first part of the payload.
    pub head: &'a [u8],
    /// The rest of the payload.
    pub body: Body<'a>,
    /// CRC-32 (IEEE) of the whole payload, before any compression. It is stored as it is given, so that
    /// bytes that change on their way into the log are found. A wrong one cannot be told from damage
    /// when the log is read: its group, and what follows, is lost or the log refused.
    pub payload_crc: u32,
}

impl<'a> Record<'a> {
    /// A record with this payload, whose checksum is computed here, and the stamp 0.
    pub fn new(kind: u16, payload: &'a [u8]) -> Record<'a> {
        Record {
            stamp: 0,
            kind,
            head: &[],
            body: Body::Slice(payload),
            payload_crc: crc32fast::hash(payload),
        }
    }

    /// The payload's length in bytes, before any compression.
    pub fn payload_bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

#[derive(Debug)]
struct Link {
    /// Where in `buffer` the linked bytes belong.
    at: usize,
    bytes: Bytes,
}

/// Records on their way to the device, laid out as they will stand there. The group's header is at
/// the front of the buffer and is filled in when the group is issued.
#[derive(Debug)]
pub(crate) struct GroupBuffer {
    buffer: Vec<u8>,
    links: Vec<Link>,
    linked_bytes: usize,
    digest: crc32fast::Hasher,
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    pub(crate) records: u32,
}

impl GroupBuffer {
    pub(crate) fn new() -> GroupBuffer {
        GroupBuffer {
            buffer: vec![0; HEADER_BYTES],
            links: Vec::new(),
            linked_bytes: 0,
            digest: crc32fast::Hasher::new(),
            first_lsn: 0,
            last_lsn: 0,
            records: 0,
        }
    }

    /// Empties the group, keeping its memory unless that is large.
    pub(crate) fn reset(&mut self) {
        if self.buffer.capacity() > BUFFER_KEPT_BYTES_MAX {
            *self = GroupBuffer::new();
            return;
        }
        self.buffer.truncate(HEADER_BYTES);
        self.links.clear();
        self.linked_bytes = 0;
        self.digest = crc32fast::Hasher::new();
        self.records = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes of all records.
    pub(crate) fn records_bytes(&self) -> usize {
        self.buffer.len() - HEADER_BYTES + self.linked_bytes
    }

    /// Bytes of header and records.
    pub(crate) fn bytes(&self) -> u64 {
        (HEADER_BYTES + self.records_bytes()) as u64
    }

    /// The most bytes on the device with `more` bytes of records: header, records and padding.
    pub(crate) fn device_bytes_with(&self, more: usize) -> u64 {
        align_up((HEADER_BYTES + self.records_bytes() + more) as u64)
    }

    pub(crate) fn push(&mut self, lsn: u64, record: PackedRecord<'_>, seed: RecordSeed) {
        if self.records == 0 {
            self.first_lsn = lsn;
        }
        self.last_lsn = lsn;
        self.records += 1;
        let header = RecordHeader {
            payload_bytes: record.stored_bytes() as u32,
            lsn,
            stamp: record.stamp,
            payload_crc: record.stored_crc,
            kind: record.kind,
            flags: record.flags,
        }
        .encode(seed);
        self.push_encoded(&header, &record.front);
        match record.rest {
            Rest::Slice(bytes) => self.buffer.extend_from_slice(bytes),
            Rest::Shared(bytes) if bytes.len() < LINK_BYTES_MIN => {
                self.buffer.extend_from_slice(&bytes);
            }
            Rest::Shared(bytes) => {
                self.linked_bytes += bytes.len();
                self.links.push(Link {
                    at: self.buffer.len(),
                    bytes,
                });
            }
        }
    }

    fn push_encoded(&mut self, header: &[u8; record::HEADER_BYTES], payload: &[u8]) {
        self.digest.update(header);
        self.buffer.extend_from_slice(header);
        self.buffer.extend_from_slice(payload);
    }

    /// The CRC of all record headers.
    pub(crate) fn digest(&self) -> u32 {
        self.digest.clone().finalize()
    }

    pub(crate) fn set_header(&mut self, header: &[u8; HEADER_BYTES]) {
        self.buffer[..HEADER_BYTES].copy_from_slice(header);
    }

    /// Writes the group at `offset`, padded with zeros to where the next may start: to the end of its
    /// last block if it is synced.
    pub(crate) fn write_to(
        &mut self,
        file: &dyn VfsFile,
        offset: u64,
        synced: bool,
    ) -> docdb_vfs::Result<()> {
        let length = self.bytes();
        let end = if synced {
            align_up(length)
        } else {
            align_group(length)
        };
        let padding = (end - length) as usize;
        if !self.links.is_empty() {
            return file.write_vectored_all_at(&self.slices(padding), offset);
        }
        // One buffer needs no list of them, here and in the kernel.
        let records_end = self.buffer.len();
        self.buffer.resize(records_end + padding, 0);
        let written = file.write_all_at(&self.buffer, offset);
        self.buffer.truncate(records_end);
        written
    }

    fn slices(&self, padding: usize) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * self.links.len() + 2);
        let mut at = 0;
        for link in &self.links {
            slices.push(IoSlice::new(&self.buffer[at..link.at]));
            slices.push(IoSlice::new(&link.bytes));
            at = link.at;
        }
        slices.push(IoSlice::new(&self.buffer[at..]));
        slices.push(IoSlice::new(&ZEROS[..padding]));
        slices
    }
}
