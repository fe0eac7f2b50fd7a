//! Writes groups into segments. Used only by the holder of the flush token.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use docdb_vfs::Vfs;

use crate::error::Result;
use crate::format::group::{FLAG_CLOSE, FLAG_IDLE, FLAG_SEAL, GroupHeader, GroupPlace};
use crate::format::segment::DATA_START;
use crate::format::{BLOCK_BYTES, align_group, align_up};
use crate::group::GroupBuffer;
use crate::planted::{Bug, is_planted};
use crate::segment::Segment;

/// The end of the log: where the next group goes and what it must repeat.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) wal_id: u128,
    pub(crate) segment: Segment,
    /// Where the next group goes: a block boundary if everything before is synced.
    pub(crate) position: u64,
    pub(crate) last_group: u64,
    pub(crate) last_group_crc: u32,
    pub(crate) written_lsn: u64,
    pub(crate) durable_lsn: u64,
    pub(crate) durable_group: u64,
}

impl Writer {
    /// Bytes that groups can still use in this segment.
    pub(crate) fn room_bytes(&self) -> u64 {
        self.segment
            .capacity_bytes
            .saturating_sub(align_up(self.position) + BLOCK_BYTES)
    }

    /// Writes a group; with `sync`, it and everything before it is durable when this returns. Any
    /// error is final for the log.
    pub(crate) fn write(&mut self, group: &mut GroupBuffer, sync: bool) -> Result<()> {
        let header = GroupHeader {
            first_lsn: group.first_lsn,
            records_bytes: group.records_bytes() as u32,
            records: group.records,
            digest: group.digest(),
            ..self.next_header()
        };
        let (bytes, crc) = header.encode(self.place());
        group.set_header(&bytes);
        group.write_to(self.segment.file.as_ref(), self.position, sync)?;
        self.advance(group.bytes(), crc);
        self.written_lsn = group.last_lsn;
        if sync { self.sync() } else { Ok(()) }
    }

    /// Makes everything written durable. Any error is final for the log.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if self.durable_group == self.last_group {
            return Ok(());
        }
        if !is_planted(Bug::SkipSync) {
            let mut synced = self.segment.file.sync_data();
            if is_planted(Bug::RetriedSync) {
                synced = synced.or_else(|_| self.segment.file.sync_data());
            }
            if !is_planted(Bug::IgnoredSyncError) {
                synced?;
            }
        }
        self.durable_group = self.last_group;
        self.durable_lsn = self.written_lsn;
        self.position = align_up(self.position);
        Ok(())
    }

    /// Ends this segment and goes on in `next`. The seal, and everything before it, is durable before
    /// anything is written to the successor, so a group there proves that everything here was
    /// complete.
    pub(crate) fn rotate(&mut self, next: Segment, next_lsn: u64) -> Result<()> {
        self.write_marker(FLAG_SEAL, next_lsn)?;
        self.segment = next;
        self.position = DATA_START;
        Ok(())
    }

    /// Writes and syncs the marker of a clean end.
    pub(crate) fn write_close(&mut self, next_lsn: u64) -> Result<()> {
        self.write_marker(FLAG_CLOSE, next_lsn)
    }

    /// Cuts off what is void behind the marker of a clean end. Returns the bytes that are left.
    pub(crate) fn give_back(&self) -> u64 {
        match self.segment.file.set_len(self.position) {
            Ok(()) => self.position,
            Err(_) => self.segment.capacity_bytes,
        }
    }

    /// Writes and syncs a marker that proves everything before it: syncs that first.
    pub(crate) fn write_idle(&mut self, next_lsn: u64) -> Result<()> {
        self.sync()?;
        self.write_marker(FLAG_IDLE, next_lsn)
    }

    fn write_marker(&mut self, flags: u32, next_lsn: u64) -> Result<()> {
        let header = GroupHeader {
            first_lsn: next_lsn,
            flags,
            ..self.next_header()
        };
        let (bytes, crc) = header.encode(self.place());
        let length = align_up(self.position + 1) - self.position;
        let mut block = [0; BLOCK_BYTES as usize];
        block[..bytes.len()].copy_from_slice(&bytes);
        // Up to the end of the block; a marker near the end of one reaches into the next.
        let length = if length < bytes.len() as u64 {
            BLOCK_BYTES
        } else {
            length
        };
        self.segment
            .file
            .write_all_at(&block[..length as usize], self.position)?;
        self.advance(bytes.len() as u64, crc);
        self.segment.file.sync_data()?;
        self.durable_group = self.last_group;
        self.durable_lsn = self.written_lsn;
        self.position = align_up(self.position);
        Ok(())
    }

    fn next_header(&self) -> GroupHeader {
        GroupHeader {
            group: self.last_group + 1,
            durable_lsn: self.durable_lsn,
            durable_group: self.durable_group,
            previous_crc: self.last_group_crc,
            ..GroupHeader::default()
        }
    }

    fn place(&self) -> GroupPlace {
        GroupPlace {
            wal_id: self.wal_id,
            segment: self.segment.number,
            offset: self.position,
        }
    }

    fn advance(&mut self, bytes: u64, crc: u32) {
        self.position = align_group(self.position + bytes);
        self.last_group += 1;
        self.last_group_crc = crc;
    }
}

/// How far the log has got.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) written_lsn: u64,
    pub(crate) durable_lsn: u64,
    pub(crate) durable_group: u64,
    pub(crate) room_bytes: u64,
    pub(crate) capacity_bytes: u64,
    pub(crate) now: Duration,
}

impl End {
    pub(crate) fn of(writer: &Writer, now: Duration) -> End {
        End {
            written_lsn: writer.written_lsn,
            durable_lsn: writer.durable_lsn,
            durable_group: writer.durable_group,
            room_bytes: writer.room_bytes(),
            capacity_bytes: writer.segment.capacity_bytes,
            now,
        }
    }
}

/// Where a log lives.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
}
