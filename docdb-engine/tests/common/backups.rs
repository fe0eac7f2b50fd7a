//! A database that is backed up, and what is restored.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_engine::backup::{Backup, BackupOptions, DatabaseBackup, Progress, RestoredDatabase};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::{Db, ManualDriver, Result, WriteOp};

use super::workload::text;
use super::{options, settle};

pub(crate) const BACKUP_DIR: &str = "/data/kept";

pub(crate) fn shared(vfs: &SimVfs) -> Arc<dyn Vfs> {
    Arc::new(vfs.clone())
}

pub(crate) fn quiet(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(crate) fn backed_up(db: &Db) -> Result<DatabaseBackup> {
    db.backup(BACKUP_DIR, BackupOptions::default(), &mut quiet)
}

/// Overwrites, deletes and creates, small and large, with a checkpoint in the middle.
pub(crate) fn changed(db: &Db, round: u64) -> Result<()> {
    let commit = |op: WriteOp<'_>| db.submit(&[op]).wait().map(|_| ());
    for n in 0..6 {
        let id = (round * 4 + n) % 11;
        commit(WriteOp::upsert("_default", id, text(round, 900).as_bytes()))?;
        if n == 3 {
            db.checkpoint()?;
        }
    }
    // A large one, which is in a data file at once.
    commit(WriteOp::upsert(
        "_default",
        20 + round % 3,
        text(round, 5_000).as_bytes(),
    ))?;
    if round > 0 {
        commit(WriteOp::delete("_default", (round * 4 + 1) % 11))?;
    }
    Ok(())
}

pub(crate) fn restored_dir(name: &str) -> PathBuf {
    Path::new("/data").join(format!("restored-{name}"))
}

/// Verifies the backup, and makes a database of it.
pub(crate) fn restored(vfs: &SimVfs, name: &str) -> Result<RestoredDatabase> {
    let backup = Backup::open(shared(vfs), Path::new(BACKUP_DIR))?;
    let id = backup.databases()[0].id;
    backup.verify(&[id], &mut quiet)?;
    backup.restore(id, &restored_dir(name), &mut quiet)
}

pub(crate) fn restored_from(vfs: &SimVfs, name: &str) -> Result<Db> {
    let driver = Arc::new(ManualDriver);
    Db::open_manual(shared(vfs), &restored_dir(name), options(), driver)
}

/// The names and bytes of all files below a directory.
pub(crate) fn contents(vfs: &SimVfs, below: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = vfs.files();
    files.retain(|path| path.starts_with(below));
    let read = |path: PathBuf| (path.clone(), vfs.read_file(&path).unwrap());
    files.into_iter().map(read).collect()
}
