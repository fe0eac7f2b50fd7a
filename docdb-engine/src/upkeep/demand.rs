//! Compaction on demand.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Step, Victims};
use crate::db::{Db, Inner};
use crate::error::Result;

/// What [`Db::compact`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionReport {
    /// Data files that are gone.
    pub files: u64,
    /// Bytes of all data files before, once the checkpoint was taken.
    pub bytes_before: u64,
    /// Bytes of all data files after it. Files that only snapshots keep are in neither.
    pub bytes_after: u64,
    /// Documents that were copied.
    pub documents_moved: u64,
    /// How long it took.
    pub time: Duration,
}

impl Db {
    /// Takes a checkpoint and compacts every data file of which that gives back one byte in 64 or
    /// more, as fast as it goes. Readers, writers and checkpoints go on meanwhile.
    ///
    /// # Errors
    /// Those of [`Db::checkpoint`]; `Corrupt` naming a data file that holds something that does not
    /// verify, which is kept: the files before it are compacted, and calling again goes on behind it.
    pub fn compact(&self) -> Result<CompactionReport> {
        self.inner.compact()
    }
}

impl Inner {
    fn compact(&self) -> Result<CompactionReport> {
        let started = self.vfs.now();
        self.checkpoint()?;
        let (mut victims, bytes_before) = self.data_files();
        let counters = &self.counters;
        let count = || {
            let files = counters.compactions.load(Ordering::Relaxed);
            (files, counters.documents_moved.load(Ordering::Relaxed))
        };
        let before = count();
        loop {
            // Not held between steps, so that a close need not wait for all of it.
            let mut work = self.upkeep.work.lock();
            let step = self.advance(&mut work, Victims::These(&mut victims))?;
            if step == Step::Idle {
                break;
            }
        }
        let (_, bytes_after) = self.data_files();
        let after = count();
        Ok(CompactionReport {
            files: after.0 - before.0,
            bytes_before,
            bytes_after,
            documents_moved: after.1 - before.1,
            time: self.vfs.now().saturating_sub(started),
        })
    }

    fn data_files(&self) -> (BTreeSet<u32>, u64) {
        let state = self.checkpointer.lock();
        let files = &state.manifest.data_files;
        let numbers = files.iter().map(|entry| entry.number).collect();
        (numbers, files.iter().map(|e| e.durable_bytes).sum())
    }
}
