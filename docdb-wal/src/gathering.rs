//! Where blocked threads wait for one flush.
//!
//! All threads of a group are woken together: that costs the thread that flushes one call of the
//! kernel, however many they are, where waking each by itself costs one call for each.

use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::broadcast::{Condvar, Guard, Mutex, wait};

/// The threads that wait for the same flush. Each counts itself in, under the log's lock, before it
/// waits; nobody is counted out but by giving up.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    state: Mutex<State>,
    signal: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The flush has ended. Never reset.
    over: bool,
    /// Offers of the flush token that nobody has taken up.
    offers: u32,
}

/// Why a thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The flush that it waited for has ended, well or not.
    Over,
    /// The token was offered to one of those who wait, and this thread took it up.
    Offered,
    /// The deadline has passed.
    TimedOut,
}

impl Gathering {
    /// Blocks until the flush has ended, the token is offered, or `left` says that no time is left.
    pub(crate) fn wait(&self, mut left: impl FnMut() -> Option<Duration>) -> Woken {
        let mut state = self.lock();
        loop {
            if state.over {
                return Woken::Over;
            }
            // Before the deadline is looked at: who takes a wake-up for an offer takes the offer.
            if state.offers > 0 {
                state.offers -= 1;
                return Woken::Offered;
            }
            let left = left();
            if left.is_some_and(|left| left.is_zero()) {
                return Woken::TimedOut;
            }
            state = wait(&self.signal, &self.state, state, left);
        }
    }

    /// Wakes one of those who wait, to take the token. Called with no lock held.
    pub(crate) fn offer(&self) {
        self.lock().offers += 1;
        self.signal.notify_one();
    }

    /// Wakes everybody: the flush has ended.
    pub(crate) fn end(&self) {
        self.lock().over = true;
        self.signal.notify_all();
    }

    fn lock(&self) -> Guard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
