//! Transactions and snapshots of a connection: opened here, given up by whoever drops them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use docdb_ipc::{Request, RequestId, Response, ViewRequest};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Connection, Queued, Reply, Shared, answer};
use crate::Result;
use crate::client::unexpected;

/// An open transaction or snapshot; dropped, it is given up.
#[derive(Debug)]
pub(crate) struct ViewGuard {
    /// A view ends with its connection, so it keeps it.
    connection: Arc<Connection>,
    id: RequestId,
    ended: AtomicBool,
}

impl Connection {
    /// Opens a view; gives it with the version that it reads at. Dropping the future gives the view
    /// up, whether the answer has come or not.
    pub(crate) async fn open_view(
        self: &Arc<Self>,
        request: ViewRequest,
        deadline: Option<Instant>,
    ) -> Result<(ViewGuard, u64)> {
        let request = Request::View(request);
        let (sender, receiver) = oneshot::channel();
        let in_flight = self.send(&request, Reply::One(sender), deadline).await?;
        // Before the wait: the answer may have come when the future is dropped.
        let guard = ViewGuard {
            connection: Arc::clone(self),
            id: RequestId(in_flight.id),
            ended: AtomicBool::new(false),
        };
        match answer(in_flight, receiver, &request, deadline).await {
            Ok(Response::Opened { version }) => Ok((guard, version)),
            Ok(other) => Err(unexpected(&other)),
            Err(error) => {
                // It was not opened, or was given up with its request.
                guard.ended();
                Err(error)
            }
        }
    }
}

impl ViewGuard {
    pub(crate) fn id(&self) -> RequestId {
        self.id
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// There is nothing left to give up.
    pub(crate) fn ended(&self) {
        self.ended.store(true, Ordering::Release);
    }
}

impl Drop for ViewGuard {
    fn drop(&mut self) {
        if !*self.ended.get_mut() {
            self.connection.shared.give_view_up(self.id);
        }
    }
}

impl Shared {
    /// Asks the server to end a view. Unlike other controls it may come when its request has its
    /// answer; there is one for each view.
    fn give_view_up(&self, id: RequestId) {
        let mut frame = BytesMut::new();
        let encoded = self.codec.encode_request(&mut frame, id, &Request::Cancel);
        debug_assert!(encoded.is_ok(), "a control frame always fits");
        let mut state = self.state();
        if encoded.is_ok() && state.lost.is_none() {
            state.queue.push_back(Queued {
                id: id.0,
                frame: frame.freeze(),
                _room: None,
            });
            drop(state);
            self.wake_writer.notify_one();
        }
    }
}
