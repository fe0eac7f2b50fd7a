//! Reading a backup back: every byte that it holds, and every document.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_datafile::{DataFile, DocStore};
use docdb_index::{Run, RunIdentity};
use docdb_types::ErrorKind;
use docdb_vfs::{OpenMode, Vfs};

use super::copy::too_short;
use super::format::{CHUNK_BYTES, DatabaseEntry, FileEntry, FileId, FileKind};
use super::place::file_name;
use super::work::Work;
use crate::checkpoints::verify_documents;
use crate::error::{Error, Result};
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest, decode_manifest};
use crate::pointer::DocPtr;
use crate::publish::identity_of;

/// Reads the files of a database in a backup and compares their checksums.
///
/// # Errors
/// `Corrupt` naming the file and the offset from which on it differs; `Io`; `Cancelled`.
pub(super) fn verify_files(work: &mut Work<'_>, dir: &Path, entry: &DatabaseEntry) -> Result<()> {
    for file in &entry.files {
        verify_file(work, dir, file)?;
    }
    Ok(())
}

/// As [`verify_files`], for one of them.
pub(super) fn verify_file(work: &mut Work<'_>, dir: &Path, file: &FileEntry) -> Result<()> {
    read_verified(work, &dir.join(file_name(&file.id)), file, |_, _| Ok(()))
}

/// Reads what counts of a file, a chunk at a time, and hands on what verifies with its offset.
pub(super) fn read_verified(
    work: &mut Work<'_>,
    path: &Path,
    file: &FileEntry,
    mut each: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    if !work.vfs.exists(path)? {
        let message = format!("{} is missing, but the backup names it", path.display());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    let source = work.vfs.open(path, OpenMode::Read)?;
    let length = source.len()?;
    if length < file.bytes {
        return Err(too_short(path, length));
    }
    let mut buffer = vec![0; file.bytes.min(CHUNK_BYTES) as usize];
    let mut at = 0;
    for crc in &file.crcs {
        let chunk = &mut buffer[..(file.bytes - at).min(CHUNK_BYTES) as usize];
        source.read_exact_at(chunk, at)?;
        if crc32fast::hash(chunk) != *crc {
            let end = at + chunk.len() as u64;
            let message = format!(
                "{} is damaged between offset {at} and {end}: the checksum that the backup has of it \
                 does not match",
                path.display()
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        each(chunk, at)?;
        at += chunk.len() as u64;
        work.done(chunk.len() as u64)?;
    }
    Ok(())
}

/// The manifest of a database in a backup.
pub(super) fn read_manifest(
    work: &mut Work<'_>,
    dir: &Path,
    entry: &DatabaseEntry,
) -> Result<Manifest> {
    let mut files = entry.files.iter();
    let file = files.find(|file| file.id.kind == FileKind::Manifest);
    let damaged = |what: &str| {
        let message = format!(
            "the backup of database {} in {}: {what}",
            entry.id,
            dir.display()
        );
        Error::new(ErrorKind::Corrupt, message)
    };
    let file = file.ok_or_else(|| damaged("it names no manifest"))?;
    if file.bytes > MANIFEST_BYTES_MAX {
        return Err(damaged("its manifest is longer than any"));
    }
    let path = dir.join(file_name(&file.id));
    let mut bytes = Vec::with_capacity(file.bytes as usize);
    read_verified(work, &path, file, |chunk, _| {
        bytes.extend_from_slice(chunk);
        Ok(())
    })?;
    let manifest = decode_manifest(&path, &bytes)?;
    let mut named: Vec<(FileId, Option<u64>)> = files_of(&manifest).collect();
    let has = |file: &FileEntry| (file.id, Some(file.bytes));
    named.retain(|(id, bytes)| {
        let held = entry.files.iter().map(has).find(|(held, _)| held == id);
        held.is_none_or(|(_, held)| bytes.is_some() && held != *bytes)
    });
    let is_other = manifest.checkpoint_ts != entry.version;
    match named.first() {
        Some((id, _)) => Err(damaged(&format!("{} is not in it", file_name(id)))),
        None if is_other => Err(damaged("its manifest is of another version")),
        None => Ok(manifest),
    }
}

/// The files that a manifest names, and of data files how much of it counts.
pub(super) fn files_of(manifest: &Manifest) -> impl Iterator<Item = (FileId, Option<u64>)> {
    let data = manifest.data_files.iter().map(|entry| {
        let id = FileId {
            kind: FileKind::Data,
            number: u64::from(entry.number),
            salt: entry.salt,
        };
        (id, Some(entry.durable_bytes))
    });
    let runs = manifest.runs.iter().map(|entry| {
        let id = FileId {
            kind: FileKind::Run,
            number: entry.number,
            salt: entry.salt,
        };
        (id, None)
    });
    data.chain(runs)
}

/// Reads every document of a database by its index, from files that `path_of` finds; how many there
/// are.
pub(super) fn read_documents(
    work: &mut Work<'_>,
    manifest: &Manifest,
    path_of: impl Fn(&FileId) -> PathBuf,
) -> Result<u64> {
    let vfs = Arc::clone(&work.vfs);
    let vfs: &dyn Vfs = vfs.as_ref();
    let store = DocStore::new();
    let mut runs: Vec<Arc<Run<DocPtr>>> = Vec::new();
    for (n, (id, _)) in files_of(manifest).enumerate() {
        let path = path_of(&id);
        match manifest.data_files.get(n) {
            Some(entry) => {
                let (identity, bytes) = (identity_of(entry), entry.durable_bytes);
                store.add(DataFile::open(vfs, &path, identity, bytes)?);
            }
            None => {
                let FileId { number, salt, .. } = id;
                let identity = RunIdentity { number, salt };
                runs.push(Arc::new(Run::open(vfs, &path, identity)?));
            }
        }
    }
    verify_documents(&runs, &store, manifest, |bytes| work.pace(bytes))
}
