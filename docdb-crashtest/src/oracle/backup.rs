//! Backups of a database, and whether what was promised of them is kept.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use docdb_engine::backup::{Backup, Progress};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::{Db, DbOptions, Error, ManualDriver};

use super::journal::Journal;
use super::look::{Care, look};
use super::state::State;

/// Where the backups of a life go, one over the other.
pub const BACKUP_DIR: &str = "/data/kept";
const RESTORED_DIR: &str = "/data/restored";

/// What was promised of backups.
#[derive(Debug, Clone, Default)]
pub struct BackedUp {
    /// The version of the last one that was answered, and what the database held then.
    pub last: Option<(u64, Arc<State>)>,
    /// Another one is being taken.
    pub under_way: bool,
}

/// For those who do not want to know how far it has come.
fn unheard(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// What stands on this disk as the backup is the last one that was answered, or as a whole the one that
/// is being taken. Makes a database of it.
///
/// # Errors
/// What is broken, as a sentence.
pub fn backup_holds(disk: &SimVfs, journal: &Journal, options: DbOptions) -> Result<(), String> {
    let BackedUp { last, under_way } = journal.backed_up();
    let dir = Path::new(BACKUP_DIR);
    let is_there = disk.exists(&dir.join("BACKUP"));
    if !is_there.map_err(|e| e.to_string())? {
        return match last {
            Some((version, _)) => Err(format!("the backup of version {version} is gone")),
            None => Ok(()),
        };
    }
    let wrong = |e: Error| format!("the backup: {:?}: {e}", e.kind());
    let shared: Arc<dyn Vfs> = Arc::new(disk.clone());
    let backup = Backup::open(Arc::clone(&shared), dir).map_err(wrong)?;
    let [entry] = &backup.databases()[..] else {
        return Err("the backup is not of one database".to_owned());
    };
    let version = entry.version;
    let state = match last {
        Some((answered, state)) if *answered == version => Some(state),
        Some((answered, _)) if *answered > version => None,
        _ if *under_way => journal.state_at(version),
        _ => None,
    };
    let Some(state) = state else {
        let answered = last.as_ref().map(|(version, _)| *version);
        return Err(format!(
            "the backup is of version {version}, {answered:?} was answered"
        ));
    };
    backup.verify(&[entry.id], &mut unheard).map_err(wrong)?;
    let into = Path::new(RESTORED_DIR);
    backup
        .restore(entry.id, into, &mut unheard)
        .map_err(wrong)?;
    let db = Db::open_manual(shared, into, options, Arc::new(ManualDriver)).map_err(wrong)?;
    let seen = look(&db, Care::EveryWay).map_err(|e| format!("the restored backup: {e}"))?;
    if seen.print != state.print() {
        return Err(format!(
            "the backup of version {version} does not hold what the database held then"
        ));
    }
    Ok(())
}
