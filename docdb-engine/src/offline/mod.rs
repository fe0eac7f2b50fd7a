//! Tools for a database that nobody has open: [`check`] verifies all of it, [`dump`] gives all its
//! documents, [`salvage`] makes a new database of what verifies.
//!
//! They read through a view of the file system in which nothing can be changed, do no recovery, and go
//! on behind damage.

mod check;
mod check_log;
mod documents;
mod dump;
mod files;
mod finding;
mod lines;
mod references;
mod salvage;
mod source;
mod state;
mod winners;

pub use check::{CheckOptions, CheckReport, check};
pub use dump::{DumpReport, DumpedDocument, dump};
pub use finding::{DocumentName, Finding, Observer, Progress, Severity};
pub use lines::Line;
pub use salvage::{
    DoubtfulDocument, LostDocument, SalvageLog, SalvageOptions, SalvageReport, salvage,
};
