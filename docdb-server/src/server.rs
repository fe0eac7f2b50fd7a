//! Starting, running and stopping a server.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use docdb_engine::{DbOptions, Error, ErrorKind};
use docdb_ipc::{Limits, ServerHandshake};
use docdb_pool::{Pool, PoolEvent, PoolOptions};
use docdb_vfs::RealVfs;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::accept;
use crate::backup::BackupPlace;
use crate::config::Config;
use crate::limits::{IN_USE_PATIENCE, IN_USE_PAUSE, WORKER_THREADS_MAX};
use crate::quiet::Quiet;
use crate::socket::{self, SocketFile};
use crate::state::{Counters, State};

/// Why a server did not start or did not stop in good order.
#[derive(Debug, Clone)]
pub struct ServerError {
    error: Error,
}

impl ServerError {
    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// The process's exit code: 3 in use, 5 corrupt, else 1.
    pub fn exit_code(&self) -> u8 {
        match self.kind() {
            ErrorKind::InUse => 3,
            ErrorKind::Corrupt => 5,
            _ => 1,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error.kind(), self.error)
    }
}

impl std::error::Error for ServerError {}

impl From<Error> for ServerError {
    fn from(error: Error) -> Self {
        Self { error }
    }
}

/// A server that listens. [`Server::run`] serves.
#[derive(Debug)]
pub struct Server {
    config: Config,
    state: Arc<State>,
    listener: UnixListener,
    socket: SocketFile,
}

/// Stops a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<State>);

impl Stopper {
    /// Begins to stop: no more connections and requests are taken, what is in flight is finished
    /// and answered, the databases are checkpointed and closed.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }
}

/// A runtime fit for a server.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(WORKER_THREADS_MAX)
        .thread_name("docdb-server")
        .build()
}

impl Server {
    /// Opens the data directory and listens on the socket. Must be called on a runtime.
    ///
    /// # Errors
    /// `InUse` if another process owns the data directory or listens on the socket; what
    /// [`Pool::open`] says; `Io` and `InvalidArgument` for the socket.
    pub fn start(config: Config) -> Result<Server, ServerError> {
        raise_descriptor_limit();
        // Before the data directory is touched: a live socket is the likelier mistake.
        when_free(|| socket::check_free(&config.socket))?;
        let mut db = DbOptions::default();
        db.wal_compression = config.wal_compression;
        db.keep_checkpoints = config.keep_checkpoints as usize;
        db.wal_bytes_max = config.wal_bytes_max;
        db.scrub_interval = config.scrub_interval;
        db.scrub_bytes_per_second = config.scrub_bytes_per_second;
        let snapshot_idle_max = db.snapshot_idle_max;
        let pool = when_free(|| {
            let options = PoolOptions::default()
                .durability(config.durability)
                .db(db.clone())
                .owner_address(config.socket.display().to_string())
                .listener(log_event);
            Pool::open(Arc::new(RealVfs::new()), &config.data_dir, options)
        })?;
        let (listener, socket) = socket::bind(&config.socket, config.socket_mode)?;
        let limits = Limits::default();
        let handshake = ServerHandshake::new(limits, "docdb-server", env!("CARGO_PKG_VERSION"))
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let state = Arc::new(State {
            pool: Arc::new(pool),
            handshake,
            limits,
            stop: watch::Sender::new(false),
            started_at: Instant::now(),
            connections_max: config.connections_max,
            snapshot_idle_max,
            backup: BackupPlace::default(),
            counters: Counters::default(),
            protocol_log: Quiet::default(),
            critical_log: Quiet::default(),
        });
        let stats = state.pool.stats();
        info!(
            pid = std::process::id(),
            socket = %config.socket.display(),
            data_dir = %config.data_dir.display(),
            databases = stats.databases,
            recovery = recovery_summary(state.pool.repairs()),
            durability = %config.durability,
            wal_compression = %config.wal_compression,
            version = env!("CARGO_PKG_VERSION"),
            "READY"
        );
        Ok(Server {
            config,
            state,
            listener,
            socket,
        })
    }

    /// Where the server listens.
    pub fn socket(&self) -> &Path {
        self.socket.path()
    }

    /// What stops this server.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.state.clone())
    }

    /// Serves until it is stopped, then drains.
    ///
    /// # Errors
    /// `Timeout` if draining took longer than it may: what was acknowledged is safe, the next start
    /// recovers.
    pub async fn run(self) -> Result<(), ServerError> {
        let Server {
            config,
            state,
            listener,
            socket,
        } = self;
        let mut connections = accept::run(&state, listener).await;
        info!(connections = connections.len(), "stopping");
        socket.remove();

        let now = tokio::time::Instant::now();
        let deadline = now + config.drain_timeout;
        // Clients that do not read their answers must not use up the time that closing needs.
        let drained = tokio::time::timeout_at(now + config.drain_timeout * 2 / 3, async {
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            warn!(
                connections = connections.len(),
                "connections did not end in time"
            );
            connections.shutdown().await;
        }
        let pool = state.pool.clone();
        let closed = tokio::task::spawn_blocking(move || pool.close());
        match tokio::time::timeout_at(deadline, closed).await {
            Ok(Ok(())) => {
                info!("stopped");
                Ok(())
            }
            Ok(Err(error)) => {
                Err(Error::new(ErrorKind::Internal, format!("closing failed: {error}")).into())
            }
            Err(_) => {
                let seconds = config.drain_timeout.as_secs();
                let message = format!("the databases did not close within {seconds} s");
                Err(Error::new(ErrorKind::Timeout, message).into())
            }
        }
    }
}

/// Tries again for a short time what another process has in use: one that was just killed keeps
/// its locks and sockets until the kernel has taken it apart.
fn when_free<T>(attempt: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let deadline = Instant::now() + IN_USE_PATIENCE;
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::InUse && Instant::now() < deadline => {
                std::thread::sleep(IN_USE_PAUSE);
            }
            result => return result,
        }
    }
}

fn log_event(event: &PoolEvent) {
    if event.is_alert() {
        error!(alert = true, "{event}");
    } else {
        info!("{event}");
    }
}

fn recovery_summary(repairs: &[PoolEvent]) -> String {
    if repairs.is_empty() {
        return "nothing to repair; databases recover at their first use".into();
    }
    let repairs: Vec<String> = repairs.iter().map(ToString::to_string).collect();
    repairs.join("; ")
}

/// Raises the soft limit of open descriptors to the hard one: connections and databases share it.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!("cannot raise the limit of open descriptors: {error}");
    }
}
