//! Recording from many threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::{History, Txn};

/// Gives every event a number. If one event was over before another began, its number is lower.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// The number of what happens now.
    pub fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A history that many threads write. They share the clock alone: each has its [`Log`], which joins
/// the others when it is dropped.
#[derive(Debug, Default)]
pub struct Recorder<H> {
    clock: Clock,
    merged: Mutex<H>,
}

impl<H: History> Recorder<H> {
    /// A recorder of nothing yet.
    pub fn new() -> Self {
        Self {
            clock: Clock::default(),
            merged: Mutex::new(H::default()),
        }
    }

    /// The clock for [`Txn::begin`] and [`Txn::end`].
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The log of one thread.
    pub fn log(&self) -> Log<'_, H> {
        Log {
            recorder: self,
            local: H::default(),
        }
    }

    /// Everything that logs have left behind.
    pub fn into_history(self) -> H {
        self.merged
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one thread records.
#[derive(Debug)]
pub struct Log<'r, H: History> {
    recorder: &'r Recorder<H>,
    local: H,
}

impl<H: History> Log<'_, H> {
    /// Records a transaction that has ended.
    pub fn push(&mut self, txn: Txn) {
        self.local.push(txn);
    }
}

impl<H: History> Drop for Log<'_, H> {
    fn drop(&mut self) {
        let local = std::mem::take(&mut self.local);
        let merged = self.recorder.merged.lock();
        merged.unwrap_or_else(PoisonError::into_inner).absorb(local);
    }
}
