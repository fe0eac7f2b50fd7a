#![doc = include_str!("../README.md")]

mod backup;
mod batch;
pub mod blocking;
mod builder;
mod bytes_value;
mod client;
mod collection;
mod connection;
mod database;
mod error;
mod heal;
mod link;
mod options;
mod raw_collection;
mod scan;
mod snapshot;
mod transact;
mod transaction;
mod view;

pub use backup::BackupOptions;
pub use batch::Batch;
pub use builder::ClientBuilder;
pub use bytes_value::Base64Bytes;
pub use client::{Client, DatabaseInfo};
pub use collection::Collection;
pub use database::{CollectionInfo, Database};
pub use docdb_ipc::{
    BackedUp, BackupReport, Compacted, HealReport, NotBackedUp, UnhealableDocument, WireError,
};
pub use docdb_types::{DEFAULT_COLLECTION, ErrorClass, ErrorKind};
pub use error::{Error, Result};
pub use heal::HealOutcome;
pub use options::{RangeDeleted, Versioned, WriteOptions, Written};
pub use raw_collection::RawCollection;
pub use scan::{Document, RawScan, Scan};
pub use snapshot::Snapshot;
pub use transaction::{Transaction, TransactionOptions};
