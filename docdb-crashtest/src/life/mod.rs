//! Lives of a database as lists of steps, which can be printed, shortened and lived again.
//!
//! A [`Life`] runs on any [`Vfs`](docdb_vfs::Vfs) above a [`SimVfs`](docdb_vfs::sim::SimVfs). Everything
//! that it sees on the way, reads beside writes, snapshots and transactions too, is compared with its
//! journal.

mod backup;
mod between;
mod generate;
mod heal;
mod named;
mod readers;
mod run;
mod setup;
mod step;
mod txns;

pub use between::{Between, Moment};
pub use generate::generate;
pub use heal::{Find, Heal};
pub use named::{NAMED, Named};
pub use run::{Asked, DIR, Life, dir, disk};
pub use setup::{INTERVAL, MODES, Setup};
pub use step::{Demand, Reopen, Step, TxnStep, Write, body};
