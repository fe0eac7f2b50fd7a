//! What an append gives back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::durability::Reach;
use crate::error::Result;
use crate::log::Log;
use crate::lsn::Lsn;
use crate::waiters::Goal;

/// A submitted record, to be waited for or awaited until it is acknowledged: durable, or as far as the
/// log's mode asks for.
///
/// The record is flushed whatever becomes of the ticket: dropping it cancels nothing.
#[derive(Debug)]
#[must_use = "a record is durable only when its ticket says so"]
pub struct CommitTicket {
    log: Arc<Log>,
    goal: Goal,
    /// The registration of this ticket's task with the log.
    waiter: Option<u64>,
    /// Whether dropping the ticket must see to it that somebody flushes.
    pending: bool,
}

impl CommitTicket {
    pub(crate) fn new(log: Arc<Log>, goal: Goal) -> CommitTicket {
        CommitTicket {
            log,
            goal,
            waiter: None,
            pending: true,
        }
    }

    /// The record's number.
    pub fn lsn(&self) -> Lsn {
        Lsn(self.goal.lsn)
    }

    /// Whether the record is durable.
    pub fn is_durable(&self) -> bool {
        self.log.is_reached(Goal {
            reach: Reach::Durable,
            ..self.goal
        })
    }

    /// Whether the record is acknowledged.
    pub fn is_settled(&self) -> bool {
        self.log.is_reached(self.goal)
    }

    /// Blocks until the record is acknowledged. The thread flushes by itself if nobody else does.
    ///
    /// # Errors
    /// [`WalError::Poisoned`](crate::WalError::Poisoned) if a write or sync failed: the record may
    /// or may not be found when the log is opened again.
    pub fn wait(mut self) -> Result<()> {
        self.pending = false;
        self.log.wait(self.goal, None)
    }

    /// As [`CommitTicket::wait`], but gives up after `timeout`.
    ///
    /// # Errors
    /// As `wait`, and [`WalError::TimedOut`](crate::WalError::TimedOut): the record stays
    /// submitted.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        self.log.wait(self.goal, Some(timeout))
    }
}

impl Future for CommitTicket {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        match this.log.poll(this.goal, &mut this.waiter, context.waker()) {
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
            self.log.forget(self.goal, self.waiter);
        }
    }
}
