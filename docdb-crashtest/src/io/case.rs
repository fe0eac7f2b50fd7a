//! A life in which one call fails, and what must be true afterwards.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use docdb_engine::{Durability, Error, ErrorKind, WriteKind, WriteOp};
use docdb_vfs::sim::{CrashPolicy, FaultKind, SectorSize, SimVfs};
use docdb_vfs::{IoOp, Vfs};
use parking_lot::Mutex;

use super::calls::{Call, Fault, Noting};
use super::life::{DIR, Run, Step, create, disk, known, open, shown};
use crate::flip::one_by_one;
use crate::oracle::{Care, Journal, Loss, Op, Session, Stop, look};

/// What came of a fault while the life went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fate {
    /// Nobody saw it.
    WentOn,
    /// An operation said so by its kind of error, and the database takes writes as before.
    Refused,
    /// An operation said so, and the database takes no more writes.
    Poisoned,
    /// It could not be created, or opened.
    NotOpened,
}

impl Fate {
    pub(super) const ALL: [Fate; 4] =
        [Fate::WentOn, Fate::Refused, Fate::Poisoned, Fate::NotOpened];

    pub(super) fn name(self) -> &'static str {
        match self {
            Fate::WentOn => "went on",
            Fate::Refused => "refused, typed",
            Fate::Poisoned => "poisoned",
            Fate::NotOpened => "did not open, typed",
        }
    }
}

/// A call that fails.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) call: Call,
    pub(super) fault: Fault,
    pub(super) sticky: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.sticky { "sticky" } else { "once" };
        write!(f, "{}/{}/{how}", self.call.at_op, self.fault.text())
    }
}

/// The calls of a life in which nothing fails.
///
/// # Errors
///
/// What went wrong all the same.
pub(super) fn calls_of(steps: &[Step], mode: Durability) -> Result<Vec<Call>, String> {
    let vfs = disk();
    vfs.set_reads_count(true);
    let noting = Noting::new(&vfs);
    let mut run = Run::new(Arc::new(noting.clone()), mode);
    run.live(steps)
        .map_err(|stop| format!("without any fault: {stop}"))?;
    Ok(noting.calls())
}

/// What is looked at in all cases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Depth {
    /// Random losses of power besides those that keep everything and nothing.
    pub(super) random: u64,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) fate: Fate,
    /// Steps that were begun.
    pub(super) steps: usize,
    /// Databases that were opened afterwards.
    pub(super) reopened: u64,
    pub(super) broken: Option<String>,
}

/// Lives with the fault, and looks at what is left.
pub(super) fn judge(steps: &[Step], mode: Durability, case: &Case, depth: Depth) -> Judged {
    let vfs = disk();
    vfs.set_reads_count(true);
    plan(&vfs, case);
    let mut run = Run::new(Arc::new(vfs.clone()), mode);
    run.is_honest = case.fault.is_told();
    let outcome = run.live(steps);
    vfs.clear_faults();
    let mut after = After {
        vfs,
        case,
        depth,
        run,
        fate: Fate::WentOn,
        reopened: 0,
    };
    let broken = if case.fault.is_told() {
        after.judge_told(outcome)
    } else {
        after.judge_untold(outcome)
    };
    Judged {
        fate: after.fate,
        steps: after.run.steps,
        reopened: after.reopened,
        broken: broken.err(),
    }
}

/// Plans the fault.
pub(super) fn plan(vfs: &SimVfs, case: &Case) {
    let at_op = case.call.at_op;
    vfs.set_fault(docdb_vfs::sim::Fault {
        at_op,
        kind: case.fault.kind(),
        sticky: case.sticky,
    });
    if let Fault::Lie(after) = case.fault
        && let Some(at_op) = at_op.checked_add(after)
    {
        vfs.set_fault(docdb_vfs::sim::Fault {
            at_op,
            kind: FaultKind::PowerOff,
            sticky: false,
        });
    }
}

struct After<'a> {
    vfs: SimVfs,
    case: &'a Case,
    depth: Depth,
    run: Run,
    fate: Fate,
    reopened: u64,
}

type Kept = Result<(), String>;

impl After<'_> {
    fn journal(&self) -> Journal {
        self.run.journal.lock().clone()
    }

    fn open(&mut self, vfs: &SimVfs) -> Result<docdb_engine::Db, Error> {
        self.reopened += 1;
        open(Arc::new(vfs.clone()), self.run.mode)
    }

    /// The call has said that it failed.
    fn judge_told(&mut self, outcome: Result<(), Stop>) -> Kept {
        let error = match outcome {
            Ok(()) => None,
            Err(Stop::Failed(error)) => Some(error),
            Err(Stop::Wrong(what)) => return Err(what),
        };
        if let Some(error) = &error {
            self.check_kind(error)?;
        }
        if self.case.fault == Fault::Eintr && error.is_some() {
            return Err("an interrupted call is seen".to_owned());
        }
        // Closed is closed, even if it could not be done properly.
        if self.is_closed() {
            self.run.session = None;
        }
        let poisoned = match &self.run.session {
            Some(session) => session.db.stats().poisoned,
            None => false,
        };
        self.fate = match (&error, &self.run.session) {
            (_, Some(_)) if poisoned => Fate::Poisoned,
            (None, _) => Fate::WentOn,
            (Some(_), Some(_)) => Fate::Refused,
            (Some(_), None) => Fate::NotOpened,
        };
        let is_final = self.case.call.is_final() && self.case.fault != Fault::Eintr;
        if is_final && !poisoned && self.run.session.is_some() {
            return Err(format!(
                "{} failed, and the database is not poisoned",
                self.case.call
            ));
        }
        let mut policies = vec![
            CrashPolicy::Kill,
            CrashPolicy::KeepNone,
            CrashPolicy::KeepAll,
        ];
        for n in 0..self.depth.random {
            let seed = self.case.call.at_op * 16 + n;
            policies.push(match n % 2 {
                0 => CrashPolicy::Random {
                    seed,
                    sector: SectorSize::Bytes4096,
                },
                _ => CrashPolicy::Torn {
                    seed,
                    sector: SectorSize::Bytes512,
                },
            });
        }
        for policy in &policies {
            let image = self.vfs.fork_crash(policy);
            self.recover(&image, policy)
                .map_err(|what| format!("{policy:?}: {what}"))?;
        }
        if self.case.fault.is_full_disk() && self.case.sticky {
            self.recover_while_full()
                .map_err(|what| format!("on a full disk: {what}"))?;
        }
        match self.run.session.take() {
            Some(session) if poisoned => self.poisoned_for_good(&session),
            Some(session) => self.goes_on(&session),
            None => Ok(()),
        }
    }

    fn is_closed(&self) -> bool {
        let closed = self
            .run
            .session
            .as_ref()
            .map(|session| session.db.count("_default"));
        matches!(closed, Some(Err(error)) if error.kind() == ErrorKind::Closed)
    }

    /// The error says what happened.
    fn check_kind(&self, error: &Error) -> Kept {
        let fault = self.case.fault;
        let may_read = self.case.call.op == IoOp::Read || self.case.sticky;
        let is_about_space = error.to_string().contains("counts as referenced");
        let fits = match error.kind() {
            ErrorKind::Poisoned | ErrorKind::OutcomeUnknown => true,
            ErrorKind::DiskFull => fault.is_full_disk(),
            ErrorKind::Io => !fault.is_full_disk(),
            // A file that ends early looks as if it had been cut.
            ErrorKind::Corrupt => fault == Fault::Short && may_read,
            // While a page of a run could not be read, it was not known what of a data file was dead.
            ErrorKind::Internal => fault == Fault::Short && may_read && is_about_space,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        Err(format!("the answer is {:?}: {error}", error.kind()))
    }

    /// What is left is opened, looked at, opened again, and written to.
    fn recover(&mut self, image: &SimVfs, policy: &CrashPolicy) -> Kept {
        let mut journal = self.journal();
        let loss = match policy {
            CrashPolicy::Kill => Loss::Kill,
            _ => Loss::Power,
        };
        let mode = self.run.mode;
        let exists = image.exists(Path::new(DIR)).map_err(|e| e.to_string())?;
        let db = if !journal.is_created() && !exists {
            create(Arc::new(image.clone()), mode).map_err(|e| format!("cannot be created: {e}"))?
        } else {
            self.open(image)
                .map_err(|e| format!("does not open: {:?}: {e}", e.kind()))?
        };
        let seen = look(&db, Care::Once)?;
        let commits = journal.judge(seen.print, loss)?;
        if !journal.is_created() && self.case.sticky {
            // Its creation failed, and so did giving the name back: the name is not to be trusted.
            return Ok(());
        }
        // What was shown stays, whatever happens next.
        let again = image.fork_crash(&CrashPolicy::KeepNone);
        let db_again = self
            .open(&again)
            .map_err(|e| format!("does not open again: {e}"))?;
        if look(&db_again, Care::Once)?.print != seen.print {
            return Err("it was shown, and is gone after a loss of power".to_owned());
        }
        drop(db_again);
        let version = journal.last_version();
        journal.recovered(commits);
        let session = session_of(db, &journal);
        let written = write_once(&session, 60)?;
        if written <= version {
            return Err(format!("version {written} is given out again"));
        }
        // The mode may promise no more than that it survives a checkpoint.
        session
            .checkpoint()
            .map_err(|stop| format!("the first checkpoint: {stop}"))?;
        drop(session.db);
        let again = image.fork_crash(&CrashPolicy::KeepNone);
        let db = self
            .open(&again)
            .map_err(|e| format!("does not open a third time: {e}"))?;
        if look(&db, Care::EveryWay)?.print != session.journal.lock().last().print() {
            return Err("the first write is not there".to_owned());
        }
        Ok(())
    }

    /// The next process finds the disk as full as it was.
    fn recover_while_full(&mut self) -> Kept {
        let image = self.vfs.fork_crash(&CrashPolicy::Kill);
        if !self.journal().is_created() {
            return Ok(());
        }
        image.set_capacity_bytes(Some(image.used_bytes()));
        let journal = self.journal();
        let db = match self.open(&image) {
            Ok(db) => {
                let seen = look(&db, Care::Once)?;
                journal.judge(seen.print, Loss::Kill)?;
                image.set_capacity_bytes(None);
                db
            }
            // A crash inside an opening has left too little for the next one.
            Err(error) if error.kind() == ErrorKind::DiskFull => {
                image.set_capacity_bytes(None);
                self.open(&image)
                    .map_err(|e| format!("there is space again: {e}"))?
            }
            Err(error) => return Err(format!("{:?}: {error}", error.kind())),
        };
        let mut journal = journal;
        let commits = journal.judge(look(&db, Care::Once)?.print, Loss::Kill)?;
        journal.recovered(commits);
        write_once(&session_of(db, &journal), 61).map(drop)
    }

    /// Reads go on, and nothing else.
    fn poisoned_for_good(&mut self, session: &Session) -> Kept {
        let seen = look(&session.db, Care::EveryWay)
            .map_err(|what| format!("poisoned, and reads do not go on: {what}"))?;
        self.journal()
            .judge(seen.print, Loss::Kill)
            .map_err(|what| format!("poisoned: {what}"))?;
        self.vfs.set_reads_count(false);
        let changes = self.vfs.op_count();
        let op = WriteOp::upsert("_default", 1, b"1");
        let db = &session.db;
        let calls: [(&str, &dyn Fn() -> Result<(), Error>); 4] = [
            ("a write", &|| db.submit(&[op]).wait().map(drop)),
            ("a new collection", &|| {
                db.create_collection("n").wait().map(drop)
            }),
            ("a checkpoint", &|| db.checkpoint().map(drop)),
            ("a close", &|| db.close()),
        ];
        for (what, call) in calls {
            match call() {
                Err(error) if error.kind() == ErrorKind::Poisoned => {}
                Err(error) => return Err(format!("poisoned, {what} answers {:?}", error.kind())),
                Ok(()) => return Err(format!("poisoned, {what} succeeds")),
            }
            // A log that is whole is closed as ever: what it has not written yet is worth it.
            let closes_log = what == "a close" && !db.wal().stats().poisoned;
            if self.vfs.op_count() != changes && !closes_log {
                return Err(format!("poisoned, {what} changes the disk"));
            }
        }
        for policy in [CrashPolicy::Kill, CrashPolicy::KeepNone] {
            let image = self.vfs.fork_crash(&policy);
            self.recover(&image, &policy)
                .map_err(|what| format!("poisoned, closed, {policy:?}: {what}"))?;
        }
        Ok(())
    }

    /// What was refused is forgotten: the same process writes, and checkpoints.
    fn goes_on(&mut self, session: &Session) -> Kept {
        let mut journal = self.journal();
        let commits = match shown(&session.db, &journal, false) {
            Ok(commits) => commits,
            Err(stop) => return Err(format!("the fault is over: {stop}")),
        };
        let version = session.db.wal().next_lsn().0;
        if version <= journal.last_version() && journal.commits() == commits {
            return Err(format!("version {version} is to be given out again"));
        }
        journal.recovered(commits);
        let session = session_of(session.db.clone(), &journal);
        write_once(&session, 62).map_err(|what| format!("the fault is over: {what}"))?;
        session
            .checkpoint()
            .map_err(|stop| format!("the fault is over: checkpoint: {stop}"))?;
        write_once(&session, 63).map_err(|what| format!("the fault is over: {what}"))?;
        session
            .checkpoint()
            .map_err(|stop| format!("the fault is over: checkpoint: {stop}"))?;
        let image = self.vfs.fork_crash(&CrashPolicy::KeepNone);
        let db = self
            .open(&image)
            .map_err(|e| format!("the fault is over, reopened: {e}"))?;
        if look(&db, Care::EveryWay)?.print != session.journal.lock().last().print() {
            return Err("what was written after the fault is not there".to_owned());
        }
        Ok(())
    }

    /// Nobody was told: what such a fault covers may be lost, but nothing is invented, and what is there
    /// is right.
    fn judge_untold(&mut self, outcome: Result<(), Stop>) -> Kept {
        match outcome {
            Ok(()) => {}
            Err(Stop::Failed(error)) => {
                let kind = error.kind();
                let is_off = self.vfs.power_is_off();
                if !is_off
                    && !matches!(
                        kind,
                        ErrorKind::Corrupt | ErrorKind::OutcomeUnknown | ErrorKind::Poisoned
                    )
                {
                    return Err(format!("the answer is {kind:?}: {error}"));
                }
                self.fate = Fate::Refused;
            }
            Err(Stop::Wrong(what)) => return Err(what),
        }
        self.run.session = None;
        let lies = matches!(self.case.fault, Fault::Lie(_));
        let mut policies = vec![CrashPolicy::KeepNone, CrashPolicy::KeepAll];
        for n in 0..=self.depth.random {
            let seed = self.case.call.at_op * 16 + n;
            policies.push(CrashPolicy::Random {
                seed,
                sector: SectorSize::Bytes4096,
            });
        }
        if lies {
            // While the power stays a lie is none.
            let image = self.vfs.fork_crash(&CrashPolicy::Kill);
            self.all_is_there(&image)
                .map_err(|what| format!("Kill: {what}"))?;
        }
        for policy in policies {
            let image = self.vfs.fork_crash(&policy);
            self.nothing_invented(&image)
                .map_err(|what| format!("{policy:?}: {what}"))?;
        }
        Ok(())
    }

    fn all_is_there(&mut self, image: &SimVfs) -> Kept {
        let journal = self.journal();
        let exists = image.exists(Path::new(DIR)).map_err(|e| e.to_string())?;
        if !journal.is_created() && !exists {
            return Ok(());
        }
        let db = self
            .open(image)
            .map_err(|e| format!("does not open: {:?}: {e}", e.kind()))?;
        let seen = look(&db, Care::EveryWay)?;
        journal.judge(seen.print, Loss::Kill).map(drop)
    }

    fn nothing_invented(&mut self, image: &SimVfs) -> Kept {
        let journal = self.journal();
        let db = match self.open(image) {
            Ok(db) => db,
            Err(error) => {
                let names_it = error.to_string().contains(DIR);
                let exists = image.exists(Path::new(DIR)).map_err(|e| e.to_string())?;
                return match error.kind() {
                    _ if !names_it => Err(format!("{:?} names nothing: {error}", error.kind())),
                    ErrorKind::Corrupt | ErrorKind::UnsupportedVersion => Ok(()),
                    // The name of its directory is what was lost.
                    _ if !exists => Ok(()),
                    kind => Err(format!("it does not open with {kind:?}: {error}")),
                };
            }
        };
        let what = match look(&db, Care::EveryWay) {
            Ok(seen) => {
                return match known(&journal, seen.print) {
                    Some(_) => Ok(()),
                    None => Err("it shows a state that it never was in".to_owned()),
                };
            }
            Err(what) if what.contains(": Corrupt: ") => what,
            Err(what) => return Err(what),
        };
        let mut wrong = what;
        for number in (0..=journal.commits()).rev() {
            let Some(state) = journal.state(number) else {
                continue;
            };
            match one_by_one(&db, state) {
                Ok(_) => return Ok(()),
                Err(what) => wrong = what,
            }
        }
        Err(format!(
            "what can be read fits no state that it ever was in: {wrong}"
        ))
    }
}

fn session_of(db: docdb_engine::Db, journal: &Journal) -> Session {
    Session {
        db,
        journal: Arc::new(Mutex::new(journal.clone())),
    }
}

/// Writes a document and the next one; the version of the last.
fn write_once(session: &Session, id: u64) -> Result<u64, String> {
    let ops = [
        Op::new(WriteKind::Upsert, "_default", id, "\"after\""),
        Op::new(WriteKind::Insert, "_default", 0, "\"next\""),
    ];
    match session.commit(&ops) {
        Ok(Ok(version)) => Ok(version),
        Ok(Err(kind)) => Err(format!("a write is refused: {kind:?}")),
        Err(stop) => Err(format!("a write: {stop}")),
    }
}
