//! A data directory that no server owns, looked at without changing it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use docdb_engine::offline::{Finding, Severity};
use docdb_engine::{Error, ErrorKind};
use docdb_vfs::{DirLock, Vfs};

use crate::catalog::{Catalog, EntryState, look_at_copies};
use crate::error::{self, Result};
use crate::{layout, lock_file};

/// The file that every backup has.
const BACKUP: &str = "BACKUP";

/// A database of a data directory.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) durability: Option<String>,
    pub(super) dir: PathBuf,
}

/// A locked data directory.
pub(super) struct Directory {
    /// `None` if neither copy verifies.
    pub(super) catalog: Option<Catalog>,
    /// Those that have a directory: of the catalog, and whatever else there is.
    pub(super) databases: Vec<Database>,
    /// What is wrong above the databases.
    pub(super) findings: Vec<Finding>,
    _lock: Box<dyn DirLock>,
}

fn finding(
    severity: Severity,
    file: &Path,
    offset: Option<u64>,
    what: impl Into<String>,
) -> Finding {
    Finding {
        severity,
        file: file.to_path_buf(),
        offset,
        what: what.into(),
        document: None,
    }
}

impl Directory {
    /// Locks and lists it.
    ///
    /// # Errors
    /// `InUse`; `InvalidArgument` if there is no such directory, or it is none of DocDB's;
    /// `UnsupportedVersion`; `Io`.
    pub(super) fn open(vfs: &dyn Vfs, data_dir: &Path) -> Result<Directory> {
        let refuse = |what: &str| {
            let message = format!("{}: {what}", data_dir.display());
            Err(Error::new(ErrorKind::InvalidArgument, message))
        };
        if !vfs.exists(data_dir).map_err(error::from_io)? {
            return refuse("there is no such directory");
        }
        let lock = vfs.lock_dir(data_dir).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => lock_file::in_use(vfs, data_dir),
            std::io::ErrorKind::NotADirectory => {
                let message = format!("{}: it is no directory", data_dir.display());
                Error::new(ErrorKind::InvalidArgument, message)
            }
            _ => error::from_io(error),
        })?;
        let names = vfs.list(data_dir).map_err(error::from_io)?;
        // A backup has directories with the same names in it.
        if names.iter().any(|name| name == BACKUP) && !names.iter().any(|n| n == layout::CATALOG) {
            return refuse(
                "it is a backup: \"docdb-server restore\" verifies it and makes a data directory of it",
            );
        }
        let is_ours = |name: &String| name == layout::CATALOG || name == layout::CATALOG_COPY;
        if !names
            .iter()
            .any(|name| is_ours(name) || layout::is_database_dir(name))
        {
            return refuse("it is no data directory: there is no CATALOG in it, and no database");
        }
        let looked = look_at_copies(vfs, data_dir).map_err(error::from_catalog)?;
        let mut directory = Directory {
            catalog: looked.catalog,
            databases: Vec::new(),
            findings: Vec::new(),
            _lock: lock,
        };
        for (path, offset, what, is_damage) in looked.problems {
            let severity = if is_damage {
                Severity::Damage
            } else {
                Severity::Note
            };
            directory
                .findings
                .push(finding(severity, &path, offset, what));
        }
        directory.list(data_dir, &names);
        Ok(directory)
    }

    fn list(&mut self, data_dir: &Path, names: &[String]) {
        let mut known: HashSet<String> = HashSet::new();
        let entries = self.catalog.iter().flat_map(|catalog| &catalog.entries);
        for entry in entries {
            let name = layout::database_dir_name(entry.id);
            let creating = layout::creating_dir_name(entry.id);
            let is_there = names.binary_search(&name).is_ok();
            let dir = data_dir.join(&name);
            match entry.state {
                EntryState::Active if is_there => self.databases.push(Database {
                    id: entry.id,
                    name: entry.name.clone(),
                    durability: Some(entry.durability.clone()),
                    dir: dir.clone(),
                }),
                EntryState::Active => {
                    let what = format!(
                        "the directory is missing, but the catalog names it: database {:?}",
                        entry.name
                    );
                    self.findings
                        .push(finding(Severity::Damage, &dir, None, what));
                }
                EntryState::Creating | EntryState::Dropping => {
                    let what = format!(
                        "database {:?} was being created or dropped; the next start ends that",
                        entry.name
                    );
                    self.findings
                        .push(finding(Severity::Note, &dir, None, what));
                }
            }
            known.extend([name, creating]);
        }
        for name in names {
            let dir = data_dir.join(name);
            if layout::is_database_dir(name) && !known.contains(name) {
                let what = "the directory is that of a database which is not in the catalog";
                self.findings
                    .push(finding(Severity::Damage, &dir, None, what));
                if let Some(id) = layout::parse_database_dir(name) {
                    let name = self.free_name(name);
                    self.databases.push(Database {
                        id,
                        name,
                        durability: None,
                        dir,
                    });
                }
            } else if name.ends_with(".tmp") {
                let what = "a leftover of an interrupted change, which the next one replaces";
                self.findings
                    .push(finding(Severity::Note, &dir, None, what));
            }
        }
        self.databases.sort_by_key(|database| database.id);
    }

    /// This name, or one like it if a database of the catalog has it.
    fn free_name(&self, name: &str) -> String {
        let is_free = |name: &str| self.databases.iter().all(|database| database.name != name);
        let others = (1u64..).map(|n| format!("{name}-{n}"));
        let mut names = std::iter::once(name.to_owned()).chain(others);
        names.find(|name| is_free(name)).unwrap_or_default()
    }

    /// Those with these names; all if there are none.
    ///
    /// # Errors
    /// `DatabaseNotFound`.
    pub(super) fn named(&self, names: &[String]) -> Result<Vec<&Database>> {
        if names.is_empty() {
            return Ok(self.databases.iter().collect());
        }
        let find = |name: &String| {
            let mut all = self.databases.iter();
            all.find(|database| database.name == *name)
                .ok_or_else(|| error::not_found(name))
        };
        names.iter().map(find).collect()
    }
}
