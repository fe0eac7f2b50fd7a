//! A database that keeps its last checkpoints, and what each of them must hold.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind, SimVfs};
use docdb_engine::{Db, DbOptions, ManualDriver, Result, WriteOp, checkpoints};

use super::explore::{Finding, policies};
use super::model::State;
use super::workload::text;
use super::{create_with, dir, disk, dump, fault_at, open_with, options, settle};

/// What the database showed when a checkpoint of that version was taken.
pub(crate) type Shown = BTreeMap<u64, State>;

pub(crate) fn keeping(count: usize) -> DbOptions {
    let mut options = options();
    options.keep_checkpoints = count;
    options
}

/// Overwrites, deletes, creates and drops, with a checkpoint after each round.
pub(crate) fn round(db: &Db, round: u64, shown: &mut Shown) -> Result<()> {
    let commit = |op: WriteOp<'_>| db.submit(&[op]).wait().map(|_| ());
    for n in 0..4 {
        let id = (round * 3 + n) % 9;
        commit(WriteOp::upsert("_default", id, text(round, 900).as_bytes()))?;
    }
    if round % 3 == 1 {
        db.create_collection("other").wait()?;
        commit(WriteOp::create("other", 1, text(round, 2_000).as_bytes()))?;
        commit(WriteOp::delete("_default", (round * 3) % 9))?;
        // A large one.
        commit(WriteOp::upsert("other", 2, text(round, 5_000).as_bytes()))?;
    }
    if round.is_multiple_of(3) && round > 0 {
        db.drop_collection("other", true).wait()?;
    }
    let now =
        dump(db).map_err(|what| docdb_engine::Error::new(super::ErrorKind::Internal, what))?;
    shown.insert(db.visible_version(), now);
    db.checkpoint()?;
    settle(db)?;
    if round.is_multiple_of(2) {
        db.compact()?;
    }
    Ok(())
}

fn workload(vfs: &SimVfs, shown: &mut Shown) -> Result<()> {
    let mut db = create_with(vfs, keeping(3))?;
    for n in 0..7 {
        if n == 3 {
            db.close()?;
            db = open_with(vfs, keeping(3))?;
        }
        round(&db, n, shown)?;
    }
    Ok(())
}

pub(crate) fn copy_dir(version: u64) -> PathBuf {
    Path::new("/data").join(format!("copy-{version}"))
}

/// Makes a database of the checkpoint, and what it shows.
pub(crate) fn copied(vfs: &SimVfs, version: u64) -> Finding<State> {
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let into = copy_dir(version);
    checkpoints::copy_with(&shared, dir(), version, &into)
        .map_err(|e| format!("{version} cannot be copied: {:?}: {e}", e.kind()))?;
    let db = Db::open_manual(shared, &into, options(), Arc::new(ManualDriver))
        .map_err(|e| format!("the copy of {version} does not open: {e}"))?;
    dump(&db)
}

/// Every checkpoint that is listed holds what the database showed then, before it is opened and
/// after that; how many there are then.
pub(crate) fn check_kept(vfs: &SimVfs, shown: &Shown) -> Finding<usize> {
    check_listed(&vfs.fork_crash(&CrashPolicy::KeepAll), shown)?;
    let opened = open_with(vfs, keeping(3)).map_err(|e| format!("does not open: {e}"))?;
    drop(opened);
    match check_listed(vfs, shown)? {
        listed @ ..=3 => Ok(listed),
        listed => Err(format!("{listed} are kept")),
    }
}

fn check_listed(vfs: &SimVfs, shown: &Shown) -> Finding<usize> {
    let listed = checkpoints::list_with(vfs, dir()).map_err(|e| format!("no list: {e}"))?;
    for kept in listed.iter().filter(|kept| kept.version > 0) {
        let found = copied(vfs, kept.version)?;
        match shown.get(&kept.version) {
            Some(expected) if *expected == found => {}
            expected => return Err(format!("{kept:?}: {found:?} and not {expected:?}")),
        }
        remove_copy(vfs, kept.version).map_err(|e| e.to_string())?;
    }
    Ok(listed.len())
}

fn remove_copy(vfs: &SimVfs, version: u64) -> docdb_engine::vfs::Result<()> {
    let mut files = vfs.files();
    files.retain(|path| path.starts_with(copy_dir(version)));
    files.iter().try_for_each(|path| vfs.remove_file(path))?;
    vfs.remove_dir(&copy_dir(version).join("wal"))?;
    vfs.remove_dir(&copy_dir(version))
}

/// Every manifest of an earlier checkpoint that stands is listed: it is whole and has its files.
pub(crate) fn nothing_lacks_a_file(vfs: &SimVfs) -> Finding<()> {
    let listed = checkpoints::list_with(vfs, dir()).map_err(|e| format!("no list: {e}"))?;
    let listed: Vec<u64> = listed.iter().map(|kept| kept.version).collect();
    for name in vfs.list(dir()).map_err(|e| e.to_string())? {
        let version = name.strip_prefix("MANIFEST-").and_then(|v| v.parse().ok());
        let is_earlier = |version: &u64| Some(version) < listed.last();
        if let Some(version) = version.filter(is_earlier)
            && !listed.contains(&version)
        {
            return Err(format!("{version} lacks a file"));
        }
    }
    Ok(())
}

/// Loses power at every operation; how many different disks were looked at.
pub(crate) fn crash_everywhere() -> Finding<usize> {
    let whole = disk();
    let first = whole.op_count();
    workload(&whole, &mut Shown::new()).map_err(|e| format!("without any crash: {e}"))?;
    let mut seen = HashSet::new();
    let mut most = 0;
    for at_op in first..=whole.op_count() {
        let vfs = disk();
        fault_at(&vfs, at_op, FaultKind::PowerOff, false);
        let mut shown = Shown::new();
        let _ = workload(&vfs, &mut shown);
        for policy in policies(&vfs, at_op, 2, 8) {
            let image = vfs.fork_crash(&policy);
            if !image.exists(dir()).map_err(|e| e.to_string())? || !seen.insert(image.image_hash())
            {
                continue;
            }
            let kept = nothing_lacks_a_file(&image)
                .and_then(|()| check_kept(&image, &shown))
                .map_err(|what| format!("at operation {at_op}, {policy:?}: {what}"))?;
            most = most.max(kept);
        }
    }
    if most < 3 {
        return Err(format!("never more than {most} checkpoints"));
    }
    Ok(seen.len())
}
