//! The running log: the open group, the flush token, and those who wait.
//!
//! Lock order: `state` is never held while `writer` or `preparer` is taken; `writer` is taken only
//! by the holder of the token; wake-ups and the driver are called with no lock held.
//!
//! Invariants of the flush token:
//! - a group is written only by the holder of the token, so one group is in flight at a time;
//! - whoever releases the token looks at the open group after the release: if it holds records, the
//!   token is offered to a thread that waits for one of them, or the driver is asked;
//! - a thread that waits and finds the token free or offered takes it; the one that it was offered
//!   to then waits on like the others;
//! - a waiter that gives up while the token is offered to it passes it on;
//! - a failed flush wakes everybody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Waker;
use std::thread::Thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::driver::FlushDriver;
use crate::error::{Result, WalError};
use crate::format::record::{self, RecordSeed};
use crate::group::{GroupBuffer, Record};
use crate::options::WalOptions;
use crate::planted::{Bug, is_planted};
use crate::preparer::Preparer;
use crate::segment::{Segment, SegmentInfo};
use crate::stats::Counters;
use crate::wal::Wal;
use crate::writer::{Home, Writer};

/// Largest payload of one record.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 36 << 20;
/// No record joins a group that holds this much: appends wait for the flush instead. Bounds the
/// memory of the open group and of the one in flight.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// How long preparing ahead rests after a failure; an append that needs the room tries at once.
const PREPARE_RETRY_AFTER: Duration = Duration::from_millis(200);

pub(crate) struct Log {
    pub(crate) home: Home,
    pub(crate) options: WalOptions,
    pub(crate) wal_id: u128,
    pub(crate) seed: RecordSeed,
    pub(crate) driver: Arc<dyn FlushDriver>,
    pub(crate) durable_lsn: AtomicU64,
    durable_group: AtomicU64,
    pub(crate) state: Mutex<State>,
    /// Signalled when the open group was swapped out, when the token became free while records wait,
    /// when a rotation has taken the prepared segment, and when the log is poisoned or closed.
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
    /// Ordered by LSN. Bounded by the number of tickets that are waited for.
    waiters: VecDeque<Waiter>,
    next_waiter: u64,
    /// The driver was asked and has not begun.
    driver_asked: bool,
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
    pub(crate) appended_lsn: u64,
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

struct Waiter {
    lsn: u64,
    number: u64,
    wake: Wake,
}

enum Wake {
    Thread(Arc<Parked>),
    Task(Waker),
}

/// A blocked thread.
struct Parked {
    state: AtomicU8,
    thread: Thread,
}

const WAITING: u8 = 0;
/// Its record is durable or the log is poisoned.
const SETTLED: u8 = 1;
/// The token was offered to it.
const OFFERED: u8 = 2;

impl Wake {
    fn settle(self) {
        match self {
            Wake::Thread(parked) => parked.wake(SETTLED),
            Wake::Task(waker) => waker.wake(),
        }
    }
}

impl Parked {
    fn wake(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        self.thread.unpark();
    }
}

/// What is to be done once no lock is held.
#[derive(Default)]
struct Wakeups {
    leader: Option<Arc<Parked>>,
    ask_driver: bool,
    settled: Vec<Waiter>,
}

impl Log {
    #[expect(
        clippy::too_many_arguments,
        reason = "built in one place, from a finished recovery"
    )]
    pub(crate) fn new(
        home: Home,
        options: WalOptions,
        driver: Arc<dyn FlushDriver>,
        writer: Writer,
        preparer: Preparer,
        segments: Vec<SegmentInfo>,
        durable_lsn: u64,
        next_lsn: u64,
    ) -> Log {
        let wal_id = writer.wal_id;
        let state = State {
            open: GroupBuffer::new(),
            recycled: Some(GroupBuffer::new()),
            next_lsn,
            token: Token::Free,
            waiters: VecDeque::new(),
            next_waiter: 0,
            driver_asked: false,
            current_room_bytes: writer.room_bytes(),
            spare_room_bytes: preparer.ready_bytes(),
            prepare_below_bytes: writer.segment.capacity_bytes / 2,
            prepare_not_before: Duration::ZERO,
            rotating: false,
            appended_lsn: durable_lsn,
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

    pub(crate) fn is_durable(&self, lsn: u64) -> bool {
        self.durable_lsn.load(Ordering::Acquire) >= lsn
    }

    pub(crate) fn append(self: &Arc<Self>, record: &Record<'_>) -> Result<u64> {
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
            if !state.open.is_empty() && state.open.records_bytes() + bytes > GROUP_BYTES_MAX {
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
        state.appended_lsn = lsn;
        Ok(lsn)
    }

    /// Waits until the open group has been issued, by issuing it if nobody does.
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

    /// Blocks until `lsn` is durable, flushing if nobody else does.
    pub(crate) fn wait(self: &Arc<Self>, lsn: u64, timeout: Option<Duration>) -> Result<()> {
        if self.is_durable(lsn) {
            return Ok(());
        }
        // A deadline past the end of time is none.
        let deadline = timeout.and_then(|timeout| self.home.vfs.now().checked_add(timeout));
        let mut state = self.state.lock();
        loop {
            if self.is_durable(lsn) {
                return Ok(());
            }
            if let Some(cause) = &state.poisoned {
                return Err(WalError::Poisoned(Arc::clone(cause)));
            }
            if state.token != Token::Held {
                state.token = Token::Held;
                self.lead(state);
            } else {
                let parked = Arc::new(Parked {
                    state: AtomicU8::new(WAITING),
                    thread: std::thread::current(),
                });
                let number = state.register(lsn, Wake::Thread(Arc::clone(&parked)));
                drop(state);
                if !self.park(&parked, deadline) {
                    return self.give_up(lsn, number);
                }
            }
            state = self.state.lock();
        }
    }

    /// Parks until woken; `false` if the deadline passed before that.
    fn park(&self, parked: &Parked, deadline: Option<Duration>) -> bool {
        while parked.state.load(Ordering::Acquire) == WAITING {
            match deadline {
                None => std::thread::park(),
                Some(deadline) => {
                    let left = deadline.saturating_sub(self.home.vfs.now());
                    if left.is_zero() {
                        return false;
                    }
                    std::thread::park_timeout(left);
                }
            }
        }
        true
    }

    fn give_up(self: &Arc<Self>, lsn: u64, number: u64) -> Result<()> {
        let mut state = self.state.lock();
        state.unregister(lsn, number);
        let mut wakeups = Wakeups::default();
        if state.token == Token::Offered(number) {
            self.pass_token(&mut state, &mut wakeups);
        }
        drop(state);
        self.wake(wakeups);
        if self.is_durable(lsn) {
            Ok(())
        } else {
            Err(WalError::TimedOut)
        }
    }

    /// The state of a record for a task: registers `waker` if it is neither durable nor lost.
    pub(crate) fn poll(
        self: &Arc<Self>,
        lsn: u64,
        number: &mut Option<u64>,
        waker: &Waker,
    ) -> Option<Result<()>> {
        if self.is_durable(lsn) {
            return Some(Ok(()));
        }
        let mut state = self.state.lock();
        if self.is_durable(lsn) {
            return Some(Ok(()));
        }
        if let Some(cause) = &state.poisoned {
            return Some(Err(WalError::Poisoned(Arc::clone(cause))));
        }
        match number.and_then(|number| state.waiter_mut(lsn, number)) {
            Some(waiter) => match &mut waiter.wake {
                Wake::Task(registered) => registered.clone_from(waker),
                Wake::Thread(_) => waiter.wake = Wake::Task(waker.clone()),
            },
            None => *number = Some(state.register(lsn, Wake::Task(waker.clone()))),
        }
        let ask = state.wants_driver(self.home.vfs.now());
        drop(state);
        if ask {
            self.driver.request(&self.handle());
        }
        None
    }

    /// A ticket is gone: its record is flushed all the same.
    pub(crate) fn forget(self: &Arc<Self>, lsn: u64, number: Option<u64>) {
        if self.is_durable(lsn) {
            return;
        }
        let mut state = self.state.lock();
        if let Some(number) = number {
            state.unregister(lsn, number);
        }
        let ask = state.wants_driver(self.home.vfs.now());
        drop(state);
        if ask {
            self.driver.request(&self.handle());
        }
    }

    /// Issues the open group if there is one and nobody else is about to.
    pub(crate) fn flush_step(self: &Arc<Self>) -> Result<bool> {
        let mut state = self.state.lock();
        state.driver_asked = false;
        if let Some(cause) = &state.poisoned {
            return Err(WalError::Poisoned(Arc::clone(cause)));
        }
        if state.open.is_empty() || state.token != Token::Free {
            return Ok(false);
        }
        state.token = Token::Held;
        self.lead(state);
        match &self.state.lock().poisoned {
            None => Ok(true),
            Some(cause) => Err(WalError::Poisoned(Arc::clone(cause))),
        }
    }

    /// Writes the open group. The caller has just taken the token; it is released here.
    fn lead(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        debug_assert_eq!(state.token, Token::Held);
        debug_assert!(
            !state.open.is_empty(),
            "a record that is not durable is in the open group"
        );
        let next = state.recycled.take().unwrap_or_else(GroupBuffer::new);
        let mut group = std::mem::replace(&mut state.open, next);
        let bytes = group.device_bytes_with(0);
        let rotate = bytes > state.current_room_bytes;
        if rotate {
            // `append` accepted the group, so it fits into the prepared segment.
            state.current_room_bytes = state.spare_room_bytes;
            state.spare_room_bytes = 0;
            state.rotating = true;
        }
        state.current_room_bytes = state.current_room_bytes.saturating_sub(bytes);
        drop(state);
        self.group_swapped.notify_all();

        let guard = PanicGuard { log: self };
        if is_planted(Bug::AckBeforeSync) {
            self.durable_lsn.store(group.last_lsn, Ordering::Release);
        }
        let result = self.write(&mut group, rotate);
        std::mem::forget(guard);

        let mut wakeups = Wakeups::default();
        let mut state = self.state.lock();
        match result {
            Ok(capacity_bytes) => {
                state.prepare_below_bytes = capacity_bytes / 2;
                self.durable_lsn.store(group.last_lsn, Ordering::Release);
                let settled = state.waiters.partition_point(|w| w.lsn <= group.last_lsn);
                wakeups.settled.extend(state.waiters.drain(..settled));
                group.reset();
                state.recycled = Some(group);
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

    fn write(&self, group: &mut GroupBuffer, rotate: bool) -> Result<u64> {
        let started = self.home.vfs.now();
        let mut writer = self.writer.lock();
        let durable_lsn = self.durable_lsn.load(Ordering::Acquire);
        if rotate {
            let next = self.take_spare()?;
            let mut segments = self.segments.lock();
            if let Some(current) = segments.last_mut() {
                current.last_lsn = Some(group.first_lsn - 1);
            }
            segments.push(SegmentInfo {
                number: next.number,
                path: next.path.clone(),
                capacity_bytes: next.capacity_bytes,
                last_lsn: None,
            });
            drop(segments);
            writer.rotate(next, group.first_lsn, durable_lsn)?;
        }
        writer.write(group, durable_lsn)?;
        self.durable_group
            .store(writer.last_group, Ordering::Release);
        let now = self.home.vfs.now();
        self.counters.flushed(
            u64::from(group.records),
            group.records_bytes() as u64,
            now.saturating_sub(started),
            now,
        );
        Ok(writer.segment.capacity_bytes)
    }

    fn take_spare(&self) -> Result<Segment> {
        let mut preparer = self.preparer.lock();
        let segment = preparer.take();
        self.state.lock().rotating = false;
        drop(preparer);
        self.group_swapped.notify_all();
        segment.ok_or(WalError::Closed)
    }

    /// Releases the token: to a thread that waits for a record of the open group, else to nobody,
    /// and then the driver is asked if there is anything to do.
    fn pass_token(&self, state: &mut State, wakeups: &mut Wakeups) {
        state.token = Token::Free;
        if state.poisoned.is_some() {
            return;
        }
        if !state.open.is_empty() {
            let waiting = state
                .waiters
                .iter()
                .position(|w| matches!(w.wake, Wake::Thread(_)));
            if let Some(waiter) = waiting.and_then(|at| state.waiters.remove(at))
                && let Wake::Thread(parked) = waiter.wake
            {
                state.token = Token::Offered(waiter.number);
                wakeups.leader = Some(parked);
            }
        }
        if state.token == Token::Free && !state.open.is_empty() {
            // Appends that wait for the open group to be issued may have to do it themselves: a
            // driver need not act at once, or at all.
            self.group_swapped.notify_all();
        }
        wakeups.ask_driver = state.wants_driver(self.home.vfs.now());
    }

    fn poison(&self, state: &mut State, error: WalError, wakeups: &mut Wakeups) {
        if state.poisoned.is_none() {
            state.poisoned = Some(Arc::new(error));
        }
        wakeups.settled.extend(state.waiters.drain(..));
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
            leader.wake(OFFERED);
        }
        if wakeups.ask_driver {
            self.driver.request(&self.handle());
        }
        for waiter in wakeups.settled {
            waiter.wake.settle();
        }
    }

    /// Prepares a part of the next segment, if one is wanted. Returns whether there is more to do.
    pub(crate) fn prepare_step(&self) -> Result<bool> {
        {
            let state = self.state.lock();
            if !state.wants_segment(self.home.vfs.now()) {
                return Ok(false);
            }
        }
        let mut preparer = self.preparer.lock();
        let outcome = preparer.step(&self.home, self.durable());
        let mut state = self.publish_spare(&preparer);
        if outcome.is_err() {
            state.prepare_not_before = self.home.vfs.now() + PREPARE_RETRY_AFTER;
        }
        outcome
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
            state.appended_lsn
        };
        self.wait(appended_lsn, None)?;
        let mut state = self.state.lock();
        if let Some(cause) = &state.poisoned {
            return Err(WalError::Poisoned(Arc::clone(cause)));
        }
        // Everything is durable and nothing can be appended any more, so the token is free.
        debug_assert_eq!(state.token, Token::Free);
        state.token = Token::Held;
        let next_lsn = state.next_lsn;
        drop(state);
        let guard = PanicGuard { log: self };
        let result = self.writer.lock().write_close(next_lsn, self.durable().0);
        std::mem::forget(guard);
        let mut state = self.state.lock();
        state.token = Token::Free;
        match result {
            Ok(()) => {
                state.close_written = true;
                self.group_swapped.notify_all();
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

    fn register(&mut self, lsn: u64, wake: Wake) -> u64 {
        let number = self.next_waiter;
        self.next_waiter += 1;
        let at = self.waiters.partition_point(|waiter| waiter.lsn <= lsn);
        self.waiters.insert(at, Waiter { lsn, number, wake });
        number
    }

    fn position(&self, lsn: u64, number: u64) -> Option<usize> {
        let start = self.waiters.partition_point(|waiter| waiter.lsn < lsn);
        let same = self
            .waiters
            .range(start..)
            .take_while(|waiter| waiter.lsn == lsn);
        same.into_iter()
            .position(|waiter| waiter.number == number)
            .map(|at| start + at)
    }

    fn waiter_mut(&mut self, lsn: u64, number: u64) -> Option<&mut Waiter> {
        let at = self.position(lsn, number)?;
        self.waiters.get_mut(at)
    }

    fn unregister(&mut self, lsn: u64, number: u64) {
        if let Some(at) = self.position(lsn, number) {
            self.waiters.remove(at);
        }
    }

    fn wants_segment(&self, now: Duration) -> bool {
        self.poisoned.is_none()
            && !self.closed
            && !self.rotating
            && self.spare_room_bytes == 0
            && self.current_room_bytes < self.prepare_below_bytes
            && now >= self.prepare_not_before
    }

    pub(crate) fn needs_flush(&self) -> bool {
        self.poisoned.is_none() && self.token == Token::Free && !self.open.is_empty()
    }

    /// Whether the driver must be asked now; it counts as asked afterwards.
    fn wants_driver(&mut self, now: Duration) -> bool {
        let wanted = !self.driver_asked && (self.needs_flush() || self.wants_segment(now));
        self.driver_asked |= wanted;
        wanted
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
