//! Those who wait for records to be written or synced.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use crate::durability::Reach;
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::thread::{self, Thread};

/// The registered threads and tasks. Bounded by the number of tickets that are waited for.
#[derive(Default)]
pub(crate) struct Waiters {
    /// Each ordered by LSN.
    written: VecDeque<Waiter>,
    durable: VecDeque<Waiter>,
    next_number: u64,
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) lsn: u64,
    pub(crate) reach: Reach,
}

pub(crate) struct Waiter {
    lsn: u64,
    number: u64,
    wake: Wake,
}

pub(crate) enum Wake {
    Thread(Arc<Parked>),
    Task(Waker),
}

/// A blocked thread.
pub(crate) struct Parked {
    state: AtomicU8,
    thread: Thread,
}

const WAITING: u8 = 0;
/// What it waits for has happened, or the log is poisoned.
const SETTLED: u8 = 1;
/// The token was offered to it.
const OFFERED: u8 = 2;

impl Parked {
    pub(crate) fn current() -> Arc<Parked> {
        Arc::new(Parked {
            state: AtomicU8::new(WAITING),
            thread: thread::current(),
        })
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Acquire) == WAITING
    }

    pub(crate) fn offer(&self) {
        self.wake(OFFERED);
    }

    fn wake(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        self.thread.unpark();
    }
}

impl Waiter {
    pub(crate) fn is_thread(&self) -> bool {
        matches!(self.wake, Wake::Thread(_))
    }

    /// Tells the waiter to look again. Called with no lock held.
    pub(crate) fn settle(self) {
        match self.wake {
            Wake::Thread(parked) => parked.wake(SETTLED),
            Wake::Task(waker) => waker.wake(),
        }
    }
}

impl Waiters {
    fn queue(&mut self, reach: Reach) -> &mut VecDeque<Waiter> {
        match reach {
            Reach::Appended | Reach::Written => &mut self.written,
            Reach::Durable => &mut self.durable,
        }
    }

    /// Registers a waiter and gives its number.
    pub(crate) fn register(&mut self, goal: Goal, wake: Wake) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let queue = self.queue(goal.reach);
        let at = queue.partition_point(|waiter| waiter.lsn <= goal.lsn);
        queue.insert(
            at,
            Waiter {
                lsn: goal.lsn,
                number,
                wake,
            },
        );
        number
    }

    fn position(&mut self, goal: Goal, number: u64) -> Option<usize> {
        let queue = self.queue(goal.reach);
        let start = queue.partition_point(|waiter| waiter.lsn < goal.lsn);
        let same = queue
            .range(start..)
            .take_while(|waiter| waiter.lsn == goal.lsn);
        same.into_iter()
            .position(|waiter| waiter.number == number)
            .map(|at| start + at)
    }

    /// Lets the waiter with that number wake another task; `false` if there is none.
    pub(crate) fn set_waker(&mut self, goal: Goal, number: u64, waker: &Waker) -> bool {
        let Some(at) = self.position(goal, number) else {
            return false;
        };
        match &mut self.queue(goal.reach)[at].wake {
            Wake::Task(registered) => registered.clone_from(waker),
            wake @ Wake::Thread(_) => *wake = Wake::Task(waker.clone()),
        }
        true
    }

    pub(crate) fn unregister(&mut self, goal: Goal, number: u64) {
        if let Some(at) = self.position(goal, number) {
            self.queue(goal.reach).remove(at);
        }
    }

    /// Moves those who have what they wait for to `settled`.
    pub(crate) fn settle(&mut self, written: u64, durable: u64, settled: &mut Vec<Waiter>) {
        let count = self.written.partition_point(|waiter| waiter.lsn <= written);
        settled.extend(self.written.drain(..count));
        let count = self.durable.partition_point(|waiter| waiter.lsn <= durable);
        settled.extend(self.durable.drain(..count));
    }

    /// Moves everybody to `settled`.
    pub(crate) fn settle_all(&mut self, settled: &mut Vec<Waiter>) {
        settled.extend(self.written.drain(..));
        settled.extend(self.durable.drain(..));
    }

    /// Whether somebody waits for a record to be written.
    pub(crate) fn want_written(&self) -> bool {
        !self.written.is_empty()
    }

    /// Takes the first blocked thread out, to offer it the token.
    pub(crate) fn take_thread(&mut self) -> Option<(u64, Arc<Parked>)> {
        for queue in [&mut self.written, &mut self.durable] {
            let at = queue
                .iter()
                .position(|waiter| matches!(waiter.wake, Wake::Thread(_)));
            if let Some(waiter) = at.and_then(|at| queue.remove(at))
                && let Wake::Thread(parked) = waiter.wake
            {
                return Some((waiter.number, parked));
            }
        }
        None
    }
}
