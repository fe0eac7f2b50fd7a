//! Reads a log over damage, changing nothing: for checks and salvage.
//!
//! A recovery stops at the first thing that does not verify. A survey says so and goes on with the
//! next group that does. What it hands out is marked: a record stands [in order](Surveyed::in_order)
//! as long as no record that is needed, from [`start_lsn`](WalOptions::start_lsn) on, is missing
//! before it. Those are the records that a recovery would replay if it got that far; all others are
//! what somebody wrote, and no more is known of them.

mod found;
mod parts;

use std::path::Path;
use std::sync::Arc;

use docdb_vfs::Vfs;

use super::chain;
use super::judge::NUMBER_MAX;
use super::reader::{ChainEnd, Records, SegmentReader};
use crate::error::Result;
use crate::format::group::{self, FLAG_JUMP, FLAG_SEAL, GroupHeader, GroupPlace};
use crate::format::record::RecordSeed;
use crate::format::segment::{DATA_START, Origin, file_name};
use crate::format::{GROUP_ALIGN_BYTES, align_group, align_up};
use crate::options::WalOptions;
use crate::unpack::Unpacker;

pub use found::{LogFinding, SurveyReport, Surveyed, Surveyor};
use parts::Part;

/// Reads all of the log in `dir`, also the segments that are only kept, over any damage. Uses
/// `wal_id`, `start_lsn` and `proven_lsn` of the options. Memory is bounded by the largest group.
///
/// # Errors
/// [`UnsupportedVersion`](crate::WalError::UnsupportedVersion) if something was written by a
/// version that knows more; [`Io`](crate::WalError::Io). Damage is no error: `surveyor` is told of it.
pub fn survey(
    vfs: &dyn Vfs,
    dir: &Path,
    options: &WalOptions,
    surveyor: &mut dyn Surveyor,
) -> Result<SurveyReport> {
    let listing = chain::list(vfs, dir)?;
    let start_lsn = options.start_lsn.map_or(1, |lsn| lsn.0.max(1));
    let mut survey = Survey {
        surveyor,
        start_lsn,
        proven_lsn: options.proven_lsn.0,
        proven_group: 0,
        expected: None,
        in_order: true,
        has_begun: false,
        unknown_up_to: 0,
        unpacker: Unpacker::default(),
        report: SurveyReport {
            last_lsn: start_lsn - 1,
            is_whole: true,
            ..SurveyReport::default()
        },
    };
    for path in listing.leftovers.iter().chain(&listing.foreign) {
        survey.note(path, 0, "the file is not the log's, or a leftover");
    }
    let wal_id = options.wal_id.or_else(|| {
        let newest = listing.segments.iter().rev();
        newest
            .flat_map(|segment| &segment.header)
            .map(|h| h.wal_id)
            .next()
    });
    let parts = survey.parts(listing.segments, wal_id)?;
    let Some(wal_id) = wal_id.filter(|_| !parts.is_empty()) else {
        survey.damage(dir, 0, "there is no log that can be read");
        survey.report.is_whole = false;
        survey.report.highest_lsn = options.proven_lsn.0;
        return Ok(survey.report);
    };
    survey.learn(&parts, wal_id)?;
    survey.read(&parts, wal_id)?;
    if survey.report.last_lsn < survey.proven_lsn {
        survey.report.is_whole = false;
        if survey.in_order
            && let Some(last) = parts.last()
        {
            let what = format!(
                "the log ends with record {}, but records up to {} are known to be durable",
                survey.report.last_lsn, survey.proven_lsn
            );
            survey.damage(&last.path, DATA_START, &what);
        }
    }
    survey.report.highest_lsn = survey.report.highest_lsn.max(survey.proven_lsn);
    Ok(survey.report)
}

struct Survey<'a> {
    surveyor: &'a mut dyn Surveyor,
    start_lsn: u64,
    proven_lsn: u64,
    proven_group: u64,
    expected: Option<ChainEnd>,
    in_order: bool,
    /// A group or a header has said where the log begins.
    has_begun: bool,
    /// The newest segment that is missing, or whose header does not verify: a log that seems to end
    /// before it, or in it, has lost what stood there.
    unknown_up_to: u64,
    unpacker: Unpacker,
    report: SurveyReport,
}

/// How the groups of a segment end.
enum End {
    Sealed,
    Open,
    /// Nothing behind counts.
    Torn,
}

impl Survey<'_> {
    fn tell(&mut self, path: &Path, offset: u64, what: &str, is_damage: bool) {
        self.surveyor.found(LogFinding {
            path: path.to_path_buf(),
            offset,
            what: what.to_owned(),
            is_damage,
        });
    }

    fn damage(&mut self, path: &Path, offset: u64, what: &str) {
        self.tell(path, offset, what, true);
    }

    fn note(&mut self, path: &Path, offset: u64, what: &str) {
        self.tell(path, offset, what, false);
    }

    /// Learns from every header what was durable, so that damage is told from a torn tail at once.
    fn learn(&mut self, parts: &[Part], wal_id: u128) -> Result<()> {
        for part in parts {
            self.prove(part.durable);
            let mut reader = SegmentReader::new(&part.path, Arc::clone(&part.file), part.end)?;
            let mut offset = DATA_START;
            while let Some((at, header)) = reader.find_group(wal_id, part.number, offset)? {
                self.prove((header.durable_lsn, header.durable_group));
                offset = at + GROUP_ALIGN_BYTES;
            }
        }
        Ok(())
    }

    fn prove(&mut self, (lsn, group): (u64, u64)) {
        if lsn <= NUMBER_MAX && group <= NUMBER_MAX {
            self.proven_lsn = self.proven_lsn.max(lsn);
            self.proven_group = self.proven_group.max(group);
        }
    }

    fn read(&mut self, parts: &[Part], wal_id: u128) -> Result<()> {
        for (i, part) in parts.iter().enumerate() {
            self.enter(part);
            self.report.segments += 1;
            let groups = self.report.groups;
            let end = self.segment(part, wal_id, i + 1 == parts.len())?;
            match end {
                End::Torn if part.number > self.unknown_up_to => return Ok(()),
                // A recovery would not have come so far. If records are missing before the next group,
                // its number says so; here there is none.
                End::Torn if i + 1 == parts.len() && groups == self.report.groups => {
                    self.report.is_whole = false;
                }
                End::Sealed if i + 1 == parts.len() && !part.is_cut => {
                    let next = part.path.with_file_name(file_name(part.number + 1));
                    self.damage(&next, 0, "the file is missing, but the log goes on in it");
                    self.report.is_whole = false;
                }
                End::Torn | End::Sealed | End::Open => {}
            }
        }
        Ok(())
    }

    fn enter(&mut self, part: &Part) {
        let end = match part.origin {
            Some(Origin::First) => ChainEnd::default(),
            Some(Origin::Recovered(cut)) => ChainEnd {
                lsn: cut.last_lsn,
                group: cut.last_group,
                crc: cut.last_group_crc,
            },
            Some(Origin::Successor) | None => return,
        };
        if let Some(before) = self.expected
            && (before.group, before.lsn, before.crc) != (end.group, end.lsn, end.crc)
        {
            let what = "the segment does not continue where the older one ends";
            self.damage(&part.path, 72, what);
        }
        self.go_on(&part.path, 0, end);
    }

    /// The log goes on behind `end`, wherever it stood before.
    fn go_on(&mut self, path: &Path, offset: u64, end: ChainEnd) {
        let reaches_start = end.lsn < self.start_lsn;
        match self.expected {
            Some(before) if before.lsn == end.lsn => {}
            Some(_) => self.in_order = reaches_start,
            None if !self.has_begun && !reaches_start => {
                let what = format!(
                    "the log begins after record {}, which is still needed",
                    self.start_lsn
                );
                self.damage(path, offset, &what);
                self.in_order = false;
            }
            None => {}
        }
        if !self.in_order {
            self.report.is_whole = false;
        }
        self.has_begun = true;
        self.expected = Some(end);
    }

    fn segment(&mut self, part: &Part, wal_id: u128, is_last: bool) -> Result<End> {
        let mut reader = SegmentReader::new(&part.path, Arc::clone(&part.file), part.end)?;
        let seed = RecordSeed::new(wal_id);
        let mut offset = DATA_START;
        loop {
            let mut at = None;
            for offset in [offset, align_up(offset)] {
                let place = place_of(part, wal_id, offset);
                if let Some((header, crc)) = reader.header(place)?
                    && self.follows(&header)
                {
                    at = Some((place, header, crc));
                    break;
                }
            }
            if at.is_none() {
                match self.skip(part, &mut reader, wal_id, offset, is_last)? {
                    Ok(found) => at = Some(found),
                    Err(end) => return Ok(end),
                }
            }
            let Some((place, header, crc)) = at else {
                return Ok(End::Open);
            };
            let before = self.expected.unwrap_or(ChainEnd::before(&header));
            if self.expected.is_none() {
                self.go_on(&part.path, place.offset, before);
            }
            if let Some(records) = reader.records(place, &header, seed)? {
                self.report.groups += 1;
                self.hand_out(&part.path, records, None);
                self.expected = Some(before.and(&header, crc));
                let lsn = self.expected.unwrap_or_default().lsn;
                self.report.highest_lsn = self.report.highest_lsn.max(lsn);
                if self.in_order && lsn >= self.start_lsn {
                    self.report.last_lsn = lsn;
                }
                offset = place.offset
                    + align_group((group::HEADER_BYTES + header.records_bytes as usize) as u64);
                if header.has(FLAG_SEAL) {
                    return Ok(End::Sealed);
                }
                continue;
            }
            // The header is whole, a record is not.
            let is_damage = self.is_damage(part, before);
            let what = "a record does not verify";
            self.tell(&part.path, place.offset, what, is_damage);
            if !is_damage {
                return Ok(End::Torn);
            }
            self.salvage_group(part, &mut reader, place, &header, seed)?;
            self.report.highest_lsn = self.report.highest_lsn.max(header.last_lsn());
            if header.last_lsn() >= self.start_lsn {
                self.in_order = false;
                self.report.is_whole = false;
            }
            self.expected = Some(before.and(&header, crc));
            offset = place.offset + GROUP_ALIGN_BYTES;
        }
    }

    /// Looks for the next group of the log behind one that does not verify at `offset`.
    fn skip(
        &mut self,
        part: &Part,
        reader: &mut SegmentReader,
        wal_id: u128,
        offset: u64,
        is_last: bool,
    ) -> Result<std::result::Result<(GroupPlace, GroupHeader, u32), End>> {
        let seen = self.expected.unwrap_or_default();
        let mut from = offset;
        while let Some((at, header)) = reader.find_group(wal_id, part.number, from)? {
            from = at + GROUP_ALIGN_BYTES;
            if !is_possible(&header) || (self.expected.is_some() && header.group <= seen.group) {
                continue;
            }
            let place = place_of(part, wal_id, at);
            let crc = reader.header(place)?.map_or(0, |(_, crc)| crc);
            if self.expected.is_none() {
                // The log's first group that can be read; where it begins is told by who enters it.
                if at > DATA_START {
                    self.damage(&part.path, offset, "the first group does not verify");
                }
                return Ok(Ok((place, header, crc)));
            }
            let is_damage = self.is_damage(part, seen);
            let what = format!(
                "the group with record {} does not verify; the log goes on at offset {at} with \
                 record {}",
                seen.lsn + 1,
                header.first_lsn
            );
            self.tell(&part.path, offset, &what, is_damage);
            if !is_damage {
                return Ok(Err(End::Torn));
            }
            self.go_on(&part.path, at, ChainEnd::before(&header));
            return Ok(Ok((place, header, crc)));
        }
        if part.is_cut {
            if ![offset, align_up(offset)].contains(&part.end) {
                let what = "the group does not verify, but an earlier recovery has read it";
                self.damage(&part.path, offset, what);
            }
            return Ok(Err(End::Open));
        }
        let is_damage = self.is_damage(part, seen);
        if !is_last {
            let what = format!(
                "the group with record {} does not verify",
                seen.lsn.saturating_add(1)
            );
            if is_damage || !(part.is_recycled || reader.is_blank(offset)?) {
                self.tell(&part.path, offset, &what, is_damage);
            }
            return Ok(Err(if is_damage { End::Open } else { End::Torn }));
        }
        if is_damage {
            let what = format!(
                "the group with record {} is damaged or missing, but records up to {} are known to \
                 be durable",
                seen.lsn + 1,
                self.proven_lsn
            );
            self.damage(&part.path, offset, &what);
            self.report.is_whole = false;
            self.in_order = false;
        } else if !part.is_recycled && !reader.is_blank(offset)? {
            self.note(&part.path, offset, "a torn tail");
        }
        Ok(Err(End::Torn))
    }

    /// Whether the group behind `end`, which does not verify, had been durable.
    fn is_damage(&self, part: &Part, end: ChainEnd) -> bool {
        let is_followed = part.number < self.unknown_up_to;
        is_followed || end.group < self.proven_group || end.lsn < self.proven_lsn
    }

    fn follows(&self, header: &GroupHeader) -> bool {
        let end = self.expected;
        is_possible(header) && end.is_some_and(|end| end.is_followed_by(header))
    }

    /// Hands out what verifies by itself of a group that does not as a whole.
    fn salvage_group(
        &mut self,
        part: &Part,
        reader: &mut SegmentReader,
        place: GroupPlace,
        header: &GroupHeader,
        seed: RecordSeed,
    ) -> Result<()> {
        let offset = place.offset + group::HEADER_BYTES as u64;
        let left = reader.end().saturating_sub(offset);
        let length = u64::from(header.records_bytes).min(left) as usize;
        if header.records_bytes > GROUP_RECORDS_BYTES_MOST {
            return Ok(());
        }
        let Some(bytes) = reader.bytes(offset, length)? else {
            return Ok(());
        };
        let records = Records {
            bytes,
            offset,
            seed,
        };
        self.hand_out(&part.path, records, Some(header));
        Ok(())
    }

    /// `within`: the group's header, if its records have not been verified.
    fn hand_out(&mut self, path: &Path, records: Records<'_>, within: Option<&GroupHeader>) {
        for stored in records {
            if let Some(group) = within {
                let lsn = stored.header.lsn;
                let belongs = (group.first_lsn..=group.last_lsn()).contains(&lsn);
                if !belongs
                    || stored.header.unknown_flags() != 0
                    || stored.header.payload_crc != crc32fast::hash(stored.payload)
                {
                    continue;
                }
            }
            let (lsn, offset) = (stored.header.lsn, stored.offset);
            match self.unpacker.replay(path, stored) {
                Ok(record) => {
                    self.report.records += 1;
                    self.surveyor.record(Surveyed {
                        record,
                        path,
                        offset,
                        in_order: self.in_order && within.is_none() && lsn >= self.start_lsn,
                    });
                }
                Err(error) => {
                    self.surveyor.found(LogFinding {
                        path: path.to_path_buf(),
                        offset,
                        what: error.to_string(),
                        is_damage: true,
                    });
                    if lsn >= self.start_lsn {
                        self.in_order = false;
                        self.report.is_whole = false;
                    }
                }
            }
        }
    }
}

/// No group holds more bytes of records than this.
const GROUP_RECORDS_BYTES_MOST: u32 = 64 << 20;

fn place_of(part: &Part, wal_id: u128, offset: u64) -> GroupPlace {
    GroupPlace {
        wal_id,
        segment: part.number,
        offset,
    }
}

fn is_possible(header: &GroupHeader) -> bool {
    let numbers = [header.group, header.first_lsn];
    numbers.iter().all(|n| (1..=NUMBER_MAX).contains(n))
        && (header.flags == 0 || header.records == 0)
        && !(header.has(FLAG_JUMP) && header.records > 0)
}
