//! The flush token: who writes and syncs, and who is woken then.

use std::sync::Arc;
use std::task::Waker;

use super::state::{Flight, State, Token};
use super::{Log, WRITE_BYTES_MIN};
use crate::durability::Reach;
use crate::error::{Result, WalError};
use crate::gathering::Gathering;
use crate::group::GroupBuffer;
use crate::planted::{Bug, is_planted};
use crate::segment::{Segment, SegmentInfo};
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use crate::writer::End;

/// What is to be done once no lock is held.
#[derive(Default)]
pub(super) struct Wakeups {
    /// One of these is to take the token.
    leader: Option<Arc<Gathering>>,
    ask_driver: bool,
    /// The flush that has ended.
    landed: Option<Flight>,
    /// Threads that are to look again.
    dismissed: Option<Arc<Gathering>>,
    settled: Vec<Waker>,
}

impl Log {
    /// Waits until the open group has been issued and what is wanted durable is being synced, by
    /// doing it if nobody does.
    pub(super) fn wait_for_swap<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        match state.token {
            Token::Free | Token::Offered => {
                state.token = Token::Held;
                self.lead(state);
                self.state.lock()
            }
            Token::Held => {
                self.group_swapped.wait(&mut state);
                state
            }
        }
    }

    /// Writes and syncs what somebody wants written and synced, unless another thread is about to.
    pub(crate) fn flush_step(self: &Arc<Self>) -> Result<bool> {
        let mut state = self.state.lock();
        state.driver_asked = false;
        if let Some(cause) = &state.poisoned {
            return Err(WalError::Poisoned(Arc::clone(cause)));
        }
        if !self.needs_flush(&state) {
            return Ok(false);
        }
        state.token = Token::Held;
        self.lead(state);
        match &self.state.lock().poisoned {
            None => Ok(true),
            Some(cause) => Err(WalError::Poisoned(Arc::clone(cause))),
        }
    }

    /// Writes the open group, and syncs if that is wanted. The caller has just taken the token; it is
    /// released here.
    pub(super) fn lead(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        debug_assert_eq!(state.token, Token::Held);
        let sync = self.options.durability.syncs_groups()
            || state.sync_wanted_lsn > self.durable_lsn.load(Ordering::Acquire);
        state.begin_flight(self.appended_lsn.load(Ordering::Acquire), sync);
        let mut group = None;
        let mut rotate = false;
        if !state.open.is_empty() {
            let next = state.recycled.take().unwrap_or_else(GroupBuffer::new);
            let open = std::mem::replace(&mut state.open, next);
            let bytes = open.device_bytes_with(0);
            rotate = bytes > state.current_room_bytes;
            if rotate {
                // `append` accepted the group, so it fits into the prepared segment.
                state.claim_spare();
            }
            state.current_room_bytes = state.current_room_bytes.saturating_sub(bytes);
            group = Some(open);
        }
        drop(state);
        self.group_swapped.notify_all();

        let guard = PanicGuard { log: self };
        if let Some(group) = &group
            && is_planted(Bug::AckBeforeSync)
        {
            self.durable_lsn.store(group.last_lsn, Ordering::Release);
        }
        let result = self.write(group.as_mut(), rotate, sync);
        std::mem::forget(guard);

        let mut wakeups = Wakeups::default();
        let mut state = self.state.lock();
        match result {
            Ok(end) => {
                self.advance(&mut state, end, &mut wakeups);
                if let Some(mut group) = group {
                    group.reset();
                    state.recycled = Some(group);
                }
                if let Some(landed) = &wakeups.landed
                    && landed.threads > state.open.records as usize
                {
                    // Most of the next group's records are still to be appended, by those who wake
                    // now: the token is kept while they are woken, so that they share it.
                    drop(state);
                    landed.gathering.end();
                    wakeups.landed = None;
                    state = self.state.lock();
                }
                self.pass_token(&mut state, &mut wakeups);
            }
            Err(error) => {
                state.token = Token::Free;
                self.poison(&mut state, error, &mut wakeups);
            }
        }
        drop(state);
        self.wake(wakeups);
    }

    /// Makes known how far the log has got: the flush in progress has ended.
    pub(super) fn advance(&self, state: &mut State, end: End, wakeups: &mut Wakeups) {
        state.current_room_bytes = end.room_bytes;
        self.room_here_bytes
            .store(end.room_bytes, Ordering::Relaxed);
        state.prepare_below_bytes = end.capacity_bytes / 2;
        self.written_lsn.store(end.written_lsn, Ordering::Release);
        let durable_before = self.durable_lsn.load(Ordering::Relaxed);
        self.durable_lsn.store(end.durable_lsn, Ordering::Release);
        self.durable_group
            .store(end.durable_group, Ordering::Release);
        state.timers.flushed(
            end.now,
            end.written_lsn > end.durable_lsn,
            state.open.is_empty(),
        );
        state
            .waiters
            .settle(end.written_lsn, end.durable_lsn, &mut wakeups.settled);
        let was_synced = state.flight.as_ref().is_none_or(|flight| flight.synced);
        wakeups.landed = state.land();
        if end.durable_lsn > durable_before && !was_synced {
            // A rotation has synced more than was promised: some may have got what they wait for.
            wakeups.dismissed = state.dismiss();
        }
    }

    fn write(&self, group: Option<&mut GroupBuffer>, rotate: bool, sync: bool) -> Result<End> {
        let started = self.home.vfs.now();
        let mut writer = self.writer.lock();
        let mut records = (0, 0);
        match group {
            None => writer.sync()?,
            Some(group) => {
                if rotate {
                    let next = self.take_spare(group.first_lsn - 1)?;
                    writer.rotate(next, group.first_lsn)?;
                }
                writer.write(group, sync)?;
                records = (u64::from(group.records), group.records_bytes() as u64);
            }
        }
        let now = self.home.vfs.now();
        self.counters
            .flushed(records.0, records.1, now.saturating_sub(started), now);
        Ok(End::of(&writer, now))
    }

    /// Makes the prepared segment the one behind that which ends with record `last_lsn`.
    pub(super) fn take_spare(&self, last_lsn: u64) -> Result<Segment> {
        let mut preparer = self.preparer.lock();
        let segment = preparer.take();
        if let Some(next) = &segment {
            let mut segments = self.segments.lock();
            if let Some(current) = segments.last_mut() {
                current.last_lsn = Some(last_lsn);
                current.rotated = true;
            }
            segments.push(SegmentInfo::of(next));
            drop(segments);
            self.reckon_room(&preparer);
        }
        self.state.lock().rotating = false;
        drop(preparer);
        self.group_swapped.notify_all();
        segment.ok_or(WalError::Closed)
    }

    /// Releases the token: to a thread that waits, if there is work for it, else to nobody, and then
    /// the driver is asked if there is anything to do.
    pub(super) fn pass_token(&self, state: &mut State, wakeups: &mut Wakeups) {
        state.token = Token::Free;
        if state.poisoned.is_some() {
            return;
        }
        if self.needs_flush(state) && !is_planted(Bug::TokenNotPassed) && state.gathered > 0 {
            state.token = Token::Offered;
            wakeups.leader = Some(Arc::clone(&state.gathering));
        }
        if state.token == Token::Free {
            // Appends that wait for the open group or for a late sync look again: they may have to
            // do it themselves, since a driver need not act at once, or at all; or it has been done
            // already, and nobody else will tell them.
            self.group_swapped.notify_all();
        }
        wakeups.ask_driver = self.wants_driver(state);
    }

    pub(super) fn poison(&self, state: &mut State, error: WalError, wakeups: &mut Wakeups) {
        if state.poisoned.is_none() {
            state.poisoned = Some(Arc::new(error));
        }
        if !is_planted(Bug::ErrorWakesNobody) {
            state.waiters.settle_all(&mut wakeups.settled);
            wakeups.landed = state.land();
            wakeups.dismissed = state.dismiss();
        }
        self.group_swapped.notify_all();
    }

    /// Ends the log's writing after a failure outside the flush.
    pub(crate) fn fail(self: &Arc<Self>, error: WalError) {
        let mut wakeups = Wakeups::default();
        let mut state = self.state.lock();
        self.poison(&mut state, error, &mut wakeups);
        drop(state);
        self.wake(wakeups);
    }

    pub(super) fn wake(self: &Arc<Self>, wakeups: Wakeups) {
        if let Some(leader) = wakeups.leader {
            leader.offer();
        }
        if let Some(flight) = wakeups.landed {
            flight.gathering.end();
        }
        if let Some(gathering) = wakeups.dismissed {
            gathering.end();
        }
        // Code of others, which may panic, comes last.
        if wakeups.ask_driver {
            self.driver.request(&self.handle());
        }
        for waker in wakeups.settled {
            waker.wake();
        }
    }

    /// Whether there is work that somebody wants done, and nobody is about to do it.
    pub(crate) fn needs_flush(&self, state: &State) -> bool {
        if state.poisoned.is_some() || state.token != Token::Free {
            return false;
        }
        let write = !state.open.is_empty()
            && (self.options.durability.reach() > Reach::Appended
                || state.write_wanted_lsn > self.written_lsn.load(Ordering::Acquire)
                || state.open.records_bytes() >= WRITE_BYTES_MIN);
        write || state.sync_wanted_lsn > self.durable_lsn.load(Ordering::Acquire)
    }

    /// Whether the driver must be asked now; it counts as asked afterwards.
    pub(super) fn wants_driver(&self, state: &mut State) -> bool {
        if state.driver_asked || state.poisoned.is_some() {
            return false;
        }
        let timer = state.timers.wants_driver(self.options.durability);
        let wanted = timer.is_some()
            || self.needs_flush(state)
            || state.wants_segment(|| self.home.vfs.now());
        state.driver_asked = wanted;
        if timer.is_some() {
            state.timers.set_driver_comes(timer);
        }
        wanted
    }
}

/// Poisons the log if the thread that writes it unwinds.
pub(super) struct PanicGuard<'a> {
    pub(super) log: &'a Arc<Log>,
}

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        let mut wakeups = Wakeups::default();
        let mut state = self.log.state.lock();
        state.token = Token::Free;
        self.log
            .poison(&mut state, WalError::Panicked, &mut wakeups);
        drop(state);
        self.log.wake(wakeups);
    }
}
