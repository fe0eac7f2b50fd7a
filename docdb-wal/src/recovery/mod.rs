//! Opening a log: judge first, act only then.
//!
//! [`Recovery::judge`] reads everything and changes nothing. Its verdict is either an error or a
//! [`Verdict`] that can be [acted](Verdict::act) upon. The rules (P is the highest LSN proven durable
//! by the caller, by a segment header or by any valid group of this log):
//!
//! | finding | verdict | proven by, in `tests/` |
//! |---|---|---|
//! | a group bad or missing at or below P | corruption: refuse | `damage.rs: a_group_bad_or_missing_at_or_below_p_is_refused` |
//! | a sealed segment without its successor | corruption: refuse | `damage.rs: a_sealed_segment_without_its_successor_is_refused` |
//! | a damaged segment header, or a gap between segments, at or past `start_lsn` | corruption: refuse | `damage.rs: a_damaged_header_or_a_gap_is_refused` |
//! | the same in segments wholly before `start_lsn` | not needed: left alone, reported | `damage.rs: damage_wholly_before_start_lsn_is_left_alone` |
//! | a group bad above P | torn tail: cut there, ignore all that follows, report | `damage.rs: a_group_bad_above_p_is_a_torn_tail` |
//! | a record with a flag that this build does not know | refuse, wherever it stands | `flags.rs: an_unknown_flag_is_refused_and_no_torn_tail` |
//! | a compressed record that verifies as it stands and is not what it says | corruption: refuse, wherever it stands | `compression.rs: a_record_that_is_not_what_it_says_is_corrupt_and_no_torn_tail` |
//! | a read fails | an error, never a tail | `faults.rs: a_read_error_is_an_error_and_never_a_tail` |
//!
//! What cannot be told from a torn tail: damage in the last group of a log that was not closed,
//! while nothing behind it and no [`proven_lsn`](WalOptions::proven_lsn) says that it was durable.
//! Nor can it be seen, without `proven_lsn` or [`start_lsn`](WalOptions::start_lsn), that somebody
//! removed the oldest segments, or the newest one since the last recovery.
//!
//! Acting writes one new segment under a temporary name: its header says where the older chain is
//! cut, and it repeats the groups between P and the end of the valid log, since these were read but
//! are not known to be durable. Renaming it is the moment at which the old bytes cease to be the
//! truth, so a crash at any point leaves one truth or the other, and what was shown once stays.

mod act;
mod chain;
mod judge;
mod progress;
pub(crate) mod reader;
mod report;
mod survey;
mod tail;

use std::path::Path;
use std::sync::Arc;

use docdb_vfs::Vfs;

pub use judge::{Recovery, Replayed, Verdict};
pub use progress::{OnProgress, RecoveryProgress};
pub use report::{Cut, RecoveryReport};
pub use survey::{LogFinding, SurveyReport, Surveyed, Surveyor, survey};

use crate::driver::FlushDriver;
use crate::error::{Result, WalError};
use crate::format::segment::{
    CAPACITY_BYTES_MAX, Cut as CutBehind, DATA_START, Origin, SegmentHeader, parse_file_name,
};
use crate::log::Log;
use crate::options::WalOptions;
use crate::preparer::Preparer;
use crate::reserve::{self, Reserve};
use crate::segment::{self, SEGMENT_BYTES_LEAST, SegmentInfo, capacity_for};
use crate::wal::Wal;
use crate::writer::{Home, Writer};

pub(crate) fn create(
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    options: WalOptions,
    driver: Arc<dyn FlushDriver>,
) -> Result<Wal> {
    if vfs
        .list(dir)?
        .iter()
        .any(|name| parse_file_name(name).is_some())
    {
        return Err(WalError::AlreadyExists(dir.to_path_buf()));
    }
    let wal_id = options.wal_id.unwrap_or_else(|| random_id(vfs.as_ref()));
    let last_lsn = options.start_lsn.map_or(0, |lsn| lsn.0.saturating_sub(1));
    // One that begins later looks as if what was before had been cut behind that, and retired.
    let (segment, origin) = match last_lsn {
        0 => (1, Origin::First),
        last_lsn => {
            let cut = CutBehind {
                segment: 1,
                offset: DATA_START,
                last_lsn,
                ..CutBehind::default()
            };
            (2, Origin::Recovered(cut))
        }
    };
    let header = SegmentHeader {
        wal_id,
        segment,
        capacity_bytes: first_capacity(&options, 0),
        durable_lsn: last_lsn,
        durable_group: 0,
        origin,
        recycled: false,
    };
    let mut reserve = Reserve::find(vfs.as_ref(), dir)?;
    reserve.grow(
        vfs.as_ref(),
        dir,
        reserve::wanted_bytes(header.capacity_bytes),
    )?;
    let segment = segment::create(vfs.as_ref(), dir, header)?;
    let segments = vec![SegmentInfo::of(&segment)];
    let preparer = Preparer::new(wal_id, &segment, &options, reserve);
    let writer = Writer {
        wal_id,
        segment,
        position: DATA_START,
        last_group: 0,
        last_group_crc: 0,
        written_lsn: last_lsn,
        durable_lsn: last_lsn,
        durable_group: 0,
    };
    let home = Home {
        vfs,
        dir: dir.to_path_buf(),
    };
    Ok(Wal::from_log(Arc::new(Log::new(
        home,
        options,
        driver,
        writer,
        preparer,
        segments,
        last_lsn + 1,
    ))))
}

fn random_id(vfs: &dyn Vfs) -> u128 {
    let mut raw = [0; 16];
    vfs.fill_random(&mut raw);
    u128::from_le_bytes(raw)
}

/// The capacity of a segment that begins a run and must hold `bytes` of groups already.
pub(crate) fn first_capacity(options: &WalOptions, bytes: u64) -> u64 {
    let least = options.segment_bytes_min;
    let least = match options.budget_bytes() {
        Some(_) => least.min(options.segment_bytes_most()),
        None => least,
    };
    let least = least.clamp(SEGMENT_BYTES_LEAST, CAPACITY_BYTES_MAX);
    crate::format::align_up(least).max(capacity_for(bytes))
}
