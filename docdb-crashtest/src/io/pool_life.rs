//! A life of a pool: databases are created, used, closed and dropped while a call fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use docdb_engine::{Durability, Error, ErrorKind, WriteKind};
use docdb_pool::{Pool, PoolOptions};
use docdb_vfs::Vfs;
use docdb_vfs::sim::{CrashPolicy, SimVfs};
use parking_lot::Mutex;

use super::calls::{Call, Fault, Noting};
use super::case::{Case, Fate, Judged, plan};
use super::life::{known, options, text};
use crate::oracle::{Care, Journal, Loss, Op, Session, Stop, look};

/// The name of the life.
pub(super) const NAME: &str = "pool";

const DATA_DIR: &str = "/pool";

/// One thing that is done to a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Create(&'static str),
    Put(&'static str, u64, usize),
    Drop(&'static str),
    /// Closed, to be opened at its next use.
    Close(&'static str),
    Checkpoint(&'static str),
    /// The pool is closed and opened again.
    Reopen,
    /// The process ends, and another opens the pool.
    Kill,
}

const STEPS: [Step; 17] = [
    Step::Create("one"),
    Step::Put("one", 1, 10),
    Step::Create("two"),
    Step::Put("two", 1, 5_000),
    Step::Put("one", 2, 300),
    Step::Drop("one"),
    Step::Create("one"),
    Step::Put("one", 3, 20),
    Step::Close("two"),
    Step::Put("two", 2, 900),
    Step::Kill,
    Step::Put("one", 4, 40),
    Step::Create("three"),
    Step::Drop("two"),
    Step::Reopen,
    Step::Checkpoint("one"),
    Step::Put("three", 1, 10),
];

/// What a name must mean.
#[derive(Debug, Clone)]
struct Named {
    /// None: nothing, as was answered.
    journal: Option<Arc<Mutex<Journal>>>,
    /// A creation or a drop was begun, and not answered.
    in_doubt: bool,
}

type Names = BTreeMap<&'static str, Named>;

struct Run {
    vfs: Arc<dyn Vfs>,
    pool: Option<Pool>,
    names: Names,
}

fn open(vfs: &Arc<dyn Vfs>) -> Result<Pool, Error> {
    let options = PoolOptions::manual().db(options(Durability::Full));
    Pool::open(Arc::clone(vfs), DATA_DIR, options)
}

impl Run {
    fn live(&mut self) -> Result<(), Stop> {
        self.pool = Some(open(&self.vfs)?);
        for step in STEPS {
            self.step(step)?;
        }
        Ok(())
    }

    fn pool(&self) -> Result<&Pool, Stop> {
        let pool = self.pool.as_ref();
        pool.ok_or_else(|| Stop::Wrong("the life has no pool".to_owned()))
    }

    fn session(&self, name: &str) -> Result<Session, Stop> {
        let db = self.pool()?.database(name)?;
        let journal = self.names.get(name).and_then(|named| named.journal.clone());
        let journal = journal.ok_or_else(|| Stop::Wrong(format!("{name} is not there")))?;
        Ok(Session {
            db: (*db).clone(),
            journal,
        })
    }

    fn step(&mut self, step: Step) -> Result<(), Stop> {
        match step {
            Step::Create(name) => {
                let mut journal = Journal::new(Durability::Full);
                journal.created();
                let named = Named {
                    journal: Some(Arc::new(Mutex::new(journal))),
                    in_doubt: true,
                };
                self.names.insert(name, named);
                self.pool()?.create_database(name, None)?;
                self.settled(name);
            }
            Step::Drop(name) => {
                if let Some(named) = self.names.get_mut(name) {
                    named.in_doubt = true;
                }
                self.pool()?.drop_database(name)?;
                if let Some(named) = self.names.get_mut(name) {
                    named.journal = None;
                }
                self.settled(name);
            }
            Step::Put(name, id, bytes) => {
                let body = text(id, bytes);
                let op = Op::new(WriteKind::Upsert, "_default", id, body);
                let answer = self.session(name)?.commit(&[op])?;
                answer.map_err(|kind| Stop::Wrong(format!("a write is refused: {kind:?}")))?;
            }
            Step::Close(name) => drop(self.pool()?.close_database(name)?),
            Step::Checkpoint(name) => self.session(name)?.checkpoint()?,
            Step::Reopen => {
                self.pool()?.close();
                self.pool = None;
                self.pool = Some(open(&self.vfs)?);
            }
            Step::Kill => {
                // A pool that goes away closes: nobody can be killed in the middle of a process, so
                // this is as near as it gets. The other parts kill.
                self.pool = None;
                self.pool = Some(open(&self.vfs)?);
            }
        }
        Ok(())
    }

    fn settled(&mut self, name: &str) {
        if let Some(named) = self.names.get_mut(name) {
            named.in_doubt = false;
        }
    }
}

/// The calls of the life if nothing fails.
///
/// # Errors
///
/// What went wrong all the same.
pub(super) fn calls() -> Result<Vec<Call>, String> {
    let vfs = SimVfs::new(7);
    vfs.set_reads_count(true);
    let noting = Noting::new(&vfs);
    let mut run = Run {
        vfs: Arc::new(noting.clone()),
        pool: None,
        names: Names::new(),
    };
    run.live()
        .map_err(|stop| format!("without any fault: {stop}"))?;
    Ok(noting.calls())
}

/// Lives with the fault, and looks at what is left.
pub(super) fn judge(case: &Case) -> Judged {
    let vfs = SimVfs::new(7);
    vfs.set_reads_count(true);
    plan(&vfs, case);
    let mut run = Run {
        vfs: Arc::new(vfs.clone()),
        pool: None,
        names: Names::new(),
    };
    let outcome = run.live();
    vfs.clear_faults();
    let mut reopened = 0;
    let judged = after(&vfs, case, &mut run, outcome, &mut reopened);
    let (fate, broken) = match judged {
        Ok(fate) => (fate, None),
        Err(what) => (Fate::WentOn, Some(what)),
    };
    Judged {
        fate,
        steps: 0,
        reopened,
        broken,
    }
}

fn after(
    vfs: &SimVfs,
    case: &Case,
    run: &mut Run,
    outcome: Result<(), Stop>,
    reopened: &mut u64,
) -> Result<Fate, String> {
    let fault = case.fault;
    let fate = match &outcome {
        Ok(()) => Fate::WentOn,
        Err(Stop::Wrong(what)) => return Err(what.clone()),
        Err(Stop::Failed(error)) => {
            check_kind(case, vfs, error)?;
            match (&run.pool, error.kind()) {
                (None, _) => Fate::NotOpened,
                (_, ErrorKind::Poisoned | ErrorKind::OutcomeUnknown) => Fate::Poisoned,
                _ => Fate::Refused,
            }
        }
    };
    for policy in [
        CrashPolicy::Kill,
        CrashPolicy::KeepNone,
        CrashPolicy::KeepAll,
    ] {
        let image = vfs.fork_crash(&policy);
        *reopened += 1;
        let kept = if fault.is_told() {
            everything_kept(&image, &run.names)
        } else {
            nothing_invented(&image, &run.names)
        };
        kept.map_err(|what| format!("{policy:?}: {what}"))?;
    }
    if fault.is_told()
        && let Some(pool) = &run.pool
    {
        neighbours_live(pool, &run.names)?;
    }
    Ok(fate)
}

/// The error says what happened.
fn check_kind(case: &Case, vfs: &SimVfs, error: &Error) -> Result<(), String> {
    let fault = case.fault;
    let fits = match error.kind() {
        ErrorKind::Poisoned | ErrorKind::OutcomeUnknown => true,
        ErrorKind::DiskFull => fault.is_full_disk(),
        ErrorKind::Io => !fault.is_full_disk(),
        ErrorKind::Corrupt => fault == Fault::Short || !fault.is_told(),
        // A file whose write went astray may be the one that says who is there.
        _ => !fault.is_told() && vfs.power_is_off(),
    };
    if fits {
        return Ok(());
    }
    Err(format!("the answer is {:?}: {error}", error.kind()))
}

/// After what was told: every name means what was answered, and every document is there.
fn everything_kept(image: &SimVfs, names: &Names) -> Result<(), String> {
    let shared: Arc<dyn Vfs> = Arc::new(image.clone());
    let pool = open(&shared).map_err(|e| format!("the pool: {:?}: {e}", e.kind()))?;
    for (name, named) in names {
        let is_there = pool.contains(name);
        match &named.journal {
            None if is_there && !named.in_doubt => return Err(format!("{name} was dropped")),
            Some(_) if !is_there && !named.in_doubt => return Err(format!("{name} is gone")),
            _ => {}
        }
        let Some(journal) = named.journal.as_ref().filter(|_| is_there) else {
            continue;
        };
        let db = pool.database(name);
        let db = db.map_err(|e| format!("{name}: {:?}: {e}", e.kind()))?;
        let seen = look(&db, Care::EveryWay).map_err(|what| format!("{name}: {what}"))?;
        let judged = journal.lock().judge(seen.print, Loss::Power);
        judged.map_err(|what| format!("{name}: {what}"))?;
    }
    if let Some(unknown) = pool.list().iter().find(|db| !names.contains_key(&*db.name)) {
        return Err(format!("{} was never created", unknown.name));
    }
    let highest = pool.list().iter().map(|db| db.id).max().unwrap_or(0);
    let id = pool.create_database("fresh", None);
    let id = id.map_err(|e| format!("the first creation: {:?}: {e}", e.kind()))?;
    if id <= highest {
        return Err(format!("the number {id} is given out again"));
    }
    pool.close();
    let dirs = image.list(Path::new(DATA_DIR)).map_err(|e| e.to_string())?;
    let dirs = dirs.iter().filter(|name| name.starts_with("db-")).count();
    if dirs != pool.list().len() {
        return Err(format!(
            "{dirs} directories for {} databases",
            pool.list().len()
        ));
    }
    Ok(())
}

/// After a lie: a refusal by kind, or what once was.
fn nothing_invented(image: &SimVfs, names: &Names) -> Result<(), String> {
    let is_refusal = |error: &Error| {
        matches!(
            error.kind(),
            ErrorKind::Corrupt | ErrorKind::UnsupportedVersion | ErrorKind::DatabaseNotFound
        )
    };
    let shared: Arc<dyn Vfs> = Arc::new(image.clone());
    let pool = match open(&shared) {
        Ok(pool) => pool,
        Err(error) if is_refusal(&error) => return Ok(()),
        Err(error) => return Err(format!("the pool: {:?}: {error}", error.kind())),
    };
    for info in pool.list() {
        let Some(named) = names.get(&*info.name) else {
            return Err(format!("{} was never created", info.name));
        };
        let db = match pool.database(&info.name) {
            Ok(db) => db,
            Err(error) if is_refusal(&error) => continue,
            Err(error) => return Err(format!("{}: {:?}: {error}", info.name, error.kind())),
        };
        let Some(journal) = &named.journal else {
            // Dropped: what it held is not known any more.
            continue;
        };
        match look(&db, Care::EveryWay) {
            Err(what) if what.contains(": Corrupt: ") => {}
            Err(what) => return Err(format!("{}: {what}", info.name)),
            // A name that was used twice may mean the first of its databases again.
            Ok(seen) if info.name == "one" && seen.documents <= 2 => {}
            Ok(seen) => {
                if known(&journal.lock(), seen.print).is_none() {
                    return Err(format!("{} shows a state that it never was in", info.name));
                }
            }
        }
    }
    Ok(())
}

/// The process that saw the fault goes on serving what did not fail.
fn neighbours_live(pool: &Pool, names: &Names) -> Result<(), String> {
    for (name, named) in names {
        let Some(journal) = named.journal.as_ref().filter(|_| !named.in_doubt) else {
            continue;
        };
        let db = match pool.database(name) {
            Ok(db) => db,
            // The pool was closed in the middle, or is.
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
            Err(error) => return Err(format!("{name} afterwards: {:?}: {error}", error.kind())),
        };
        let seen = look(&db, Care::Once).map_err(|what| format!("{name} afterwards: {what}"))?;
        let judged = journal.lock().judge(seen.print, Loss::Kill);
        judged.map_err(|what| format!("{name} afterwards: {what}"))?;
    }
    Ok(())
}
