#![doc = include_str!("../README.md")]

pub mod backup;
mod body;
mod bulk_files;
mod caches;
mod checkpoint;
pub mod checkpoints;
mod collections;
mod commit;
mod create;
mod cursor;
mod db;
mod delete_range;
mod driver;
mod error;
mod heal;
pub mod json;
mod manifest;
pub mod offline;
mod open;
mod ops;
mod options;
mod pacing;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
mod pointer;
mod pressure;
mod publish;
mod random;
mod read;
mod record;
mod report;
mod scan;
mod snapshot;
mod space;
mod stats;
mod ticket;
mod txn;
mod upkeep;

pub use body::Body;
pub use checkpoint::CheckpointReport;
pub use db::Db;
pub use delete_range::RangeDeleted;
pub use docdb_index::CacheStats;
pub use docdb_types::{DEFAULT_COLLECTION, ErrorClass, ErrorKind, limits};
pub use docdb_vfs as vfs;
pub use docdb_wal::{
    Compression, Durability, FlushDriver, ManualDriver, OnProgress, RecoveryProgress, ThreadDriver,
    UnknownCompression, UnknownDurability, Wal,
};
pub use error::{Error, Result};
pub use heal::{
    DamageFound, HealOptions, HealOutcome, HealProgress, HealReport, HealStats, OnDamage,
    ScrubPace, UnhealableDocument,
};
pub use ops::{CollectionInfo, Committed, Document, Ids, Precondition, Ready, WriteKind, WriteOp};
pub use options::{DbOptions, Maintainer};
pub use report::RecoveryReport;
pub use scan::{Scan, ScanItem, ScanRequest};
pub use snapshot::Snapshot;
pub use space::FileSpace;
pub use stats::DbStats;
pub use ticket::CommitTicket;
pub use txn::{
    Isolation, TRANSACTION_TIMEOUT_DEFAULT, TRANSACTION_TIMEOUT_MAX, Txn, TxnOptions, TxnScan,
};
pub use upkeep::CompactionReport;
