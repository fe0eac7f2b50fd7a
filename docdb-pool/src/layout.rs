//! Names of the files and directories below a data directory.
//!
//! | name | what |
//! |---|---|
//! | `CATALOG`, `CATALOG.copy` | the catalog, twice |
//! | `CATALOG.tmp`, `CATALOG.copy.tmp` | a change of the catalog that did not finish |
//! | `LOCK` | pid and socket of the owner, for messages only; the lock is on the directory |
//! | `db-` and 16 hexadecimal digits | one database, named by its id |
//! | the same with `.creating` | a database that is being made; it is renamed when it is whole |

use std::path::{Path, PathBuf};

use docdb_vfs::{IoError, Vfs};

pub(crate) const CATALOG: &str = "CATALOG";
pub(crate) const CATALOG_COPY: &str = "CATALOG.copy";
pub(crate) const LOCK: &str = "LOCK";
const DATABASE_PREFIX: &str = "db-";
/// What the engine appends to a database's directory while it makes it.
const CREATING_SUFFIX: &str = ".creating";

/// Deepest nesting of directories that [`remove_tree`] follows.
const TREE_DEPTH_MAX: usize = 8;

/// The directory name of the database `id`.
pub(crate) fn database_dir_name(id: u64) -> String {
    format!("{DATABASE_PREFIX}{id:016x}")
}

/// The directory name of the database `id` while it is being made.
pub(crate) fn creating_dir_name(id: u64) -> String {
    format!("{}{CREATING_SUFFIX}", database_dir_name(id))
}

/// The id in the name of a database's directory, spelled exactly as [`database_dir_name`] does.
pub(crate) fn parse_database_dir(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name.strip_prefix(DATABASE_PREFIX)?, 16).ok()?;
    (id > 0 && database_dir_name(id) == name).then_some(id)
}

/// Whether `name` is, or claims to be, a database's directory.
pub(crate) fn is_database_dir(name: &str) -> bool {
    name.starts_with(DATABASE_PREFIX)
}

/// The temporary name under which `path` is written.
pub(crate) fn temp_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".tmp");
    PathBuf::from(name)
}

/// The directory that holds `path`; `.` if the path has only one part.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Creates `dir` and whatever is missing above it; each new entry is durable when this returns.
pub(crate) fn create_dir_all(vfs: &dyn Vfs, dir: &Path) -> Result<(), IoError> {
    let mut missing = Vec::new();
    let mut at = dir;
    while !vfs.exists(at)? {
        missing.push(at);
        match at.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => at = parent,
            _ => break,
        }
    }
    for path in missing.into_iter().rev() {
        match vfs.create_dir(path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        vfs.sync_dir(parent_of(path))?;
    }
    Ok(())
}

/// Removes the directories of the database `id` with all that is in them; missing ones are fine.
/// The removal is durable after `sync_dir` of `data_dir`.
pub(crate) fn remove_database(vfs: &dyn Vfs, data_dir: &Path, id: u64) -> Result<(), IoError> {
    for name in [creating_dir_name(id), database_dir_name(id)] {
        remove_tree_below(vfs, &data_dir.join(name), TREE_DEPTH_MAX)?;
    }
    Ok(())
}

/// As [`remove_database`] for a database that an earlier process may have removed, durable when it
/// returns.
///
/// A directory that is gone already may be gone in memory only: if that process removed it and its
/// sync of `data_dir` failed, the kernel took the removal for written, and another sync proves
/// nothing. So it is made and removed once more, which is a new change to write.
pub(crate) fn remove_database_again(
    vfs: &dyn Vfs,
    data_dir: &Path,
    id: u64,
) -> Result<(), IoError> {
    for name in [creating_dir_name(id), database_dir_name(id)] {
        let dir = data_dir.join(name);
        if !vfs.exists(&dir)? {
            vfs.create_dir(&dir)?;
        }
    }
    vfs.sync_dir(data_dir)?;
    remove_database(vfs, data_dir, id)?;
    vfs.sync_dir(data_dir)
}

/// Removes a directory with all that is in it; a missing one is fine. Durable after `sync_dir` of the
/// directory above.
pub(crate) fn remove_tree(vfs: &dyn Vfs, dir: &Path) -> Result<(), IoError> {
    remove_tree_below(vfs, dir, TREE_DEPTH_MAX)
}

fn remove_tree_below(vfs: &dyn Vfs, dir: &Path, depth_left: usize) -> Result<(), IoError> {
    let names = match vfs.list(dir) {
        Ok(names) => names,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in names {
        let path = dir.join(name);
        if let Err(error) = vfs.remove_file(&path) {
            // A directory cannot be removed as a file; whatever cannot be listed either is reported
            // as the file that it is.
            if depth_left == 0 || vfs.list(&path).is_err() {
                return Err(error);
            }
            remove_tree_below(vfs, &path, depth_left - 1)?;
        }
    }
    vfs.remove_dir(dir)
}
