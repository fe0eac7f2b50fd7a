//! Room for groups: the current segment's, and that of the one prepared behind it.

use std::sync::Arc;
use std::time::Duration;

use super::Log;
use super::state::State;
use crate::error::Result;
use crate::preparer::Preparer;
use crate::sync::MutexGuard;

/// How long preparing ahead rests after a failure; an append that needs the room tries at once.
const PREPARE_RETRY_AFTER: Duration = Duration::from_millis(200);

impl Log {
    /// Prepares a segment that has room for a group of `needed` bytes. Nothing has been reserved
    /// yet, so a full disk is told to the caller and changes nothing.
    pub(super) fn make_room<'a>(
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
        self.give_way(needed);
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
        let outcome = self.end_if_in_doubt(&preparer, outcome);
        self.reckon_room(&preparer);
        state = self.publish_spare(&preparer);
        drop(preparer);
        outcome.map(|()| state)
    }

    /// See [`Wal::lend_space`](crate::Wal::lend_space).
    pub(crate) fn lend_space<T>(&self, bytes: u64, use_it: impl FnOnce() -> T) -> Result<T> {
        self.preparer.lock().lend(&self.home, bytes, use_it)
    }

    /// A file that is being prepared is abandoned when something fails; but a failed sync of the
    /// directory may have cost names that others gave, and the next one would succeed without them.
    fn end_if_in_doubt<T>(self: &Arc<Self>, preparer: &Preparer, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            if !preparer.is_in_doubt() {
                return error;
            }
            self.fail(error.clone());
            self.poison_error().unwrap_or(error)
        })
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

    /// Prepares a part of the next segment, if one is wanted. Returns whether there is more to do.
    pub(crate) fn prepare_step(self: &Arc<Self>) -> Result<bool> {
        {
            let state = self.state.lock();
            if !state.wants_segment(|| self.home.vfs.now()) {
                return Ok(false);
            }
        }
        self.give_way(0);
        let mut preparer = self.preparer.lock();
        if self.state.lock().closed {
            return Ok(false);
        }
        let outcome = preparer.step(&self.home, self.durable());
        let outcome = self.end_if_in_doubt(&preparer, outcome);
        self.reckon_room(&preparer);
        let mut state = self.publish_spare(&preparer);
        if outcome.is_err() {
            state.prepare_not_before = self.home.vfs.now() + PREPARE_RETRY_AFTER;
        }
        outcome
    }
}
