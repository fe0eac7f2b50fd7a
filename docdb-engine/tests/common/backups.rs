//! A database that is backed up, and what is restored.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_engine::backup::{Backup, BackupOptions, DatabaseBackup, Progress, RestoredDatabase};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind, SimVfs};
use docdb_engine::{Db, ErrorKind, ManualDriver, Result, WriteOp};

use super::explore::{Finding, policies};
use super::model::State;
use super::workload::text;
use super::{create, dir, disk, dump, fault_at, open, options, settle};

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

/// Removes a directory with all that is in it.
pub(crate) fn remove(vfs: &SimVfs, path: &Path) {
    for (file, _) in contents(vfs, path) {
        vfs.remove_file(&file).unwrap();
    }
    for name in vfs.list(path).unwrap() {
        vfs.remove_dir(&path.join(name)).unwrap();
    }
    vfs.remove_dir(path).unwrap();
}

/// What the backup shows when it is restored, and its version.
pub(crate) fn shown_by_backup(vfs: &SimVfs) -> Finding<(u64, State)> {
    let report = restored(vfs, "shown").map_err(|e| format!("not restored: {e}"))?;
    let copy = restored_from(vfs, "shown").map_err(|e| format!("does not open: {e}"))?;
    let state = dump(&copy)?;
    drop(copy);
    remove(vfs, &restored_dir("shown"));
    Ok((report.version, state))
}

/// Takes a backup between whose steps everything changes; it must be of the version before.
pub(crate) fn taken_while_all_goes_on(seed: u64) -> Finding<()> {
    let vfs = disk();
    let failed = |e: docdb_engine::Error| format!("{:?}: {e}", e.kind());
    let db = create(&vfs).map_err(failed)?;
    for round in 0..3 + seed {
        changed(&db, round).map_err(failed)?;
        settle(&db).map_err(failed)?;
    }
    for backup in 0..3 {
        let (before, version) = (dump(&db)?, db.visible_version());
        let stats = db.stats();
        let mut steps = 0;
        let mut broken = None;
        let taken = db.backup(BACKUP_DIR, BackupOptions::default(), &mut |_: &Progress| {
            steps += 1;
            if steps < 12 {
                let all = changed(&db, 10 * seed + 100 * backup + steps)
                    .and_then(|()| settle(&db))
                    .and_then(|()| db.compact());
                broken = broken.take().or(all.err());
            }
            ControlFlow::Continue(())
        });
        if let Some(error) = broken {
            return Err(format!("the database: {error}"));
        }
        let taken = taken.map_err(failed)?;
        if (taken.version, steps > 8) != (version, true) {
            return Err(format!("{taken:?} in {steps} steps, and not {version}"));
        }
        let after = db.stats();
        if after.compactions < stats.compactions + 3 || after.merges < stats.merges + 3 {
            return Err(format!("little went on meanwhile: {after:?}"));
        }
        if shown_by_backup(&vfs)? != (version, before) {
            return Err("the backup shows something else".into());
        }
        dump(&db)?;
        // What was pinned is gone.
        let names = vfs.list(dir()).map_err(|e| e.to_string())?;
        if after.pinned_bytes != 0 || names.len() as u64 != after.data_files + after.runs + 2 {
            return Err(format!("{after:?}, {names:?}"));
        }
    }
    Ok(())
}

/// What was shown, by version, and which version is promised to be in the backup at least.
#[derive(Default)]
struct Known {
    created: bool,
    /// What each version showed.
    states: Vec<(u64, State)>,
    /// The version of the last backup that was answered.
    backed_up: Option<u64>,
    /// The version that every commit up to was acknowledged.
    version: u64,
}

/// Three backups of a database that changes between them, and within the last one.
fn life(vfs: &SimVfs, known: &mut Known) -> Result<()> {
    let db = create(vfs)?;
    known.created = true;
    let note = |known: &mut Known| -> Result<()> {
        let state = dump(&db);
        let state = state.map_err(|what| docdb_engine::Error::new(ErrorKind::Internal, what))?;
        known.version = db.visible_version();
        known.states.push((known.version, state));
        Ok(())
    };
    for round in 0..3 {
        changed(&db, round)?;
        settle(&db)?;
        note(known)?;
        known.backed_up = Some(backed_up(&db)?.version);
    }
    Ok(())
}

/// Loses power at every operation; how many different disks were looked at.
pub(crate) fn power_loss_everywhere() -> Finding<usize> {
    let whole = disk();
    let first = whole.op_count();
    life(&whole, &mut Known::default()).map_err(|e| format!("without any crash: {e}"))?;
    let mut seen = HashSet::new();
    for at_op in first..=whole.op_count() {
        let vfs = disk();
        fault_at(&vfs, at_op, FaultKind::PowerOff, false);
        let mut known = Known::default();
        let _ = life(&vfs, &mut known);
        if known.states.is_empty() {
            // The first backup has not begun.
            continue;
        }
        for policy in policies(&vfs, at_op, 2, 8) {
            let image = vfs.fork_crash(&policy);
            if policy != CrashPolicy::Kill && !seen.insert(image.image_hash()) {
                continue;
            }
            check(&image, &known)
                .map_err(|what| format!("at operation {at_op}, {policy:?}: {what}"))?;
        }
    }
    Ok(seen.len())
}

fn check(image: &SimVfs, known: &Known) -> Finding<()> {
    // The backup that was answered last stands, or the one after it.
    let is_there = image
        .exists(&Path::new(BACKUP_DIR).join("BACKUP"))
        .map_err(|e| e.to_string())?;
    if !is_there && let Some(version) = known.backed_up {
        return Err(format!("the backup of version {version} is gone"));
    }
    if is_there {
        let (version, state) = shown_by_backup(image)?;
        let expected = known.states.iter().find(|(known, _)| *known == version);
        if known.backed_up.is_some_and(|least| version < least) {
            return Err(format!("a backup of version {version} stands"));
        }
        if expected.map(|(_, state)| state) != Some(&state) {
            return Err(format!("the backup of version {version} shows {state:?}"));
        }
    }
    // The source has everything that was acknowledged, and can be backed up into the same place.
    let db = open(image).map_err(|e| format!("the source does not open: {e}"))?;
    if db.visible_version() < known.version {
        return Err(format!("the source is back at {}", db.visible_version()));
    }
    let shown = dump(&db)?;
    let taken = backed_up(&db).map_err(|e| format!("no backup afterwards: {e}"))?;
    drop(db);
    // And that one is there to stay.
    let after = image.fork_crash(&CrashPolicy::KeepNone);
    match shown_by_backup(&after)? {
        (version, state) if version == taken.version && state == shown => Ok(()),
        (version, _) => Err(format!(
            "the backup afterwards shows {version} and not {taken:?}"
        )),
    }
}
