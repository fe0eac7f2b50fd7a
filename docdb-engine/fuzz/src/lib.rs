//! What the fuzz targets run: the sources are those of the tests of `docdb-engine`, of which
//! `json_edits.rs` runs the same on every change.

#![forbid(unsafe_code)]

#[path = "../../tests/fuzzing/mod.rs"]
mod fuzzing;

/// Any bytes, for the strict check.
pub fn check(data: &[u8]) {
    fuzzing::check(data);
}

/// A document, and a patch of it.
pub fn edit(data: &[u8]) {
    fuzzing::edit(data);
}
