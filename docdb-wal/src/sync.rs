//! Locks, atomics and threads, from one place: `docdb-wal/shuttle` builds the same sources with
//! others that try out interleavings.

pub(crate) use std::sync::atomic;
pub(crate) use std::thread;

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
