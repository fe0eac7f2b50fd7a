//! The tasks that wait for records to be written or synced.

use std::collections::VecDeque;
use std::task::Waker;

use crate::durability::Reach;

/// The registered tasks. Bounded by the number of tickets that are awaited.
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

struct Waiter {
    lsn: u64,
    number: u64,
    waker: Waker,
}

impl Waiters {
    fn queue(&mut self, reach: Reach) -> &mut VecDeque<Waiter> {
        match reach {
            Reach::Appended | Reach::Written => &mut self.written,
            Reach::Durable => &mut self.durable,
        }
    }

    /// Registers a task and gives its number.
    pub(crate) fn register(&mut self, goal: Goal, waker: Waker) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let queue = self.queue(goal.reach);
        let at = queue.partition_point(|waiter| waiter.lsn <= goal.lsn);
        queue.insert(
            at,
            Waiter {
                lsn: goal.lsn,
                number,
                waker,
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
        self.queue(goal.reach)[at].waker.clone_from(waker);
        true
    }

    pub(crate) fn unregister(&mut self, goal: Goal, number: u64) {
        if let Some(at) = self.position(goal, number) {
            self.queue(goal.reach).remove(at);
        }
    }

    /// Moves those who have what they wait for to `settled`.
    pub(crate) fn settle(&mut self, written: u64, durable: u64, settled: &mut Vec<Waker>) {
        for (queue, reached) in [(&mut self.written, written), (&mut self.durable, durable)] {
            let count = queue.partition_point(|waiter| waiter.lsn <= reached);
            settled.extend(queue.drain(..count).map(|waiter| waiter.waker));
        }
    }

    /// Moves everybody to `settled`.
    pub(crate) fn settle_all(&mut self, settled: &mut Vec<Waker>) {
        self.settle(u64::MAX, u64::MAX, settled);
    }
}
