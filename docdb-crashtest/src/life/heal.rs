//! Damage to a document, which lasts as long as the step, and healing.

use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};
use docdb_engine::{Db, Error, ErrorKind, HealOptions, ManualDriver, WriteKind};
use std::sync::Arc;

use super::between::{Between, Moment};
use super::run::dir;
use super::setup::Setup;
use super::step::body;
use crate::oracle::{Care, Damaged, Loss, Op, Session, Stop, settle};

/// Who comes upon the damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// A reader; then the maintenance.
    Read,
    /// Whoever asks for the document to be healed.
    Demand,
    /// Whoever asks for all to be healed.
    All,
    /// The scrub; then the maintenance.
    Scrub,
}

/// Damage to a document, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heal {
    /// Which document.
    pub nth: u64,
    /// Who comes upon it.
    pub find: Find,
    /// At that moment it is deleted, or else overwritten, and there may be a checkpoint.
    pub meanwhile: Option<(Moment, bool, bool)>,
    /// What is written over it is made of this.
    pub n: u64,
    /// Whether it is deleted, not overwritten, if it cannot be healed.
    pub deletes: bool,
}

/// So often the maintenance may say that it met the damage.
const TOLD_MAX: usize = 8;

/// Lives the step. The damage is gone when it ends, so that the oracle stays exact.
pub(super) fn heal(
    heal: &Heal,
    disk: &SimVfs,
    session: &Session,
    setup: Setup,
    between: &Between,
) -> Result<(), Stop> {
    // So that documents are in data files.
    session.checkpoint()?;
    let state = Arc::clone(session.journal.lock().last());
    let Some(damaged) = Damaged::inflict(disk, dir(), &state, heal.nth).map_err(Error::from)?
    else {
        return Ok(());
    };
    session.journal.lock().set_damaged(Some(damaged.clone()));
    let done = heal.live(disk, session, setup, between, &damaged);
    damaged.undo(disk).map_err(Error::from)?;
    session.journal.lock().set_damaged(None);
    done?;
    session.check(Care::WithSpace)
}

impl Heal {
    fn write(&self, damaged: &Damaged, deletes: bool) -> Op {
        let (name, id) = (&damaged.collection, damaged.id);
        match deletes {
            true => Op::new(WriteKind::Delete, name, id, ""),
            false => Op::new(WriteKind::Upsert, name, id, body(name, self.n, 60)),
        }
    }

    fn live(
        &self,
        disk: &SimVfs,
        session: &Session,
        setup: Setup,
        between: &Between,
        damaged: &Damaged,
    ) -> Result<(), Stop> {
        let db = &session.db;
        let has_copy = in_log(db, damaged);
        let before = db.heal_stats();
        if let Some((moment, deletes, checkpoint)) = self.meanwhile {
            let ops = vec![self.write(damaged, deletes)];
            between.arm(moment, session.clone(), ops, checkpoint);
        }
        let found = self.find(session, damaged);
        between.disarm()?;
        let is_told = found?;
        let after = db.heal_stats();
        let is_healed = after.healed > before.healed;
        if is_healed {
            let healed = damaged.clone().healed();
            session.journal.lock().set_damaged(Some(healed));
        }
        let (name, id) = (&*damaged.collection, damaged.id);
        // A document in memory hides the damage from its readers.
        let is_hidden = match self.find {
            Find::Read => setup.cache_bytes_max > 0,
            // It passes over what it verified less than a day ago.
            Find::Scrub => after.found == before.found,
            Find::Demand | Find::All => false,
        };
        if has_copy && !is_healed && !is_hidden && !is_told && self.meanwhile.is_none() {
            return Err(Stop::Wrong(format!(
                "{name}/{id} is damaged and was not healed ({:?}), though version {} is in the log",
                self.find, damaged.version
            )));
        }
        for (policy, loss) in [
            (CrashPolicy::Kill, Loss::Kill),
            (CrashPolicy::KeepNone, Loss::Power),
        ] {
            // Another process has nothing in memory.
            let copy = disk.fork_crash(&policy);
            holds_despite(&copy, session, setup, loss).map_err(Stop::Wrong)?;
        }
        let journal = session.journal.lock().clone();
        if let Some(damaged) = journal.damaged() {
            damaged
                .judge(db, &journal, Loss::Kill)
                .map_err(Stop::Wrong)?;
        }
        let is_corrupt = |db: &Db| {
            let read = db.read(name, id);
            read.is_err_and(|error| error.kind() == ErrorKind::Corrupt)
        };
        if is_corrupt(db) {
            session.commit(&[self.write(damaged, self.deletes)])?.ok();
            session.check(Care::EveryWay)?;
        }
        Ok(())
    }

    /// Whether the maintenance was in the way of the damage: it says so once, and comes back later.
    fn find(&self, session: &Session, damaged: &Damaged) -> Result<bool, Stop> {
        let db = &session.db;
        let mut is_told = false;
        let (name, id) = (&*damaged.collection, damaged.id);
        match self.find {
            Find::Read => match db.read(name, id) {
                Ok(read) if (read.version, &*read.body) == (damaged.version, &*damaged.body) => {
                    is_told |= maintain(db)?;
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => is_told |= maintain(db)?,
                other => {
                    return Err(Stop::Wrong(format!(
                        "{name}/{id} is damaged, and a reader was answered {other:?}"
                    )));
                }
            },
            Find::Demand => drop(db.heal(name, id)?),
            Find::All => {
                let mut options = HealOptions::default();
                options.threads = 1;
                db.heal_all(&options)?;
            }
            Find::Scrub => {
                while db.scrub_step()? {}
                is_told |= maintain(db)?;
            }
        }
        Ok(is_told)
    }
}

/// Does all the maintenance that is due now. Returns whether some of it met the damage.
fn maintain(db: &Db) -> Result<bool, Stop> {
    let mut is_told = false;
    for _ in 0..TOLD_MAX {
        match settle(db) {
            Ok(()) => return Ok(is_told),
            Err(error) if error.kind() == ErrorKind::Corrupt => is_told = true,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Stop::Wrong(
        "the maintenance comes upon the same damage again and again".to_owned(),
    ))
}

/// Whether the log still has exactly this version.
fn in_log(db: &Db, damaged: &Damaged) -> bool {
    let wal = db.wal();
    let Ok(mut reader) = wal.read_from(docdb_wal::Lsn(damaged.version)) else {
        return false;
    };
    let Ok(Some(record)) = reader.next() else {
        return false;
    };
    let mut windows = record.payload.windows(damaged.body.len());
    record.lsn.0 == damaged.version && windows.any(|window| *window == *damaged.body)
}

fn holds_despite(disk: &SimVfs, session: &Session, setup: Setup, loss: Loss) -> Result<(), String> {
    let journal = session.journal.lock().clone();
    let Some(damaged) = journal.damaged() else {
        return Ok(());
    };
    let shared = Arc::new(disk.clone());
    let db = Db::open_manual(shared, dir(), setup.options(), Arc::new(ManualDriver));
    let db = db.map_err(|e| format!("does not open with damage: {:?}: {e}", e.kind()))?;
    damaged.judge(&db, &journal, loss)
}
