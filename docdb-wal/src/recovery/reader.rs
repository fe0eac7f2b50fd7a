//! Reads groups from a segment file, verifying everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_vfs::VfsFile;

use crate::error::{Result, WalError};
use crate::format::group::{self, FLAG_JUMP, GroupHeader, GroupPlace};
use crate::format::record::{self, RecordHeader, RecordSeed};
use crate::format::{BLOCK_BYTES, GROUP_ALIGN_BYTES};

/// How much is read ahead at once.
const WINDOW_BYTES: usize = 1 << 20;
/// The same where the end of what is written is near; doubles with each read that follows.
const WINDOW_BYTES_MIN: usize = 16 << 10;
/// No group holds more bytes of records than this.
const GROUP_RECORDS_BYTES_MAX: usize = 64 << 20;

static ZERO_BLOCK: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

/// Sequential positional reads through a window; what lies beyond the end of the file is absent, an
/// error is an error.
pub(crate) struct SegmentReader {
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    window: Vec<u8>,
    window_start: u64,
    /// How much the next read takes.
    ahead_bytes: usize,
    end: u64,
}

impl SegmentReader {
    /// Reads `file`, which errors name by `path`, up to `end`, or to the end of the file if that comes
    /// first.
    pub(crate) fn new(path: &Path, file: Arc<dyn VfsFile>, end: u64) -> Result<SegmentReader> {
        let end = end.min(file.len()?);
        Ok(SegmentReader {
            path: path.to_path_buf(),
            file,
            window: Vec::new(),
            window_start: 0,
            ahead_bytes: WINDOW_BYTES,
            end,
        })
    }

    /// Reads everything anew from here on: the file may have been written to. There may be little
    /// before its end now, so not much is read at first.
    pub(crate) fn forget(&mut self) {
        self.window.clear();
        self.ahead_bytes = WINDOW_BYTES_MIN;
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// `length` bytes at `offset`, or `None` if the file does not hold them.
    pub(crate) fn bytes(&mut self, offset: u64, length: usize) -> Result<Option<&[u8]>> {
        if offset
            .checked_add(length as u64)
            .is_none_or(|end| end > self.end)
        {
            return Ok(None);
        }
        let inside = offset >= self.window_start
            && offset + length as u64 <= self.window_start + self.window.len() as u64;
        if !inside {
            let want = (self.end - offset).min(length.max(self.ahead_bytes) as u64) as usize;
            self.ahead_bytes = (self.ahead_bytes * 2).min(WINDOW_BYTES);
            self.window.resize(want, 0);
            self.window_start = offset;
            let got = self.file.read_at(&mut self.window, offset)?;
            self.window.truncate(got);
            if got < length {
                return Ok(None);
            }
        }
        Ok(Some(self.loaded(offset, length)))
    }

    /// Bytes that the window holds.
    fn loaded(&self, offset: u64, length: usize) -> &[u8] {
        let start = (offset - self.window_start) as usize;
        &self.window[start..start + length]
    }

    /// The valid group header at `place`, whatever its records are.
    pub(crate) fn header(&mut self, place: GroupPlace) -> Result<Option<(GroupHeader, u32)>> {
        let bytes = self.bytes(place.offset, group::HEADER_BYTES)?;
        Ok(bytes.and_then(|bytes| GroupHeader::decode(bytes, place)))
    }

    /// The records of the group whose header stands at `place`, if all of them verify.
    ///
    /// # Errors
    /// [`WalError::UnsupportedVersion`] if one of them means something that this build does not know:
    /// a version that does may have acknowledged it.
    pub(crate) fn records(
        &mut self,
        place: GroupPlace,
        header: &GroupHeader,
        seed: RecordSeed,
    ) -> Result<Option<Records<'_>>> {
        let length = header.records_bytes as usize;
        if !is_possible(header) {
            return Ok(None);
        }
        let offset = place.offset + group::HEADER_BYTES as u64;
        if self.bytes(offset, length)?.is_none() {
            return Ok(None);
        }
        let records = Records {
            bytes: self.loaded(offset, length),
            offset,
            seed,
        };
        match verify(records.clone(), header) {
            Verified::Whole => Ok(Some(records)),
            Verified::Damaged => Ok(None),
            Verified::Unknown { offset, flags } => Err(WalError::UnsupportedVersion {
                path: self.path.clone(),
                what: format!("the record at offset {offset} has the unknown flags {flags:#x}"),
            }),
        }
    }

    /// The first place at or after `offset` at which a valid group header stands, and that header.
    pub(crate) fn find_group(
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
    pub(crate) fn is_blank(&mut self, mut offset: u64) -> Result<bool> {
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

/// The end of a valid chain of groups so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChainEnd {
    pub(crate) lsn: u64,
    pub(crate) group: u64,
    pub(crate) crc: u32,
}

impl ChainEnd {
    /// The end that `header` claims to follow.
    pub(crate) fn before(header: &GroupHeader) -> ChainEnd {
        ChainEnd {
            lsn: header.first_lsn.saturating_sub(1),
            group: header.group.saturating_sub(1),
            crc: header.previous_crc,
        }
    }

    /// Whether a group with this header continues the chain.
    pub(crate) fn is_followed_by(&self, header: &GroupHeader) -> bool {
        let in_order = if header.has(FLAG_JUMP) {
            header.first_lsn > self.lsn && header.records == 0
        } else {
            header.first_lsn == self.lsn.wrapping_add(1)
        };
        header.group == self.group.wrapping_add(1) && header.previous_crc == self.crc && in_order
    }

    /// The end behind a group that continues the chain and whose header has this CRC.
    pub(crate) fn and(&self, header: &GroupHeader, crc: u32) -> ChainEnd {
        let lsn = if header.records > 0 {
            header.last_lsn()
        } else if header.has(FLAG_JUMP) {
            header.first_lsn.saturating_sub(1)
        } else {
            self.lsn
        };
        ChainEnd {
            lsn,
            group: header.group,
            crc,
        }
    }
}

/// Whether there can be a group with this header. Past the numbers that logs reach, counting on from a
/// record would overflow.
pub(crate) fn is_possible(header: &GroupHeader) -> bool {
    header.records_bytes as usize <= GROUP_RECORDS_BYTES_MAX
        && header.first_lsn <= super::judge::NUMBER_MAX
}

/// Whether the records of a group are what its writer wrote.
enum Verified {
    Whole,
    Damaged,
    /// The header of the record at `offset` is what its writer wrote.
    Unknown {
        offset: u64,
        flags: u16,
    },
}

fn verify(mut records: Records<'_>, header: &GroupHeader) -> Verified {
    let mut digest = crc32fast::Hasher::new();
    let mut lsn = header.first_lsn;
    let mut count = 0;
    loop {
        if records.bytes.is_empty() {
            let whole = count == header.records && digest.finalize() == header.digest;
            return if whole {
                Verified::Whole
            } else {
                Verified::Damaged
            };
        }
        let Some(raw) = records.bytes.get(..record::HEADER_BYTES) else {
            return Verified::Damaged;
        };
        digest.update(raw);
        match records.next() {
            Some(StoredRecord { offset, header, .. })
                if header.lsn == lsn && header.unknown_flags() != 0 =>
            {
                return Verified::Unknown {
                    offset,
                    flags: header.unknown_flags(),
                };
            }
            Some(StoredRecord {
                header, payload, ..
            }) if header.lsn == lsn && header.payload_crc == crc32fast::hash(payload) => {}
            _ => return Verified::Damaged,
        }
        lsn += 1;
        count += 1;
    }
}

/// A record as it stands in a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredRecord<'a> {
    /// Where its header stands.
    pub(crate) offset: u64,
    pub(crate) header: RecordHeader,
    pub(crate) payload: &'a [u8],
}

/// The records of a group, one after the other; ends early where the bytes make no sense.
#[derive(Debug, Clone)]
pub(crate) struct Records<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where `bytes` stand.
    pub(crate) offset: u64,
    pub(crate) seed: RecordSeed,
}

impl<'a> Iterator for Records<'a> {
    type Item = StoredRecord<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = RecordHeader::decode(self.bytes, self.seed)?;
        let end = record::HEADER_BYTES.checked_add(header.payload_bytes as usize)?;
        let payload = self.bytes.get(record::HEADER_BYTES..end)?;
        let offset = self.offset;
        self.bytes = &self.bytes[end..];
        self.offset += end as u64;
        Some(StoredRecord {
            offset,
            header,
            payload,
        })
    }
}
