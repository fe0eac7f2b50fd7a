//! What a fuzzer does with the log, as functions of arbitrary bytes: the fuzz targets of
//! `docdb-wal/fuzz` and the tests in `fuzz_smoke.rs` are these, so an input means the same in both.
//! Each panics if the log breaks a rule, and returns otherwise.

pub(crate) mod afterlife;
mod check;
mod choices;
mod damage;
mod forge;
pub(crate) mod life;
pub(crate) mod seal;

mod mutated_log;
mod reader;
mod segment;

pub(crate) use mutated_log::mutated_log;
pub(crate) use reader::reader;
pub(crate) use segment::segment;
