//! Checkpoints that are kept: what a crash must not do to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::{Db, ManualDriver, checkpoints};

use crate::life::{Setup, dir};
use crate::oracle::{Care, Journal, look};

/// Every manifest of an earlier checkpoint that stands is listed: it is whole and has its files.
pub(super) fn nothing_lacks_a_file(disk: &SimVfs) -> Result<(), String> {
    let listed = checkpoints::list_with(disk, dir());
    let listed = listed.map_err(|e| format!("no list of checkpoints: {e}"))?;
    let listed: Vec<u64> = listed.iter().map(|kept| kept.version).collect();
    for name in disk.list(dir()).map_err(|e| e.to_string())? {
        let version = name.strip_prefix("MANIFEST-");
        let version: Option<u64> = version.and_then(|version| version.parse().ok());
        let is_earlier = |version: &u64| Some(version) < listed.last();
        if let Some(version) = version.filter(is_earlier)
            && !listed.contains(&version)
        {
            return Err(format!("the checkpoint kept at {version} lacks a file"));
        }
    }
    Ok(())
}

/// A database made of a checkpoint that is kept holds what the database held at its version.
pub(super) fn copies_hold_what_was(
    disk: &SimVfs,
    setup: Setup,
    journal: &Journal,
) -> Result<(), String> {
    let shared: Arc<dyn Vfs> = Arc::new(disk.clone());
    let listed = checkpoints::list_with(disk, dir());
    for kept in listed.map_err(|e| format!("no list of checkpoints: {e}"))? {
        let Some(state) = journal.state_at(kept.version).filter(|_| kept.version > 0) else {
            continue;
        };
        let version = kept.version;
        let into: PathBuf = Path::new("/data").join(format!("copy-{version}"));
        let wrong = |e: docdb_engine::Error| format!("the checkpoint kept at {version}: {e}");
        checkpoints::copy_with(&shared, dir(), version, &into).map_err(wrong)?;
        let driver = Arc::new(ManualDriver);
        let db = Db::open_manual(Arc::clone(&shared), &into, setup.options(), driver);
        let seen = look(&db.map_err(wrong)?, Care::Once)?;
        if seen.print != state.print() {
            return Err(format!(
                "the checkpoint kept at {version} does not hold what the database held then"
            ));
        }
    }
    Ok(())
}
