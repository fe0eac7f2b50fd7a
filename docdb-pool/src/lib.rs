#![doc = include_str!("../README.md")]

mod backup;
mod catalog;
mod error;
mod event;
mod executor;
mod layout;
mod lifecycle;
mod lock_file;
mod maintenance;
pub mod offline;
mod options;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
mod pool;
mod restore;
mod shared;
mod slot;
mod stats;

pub use backup::{BackupReport, NotBackedUp, Which};
pub use docdb_engine as engine;
pub use error::Result;
pub use event::PoolEvent;
pub use options::{EventListener, PoolOptions};
pub use pool::Pool;
pub use restore::restore;
pub use slot::DbHandle;
pub use stats::{DatabaseInfo, PoolStats};
