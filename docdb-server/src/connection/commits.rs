//! Commits of a connection that have not settled yet.
//!
//! Commits of one database settle in the order of their submission, so only the first of each
//! database is waited for; when it settles, all that settled with it are answered together.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use docdb_engine::{CommitTicket, Committed, Error};
use docdb_ipc::{OpResult, RequestId, Response};
use docdb_pool::DbHandle;

use super::Answers;
use crate::convert;
use crate::execute::Commits;

/// Emptied queues that are kept for the next database.
const SPARE_QUEUES_MAX: usize = 4;
/// Entries that such a queue may have room for.
const SPARE_QUEUE_ENTRIES_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct CommitQueues {
    /// One for each database with commits in flight: few, so they are searched one by one.
    queues: Vec<Queue>,
    spare: Vec<VecDeque<Entry>>,
    requests: usize,
    ops: usize,
}

struct Queue {
    /// Keeps the database in use until its commits are answered.
    db: DbHandle,
    entries: VecDeque<Entry>,
    /// Results of the independent batch at the front.
    results: Vec<OpResult>,
}

struct Entry {
    id: RequestId,
    commit: Commit,
    answer: Answer,
}

enum Commit {
    Ticket(CommitTicket),
    /// It was not even submitted.
    Failed(Error),
}

enum Answer {
    Written,
    Ok,
    Committed,
    Atomic {
        ops: usize,
    },
    /// One of an independent batch; the last one answers it.
    Independent {
        last: bool,
    },
}

impl CommitQueues {
    /// Requests that wait.
    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    /// Commits that wait.
    pub(super) fn ops(&self) -> usize {
        self.ops
    }

    pub(super) fn push(&mut self, id: RequestId, db: DbHandle, commits: Commits) {
        self.requests += 1;
        let at = match self.queues.iter().position(|queue| queue.db.is_same(&db)) {
            Some(at) => at,
            None => {
                let entries = self.spare.pop().unwrap_or_default();
                self.queues.push(Queue {
                    db,
                    entries,
                    results: Vec::new(),
                });
                self.queues.len() - 1
            }
        };
        let entries = &mut self.queues[at].entries;
        let mut push = |commit, answer| {
            self.ops += 1;
            entries.push_back(Entry { id, commit, answer });
        };
        match commits {
            Commits::Write(ticket) => push(Commit::Ticket(ticket), Answer::Written),
            Commits::Transaction(ticket) => push(Commit::Ticket(ticket), Answer::Committed),
            Commits::Collection(ticket) => push(Commit::Ticket(ticket), Answer::Ok),
            Commits::Atomic(ticket, ops) => push(Commit::Ticket(ticket), Answer::Atomic { ops }),
            Commits::Independent(tickets) => {
                let count = tickets.len();
                for (at, ticket) in tickets.into_iter().enumerate() {
                    let commit = ticket.map_or_else(Commit::Failed, Commit::Ticket);
                    push(
                        commit,
                        Answer::Independent {
                            last: at + 1 == count,
                        },
                    );
                }
            }
        }
    }

    /// Answers what has settled and waits for the first of each database that has not.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, answers: &mut Answers<'_>) -> bool {
        let mut progress = false;
        let mut at = 0;
        while at < self.queues.len() {
            let queue = &mut self.queues[at];
            while let Some(front) = queue.entries.front_mut() {
                let Poll::Ready(result) = front.commit.poll(cx) else {
                    break;
                };
                progress = true;
                self.ops -= 1;
                let Some(entry) = queue.entries.pop_front() else {
                    break;
                };
                if let Some(response) = entry.answer.response(result, &mut queue.results) {
                    self.requests -= 1;
                    answers.respond(entry.id, &response);
                }
            }
            if queue.entries.is_empty() {
                let entries = self.queues.swap_remove(at).entries;
                if self.spare.len() < SPARE_QUEUES_MAX
                    && entries.capacity() <= SPARE_QUEUE_ENTRIES_MAX
                {
                    self.spare.push(entries);
                }
            } else {
                at += 1;
            }
        }
        progress
    }
}

impl Commit {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Committed, Error>> {
        match self {
            Commit::Ticket(ticket) => Pin::new(ticket).poll(cx),
            Commit::Failed(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

impl Answer {
    /// The answer to the request, unless more of its commits follow.
    fn response(
        self,
        result: Result<Committed, Error>,
        results: &mut Vec<OpResult>,
    ) -> Option<Response> {
        match self {
            Answer::Written => Some(convert::written(result)),
            Answer::Committed => Some(convert::committed(result)),
            Answer::Ok => Some(match result {
                Ok(_) => Response::Ok,
                Err(error) => convert::failed(&error),
            }),
            Answer::Atomic { ops } => Some(convert::atomic_batch(result, ops)),
            Answer::Independent { last } => {
                results.push(convert::op_result(result));
                last.then(|| Response::BatchDone {
                    results: std::mem::take(results),
                })
            }
        }
    }
}
