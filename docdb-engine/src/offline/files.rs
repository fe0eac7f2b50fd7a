//! What stands in a database's directory, as far as the offline tools read it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_datafile::{
    DataFile, DataFileError, FileIdentity, FilePtr, FrameId, data_file_name, parse_data_file_name,
};
use docdb_index::{Key, parse_run_file_name, run_file_name};
use docdb_types::ErrorKind;
use docdb_vfs::{OpenMode, Vfs};

use super::finding::{Finding, Findings, Progress};
use crate::bulk_files::BulkFiles;
use crate::error::{Error, Result};
use crate::manifest::{self, DataFileEntry, MANIFEST, MANIFEST_TEMPORARY, Manifest, kept};
use crate::open::WAL_DIR;

/// The manifests of a directory.
pub(crate) struct Manifests {
    /// The current one, if it verifies.
    pub(crate) newest: Option<Manifest>,
    /// Those of earlier checkpoints that are kept and verify, newest first.
    pub(crate) kept: Vec<Manifest>,
}

impl Manifests {
    /// Reads all manifests in `dir`, whose entries are `names`.
    pub(crate) fn read(
        vfs: &dyn Vfs,
        dir: &Path,
        names: &[String],
        findings: &Findings<'_>,
    ) -> Result<Manifests> {
        let newest = match manifest::read(vfs, dir) {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                findings.damage_or(&dir.join(MANIFEST), error)?;
                None
            }
        };
        let mut versions: Vec<u64> = names.iter().filter_map(|name| kept::parse(name)).collect();
        versions.sort_unstable();
        let mut kept_ones = Vec::new();
        for version in versions.into_iter().rev() {
            let path = dir.join(kept::name(version));
            if newest.as_ref().is_some_and(|m| m.checkpoint_ts <= version) {
                let what = "a leftover of an interrupted checkpoint, which the next open removes";
                findings.tell(Finding::note(&path, None, what));
                continue;
            }
            match kept::read(vfs, dir, version) {
                Ok(manifest) => kept_ones.push(manifest),
                Err(error) => findings.damage_or(&path, error)?,
            }
        }
        Ok(Manifests {
            newest,
            kept: kept_ones,
        })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Manifest> {
        self.newest.iter().chain(&self.kept)
    }
}

/// Every data file that the manifests and the log name, once each, with as much of it as any of them
/// says is durable.
pub(crate) fn named_data_files<'a>(
    manifests: impl Iterator<Item = &'a Manifest>,
    bulk_files: &BulkFiles,
) -> Vec<DataFileEntry> {
    let mut all = Manifest::default();
    for manifest in manifests {
        for entry in &manifest.data_files {
            all.enter_data_file(*entry);
        }
    }
    bulk_files.enter(&mut all);
    all.data_files.sort_unstable_by_key(|entry| entry.number);
    all.data_files
}

/// Opens a data file whatever is wrong with it; `None` if there is none.
pub(crate) fn open_data_file(
    vfs: &dyn Vfs,
    dir: &Path,
    entry: &DataFileEntry,
    findings: Option<&Findings<'_>>,
) -> Result<Option<DataFile>> {
    let path = dir.join(data_file_name(entry.number));
    let tell = |finding| {
        if let Some(findings) = findings {
            findings.tell(finding);
        }
    };
    let identity = FileIdentity {
        number: entry.number,
        salt: entry.salt,
    };
    match DataFile::open(vfs, &path, identity, entry.durable_bytes) {
        Ok(file) => return Ok(Some(file)),
        Err(DataFileError::Corrupt { offset, what, .. }) => {
            tell(Finding::damage(&path, offset, what));
        }
        Err(DataFileError::Io(error)) if error.is_not_found() => {
            tell(Finding::damage(
                &path,
                None,
                "the file is missing, but it is needed",
            ));
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    }
    let opened = DataFile::open_damaged(vfs, &path, identity, entry.durable_bytes);
    opened.map(Some).map_err(Error::from)
}

/// Notes the files that nothing names.
pub(crate) fn note_unnamed(
    dir: &Path,
    names: &[String],
    manifests: &Manifests,
    data_files: &[DataFileEntry],
    findings: &Findings<'_>,
) {
    let data: BTreeSet<u32> = data_files.iter().map(|entry| entry.number).collect();
    let runs = manifests.all().flat_map(|manifest| &manifest.runs);
    let runs: BTreeSet<u64> = runs.map(|entry| entry.number).collect();
    for name in names {
        let is_named = name == MANIFEST
            || name == WAL_DIR
            || kept::parse(name).is_some()
            || parse_data_file_name(name).is_some_and(|number| data.contains(&number))
            || parse_run_file_name(name).is_some_and(|number| runs.contains(&number));
        if is_named {
            continue;
        }
        let is_leftover = name == MANIFEST_TEMPORARY
            || kept::is_temporary(name)
            || parse_data_file_name(name).is_some()
            || parse_run_file_name(name).is_some();
        let what = if is_leftover && manifests.newest.is_none() {
            "not checked: without a manifest nobody knows what belongs in it; a salvage looks into it"
        } else if is_leftover {
            "a leftover of an interrupted step, which the next open removes"
        } else {
            "the file is not the database's"
        };
        findings.tell(Finding::note(&dir.join(name), None, what));
    }
}

/// Expects all that is to be read.
pub(crate) fn expect(vfs: &dyn Vfs, dir: &Path, manifests: &Manifests, progress: &Progress) {
    // A figure for people only: what cannot be asked counts nothing.
    let length = |path: &Path| {
        let file = vfs.open(path, OpenMode::Read);
        file.and_then(|file| file.len()).unwrap_or(0)
    };
    let mut runs = BTreeSet::new();
    let mut bytes = 0;
    for manifest in manifests.all() {
        for entry in &manifest.runs {
            if runs.insert(entry.number) {
                bytes += length(&dir.join(run_file_name(entry.number)));
            }
        }
    }
    let data = named_data_files(manifests.all(), &BulkFiles::default());
    bytes += data.iter().map(|entry| entry.durable_bytes).sum::<u64>();
    let wal_dir = dir.join(WAL_DIR);
    for name in vfs.list(&wal_dir).unwrap_or_default() {
        // Once for what is proven, once for the records.
        bytes += 2 * length(&wal_dir.join(name));
    }
    progress.expect(bytes);
}

/// Data files, opened whatever is wrong with them.
pub(crate) struct Files {
    files: BTreeMap<u32, DataFile>,
    dir: PathBuf,
}

impl Files {
    pub(crate) fn open(
        vfs: &dyn Vfs,
        dir: &Path,
        entries: &[DataFileEntry],
        findings: &Findings<'_>,
    ) -> Result<Files> {
        let mut files = BTreeMap::new();
        for entry in entries {
            if let Some(file) = open_data_file(vfs, dir, entry, Some(findings))? {
                files.insert(entry.number, file);
            }
        }
        Ok(Files {
            files,
            dir: dir.to_path_buf(),
        })
    }

    pub(crate) fn add(&mut self, file: DataFile) {
        self.files.entry(file.identity().number).or_insert(file);
    }

    pub(crate) fn has(&self, number: u32) -> bool {
        self.files.contains_key(&number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &DataFile> {
        self.files.values()
    }

    pub(crate) fn path(&self, number: u32) -> PathBuf {
        self.dir.join(data_file_name(number))
    }

    /// The body of that version of that document.
    ///
    /// # Errors
    /// `Corrupt` if it does not verify; `Io`.
    pub(crate) fn read(&self, key: Key, version: u64, pointer: FilePtr) -> Result<Arc<[u8]>> {
        let id = FrameId {
            collection: key.collection,
            id: key.id,
            version,
        };
        match self.files.get(&pointer.file) {
            Some(file) => Ok(file.read(pointer, &id)?),
            None => {
                let path = self.path(pointer.file);
                let what = format!("{} is missing", path.display());
                Err(Error::new(ErrorKind::Corrupt, what))
            }
        }
    }
}
