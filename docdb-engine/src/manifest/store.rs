//! Reads the manifest and replaces it atomically.

use std::path::Path;

use docdb_types::ErrorKind;
use docdb_vfs::{OpenMode, Vfs};

use super::format::{MANIFEST_BYTES_MAX, Manifest, ManifestError};
use crate::error::{Error, Result};
use crate::planted::{Bug, is_planted};

pub(crate) const MANIFEST: &str = "MANIFEST";
pub(crate) const MANIFEST_TEMPORARY: &str = "MANIFEST.tmp";

/// Reads the manifest of the database in `dir`. Its absence is an error: it is never made anew.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Manifest> {
    read_file(vfs, &dir.join(MANIFEST))
}

/// Reads a manifest.
pub(super) fn read_file(vfs: &dyn Vfs, path: &Path) -> Result<Manifest> {
    let corrupt = |what: &str| {
        Error::new(
            ErrorKind::Corrupt,
            format!("{} is damaged: {what}", path.display()),
        )
    };
    if !vfs.exists(path)? {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "{} is missing: the directory holds no database",
                path.display()
            ),
        ));
    }
    let file = vfs.open(path, OpenMode::Read)?;
    let length = file.len()?;
    if length > MANIFEST_BYTES_MAX {
        return Err(corrupt("it is longer than any manifest"));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Manifest::decode(&bytes).map_err(|error| match error {
        ManifestError::Damaged(what) => corrupt(what),
        ManifestError::Unsupported(what) => Error::new(
            ErrorKind::UnsupportedVersion,
            format!("{} cannot be read by this version: {what}", path.display()),
        ),
    })
}

/// Why a manifest was not replaced.
#[derive(Debug)]
pub(crate) enum ReplaceError {
    /// The new file could not be produced; the old manifest stands.
    Abandoned(Error),
    /// Which of the two stands is not known: the database must not go on writing.
    Final(Error),
}

/// Makes `manifest` the database's manifest, durably: written beside the old one, synced, renamed
/// over it, and the directory synced.
pub(crate) fn replace(
    vfs: &dyn Vfs,
    dir: &Path,
    manifest: &Manifest,
) -> std::result::Result<(), ReplaceError> {
    write(vfs, dir, MANIFEST, MANIFEST_TEMPORARY, manifest)
}

pub(super) fn write(
    vfs: &dyn Vfs,
    dir: &Path,
    name: &str,
    temporary: &str,
    manifest: &Manifest,
) -> std::result::Result<(), ReplaceError> {
    let temporary = dir.join(temporary);
    let produce = || -> docdb_vfs::Result<()> {
        if vfs.exists(&temporary)? {
            vfs.remove_file(&temporary)?;
        }
        let file = vfs.open(&temporary, OpenMode::CreateNew)?;
        file.write_all_at(&manifest.encode(), 0)?;
        file.sync_data()
    };
    produce().map_err(|error| ReplaceError::Abandoned(error.into()))?;
    let publish = || -> docdb_vfs::Result<()> {
        vfs.rename(&temporary, &dir.join(name))?;
        vfs.sync_dir(dir)
    };
    match publish() {
        Err(_) if is_planted(Bug::ManifestErrorIgnored) => Ok(()),
        published => published.map_err(|error| ReplaceError::Final(error.into())),
    }
}
