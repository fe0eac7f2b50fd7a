//! Tools for a data directory that no server owns. What they find of one database is found by
//! [`docdb_engine::offline`]; here are the catalog and the loop over all databases.

mod check;
mod compact;
mod directory;
mod dump;
mod salvage;

use std::path::Path;

use docdb_engine::Error;
use docdb_engine::offline::{Finding, Observer, Severity};

pub use check::{DirectoryReport, check};
pub use compact::compact;
pub use dump::dump;
pub use salvage::{SalvagedDatabase, SalvagedDirectory, salvage};

/// Who hears what is done and found, from whatever thread.
pub trait DirectoryObserver: Sync {
    /// Something is not as it should be, in that database or above all.
    fn finding(&self, database: Option<&str>, finding: Finding);

    /// That database comes next, after so many of so many.
    fn begins(&self, database: &str, done: u64, total: u64) {
        let _ = (database, done, total);
    }
}

/// Adds the database's name to findings.
struct InDatabase<'a> {
    name: &'a str,
    observer: &'a dyn DirectoryObserver,
}

impl Observer for InDatabase<'_> {
    fn finding(&self, finding: Finding) {
        self.observer.finding(Some(self.name), finding);
    }
}

/// Tells of a database with which nothing could be done.
fn cannot(observer: &dyn Observer, dir: &Path, what: &str, error: &Error) {
    observer.finding(Finding {
        severity: Severity::Damage,
        file: dir.to_path_buf(),
        offset: None,
        what: format!("it cannot be {what}: {error}"),
        document: None,
    });
}
