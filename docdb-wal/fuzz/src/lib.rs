//! What the fuzz targets run: the sources are those of the tests of `docdb-wal`, of which
//! `fuzz_smoke.rs` runs the same on every change.

#![forbid(unsafe_code)]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/fuzzing/mod.rs"]
mod fuzzing;

/// Any bytes as the only segment of a log.
pub fn segment(data: &[u8]) {
    fuzzing::segment(data);
}

/// A log that was damaged or forged, and then recovered.
pub fn mutated_log(data: &[u8]) {
    fuzzing::mutated_log(data);
}

/// A log that is damaged or forged while it is open, read beside its writer.
pub fn reader(data: &[u8]) {
    fuzzing::reader(data);
}
