//! Verifies a data directory.

use std::path::Path;
use std::sync::Arc;

use docdb_engine::ErrorKind;
use docdb_engine::offline::{self, CheckOptions, CheckReport, Finding, Severity};
use docdb_vfs::Vfs;

use super::directory::Directory;
use super::{DirectoryObserver, InDatabase};
use crate::error::Result;

/// What a check of a data directory saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DirectoryReport {
    /// Databases that were read.
    pub databases: u64,
    /// The sums over them, and what was found above them.
    pub total: CheckReport,
}

/// Verifies the catalog, its copy, and every database of `data_dir`, which no server may own. Changes
/// nothing. Damage is no error: `observer` is told of it, and the report counts it.
///
/// # Errors
/// `InUse`; `InvalidArgument` if it is no data directory; `UnsupportedVersion`; `Io`.
pub fn check(
    vfs: &Arc<dyn Vfs>,
    data_dir: impl AsRef<Path>,
    options: &CheckOptions,
    observer: &dyn DirectoryObserver,
) -> Result<DirectoryReport> {
    let directory = Directory::open(vfs.as_ref(), data_dir.as_ref())?;
    let mut report = DirectoryReport::default();
    let total = &mut report.total;
    for finding in &directory.findings {
        count(total, finding);
        observer.finding(None, finding.clone());
    }
    for database in &directory.databases {
        observer.begins(
            &database.name,
            report.databases,
            directory.databases.len() as u64,
        );
        let observed = InDatabase {
            name: &database.name,
            observer,
        };
        report.databases += 1;
        match offline::check(vfs, &database.dir, options, &observed) {
            Ok(found) => {
                total.documents += found.documents;
                total.frames += found.frames;
                total.log_records += found.log_records;
                total.bytes += found.bytes;
                total.damages += found.damages;
                total.notes += found.notes;
            }
            // One database that cannot be read is no reason not to read the others.
            Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::UnsupportedVersion) => {
                total.damages += 1;
                super::cannot(&observed, &database.dir, "checked", &error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

fn count(report: &mut CheckReport, finding: &Finding) {
    match finding.severity {
        Severity::Damage => report.damages += 1,
        Severity::Note => report.notes += 1,
    }
}
