//! Reads a whole log and decides what it says, changing nothing.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_vfs::Vfs;

use super::chain::{self, Link};
use super::progress::Teller;
use super::reader::{ChainEnd, SegmentReader};
use super::report::{Cut as ReportedCut, RecoveryReport};
use super::tail::{TailGroup, TailSource};
use crate::error::{Result, WalError};
use crate::format::group::{self, FLAG_CLOSE, FLAG_JUMP, FLAG_SEAL, GroupHeader, GroupPlace};
use crate::format::record::{RecordHeader, RecordSeed};
use crate::format::segment::{Cut, DATA_START, Origin};
use crate::format::{align_group, align_up};
use crate::lsn::Lsn;
use crate::options::WalOptions;
use crate::planted::{Bug, is_planted};
use crate::unpack::Unpacker;

/// A record handed to the visitor of a recovery, in the order of the log.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Replayed<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// The number that its writer stored beside it.
    pub stamp: u64,
    /// The writer's kind.
    pub kind: u16,
    /// Its payload, verified.
    pub payload: &'a [u8],
    /// How many bytes stand in the log for the payload: fewer than it has if it is compressed there.
    pub stored_bytes: usize,
}

/// No log counts its segments, groups or records this far; keeps all arithmetic on numbers that were
/// read from overflow.
pub(super) const NUMBER_MAX: u64 = 1 << 62;

/// The entrance to a recovery.
#[derive(Debug)]
pub struct Recovery;

/// The verdict "open": what was found, and what acting upon it will do.
#[derive(Debug)]
#[must_use = "nothing is repaired and no log is open until the verdict is acted upon"]
pub struct Verdict {
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) dir: PathBuf,
    pub(super) options: WalOptions,
    pub(super) wal_id: u128,
    pub(super) cut: Cut,
    pub(super) tail: VecDeque<TailGroup>,
    pub(super) kept: Vec<KeptSegment>,
    pub(super) leftovers: Vec<PathBuf>,
    pub(super) next_segment: u64,
    pub(super) proven: Proven,
    pub(super) lsn_ceiling: u64,
    pub(super) report: RecoveryReport,
}

/// A segment that stays until it is retired.
#[derive(Debug)]
pub(super) struct KeptSegment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) capacity_bytes: u64,
    pub(super) last_lsn: u64,
    /// Bytes from here on are void.
    pub(super) end_bytes: u64,
}

/// What is proven durable.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Proven {
    pub(super) lsn: u64,
    pub(super) group: u64,
}

impl Proven {
    fn learn(&mut self, lsn: u64, group: u64) {
        self.lsn = self.lsn.max(lsn);
        self.group = self.group.max(group);
    }

    fn covers(&self, group: &TailGroup) -> bool {
        group.number() <= self.group || (group.has_records() && group.last_lsn() <= self.lsn)
    }
}

impl Recovery {
    /// Reads the log in `dir`, handing every record from `options.start_lsn` on to `visit`, and
    /// decides whether it can be opened. Changes nothing. What the visitor was given counts only if
    /// this returns a verdict.
    ///
    /// # Errors
    /// [`WalError::NotFound`] if there is no log; [`WalError::Corrupt`] naming the file and offset
    /// if something that was durable does not verify or is missing;
    /// [`WalError::UnsupportedVersion`]; [`WalError::Io`]; [`WalError::Refused`] with the
    /// visitor's text.
    pub fn judge(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: WalOptions,
        visit: &mut dyn FnMut(Replayed<'_>) -> std::result::Result<(), String>,
    ) -> Result<Verdict> {
        let started = vfs.now();
        let chain::Listing {
            segments,
            leftovers,
            mut foreign,
        } = chain::list(vfs.as_ref(), dir)?;
        if is_planted(Bug::ActBeforeJudging) {
            for path in &leftovers {
                vfs.remove_file(path)?;
            }
        }
        let Some(newest) = segments.last() else {
            return Err(WalError::NotFound(dir.to_path_buf()));
        };
        let newest = newest.number;
        let wal_id = chain::identity(&segments, &options)?;
        let chain = chain::chain(segments);
        let (first, older) = chain::start(&chain, &options, dir)?;
        foreign.extend(chain.unreachable);
        let mut judge = Judge {
            wal_id,
            seed: RecordSeed::new(wal_id),
            start_lsn: options.start_lsn.map_or(0, |lsn| lsn.0),
            expected: None,
            proven: Proven {
                lsn: options.proven_lsn.0,
                group: 0,
            },
            tail: VecDeque::new(),
            copied: VecDeque::new(),
            kept: older,
            clean: false,
            report: RecoveryReport::default(),
            teller: Teller::new(
                options.on_progress.clone(),
                chain.links[first..].len() as u64,
                chain.links[first..]
                    .iter()
                    .map(Link::bytes)
                    .sum::<Result<u64>>()?,
            ),
            unpacker: Unpacker::default(),
        };
        let stop = judge.read(&chain.links[first..], visit)?;
        let link = &chain.links[first + stop.link];
        let state = judge.expected.unwrap_or_default();
        if state.group < judge.proven.group || state.lsn < judge.proven.lsn {
            return Err(WalError::corrupt(
                &link.path,
                stop.offset,
                format!(
                    "the group with record {} is damaged or missing, but records up to {} are \
                     known to be durable",
                    state.lsn + 1,
                    judge.proven.lsn
                ),
            ));
        }
        let Judge {
            mut tail,
            mut kept,
            proven,
            clean,
            copied,
            mut report,
            ..
        } = judge;
        tail.retain(|group| !proven.covers(group));
        let end = Cut {
            segment: link.number,
            offset: stop.offset,
            last_lsn: state.lsn,
            last_group: state.group,
            last_group_crc: state.crc,
        };
        if is_planted(Bug::TailNotRewritten) {
            tail.clear();
        }
        let mut cut = tail.front().map_or(end, TailGroup::cut_before);
        if let Origin::Recovered(at) = link.header.origin
            && state.group <= link.header.durable_group
        {
            // Nothing was written since an earlier recovery gave this segment its name, so nothing
            // proves that the name is durable: that recovery may have ended in the sync of the
            // directory. What it did is done again, building on nothing but what it built upon.
            cut = at;
            tail = copied;
        }
        tail.retain(TailGroup::has_records);
        // Every record takes at least its header, so no more numbers than this can have been given
        // out for what stood, or was to stand, behind the last valid group.
        let unread_bytes: u64 = chain.links[first + stop.link..]
            .iter()
            .map(|link| link.header.capacity_bytes)
            .sum();
        let lsn_ceiling = if clean {
            state.lsn
        } else {
            state.lsn + unread_bytes / crate::format::record::HEADER_BYTES as u64
        };
        let mut leftovers = leftovers;
        leftovers.extend(chain.void);
        for link in &chain.links[first..] {
            if link.number > cut.segment {
                leftovers.push(link.path.clone());
            }
        }
        kept.retain(|segment| segment.number <= cut.segment);
        if let Some(segment) = kept.last_mut()
            && segment.number == cut.segment
        {
            segment.end_bytes = cut.offset;
            segment.last_lsn = cut.last_lsn;
        }
        report.cut = stop.torn.then(|| ReportedCut {
            path: link.path.clone(),
            offset: stop.offset,
        });
        report.last_lsn = state.lsn;
        report.proven_lsn = proven.lsn;
        report.clean = clean;
        report.tail_groups = tail.len() as u64;
        report.foreign = foreign;
        report.judge_time = vfs.now().saturating_sub(started);
        Ok(Verdict {
            vfs,
            dir: dir.to_path_buf(),
            options,
            wal_id,
            cut,
            tail,
            kept,
            leftovers,
            // The header of the newest segment is valid, and so its number is far from overflow.
            next_segment: newest + 1,
            proven,
            lsn_ceiling,
            report,
        })
    }
}

impl Verdict {
    /// What was found.
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// The log's identity.
    pub fn wal_id(&self) -> u128 {
        self.wal_id
    }

    /// The last record found.
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.report.last_lsn)
    }
}

struct Judge {
    wal_id: u128,
    seed: RecordSeed,
    start_lsn: u64,
    expected: Option<ChainEnd>,
    proven: Proven,
    /// Valid groups that nothing read so far proves durable.
    tail: VecDeque<TailGroup>,
    /// The groups of the segment being read that the recovery which made it put there.
    copied: VecDeque<TailGroup>,
    kept: Vec<KeptSegment>,
    clean: bool,
    report: RecoveryReport,
    teller: Teller,
    unpacker: Unpacker,
}

/// Whether the recovery that made the segment put this group there.
fn is_copied(link: &Link, header: &GroupHeader) -> bool {
    matches!(link.header.origin, Origin::Recovered(_)) && header.group <= link.header.durable_group
}

/// Where the valid chain ends.
struct Stop {
    link: usize,
    offset: u64,
    torn: bool,
}

type Visitor<'a> = dyn FnMut(Replayed<'_>) -> std::result::Result<(), String> + 'a;

impl Judge {
    fn read(&mut self, links: &[Link], visit: &mut Visitor<'_>) -> Result<Stop> {
        for link in links {
            self.proven
                .learn(link.header.durable_lsn, link.header.durable_group);
        }
        for (at, link) in links.iter().enumerate() {
            self.copied.clear();
            self.enter(link)?;
            let mut reader = SegmentReader::new(&link.path, Arc::clone(&link.file), link.end)?;
            let (offset, sealed) = self.read_segment(link, &mut reader, visit)?;
            self.report.segments += 1;
            self.teller.end_segment(link.bytes()?);
            self.kept.push(KeptSegment {
                number: link.number,
                path: link.path.clone(),
                capacity_bytes: link.capacity_bytes()?,
                last_lsn: self.expected.unwrap_or_default().lsn,
                end_bytes: link.end,
            });
            if link.cut_here && [offset, align_up(offset)].contains(&link.end) {
                continue;
            }
            if sealed {
                if at + 1 == links.len() {
                    return Err(chain::missing_segment(
                        &link.path,
                        link.number,
                        link.number + 1,
                    ));
                }
                continue;
            }
            if link.cut_here {
                return Err(WalError::corrupt(
                    &link.path,
                    offset,
                    "the group does not verify, but an earlier recovery has read it",
                ));
            }
            let groups_behind = self.look_ahead(&links[at..], offset)?;
            let torn = groups_behind
                || if link.header.recycled {
                    self.is_begun(&mut reader, offset)?
                } else {
                    !reader.is_blank(offset)?
                };
            return Ok(Stop {
                link: at,
                offset,
                torn,
            });
        }
        // The newest segment is never cut by another, so the loop returns there.
        Err(WalError::Closed)
    }

    /// Sets up, or checks, the end of the chain at the start of a segment.
    fn enter(&mut self, link: &Link) -> Result<()> {
        match (link.header.origin, self.expected) {
            (Origin::First, _) => self.expected = Some(ChainEnd::default()),
            (Origin::Recovered(cut), before) => {
                let end = ChainEnd {
                    lsn: cut.last_lsn,
                    group: cut.last_group,
                    crc: cut.last_group_crc,
                };
                if let Some(before) = before
                    && (before.group, before.lsn, before.crc) != (end.group, end.lsn, end.crc)
                {
                    return Err(WalError::corrupt(
                        &link.path,
                        72,
                        "the segment does not continue where the older one was cut",
                    ));
                }
                self.expected = Some(end);
            }
            (Origin::Successor, _) => {}
        }
        Ok(())
    }

    /// Reads groups until the segment's end, its seal, or a group that does not verify. Returns
    /// where it stopped and whether that is behind the seal.
    fn read_segment(
        &mut self,
        link: &Link,
        reader: &mut SegmentReader,
        visit: &mut Visitor<'_>,
    ) -> Result<(u64, bool)> {
        let source = Arc::new(TailSource {
            path: link.path.clone(),
            file: Arc::clone(&link.file),
            segment: link.number,
            end: link.end,
        });
        let mut offset = DATA_START;
        while offset < reader.end() {
            let Some((place, header, crc)) = self.next_group(link, reader, offset)? else {
                break;
            };
            offset = place.offset;
            let Some(records) = reader.records(place, &header, self.seed)? else {
                break;
            };
            for record in records {
                if record.header.lsn < self.start_lsn {
                    continue;
                }
                let record = self.unpacker.replay(&link.path, record)?;
                self.report.records += 1;
                self.report.payload_bytes += record.payload.len() as u64;
                visit(record).map_err(WalError::Refused)?;
            }
            let end = self.expected.unwrap_or_default();
            self.proven.learn(header.durable_lsn, header.durable_group);
            let group = TailGroup::new(&source, offset, &header);
            if is_copied(link, &header) {
                self.copied.push_back(group.clone());
            }
            self.tail.push_back(group);
            let proven = self.proven;
            while self.tail.front().is_some_and(|group| proven.covers(group)) {
                self.tail.pop_front();
            }
            self.expected = Some(end.and(&header, crc));
            self.clean = header.has(FLAG_CLOSE);
            offset += align_group((group::HEADER_BYTES + header.records_bytes as usize) as u64);
            self.teller.read_to(offset, self.report.records);
            if header.has(FLAG_SEAL) {
                return Ok((offset, true));
            }
        }
        Ok((offset, false))
    }

    /// The header that continues the chain at `offset`, where it follows unsynced bytes, or at the
    /// next block, where it follows a sync.
    fn next_group(
        &mut self,
        link: &Link,
        reader: &mut SegmentReader,
        offset: u64,
    ) -> Result<Option<(GroupPlace, GroupHeader, u32)>> {
        for offset in [offset, align_up(offset)] {
            let place = GroupPlace {
                wal_id: self.wal_id,
                segment: link.number,
                offset,
            };
            if let Some((header, crc)) = reader.header(place)?
                && self.follows(link, &header)
            {
                return Ok(Some((place, header, crc)));
            }
        }
        Ok(None)
    }

    fn follows(&mut self, link: &Link, header: &GroupHeader) -> bool {
        if header.group == 0 || header.first_lsn == 0 {
            return false;
        }
        // Nobody writes such groups, and acting relies on it: marks are not copied with the tail.
        if header.flags != 0 && header.records > 0 {
            return false;
        }
        // A recovery writes its jump as the last group before its segment gets a name.
        if header.has(FLAG_JUMP)
            && !(is_copied(link, header) && header.group == link.header.durable_group)
        {
            return false;
        }
        if header.group > NUMBER_MAX || header.first_lsn > NUMBER_MAX {
            return false;
        }
        // Reading starts in the middle of the log: its first group says where.
        self.expected
            .get_or_insert(ChainEnd::before(header))
            .is_followed_by(header)
    }

    /// Whether the first record that would follow was written at `offset`, though its group is not
    /// whole. In a recycled segment any bytes stand there, but no old record has that number.
    fn is_begun(&mut self, reader: &mut SegmentReader, offset: u64) -> Result<bool> {
        let next_lsn = self.expected.unwrap_or_default().lsn + 1;
        for offset in [offset, align_up(offset)] {
            let at = offset + group::HEADER_BYTES as u64;
            let bytes = reader.bytes(at, crate::format::record::HEADER_BYTES)?;
            let record = bytes.and_then(|bytes| RecordHeader::decode(bytes, self.seed));
            if record.is_some_and(|record| record.lsn == next_lsn) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Learns what the groups behind the end of the valid chain prove to be durable. Returns whether
    /// there are any.
    fn look_ahead(&mut self, links: &[Link], mut offset: u64) -> Result<bool> {
        let mut any = false;
        for link in links {
            let mut reader = SegmentReader::new(&link.path, Arc::clone(&link.file), link.end)?;
            while let Some((at, header)) = reader.find_group(self.wal_id, link.number, offset)? {
                any = true;
                self.proven.learn(header.durable_lsn, header.durable_group);
                offset = at + crate::format::GROUP_ALIGN_BYTES;
            }
            offset = DATA_START;
        }
        Ok(any)
    }
}
