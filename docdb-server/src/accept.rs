//! The accept loop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use crate::connection;
use crate::limits::{ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN};
use crate::state::{State, count};

/// Accepts until the server stops; gives back the connections that are still open. At the limit of
/// connections it waits for one to end, and clients wait in the socket's backlog.
pub(crate) async fn run(state: &Arc<State>, listener: UnixListener) -> JoinSet<()> {
    let permits = Arc::new(Semaphore::new(state.connections_max as usize));
    let mut connections = JoinSet::new();
    let mut stop = state.stop.subscribe();
    let mut pause = ACCEPT_PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return connections,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    count(&state.counters.panics);
                    error!(alert = true, "a connection ended by a panic: {error}");
                }
                continue;
            }
            accepted = accept_one(&permits, &listener) => accepted,
        };
        match accepted {
            Ok((permit, stream)) => {
                pause = ACCEPT_PAUSE_MIN;
                count(&state.counters.connections);
                let state = state.clone();
                connections.spawn(async move {
                    let _open = OpenConnection::new(&state);
                    if let Err(error) = connection::serve(&state, stream).await {
                        debug!("a connection ended: {error}");
                    }
                    drop(permit);
                });
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: accepting again at once would fail again at once.
                warn!(
                    pause_ms = pause.as_millis() as u64,
                    "cannot accept a connection: {error}"
                );
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return connections,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
}

async fn accept_one(
    permits: &Arc<Semaphore>,
    listener: &UnixListener,
) -> io::Result<(tokio::sync::OwnedSemaphorePermit, tokio::net::UnixStream)> {
    let permit = permits
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((permit, stream))
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Counts a connection for as long as it is open.
struct OpenConnection<'a>(&'a State);

impl<'a> OpenConnection<'a> {
    fn new(state: &'a State) -> Self {
        count(&state.counters.connections_open);
        Self(state)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0
            .counters
            .connections_open
            .fetch_sub(1, Ordering::Relaxed);
    }
}
