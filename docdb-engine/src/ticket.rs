//! What a submitted commit gives back.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use docdb_types::ErrorKind;

use crate::error::{Error, Result};
use crate::ops::{Committed, Ids};

/// A submitted commit, to be waited for or awaited until its outcome is durable.
///
/// The outcome is decided when the ticket is made; what is left is that nobody may learn of it before
/// everything it rests on is durable. Tickets of one database settle in the order in which they were
/// made, apart from those that asked for more durability than the database's mode, which may settle
/// later; so whoever holds many needs to watch the first one only. Dropping a ticket cancels nothing.
#[derive(Debug)]
#[must_use = "a commit is durable only when its ticket says so"]
pub struct CommitTicket {
    /// The log record that must be durable first.
    rests_on: Option<docdb_wal::CommitTicket>,
    outcome: Option<Result<Committed>>,
}

impl CommitTicket {
    pub(crate) fn new(
        rests_on: Option<docdb_wal::CommitTicket>,
        outcome: Result<Committed>,
    ) -> CommitTicket {
        CommitTicket {
            rests_on,
            outcome: Some(outcome),
        }
    }

    pub(crate) fn failed(error: Error) -> CommitTicket {
        CommitTicket::new(None, Err(error))
    }

    /// Blocks until the outcome is durable.
    ///
    /// # Errors
    /// The commit's own error: nothing was written. `OutcomeUnknown` if the log failed before the
    /// commit was durable: it may or may not be there when the database is opened again. `Poisoned`
    /// if the log failed and nothing was written.
    pub fn wait(mut self) -> Result<Committed> {
        let waited = self
            .rests_on
            .take()
            .map_or(Ok(()), docdb_wal::CommitTicket::wait);
        self.settle(waited)
    }

    /// As [`CommitTicket::wait`], but gives up after `timeout` with `OutcomeUnknown`: the commit
    /// stays submitted. With `Timeout` if it was refused: nothing was written.
    ///
    /// # Errors
    /// As `wait`.
    pub fn wait_timeout(mut self, timeout: Duration) -> Result<Committed> {
        let waited = self
            .rests_on
            .take()
            .map_or(Ok(()), |ticket| ticket.wait_timeout(timeout));
        self.settle(waited)
    }

    /// Whether the outcome can be had without waiting. A failure of the log shows when it is awaited.
    pub fn is_settled(&self) -> bool {
        self.rests_on
            .as_ref()
            .is_none_or(docdb_wal::CommitTicket::is_settled)
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.outcome, Some(Err(_)))
    }

    /// The kind of the error that the commit was refused with.
    pub(crate) fn refused_with(&self) -> Option<ErrorKind> {
        match &self.outcome {
            Some(Err(error)) => Some(error.kind()),
            _ => None,
        }
    }

    /// The answer to the commit of a transaction, whose operations have no positions for the caller.
    pub(crate) fn of_transaction(mut self) -> CommitTicket {
        self.outcome = self.outcome.map(|outcome| match outcome {
            Ok(committed) => Ok(Committed {
                ids: Ids::many(Vec::new()),
                ..committed
            }),
            Err(error) => Err(error.without_op()),
        });
        self
    }

    /// Why nothing was written, if so.
    pub(crate) fn refusal(&self) -> Option<&Error> {
        self.outcome
            .as_ref()
            .and_then(|outcome| outcome.as_ref().err())
    }

    fn settle(&mut self, waited: docdb_wal::Result<()>) -> Result<Committed> {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Internal,
                "a commit's outcome was asked for twice",
            ))
        });
        match (waited, &outcome) {
            (Ok(()), _) => outcome,
            // Nothing was written; only why is not certain.
            (Err(docdb_wal::WalError::TimedOut), Err(refused)) => Err(Error::new(
                ErrorKind::Timeout,
                format!("nothing was written, and the reason is not durable yet: {refused}"),
            )),
            (Err(error), Err(_)) => Err(error.into()),
            (Err(error), Ok(_)) => Err(Error::new(
                ErrorKind::OutcomeUnknown,
                format!(
                    "the commit was submitted, but whether it is durable is not known: {error}"
                ),
            )
            .with_source(error)),
        }
    }
}

impl Future for CommitTicket {
    type Output = Result<Committed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Committed>> {
        let this = self.get_mut();
        let waited = match &mut this.rests_on {
            None => Ok(()),
            Some(ticket) => match Pin::new(ticket).poll(context) {
                Poll::Ready(waited) => waited,
                Poll::Pending => return Poll::Pending,
            },
        };
        this.rests_on = None;
        Poll::Ready(this.settle(waited))
    }
}
