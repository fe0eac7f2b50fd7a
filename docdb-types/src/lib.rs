//! What the engine, the wire protocol and every client must agree on: error kinds with their
//! stable codes, limits, and the rules for names. No I/O, no dependencies.

mod error_kind;
pub mod limits;
mod name;

pub use error_kind::{ErrorClass, ErrorKind};
pub use name::{NameError, check_collection_name, check_database_name};

/// The collection that every database has and that cannot be dropped.
pub const DEFAULT_COLLECTION: &str = "_default";
