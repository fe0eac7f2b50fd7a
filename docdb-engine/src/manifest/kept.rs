//! Manifests of earlier checkpoints, kept under names with their versions.

use std::path::Path;

use docdb_vfs::Vfs;

use super::format::Manifest;
use super::store::{self, ReplaceError};
use crate::error::Result;

const PREFIX: &str = "MANIFEST-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// The name of the manifest of the checkpoint with this version.
pub(crate) fn name(version: u64) -> String {
    format!("{PREFIX}{version:020}")
}

/// The version in such a name.
pub(crate) fn parse(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_prefix(PREFIX)?;
    let is_number = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// Whether a file of that name was to become a kept manifest.
pub(crate) fn is_temporary(file_name: &str) -> bool {
    let name = file_name.strip_suffix(TEMPORARY_SUFFIX);
    name.and_then(parse).is_some()
}

/// Keeps a copy of a manifest, durably.
pub(crate) fn write(
    vfs: &dyn Vfs,
    dir: &Path,
    manifest: &Manifest,
) -> std::result::Result<(), ReplaceError> {
    let name = name(manifest.checkpoint_ts);
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    store::write(vfs, dir, &name, &temporary, manifest)
}

/// Reads the kept manifest of that version.
///
/// # Errors
/// `Corrupt`, also if it is that of another version; `UnsupportedVersion`; `Io`.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path, version: u64) -> Result<Manifest> {
    let path = dir.join(name(version));
    let manifest = store::read_file(vfs, &path)?;
    if manifest.checkpoint_ts == version {
        return Ok(manifest);
    }
    Err(crate::Error::new(
        docdb_types::ErrorKind::Corrupt,
        format!(
            "{} is damaged: it is that of version {}",
            path.display(),
            manifest.checkpoint_ts
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_others() {
        assert_eq!(parse(&name(77)), Some(77));
        assert_eq!(parse(&name(u64::MAX)), Some(u64::MAX));
        assert!(is_temporary(&format!("{}.tmp", name(0))));
        for other in ["MANIFEST", "MANIFEST.tmp", "MANIFEST-", "MANIFEST-77"] {
            assert_eq!(parse(other), None, "{other}");
            assert!(!is_temporary(other));
        }
        assert_eq!(parse("MANIFEST-99999999999999999999"), None);
    }
}
