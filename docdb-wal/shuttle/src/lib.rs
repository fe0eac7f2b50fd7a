//! The sources of `docdb-wal`, every line of them, with the locks, atomics and threads of
//! [shuttle](https://docs.rs/shuttle): its scheduler decides at each of them who goes on. Only the
//! module `sync` differs. The tests of this crate look for interleavings that break the log.
//!
//! A module that is added to `docdb-wal` is added here too.

#[path = "../../src/compression.rs"]
mod compression;
#[path = "../../src/driver.rs"]
mod driver;
#[path = "../../src/durability.rs"]
mod durability;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/format/mod.rs"]
mod format;
#[path = "../../src/gathering.rs"]
mod gathering;
#[path = "../../src/group.rs"]
mod group;
#[path = "../../src/inspect.rs"]
pub mod inspect;
#[path = "../../src/log/mod.rs"]
mod log;
#[path = "../../src/log_reader.rs"]
mod log_reader;
#[path = "../../src/lsn.rs"]
mod lsn;
#[path = "../../src/lz4.rs"]
mod lz4;
#[path = "../../src/options.rs"]
mod options;
#[path = "../../src/pack.rs"]
mod pack;
#[path = "../../src/planted.rs"]
#[doc(hidden)]
pub mod planted;
#[path = "../../src/preparer.rs"]
mod preparer;
#[path = "../../src/recovery/mod.rs"]
mod recovery;
#[path = "../../src/reserve.rs"]
mod reserve;
#[path = "../../src/segment.rs"]
mod segment;
#[path = "../../src/stats.rs"]
mod stats;
mod sync;
#[path = "../../src/ticket.rs"]
mod ticket;
#[path = "../../src/timers.rs"]
mod timers;
#[path = "../../src/unpack.rs"]
mod unpack;
#[path = "../../src/waiters.rs"]
mod waiters;
#[path = "../../src/wal.rs"]
mod wal;
#[path = "../../src/writer.rs"]
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
