//! Reads groups from a segment file, verifying everything.

use std::sync::Arc;

use docdb_vfs::VfsFile;

use crate::error::Result;
use crate::format::group::{self, GroupHeader, GroupPlace};
use crate::format::record::{self, RecordHeader, RecordSeed};
use crate::format::{BLOCK_BYTES, GROUP_ALIGN_BYTES};

/// How much is read ahead at once.
const WINDOW_BYTES: usize = 1 << 20;
/// No group holds more bytes of records than this.
const GROUP_RECORDS_BYTES_MAX: usize = 64 << 20;

static ZERO_BLOCK: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

/// Sequential positional reads through a window; what lies beyond the end of the file is absent, an
/// error is an error.
pub(super) struct SegmentReader {
    file: Arc<dyn VfsFile>,
    window: Vec<u8>,
    window_start: u64,
    end: u64,
}

impl SegmentReader {
    /// Reads `file` up to `end`, or to the end of the file if that comes first.
    pub(super) fn new(file: Arc<dyn VfsFile>, end: u64) -> Result<SegmentReader> {
        let end = end.min(file.len()?);
        Ok(SegmentReader {
            file,
            window: Vec::new(),
            window_start: 0,
            end,
        })
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// `length` bytes at `offset`, or `None` if the file does not hold them.
    pub(super) fn bytes(&mut self, offset: u64, length: usize) -> Result<Option<&[u8]>> {
        if offset
            .checked_add(length as u64)
            .is_none_or(|end| end > self.end)
        {
            return Ok(None);
        }
        let inside = offset >= self.window_start
            && offset + length as u64 <= self.window_start + self.window.len() as u64;
        if !inside {
            let want = (self.end - offset).min(length.max(WINDOW_BYTES) as u64) as usize;
            self.window.resize(want, 0);
            self.window_start = offset;
            let got = self.file.read_at(&mut self.window, offset)?;
            self.window.truncate(got);
            if got < length {
                return Ok(None);
            }
        }
        let start = (offset - self.window_start) as usize;
        Ok(Some(&self.window[start..start + length]))
    }

    /// The valid group header at `place`, whatever its records are.
    pub(super) fn header(&mut self, place: GroupPlace) -> Result<Option<(GroupHeader, u32)>> {
        let bytes = self.bytes(place.offset, group::HEADER_BYTES)?;
        Ok(bytes.and_then(|bytes| GroupHeader::decode(bytes, place)))
    }

    /// The bytes of the records of the group whose header stands at `place`, if all of them verify.
    pub(super) fn records(
        &mut self,
        place: GroupPlace,
        header: &GroupHeader,
        seed: RecordSeed,
    ) -> Result<Option<&[u8]>> {
        let length = header.records_bytes as usize;
        if length > GROUP_RECORDS_BYTES_MAX {
            return Ok(None);
        }
        let Some(bytes) = self.bytes(place.offset + group::HEADER_BYTES as u64, length)? else {
            return Ok(None);
        };
        Ok(verify(bytes, header, seed).then_some(bytes))
    }

    /// The first place at or after `offset` at which a valid group header stands, and that header.
    pub(super) fn find_group(
        &mut self,
        wal_id: u128,
        segment: u64,
        mut offset: u64,
    ) -> Result<Option<(u64, GroupHeader)>> {
        while offset < self.end {
            if let Some((header, _)) = self.header(GroupPlace {
                wal_id,
                segment,
                offset,
            })? {
                return Ok(Some((offset, header)));
            }
            offset += GROUP_ALIGN_BYTES;
        }
        Ok(None)
    }

    /// Whether nothing was ever written at `offset` or after it.
    pub(super) fn is_blank(&mut self, mut offset: u64) -> Result<bool> {
        while offset < self.end {
            let length = BLOCK_BYTES.min(self.end - offset);
            let bytes = self.bytes(offset, length as usize)?;
            if bytes.is_some_and(|bytes| *bytes != ZERO_BLOCK[..bytes.len()]) {
                return Ok(false);
            }
            offset += length;
        }
        Ok(true)
    }
}

fn verify(bytes: &[u8], header: &GroupHeader, seed: RecordSeed) -> bool {
    let mut digest = crc32fast::Hasher::new();
    let mut records = Records { bytes, seed };
    let mut lsn = header.first_lsn;
    let mut count = 0;
    loop {
        if records.bytes.is_empty() {
            return count == header.records && digest.finalize() == header.digest;
        }
        let Some(raw) = records.bytes.get(..record::HEADER_BYTES) else {
            return false;
        };
        digest.update(raw);
        match records.next() {
            Some((record, payload))
                if record.lsn == lsn && record.payload_crc == crc32fast::hash(payload) => {}
            _ => return false,
        }
        lsn += 1;
        count += 1;
    }
}

/// The records of a group, one after the other; ends early where the bytes make no sense.
pub(super) struct Records<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) seed: RecordSeed,
}

impl<'a> Iterator for Records<'a> {
    type Item = (RecordHeader, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = RecordHeader::decode(self.bytes, self.seed)?;
        let end = record::HEADER_BYTES.checked_add(header.payload_bytes as usize)?;
        let payload = self.bytes.get(record::HEADER_BYTES..end)?;
        self.bytes = &self.bytes[end..];
        Some((header, payload))
    }
}
