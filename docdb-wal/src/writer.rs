//! Writes groups into segments. Used only by the holder of the flush token.

use std::path::PathBuf;
use std::sync::Arc;

use docdb_vfs::Vfs;

use crate::error::Result;
use crate::format::group::{FLAG_CLOSE, FLAG_SEAL, GroupHeader, GroupPlace};
use crate::format::segment::DATA_START;
use crate::format::{BLOCK_BYTES, align_up};
use crate::group::GroupBuffer;
use crate::planted::{Bug, is_planted};
use crate::segment::Segment;

/// The end of the log: where the next group goes and what it must repeat.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) wal_id: u128,
    pub(crate) segment: Segment,
    /// Where the next group goes; always a block boundary.
    pub(crate) position: u64,
    pub(crate) last_group: u64,
    pub(crate) last_group_crc: u32,
}

impl Writer {
    /// Bytes that groups can still use in this segment.
    pub(crate) fn room_bytes(&self) -> u64 {
        self.segment
            .capacity_bytes
            .saturating_sub(self.position + BLOCK_BYTES)
    }

    /// Writes and syncs a group. Any error is final for the log.
    pub(crate) fn write(&mut self, group: &mut GroupBuffer, durable_lsn: u64) -> Result<()> {
        let header = GroupHeader {
            first_lsn: group.first_lsn,
            records_bytes: group.records_bytes() as u32,
            records: group.records,
            digest: group.digest(),
            ..self.next_header(durable_lsn)
        };
        let (bytes, crc) = header.encode(self.place());
        group.set_header(&bytes);
        self.segment
            .file
            .write_vectored_all_at(&group.slices(), self.position)?;
        if !is_planted(Bug::SkipSync) {
            let synced = self.segment.file.sync_data();
            if !is_planted(Bug::IgnoredSyncError) {
                synced?;
            }
        }
        self.advance(group.device_bytes_with(0), crc);
        Ok(())
    }

    /// Ends this segment and goes on in `next`. The seal is durable before anything is written to
    /// the successor, so a group there proves that everything here was complete.
    pub(crate) fn rotate(&mut self, next: Segment, next_lsn: u64, durable_lsn: u64) -> Result<()> {
        self.write_marker(FLAG_SEAL, next_lsn, durable_lsn)?;
        self.segment = next;
        self.position = DATA_START;
        Ok(())
    }

    /// Writes and syncs the marker of a clean end.
    pub(crate) fn write_close(&mut self, next_lsn: u64, durable_lsn: u64) -> Result<()> {
        self.write_marker(FLAG_CLOSE, next_lsn, durable_lsn)
    }

    fn write_marker(&mut self, flags: u32, next_lsn: u64, durable_lsn: u64) -> Result<()> {
        let header = GroupHeader {
            first_lsn: next_lsn,
            flags,
            ..self.next_header(durable_lsn)
        };
        let (bytes, crc) = header.encode(self.place());
        let mut block = [0; BLOCK_BYTES as usize];
        block[..bytes.len()].copy_from_slice(&bytes);
        self.segment.file.write_all_at(&block, self.position)?;
        self.segment.file.sync_data()?;
        self.advance(BLOCK_BYTES, crc);
        Ok(())
    }

    fn next_header(&self, durable_lsn: u64) -> GroupHeader {
        GroupHeader {
            group: self.last_group + 1,
            durable_lsn,
            // Groups are synced one at a time, so every one before this is durable.
            durable_group: self.last_group,
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
        self.position = align_up(self.position + bytes);
        self.last_group += 1;
        self.last_group_crc = crc;
    }
}

/// Where a log lives.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
}
