//! Interactive transactions.
//!
//! A transaction reads at one commit number, which is held, and keeps its writes to itself. When it
//! commits, its writes are one commit like any batch, with *terms*: nothing that it wrote, and if it
//! is serializable nothing that it read, was committed by others since it began. The terms are judged
//! where every commit is, under the sequencer (`validate`).

mod options;
mod range_set;
mod read_set;
mod reads;
mod retry;
mod scan;
mod shared;
pub(crate) mod terms;
pub(crate) mod validate;
mod write_set;
mod writes;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use docdb_mvcc::HoldLimit;
use docdb_types::ErrorKind;

use crate::db::{Db, Inner};
use crate::error::{Error, Result};
use crate::snapshot::View;

pub use options::{Isolation, TRANSACTION_TIMEOUT_DEFAULT, TRANSACTION_TIMEOUT_MAX, TxnOptions};
pub use scan::TxnScan;
pub(crate) use shared::Transactions;

use read_set::ReadSet;
use write_set::WriteSet;

/// An open transaction. Dropped without a commit, it is rolled back: nothing of it was written.
///
/// It reads one state of the database, with its own writes over it. A document that it wrote itself
/// has the version 0 until it commits. An operation that is refused changes nothing, and the
/// transaction goes on. After its deadline every call answers `TransactionExpired`.
pub struct Txn {
    view: Arc<View>,
    options: TxnOptions,
    deadline: Duration,
    writes: WriteSet,
    /// If it is serializable.
    reads: Option<ReadSet>,
    /// What of the database's memory budget it has taken, in bytes.
    charged_bytes: u64,
    /// What of that the read set has yet to fill.
    read_room_bytes: u64,
    end: Option<End>,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Committed,
    RolledBack,
    Conflicted,
    Expired,
}

impl Db {
    /// Begins a transaction at what is visible now: whatever was acknowledged before the call.
    ///
    /// # Errors
    /// `InvalidArgument` for a timeout above the most; `Busy` if `transactions_max` are open; `Closed`.
    pub fn begin(&self, options: &TxnOptions) -> Result<Txn> {
        options.check()?;
        let now = self.inner.vfs.now();
        self.begin_until(options, now, now + options.timeout)
    }

    fn begin_until(&self, options: &TxnOptions, now: Duration, deadline: Duration) -> Result<Txn> {
        let view = View::open(self, HoldLimit::Deadline(deadline), now)?.ok_or_else(|| {
            let most = self.inner.options.transactions_max;
            Error::new(
                ErrorKind::Busy,
                format!("{most} transactions are open; try again later, or raise transactions_max"),
            )
        })?;
        let db_options = &self.inner.options;
        let reads = (options.isolation == Isolation::Serializable).then(|| {
            ReadSet::new(
                db_options.transaction_read_points_max,
                db_options.transaction_read_ranges_max,
            )
        });
        Ok(Txn {
            view: Arc::new(view),
            options: options.clone(),
            deadline,
            writes: WriteSet::default(),
            reads,
            charged_bytes: 0,
            read_room_bytes: 0,
            end: None,
        })
    }
}

impl Txn {
    /// The version that is read at: what was committed at or below it is seen.
    pub fn version(&self) -> u64 {
        self.view.ts().0
    }

    /// What the transaction is kept apart from.
    pub fn isolation(&self) -> Isolation {
        self.options.isolation
    }

    /// Documents that it has written so far; one that it created and deleted counts, too.
    pub fn writes(&self) -> usize {
        self.writes.len()
    }

    /// When it expires, by the clock of the file system seam.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Ends the transaction without writing anything.
    pub fn rollback(mut self) {
        self.finish(End::RolledBack);
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.view.db.inner
    }

    /// Keeps what the transaction sees for the time of a call.
    fn pin(&mut self) -> Result<docdb_mvcc::Snapshot> {
        let inner = self.inner();
        inner.check_open()?;
        let now = inner.vfs.now();
        if self.end.is_none() && now < self.deadline {
            match self.view.pin_at(now) {
                Err(error) if error.kind() == ErrorKind::SnapshotTooOld => {}
                pinned => return pinned,
            }
        }
        self.finish(End::Expired);
        Err(expired())
    }

    fn finish(&mut self, end: End) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(end);
        self.discharge();
        self.view.release();
        self.writes = WriteSet::default();
        self.reads = None;
        let counters = &self.inner().transactions.counters;
        let counter = match end {
            End::Committed => &counters.committed,
            End::RolledBack => &counters.rolled_back,
            End::Conflicted => &counters.conflicted,
            End::Expired => &counters.expired,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes memory for the write set or the read set.
    fn charge(&mut self, bytes: u64) {
        self.charged_bytes += bytes;
        let all = &self.inner().transactions.bytes;
        all.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&mut self, bytes: u64) {
        self.charged_bytes -= bytes;
        let all = &self.inner().transactions.bytes;
        all.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn discharge(&mut self) {
        self.give_back(self.charged_bytes);
    }
}

impl Drop for Txn {
    fn drop(&mut self) {
        if self.end.is_some() {
            return;
        }
        let is_over = self.inner().vfs.now() >= self.deadline;
        self.finish(if is_over {
            End::Expired
        } else {
            End::RolledBack
        });
    }
}

impl fmt::Debug for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Txn")
            .field("version", &self.version())
            .field("isolation", &self.isolation())
            .field("writes", &self.writes.len())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

fn expired() -> Error {
    Error::new(
        ErrorKind::TransactionExpired,
        "the transaction's deadline has passed; nothing was written, begin a new one",
    )
}
