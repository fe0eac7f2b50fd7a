//! Creating a database: built beside its place, then renamed into it, so that a directory with the
//! database's name always holds a whole one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_datafile::parse_data_file_name;
use docdb_index::parse_run_file_name;
use docdb_types::{DEFAULT_COLLECTION, ErrorKind};
use docdb_vfs::{RealVfs, Vfs};
use docdb_wal::{FlushDriver, ManualDriver, Wal, WalOptions};

use crate::db::Db;
use crate::driver::OwnThreads;
use crate::error::{Error, Result};
use crate::manifest::{self, CollectionEntry, MANIFEST, Manifest, ReplaceError};
use crate::open::{WAL_DIR, building_dir, parent};
use crate::options::DbOptions;

impl Db {
    /// Creates a database in `dir`, which must not exist, in an existing directory. It is durable when
    /// this returns, and it is there as a whole or not at all whatever happens before.
    ///
    /// # Errors
    /// `AlreadyExists`; `DiskFull`; `Io`.
    pub fn create(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: DbOptions,
        driver: Arc<dyn FlushDriver>,
    ) -> Result<Db> {
        let building = target_of(vfs.as_ref(), dir)?;
        remove_building(vfs.as_ref(), &building)?;
        build(&vfs, &building, &options)?;
        vfs.rename(&building, dir)?;
        if let Err(error) = vfs.sync_dir(&parent(dir)) {
            // The name may be lost, and no later sync of the directory would tell: nobody is to open
            // what stands under it. A name that cannot be given back either is for whoever looks at
            // the disk.
            let _ = vfs.rename(dir, &building);
            return Err(error.into());
        }
        Db::open_manual(vfs, dir, options, driver)
    }

    /// Opens the database in `dir` on this machine's disk, creating it if the directory does not
    /// exist or is empty. The database runs its own background work on two threads, which end when
    /// it is closed or when its last handle is dropped.
    ///
    /// # Errors
    /// As [`Db::open_manual`] and [`Db::create`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Db> {
        Db::open_with(dir, DbOptions::default())
    }

    /// As [`Db::open`], with options. `options.maintainer` is replaced.
    ///
    /// # Errors
    /// As [`Db::open`].
    pub fn open_with(dir: impl AsRef<Path>, mut options: DbOptions) -> Result<Db> {
        let dir = dir.as_ref();
        let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
        let threads = OwnThreads::start()?;
        options.maintainer = Some(threads.maintainer());
        let driver = threads.flush_driver();
        let exists = vfs.exists(dir)?;
        let db = if exists && !vfs.list(dir)?.is_empty() {
            Db::open_manual(vfs, dir, options, driver)?
        } else {
            if exists {
                vfs.remove_dir(dir)?;
            }
            Db::create(vfs, dir, options, driver)?
        };
        threads.serve(&db);
        Ok(Db {
            threads: Some(Arc::new(threads)),
            ..db
        })
    }
}

fn build(vfs: &Arc<dyn Vfs>, building: &Path, options: &DbOptions) -> Result<()> {
    vfs.create_dir(building)?;
    let wal_dir = building.join(WAL_DIR);
    vfs.create_dir(&wal_dir)?;
    let mut wal_options = WalOptions::default();
    wal_options.durability = options.durability;
    wal_options.segment_bytes_min = options.segment_bytes_min;
    wal_options.segment_bytes_max = options.segment_bytes_max;
    wal_options.bytes_max = Some(options.wal_bytes_max);
    let wal = Wal::create(
        Arc::clone(vfs),
        &wal_dir,
        wal_options,
        Arc::new(ManualDriver),
    )?;
    wal.close()?;
    let manifest = Manifest {
        edit: 1,
        wal_id: wal.id(),
        next_collection: 1,
        next_data_file: 1,
        next_run: 1,
        collections: vec![CollectionEntry {
            id: 0,
            created_ts: 0,
            documents: 0,
            highest_id: None,
            name: DEFAULT_COLLECTION.to_owned(),
        }],
        ..Manifest::default()
    };
    manifest::replace(vfs.as_ref(), building, &manifest).map_err(|error| match error {
        ReplaceError::Abandoned(error) | ReplaceError::Final(error) => error,
    })
}

/// Where a database that is to be in `dir` is built.
///
/// # Errors
/// `AlreadyExists` if `dir` does; `InvalidArgument` if the directory that it is to be in does not.
pub(crate) fn target_of(vfs: &dyn Vfs, dir: &Path) -> Result<PathBuf> {
    if vfs.exists(dir)? {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("{} exists already", dir.display()),
        ));
    }
    let parent = parent(dir);
    if !vfs.exists(&parent)? {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "cannot create the database {}: the directory {} does not exist; make it first",
                dir.display(),
                parent.display()
            ),
        ));
    }
    Ok(building_dir(dir))
}

/// Removes what an interrupted creation left: never a database, since that would have its name.
pub(crate) fn remove_building(vfs: &dyn Vfs, building: &Path) -> Result<()> {
    if !vfs.exists(building)? {
        return Ok(());
    }
    let wal_dir = building.join(WAL_DIR);
    if vfs.exists(&wal_dir)? {
        for name in vfs.list(&wal_dir)? {
            vfs.remove_file(&wal_dir.join(name))?;
        }
        vfs.remove_dir(&wal_dir)?;
    }
    for name in vfs.list(building)? {
        let is_ours = name.starts_with(MANIFEST)
            || parse_data_file_name(&name).is_some()
            || parse_run_file_name(&name).is_some();
        // Anything else is somebody else's, and the directory cannot be removed.
        if is_ours {
            vfs.remove_file(&building.join(name))?;
        }
    }
    vfs.remove_dir(building)?;
    Ok(())
}
