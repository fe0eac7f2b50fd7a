//! The log as its users see it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use docdb_vfs::Vfs;

use crate::driver::FlushDriver;
use crate::durability::{Durability, Reach};
use crate::error::{Result, WalError};
use crate::group::{Body, Record};
use crate::log::Log;
use crate::log_reader::{self, LogReader};
use crate::lsn::Lsn;
use crate::options::WalOptions;
use crate::pack::{self, PackedRecord};
use crate::recovery;
use crate::stats::{FlushStats, WalStats};
use crate::sync::atomic::Ordering;
use crate::ticket::CommitTicket;
use crate::waiters::Goal;

/// A write-ahead log. Handles are cheap to clone and shared between threads.
#[derive(Clone)]
pub struct Wal {
    log: Arc<Log>,
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("dir", &self.log.home.dir)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.home.dir)
            .finish_non_exhaustive()
    }
}

impl Wal {
    pub(crate) fn from_log(log: Arc<Log>) -> Wal {
        Wal { log }
    }

    /// Creates a log in `dir`, an existing directory without one. When this returns, the empty log
    /// is durable.
    ///
    /// # Errors
    /// [`WalError::AlreadyExists`] if the directory holds segments; [`WalError::Io`].
    pub fn create(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: WalOptions,
        driver: Arc<dyn FlushDriver>,
    ) -> Result<Wal> {
        recovery::create(vfs, dir, options, driver)
    }

    /// The log's identity: random, given at its creation.
    pub fn id(&self) -> u128 {
        self.log.wal_id
    }

    /// Appends a record whose payload is `payload`.
    ///
    /// # Errors
    /// As [`Wal::append_record`].
    pub fn append(&self, kind: u16, payload: &[u8]) -> Result<CommitTicket> {
        self.append_record(&Record::new(kind, payload))
    }

    /// As [`Wal::append`], and the ticket waits for what `durability` asks for, if that is more than
    /// the log's own mode does.
    ///
    /// # Errors
    /// As [`Wal::append_record`].
    pub fn append_as(
        &self,
        kind: u16,
        payload: &[u8],
        durability: Durability,
    ) -> Result<CommitTicket> {
        self.append_record_as(&Record::new(kind, payload), durability)
    }

    /// Appends a record. It is in the log's order when this returns, and durable when the ticket
    /// says so. May block while a flush is behind (8 MiB of records wait) or while a segment is
    /// created because none could be prepared in time.
    ///
    /// # Errors
    /// Nothing is appended if this fails: [`WalError::TooLarge`]; [`WalError::Io`] if no space for
    /// a segment could be had, which may be tried again; [`WalError::Poisoned`];
    /// [`WalError::Closed`].
    pub fn append_record(&self, record: &Record<'_>) -> Result<CommitTicket> {
        self.append_record_as(record, self.log.options.durability)
    }

    /// As [`Wal::append_record`], and the ticket waits for what `durability` asks for, if that is more
    /// than the log's own mode does. The sync that this takes covers everything before the record.
    ///
    /// # Errors
    /// As [`Wal::append_record`].
    pub fn append_record_as(
        &self,
        record: &Record<'_>,
        durability: Durability,
    ) -> Result<CommitTicket> {
        // Before any lock is taken: it takes the longer the larger the record is.
        let record = PackedRecord::new(record, self.log.options.compression);
        let goal = self.log.append(record, durability)?;
        Ok(CommitTicket::new(Arc::clone(&self.log), goal))
    }

    /// Does ahead of an append what it would do to the body of its record, which is to compress it if
    /// the [options](WalOptions::compression) say so and if it is worth it: for callers who append
    /// under a lock of their own. The record's `payload_crc` is that of the payload with the body as
    /// it was given here.
    pub fn pack<'a>(&self, body: Body<'a>) -> Body<'a> {
        Body::Packed(pack::pack(body, self.log.options.compression))
    }

    /// The number that the next record gets. Stable only while nobody else appends.
    pub fn next_lsn(&self) -> Lsn {
        Lsn(self.log.state.lock().next_lsn)
    }

    /// The number of the last record appended.
    pub fn appended_lsn(&self) -> Lsn {
        Lsn(self.log.reached(Reach::Appended))
    }

    /// The number up to which every record is durable.
    pub fn durable_lsn(&self) -> Lsn {
        Lsn(self.log.reached(Reach::Durable))
    }

    /// The number up to which every record is acknowledged, as far as the log's mode asks for.
    pub fn acknowledged_lsn(&self) -> Lsn {
        Lsn(self.log.reached(self.log.options.durability.reach()))
    }

    /// The error that ended the log's writing, if one did.
    pub fn poisoned(&self) -> Option<WalError> {
        self.log.poison_error()
    }

    /// Blocks until everything appended so far is durable.
    ///
    /// # Errors
    /// [`WalError::Poisoned`].
    pub fn sync(&self) -> Result<()> {
        self.wait_durable(self.appended_lsn())
    }

    /// Blocks until the record `lsn` is durable. It must have been appended.
    ///
    /// # Errors
    /// [`WalError::Poisoned`].
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        let lsn = lsn.0.min(self.appended_lsn().0);
        self.log.wait(
            Goal {
                lsn,
                reach: Reach::Durable,
            },
            None,
        )
    }

    /// A ticket for the record `lsn`, which must have been appended: for whoever depends on it
    /// without having appended it.
    pub fn watch(&self, lsn: Lsn) -> CommitTicket {
        let lsn = lsn.0.min(self.appended_lsn().0);
        let reach = self.log.options.durability.reach();
        CommitTicket::new(Arc::clone(&self.log), Goal { lsn, reach })
    }

    /// Writes and syncs what is wanted written and synced, unless another thread is about to. Returns
    /// whether something was flushed.
    ///
    /// # Errors
    /// [`WalError::Poisoned`].
    pub fn flush_step(&self) -> Result<bool> {
        self.log.flush_step()
    }

    /// Whether records wait that nobody is about to flush.
    pub fn needs_flush(&self) -> bool {
        self.log.needs_flush(&self.log.state.lock())
    }

    /// Prepares a part of the next segment (at most 256 KiB), if one is wanted. Returns whether there
    /// is more to do.
    ///
    /// # Errors
    /// [`WalError::Io`]: nothing is lost; a later call starts over.
    pub fn prepare_step(&self) -> Result<bool> {
        self.log.prepare_step()
    }

    /// Does what is due by the clock of the file system seam: the writes and syncs of the timed modes,
    /// and, once in each idle period, a marker which proves that everything before it was durable.
    /// Returns the time at which there is something to do again; `None` if that begins with an append,
    /// for which the driver is asked.
    ///
    /// # Errors
    /// [`WalError::Poisoned`].
    pub fn timed_step(&self) -> Result<Option<Duration>> {
        self.log.timed_step()
    }

    /// Runs [`Wal::flush_step`] and [`Wal::prepare_step`] until there is no more to do. An error ends it; whoever waits for a commit is
    /// told of it there.
    pub fn run_steps(&self) {
        loop {
            match self.flush_step() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(_) => return,
            }
            match self.prepare_step() {
                Ok(true) => {}
                Ok(false) if self.needs_flush() => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Runs `use_it` with `bytes` more space on the disk, 16 KiB at most: a log sets space aside for its
    /// next recovery, and lends of it. For a caller on a full disk who replaces a small file of its own
    /// by another, which gives back as much as it takes.
    ///
    /// # Errors
    /// [`WalError::Io`](crate::WalError::Io): `use_it` may or may not have run.
    pub fn lend_space<T>(&self, bytes: u64, use_it: impl FnOnce() -> T) -> Result<T> {
        let bytes = bytes.min(crate::segment::SEGMENT_BYTES_LEAST);
        self.log.lend_space(bytes, use_it)
    }

    /// Removes segments in which every record is below `lsn`, oldest first, except for the
    /// [`keep_segments`](WalOptions::keep_segments) newest of them. Some of their files are kept for
    /// the next segments, see [`recycle_segments`](WalOptions::recycle_segments). Returns how many
    /// segments were removed.
    ///
    /// # Errors
    /// [`WalError::Io`]: what could not be removed is tried again next time, unless the sync of the
    /// directory failed, which poisons the log. [`WalError::Poisoned`]: nothing is removed.
    pub fn retire_below(&self, lsn: Lsn) -> Result<usize> {
        self.log.retire_below(lsn)
    }

    /// How many bytes can still be written before the log's files pass their
    /// [budget](WalOptions::bytes_max), with those that can give way given up; 0 when they have.
    /// Without a budget there is no end to it. Cheap: no lock is taken.
    pub fn room_bytes(&self) -> u64 {
        self.log.room_bytes()
    }

    /// The bytes of segments that are full and hold records which were not given up with
    /// [`Wal::retire_below`]: what that would gain if everything were. Cheap: no lock is taken.
    pub fn sealed_bytes(&self) -> u64 {
        self.log.sealed_bytes.load(Ordering::Relaxed)
    }

    /// Reads the records from `lsn` on, beside those who write. See [`LogReader`].
    ///
    /// # Errors
    /// [`WalError::NotRetained`] if the record has been retired; [`WalError::Corrupt`];
    /// [`WalError::Io`].
    pub fn read_from(&self, lsn: Lsn) -> Result<LogReader> {
        LogReader::new(Arc::clone(&self.log), lsn)
    }

    /// The number from which on the log can be [read](Wal::read_from).
    ///
    /// # Errors
    /// [`WalError::Corrupt`]; [`WalError::Io`].
    pub fn oldest_lsn(&self) -> Result<Lsn> {
        Ok(Lsn(log_reader::oldest_lsn(&self.log)?))
    }

    /// What has been flushed since the log was opened. Cheap: no lock is taken.
    pub fn flush_stats(&self) -> FlushStats {
        self.log.counters.read()
    }

    /// Figures of the log.
    pub fn stats(&self) -> WalStats {
        let log = &self.log;
        let (mut segments, mut segment_bytes) = {
            let segments = log.segments.lock();
            (
                segments.len() as u64,
                segments.iter().map(|s| s.capacity_bytes).sum(),
            )
        };
        let (reserved_bytes, (recycled_segments, recycled_bytes)) = {
            let preparer = log.preparer.lock();
            if let Some(spare) = preparer.ready_segment() {
                segments += 1;
                segment_bytes += spare.capacity_bytes;
            }
            (preparer.reserved_bytes(), preparer.retired())
        };
        let file_bytes = log.file_bytes();
        let poisoned = log.state.lock().poisoned.is_some();
        WalStats {
            flush: log.counters.read(),
            segments,
            segment_bytes,
            recycled_segments,
            recycled_bytes,
            reserved_bytes,
            file_bytes,
            appended_lsn: log.reached(Reach::Appended),
            durable_lsn: log.reached(Reach::Durable),
            poisoned,
        }
    }

    /// Makes everything durable, writes the marker of a clean end and accepts nothing more. A log
    /// that was closed opens without any repair.
    ///
    /// # Errors
    /// [`WalError::Poisoned`], or the error of the marker's write.
    pub fn close(&self) -> Result<()> {
        self.log.close()
    }

    pub(crate) fn now(&self) -> Duration {
        self.log.home.vfs.now()
    }

    pub(crate) fn is_same(&self, other: &Wal) -> bool {
        Arc::ptr_eq(&self.log, &other.log)
    }
}
