//! A backup's pace: how fast it may go, how far it has come, and whether it is to go on.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use docdb_types::ErrorKind;
use docdb_vfs::{OpenMode, Vfs};

use super::Progress;
use crate::error::{Error, Result};

/// Longest sleep between two questions whether to go on.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// Who is told how far it has come, and says whether it goes on.
pub type Listener<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

/// Something that no description names yet.
pub(super) enum Made {
    File(PathBuf),
    /// It had so many bytes that count.
    Grown(PathBuf, u64),
}

impl Made {
    /// As far as it goes: what is left, the next backup removes.
    pub(super) fn undo(&self, vfs: &dyn Vfs) {
        let _ = match self {
            Made::File(path) => vfs.remove_file(path),
            Made::Grown(path, bytes) => vfs
                .open(path, OpenMode::ReadWrite)
                .and_then(|file| file.set_len(*bytes)),
        };
    }
}

pub(super) struct Work<'a> {
    pub(super) vfs: Arc<dyn Vfs>,
    /// 0: as fast as it can.
    bytes_per_second: u64,
    /// Bytes that count for the rate.
    paced_bytes: u64,
    started: Duration,
    pub(super) progress: Progress,
    /// What was made in the backup's directory, to be undone if it comes to nothing.
    pub(super) made: Vec<Made>,
    /// Whether it was the backup's directory that failed, not a database.
    pub(super) place_failed: bool,
    listener: Listener<'a>,
}

impl<'a> Work<'a> {
    pub(super) fn new(vfs: Arc<dyn Vfs>, bytes_per_second: u64, listener: Listener<'a>) -> Self {
        Work {
            bytes_per_second,
            paced_bytes: 0,
            started: vfs.now(),
            progress: Progress::default(),
            made: Vec::new(),
            place_failed: false,
            listener,
            vfs,
        }
    }

    /// What came of changing something in the backup's directory.
    pub(super) fn in_place<T>(&mut self, result: docdb_vfs::Result<T>) -> Result<T> {
        self.place_failed |= result.is_err();
        Ok(result?)
    }

    /// Announces work of so many bytes.
    pub(super) fn plan(&mut self, bytes: u64) {
        self.progress.bytes_total += bytes;
    }

    /// Counts what was done, keeps to the rate, and asks whether to go on.
    pub(super) fn done(&mut self, bytes: u64) -> Result<()> {
        self.progress.bytes_done += bytes;
        self.pace(bytes)
    }

    /// As [`Work::done`], for what was not announced.
    pub(super) fn pace(&mut self, bytes: u64) -> Result<()> {
        self.paced_bytes += bytes;
        self.ask()?;
        if self.bytes_per_second == 0 {
            return Ok(());
        }
        let seconds = self.paced_bytes as f64 / self.bytes_per_second as f64;
        let due = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let due = self.started.saturating_add(due);
        loop {
            let left = due.saturating_sub(self.vfs.now());
            if left.is_zero() {
                return Ok(());
            }
            self.vfs.sleep(left.min(SLEEP_MAX));
            self.ask()?;
        }
    }

    /// # Errors
    /// `Cancelled`.
    fn ask(&mut self) -> Result<()> {
        match (self.listener)(&self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                let message = "the backup was cancelled; the one before it is as it was";
                Err(Error::new(ErrorKind::Cancelled, message))
            }
        }
    }
}
