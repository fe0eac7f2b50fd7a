#![doc = include_str!("../README.md")]

mod accept;
mod backup;
mod config;
mod connection;
mod convert;
mod execute;
mod heal;
mod limits;
mod logging;
pub mod offline;
mod open_scan;
mod quiet;
mod restore;
mod server;
mod signals;
mod socket;
mod state;
mod stats;
mod view;

pub use config::{Cli, Command, Config, LogFormat, LogLevel, LogOptions};
pub use limits::{
    DRAIN_TIMEOUT, FRAMES_PER_TURN_MAX, HELLO_TIMEOUT, JOBS_MAX, OUTPUT_BYTES_MAX, PENDING_OPS_MAX,
    SCANS_MAX, WORKER_THREADS_MAX,
};
pub use logging::init as init_logging;
pub use restore::{RestoreArgs, restore};
pub use server::{Server, ServerError, Stopper, runtime};
pub use signals::stop_on_signals;
