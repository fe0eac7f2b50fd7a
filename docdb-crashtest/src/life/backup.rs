//! Backups while everything goes on.

use std::ops::ControlFlow;

use docdb_engine::backup::BackupOptions;
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};

use super::setup::Setup;
use super::step::Write;
use crate::oracle::{BACKUP_DIR, Op, Session, Stop, backup_holds, settle};

/// Takes a backup over the one before. Each time that it tells how far it has come, there is one of
/// these commits, and with it a checkpoint, all maintenance that is due, and a compaction.
pub(super) fn back_up(
    commits: &[Vec<Write>],
    disk: &SimVfs,
    session: &Session,
    setup: Setup,
) -> Result<(), Stop> {
    let least = session.db.visible_version();
    session.journal.lock().backup_begins();
    let mut left = commits.iter();
    let mut meanwhile = Ok(());
    let taken = session
        .db
        .backup(BACKUP_DIR, BackupOptions::default(), &mut |_| {
            if let (Ok(()), Some(writes)) = (&meanwhile, left.next()) {
                meanwhile = go_on(session, writes);
            }
            ControlFlow::Continue(())
        });
    meanwhile?;
    let taken = taken?;
    let version = taken.version;
    let mut journal = session.journal.lock();
    let state = journal.state_at(version).filter(|_| version >= least);
    let Some(state) = state.cloned() else {
        return Err(Stop::Wrong(format!(
            "a backup is of version {version}, and {least} was visible before"
        )));
    };
    let documents: usize = state.collections().map(|(_, c)| c.documents.len()).sum();
    if taken.documents != documents as u64 {
        return Err(Stop::Wrong(format!(
            "the backup of version {version} has {} documents, not {documents}",
            taken.documents
        )));
    }
    journal.backup_answered(version, state);
    let journal = journal.clone();
    let copy = disk.fork_crash(&CrashPolicy::KeepNone);
    backup_holds(&copy, &journal, setup.options()).map_err(Stop::Wrong)
}

fn go_on(session: &Session, writes: &[Write]) -> Result<(), Stop> {
    let ops: Vec<Op> = {
        let journal = session.journal.lock();
        let state = journal.last();
        writes.iter().map(|write| write.resolve(state)).collect()
    };
    session.commit(&ops)?.ok();
    session.checkpoint()?;
    settle(&session.db)?;
    session.db.compact()?;
    Ok(())
}
