//! Tools for a database that nobody has open: [`check`] verifies all of it.
//!
//! They read through a view of the file system in which nothing can be changed.

mod check;
mod files;
mod finding;
mod references;
mod source;
mod winners;

pub use check::{CheckOptions, CheckReport, check};
pub use finding::{DocumentName, Finding, Observer, Progress, Severity};
