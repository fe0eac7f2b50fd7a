//! What an append gives back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::Result;
use crate::log::Log;
use crate::lsn::Lsn;

/// A submitted record, to be waited for or awaited until it is durable.
///
/// The record is flushed whatever becomes of the ticket: dropping it cancels nothing.
#[derive(Debug)]
#[must_use = "a record is durable only when its ticket says so"]
pub struct CommitTicket {
    log: Arc<Log>,
    lsn: u64,
    /// The registration of this ticket's task with the log.
    waiter: Option<u64>,
    /// Whether dropping the ticket must see to it that somebody flushes.
    pending: bool,
}

impl CommitTicket {
    pub(crate) fn new(log: Arc<Log>, lsn: u64) -> CommitTicket {
        CommitTicket {
            log,
            lsn,
            waiter: None,
            pending: true,
        }
    }

    /// The record's number.
    pub fn lsn(&self) -> Lsn {
        Lsn(self.lsn)
    }

    /// Whether the record is durable.
    pub fn is_durable(&self) -> bool {
        self.log.is_durable(self.lsn)
    }

    /// Blocks until the record is durable. The thread flushes by itself if nobody else does.
    ///
    /// # Errors
    /// [`WalError::Poisoned`](crate::WalError::Poisoned) if a write or sync failed: the record may
    /// or may not be found when the log is opened again.
    pub fn wait(mut self) -> Result<()> {
        self.pending = false;
        self.log.wait(self.lsn, None)
    }

    /// As [`CommitTicket::wait`], but gives up after `timeout`.
    ///
    /// # Errors
    /// As `wait`, and [`WalError::TimedOut`](crate::WalError::TimedOut): the record stays
    /// submitted.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        self.log.wait(self.lsn, Some(timeout))
    }
}

impl Future for CommitTicket {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        match this.log.poll(this.lsn, &mut this.waiter, context.waker()) {
            Some(outcome) => {
                this.pending = false;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for CommitTicket {
    fn drop(&mut self) {
        if self.pending {
            self.log.forget(self.lsn, self.waiter);
        }
    }
}
