//! The transactions and snapshots of a connection, and what waits for its turn in them.

mod expiry;
mod queue;

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use docdb_ipc::{RequestId, Response, ViewRequest, WireError};
use docdb_types::ErrorKind;
use tokio::time::{Instant, Sleep};

use self::expiry::expired;
pub(super) use self::queue::Turn;
use crate::limits::QUEUED_BYTES_MAX;
use crate::view::{OpenSnapshot, OpenTransaction, OpenView};

pub(super) struct Views {
    views: HashMap<RequestId, View>,
    /// Open or on their way.
    transactions: usize,
    snapshots: usize,
    /// Requests that wait for their turn, and the bytes of their documents.
    queued: usize,
    queued_bytes: usize,
    /// Those that may have something to do; some may be named twice, or be gone.
    ready: VecDeque<RequestId>,
    /// Those of which nothing is kept but that they expired, the oldest first.
    expired: VecDeque<RequestId>,
    /// Answers to requests that waited for a view that is gone.
    answered: Vec<(RequestId, Response)>,
    /// Set to the earliest end of a view or before; `None` when there are none.
    timer: Option<Pin<Box<Sleep>>>,
    snapshot_idle_max: Duration,
    /// The connection takes no more requests: what has nothing left to do is ended.
    ending: bool,
    /// Transactions that were open at that.
    rolled_back: usize,
}

struct View {
    is_transaction: bool,
    place: Place,
    /// When it ends: a transaction's deadline, or a snapshot's if it is not used before.
    end: Instant,
    queue: VecDeque<Queued>,
    /// It ends as soon as it is here.
    is_given_up: bool,
}

enum Place {
    /// A worker thread opens it.
    Opening,
    Transaction(Box<OpenTransaction>),
    /// A worker thread has the transaction.
    Away,
    Snapshot(OpenSnapshot),
    Expired,
}

struct Queued {
    id: RequestId,
    request: ViewRequest,
}

impl Views {
    pub(super) fn new(snapshot_idle_max: Duration) -> Views {
        Views {
            views: HashMap::new(),
            transactions: 0,
            snapshots: 0,
            queued: 0,
            queued_bytes: 0,
            ready: VecDeque::new(),
            expired: VecDeque::new(),
            answered: Vec::new(),
            timer: None,
            snapshot_idle_max,
            ending: false,
            rolled_back: 0,
        }
    }

    /// Requests that wait for their turn.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Whether more may wait.
    pub(super) fn have_room(&self) -> bool {
        self.queued_bytes < QUEUED_BYTES_MAX
    }

    /// Transactions that were rolled back because the connection ends, told once.
    pub(super) fn take_rolled_back(&mut self) -> usize {
        std::mem::take(&mut self.rolled_back)
    }

    /// Answers to what is not run any more.
    pub(super) fn take_answers(&mut self) -> Vec<(RequestId, Response)> {
        std::mem::take(&mut self.answered)
    }

    /// Makes room for a view that is about to be opened.
    pub(super) fn open(
        &mut self,
        id: RequestId,
        is_transaction: bool,
        most: u32,
    ) -> Result<(), WireError> {
        if self.views.contains_key(&id) {
            let message = format!("the transaction or snapshot {id} is open");
            return Err(WireError::new(ErrorKind::Protocol, message));
        }
        let (open, what) = match is_transaction {
            true => (&mut self.transactions, "transactions"),
            false => (&mut self.snapshots, "snapshots"),
        };
        if *open >= most as usize {
            let message = format!("{most} {what} are open on this connection; end some");
            return Err(WireError::new(ErrorKind::LimitExceeded, message));
        }
        *open += 1;
        let view = View {
            is_transaction,
            place: Place::Opening,
            end: Instant::now(),
            queue: VecDeque::new(),
            is_given_up: false,
        };
        self.views.insert(id, view);
        Ok(())
    }

    /// The view is open. False if it was given up before.
    pub(super) fn opened(&mut self, id: RequestId, open: OpenView) -> bool {
        let Some(view) = self.views.get_mut(&id) else {
            return false;
        };
        let lasts = open.timeout().unwrap_or(self.snapshot_idle_max);
        view.end = Instant::now() + lasts;
        view.place = match open {
            OpenView::Transaction(open) => Place::Transaction(open),
            OpenView::Snapshot(open) => Place::Snapshot(open),
        };
        let (end, is_given_up) = (view.end, view.is_given_up);
        if is_given_up {
            self.end(id);
            return false;
        }
        self.arm(end);
        self.ready.push_back(id);
        true
    }

    /// If the view was to be opened by the request, it was not.
    pub(super) fn failed_to_open(&mut self, id: RequestId) {
        if let Some(view) = self.views.get(&id)
            && matches!(view.place, Place::Opening)
        {
            self.end(id);
        }
    }

    /// Whoever opened the view does not want it any more.
    pub(super) fn give_up(&mut self, id: RequestId) {
        let Some(view) = self.views.get_mut(&id) else {
            return;
        };
        match view.place {
            Place::Opening | Place::Away => {
                view.is_given_up = true;
                let queue = std::mem::take(&mut view.queue);
                self.refuse(queue, &not_found(id));
            }
            _ => self.end(id),
        }
    }

    /// A scan of a snapshot counts as a use of it.
    pub(super) fn touch(&mut self, id: RequestId) {
        if let Some(view) = self.views.get_mut(&id)
            && matches!(view.place, Place::Snapshot(_))
        {
            view.end = Instant::now() + self.snapshot_idle_max;
        }
    }

    /// Why nothing can be asked of the view any more, if so.
    pub(super) fn gone(&self, id: RequestId) -> Option<WireError> {
        match self.views.get(&id) {
            None => Some(not_found(id)),
            Some(view) if view.is_given_up => Some(not_found(id)),
            Some(view) if matches!(view.place, Place::Expired) => {
                Some(expired(id, view.is_transaction))
            }
            Some(_) => None,
        }
    }

    /// Ends a view. What waits for it is refused.
    pub(super) fn end(&mut self, id: RequestId) {
        if let Some(view) = self.views.remove(&id) {
            if !matches!(view.place, Place::Expired) {
                self.uncount(view.is_transaction);
            }
            self.refuse(view.queue, &not_found(id));
        }
    }

    /// No more requests come: ends what has nothing left to do, now or when it is done.
    pub(super) fn finish(&mut self) {
        self.ending = true;
        let idle = self.views.iter().filter(|(_, view)| view.is_idle());
        let idle: Vec<RequestId> = idle.map(|(id, _)| *id).collect();
        for id in idle {
            self.end_idle(id);
        }
    }

    fn end_idle(&mut self, id: RequestId) {
        if self.is_here(id) {
            self.rolled_back += 1;
        }
        self.end(id);
    }

    fn uncount(&mut self, is_transaction: bool) {
        if is_transaction {
            self.transactions -= 1;
        } else {
            self.snapshots -= 1;
        }
    }
}

impl View {
    /// Nothing waits for it, and it is here.
    fn is_idle(&self) -> bool {
        self.queue.is_empty() && !matches!(self.place, Place::Opening | Place::Away)
    }
}

fn body_bytes(request: &ViewRequest) -> usize {
    match request {
        ViewRequest::Write { op, .. } => op.body.len(),
        _ => 0,
    }
}

fn not_found(id: RequestId) -> WireError {
    let message = format!("no transaction or snapshot {id} is open on this connection");
    WireError::new(ErrorKind::TransactionNotFound, message)
}
