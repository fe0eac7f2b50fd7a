//! Reading a log that is being written.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use docdb_vfs::OpenMode;

use crate::durability::Reach;
use crate::error::{Result, WalError};
use crate::format::group::{self, FLAG_JUMP, FLAG_SEAL, GroupHeader, GroupPlace};
use crate::format::segment::{DATA_START, HEADER_BYTES, Origin, SegmentHeader};
use crate::format::{align_group, align_up};
use crate::log::Log;
use crate::lsn::Lsn;
use crate::recovery::Replayed;
use crate::recovery::reader::{ChainEnd, Records, SegmentReader, StoredRecord, is_possible};
use crate::segment::Pin;
use crate::unpack::Unpacker;

/// Reads a log from one of its records on, beside those who write it.
///
/// It sees what is durable in the modes that acknowledge when a record is durable, and what was handed
/// to the kernel in the others: never what a failed write may take back, but in the relaxed modes
/// what a power loss may. Groups before the record that it begins with are passed over by their headers:
/// damage to what they hold is in nobody's way. It holds the segments open that it has yet to read, so
/// retiring them does not disturb it; their space is free once it is past them. A reader that nobody
/// asks for a record notices new segments only when it is asked, and so may miss some that were written
/// and retired in between, which is an error and never a gap.
pub struct LogReader {
    log: Arc<Log>,
    /// Records below this are passed over.
    from_lsn: u64,
    segments: VecDeque<OpenSegment>,
    newest_known: u64,
    /// Where the next group may start in the first of `segments`.
    offset: u64,
    expected: Option<ChainEnd>,
    /// What `segments` may be read up to: as of the last look.
    limit_lsn: u64,
    /// The records of one group, verified, from `at` on not handed out yet.
    group: Vec<u8>,
    at: usize,
    /// The file in which the group stands, and where in it its records begin.
    path: PathBuf,
    records_offset: u64,
    unpacker: Unpacker,
}

struct OpenSegment {
    number: u64,
    path: PathBuf,
    reader: SegmentReader,
    end: u64,
    _pin: Pin,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("dir", &self.log.home.dir)
            .field("from_lsn", &self.from_lsn)
            .finish_non_exhaustive()
    }
}

/// The first record that the segments from the oldest on can hold.
pub(crate) fn oldest_lsn(log: &Log) -> Result<u64> {
    let _none_is_retired = log.retiring.lock();
    oldest_lsn_held(log)
}

fn oldest_lsn_held(log: &Log) -> Result<u64> {
    let written_lsn = log.reached(Reach::Written);
    let oldest = {
        let segments = log.segments.lock();
        segments.first().map(|s| (s.number, s.path.clone()))
    };
    let Some((number, path)) = oldest else {
        return Ok(written_lsn + 1);
    };
    let file = log.home.vfs.open(&path, OpenMode::Read)?;
    let mut raw = [0; HEADER_BYTES];
    file.read_exact_at(&mut raw, 0)?;
    let header = SegmentHeader::decode(&raw)
        .map_err(|_| WalError::corrupt(&path, 0, "the segment header does not verify"))?;
    if (header.wal_id, header.segment) != (log.wal_id, number) {
        let what = "the header is that of another segment";
        return Err(WalError::corrupt(&path, 0, what));
    }
    match header.origin {
        Origin::First => Ok(1),
        Origin::Recovered(cut) => cut.last_lsn.checked_add(1).ok_or_else(|| {
            WalError::corrupt(&path, 88, "the segment header has an impossible number")
        }),
        Origin::Successor => {
            let place = GroupPlace {
                wal_id: log.wal_id,
                segment: header.segment,
                offset: DATA_START,
            };
            let mut reader = SegmentReader::new(&path, file, header.capacity_bytes)?;
            // Without a group in it yet, everything written is in segments that are gone.
            Ok(reader
                .header(place)?
                .map_or(written_lsn + 1, |(header, _)| header.first_lsn))
        }
    }
}

impl LogReader {
    pub(crate) fn new(log: Arc<Log>, lsn: Lsn) -> Result<LogReader> {
        let from_lsn = lsn.0.max(1);
        let mut reader = LogReader {
            log,
            from_lsn,
            segments: VecDeque::new(),
            newest_known: 0,
            offset: DATA_START,
            expected: None,
            limit_lsn: 0,
            group: Vec::new(),
            at: 0,
            path: PathBuf::new(),
            records_offset: 0,
            unpacker: Unpacker::default(),
        };
        let log = Arc::clone(&reader.log);
        let _none_is_retired = log.retiring.lock();
        // All of the segments before one that ends below the record are passed over.
        let (passed, first) = {
            let segments = log.segments.lock();
            let at = segments.partition_point(|s| s.last_lsn.is_some_and(|last| last < from_lsn));
            (at, segments.get(at).map_or(0, |segment| segment.number))
        };
        // What comes behind a segment that is there is there, whatever can be read of that segment.
        if passed == 0 {
            let oldest = oldest_lsn_held(&log)?;
            if from_lsn < oldest {
                return Err(WalError::NotRetained {
                    lsn: Lsn(from_lsn),
                    oldest: Lsn(oldest),
                });
            }
        }
        reader.newest_known = first.saturating_sub(1);
        reader.open_new_held()?;
        Ok(reader)
    }

    /// The next record; `None` if there is none yet. It may be asked again later.
    ///
    /// # Errors
    /// [`WalError::NotRetained`] if segments were written and retired since the last call;
    /// [`WalError::Corrupt`]; [`WalError::Io`], after which the call may be repeated.
    #[expect(
        clippy::should_implement_trait,
        reason = "the records are borrowed from the reader"
    )]
    pub fn next(&mut self) -> Result<Option<Replayed<'_>>> {
        loop {
            if self.at == self.group.len() && !self.next_group()? {
                return Ok(None);
            }
            let mut left = Records {
                bytes: &self.group[self.at..],
                offset: self.records_offset + self.at as u64,
                seed: self.log.seed,
            };
            // The group has been verified, so every record of it is there.
            let Some(StoredRecord { offset, header, .. }) = left.next() else {
                self.at = self.group.len();
                continue;
            };
            let end = self.group.len() - left.bytes.len();
            if header.lsn < self.from_lsn {
                self.at = end;
                continue;
            }
            let record = StoredRecord {
                offset,
                header,
                payload: &self.group[end - header.payload_bytes as usize..end],
            };
            let record = self.unpacker.replay(&self.path, record)?;
            self.at = end;
            return Ok(Some(record));
        }
    }

    /// Opens the segments that have come since the last look.
    fn open_new(&mut self) -> Result<()> {
        let log = Arc::clone(&self.log);
        let newest = log.segments.lock().last().map_or(0, |s| s.number);
        if newest == self.newest_known {
            return Ok(());
        }
        let _none_is_retired = log.retiring.lock();
        self.open_new_held()
    }

    fn open_new_held(&mut self) -> Result<()> {
        let new: Vec<_> = {
            let segments = self.log.segments.lock();
            let at = segments.partition_point(|s| s.number <= self.newest_known);
            // Recoveries leave numbers out, the running log does not.
            let oldest = segments.first().map_or(0, |s| s.number);
            if at == 0 && self.newest_known > 0 && oldest > self.newest_known + 1 {
                drop(segments);
                return Err(WalError::NotRetained {
                    lsn: Lsn(self.expected.unwrap_or_default().lsn + 1),
                    oldest: Lsn(oldest_lsn_held(&self.log)?),
                });
            }
            segments[at..].to_vec()
        };
        for segment in new {
            let file = self.log.home.vfs.open(&segment.path, OpenMode::Read)?;
            self.segments.push_back(OpenSegment {
                number: segment.number,
                reader: SegmentReader::new(&segment.path, file, segment.end_bytes)?,
                path: segment.path,
                end: segment.end_bytes,
                _pin: segment.pin,
            });
            self.newest_known = segment.number;
        }
        Ok(())
    }

    /// Loads the next group with records; `false` if there is none yet.
    fn next_group(&mut self) -> Result<bool> {
        let reach = match self.log.options.durability.syncs_groups() {
            true => Reach::Durable,
            false => Reach::Written,
        };
        loop {
            let seen = self.expected.map_or(0, |end| end.lsn);
            if seen >= self.limit_lsn {
                let limit = self.log.reached(reach);
                if seen >= limit {
                    return Ok(false);
                }
                self.open_new()?;
                self.limit_lsn = limit;
                // What was read ahead is older than the limit.
                if let Some(segment) = self.segments.front_mut() {
                    segment.reader.forget();
                }
            }
            let Some(segment) = self.segments.front_mut() else {
                return Ok(false);
            };
            let more_follow = self.newest_known > segment.number;
            let mut found = None;
            for offset in [self.offset, align_up(self.offset)] {
                let place = GroupPlace {
                    wal_id: self.log.wal_id,
                    segment: segment.number,
                    offset,
                };
                if let Some((header, crc)) = segment.reader.header(place)?
                    && match self.expected {
                        Some(end) => end.is_followed_by(&header),
                        // Reading begins at or before the first record that is wanted; if a recovery let
                        // the numbers jump over that, with the jump.
                        None => header.first_lsn <= self.from_lsn || header.has(FLAG_JUMP),
                    }
                {
                    found = Some((place, header, crc));
                    break;
                }
            }
            let Some((place, header, crc)) = found else {
                // Only then: a group may stand between here and the block boundary at which the segment
                // was cut.
                if more_follow && [self.offset, align_up(self.offset)].contains(&segment.end) {
                    self.next_segment();
                    continue;
                }
                if self.expected.is_none() && !more_follow && self.limit_lsn < self.from_lsn {
                    // The first group of the newest segment is about to be written.
                    self.limit_lsn = 0;
                    return Ok(false);
                }
                return Err(WalError::corrupt(
                    &segment.path,
                    self.offset,
                    format!("the group with record {} is damaged or missing", seen + 1),
                ));
            };
            self.group.clear();
            self.at = 0;
            if !is_before(&header, self.from_lsn) {
                let records = segment.reader.records(place, &header, self.log.seed)?;
                let Some(records) = records else {
                    return Err(WalError::corrupt(
                        &segment.path,
                        place.offset,
                        "a record does not verify",
                    ));
                };
                self.group.extend_from_slice(records.bytes);
                self.records_offset = records.offset;
                self.path.clone_from(&segment.path);
            }
            let before = self.expected.unwrap_or(ChainEnd::before(&header));
            self.expected = Some(before.and(&header, crc));
            let length = group::HEADER_BYTES + header.records_bytes as usize;
            self.offset = place.offset + align_group(length as u64);
            if header.has(FLAG_SEAL) && more_follow {
                self.next_segment();
            }
            if !self.group.is_empty() {
                return Ok(true);
            }
        }
    }

    fn next_segment(&mut self) {
        self.segments.pop_front();
        self.offset = DATA_START;
    }
}

/// Whether all the records of a group have numbers below `lsn`, and it may be passed over unread.
fn is_before(header: &GroupHeader, lsn: u64) -> bool {
    header.records > 0 && is_possible(header) && header.last_lsn() < lsn
}
