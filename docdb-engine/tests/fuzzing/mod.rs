//! What a fuzzer does with documents, as functions of arbitrary bytes: the fuzz targets of
//! `docdb-engine/fuzz` and the tests in `json_edits.rs` are these, so an input means the same in both.
//! Each panics if a rule is broken, and returns otherwise.

mod check;
mod choices;
pub(crate) mod edit;
pub(crate) mod model;
mod text;

pub(crate) use check::check;
pub(crate) use edit::edit;
