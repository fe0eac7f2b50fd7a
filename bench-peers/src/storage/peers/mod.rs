//! The stores, each behind the same few calls.

pub mod docdb;
pub mod fjall;
pub mod lmdb;
pub mod redb;
pub mod sled;
pub mod sqlite;
