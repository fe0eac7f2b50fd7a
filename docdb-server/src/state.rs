//! What all connections of a server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use docdb_ipc::{Limits, ServerHandshake};
use docdb_pool::Pool;
use tokio::sync::watch;

use crate::backup::BackupPlace;
use crate::quiet::Quiet;

/// The shared state of a server.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) pool: Arc<Pool>,
    pub(crate) handshake: ServerHandshake,
    pub(crate) limits: Limits,
    /// True once the server stops.
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) started_at: Instant,
    pub(crate) connections_max: u32,
    /// After which a snapshot that is not used ends.
    pub(crate) snapshot_idle_max: Duration,
    pub(crate) counters: Counters,
    pub(crate) backup: BackupPlace,
    /// Lines about what clients send that is not the protocol.
    pub(crate) protocol_log: Quiet,
    /// Lines about requests that failed by what an operator must look at.
    pub(crate) critical_log: Quiet,
}

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_open: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) protocol_errors: AtomicU64,
    pub(crate) panics: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
