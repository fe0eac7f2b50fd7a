//! Living: each step done to a database and noted in its journal.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};
use docdb_engine::{Db, Durability, Error, ErrorKind, FlushDriver, Wal};
use parking_lot::Mutex;

use super::between::{Between, Moment};
use super::readers::Readers;
use super::setup::Setup;
use super::step::{Reopen, Step, Write};
use super::txns::Txns;
use crate::oracle::{Care, Journal, Loss, Op, Session, Stop, look, settle};

/// Where the database of a life is.
pub const DIR: &str = "/data/db";

/// [`DIR`] as a path.
pub fn dir() -> &'static Path {
    Path::new(DIR)
}

/// A disk with an empty, durable directory for databases.
///
/// # Errors
/// None: the disk is new.
pub fn disk(seed: u64) -> Result<SimVfs, Error> {
    let vfs = SimVfs::new(seed);
    vfs.create_dir(Path::new("/data"))?;
    vfs.sync_dir(Path::new("/"))?;
    Ok(vfs)
}

/// A driver that notes that it was asked; the life comes back to it.
#[derive(Debug, Default)]
pub struct Asked(AtomicBool);

impl FlushDriver for Asked {
    fn request(&self, _wal: &Wal) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A database that lives.
#[derive(Debug)]
pub struct Life {
    disk: SimVfs,
    vfs: Arc<dyn Vfs>,
    setup: Setup,
    session: Option<Session>,
    journal: Arc<Mutex<Journal>>,
    between: Between,
    driver: Arc<Asked>,
    /// When the driver was told to come back.
    due: Option<Duration>,
    readers: Readers,
    txns: Txns,
}

impl Life {
    /// A life on `disk`, whose every operation goes through `vfs`. `vfs` calls `between` if something
    /// is to come between. `journal` is that of a database which does not exist yet.
    pub fn new(
        disk: &SimVfs,
        vfs: Arc<dyn Vfs>,
        setup: Setup,
        journal: Arc<Mutex<Journal>>,
        between: Between,
    ) -> Life {
        Life {
            disk: disk.clone(),
            vfs,
            setup,
            session: None,
            journal,
            between,
            driver: Arc::default(),
            due: None,
            readers: Readers::default(),
            txns: Txns::default(),
        }
    }

    /// What it has promised.
    pub fn journal(&self) -> Arc<Mutex<Journal>> {
        Arc::clone(&self.journal)
    }

    /// The options that the database is open with.
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// The database, while it is open.
    ///
    /// # Errors
    /// `Failed` with `Closed`.
    pub fn session(&self) -> Result<Session, Stop> {
        let closed = || Error::new(ErrorKind::Closed, "the life has no database yet");
        self.session.clone().ok_or_else(|| Stop::Failed(closed()))
    }

    /// Creates the database.
    ///
    /// # Errors
    /// The database's.
    pub fn create(&mut self) -> Result<(), Stop> {
        let options = self.setup.options();
        let db = Db::create(
            Arc::clone(&self.vfs),
            dir(),
            options,
            Arc::clone(&self.driver) as Arc<dyn FlushDriver>,
        )?;
        self.journal.lock().created();
        self.begin_session(db);
        Ok(())
    }

    fn begin_session(&mut self, db: Db) {
        self.due = None;
        let session = Session {
            db,
            journal: Arc::clone(&self.journal),
        };
        self.between.watch(Some(session.clone()));
        self.session = Some(session);
    }

    /// Does one step.
    ///
    /// # Errors
    /// `Failed` if the database could not, `Wrong` if it broke a promise.
    pub fn step(&mut self, step: &Step) -> Result<(), Stop> {
        self.do_step(step)?;
        if self.setup.prompt {
            self.drive()?;
        }
        Ok(())
    }

    fn do_step(&mut self, step: &Step) -> Result<(), Stop> {
        let session = self.session()?;
        let db = &session.db;
        match step {
            Step::Commit(writes) => {
                session.commit(&self.resolve(writes))?.ok();
            }
            Step::CommitAs(durability, writes) => {
                let submitted = session.submit(&self.resolve(writes), Some(*durability));
                session.wait(submitted)?.ok();
            }
            Step::UnderWay(commits) => self.under_way(&session, commits)?,
            Step::Forgotten(commits) => {
                for writes in commits {
                    drop(session.submit(&self.resolve(writes), None));
                }
                self.flush(&session)?;
            }
            Step::IntoCheckpoint(commits) => {
                let submitted = self.submit_all(&session, commits);
                let taken = session.checkpoint();
                for submitted in submitted {
                    session.wait(submitted)?.ok();
                }
                taken?;
            }
            Step::DeleteRange {
                collection,
                from,
                to,
                limit,
            } => self.delete_range(&session, collection, *from, *to, *limit)?,
            Step::CreateCollection(name) => {
                session.create_collection(name)?.ok();
            }
            Step::DropCollection(name, force) => {
                session.drop_collection(name, *force)?.ok();
            }
            Step::Txn(place, step) => {
                let now = self.disk.now();
                self.txns.step(&session, *place, step, now)?;
            }
            Step::Hold(place) => self.readers.hold(&session, *place)?,
            Step::Release(place) => self.readers.release(*place),
            Step::BeginScan(place, name, reverse) => {
                self.readers.begin_scan(&session, *place, name, *reverse)?;
            }
            Step::GoOn(place) => self.readers.go_on(*place)?,
            Step::Look(name, from, to) => {
                for id in *from..=*to {
                    self.readers.look_at(&session, name, id)?;
                }
            }
            Step::LookAtAll => {
                session.check(Care::WithSpace)?;
                self.readers.look_at_all()?;
            }
            Step::Flush => self.flush(&session)?,
            Step::Sync => {
                let commits = self.journal.lock().commits();
                db.wal().sync().map_err(Error::from)?;
                self.journal.lock().durable(commits);
            }
            Step::Prepare => {
                db.wal().prepare_step().map_err(Error::from)?;
            }
            Step::RunSteps => db.wal().run_steps(),
            Step::Maintain => {
                db.maintenance_step()?;
            }
            Step::Settle => settle(db)?,
            Step::Checkpoint => session.checkpoint()?,
            Step::Compact => {
                db.compact()?;
            }
            Step::Scrub => {
                let before = db.heal_stats().found;
                while db.scrub_step()? {}
                let stats = db.heal_stats();
                if stats.found > before {
                    return Err(Stop::Wrong(format!("a scrub found damage: {stats:?}")));
                }
            }
            Step::Heal(heal) => {
                super::heal::heal(heal, &self.disk, &session, self.setup, &self.between)?;
            }
            Step::Backup(commits) => {
                super::backup::back_up(commits, &self.disk, &session, self.setup)?;
            }
            Step::Elapse(time) => self.elapse(*time)?,
            Step::Reopen(how, setup) => {
                drop(session);
                self.reopen(*how, *setup)?;
            }
            Step::Between(moment, writes, step) => {
                let ops = self.resolve(writes);
                self.between.arm(*moment, session, ops, false);
                let done = self.do_step(step);
                self.between.disarm()?;
                done?;
            }
            Step::CompactBetween(writes) => {
                session.checkpoint()?;
                let ops = self.resolve(writes);
                let moment = Moment::OfDataFile(0);
                self.between.arm(moment, session.clone(), ops, true);
                let done = db.compact();
                self.between.disarm()?;
                done?;
                session.check(Care::WithSpace)?;
            }
        }
        Ok(())
    }

    fn resolve(&self, writes: &[Write]) -> Vec<Op> {
        let journal = self.journal.lock();
        let state = journal.last();
        writes.iter().map(|write| write.resolve(state)).collect()
    }

    fn submit_all(
        &self,
        session: &Session,
        commits: &[Vec<Write>],
    ) -> Vec<crate::oracle::Submitted> {
        let submit = |writes: &Vec<Write>| session.submit(&self.resolve(writes), None);
        commits.iter().map(submit).collect()
    }

    /// What is seen before a commit is acknowledged must be as durable as the mode says.
    fn under_way(&mut self, session: &Session, commits: &[Vec<Write>]) -> Result<(), Stop> {
        let submitted = self.submit_all(session, commits);
        let snapshot = session.db.snapshot()?;
        let acknowledged = session.db.wal().acknowledged_lsn().0;
        let syncs = self.setup.mode.syncs_groups();
        let durable = session.db.wal().durable_lsn().0;
        if snapshot.version() > acknowledged || (syncs && snapshot.version() > durable) {
            return Err(Stop::Wrong(format!(
                "a snapshot sees version {}, only {acknowledged} are acknowledged and {durable} \
                 durable",
                snapshot.version()
            )));
        }
        let state = self.journal.lock().state_at(snapshot.version()).cloned();
        let wrong = || Stop::Wrong(format!("there is no version {}", snapshot.version()));
        let state = state.ok_or_else(wrong)?;
        for write in commits.iter().flatten() {
            self.readers
                .compare(snapshot.read(write.collection, write.id), &state, write)?;
            let seen = session.db.read(write.collection, write.id);
            let version = seen.as_ref().map_or(0, |document| document.version);
            if syncs && version > session.db.wal().durable_lsn().0 {
                return Err(Stop::Wrong(format!(
                    "version {version} of {}/{} is read and not durable",
                    write.collection, write.id
                )));
            }
        }
        for submitted in submitted {
            session.wait(submitted)?.ok();
        }
        Ok(())
    }

    /// All that was submitted is with the kernel, in a mode with syncs on the device.
    fn flush(&mut self, session: &Session) -> Result<(), Stop> {
        let commits = self.journal.lock().commits();
        let wal = session.db.wal();
        while wal.flush_step().map_err(Error::from)? {}
        if !wal.needs_flush() && self.setup.mode.syncs_groups() {
            self.journal.lock().durable(commits);
        }
        Ok(())
    }

    fn delete_range(
        &mut self,
        session: &Session,
        name: &str,
        from: u64,
        to: u64,
        limit: u64,
    ) -> Result<(), Stop> {
        use docdb_engine::WriteKind::Delete;
        let (ids, next) = {
            let journal = self.journal.lock();
            let mut ids = journal.last().ids(name, from, to, limit as usize + 1);
            let next = ids.get(limit as usize).copied();
            ids.truncate(limit as usize);
            (ids, next)
        };
        let is_there = self.journal.lock().last().collection(name).is_some();
        let change: Vec<Op> = ids
            .iter()
            .map(|id| Op::new(Delete, name, *id, ""))
            .collect();
        let version = session.db.wal().next_lsn().0;
        let change = crate::oracle::Change::Ops(change.into());
        if !ids.is_empty() {
            self.journal.lock().begin(change.clone(), version);
        }
        let answer = session
            .db
            .delete_range(name, Some(from), Some(to), Some(limit));
        let mut journal = self.journal.lock();
        let ended = (!ids.is_empty()).then(|| journal.end(&change));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if !is_there && error.kind() == ErrorKind::CollectionNotFound => {
                return Ok(());
            }
            Err(error) => return Err(Stop::Failed(error)),
        };
        let wanted = (!ids.is_empty()).then_some(version);
        let found = (answer.deleted, answer.version, answer.next);
        if found != (ids.len() as u64, wanted, next) {
            return Err(Stop::Wrong(format!(
                "deletion of a range answered {answer:?}, not {ids:?} and {next:?}"
            )));
        }
        if let Some(Ok((number, _))) = ended {
            let mode = journal.mode();
            journal.acknowledged(number, mode);
        }
        Ok(())
    }

    /// The driver does what it was asked to and what is due.
    fn drive(&mut self) -> Result<(), Stop> {
        let session = self.session()?;
        let wal = session.db.wal();
        while self.driver.0.swap(false, Ordering::SeqCst)
            || self.due.is_some_and(|due| due <= self.disk.now())
        {
            wal.run_steps();
            self.due = wal.timed_step().map_err(Error::from)?;
        }
        Ok(())
    }

    /// Time passes, and the driver comes exactly when it was told to.
    fn elapse(&mut self, time: Duration) -> Result<(), Stop> {
        let (commits, killed) = {
            let journal = self.journal.lock();
            (journal.commits(), journal.floor(Loss::Kill))
        };
        let until = self.disk.now() + time;
        self.drive()?;
        while self.disk.now() < until {
            let next = self.due.map_or(until, |due| due.min(until));
            self.disk.advance(next.saturating_sub(self.disk.now()));
            self.drive()?;
        }
        if time < super::setup::INTERVAL {
            return Ok(());
        }
        let mut journal = self.journal.lock();
        match self.setup.mode {
            Durability::Interval(_) => journal.durable(killed),
            Durability::Memory(_) => journal.written(commits),
            _ => {}
        }
        Ok(())
    }

    /// The process ends, and another one opens the database with other options.
    fn reopen(&mut self, how: Reopen, setup: Setup) -> Result<(), Stop> {
        self.readers = Readers::default();
        self.txns = Txns::default();
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        let loss = match how {
            Reopen::Close => {
                let closed = session.close();
                self.between.watch(None);
                closed?;
                Loss::Power
            }
            Reopen::Crash(policy) => {
                self.between.watch(None);
                self.disk.crash(&policy);
                drop(session);
                match policy {
                    CrashPolicy::Kill => Loss::Kill,
                    _ => {
                        self.journal.lock().power_has_failed();
                        Loss::Power
                    }
                }
            }
        };
        self.open(loss, setup)
    }

    /// Ends the process without a word.
    pub fn end(mut self) {
        self.between.watch(None);
        self.session = None;
    }

    /// Opens the database after such a loss, and goes on with what is found.
    ///
    /// # Errors
    /// As [`Life::step`].
    pub fn open(&mut self, loss: Loss, setup: Setup) -> Result<(), Stop> {
        self.setup = setup;
        self.driver = Arc::default();
        let db = Db::open_manual(
            Arc::clone(&self.vfs),
            dir(),
            setup.options(),
            Arc::clone(&self.driver) as Arc<dyn FlushDriver>,
        )?;
        let seen = look(&db, Care::WithSpace).map_err(Stop::Wrong)?;
        let before = self.journal.lock().clone();
        before.judge(seen.print, loss).map_err(Stop::Wrong)?;
        // A state may have come back later; the version tells which of them it is.
        let visible = db.visible_version();
        let is_there = |number: &usize| {
            let commit = before.commit(*number);
            commit.is_some_and(|commit| commit.version <= visible)
        };
        let fitting = before.fitting(seen.print, loss).filter(is_there);
        let fitting: Vec<usize> = fitting.collect();
        let (commits, asked) = super::txns::which(&db, &before, &fitting)?;
        let mut journal = self.journal.lock();
        journal.recovered(commits);
        journal.set_mode(setup.mode);
        for name in asked {
            journal.take_id(&name, None).ok();
        }
        drop(journal);
        self.begin_session(db);
        Ok(())
    }
}
