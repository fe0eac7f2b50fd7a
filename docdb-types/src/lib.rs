#![doc = include_str!("../README.md")]

mod error_kind;
pub mod limits;
mod name;

pub use error_kind::{ErrorClass, ErrorKind};
pub use name::{NameError, check_collection_name, check_database_name};

/// The collection that every database has and that cannot be dropped.
pub const DEFAULT_COLLECTION: &str = "_default";
