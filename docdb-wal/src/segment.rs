//! Segment files: how one comes into being, and which ones exist.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_vfs::{OpenMode, Vfs, VfsFile};

use crate::error::Result;
use crate::format::segment::{SegmentHeader, file_name, temporary_name};
use crate::format::{BLOCK_BYTES, align_up, segment::DATA_START};
use crate::planted::{Bug, is_planted};

/// How much of a new segment is written and synced in one step: bounds the time for which it keeps
/// the device from the commits beside it.
const PREPARE_STEP_BYTES: u64 = 256 << 10;

/// No segment is smaller, whatever the options say.
pub(crate) const SEGMENT_BYTES_LEAST: u64 = 16 << 10;

/// A segment that is part of the log or ready to become it.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn VfsFile>,
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) capacity_bytes: u64,
}

/// The bytes that groups can use of a segment of this capacity: one block at the end is kept for
/// the seal.
pub(crate) fn usable_bytes(capacity_bytes: u64) -> u64 {
    capacity_bytes.saturating_sub(DATA_START + BLOCK_BYTES)
}

/// The capacity of a segment whose groups need `bytes`.
pub(crate) fn capacity_for(bytes: u64) -> u64 {
    align_up(bytes) + DATA_START + BLOCK_BYTES
}

/// A segment in the making, under a temporary name. Its blocks are written, not only reserved: on
/// ext4 the first sync after a write into reserved but unwritten blocks commits the journal, which
/// measured 1.6 times the latency of one into written blocks.
#[derive(Debug)]
pub(crate) struct Preparing {
    segment: Segment,
    temporary: PathBuf,
    header: SegmentHeader,
    /// The rest is on the device already, or counts as if it were.
    written_bytes: u64,
}

impl Preparing {
    pub(crate) fn start(vfs: &dyn Vfs, dir: &Path, header: SegmentHeader) -> Result<Preparing> {
        let temporary = dir.join(temporary_name(header.segment));
        if vfs.exists(&temporary)? {
            vfs.remove_file(&temporary)?;
        }
        let file = vfs.open(&temporary, OpenMode::CreateNew)?;
        let segment = Segment {
            file,
            path: dir.join(file_name(header.segment)),
            number: header.segment,
            capacity_bytes: header.capacity_bytes,
        };
        Ok(Preparing {
            segment,
            temporary,
            header,
            written_bytes: 0,
        })
    }

    /// Makes the file of a retired segment, which stands under a temporary name, the next one; `None`
    /// if it is shorter than it should be. Only its header block is written: the old groups verify
    /// nowhere in a segment with another number.
    pub(crate) fn reuse(
        vfs: &dyn Vfs,
        dir: &Path,
        retired: Retired,
        header: SegmentHeader,
    ) -> Result<Option<Preparing>> {
        let file = vfs.open(&retired.temporary, OpenMode::ReadWrite)?;
        if file.len()? < retired.capacity_bytes {
            return Ok(None);
        }
        let header = SegmentHeader {
            capacity_bytes: retired.capacity_bytes,
            recycled: true,
            ..header
        };
        Ok(Some(Preparing {
            segment: Segment {
                file,
                path: dir.join(file_name(header.segment)),
                number: header.segment,
                capacity_bytes: header.capacity_bytes,
            },
            temporary: retired.temporary,
            header,
            written_bytes: 0,
        }))
    }

    pub(crate) fn capacity_bytes(&self) -> u64 {
        self.header.capacity_bytes
    }

    pub(crate) fn file(&self) -> &dyn VfsFile {
        self.segment.file.as_ref()
    }

    /// Reserves the whole file and writes its header, to be filled by the caller. Synced with the rest.
    pub(crate) fn reserve(&mut self) -> Result<()> {
        self.segment.file.allocate(self.segment.capacity_bytes)?;
        let mut block = [0; DATA_START as usize];
        let header = self.header.encode();
        block[..header.len()].copy_from_slice(&header);
        Ok(self.segment.file.write_all_at(&block, 0)?)
    }

    /// Writes zeros from `offset` on, and syncs everything.
    pub(crate) fn fill_from(&mut self, offset: u64) -> Result<()> {
        let zeros = vec![0; PREPARE_STEP_BYTES as usize];
        let mut offset = offset;
        while offset < self.segment.capacity_bytes {
            let length = PREPARE_STEP_BYTES.min(self.segment.capacity_bytes - offset);
            self.segment
                .file
                .write_all_at(&zeros[..length as usize], offset)?;
            offset += length;
        }
        self.segment.file.sync_data()?;
        self.written_bytes = self.segment.capacity_bytes;
        Ok(())
    }

    /// Writes the next part. Returns whether everything is written.
    pub(crate) fn step(&mut self) -> Result<bool> {
        if self.header.recycled {
            return self.finish_reserved();
        }
        if self.written_bytes == 0 {
            self.segment.file.allocate(self.segment.capacity_bytes)?;
        }
        let left = self.segment.capacity_bytes - self.written_bytes;
        let length = left.min(PREPARE_STEP_BYTES);
        let mut block = vec![0; length as usize];
        if self.written_bytes == 0 {
            let header = self.header.encode();
            block[..header.len()].copy_from_slice(&header);
        }
        self.segment.file.write_all_at(&block, self.written_bytes)?;
        self.segment.file.sync_data()?;
        self.written_bytes += length;
        Ok(self.written_bytes == self.segment.capacity_bytes)
    }

    /// Gives the written and synced file its name; durable once the directory is synced.
    pub(crate) fn rename(self, vfs: &dyn Vfs) -> Result<Segment> {
        vfs.rename(&self.temporary, &self.segment.path)?;
        Ok(self.segment)
    }

    /// Makes the rest of the file usable at once: its space is reserved, but its blocks are not
    /// written: for when it is needed before it could be prepared. Its first writes are slower. Always
    /// completes it, so the answer is `true`.
    pub(crate) fn finish_reserved(&mut self) -> Result<bool> {
        if self.written_bytes == 0 {
            if !self.header.recycled {
                self.segment.file.allocate(self.segment.capacity_bytes)?;
            }
            let mut block = [0; DATA_START as usize];
            let header = self.header.encode();
            block[..header.len()].copy_from_slice(&header);
            self.segment.file.write_all_at(&block, 0)?;
            self.segment.file.sync_data()?;
        }
        self.written_bytes = self.segment.capacity_bytes;
        Ok(true)
    }

    /// Gives the written and synced file its name, durably.
    pub(crate) fn publish(self, vfs: &dyn Vfs, dir: &Path) -> Result<Segment> {
        let segment = self.rename(vfs)?;
        sync_name(vfs, dir)?;
        Ok(segment)
    }

    /// Removes the file; an error is of no consequence, since recovery removes such files too.
    pub(crate) fn abandon(self, vfs: &dyn Vfs) {
        let _ = vfs.remove_file(&self.temporary);
    }
}

/// Makes the name that a segment was just given durable.
pub(crate) fn sync_name(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    if !is_planted(Bug::SkipDirSync) {
        vfs.sync_dir(dir)?;
    }
    Ok(())
}

/// Writes a whole segment and gives it its name.
pub(crate) fn create(vfs: &dyn Vfs, dir: &Path, header: SegmentHeader) -> Result<Segment> {
    let mut preparing = Preparing::start(vfs, dir, header)?;
    loop {
        match preparing.step() {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => {
                preparing.abandon(vfs);
                return Err(error);
            }
        }
    }
    preparing.publish(vfs, dir)
}

/// The file of a retired segment, under a temporary name: recovery removes it like any leftover.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) temporary: PathBuf,
    pub(crate) capacity_bytes: u64,
}

/// What is known of a segment that the log still has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) capacity_bytes: u64,
    /// The LSN of the last record in it or before it; `None` for the one being written. In segments
    /// that the recovery did not read, no record has a higher one.
    pub(crate) last_lsn: Option<u64>,
    /// Whether a rotation ended it, so that the segment behind it tells where the log goes on only with
    /// its first group.
    pub(crate) rotated: bool,
    /// Bytes from here on are void.
    pub(crate) end_bytes: u64,
    pub(crate) pin: Pin,
}

/// Held by whoever reads a segment: its file is not written to while somebody else holds it.
pub(crate) type Pin = Arc<()>;

impl SegmentInfo {
    /// The segment that is about to be written.
    pub(crate) fn of(segment: &Segment) -> SegmentInfo {
        SegmentInfo {
            number: segment.number,
            path: segment.path.clone(),
            capacity_bytes: segment.capacity_bytes,
            last_lsn: None,
            rotated: false,
            end_bytes: segment.capacity_bytes,
            pin: Pin::default(),
        }
    }
}
