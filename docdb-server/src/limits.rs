//! The limits of a server. Those of the protocol are in `docdb_ipc`, those of documents in
//! `docdb_types::limits`.

use std::time::Duration;

/// How long a client may take to send its hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stopping server waits for what is in flight and for its databases to close.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of answers of one connection that wait to be sent; above it no request is taken from the
/// connection.
pub const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Operations of one connection that wait for their commit; above it no request is taken from the
/// connection. A batch counts with each of its commits.
pub const PENDING_OPS_MAX: usize = 65_536;
/// Requests of one connection that run on worker threads; above it no request is taken from the
/// connection.
pub const JOBS_MAX: usize = 16;
/// Scans open on one connection; one more is answered with `Busy`.
pub const SCANS_MAX: usize = 16;
/// Bytes of documents of one connection that wait for their turn in a transaction; above it no request
/// is taken from the connection.
pub(crate) const QUEUED_BYTES_MAX: usize = 4 << 20;
/// Expired transactions and snapshots of one connection that are remembered, so that the client is told
/// that they expired.
pub(crate) const EXPIRED_KEPT_MAX: usize = 1024;
/// Frames that one connection executes before others on the same thread get their turn.
pub const FRAMES_PER_TURN_MAX: usize = 256;
/// Threads that run what may wait for a device, for all connections together.
pub const WORKER_THREADS_MAX: usize = 64;

/// Bytes of documents up to which a write runs on the connection's own thread: checking more would
/// keep others on that thread waiting.
pub(crate) const INLINE_WRITE_BYTES_MAX: usize = 128 << 10;
/// Operations up to which a batch runs on the connection's own thread.
pub(crate) const INLINE_WRITE_OPS_MAX: usize = 256;
/// Documents that one step of a scan fetches.
pub(crate) const SCAN_CHUNK_ITEMS: usize = 1024;
/// Bytes of documents that one step of a scan fetches, at least one document.
pub(crate) const SCAN_CHUNK_BYTES: usize = 256 << 10;
/// An empty output buffer larger than this is given back.
pub(crate) const OUTPUT_KEEP_BYTES: usize = 256 << 10;
/// How long a connection that failed is kept, so that the client can read why.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// Bytes that a client may still be sending then.
pub(crate) const LINGER_BYTES_MAX: usize = 64 << 20;
/// Pauses of the accept loop when the process or the system is out of descriptors: the first, and
/// the longest.
pub(crate) const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(50);
pub(crate) const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a start waits for a socket or data directory that is in use, and how often it looks.
pub(crate) const IN_USE_PATIENCE: Duration = Duration::from_millis(500);
pub(crate) const IN_USE_PAUSE: Duration = Duration::from_millis(20);
