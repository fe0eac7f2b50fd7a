//! The end of a log's writing.

use std::sync::Arc;

use super::Log;
use super::flush::{PanicGuard, Wakeups};
use super::state::Token;
use crate::durability::Reach;
use crate::error::{Result, WalError};
use crate::recovery::first_capacity;
use crate::sync::atomic::Ordering;
use crate::waiters::Goal;

impl Log {
    /// Flushes everything, writes the marker of a clean end and accepts nothing more.
    pub(crate) fn close(self: &Arc<Self>) -> Result<()> {
        let outcome = self.end();
        // It learns that there is nothing to come back for, and lets go of the log.
        self.driver.request(&self.handle());
        outcome
    }

    fn end(self: &Arc<Self>) -> Result<()> {
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
        if result.is_ok() {
            self.give_back();
        }
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

    /// Gives back the space that only a log in use needs: the next opening begins a small segment and
    /// reads what it finds, so what is void would only delay it. Whatever fails here, and whatever a
    /// crash leaves of it, changes nothing of what the log says: the marker of the end is durable.
    fn give_back(&self) {
        let used_bytes = self.writer.lock().give_back();
        if let Some(current) = self.segments.lock().last_mut() {
            current.capacity_bytes = current.capacity_bytes.min(used_bytes);
        }
        let opening_bytes = first_capacity(&self.options, 0);
        self.preparer.lock().give_back(&self.home, opening_bytes);
    }
}
