//! All documents of a database that is not open, from its files and its log, without a recovery.

use std::path::Path;
use std::sync::Arc;

use docdb_types::ErrorKind;
use docdb_vfs::Vfs;

use super::documents::Documents;
use super::files::{self, Files, Manifests, named_data_files};
use super::finding::{DocumentName, Finding, Findings, Observer, Progress};
use super::source::Source;
use super::state::{Base, State, Where, no_manifest};
use crate::error::Result;
use crate::open::lock_database;

/// A document.
#[derive(Debug, Clone, Copy)]
pub struct DumpedDocument<'a> {
    /// The collection's name.
    pub collection: &'a str,
    /// The id.
    pub id: u64,
    /// The version.
    pub version: u64,
    /// The document.
    pub body: &'a [u8],
}

/// What a dump saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DumpReport {
    /// The last commit that is in it.
    pub version: u64,
    /// Documents that were given.
    pub documents: u64,
    /// Things that are damaged, so that something may be missing.
    pub damages: u64,
}

/// Gives every document of the database in `dir` to `give`, ordered by collection number and id, as a
/// recovery would show them. Nobody may have the database open; nothing is changed. A document whose
/// bytes do not verify, or of which a newer version may be in a damaged part of the index, is left out,
/// and `observer` is told.
///
/// Memory: what the log holds since the checkpoint, as when the database is opened.
///
/// # Errors
/// `InUse`; `Corrupt` if no manifest verifies; `UnsupportedVersion`; `Io`; what `give` answers.
pub fn dump(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    progress: &Progress,
    observer: &dyn Observer,
    give: &mut dyn FnMut(DumpedDocument<'_>) -> Result<()>,
) -> Result<DumpReport> {
    let source = Source::new(Arc::clone(vfs), progress.clone());
    let _lock = lock_database(&source, dir)?;
    let findings = Findings::new(observer);
    let names = source.list(dir)?;
    let mut manifests = Manifests::read(&source, dir, &names, &findings)?;
    // An earlier checkpoint is not the database as it is.
    manifests.kept.clear();
    files::expect(&source, dir, &manifests, progress);
    let state = State::read(&source, dir, manifests, false, &findings)?;
    if state.base != Base::Newest {
        return Err(no_manifest(dir));
    }
    let entries = named_data_files(std::iter::once(&state.manifest), &state.bulk_files);
    let files = Files::open(&source, dir, &entries, &findings)?;
    let mut documents = Documents::new(&source, dir, &state, Some(&findings))?;
    let mut report = DumpReport {
        version: state.version(),
        ..DumpReport::default()
    };
    while let Some(newest) = documents.next()? {
        let name = &state.collections[&newest.key.collection].name;
        let document = || DocumentName {
            collection: name.clone(),
            id: newest.key.id,
            version: newest.version,
        };
        let stored;
        let body = match &newest.body {
            Where::Deleted => continue,
            Where::Logged(body) => body,
            Where::Stored(pointer) if !newest.is_certain => {
                let path = files.path(pointer.file);
                let what = "a newer version may be in a part of the index that does not verify";
                findings.tell(Finding::damage(&path, pointer.offset, what).of(document()));
                continue;
            }
            Where::Stored(pointer) => match files.read(newest.key, newest.version, *pointer) {
                Ok(body) => {
                    stored = body;
                    &stored
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    let path = files.path(pointer.file);
                    let finding = Finding::damage(&path, pointer.offset, error.message());
                    findings.tell(finding.of(document()));
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        report.documents += 1;
        give(DumpedDocument {
            collection: name,
            id: newest.key.id,
            version: newest.version,
            body,
        })?;
    }
    report.damages = findings.damages();
    Ok(report)
}
