//! Memory for commits: each asks once for all that it needs, before it holds anything.

use std::sync::atomic::Ordering;

use docdb_types::ErrorKind;

use crate::db::Inner;
use crate::error::{Error, Result};
use crate::pressure::DELAY_MAX;

/// What a version takes in memory beside its body, about.
const ENTRY_BYTES: u64 = 64;

/// The right to install so much. Given back when the commit is installed, and counts there, or was
/// refused.
pub(crate) struct Permit<'a> {
    inner: &'a Inner,
    bytes: u64,
    /// Of the budget, these included.
    used_bytes: u64,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // First: who sees the bytes gone sees this, too.
        self.inner.permits_given_back.fetch_add(1, Ordering::AcqRel);
        self.inner
            .admitted_bytes
            .fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Inner {
    /// Waits for memory if the budget is used up, by taking a checkpoint or waiting for one, 1 s at
    /// most. If it is not, but checkpoints do not keep up, the commit is delayed. Whoever waits holds
    /// no lock.
    ///
    /// # Errors
    /// `MemoryLimit`: nothing was changed.
    pub(crate) fn admit(&self, operations: usize, body_bytes: usize) -> Result<Permit<'_>> {
        let bytes = operations as u64 * ENTRY_BYTES + body_bytes as u64;
        if let Some(permit) = self.try_admit(bytes) {
            self.delay_commit(permit.used_bytes, bytes);
            return Ok(permit);
        }
        if bytes > self.options.memory_bytes_max {
            return Err(self.memory_limit());
        }
        self.request_maintenance();
        let deadline = self.vfs.now() + DELAY_MAX;
        loop {
            let left = deadline.saturating_sub(self.vfs.now());
            if left.is_zero() {
                return Err(self.memory_limit());
            }
            let Some(mut checkpointer) = self.checkpointer.try_lock_for(left) else {
                return Err(self.memory_limit());
            };
            self.check_open()?;
            // Another checkpoint may have ended while this one waited for the lock.
            if let Some(permit) = self.try_admit(bytes) {
                return Ok(permit);
            }
            self.checkpoint_with(&mut checkpointer)?;
            drop(checkpointer);
            if let Some(permit) = self.admit_for_cursors(bytes) {
                return Ok(permit);
            }
            if self.admitted_bytes.load(Ordering::Relaxed) == 0 {
                return Err(self.memory_limit());
            }
            // The rest belongs to commits that are under way.
            std::thread::yield_now();
        }
    }

    /// Has what only cursors keep, which may never come back, give way.
    fn admit_for_cursors(&self, bytes: u64) -> Option<Permit<'_>> {
        loop {
            if let Some(permit) = self.try_admit(bytes) {
                return Some(permit);
            }
            if self.index.stats().retired_bytes == 0 || self.snapshots.expire_oldest().is_none() {
                return None;
            }
            self.release();
        }
    }

    /// Without a wait; `None` if there is not so much.
    pub(crate) fn try_admit(&self, bytes: u64) -> Option<Permit<'_>> {
        loop {
            let given_back = self.permits_given_back.load(Ordering::Acquire);
            let delta_bytes = self.delta_bytes();
            let room = self.options.memory_bytes_max.checked_sub(delta_bytes)?;
            let admit = |admitted: u64| admitted.checked_add(bytes).filter(|sum| *sum <= room);
            let before = self
                .admitted_bytes
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, admit)
                .ok()?;
            if self.permits_given_back.load(Ordering::Acquire) == given_back {
                // The caches have what is left, and no more.
                let used_bytes = delta_bytes + before + bytes;
                self.make_room(used_bytes);
                return Some(Permit {
                    inner: self,
                    bytes,
                    used_bytes,
                });
            }
            // A commit that was installed after the delta was counted, and gave its permit back before
            // the permits were, was seen in neither. Nothing was installed with this one, so it is not
            // counted as given back: whoever goes round has been overtaken by a commit.
            self.admitted_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
    }

    fn memory_limit(&self) -> Error {
        Error::new(
            ErrorKind::MemoryLimit,
            format!(
                "the database's memory budget of {} bytes is used up; try again",
                self.options.memory_bytes_max
            ),
        )
    }
}
