//! The groups that were read but are not proven durable: found by judging, written anew by acting.

use std::path::PathBuf;
use std::sync::Arc;

use docdb_vfs::VfsFile;

use super::reader::SegmentReader;
use crate::error::{Result, WalError};
use crate::format::align_group;
use crate::format::group::{self, GroupHeader, GroupPlace};
use crate::format::record::RecordSeed;
use crate::format::segment::Cut;

/// How much is gathered before it is written.
const WRITE_BYTES: usize = 1 << 20;

/// The segment that groups stand in.
#[derive(Debug)]
pub(super) struct TailSource {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn VfsFile>,
    pub(super) segment: u64,
    /// Bytes from here on are void.
    pub(super) end: u64,
}

/// A valid group. There may be one for each record, so what can be read again is not kept.
#[derive(Debug, Clone)]
pub(super) struct TailGroup {
    source: Arc<TailSource>,
    offset: u64,
    group: u64,
    first_lsn: u64,
    records: u32,
    records_bytes: u32,
    previous_crc: u32,
}

impl TailGroup {
    pub(super) fn new(source: &Arc<TailSource>, offset: u64, header: &GroupHeader) -> TailGroup {
        TailGroup {
            source: Arc::clone(source),
            offset,
            group: header.group,
            first_lsn: header.first_lsn,
            records: header.records,
            records_bytes: header.records_bytes,
            previous_crc: header.previous_crc,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.group
    }

    pub(super) fn has_records(&self) -> bool {
        self.records > 0
    }

    /// The LSN of the last record; in a group without records, of the one before it.
    pub(super) fn last_lsn(&self) -> u64 {
        let end = self.first_lsn.saturating_add(u64::from(self.records));
        end.saturating_sub(1)
    }

    /// The bytes that the group takes in a segment that is synced as a whole.
    pub(super) fn copied_bytes(&self) -> u64 {
        align_group((group::HEADER_BYTES + self.records_bytes as usize) as u64)
    }

    /// The chain cut in front of this group.
    pub(super) fn cut_before(&self) -> Cut {
        Cut {
            segment: self.source.segment,
            offset: self.offset,
            last_lsn: self.first_lsn.saturating_sub(1),
            last_group: self.group.saturating_sub(1),
            last_group_crc: self.previous_crc,
        }
    }
}

/// Reads groups again, in the order of the log.
pub(super) struct TailReader {
    wal_id: u128,
    seed: RecordSeed,
    open: Option<(Arc<TailSource>, SegmentReader)>,
}

impl TailReader {
    pub(super) fn new(wal_id: u128) -> TailReader {
        TailReader {
            wal_id,
            seed: RecordSeed::new(wal_id),
            open: None,
        }
    }

    /// The group's header and its records, verified once more.
    pub(super) fn read(&mut self, tail: &TailGroup) -> Result<(GroupHeader, &[u8])> {
        let source = &tail.source;
        let is_open = |(open, _): &(Arc<TailSource>, _)| Arc::ptr_eq(open, source);
        let mut reader = match self.open.take().filter(is_open) {
            Some((_, reader)) => reader,
            None => SegmentReader::new(&source.path, Arc::clone(&source.file), source.end)?,
        };
        let changed = || {
            WalError::corrupt(
                &source.path,
                tail.offset,
                "a group changed while it was being copied",
            )
        };
        let place = GroupPlace {
            wal_id: self.wal_id,
            segment: source.segment,
            offset: tail.offset,
        };
        let (header, _) = reader.header(place)?.ok_or_else(changed)?;
        if (header.group, header.first_lsn) != (tail.group, tail.first_lsn) {
            return Err(changed());
        }
        let (_, reader) = self.open.insert((Arc::clone(source), reader));
        let records = reader.records(place, &header, self.seed)?;
        Ok((header, records.ok_or_else(changed)?.bytes))
    }
}

/// Appends groups to a segment that is not part of the log yet.
pub(super) struct ChainWriter<'a> {
    file: &'a dyn VfsFile,
    /// Where the next group goes.
    pub(super) place: GroupPlace,
    pub(super) last_group: u64,
    pub(super) last_crc: u32,
    durable_lsn: u64,
    durable_group: u64,
    /// What belongs right before `place`.
    buffer: Vec<u8>,
}

impl<'a> ChainWriter<'a> {
    /// A writer that goes on after `cut` at `place`; everything up to `durable_lsn` is proven.
    pub(super) fn new(
        file: &'a dyn VfsFile,
        place: GroupPlace,
        cut: Cut,
        durable_lsn: u64,
    ) -> ChainWriter<'a> {
        ChainWriter {
            file,
            place,
            last_group: cut.last_group,
            last_crc: cut.last_group_crc,
            durable_lsn,
            durable_group: cut.last_group,
            buffer: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, header: GroupHeader, records: &[u8]) -> Result<()> {
        let header = GroupHeader {
            group: self.last_group + 1,
            previous_crc: self.last_crc,
            durable_lsn: self.durable_lsn,
            durable_group: self.durable_group,
            ..header
        };
        let (bytes, crc) = header.encode(self.place);
        self.buffer.extend_from_slice(&bytes);
        self.buffer.extend_from_slice(records);
        // Synced as a whole, so nothing in it needs a block of its own.
        let length = align_group((bytes.len() + records.len()) as u64);
        let padding = length as usize - bytes.len() - records.len();
        self.buffer.resize(self.buffer.len() + padding, 0);
        self.place.offset += length;
        self.last_group += 1;
        self.last_crc = crc;
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is gathered.
    pub(super) fn flush(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            let start = self.place.offset - self.buffer.len() as u64;
            self.file.write_all_at(&self.buffer, start)?;
            self.buffer.clear();
        }
        Ok(())
    }
}
