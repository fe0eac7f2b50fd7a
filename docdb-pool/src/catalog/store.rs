//! The catalog on disk: two copies, each replaced atomically, one edit after the other.
//!
//! Both copies are written and durable before a change is answered, so an answered change is in
//! each of them and either alone is enough. A change that was never answered may be in the first
//! copy only; the next open takes the copy with the higher edit number and rewrites the other from
//! it before anything is answered.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_vfs::{IoError, IoOp, OpenMode, Vfs};

use super::format::{CATALOG_BYTES_MAX, Catalog, Entry, EntryState, FormatError};
use crate::layout;
use crate::planted::{Bug, is_planted};

/// The operating system's number for "input/output error": the medium could not give the bytes.
const EIO: i32 = 5;

/// Why the catalog could not be read or changed.
#[derive(Debug, Clone)]
pub(crate) enum CatalogError {
    /// The operating system refused an operation; the catalog is as it was.
    Io(IoError),
    /// A change failed in a way that leaves open whether it is durable. The catalog takes no more.
    Failed(IoError),
    /// An earlier change failed; the catalog takes no more.
    Poisoned(IoError),
    /// Nothing valid is left.
    Corrupt {
        path: PathBuf,
        offset: u64,
        what: String,
    },
    /// A newer build wrote it.
    Unsupported { path: PathBuf, what: String },
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogError::Io(error) => write!(f, "{error}"),
            CatalogError::Failed(error) => {
                write!(
                    f,
                    "{error}; whether the change is durable is not known, and the catalog takes no more changes until the next start"
                )
            }
            CatalogError::Poisoned(error) => {
                write!(
                    f,
                    "the catalog takes no more changes since one failed: {error}"
                )
            }
            CatalogError::Corrupt { path, offset, what } => {
                write!(
                    f,
                    "{} is damaged at offset {offset}: {what}",
                    path.display()
                )
            }
            CatalogError::Unsupported { path, what } => {
                write!(f, "{} is of an unknown version: {what}", path.display())
            }
        }
    }
}

impl std::error::Error for CatalogError {}

/// The catalog of an open data directory.
#[derive(Debug)]
pub(crate) struct CatalogStore {
    vfs: Arc<dyn Vfs>,
    data_dir: PathBuf,
    /// What both copies hold.
    current: Catalog,
    /// The first failure. It is final: the copies may differ from `current` from then on.
    failure: Option<IoError>,
}

/// What opening a catalog found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: CatalogStore,
    /// The data directory was new.
    pub(crate) created: bool,
    /// The copy that was rewritten from the other one, and why.
    pub(crate) restored: Option<(PathBuf, String)>,
}

/// One copy as it was found.
enum Copy {
    Valid(Catalog),
    Missing,
    Damaged { offset: u64, what: String },
}

/// What the copies of a catalog are, without the wish to open it.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// The newest that verifies.
    pub(crate) catalog: Option<Catalog>,
    /// Of each copy that is not what it should be the file, the place, what is wrong, and whether that is
    /// damage rather than an interrupted change.
    pub(crate) problems: Vec<(PathBuf, Option<u64>, String, bool)>,
}

/// Reads both copies.
pub(crate) fn look_at_copies(vfs: &dyn Vfs, data_dir: &Path) -> Result<Looked, CatalogError> {
    let mut looked = Looked::default();
    let mut found = Vec::new();
    for name in [layout::CATALOG, layout::CATALOG_COPY] {
        let path = data_dir.join(name);
        match read_copy(vfs, &path)? {
            Copy::Valid(catalog) => found.push((path, catalog)),
            Copy::Missing => looked
                .problems
                .push((path, None, "it is missing".into(), true)),
            Copy::Damaged { offset, what } => {
                looked.problems.push((path, Some(offset), what, true));
            }
        }
    }
    if let [(_, one), (path, two)] = &found[..] {
        let problem = if one.data_dir_id != two.data_dir_id {
            Some(("it and its copy are from different data directories", true))
        } else if one.edit != two.edit {
            Some((
                "one copy is older than the other, which the next start corrects",
                false,
            ))
        } else if one != two {
            Some(("it and its copy differ at the same edit number", true))
        } else {
            None
        };
        if let Some((what, is_damage)) = problem {
            let problem = (path.clone(), Some(24), what.into(), is_damage);
            looked.problems.push(problem);
        }
    }
    let catalogs = found.into_iter().map(|(_, catalog)| catalog);
    looked.catalog = catalogs.max_by_key(|catalog| catalog.edit);
    Ok(looked)
}

impl CatalogStore {
    /// Makes `catalog` that of a directory that has none, durably.
    pub(crate) fn create(
        vfs: Arc<dyn Vfs>,
        data_dir: &Path,
        catalog: Catalog,
    ) -> Result<(), CatalogError> {
        let mut store = CatalogStore {
            vfs,
            data_dir: data_dir.to_path_buf(),
            current: catalog.clone(),
            failure: None,
        };
        store.replace(catalog)
    }

    /// Opens the catalog of `data_dir`, whose entries are `names`. Judges first: nothing is changed
    /// unless the verdict is that the catalog opens. A catalog is made only in a directory that has
    /// neither copy nor any database directory.
    pub(crate) fn open(
        vfs: Arc<dyn Vfs>,
        data_dir: &Path,
        names: &[String],
    ) -> Result<Opened, CatalogError> {
        let first = data_dir.join(layout::CATALOG);
        let second = data_dir.join(layout::CATALOG_COPY);
        let other = if is_planted(Bug::SecondCopyIgnored) {
            &first
        } else {
            &second
        };
        let found = (read_copy(&*vfs, &first)?, read_copy(&*vfs, other)?);
        let store = |current| CatalogStore {
            vfs: vfs.clone(),
            data_dir: data_dir.to_path_buf(),
            current,
            failure: None,
        };
        let (store, created, restored) = match found {
            (Copy::Missing, Copy::Missing) => {
                if let Some(name) = names.iter().find(|name| layout::is_database_dir(name)) {
                    let what = format!("it is missing, as is its copy, but there is {name}");
                    return Err(CatalogError::Corrupt {
                        path: first,
                        offset: 0,
                        what,
                    });
                }
                let mut data_dir_id = [0; 16];
                vfs.fill_random(&mut data_dir_id);
                let mut store = store(Catalog::new(data_dir_id));
                let catalog = store.current.clone();
                store.replace(catalog)?;
                (store, true, None)
            }
            (Copy::Valid(one), Copy::Valid(two)) => {
                if one.data_dir_id != two.data_dir_id {
                    let what = "it and its copy are from different data directories".into();
                    return Err(CatalogError::Corrupt {
                        path: first,
                        offset: 48,
                        what,
                    });
                }
                if one.edit == two.edit && one != two {
                    let what = "it and its copy differ at the same edit number".into();
                    return Err(CatalogError::Corrupt {
                        path: first,
                        offset: 24,
                        what,
                    });
                }
                match one.edit.cmp(&two.edit) {
                    std::cmp::Ordering::Equal => (store(one), false, None),
                    std::cmp::Ordering::Greater => {
                        let why = format!("edit {} is older than {}", two.edit, one.edit);
                        (store(one), false, Some((second, why)))
                    }
                    std::cmp::Ordering::Less => {
                        let why = format!("edit {} is older than {}", one.edit, two.edit);
                        (store(two), false, Some((first, why)))
                    }
                }
            }
            (Copy::Valid(one), other) => (store(one), false, Some((second, why(&other)))),
            (other, Copy::Valid(two)) => (store(two), false, Some((first, why(&other)))),
            (Copy::Damaged { offset, what }, other) => {
                let what = format!("{what}; and its copy: {}", why(&other));
                return Err(CatalogError::Corrupt {
                    path: first,
                    offset,
                    what,
                });
            }
            (Copy::Missing, Copy::Damaged { offset, what }) => {
                let what = format!("{what}; and {} is missing", layout::CATALOG);
                return Err(CatalogError::Corrupt {
                    path: second,
                    offset,
                    what,
                });
            }
        };
        Ok(Opened {
            store,
            created,
            restored,
        })
    }

    /// Rewrites the copy at `path` from the one that was judged valid. Called once the whole data
    /// directory was judged.
    pub(crate) fn restore(&mut self, path: &Path) -> Result<(), CatalogError> {
        let bytes = self.current.encode();
        let result = write_temp(&*self.vfs, path, &bytes)
            .and_then(|()| put_in_place(&*self.vfs, &self.data_dir, path));
        result.map_err(|error| {
            self.failure = Some(error.clone());
            CatalogError::Failed(error)
        })
    }

    /// Every entry, ascending by id.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.current.entries
    }

    /// What tells this data directory from every other.
    pub(crate) fn data_dir_id(&self) -> [u8; 16] {
        self.current.data_dir_id
    }

    /// The id that the next database gets.
    pub(crate) fn next_id(&self) -> u64 {
        self.current.next_id
    }

    /// The number of changes that this catalog has had.
    pub(crate) fn edit(&self) -> u64 {
        self.current.edit
    }

    /// Whether an earlier failure ended the catalog's changes.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.failure.is_some()
    }

    /// Ends the catalog's changes: a sync of its directory failed elsewhere.
    pub(crate) fn poison(&mut self, error: IoError) {
        self.failure.get_or_insert(error);
    }

    /// Adds a database in the state `Creating` and gives its id, which was never used before and,
    /// being durable when this returns, never will be again.
    pub(crate) fn add(&mut self, name: &str, durability: &str) -> Result<u64, CatalogError> {
        let mut next = self.current.clone();
        let id = next.next_id;
        next.next_id += 1;
        next.entries.push(Entry {
            id,
            state: EntryState::Creating,
            name: name.into(),
            durability: durability.into(),
        });
        self.change(next)?;
        Ok(id)
    }

    /// Sets the state of the database `id`.
    pub(crate) fn set_state(&mut self, id: u64, state: EntryState) -> Result<(), CatalogError> {
        let mut next = self.current.clone();
        for entry in next.entries.iter_mut().filter(|entry| entry.id == id) {
            entry.state = state;
        }
        self.change(next)
    }

    /// Removes the database `id`, whose directory must be gone for good.
    pub(crate) fn remove(&mut self, id: u64) -> Result<(), CatalogError> {
        let mut next = self.current.clone();
        next.entries.retain(|entry| entry.id != id);
        self.change(next)
    }

    fn change(&mut self, mut next: Catalog) -> Result<(), CatalogError> {
        if let Some(error) = &self.failure {
            return Err(CatalogError::Poisoned(error.clone()));
        }
        next.edit = self.current.edit + 1;
        self.replace(next)
    }

    /// Makes `next` durable in both copies. Both temporary files are complete before the first
    /// rename, so that a full disk is found while the catalog is still untouched.
    fn replace(&mut self, next: Catalog) -> Result<(), CatalogError> {
        let bytes = next.encode();
        let first = self.data_dir.join(layout::CATALOG);
        let second = self.data_dir.join(layout::CATALOG_COPY);
        let vfs = &*self.vfs;
        let written =
            write_temp(vfs, &first, &bytes).and_then(|()| write_temp(vfs, &second, &bytes));
        if let Err(error) = written {
            // A full disk, and a temporary file that cannot even be opened (descriptors have run
            // out, no permission), refuse before anything of the catalog was touched. All else, a
            // failed sync above all, is final: what the disk holds can no longer be relied on.
            let untouched =
                error.op() == IoOp::Open || error.is_disk_full() && error.op() != IoOp::Sync;
            if untouched {
                let _ = vfs.remove_file(&layout::temp_of(&first));
                let _ = vfs.remove_file(&layout::temp_of(&second));
                return Err(CatalogError::Io(error));
            }
            self.failure = Some(error.clone());
            return Err(CatalogError::Failed(error));
        }
        let placed = put_in_place(vfs, &self.data_dir, &first)
            .and_then(|()| put_in_place(vfs, &self.data_dir, &second));
        if let Err(error) = placed
            && !is_planted(Bug::CatalogErrorIgnored)
        {
            self.failure = Some(error.clone());
            return Err(CatalogError::Failed(error));
        }
        self.current = next;
        Ok(())
    }
}

fn why(copy: &Copy) -> String {
    match copy {
        Copy::Valid(_) => "it is valid".into(),
        Copy::Missing => "it is missing".into(),
        Copy::Damaged { offset, what } => format!("it is damaged at offset {offset}: {what}"),
    }
}

/// Reads and verifies one copy. The medium's refusal to give its bytes counts as damage, since the
/// other copy holds every answered change; any other failure says nothing about the copy.
fn read_copy(vfs: &dyn Vfs, path: &Path) -> Result<Copy, CatalogError> {
    let file = match vfs.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(Copy::Missing),
        Err(error) => return Err(CatalogError::Io(error)),
    };
    let len = file.len().map_err(CatalogError::Io)?;
    if len > CATALOG_BYTES_MAX as u64 {
        let what = format!("{len} bytes are more than a catalog can have");
        return Ok(Copy::Damaged {
            offset: CATALOG_BYTES_MAX as u64,
            what,
        });
    }
    let mut bytes = vec![0; len as usize];
    if let Err(error) = file.read_exact_at(&mut bytes, 0) {
        if error.raw_os_error() == Some(EIO) {
            let what = format!("it cannot be read: {error}");
            return Ok(Copy::Damaged {
                offset: error.offset().unwrap_or(0),
                what,
            });
        }
        return Err(CatalogError::Io(error));
    }
    match Catalog::decode(&bytes) {
        Ok(catalog) => Ok(Copy::Valid(catalog)),
        Err(FormatError::Damaged { offset, what }) => Ok(Copy::Damaged {
            offset,
            what: what.into(),
        }),
        Err(FormatError::Unsupported { what }) => Err(CatalogError::Unsupported {
            path: path.to_path_buf(),
            what,
        }),
    }
}

/// Writes and syncs the temporary file of `path`. One left by an interrupted change is replaced.
fn write_temp(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Result<(), IoError> {
    let temp = layout::temp_of(path);
    match vfs.remove_file(&temp) {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let file = vfs.open(&temp, OpenMode::CreateNew)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()
}

/// Renames the temporary file of `path` to `path` and makes that durable.
fn put_in_place(vfs: &dyn Vfs, data_dir: &Path, path: &Path) -> Result<(), IoError> {
    vfs.rename(&layout::temp_of(path), path)?;
    vfs.sync_dir(data_dir)
}
