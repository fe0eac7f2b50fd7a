//! The running log: the open group, the flush token, and those who wait.
//!
//! Lock order: `state` is never held while `writer` or `preparer` is taken; `writer` is taken only
//! by the holder of the token; wake-ups and the driver are called with no lock held.
//!
//! Invariants of the flush token:
//! - only the holder of the token writes and syncs, so one group is in flight at a time;
//! - whoever releases the token looks at the state after the release: if there is work that somebody
//!   waits for, the token is offered to a thread that waits, or the driver is asked;
//! - a thread that waits and finds the token free or offered takes it; the one that it was offered
//!   to then waits on like the others;
//! - a thread waits for the end of the flush in progress if that will do what it waits for, else it
//!   is gathered with those to whom the token is offered; all of these wait for the next flush, by
//!   whomever: taking the token makes their gathering that of the flush;
//! - the end of a flush, good or bad, ends its gathering, and everybody in it looks again;
//! - a thread that gives up while the token is offered passes it on;
//! - a failed flush wakes everybody;
//! - the holder may keep the token while it wakes threads whose records are durable, but never while
//!   it runs code of others, which wakers of tasks are.

mod budget;
mod close;
mod flush;
mod retire;
mod room;
mod state;
mod timed;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use self::state::{State, Token};
use crate::driver::FlushDriver;
use crate::durability::{Durability, Reach};
use crate::error::{Result, WalError};
use crate::format::record::{self, RecordSeed};
use crate::gathering::Gathering;
use crate::group::GroupBuffer;
use crate::options::WalOptions;
use crate::pack::PackedRecord;
use crate::preparer::Preparer;
use crate::segment::SegmentInfo;
use crate::stats::Counters;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::timers::Timers;
use crate::waiters::{Goal, Waiters};
use crate::wal::Wal;
use crate::writer::{Home, Writer};

/// Largest payload of one record.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 36 << 20;
/// No record joins a group that holds this much: appends wait for the flush instead. Bounds the
/// memory of the open group and of the one in flight.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// In a mode that acknowledges before it writes, a group is written when it holds this much.
const WRITE_BYTES_MIN: usize = 1 << 20;

pub(crate) struct Log {
    pub(crate) home: Home,
    pub(crate) options: WalOptions,
    pub(crate) wal_id: u128,
    pub(crate) seed: RecordSeed,
    pub(crate) driver: Arc<dyn FlushDriver>,
    /// Appended, handed to the kernel, and durable: everything up to these.
    pub(crate) appended_lsn: AtomicU64,
    pub(crate) written_lsn: AtomicU64,
    pub(crate) durable_lsn: AtomicU64,
    durable_group: AtomicU64,
    pub(crate) state: Mutex<State>,
    /// Signalled when the open group was swapped out, when the token became free, when a rotation has
    /// taken the prepared segment, and when the log is poisoned or closed.
    group_swapped: Condvar,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) preparer: Mutex<Preparer>,
    /// Oldest first. Not held during I/O: a rotation on the path of commits needs it.
    pub(crate) segments: Mutex<Vec<SegmentInfo>>,
    /// Held while segments are retired; taken before `preparer`, and that before `segments`.
    pub(crate) retiring: Mutex<()>,
    /// Records below it were given up with `retire_below`.
    needed_lsn: AtomicU64,
    /// The bytes of segments that are full and hold records which are needed.
    pub(crate) sealed_bytes: AtomicU64,
    /// What can be appended within the budget: to the current segment, and behind it, in two's
    /// complement, since that is negative when the budget is passed.
    room_here_bytes: AtomicU64,
    room_behind_bytes: AtomicU64,
    pub(crate) counters: Counters,
}

impl Log {
    pub(crate) fn new(
        home: Home,
        options: WalOptions,
        driver: Arc<dyn FlushDriver>,
        writer: Writer,
        preparer: Preparer,
        segments: Vec<SegmentInfo>,
        next_lsn: u64,
    ) -> Log {
        let durable_lsn = writer.durable_lsn;
        let wal_id = writer.wal_id;
        let state = State {
            open: GroupBuffer::new(),
            recycled: Some(GroupBuffer::new()),
            next_lsn,
            token: Token::Free,
            flight: None,
            gathering: Arc::new(Gathering::default()),
            gathered: 0,
            spare: None,
            waiters: Waiters::default(),
            write_wanted_lsn: 0,
            sync_wanted_lsn: 0,
            driver_asked: false,
            timers: Timers::default(),
            current_room_bytes: writer.room_bytes(),
            spare_room_bytes: preparer.ready_bytes(),
            prepare_below_bytes: writer.segment.capacity_bytes / 2,
            prepare_not_before: Duration::ZERO,
            rotating: false,
            poisoned: None,
            closed: false,
            close_written: false,
        };
        let log = Log {
            needed_lsn: AtomicU64::new(0),
            sealed_bytes: AtomicU64::new(0),
            room_here_bytes: AtomicU64::new(writer.room_bytes()),
            room_behind_bytes: AtomicU64::new(i64::MAX as u64),
            home,
            options,
            wal_id,
            seed: RecordSeed::new(wal_id),
            driver,
            appended_lsn: AtomicU64::new(durable_lsn),
            written_lsn: AtomicU64::new(durable_lsn),
            durable_lsn: AtomicU64::new(durable_lsn),
            durable_group: AtomicU64::new(writer.last_group),
            state: Mutex::new(state),
            group_swapped: Condvar::new(),
            writer: Mutex::new(writer),
            preparer: Mutex::new(preparer),
            segments: Mutex::new(segments),
            retiring: Mutex::new(()),
            counters: Counters::default(),
        };
        log.reckon_room(&log.preparer.lock());
        log
    }

    /// The error that ended the log's writing, if one did.
    pub(crate) fn poison_error(&self) -> Option<WalError> {
        let state = self.state.lock();
        let cause = state.poisoned.as_ref()?;
        Some(WalError::Poisoned(Arc::clone(cause)))
    }

    fn durable(&self) -> (u64, u64) {
        (
            self.durable_lsn.load(Ordering::Acquire),
            self.durable_group.load(Ordering::Acquire),
        )
    }

    /// The record up to which everything has got that far.
    pub(crate) fn reached(&self, reach: Reach) -> u64 {
        match reach {
            Reach::Appended => &self.appended_lsn,
            Reach::Written => &self.written_lsn,
            Reach::Durable => &self.durable_lsn,
        }
        .load(Ordering::Acquire)
    }

    pub(crate) fn is_reached(&self, goal: Goal) -> bool {
        self.reached(goal.reach) >= goal.lsn
    }

    /// Appends a record, which is acknowledged when it has got to what the log's mode or
    /// `durability` asks for, whichever is more.
    pub(crate) fn append(
        self: &Arc<Self>,
        record: PackedRecord<'_>,
        durability: Durability,
    ) -> Result<Goal> {
        let mode = self.options.durability;
        let reach = mode.reach().max(durability.reach());
        let bytes = record.payload_bytes();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(WalError::TooLarge {
                bytes: bytes as u64,
                limit_bytes: PAYLOAD_BYTES_MAX as u64,
            });
        }
        let bytes = record.stored_bytes() + record::HEADER_BYTES;
        let mut state = self.state.lock();
        loop {
            state.check_open()?;
            let full = state.open.records_bytes() + bytes > GROUP_BYTES_MAX;
            if !state.open.is_empty() && (full || mode == Durability::Always) {
                state = self.wait_for_swap(state);
                continue;
            }
            if state.timers.is_behind(mode, || self.home.vfs.now()) {
                state.sync_wanted_lsn = self.appended_lsn.load(Ordering::Relaxed);
                state = self.wait_for_swap(state);
                continue;
            }
            let needed = state.open.device_bytes_with(bytes);
            if needed <= state.current_room_bytes || needed <= state.spare_room_bytes {
                break;
            }
            state = self.make_room(state, needed)?;
        }
        let lsn = state.next_lsn;
        state.open.push(lsn, record, self.seed);
        state.next_lsn += 1;
        self.appended_lsn.store(lsn, Ordering::Release);
        if reach == Reach::Durable {
            state.sync_wanted_lsn = lsn;
        }
        let first = mode.reach() == Reach::Appended && state.open.records == 1;
        if first {
            // Also for a record that asks for more than the mode: its ticket may be dropped.
            state.timers.appended(self.home.vfs.now());
        }
        // A record that is acknowledged at once has no ticket that would ask for what follows.
        let ask = reach == Reach::Appended
            && (first
                || state.timers.wants_driver(mode).is_some()
                || state.open.records_bytes() >= WRITE_BYTES_MIN)
            && self.wants_driver(&mut state);
        drop(state);
        if ask {
            self.driver.request(&self.handle());
        }
        Ok(Goal { lsn, reach })
    }

    fn handle(self: &Arc<Self>) -> Wal {
        Wal::from_log(Arc::clone(self))
    }
}
