//! What waits for its turn in a view.

use std::collections::VecDeque;

use docdb_ipc::{RequestId, Response, ViewRequest, WireError};
use tokio::time::Instant;

use super::{Place, Queued, Views, body_bytes, not_found};
use crate::view::{OpenTransaction, OpenView};

/// A request whose turn it is, with what it runs in.
pub(in crate::connection) struct Turn {
    pub(in crate::connection) view: RequestId,
    pub(in crate::connection) id: RequestId,
    pub(in crate::connection) request: ViewRequest,
    pub(in crate::connection) open: OpenView,
}

impl Views {
    /// Puts a request behind those that wait for the same view.
    pub(in crate::connection) fn push(
        &mut self,
        view: RequestId,
        id: RequestId,
        request: ViewRequest,
    ) -> Result<(), WireError> {
        let Some(state) = self.views.get_mut(&view).filter(|view| !view.is_given_up) else {
            return Err(not_found(view));
        };
        self.queued += 1;
        self.queued_bytes += body_bytes(&request);
        state.queue.push_back(Queued { id, request });
        self.ready.push_back(view);
        Ok(())
    }

    /// Takes back a request that waits; false if it does not.
    pub(in crate::connection) fn unqueue(&mut self, id: RequestId) -> bool {
        if self.queued == 0 {
            return false;
        }
        for view in self.views.values_mut() {
            if let Some(at) = view.queue.iter().position(|queued| queued.id == id) {
                if let Some(queued) = view.queue.remove(at) {
                    self.queued -= 1;
                    self.queued_bytes -= body_bytes(&queued.request);
                }
                return true;
            }
        }
        false
    }

    /// The next request whose turn it is. Scans of a transaction come before it: those that may go on
    /// have taken the transaction by now.
    pub(in crate::connection) fn next_turn(&mut self) -> Option<Turn> {
        for _ in 0..self.ready.len() {
            let id = self.ready.pop_front()?;
            let Some(view) = self.views.get_mut(&id) else {
                continue;
            };
            if view.queue.is_empty() {
                if self.ending && view.is_idle() {
                    self.end_idle(id);
                }
                continue;
            }
            match &view.place {
                // It comes back to `ready` when it is here.
                Place::Opening | Place::Away => continue,
                Place::Expired => {
                    self.pass_expired(id);
                    continue;
                }
                Place::Transaction(_) | Place::Snapshot(_) => {}
            }
            let Some(queued) = view.queue.pop_front() else {
                continue;
            };
            self.queued -= 1;
            self.queued_bytes -= body_bytes(&queued.request);
            let open = match std::mem::replace(&mut view.place, Place::Away) {
                Place::Transaction(open) => OpenView::Transaction(open),
                Place::Snapshot(open) => {
                    view.end = Instant::now() + self.snapshot_idle_max;
                    view.place = Place::Snapshot(open.clone());
                    self.ready.push_back(id);
                    OpenView::Snapshot(open)
                }
                other => {
                    view.place = other;
                    continue;
                }
            };
            let Queued { id: of, request } = queued;
            return Some(Turn {
                view: id,
                id: of,
                request,
                open,
            });
        }
        None
    }

    /// Takes a transaction for a step of a scan, if it is here.
    pub(in crate::connection) fn take(&mut self, id: RequestId) -> Option<Box<OpenTransaction>> {
        let view = self.views.get_mut(&id)?;
        match std::mem::replace(&mut view.place, Place::Away) {
            Place::Transaction(open) => Some(open),
            other => {
                view.place = other;
                None
            }
        }
    }

    /// Whether [`Views::take`] gives the transaction.
    pub(in crate::connection) fn is_here(&self, id: RequestId) -> bool {
        let place = self.views.get(&id).map(|view| &view.place);
        matches!(place, Some(Place::Transaction(_)))
    }

    /// A transaction comes back from its turn; `None`: it is lost with what failed.
    pub(in crate::connection) fn back(
        &mut self,
        id: RequestId,
        open: Option<Box<OpenTransaction>>,
    ) {
        let Some(view) = self.views.get_mut(&id) else {
            return;
        };
        let Some(open) = open else {
            return self.end(id);
        };
        view.place = Place::Transaction(open);
        if view.is_given_up {
            self.end(id);
        } else {
            let end = view.end;
            self.ready.push_back(id);
            self.arm(end);
        }
    }

    pub(super) fn refuse(&mut self, queue: VecDeque<Queued>, error: &WireError) {
        for queued in queue {
            self.queued -= 1;
            self.queued_bytes -= body_bytes(&queued.request);
            self.answered
                .push((queued.id, Response::Error(error.clone())));
        }
    }
}
