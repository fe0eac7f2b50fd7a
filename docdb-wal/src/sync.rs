//! Locks, atomics and threads, from one place: `docdb-wal/shuttle` builds the same sources with
//! others that try out interleavings.

pub(crate) use std::sync::atomic;
pub(crate) use std::thread;

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};

pub(crate) mod broadcast {
    //! The condition variable of `std`: unlike that of `parking_lot`, which hands those whom it wakes
    //! from one to the next, it wakes everybody with one call of the kernel.

    use std::sync::PoisonError;
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard as Guard};
    use std::time::Duration;

    /// Waits for a signal, at most for `limit`; may end without one.
    pub(crate) fn wait<'a, T>(
        condvar: &Condvar,
        _mutex: &'a Mutex<T>,
        guard: Guard<'a, T>,
        limit: Option<Duration>,
    ) -> Guard<'a, T> {
        match limit {
            None => condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = condvar.wait_timeout(guard, limit);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}
