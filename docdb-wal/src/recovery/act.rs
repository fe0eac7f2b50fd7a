//! Carries out a verdict: the one step that changes files.

use std::sync::Arc;

use super::first_capacity;
use super::judge::Verdict;
use super::reader::SegmentReader;
use super::report::RecoveryReport;
use crate::driver::FlushDriver;
use crate::error::{Result, WalError};
use crate::format::group::{self, FLAG_JUMP, GroupHeader, GroupPlace};
use crate::format::record::RecordSeed;
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
    /// [`WalError::Io`]: the log is unchanged or finished; opening it again decides anew.
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
        let tail_bytes: u64 = self
            .tail
            .iter()
            .map(|tail| {
                align_group((group::HEADER_BYTES + tail.header.records_bytes as usize) as u64)
            })
            .sum();
        let next_lsn = self.lsn_ceiling.max(self.report.last_lsn) + 1;
        // Behind what is written, not behind what was read: a jump that was read is not copied.
        let copied_lsn = match self.tail.last() {
            Some(tail) => tail.header.last_lsn(),
            None => self.cut.last_lsn,
        };
        let jump = next_lsn > copied_lsn + 1;
        let header = SegmentHeader {
            wal_id: self.wal_id,
            segment: self.next_segment,
            capacity_bytes: first_capacity(&self.options, tail_bytes + 2 * BLOCK_BYTES),
            // The whole segment is synced before it gets its name, so its header proves all of it.
            durable_lsn: self.report.last_lsn,
            durable_group: self.cut.last_group + self.tail.len() as u64 + u64::from(jump),
            origin: Origin::Recovered(self.cut),
            recycled: false,
        };
        let mut reserve = Reserve::find(home.vfs.as_ref(), &home.dir)?;
        let preparing = match write_blank(&home, header) {
            Err(error) if error.is_disk_full() => {
                let groups = tail_bytes + align_group(group::HEADER_BYTES as u64);
                let least = capacity_for(groups).max(SEGMENT_BYTES_LEAST);
                let left = reserve.bytes().saturating_sub(least);
                reserve.shrink(home.vfs.as_ref(), &home.dir, left)?;
                let header = SegmentHeader {
                    capacity_bytes: least,
                    ..header
                };
                write_blank(&home, header)?
            }
            outcome => outcome?,
        };
        let mut chain = ChainWriter {
            place: GroupPlace {
                wal_id: self.wal_id,
                segment: self.next_segment,
                offset: DATA_START,
            },
            last_group: self.cut.last_group,
            last_crc: self.cut.last_group_crc,
            durable_lsn: self.proven.lsn,
            durable_group: self.cut.last_group,
        };
        self.copy_tail(&preparing, &mut chain)?;
        if jump {
            let jump = GroupHeader {
                first_lsn: next_lsn,
                flags: FLAG_JUMP,
                ..Default::default()
            };
            chain.write(preparing.file(), jump, &[])?;
        }
        preparing.file().sync_data()?;
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
                end_bytes: kept.end_bytes,
                pin: Pin::default(),
            })
            .collect();
        segments.push(SegmentInfo::of(&segment));
        let preparer = Preparer::new(self.wal_id, &segment, &self.options, reserve);
        let writer = Writer {
            wal_id: self.wal_id,
            segment,
            position: align_up(chain.place.offset),
            last_group: chain.last_group,
            last_group_crc: chain.last_crc,
            written_lsn: report.last_lsn,
            durable_lsn: report.last_lsn,
            durable_group: chain.last_group,
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

    fn copy_tail(&self, target: &Preparing, chain: &mut ChainWriter) -> Result<()> {
        let seed = RecordSeed::new(self.wal_id);
        for tail in &self.tail {
            let mut reader = SegmentReader::new(&tail.path, Arc::clone(&tail.file), u64::MAX)?;
            let place = GroupPlace {
                offset: tail.offset,
                ..chain.place
            };
            let Some(records) = reader.records(place, &tail.header, seed)? else {
                return Err(WalError::corrupt(
                    &tail.path,
                    tail.offset,
                    "a group changed while it was being copied",
                ));
            };
            chain.write(target.file(), tail.header, records.bytes)?;
        }
        Ok(())
    }
}

/// A new segment without groups, under its temporary name.
fn write_blank(home: &Home, header: SegmentHeader) -> Result<Preparing> {
    let mut preparing = Preparing::start(home.vfs.as_ref(), &home.dir, header)?;
    loop {
        match preparing.step() {
            Ok(true) => return Ok(preparing),
            Ok(false) => {}
            Err(error) => {
                preparing.abandon(home.vfs.as_ref());
                return Err(error);
            }
        }
    }
}

/// Appends groups to a segment that is not part of the log yet.
struct ChainWriter {
    place: GroupPlace,
    last_group: u64,
    last_crc: u32,
    durable_lsn: u64,
    durable_group: u64,
}

impl ChainWriter {
    fn write(
        &mut self,
        file: &dyn docdb_vfs::VfsFile,
        header: GroupHeader,
        records: &[u8],
    ) -> Result<()> {
        let header = GroupHeader {
            group: self.last_group + 1,
            previous_crc: self.last_crc,
            durable_lsn: self.durable_lsn,
            durable_group: self.durable_group,
            ..header
        };
        let (bytes, crc) = header.encode(self.place);
        file.write_all_at(&bytes, self.place.offset)?;
        if !records.is_empty() {
            file.write_all_at(records, self.place.offset + bytes.len() as u64)?;
        }
        // Synced as a whole, so nothing in it needs a block of its own.
        self.place.offset += align_group((bytes.len() + records.len()) as u64);
        self.last_group += 1;
        self.last_crc = crc;
        Ok(())
    }
}
