//! What the log does by the clock.

use std::sync::Arc;
use std::time::Duration;

use super::Log;
use super::flush::{PanicGuard, Wakeups};
use super::state::{State, Token};
use crate::error::{Result, WalError};
use crate::format::BLOCK_BYTES;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use crate::timers::Task;
use crate::writer::End;

/// When a timed step looks again that found the token held.
const TOKEN_RETRY_AFTER: Duration = Duration::from_millis(1);

impl Log {
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

    /// Writes the marker of an idle log. Where a large commit has left no room for it, which is so in
    /// every segment that was made for one, the seal of the segment serves: it proves as much. That
    /// needs a prepared segment to go on in; without one, as on a full disk, there is no marker.
    fn write_idle(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Result<()> {
        state.timers.marked();
        let rotate = state.current_room_bytes < 2 * BLOCK_BYTES;
        if rotate && state.spare_room_bytes == 0 {
            return Ok(());
        }
        state.token = Token::Held;
        let next_lsn = state.next_lsn;
        state.begin_flight(next_lsn - 1, true);
        // Appends go on meanwhile, behind the marker.
        if rotate {
            state.claim_spare();
        } else {
            state.current_room_bytes -= 2 * BLOCK_BYTES;
        }
        drop(state);
        let guard = PanicGuard { log: self };
        let now = self.home.vfs.now();
        let mut writer = self.writer.lock();
        let result = match rotate {
            false => writer.write_idle(next_lsn),
            true => writer.sync().and_then(|()| {
                let next = self.take_spare(next_lsn - 1)?;
                writer.rotate(next, next_lsn)
            }),
        };
        let result = result.map(|()| End::of(&writer, now));
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
}
