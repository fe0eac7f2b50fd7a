//! Waiting for records, as a thread or as a task.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::Log;
use super::flush::Wakeups;
use super::state::Token;
use crate::error::{Result, WalError};
use crate::gathering::{Gathering, Woken};
use crate::waiters::Goal;

impl Log {
    /// Blocks until the goal is reached, flushing if nobody else does.
    pub(crate) fn wait(self: &Arc<Self>, goal: Goal, timeout: Option<Duration>) -> Result<()> {
        // A deadline past the end of time is none.
        let deadline = timeout.and_then(|timeout| self.home.vfs.now().checked_add(timeout));
        let left = || deadline.map(|deadline| deadline.saturating_sub(self.home.vfs.now()));
        while !self.is_reached(goal) {
            let mut state = self.state.lock();
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
                continue;
            }
            let gathering = state.join(goal);
            drop(state);
            match gathering.wait(left) {
                Woken::Over => {}
                Woken::Offered => self.state.lock().leave(&gathering),
                Woken::TimedOut => return self.give_up(goal, &gathering),
            }
        }
        Ok(())
    }

    fn give_up(self: &Arc<Self>, goal: Goal, gathering: &Arc<Gathering>) -> Result<()> {
        let mut state = self.state.lock();
        state.leave(gathering);
        let mut wakeups = Wakeups::default();
        if state.token == Token::Offered {
            // It may have been offered to nobody but this thread.
            self.pass_token(&mut state, &mut wakeups);
        }
        let poisoned = state.poisoned.clone();
        drop(state);
        self.wake(wakeups);
        match poisoned {
            _ if self.is_reached(goal) => Ok(()),
            Some(cause) => Err(WalError::Poisoned(cause)),
            None => Err(WalError::TimedOut),
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
            *number = Some(state.waiters.register(goal, waker.clone()));
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
}
