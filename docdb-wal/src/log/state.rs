//! What the log's lock guards.

use std::sync::Arc;
use std::time::Duration;

use crate::durability::Reach;
use crate::error::{Result, WalError};
use crate::gathering::Gathering;
use crate::group::GroupBuffer;
use crate::timers::Timers;
use crate::waiters::{Goal, Waiters};

pub(crate) struct State {
    pub(crate) open: GroupBuffer,
    pub(super) recycled: Option<GroupBuffer>,
    pub(crate) next_lsn: u64,
    pub(super) token: Token,
    /// The flush in progress.
    pub(super) flight: Option<Flight>,
    /// Threads that wait for what the flush in progress will not do, and how many they are.
    pub(super) gathering: Arc<Gathering>,
    pub(super) gathered: usize,
    /// A gathering in which nobody waits, kept for the next flush: a lone writer allocates nothing.
    pub(super) spare: Option<Arc<Gathering>>,
    /// Tasks that wait.
    pub(super) waiters: Waiters,
    /// The highest records that somebody wants written, and durable, at once.
    pub(super) write_wanted_lsn: u64,
    pub(super) sync_wanted_lsn: u64,
    /// The driver was asked and has not begun.
    pub(super) driver_asked: bool,
    pub(super) timers: Timers,
    /// Bytes for groups behind the one in flight, in the current segment and in the prepared one.
    /// A record is accepted only if its group fits into one of them, so that nothing can fail for
    /// want of space after an LSN is given.
    pub(super) current_room_bytes: u64,
    pub(super) spare_room_bytes: u64,
    /// A segment is prepared ahead once the current one has less room than this.
    pub(super) prepare_below_bytes: u64,
    /// After a failure, no segment is prepared ahead before this time.
    pub(super) prepare_not_before: Duration,
    /// A rotation is taking the prepared segment.
    pub(super) rotating: bool,
    pub(crate) poisoned: Option<Arc<WalError>>,
    pub(crate) closed: bool,
    /// The marker of a clean end is durable.
    pub(super) close_written: bool,
}

/// The right to write and sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Free,
    Held,
    /// Offered to one of the gathered threads.
    Offered,
}

/// A flush in progress.
pub(super) struct Flight {
    /// The last record appended when it began.
    lsn: u64,
    pub(super) synced: bool,
    /// The threads that wait for its end, and how many they are.
    pub(super) gathering: Arc<Gathering>,
    pub(super) threads: usize,
}

impl Flight {
    /// Whether the goal will be reached at the end of the flush.
    fn covers(&self, goal: Goal) -> bool {
        goal.lsn <= self.lsn && (self.synced || goal.reach != Reach::Durable)
    }
}

impl State {
    /// Whether the open group holds more than the current segment has room for.
    pub(super) fn bound_for_spare(&self) -> bool {
        !self.open.is_empty() && self.open.device_bytes_with(0) > self.current_room_bytes
    }

    /// The log goes on in the prepared segment: the holder of the token takes it.
    pub(super) fn claim_spare(&mut self) {
        self.current_room_bytes = self.spare_room_bytes;
        self.spare_room_bytes = 0;
        self.rotating = true;
    }

    pub(super) fn check_open(&self) -> Result<()> {
        match &self.poisoned {
            Some(cause) => Err(WalError::Poisoned(Arc::clone(cause))),
            None if self.closed => Err(WalError::Closed),
            None => Ok(()),
        }
    }

    /// Notes that somebody waits for the goal.
    pub(super) fn want(&mut self, goal: Goal) {
        let wanted = match goal.reach {
            Reach::Durable => &mut self.sync_wanted_lsn,
            Reach::Appended | Reach::Written => &mut self.write_wanted_lsn,
        };
        *wanted = (*wanted).max(goal.lsn);
    }

    pub(super) fn wants_segment(&self, now: impl FnOnce() -> Duration) -> bool {
        self.poisoned.is_none()
            && !self.closed
            && !self.rotating
            && self.spare_room_bytes == 0
            && self.current_room_bytes < self.prepare_below_bytes
            && now() >= self.prepare_not_before
    }

    /// Notes that the holder of the token flushes everything up to `lsn`, and syncs it if `synced`.
    pub(super) fn begin_flight(&mut self, lsn: u64, synced: bool) {
        debug_assert!(self.token == Token::Held && self.flight.is_none());
        self.flight = Some(Flight {
            lsn,
            synced,
            gathering: std::mem::replace(
                &mut self.gathering,
                self.spare.take().unwrap_or_default(),
            ),
            threads: std::mem::take(&mut self.gathered),
        });
    }

    /// Takes the flush in progress away, which has ended; `None` if no thread waits for that.
    pub(super) fn land(&mut self) -> Option<Flight> {
        let flight = self.flight.take()?;
        if flight.threads == 0 {
            self.spare = Some(flight.gathering);
            return None;
        }
        Some(flight)
    }

    /// Counts a thread in where it is to wait for the goal.
    pub(super) fn join(&mut self, goal: Goal) -> Arc<Gathering> {
        match &mut self.flight {
            Some(flight) if flight.covers(goal) => {
                flight.threads += 1;
                Arc::clone(&flight.gathering)
            }
            _ => {
                self.gathered += 1;
                Arc::clone(&self.gathering)
            }
        }
    }

    /// Counts a thread out that does not wait for the end of its flush.
    pub(super) fn leave(&mut self, gathering: &Arc<Gathering>) {
        if Arc::ptr_eq(gathering, &self.gathering) {
            self.gathered -= 1;
        } else if let Some(flight) = &mut self.flight
            && Arc::ptr_eq(gathering, &flight.gathering)
        {
            flight.threads -= 1;
        }
    }

    /// Those who wait for no flush in particular, to be told to look again.
    pub(super) fn dismiss(&mut self) -> Option<Arc<Gathering>> {
        (std::mem::take(&mut self.gathered) > 0).then(|| std::mem::take(&mut self.gathering))
    }
}
