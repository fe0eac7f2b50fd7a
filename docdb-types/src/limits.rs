//! Limits that are checked before anything is logged or allocated.

/// Longest database or collection name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Largest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Deepest nesting of arrays and objects in a document.
pub const JSON_DEPTH_MAX: usize = 127;
/// Most operations in one commit.
pub const COMMIT_OPS_MAX: usize = 65_536;
/// Most document bytes in one commit.
pub const COMMIT_BYTES_MAX: usize = 32 << 20;
/// Longest protocol frame, in bytes, its length field not counted.
pub const FRAME_BYTES_MAX: usize = (32 << 20) + (64 << 10);
/// Most collections in one database.
pub const COLLECTIONS_MAX: usize = 65_536;
/// Most databases in one data directory.
pub const DATABASES_MAX: usize = 100_000;
