//! Carries out a verdict: the one step that changes files.

use std::sync::Arc;

use super::first_capacity;
use super::judge::Verdict;
use super::report::RecoveryReport;
use super::tail::{ChainWriter, TailGroup, TailReader};
use crate::driver::FlushDriver;
use crate::error::Result;
use crate::format::group::{self, FLAG_JUMP, GroupHeader, GroupPlace};
use crate::format::segment::{DATA_START, Origin, SegmentHeader};
use crate::format::{BLOCK_BYTES, align_group, align_up};
use crate::log::Log;
use crate::planted::{Bug, is_planted};
use crate::preparer::Preparer;
use crate::reserve::{self, Reserve};
use crate::segment::{Pin, Preparing, SEGMENT_BYTES_LEAST, SegmentInfo, capacity_for};
use crate::wal::Wal;
use crate::writer::{Home, Writer};

impl Verdict {
    /// Makes what was found durable, cuts what was not, and opens the log.
    ///
    /// A crash inside leaves either the old state or the finished one. Nothing that the visitor was
    /// given may be shown to anyone before this returns.
    ///
    /// # Errors
    /// [`WalError::Io`](crate::WalError::Io): the log is unchanged or finished; opening it again
    /// decides anew.
    pub fn act(self, driver: Arc<dyn FlushDriver>) -> Result<(Wal, RecoveryReport)> {
        let started = self.vfs.now();
        let home = Home {
            vfs: Arc::clone(&self.vfs),
            dir: self.dir.clone(),
        };
        // The entries that were read may be as fresh as a rename that a killed process did not live
        // to sync. The new segment must not outlive one that it builds upon.
        home.vfs.sync_dir(&home.dir)?;
        for path in self
            .leftovers
            .iter()
            .filter(|path| path.extension() == Some("tmp".as_ref()))
        {
            home.vfs.remove_file(path)?;
        }
        let tail_bytes: u64 = self.tail.iter().map(TailGroup::copied_bytes).sum();
        let next_lsn = self.lsn_ceiling.max(self.report.last_lsn) + 1;
        // Behind what is written, not behind what was read: a jump that was read is not copied.
        let copied_lsn = match self.tail.back() {
            Some(tail) => tail.last_lsn(),
            None => self.cut.last_lsn,
        };
        let jump = (next_lsn > copied_lsn + 1).then_some(next_lsn);
        let header = SegmentHeader {
            wal_id: self.wal_id,
            segment: self.next_segment,
            capacity_bytes: first_capacity(&self.options, tail_bytes + 2 * BLOCK_BYTES),
            // The whole segment is synced before it gets its name, so its header proves all of it.
            durable_lsn: self.report.last_lsn,
            durable_group: self.cut.last_group + self.tail.len() as u64 + u64::from(jump.is_some()),
            origin: Origin::Recovered(self.cut),
            recycled: false,
        };
        let mut reserve = Reserve::find(home.vfs.as_ref(), &home.dir)?;
        let (preparing, end) = match self.build(&home, header, jump) {
            Err(error) if error.is_disk_full() => {
                let groups = tail_bytes + align_group(group::HEADER_BYTES as u64);
                let least = capacity_for(groups).max(SEGMENT_BYTES_LEAST);
                let left = reserve.bytes().saturating_sub(least);
                reserve.shrink(home.vfs.as_ref(), &home.dir, left)?;
                let header = SegmentHeader {
                    capacity_bytes: least,
                    ..header
                };
                self.build(&home, header, jump)?
            }
            outcome => outcome?,
        };
        let segment = if is_planted(Bug::CutNotDurable) {
            preparing.rename(home.vfs.as_ref())?
        } else {
            preparing.publish(home.vfs.as_ref(), &home.dir)?
        };

        let mut report = self.report;
        report.next_lsn = next_lsn;
        for path in self.leftovers {
            if home.vfs.exists(&path)? {
                home.vfs.remove_file(&path)?;
            }
            report.removed.push(path);
        }
        if !report.removed.is_empty() {
            home.vfs.sync_dir(&home.dir)?;
        }
        let vfs = home.vfs.as_ref();
        let wanted = reserve::wanted_bytes(segment.capacity_bytes);
        reserve.shrink(vfs, &home.dir, wanted)?;
        // If there is too little space, the next preparation of a segment tries again.
        reserve.grow_if_possible(vfs, &home.dir, wanted)?;
        let mut segments: Vec<SegmentInfo> = self
            .kept
            .into_iter()
            .map(|kept| SegmentInfo {
                number: kept.number,
                path: kept.path,
                capacity_bytes: kept.capacity_bytes,
                last_lsn: Some(kept.last_lsn),
                rotated: false,
                end_bytes: kept.end_bytes,
                pin: Pin::default(),
            })
            .collect();
        segments.push(SegmentInfo::of(&segment));
        let preparer = Preparer::new(self.wal_id, &segment, &self.options, reserve);
        let writer = Writer {
            wal_id: self.wal_id,
            segment,
            position: align_up(end.offset),
            last_group: end.last_group,
            last_group_crc: end.last_crc,
            written_lsn: report.last_lsn,
            durable_lsn: report.last_lsn,
            durable_group: end.last_group,
        };
        report.act_time = home.vfs.now().saturating_sub(started);
        let log = Log::new(
            home,
            self.options,
            driver,
            writer,
            preparer,
            segments,
            next_lsn,
        );
        Ok((Wal::from_log(Arc::new(log)), report))
    }

    /// Writes the new segment under its temporary name and syncs it.
    fn build(
        &self,
        home: &Home,
        header: SegmentHeader,
        jump: Option<u64>,
    ) -> Result<(Preparing, End)> {
        let vfs = home.vfs.as_ref();
        let mut preparing = Preparing::start(vfs, &home.dir, header)?;
        match self.fill(&mut preparing, jump) {
            Ok(end) => Ok((preparing, end)),
            Err(error) => {
                preparing.abandon(vfs);
                Err(error)
            }
        }
    }

    fn fill(&self, preparing: &mut Preparing, jump: Option<u64>) -> Result<End> {
        preparing.reserve()?;
        let place = GroupPlace {
            wal_id: self.wal_id,
            segment: self.next_segment,
            offset: DATA_START,
        };
        let mut chain = ChainWriter::new(preparing.file(), place, self.cut, self.proven.lsn);
        let mut reader = TailReader::new(self.wal_id);
        for tail in &self.tail {
            let (header, records) = reader.read(tail)?;
            chain.write(header, records)?;
        }
        if let Some(next_lsn) = jump {
            let jump = GroupHeader {
                first_lsn: next_lsn,
                flags: FLAG_JUMP,
                ..Default::default()
            };
            chain.write(jump, &[])?;
        }
        chain.flush()?;
        let end = End {
            offset: chain.place.offset,
            last_group: chain.last_group,
            last_crc: chain.last_crc,
        };
        preparing.fill_from(end.offset)?;
        Ok(end)
    }
}

/// Where the groups of the new segment end.
struct End {
    offset: u64,
    last_group: u64,
    last_crc: u32,
}
