#![doc = include_str!("../README.md")]

mod compression;
mod driver;
mod durability;
mod error;
mod format;
mod gathering;
mod group;
pub mod inspect;
mod log;
mod log_reader;
mod lsn;
mod lz4;
mod options;
mod pack;
#[cfg(feature = "planted-bugs")]
#[doc(hidden)]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
mod preparer;
mod recovery;
mod reserve;
mod segment;
mod stats;
mod sync;
mod ticket;
mod timers;
mod unpack;
mod waiters;
mod wal;
mod writer;

pub use compression::{Compression, UnknownCompression};
pub use docdb_vfs as vfs;
pub use driver::{FlushDriver, ManualDriver, ThreadDriver};
pub use durability::{Durability, UnknownDurability};
pub use error::{Result, WalError};
pub use group::{Body, Record};
pub use log_reader::LogReader;
pub use lsn::Lsn;
pub use options::WalOptions;
pub use pack::Packed;
pub use recovery::{
    Cut, LogFinding, OnProgress, Recovery, RecoveryProgress, RecoveryReport, Replayed,
    SurveyReport, Surveyed, Surveyor, Verdict, survey,
};
pub use stats::{FlushStats, WalStats};
pub use ticket::CommitTicket;
pub use wal::Wal;
