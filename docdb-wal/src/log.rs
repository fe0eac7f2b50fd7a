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
//! - a waiter that gives up while the token is offered to it passes it on;
//! - a failed flush wakes everybody;
//! - the holder may keep the token while it wakes threads whose records are durable, but never while
//!   it runs code of others, which wakers of tasks are.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::driver::FlushDriver;
use crate::durability::{Durability, Reach};
use crate::error::{Result, WalError};
use crate::format::BLOCK_BYTES;
use crate::format::record::{self, RecordSeed};
use crate::format::segment::temporary_name;
use crate::group::{GroupBuffer, Record};
use crate::options::WalOptions;
use crate::planted::{Bug, is_planted};
use crate::preparer::Preparer;
use crate::segment::{Retired, Segment, SegmentInfo};
use crate::stats::Counters;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, thread};
use crate::timers::{Task, Timers};
use crate::waiters::{Goal, Parked, Waiter, Waiters, Wake};
use crate::wal::Wal;
use crate::writer::{End, Home, Writer};

/// Largest payload of one record.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 36 << 20;
/// No record joins a group that holds this much: appends wait for the flush instead. Bounds the
/// memory of the open group and of the one in flight.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// In a mode that acknowledges before it writes, a group is written when it holds this much.
const WRITE_BYTES_MIN: usize = 1 << 20;
/// When a timed step looks again that found the token held.
const TOKEN_RETRY_AFTER: Duration = Duration::from_millis(1);
/// How long preparing ahead rests after a failure; an append that needs the room tries at once.
const PREPARE_RETRY_AFTER: Duration = Duration::from_millis(200);

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
    /// Held while segments are retired; taken before `segments`.
    pub(crate) retiring: Mutex<()>,
    pub(crate) counters: Counters,
}

pub(crate) struct State {
    pub(crate) open: GroupBuffer,
    recycled: Option<GroupBuffer>,
    pub(crate) next_lsn: u64,
    token: Token,
    waiters: Waiters,
    /// The highest record that somebody wants durable at once.
    sync_wanted_lsn: u64,
    /// The driver was asked and has not begun.
    driver_asked: bool,
    timers: Timers,
    /// Bytes for groups behind the one in flight, in the current segment and in the prepared one.
    /// A record is accepted only if its group fits into one of them, so that nothing can fail for
    /// want of space after an LSN is given.
    current_room_bytes: u64,
    spare_room_bytes: u64,
    /// A segment is prepared ahead once the current one has less room than this.
    prepare_below_bytes: u64,
    /// After a failure, no segment is prepared ahead before this time.
    prepare_not_before: Duration,
    /// A rotation is taking the prepared segment.
    rotating: bool,
    pub(crate) poisoned: Option<Arc<WalError>>,
    pub(crate) closed: bool,
    /// The marker of a clean end is durable.
    close_written: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Free,
    Held,
    /// Offered to the waiter with this number, which has been woken.
    Offered(u64),
}

/// What is to be done once no lock is held.
#[derive(Default)]
struct Wakeups {
    leader: Option<Arc<Parked>>,
    ask_driver: bool,
    settled: Vec<Waiter>,
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
            waiters: Waiters::default(),
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
        Log {
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
        }
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
        record: &Record<'_>,
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
        let bytes = bytes + record::HEADER_BYTES;
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

    /// Waits until the open group has been issued and what is wanted durable is being synced, by
    /// doing it if nobody does.
    fn wait_for_swap<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        match state.token {
            Token::Free | Token::Offered(_) => {
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

    /// Prepares a segment that has room for a group of `needed` bytes. Nothing has been reserved
    /// yet, so a full disk is told to the caller and changes nothing.
    fn make_room<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        needed: u64,
    ) -> Result<MutexGuard<'a, State>> {
        if state.rotating {
            self.group_swapped.wait(&mut state);
            return Ok(state);
        }
        if !state.open.is_empty() {
            // Once it is issued, the record may fit by itself.
            return Ok(self.wait_for_swap(state));
        }
        drop(state);
        let mut preparer = self.preparer.lock();
        state = self.state.lock();
        state.check_open()?;
        if state.rotating || state.bound_for_spare() {
            // Somebody counts on the prepared segment: it must not be replaced now.
            return Ok(state);
        }
        if preparer.ready_bytes() < needed {
            // Nobody is to count on it from here on.
            state.spare_room_bytes = 0;
        }
        drop(state);
        let outcome = preparer.ensure(&self.home, self.durable(), needed);
        state = self.publish_spare(&preparer);
        drop(preparer);
        outcome.map(|()| state)
    }

    /// Lets appends count on the prepared segment, unless a rotation has claimed it. Called with the
    /// preparer locked, so that it never speaks of a segment that has been taken away.
    fn publish_spare(&self, preparer: &Preparer) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        if !state.rotating {
            state.spare_room_bytes = preparer.ready_bytes();
        }
        state
    }

    /// Blocks until the goal is reached, flushing if nobody else does.
    pub(crate) fn wait(self: &Arc<Self>, goal: Goal, timeout: Option<Duration>) -> Result<()> {
        if self.is_reached(goal) {
            return Ok(());
        }
        // A deadline past the end of time is none.
        let deadline = timeout.and_then(|timeout| self.home.vfs.now().checked_add(timeout));
        let mut state = self.state.lock();
        loop {
            if self.is_reached(goal) {
                return Ok(());
            }
            if let Some(cause) = &state.poisoned {
                return Err(WalError::Poisoned(Arc::clone(cause)));
            }
            state.want(goal);
            if state.token != Token::Held {
                state.token = Token::Held;
                self.lead(state);
            } else {
                let parked = Parked::current();
                let wake = Wake::Thread(Arc::clone(&parked));
                let number = state.waiters.register(goal, wake);
                drop(state);
                if !self.park(&parked, deadline) {
                    return self.give_up(goal, number);
                }
            }
            state = self.state.lock();
        }
    }

    /// Parks until woken; `false` if the deadline passed before that.
    fn park(&self, parked: &Parked, deadline: Option<Duration>) -> bool {
        while parked.is_waiting() {
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    let left = deadline.saturating_sub(self.home.vfs.now());
                    if left.is_zero() {
                        return false;
                    }
                    thread::park_timeout(left);
                }
            }
        }
        true
    }

    fn give_up(self: &Arc<Self>, goal: Goal, number: u64) -> Result<()> {
        let mut state = self.state.lock();
        state.waiters.unregister(goal, number);
        let mut wakeups = Wakeups::default();
        if state.token == Token::Offered(number) {
            self.pass_token(&mut state, &mut wakeups);
        }
        drop(state);
        self.wake(wakeups);
        if self.is_reached(goal) {
            Ok(())
        } else {
            Err(WalError::TimedOut)
        }
    }

    /// Whether the goal is reached, for a task: registers `waker` if it is neither that nor lost.
    pub(crate) fn poll(
        self: &Arc<Self>,
        goal: Goal,
        number: &mut Option<u64>,
        waker: &Waker,
    ) -> Option<Result<()>> {
        if self.is_reached(goal) {
            return Some(Ok(()));
        }
        let mut state = self.state.lock();
        if self.is_reached(goal) {
            return Some(Ok(()));
        }
        if let Some(cause) = &state.poisoned {
            return Some(Err(WalError::Poisoned(Arc::clone(cause))));
        }
        state.want(goal);
        let known = number.is_some_and(|number| state.waiters.set_waker(goal, number, waker));
        if !known {
            *number = Some(state.waiters.register(goal, Wake::Task(waker.clone())));
        }
        let ask = self.wants_driver(&mut state);
        drop(state);
        if ask {
            self.driver.request(&self.handle());
        }
        None
    }

    /// A ticket is gone: its record gets as far all the same.
    pub(crate) fn forget(self: &Arc<Self>, goal: Goal, number: Option<u64>) {
        if self.is_reached(goal) {
            return;
        }
        let mut state = self.state.lock();
        if let Some(number) = number {
            state.waiters.unregister(goal, number);
        }
        let ask = self.wants_driver(&mut state);
        drop(state);
        if ask {
            self.driver.request(&self.handle());
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
    fn lead(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        debug_assert_eq!(state.token, Token::Held);
        let sync = self.options.durability.syncs_groups()
            || state.sync_wanted_lsn > self.durable_lsn.load(Ordering::Acquire);
        let mut group = None;
        let mut rotate = false;
        if !state.open.is_empty() {
            let next = state.recycled.take().unwrap_or_else(GroupBuffer::new);
            let open = std::mem::replace(&mut state.open, next);
            let bytes = open.device_bytes_with(0);
            rotate = bytes > state.current_room_bytes;
            if rotate {
                // `append` accepted the group, so it fits into the prepared segment.
                state.current_room_bytes = state.spare_room_bytes;
                state.spare_room_bytes = 0;
                state.rotating = true;
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
                if wakeups.settled.len() > state.open.records as usize {
                    // Most of the next group's records are still to be appended, by those who wake
                    // now: the token is kept while they are woken, so that they share it.
                    state = self.wake_threads(state, &mut wakeups.settled);
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

    /// Wakes the threads among those settled, with no lock held. Tasks stay: waking one runs code of
    /// others, which must not happen while the token is held.
    fn wake_threads<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        settled: &mut Vec<Waiter>,
    ) -> MutexGuard<'a, State> {
        drop(state);
        let (threads, tasks) = settled.drain(..).partition(Waiter::is_thread);
        *settled = tasks;
        let threads: Vec<Waiter> = threads;
        for waiter in threads {
            waiter.settle();
        }
        self.state.lock()
    }

    /// Makes known how far the log has got.
    fn advance(&self, state: &mut State, end: End, wakeups: &mut Wakeups) {
        state.current_room_bytes = end.room_bytes;
        state.prepare_below_bytes = end.capacity_bytes / 2;
        self.written_lsn.store(end.written_lsn, Ordering::Release);
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
    }

    fn write(&self, group: Option<&mut GroupBuffer>, rotate: bool, sync: bool) -> Result<End> {
        let started = self.home.vfs.now();
        let mut writer = self.writer.lock();
        let mut records = (0, 0);
        match group {
            None => writer.sync()?,
            Some(group) => {
                if rotate {
                    let next = self.take_spare()?;
                    let mut segments = self.segments.lock();
                    if let Some(current) = segments.last_mut() {
                        current.last_lsn = Some(group.first_lsn - 1);
                    }
                    segments.push(SegmentInfo::of(&next));
                    drop(segments);
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

    fn take_spare(&self) -> Result<Segment> {
        let mut preparer = self.preparer.lock();
        let segment = preparer.take();
        self.state.lock().rotating = false;
        drop(preparer);
        self.group_swapped.notify_all();
        segment.ok_or(WalError::Closed)
    }

    /// Releases the token: to a thread that waits, if there is work for it, else to nobody, and then
    /// the driver is asked if there is anything to do.
    fn pass_token(&self, state: &mut State, wakeups: &mut Wakeups) {
        state.token = Token::Free;
        if state.poisoned.is_some() {
            return;
        }
        if self.needs_flush(state)
            && !is_planted(Bug::TokenNotPassed)
            && let Some((number, parked)) = state.waiters.take_thread()
        {
            state.token = Token::Offered(number);
            wakeups.leader = Some(parked);
        }
        if state.token == Token::Free {
            // Appends that wait for the open group or for a late sync look again: they may have to
            // do it themselves, since a driver need not act at once, or at all; or it has been done
            // already, and nobody else will tell them.
            self.group_swapped.notify_all();
        }
        wakeups.ask_driver = self.wants_driver(state);
    }

    fn poison(&self, state: &mut State, error: WalError, wakeups: &mut Wakeups) {
        if state.poisoned.is_none() {
            state.poisoned = Some(Arc::new(error));
        }
        if !is_planted(Bug::ErrorWakesNobody) {
            state.waiters.settle_all(&mut wakeups.settled);
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

    fn wake(self: &Arc<Self>, wakeups: Wakeups) {
        if let Some(leader) = wakeups.leader {
            leader.offer();
        }
        if wakeups.ask_driver {
            self.driver.request(&self.handle());
        }
        for waiter in wakeups.settled {
            waiter.settle();
        }
    }

    /// Prepares a part of the next segment, if one is wanted. Returns whether there is more to do.
    pub(crate) fn prepare_step(&self) -> Result<bool> {
        {
            let state = self.state.lock();
            if !state.wants_segment(|| self.home.vfs.now()) {
                return Ok(false);
            }
        }
        let mut preparer = self.preparer.lock();
        if self.state.lock().closed {
            return Ok(false);
        }
        let outcome = preparer.step(&self.home, self.durable());
        let mut state = self.publish_spare(&preparer);
        if outcome.is_err() {
            state.prepare_not_before = self.home.vfs.now() + PREPARE_RETRY_AFTER;
        }
        outcome
    }

    /// Takes a retired segment's name away: its file is removed, or gets a temporary name if it is to
    /// serve again.
    pub(crate) fn take_name(&self, segment: SegmentInfo) -> Result<Option<Retired>> {
        let vfs = self.home.vfs.as_ref();
        // Readers pin segments only while none is retired. The list of segments has one pin too.
        let is_read = Arc::strong_count(&segment.pin) > 2;
        let wanted = !is_read && self.preparer.lock().wants_retired(segment.capacity_bytes);
        if !wanted {
            vfs.remove_file(&segment.path)?;
            return Ok(None);
        }
        let temporary = self.home.dir.join(temporary_name(segment.number));
        vfs.rename(&segment.path, &temporary)?;
        Ok(Some(Retired {
            temporary,
            capacity_bytes: segment.capacity_bytes,
        }))
    }

    /// Flushes everything, writes the marker of a clean end and accepts nothing more.
    pub(crate) fn close(self: &Arc<Self>) -> Result<()> {
        let appended_lsn = {
            let mut state = self.state.lock();
            if state.closed {
                while !state.close_written && state.poisoned.is_none() {
                    self.group_swapped.wait(&mut state);
                }
                return match &state.poisoned {
                    Some(cause) if !state.close_written => {
                        Err(WalError::Poisoned(Arc::clone(cause)))
                    }
                    _ => Ok(()),
                };
            }
            state.closed = true;
            self.appended_lsn.load(Ordering::Acquire)
        };
        self.wait(
            Goal {
                lsn: appended_lsn,
                reach: Reach::Durable,
            },
            None,
        )?;
        let mut state = self.state.lock();
        // Everything is durable and nothing can be appended any more, so only the marker of an idle
        // log may be on its way, or who made the last record durable is still waking others.
        while state.token == Token::Held && state.poisoned.is_none() {
            self.group_swapped.wait(&mut state);
        }
        if let Some(cause) = &state.poisoned {
            return Err(WalError::Poisoned(Arc::clone(cause)));
        }
        debug_assert_eq!(state.token, Token::Free);
        state.token = Token::Held;
        let next_lsn = state.next_lsn;
        drop(state);
        // A segment that is being prepared is finished first; no other is begun.
        drop(self.preparer.lock());
        let guard = PanicGuard { log: self };
        let result = self.writer.lock().write_close(next_lsn);
        std::mem::forget(guard);
        let mut state = self.state.lock();
        state.token = Token::Free;
        match result {
            Ok(()) => {
                state.close_written = true;
                self.group_swapped.notify_all();
                drop(state);
                // It learns that there is nothing to come back for.
                self.driver.request(&self.handle());
                Ok(())
            }
            Err(error) => {
                let mut wakeups = Wakeups::default();
                self.poison(&mut state, error.clone(), &mut wakeups);
                drop(state);
                self.wake(wakeups);
                Err(error)
            }
        }
    }

    /// Whether there is work that somebody wants done, and nobody is about to do it.
    pub(crate) fn needs_flush(&self, state: &State) -> bool {
        if state.poisoned.is_some() || state.token != Token::Free {
            return false;
        }
        let write = !state.open.is_empty()
            && (self.options.durability.reach() > Reach::Appended
                || state.waiters.want_written()
                || state.open.records_bytes() >= WRITE_BYTES_MIN);
        write || state.sync_wanted_lsn > self.durable_lsn.load(Ordering::Acquire)
    }

    /// Whether the driver must be asked now; it counts as asked afterwards.
    fn wants_driver(&self, state: &mut State) -> bool {
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

    /// Does what is due by the clock: the writes and syncs of the timed modes, and the marker of an
    /// idle log. Returns when there is something to do again, `None` if that begins with an append.
    pub(crate) fn timed_step(self: &Arc<Self>) -> Result<Option<Duration>> {
        let mode = self.options.durability;
        loop {
            let now = self.home.vfs.now();
            let mut state = self.state.lock();
            if let Some(cause) = &state.poisoned {
                return Err(WalError::Poisoned(Arc::clone(cause)));
            }
            let next = if state.closed {
                None
            } else {
                state.timers.next(mode)
            };
            let Some((due, task)) = next else {
                state.timers.set_driver_comes(None);
                return Ok(None);
            };
            let comes = if due > now {
                Some(due)
            } else if state.token == Token::Held {
                Some(now + TOKEN_RETRY_AFTER)
            } else {
                None
            };
            if comes.is_some() {
                state.timers.set_driver_comes(comes);
                return Ok(comes);
            }
            match task {
                Task::Write => {}
                Task::Sync => state.sync_wanted_lsn = self.appended_lsn.load(Ordering::Acquire),
                Task::Marker if !state.open.is_empty() => {
                    state.timers.appended(now);
                    continue;
                }
                Task::Marker => {
                    self.write_idle(state)?;
                    continue;
                }
            }
            state.token = Token::Held;
            self.lead(state);
        }
    }

    /// Writes the marker of an idle log, if there is room for it where the log stands.
    fn write_idle(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Result<()> {
        state.timers.marked();
        if state.current_room_bytes < 2 * BLOCK_BYTES {
            return Ok(());
        }
        state.token = Token::Held;
        let next_lsn = state.next_lsn;
        // Appends go on meanwhile, behind the marker.
        state.current_room_bytes -= 2 * BLOCK_BYTES;
        drop(state);
        let guard = PanicGuard { log: self };
        let now = self.home.vfs.now();
        let mut writer = self.writer.lock();
        let result = writer.write_idle(next_lsn).map(|()| End::of(&writer, now));
        drop(writer);
        std::mem::forget(guard);
        let mut wakeups = Wakeups::default();
        let mut state = self.state.lock();
        let outcome = match result {
            Ok(end) => {
                let timers = state.timers;
                self.advance(&mut state, end, &mut wakeups);
                state.timers = timers;
                self.pass_token(&mut state, &mut wakeups);
                // A close may wait for the token.
                self.group_swapped.notify_all();
                Ok(())
            }
            Err(error) => {
                state.token = Token::Free;
                self.poison(&mut state, error.clone(), &mut wakeups);
                Err(error)
            }
        };
        drop(state);
        self.wake(wakeups);
        outcome
    }

    fn handle(self: &Arc<Self>) -> Wal {
        Wal::from_log(Arc::clone(self))
    }
}

impl State {
    /// Whether the open group holds more than the current segment has room for.
    fn bound_for_spare(&self) -> bool {
        !self.open.is_empty() && self.open.device_bytes_with(0) > self.current_room_bytes
    }

    fn check_open(&self) -> Result<()> {
        match &self.poisoned {
            Some(cause) => Err(WalError::Poisoned(Arc::clone(cause))),
            None if self.closed => Err(WalError::Closed),
            None => Ok(()),
        }
    }

    /// Notes that somebody waits for the goal.
    fn want(&mut self, goal: Goal) {
        if goal.reach == Reach::Durable {
            self.sync_wanted_lsn = self.sync_wanted_lsn.max(goal.lsn);
        }
    }

    fn wants_segment(&self, now: impl FnOnce() -> Duration) -> bool {
        self.poisoned.is_none()
            && !self.closed
            && !self.rotating
            && self.spare_room_bytes == 0
            && self.current_room_bytes < self.prepare_below_bytes
            && now() >= self.prepare_not_before
    }
}

/// Poisons the log if the thread that writes it unwinds.
struct PanicGuard<'a> {
    log: &'a Arc<Log>,
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
