//! Data directories made of backups.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_engine::backup::{BackedUpDatabase, Backup, Listener, RestoredDatabase};
use docdb_engine::{Error, ErrorKind};
use docdb_types::check_database_name;
use docdb_vfs::{DirLock, Vfs};

use crate::backup::of_database;
use crate::catalog::{Catalog, CatalogStore, Entry, EntryState};
use crate::error::{self, Result};
use crate::layout;

/// Makes a data directory of a backup that [`Pool::backup`](crate::Pool::backup) took: of all its
/// databases, or of those that are named. They keep their names, ids and durability modes; their
/// versions continue [far above](docdb_engine::backup::VERSIONS_LEFT_OUT) those in the backup, and the
/// ids of new databases above those of the source.
///
/// The backup is verified before anything is made. `data_dir` must not exist, or be empty; it is there
/// as a whole and durable when this returns, or as it was whatever happens before. It is built beside
/// itself, under its name with `.restoring` behind.
///
/// # Errors
/// `Corrupt` naming file and offset if something of the backup is missing or damaged; `AlreadyExists`
/// if `data_dir` is not empty; `DatabaseNotFound` if the backup lacks one that is named; `InUse` while
/// a backup is being written; `Cancelled`; `UnsupportedVersion`; `DiskFull`; `Io`.
pub fn restore(
    vfs: &Arc<dyn Vfs>,
    backup: &Path,
    data_dir: &Path,
    names: &[String],
    listener: Listener<'_>,
) -> Result<Vec<(BackedUpDatabase, RestoredDatabase)>> {
    if vfs.exists(data_dir)? && !vfs.list(data_dir)?.is_empty() {
        let message = format!(
            "{} is not empty, and is left as it is; restore into a new directory",
            data_dir.display()
        );
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    let opened = Backup::open(Arc::clone(vfs), backup)?;
    let chosen = choose(backup, opened.databases(), names)?;
    let ids: Vec<u64> = chosen.iter().map(|database| database.id).collect();
    opened.verify(&ids, &mut *listener)?;

    let above = layout::parent_of(data_dir);
    layout::create_dir_all(vfs.as_ref(), above)?;
    let (building, _lock) = make_building_dir(vfs.as_ref(), data_dir)?;
    let built = build(vfs, &opened, chosen, &building, listener);
    let built = built.and_then(|restored| {
        vfs.rename(&building, data_dir)?;
        Ok(restored)
    });
    if built.is_err() {
        // What cannot be removed now, the next attempt removes.
        let _ = layout::remove_tree(vfs.as_ref(), &building);
    }
    let restored = built?;
    vfs.sync_dir(above)?;
    Ok(restored)
}

/// The databases that are to be restored.
fn choose(
    backup: &Path,
    mut databases: Vec<BackedUpDatabase>,
    names: &[String],
) -> Result<Vec<BackedUpDatabase>> {
    let mut seen = HashSet::new();
    for database in &databases {
        let name = &database.name;
        // Of a database that is alone, or not what a pool writes.
        let fault = match check_database_name(name) {
            Err(error) => Some(error.to_string()),
            Ok(()) if !seen.insert(name) => Some("it is there twice".to_owned()),
            Ok(()) => None,
        };
        if let Some(fault) = fault {
            let message = format!(
                "{} is no backup of a data directory: database name {name:?}: {fault}",
                backup.display()
            );
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
    }
    if let Some(missing) = names.iter().find(|name| !seen.contains(name)) {
        let message = format!("{} holds no database {missing:?}", backup.display());
        return Err(Error::new(ErrorKind::DatabaseNotFound, message));
    }
    if !names.is_empty() {
        databases.retain(|database| names.contains(&database.name));
    }
    Ok(databases)
}

/// A new, locked directory beside the one that is to be made. What an interrupted restore left there
/// is removed; anything else is not touched.
fn make_building_dir(vfs: &dyn Vfs, data_dir: &Path) -> Result<(PathBuf, Box<dyn DirLock>)> {
    let Some(name) = data_dir.file_name() else {
        let message = format!("{} cannot be a data directory", data_dir.display());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    };
    let mut name = name.to_os_string();
    name.push(".restoring");
    let building = data_dir.with_file_name(name);
    if vfs.exists(&building)? {
        let _lock = vfs.lock_dir(&building)?;
        let names = vfs.list(&building)?;
        let is_ours =
            |name: &String| name.starts_with(layout::CATALOG) || layout::is_database_dir(name);
        if let Some(other) = names.iter().find(|name| !is_ours(name)) {
            let message = format!(
                "{} is in the way: {other:?} in it is not of a restore; move it away",
                building.display()
            );
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        layout::remove_tree(vfs, &building)?;
    }
    vfs.create_dir(&building)?;
    let lock = vfs.lock_dir(&building)?;
    Ok((building, lock))
}

fn build(
    vfs: &Arc<dyn Vfs>,
    backup: &Backup,
    databases: Vec<BackedUpDatabase>,
    building: &Path,
    listener: Listener<'_>,
) -> Result<Vec<(BackedUpDatabase, RestoredDatabase)>> {
    let mut data_dir_id = [0; 16];
    vfs.fill_random(&mut data_dir_id);
    let mut catalog = Catalog::new(data_dir_id);
    catalog.next_id = backup.next_database();
    let mut restored = Vec::with_capacity(databases.len());
    for database in databases {
        let into = building.join(layout::database_dir_name(database.id));
        let made = backup
            .restore(database.id, &into, &mut *listener)
            .map_err(|error| of_database(&database.name, error))?;
        catalog.next_id = catalog.next_id.max(database.id.saturating_add(1));
        catalog.entries.push(Entry {
            id: database.id,
            state: EntryState::Active,
            name: database.name.clone(),
            durability: database.durability.clone(),
        });
        restored.push((database, made));
    }
    CatalogStore::create(Arc::clone(vfs), building, catalog).map_err(error::from_catalog)?;
    Ok(restored)
}
