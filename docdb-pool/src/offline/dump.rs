//! All documents of a data directory.

use std::path::Path;
use std::sync::Arc;

use docdb_engine::offline::{self, DumpReport, DumpedDocument, Progress};
use docdb_engine::{Error, ErrorKind};
use docdb_vfs::Vfs;

use super::directory::Directory;
use super::{DirectoryObserver, InDatabase};
use crate::error::Result;

/// Gives every document of the databases with these names, or of all if there are none, to `give`, with
/// its database's name. Nothing is changed, and no recovery takes place.
///
/// # Errors
/// `InUse`; `InvalidArgument` if it is no data directory; `DatabaseNotFound`; `Io`; what `give`
/// answers. A database that cannot be read at all is told of as a finding, and the others are dumped.
pub fn dump(
    vfs: &Arc<dyn Vfs>,
    data_dir: impl AsRef<Path>,
    databases: &[String],
    progress: &Progress,
    observer: &dyn DirectoryObserver,
    give: &mut dyn FnMut(&str, DumpedDocument<'_>) -> Result<()>,
) -> Result<DumpReport> {
    let directory = Directory::open(vfs.as_ref(), data_dir.as_ref())?;
    let mut total = DumpReport::default();
    for finding in &directory.findings {
        if finding.severity == offline::Severity::Damage {
            total.damages += 1;
        }
        observer.finding(None, finding.clone());
    }
    let wanted = directory.named(databases)?;
    for (done, database) in wanted.iter().enumerate() {
        observer.begins(&database.name, done as u64, wanted.len() as u64);
        let observed = InDatabase {
            name: &database.name,
            observer,
        };
        let mut failed: Option<Error> = None;
        let mut give_this = |document: DumpedDocument<'_>| {
            give(&database.name, document).inspect_err(|error| failed = Some(error.clone()))
        };
        let outcome = offline::dump(vfs, &database.dir, progress, &observed, &mut give_this);
        if let Some(error) = failed {
            return Err(error);
        }
        match outcome {
            Ok(report) => {
                total.documents += report.documents;
                total.damages += report.damages;
            }
            Err(error) if error.kind() == ErrorKind::InUse => return Err(error),
            Err(error) => {
                total.damages += 1;
                super::cannot(&observed, &database.dir, "dumped", &error);
            }
        }
    }
    Ok(total)
}
