//! Looks at segment files as they are, for people: reads one file, judges nothing, changes nothing.
//!
//! What it finds is the content of a file, not of a log: whether a group counts is decided by
//! [`Recovery::judge`](crate::Recovery::judge), which knows the other segments too.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_vfs::{OpenMode, Vfs};

use crate::error::{Result, WalError};
use crate::format::group::{self, FLAG_CLOSE, FLAG_IDLE, FLAG_JUMP, FLAG_SEAL, GroupPlace};
use crate::format::record::RecordSeed;
use crate::format::segment::{
    DATA_START, HEADER_BYTES, HeaderError, Origin, SegmentHeader, parse_file_name,
};
use crate::format::{GROUP_ALIGN_BYTES, align_group, align_up};
use crate::lsn::Lsn;
use crate::recovery::Replayed;
use crate::recovery::reader::{ChainEnd, SegmentReader};
use crate::unpack::Unpacker;

/// One thing found in a segment file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// The header of the segment.
    Segment(SegmentView),
    /// A group with a valid header.
    Group(GroupView),
    /// A record of the group before, which verifies as it stands, but cannot be handed out.
    Unreadable {
        /// The record.
        lsn: Lsn,
        /// Why not.
        why: String,
    },
    /// Bytes without a valid group, zeros apart, between two groups or behind the last one. In a
    /// recycled segment these are what the file held before.
    Other {
        /// Where the search began.
        offset: u64,
        /// Where the next group starts, or the file ends.
        end: u64,
    },
}

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentView {
    /// The log's identity.
    pub wal_id: u128,
    /// The segment's number.
    pub number: u64,
    /// Its size in bytes as its header has it.
    pub capacity_bytes: u64,
    /// The size of the file in bytes.
    pub file_bytes: u64,
    /// What was durable when the header was written.
    pub durable_lsn: Lsn,
    /// The number of the last group that was durable then.
    pub durable_group: u64,
    /// Whether the file served before.
    pub recycled: bool,
    /// For a segment that a recovery made: where it cut the older log.
    pub cut: Option<CutView>,
    /// Whether the log begins here.
    pub first: bool,
}

/// Where a recovery cut the older log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutView {
    /// The number of the segment that is cut.
    pub segment: u64,
    /// The offset in it from which on bytes are void.
    pub offset: u64,
    /// The last record before the cut.
    pub last_lsn: Lsn,
    /// The number of the last group before the cut.
    pub last_group: u64,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupView {
    /// Where its header stands.
    pub offset: u64,
    /// Its number.
    pub number: u64,
    /// Its first record; in a group without records, the next one.
    pub first_lsn: Lsn,
    /// How many records it has.
    pub records: u32,
    /// Bytes of its records, their headers included.
    pub records_bytes: u32,
    /// What was durable when it was issued.
    pub durable_lsn: Lsn,
    /// The number of the last group that was durable then.
    pub durable_group: u64,
    /// What it marks: any of `seal`, `jump`, `close`, `idle`.
    pub marks: Vec<&'static str>,
    /// Why it does not count, if that can be seen in this file.
    pub fault: Option<&'static str>,
}

/// The segment files in a directory, in the order of the log.
///
/// # Errors
/// [`WalError::Io`].
pub fn segments(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut numbered: Vec<_> = vfs
        .list(dir)?
        .into_iter()
        .filter_map(|name| Some((parse_file_name(&name)?, dir.join(name))))
        .collect();
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

/// Reads a segment file from its beginning to its end, handing what it finds to `found`, and the
/// records of each group that verifies to `record` behind it.
///
/// # Errors
/// [`WalError::Corrupt`] if the header of the file does not verify, without which no group can be
/// told from others; [`WalError::UnsupportedVersion`]; [`WalError::Io`].
pub fn segment(
    vfs: &dyn Vfs,
    path: &Path,
    found: &mut dyn FnMut(Found),
    record: &mut dyn FnMut(Replayed<'_>),
) -> Result<()> {
    let file = vfs.open(path, OpenMode::Read)?;
    let mut raw = [0; HEADER_BYTES];
    if file.read_at(&mut raw, 0)? < HEADER_BYTES {
        let what = "the file is shorter than a segment header";
        return Err(WalError::corrupt(path, 0, what));
    }
    let header = SegmentHeader::decode(&raw).map_err(|error| match error {
        HeaderError::Damaged(what) => WalError::corrupt(path, 0, what),
        HeaderError::Unsupported(what) => WalError::UnsupportedVersion {
            path: path.to_path_buf(),
            what,
        },
    })?;
    let mut view = SegmentView {
        wal_id: header.wal_id,
        number: header.segment,
        capacity_bytes: header.capacity_bytes,
        file_bytes: file.len()?,
        durable_lsn: Lsn(header.durable_lsn),
        durable_group: header.durable_group,
        recycled: header.recycled,
        cut: None,
        first: header.origin == Origin::First,
    };
    let mut end = None;
    if let Origin::Recovered(cut) = header.origin {
        view.cut = Some(CutView {
            segment: cut.segment,
            offset: cut.offset,
            last_lsn: Lsn(cut.last_lsn),
            last_group: cut.last_group,
        });
        end = Some(ChainEnd {
            lsn: cut.last_lsn,
            group: cut.last_group,
            crc: cut.last_group_crc,
        });
    }
    found(Found::Segment(view));

    let mut reader = SegmentReader::new(path, Arc::clone(&file), header.capacity_bytes)?;
    let mut unpacker = Unpacker::default();
    let mut offset = DATA_START;
    loop {
        let next = reader.find_group(header.wal_id, header.segment, offset)?;
        let at = next.map_or(reader.end(), |(at, _)| at);
        // Up to the block boundary there may be padding.
        if at > align_up(offset) && (next.is_some() || !reader.is_blank(offset)?) {
            found(Found::Other { offset, end: at });
        }
        let Some((at, group)) = next else {
            return Ok(());
        };
        let place = GroupPlace {
            wal_id: header.wal_id,
            segment: header.segment,
            offset: at,
        };
        let crc = reader.header(place)?.map_or(0, |(_, crc)| crc);
        let seed = RecordSeed::new(header.wal_id);
        let records = reader.records(place, &group, seed)?;
        let possible = group.group > 0 && group.first_lsn > 0 && group.first_lsn < 1 << 62;
        let fault = if !possible || end.is_some_and(|end| !end.is_followed_by(&group)) {
            Some("it does not follow the group before it")
        } else if records.is_none() {
            Some("its records do not verify")
        } else {
            None
        };
        let marks = [
            (FLAG_SEAL, "seal"),
            (FLAG_JUMP, "jump"),
            (FLAG_CLOSE, "close"),
            (FLAG_IDLE, "idle"),
        ];
        found(Found::Group(GroupView {
            offset: at,
            number: group.group,
            first_lsn: Lsn(group.first_lsn),
            records: group.records,
            records_bytes: group.records_bytes,
            durable_lsn: Lsn(group.durable_lsn),
            durable_group: group.durable_group,
            marks: marks
                .into_iter()
                .filter(|(flag, _)| group.has(*flag))
                .map(|(_, name)| name)
                .collect(),
            fault,
        }));
        let length = match records {
            Some(records) => {
                let length = group::HEADER_BYTES + records.bytes.len();
                for stored in records {
                    let lsn = Lsn(stored.header.lsn);
                    match unpacker.replay(path, stored) {
                        Ok(replayed) => record(replayed),
                        Err(error) => found(Found::Unreadable {
                            lsn,
                            why: error.to_string(),
                        }),
                    }
                }
                align_group(length as u64)
            }
            None => GROUP_ALIGN_BYTES,
        };
        if fault.is_none() {
            end = Some(end.unwrap_or(ChainEnd::before(&group)).and(&group, crc));
        }
        offset = at + length;
    }
}
