//! The directory of a backup: which ones are taken, what the files in it are called, and its
//! description.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use docdb_types::ErrorKind;
use docdb_vfs::{DirLock, OpenMode, Vfs};

use super::format::{BACKUP_BYTES_MAX, Description, DescriptionError, FileId, FileKind};
use crate::error::{Error, Result};
use crate::manifest::MANIFEST;
use crate::open::{lock_database, parent};

pub(crate) const BACKUP: &str = "BACKUP";
const BACKUP_TEMPORARY: &str = "BACKUP.tmp";
const ANEW: &str = ".anew";
/// What a pool keeps in its data directory, and an engine in a database's.
const SIGNS_OF_A_DATABASE: [&str; 3] = ["CATALOG", "CATALOG.copy", MANIFEST];
/// How many directories above a backup's are looked at.
const ABOVE_MAX: usize = 64;

/// The name of a database's directory in a backup.
pub(crate) fn database_dir_name(id: u64) -> String {
    format!("db-{id:016x}")
}

fn is_database_dir_name(name: &str) -> bool {
    let digits = name.strip_prefix("db-");
    digits.is_some_and(|digits| is_hex(digits, 16))
}

/// The name of a file in a backup. With the salt in it no two files of a database, past or future,
/// have the same.
pub(crate) fn file_name(id: &FileId) -> String {
    let FileId { kind, number, salt } = id;
    match kind {
        FileKind::Manifest => format!("manifest-{number:016x}"),
        FileKind::Data => format!("data-{number:08}-{salt:032x}"),
        FileKind::Run => format!("run-{number:08}-{salt:032x}"),
    }
}

/// What a file is called until it takes the place of a damaged one.
pub(crate) fn anew_name(id: &FileId) -> String {
    file_name(id) + ANEW
}

/// Whether such a name may have been given by a backup.
fn is_file_name(name: &str) -> bool {
    let name = name.strip_suffix(ANEW).unwrap_or(name);
    if let Some(digits) = name.strip_prefix("manifest-") {
        return is_hex(digits, 16);
    }
    let rest = ["data-", "run-"]
        .iter()
        .find_map(|kind| name.strip_prefix(kind));
    let parts = rest.and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(number, salt)| {
        number.len() >= 8 && number.bytes().all(|b| b.is_ascii_digit()) && is_hex(salt, 32)
    })
}

fn is_hex(digits: &str, count: usize) -> bool {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    digits.len() == count && digits.bytes().all(is_digit)
}

fn refused(dir: &Path, why: &str) -> Error {
    let message = format!("{} cannot take a backup: {why}", dir.display());
    Error::new(ErrorKind::InvalidArgument, message)
}

/// Makes the directory if it does not exist, locks it, and reads what backup is in it. Refuses what
/// is not a backup's own directory; nothing in it is changed.
pub(crate) fn enter(vfs: &dyn Vfs, dir: &Path) -> Result<(Box<dyn DirLock>, Option<Description>)> {
    if dir.components().any(|part| part == Component::ParentDir) {
        return Err(refused(
            dir,
            "its path leads up by \"..\"; name it directly",
        ));
    }
    let is_new = !vfs.exists(dir)?;
    let above = if is_new {
        parent(dir)
    } else {
        dir.to_path_buf()
    };
    if !vfs.exists(&above)? {
        let above = above.display();
        let why =
            format!("the directory {above} that it is to be in does not exist; make it first");
        return Err(refused(dir, &why));
    }
    if let Some(sign) = sign_of_a_database(vfs, &above)? {
        let why = format!("it lies where a database does, by {}", sign.display());
        return Err(refused(dir, &why));
    }
    if is_new {
        vfs.create_dir(dir)?;
        if let Err(error) = vfs.sync_dir(&above) {
            // Its name may be lost, and no later sync would write it: it is to be made anew.
            let _ = vfs.remove_dir(dir);
            return Err(error.into());
        }
    }
    let lock = lock_database(vfs, dir)?;
    if is_new {
        return Ok((lock, None));
    }
    let names = vfs.list(dir)?;
    if names.iter().any(|name| name == BACKUP) {
        return Ok((lock, Some(read(vfs, dir)?)));
    }
    // A first backup that was interrupted left nothing but this.
    for name in names.iter().filter(|name| *name != BACKUP_TEMPORARY) {
        let is_ours = is_database_dir_name(name)
            && vfs
                .list(&dir.join(name))?
                .iter()
                .all(|name| is_file_name(name));
        if !is_ours {
            let why = format!("{name:?} is in it, and no backup; name a directory of its own");
            return Err(refused(dir, &why));
        }
    }
    // Whoever made it need not have synced its name.
    vfs.sync_dir(&parent(dir))?;
    Ok((lock, None))
}

/// What shows that a directory, or one above it, is a database's or a data directory.
fn sign_of_a_database(vfs: &dyn Vfs, dir: &Path) -> Result<Option<PathBuf>> {
    let mut above = dir.to_path_buf();
    let mut by_path = Some(dir);
    for _ in 0..ABOVE_MAX {
        // As the path says, and as links in it lead.
        for place in by_path.into_iter().chain([above.as_path()]) {
            for sign in SIGNS_OF_A_DATABASE {
                let sign = place.join(sign);
                if vfs.exists(&sign)? {
                    return Ok(Some(sign));
                }
            }
        }
        by_path = by_path
            .and_then(Path::parent)
            .filter(|dir| !dir.as_os_str().is_empty());
        above.push("..");
        if !vfs.exists(&above)? {
            break;
        }
    }
    Ok(None)
}

/// Reads a backup's description.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Description> {
    let path = dir.join(BACKUP);
    let damaged = |offset: u64, what: &str| {
        let message = format!("{} is damaged at offset {offset}: {what}", path.display());
        Error::new(ErrorKind::Corrupt, message)
    };
    if !vfs.exists(&path)? {
        let message = format!(
            "{} holds no backup: {} is missing",
            dir.display(),
            path.display()
        );
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    let file = vfs.open(&path, OpenMode::Read)?;
    let length = file.len()?;
    if length > BACKUP_BYTES_MAX {
        return Err(damaged(
            BACKUP_BYTES_MAX,
            "it is longer than any description",
        ));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Description::decode(&bytes).map_err(|error| match error {
        DescriptionError::Damaged { offset, what } => damaged(offset, what),
        DescriptionError::Unsupported(what) => Error::new(
            ErrorKind::UnsupportedVersion,
            format!("{} cannot be read by this version: {what}", path.display()),
        ),
    })
}

/// Writes the description that is to be the backup's, durably but for its name; where it is. Nothing is
/// left of it if that fails.
pub(crate) fn write_description(
    vfs: &dyn Vfs,
    dir: &Path,
    description: &Description,
) -> Result<PathBuf> {
    let bytes = description.encode();
    if bytes.len() as u64 > BACKUP_BYTES_MAX {
        let message =
            "a backup of so many files and bytes cannot be described; name fewer databases";
        return Err(Error::new(ErrorKind::LimitExceeded, message));
    }
    let temporary = dir.join(BACKUP_TEMPORARY);
    if vfs.exists(&temporary)? {
        vfs.remove_file(&temporary)?;
    }
    let file = vfs.open(&temporary, OpenMode::CreateNew)?;
    let written = file.write_all_at(&bytes, 0).and_then(|()| file.sync_data());
    if let Err(error) = written {
        // What cannot be removed now, the next backup removes.
        let _ = vfs.remove_file(&temporary);
        return Err(error.into());
    }
    Ok(temporary)
}

/// Makes what was written the backup's description, durably. If it fails, it is open which of the two
/// stands.
pub(crate) fn replace(vfs: &dyn Vfs, dir: &Path, temporary: &Path) -> Result<()> {
    vfs.rename(temporary, &dir.join(BACKUP))?;
    vfs.sync_dir(dir)?;
    Ok(())
}

/// A new, empty directory for a database that the backup in `dir` does not name. One that an
/// interrupted backup left is not used: it is not known whether its name was ever synced.
pub(crate) fn make_database_dir(vfs: &dyn Vfs, dir: &Path, id: u64) -> Result<PathBuf> {
    let path = dir.join(database_dir_name(id));
    if vfs.exists(&path)? {
        remove_files(vfs, &path, &BTreeSet::new())?;
        vfs.remove_dir(&path)?;
    }
    vfs.create_dir(&path)?;
    vfs.sync_dir(dir)?;
    Ok(path)
}

/// Removes what earlier backups left and this one does not name.
pub(crate) fn remove_unnamed(vfs: &dyn Vfs, dir: &Path, description: &Description) -> Result<()> {
    for name in vfs.list(dir)? {
        if name == BACKUP_TEMPORARY {
            vfs.remove_file(&dir.join(&name))?;
        }
        if !is_database_dir_name(&name) {
            continue;
        }
        let path = dir.join(&name);
        let mut databases = description.databases.iter();
        let database = databases.find(|entry| database_dir_name(entry.id) == name);
        let files = database.map_or(&[][..], |entry| &entry.files);
        let named = files.iter().map(|file| file_name(&file.id)).collect();
        remove_files(vfs, &path, &named)?;
        if database.is_none() && vfs.list(&path)?.is_empty() {
            vfs.remove_dir(&path)?;
        }
    }
    Ok(())
}

/// Removes a backup's files from a directory, but for those that are `named`; others are somebody
/// else's and stay.
fn remove_files(vfs: &dyn Vfs, dir: &Path, named: &BTreeSet<String>) -> Result<()> {
    for name in vfs.list(dir)? {
        if is_file_name(&name) && !named.contains(&name) {
            vfs.remove_file(&dir.join(name))?;
        }
    }
    Ok(())
}
