//! The files that a salvage looks into beside those that the manifest and the log name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_datafile::format::{FILE_HEADER_BYTES, decode_file_header};
use docdb_datafile::{DataFile, parse_data_file_name};
use docdb_index::format::{PAGE_BYTES, decode_header};
use docdb_index::{Key, RunIdentity, parse_run_file_name};
use docdb_vfs::{OpenMode, Vfs};
use docdb_wal::{LogFinding, Surveyed, Surveyor};

use super::super::files::{self, Files, named_data_files};
use super::super::finding::{Finding, Findings, Observer};
use super::super::source::Source;
use super::super::state::{Base, State};
use super::evidence::Wanted;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::pointer::DocPtr;
use crate::record::{self, KIND_COMMIT, OpKind};

/// All data files: those that are named, and whatever else is a data file by its own header.
pub(super) fn open_files(
    source: &Source,
    dir: &Path,
    names: &[String],
    state: &State,
    kept: &[Manifest],
    findings: &Findings<'_>,
) -> Result<Files> {
    let current = named_data_files(std::iter::once(&state.manifest), &state.bulk_files);
    let mut files = Files::open(source, dir, &current, findings)?;
    let nobody = Silent;
    let quiet = Findings::new(&nobody);
    for entry in named_data_files(kept.iter(), &state.bulk_files) {
        if !files.has(entry.number)
            && let Some(file) = files::open_data_file(source, dir, &entry, Some(&quiet))?
        {
            files.add(file);
        }
    }
    for name in names {
        let Some(number) = parse_data_file_name(name).filter(|number| !files.has(*number)) else {
            continue;
        };
        let path = dir.join(name);
        let file = source.open(&path, OpenMode::Read)?;
        let mut header = [0; FILE_HEADER_BYTES];
        if file.read_at(&mut header, 0)? < FILE_HEADER_BYTES {
            continue;
        }
        if let Ok(identity) = decode_file_header(&header)
            && identity.number == number
        {
            let length = file.len()?;
            files.add(DataFile::open_damaged(source, &path, identity, length)?);
        }
    }
    Ok(files)
}

/// Runs that may tell more than the manifest's: all, unless the newest one is at hand.
pub(super) fn runs_beside(
    source: &Source,
    dir: &Path,
    names: &[String],
    state: &State,
) -> Result<Vec<(PathBuf, RunIdentity)>> {
    let mut runs = Vec::new();
    if state.base == Base::Newest {
        return Ok(runs);
    }
    for name in names {
        let Some(number) = parse_run_file_name(name) else {
            continue;
        };
        let path = dir.join(name);
        let mut page = [0; PAGE_BYTES];
        let file = source.open(&path, OpenMode::Read)?;
        if file.read_at(&mut page, 0)? == PAGE_BYTES
            && let Ok(identity) = decode_header::<DocPtr>(&page)
            && identity.number == number
            && !state.manifest.names_run(number)
        {
            runs.push((path, identity));
        }
    }
    Ok(runs)
}

/// Tells nobody.
struct Silent;

impl Observer for Silent {
    fn finding(&self, _finding: Finding) {}
}

/// Takes the documents that are wanted from records of exactly their version.
pub(super) struct LogFinder<'a> {
    pub(super) wanted: &'a mut BTreeMap<Key, Wanted>,
    pub(super) found: &'a mut BTreeMap<Key, Arc<[u8]>>,
}

impl Surveyor for LogFinder<'_> {
    fn record(&mut self, surveyed: Surveyed<'_>) {
        let version = surveyed.record.lsn.0;
        if surveyed.record.kind != KIND_COMMIT {
            return;
        }
        let Ok(ops) = record::decode(surveyed.record.payload) else {
            return;
        };
        for op in ops {
            let key = Key::new(op.collection, op.id);
            if op.kind == OpKind::Put
                && let Some(wanted) = self.wanted.get_mut(&key)
            {
                if wanted.version == version {
                    self.found.insert(key, Arc::from(op.body));
                } else if version < wanted.version {
                    wanted.older = wanted.older.max(Some(version));
                }
            }
        }
    }

    fn found(&mut self, _finding: LogFinding) {}
}
