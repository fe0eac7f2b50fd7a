//! Requests about transactions and snapshots. Those of one transaction run one after the other, in
//! the order in which they came; nothing else waits for them.

use docdb_ipc::{RequestId, Response, ViewRequest, WireError};
use docdb_types::ErrorKind;

use super::views::Turn;
use super::{Connection, Done};
use crate::convert;
use crate::execute::{self, Outcome};
use crate::limits::JOBS_MAX;
use crate::view::{OpenSnapshot, OpenTransaction, OpenView};

impl Connection {
    /// A request that opens a view. False: it was answered, and is not to be run.
    pub(super) fn opens_view(&mut self, id: RequestId, request: &ViewRequest) -> bool {
        let limits = &self.state.limits;
        let (is_transaction, most) = match request {
            ViewRequest::OpenSnapshot { .. } => (false, limits.snapshots_max),
            _ => (true, limits.transactions_max),
        };
        match self.views.open(id, is_transaction, most) {
            Ok(()) => true,
            Err(error) => {
                self.refuse_request(id, error);
                false
            }
        }
    }

    /// A request about a view that was opened before.
    pub(super) fn in_view(&mut self, view: RequestId, id: RequestId, request: ViewRequest) {
        if let ViewRequest::Scan { scan, .. } = &request
            && let Err(error) = self.begin_scan(id, scan.credit_bytes)
        {
            return self.refuse_request(id, error);
        }
        if let Err(error) = self.views.push(view, id, request) {
            self.outcome(id, Outcome::Response(Response::Error(error)));
        }
    }

    /// Gives up what waits, or what was opened.
    pub(super) fn cancel(&mut self, id: RequestId) {
        let cancelled = |what| {
            let error = WireError::new(ErrorKind::Cancelled, what);
            Response::Error(error)
        };
        if self.backups.give_up(id) {
            // Answered when it has ended.
        } else if self.views.unqueue(id) {
            self.scans.failed(id);
            self.answers()
                .respond(id, &cancelled("the request was cancelled before its turn"));
        } else if self.scans.end(id) {
            self.answers()
                .respond(id, &cancelled("the scan was cancelled"));
        } else {
            self.views.give_up(id);
        }
    }

    pub(super) fn opened(&mut self, id: RequestId, open: OpenView) {
        let version = open.version();
        let response = if self.views.opened(id, open) {
            Response::Opened { version }
        } else {
            let message = "it was cancelled before it was open";
            Response::Error(WireError::new(ErrorKind::Cancelled, message))
        };
        self.answers().respond(id, &response);
    }

    /// Runs what has its turn, as long as worker threads are free. Comes after the steps of scans.
    pub(super) fn pump_views(&mut self) -> bool {
        let mut progress = false;
        while self.jobs < JOBS_MAX && self.answers().have_room() {
            let Some(turn) = self.views.next_turn() else {
                break;
            };
            progress = true;
            let Turn {
                view,
                id,
                request,
                open,
            } = turn;
            match open {
                OpenView::Transaction(open) => self.transaction_turn(view, id, request, open),
                OpenView::Snapshot(open) => self.snapshot_turn(view, id, request, open),
            }
        }
        for (id, answer) in self.views.take_answers() {
            progress = true;
            self.outcome(id, Outcome::Response(answer));
        }
        progress
    }

    fn transaction_turn(
        &mut self,
        view: RequestId,
        id: RequestId,
        request: ViewRequest,
        mut open: Box<OpenTransaction>,
    ) {
        let state = self.state.clone();
        match request {
            ViewRequest::Rollback { .. } => {
                drop(open);
                self.views.end(view);
                self.answers().respond(id, &Response::Ok);
            }
            ViewRequest::Commit { durability, .. } => {
                self.views.end(view);
                if !open.is_small() {
                    return self.job(id, move |_| open.commit(durability.as_deref()));
                }
                let outcome = execute::contained(&state, || open.commit(durability.as_deref()));
                self.outcome(id, outcome.unwrap_or_else(|error| failed(&error)));
            }
            request => {
                // A panic takes the transaction with it.
                let tried = execute::contained(&state, move || {
                    let outcome = open.run(view, &request, false);
                    (open, request, outcome)
                });
                match tried {
                    Ok((open, _, Some(outcome))) => {
                        self.views.back(view, Some(open));
                        self.outcome(id, outcome);
                    }
                    Ok((open, request, None)) => self.job_in(view, open, id, move |open| {
                        open.run(view, &request, true)
                            .unwrap_or_else(execute::not_run)
                    }),
                    Err(error) => {
                        self.views.back(view, None);
                        self.outcome(id, failed(&error));
                    }
                }
            }
        }
    }

    fn snapshot_turn(
        &mut self,
        view: RequestId,
        id: RequestId,
        request: ViewRequest,
        mut open: OpenSnapshot,
    ) {
        if let ViewRequest::CloseSnapshot { .. } = request {
            drop(open);
            self.views.end(view);
            return self.answers().respond(id, &Response::Ok);
        }
        let state = self.state.clone();
        let tried = execute::contained(&state, move || {
            let outcome = open.run(view, &request, false);
            (open, request, outcome)
        });
        match tried {
            Ok((_, _, Some(outcome))) => self.outcome(id, outcome),
            Ok((mut open, request, None)) => self.job(id, move |_| {
                open.run(view, &request, true)
                    .unwrap_or_else(execute::not_run)
            }),
            Err(error) => self.outcome(id, failed(&error)),
        }
    }

    /// Runs `work` in a transaction on a worker thread; both come back by `poll_done`.
    pub(super) fn job_in(
        &mut self,
        view: RequestId,
        mut open: Box<OpenTransaction>,
        id: RequestId,
        work: impl FnOnce(&mut OpenTransaction) -> Outcome + Send + 'static,
    ) {
        self.jobs += 1;
        let state = self.state.clone();
        let done = self.done_sender.clone();
        tokio::task::spawn_blocking(move || {
            let worked = execute::contained(&state, move || {
                let outcome = work(&mut open);
                (outcome, open)
            });
            let (outcome, open) = match worked {
                Ok((outcome, open)) => (outcome, Some(open)),
                Err(error) => (Outcome::Response(convert::failed(&error)), None),
            };
            // The connection may have ended; then nobody waits for the answer.
            let _ = done.send(Done {
                id,
                outcome,
                back: Some((view, open)),
            });
        });
    }

    /// Answers a request that is not begun. A breach of the protocol ends the connection.
    pub(super) fn refuse_request(&mut self, id: RequestId, error: WireError) {
        let ends_the_connection = error.kind() == ErrorKind::Protocol;
        self.answers().respond(id, &Response::Error(error));
        if ends_the_connection {
            self.fail();
        }
    }

    /// What the client is told when the server stops with its transactions open.
    pub(super) fn farewell(&mut self) -> Option<WireError> {
        if !self.stopping {
            return None;
        }
        match self.views.take_rolled_back() {
            0 => None,
            count => {
                let message = format!(
                    "the server is stopping; transactions open on this connection were rolled back: \
                     {count}"
                );
                Some(WireError::new(ErrorKind::Closed, message))
            }
        }
    }
}

fn failed(error: &docdb_engine::Error) -> Outcome {
    Outcome::Response(convert::failed(error))
}
