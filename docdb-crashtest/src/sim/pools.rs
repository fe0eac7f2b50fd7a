//! Pools that live: several databases, created, dropped, opened and written to, and the catalog.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, SectorSize, SimVfs};
use docdb_engine::{DEFAULT_COLLECTION, Durability, ErrorKind, WriteKind, WriteOp};
use docdb_pool::{Pool, PoolOptions};
use parking_lot::Mutex;

use super::check::Checked;
use super::hooked::{Dead, Hooked};
use super::lived::Promised;
use crate::life::{MODES, Reopen, Setup, body};
use crate::oracle::{Care, Hash, Journal, Loss, Op, Session, Stop, document_print, look};
use crate::rng::Rng;

const DIR: &str = "/data";
const NAMES: [&str; 3] = ["one", "two", "three"];

/// One thing that happens to a pool.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PoolStep {
    Create(&'static str, Durability),
    Drop(&'static str),
    /// Documents with these ids are written in one commit; all of them hold this number.
    Write(&'static str, Vec<u64>, u64),
    Delete(&'static str, u64),
    Look(&'static str),
    Checkpoint(&'static str),
    CloseOne(&'static str),
    Step,
    Reopen(Reopen),
}

/// The steps of a pool's life.
pub(super) fn generate(rng: &mut Rng, steps: usize) -> Vec<PoolStep> {
    let mut made = vec![PoolStep::Create(NAMES[0], MODES[rng.below(5) as usize])];
    while made.len() < steps {
        let name = NAMES[rng.below(NAMES.len() as u64) as usize];
        made.push(match rng.below(24) {
            0..5 => PoolStep::Create(name, MODES[rng.below(5) as usize]),
            5..7 => PoolStep::Drop(name),
            7..13 => {
                let count = 1 + rng.below(3);
                let ids = (0..count).map(|_| rng.below(6)).collect();
                PoolStep::Write(name, ids, made.len() as u64)
            }
            13 => PoolStep::Delete(name, rng.below(6)),
            14 => PoolStep::Look(name),
            15..17 => PoolStep::Checkpoint(name),
            17 => PoolStep::CloseOne(name),
            18..20 => PoolStep::Step,
            20 => PoolStep::Reopen(Reopen::Close),
            21 => PoolStep::Reopen(Reopen::Crash(CrashPolicy::Kill)),
            _ => PoolStep::Reopen(Reopen::Crash(CrashPolicy::Torn {
                seed: rng.next(),
                sector: SectorSize::Bytes512,
            })),
        });
    }
    made
}

/// What is known of one name.
#[derive(Debug, Clone)]
enum Known {
    Absent,
    /// It may be there, and then it is empty.
    Creating(Durability),
    There(u64, Journal),
    /// It may be gone.
    Dropping(u64, Journal),
}

/// What a pool has promised.
#[derive(Debug, Clone, Default)]
pub(super) struct Books {
    names: BTreeMap<&'static str, Known>,
    /// The highest id that was answered.
    id: u64,
}

/// A pool that lives.
pub(super) struct PoolLife {
    disk: SimVfs,
    vfs: Hooked,
    pool: Option<Running>,
    pub(super) books: Arc<Mutex<Books>>,
    /// The journal of the database that is being written to.
    current: Arc<Mutex<Option<Current>>>,
}

/// A name, and the journal that its database's session keeps.
pub(super) type Current = (&'static str, Arc<Mutex<Journal>>);

fn options() -> PoolOptions {
    PoolOptions::manual().db(Setup::new(Durability::Full).options())
}

fn failed(e: docdb_engine::Error) -> Stop {
    Stop::Failed(e)
}

impl PoolLife {
    pub(super) fn new(
        disk: &SimVfs,
        vfs: Hooked,
        books: Arc<Mutex<Books>>,
        current: Arc<Mutex<Option<Current>>>,
    ) -> PoolLife {
        PoolLife {
            disk: disk.clone(),
            vfs,
            pool: None,
            books,
            current,
        }
    }

    pub(super) fn open(&mut self) -> Result<(), Stop> {
        let (vfs, dead) = self.vfs.anew();
        let pool = Pool::open(Arc::new(vfs), DIR, options()).map_err(failed)?;
        self.pool = Some(Running { pool, dead });
        Ok(())
    }

    fn pool(&self) -> Result<&Pool, Stop> {
        let none = || Stop::Wrong("the pool is not open".to_owned());
        self.pool
            .as_ref()
            .map(|running| &running.pool)
            .ok_or_else(none)
    }

    fn known(&self, name: &'static str) -> Known {
        let books = self.books.lock();
        books.names.get(name).cloned().unwrap_or(Known::Absent)
    }

    fn set(&self, name: &'static str, known: Known) {
        self.books.lock().names.insert(name, known);
    }

    pub(super) fn step(&mut self, step: &PoolStep) -> Result<(), Stop> {
        match step {
            PoolStep::Create(name, mode) => self.create(name, *mode),
            PoolStep::Drop(name) => self.drop_database(name),
            PoolStep::Write(name, ids, n) => self.in_session(name, |session| {
                let write = |id: &u64| {
                    let body = body(name, *n, 40);
                    Op::new(WriteKind::Upsert, DEFAULT_COLLECTION, *id, body)
                };
                let ops: Vec<Op> = ids.iter().map(write).collect();
                session.commit(&ops).map(drop)
            }),
            PoolStep::Delete(name, id) => self.in_session(name, |session| {
                let op = Op::new(WriteKind::Delete, DEFAULT_COLLECTION, *id, "");
                session.commit(&[op]).map(drop)
            }),
            PoolStep::Look(name) => self.in_session(name, |session| session.check(Care::EveryWay)),
            PoolStep::Checkpoint(name) => self.in_session(name, Session::checkpoint),
            PoolStep::CloseOne(name) => {
                if let Known::There(id, mut journal) = self.known(name)
                    && self.pool()?.close_database(name).map_err(failed)?
                {
                    journal.durable(journal.commits());
                    self.set(name, Known::There(id, journal));
                }
                Ok(())
            }
            PoolStep::Step => {
                while self.pool()?.step() {}
                Ok(())
            }
            PoolStep::Reopen(how) => self.reopen(*how),
        }
    }

    fn create(&mut self, name: &'static str, mode: Durability) -> Result<(), Stop> {
        if let Known::There(..) = self.known(name) {
            return match self.pool()?.create_database(name, Some(mode)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                answer => Err(Stop::Wrong(format!("{name} is created again: {answer:?}"))),
            };
        }
        self.set(name, Known::Creating(mode));
        let id = self
            .pool()?
            .create_database(name, Some(mode))
            .map_err(failed)?;
        let mut journal = Journal::new(mode);
        journal.created();
        let mut books = self.books.lock();
        if id <= books.id {
            return Err(Stop::Wrong(format!("{name} got the id {id} again")));
        }
        books.id = id;
        books.names.insert(name, Known::There(id, journal));
        Ok(())
    }

    fn drop_database(&mut self, name: &'static str) -> Result<(), Stop> {
        match self.known(name) {
            Known::There(id, journal) => {
                self.set(name, Known::Dropping(id, journal));
                self.pool()?.drop_database(name).map_err(failed)?;
                self.set(name, Known::Absent);
                Ok(())
            }
            _ => match self.pool()?.drop_database(name) {
                Err(error) if error.kind() == ErrorKind::DatabaseNotFound => Ok(()),
                answer => Err(Stop::Wrong(format!("{name} is dropped again: {answer:?}"))),
            },
        }
    }

    fn in_session(
        &mut self,
        name: &'static str,
        act: impl FnOnce(&Session) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let Known::There(id, journal) = self.known(name) else {
            return match self.pool()?.database(name) {
                Err(error) if error.kind() == ErrorKind::DatabaseNotFound => Ok(()),
                _ => Err(Stop::Wrong(format!(
                    "{name} is there and was never created"
                ))),
            };
        };
        let handle = self.pool()?.database(name).map_err(failed)?;
        let journal = Arc::new(Mutex::new(journal));
        *self.current.lock() = Some((name, Arc::clone(&journal)));
        let session = Session {
            db: (*handle).clone(),
            journal: Arc::clone(&journal),
        };
        let done = act(&session);
        drop(session);
        let journal = journal.lock().clone();
        self.set(name, Known::There(id, journal));
        *self.current.lock() = None;
        done
    }

    fn reopen(&mut self, how: Reopen) -> Result<(), Stop> {
        let Some(running) = self.pool.take() else {
            return Ok(());
        };
        let pool = &running.pool;
        let loss = match how {
            Reopen::Close => {
                // One after the other: a pool closes several at a time, in no order.
                let names: Vec<_> = self.books.lock().names.keys().copied().collect();
                for name in names {
                    if let Known::There(id, mut journal) = self.known(name) {
                        pool.close_database(name).map_err(failed)?;
                        journal.durable(journal.commits());
                        self.set(name, Known::There(id, journal));
                    }
                }
                pool.close();
                Loss::Power
            }
            Reopen::Crash(policy) => {
                running.dead.die();
                self.disk.crash(&policy);
                match policy {
                    CrashPolicy::Kill => Loss::Kill,
                    _ => {
                        for known in self.books.lock().names.values_mut() {
                            if let Known::There(_, journal) = known {
                                journal.power_has_failed();
                            }
                        }
                        Loss::Power
                    }
                }
            }
        };
        drop(running);
        self.open()?;
        let names: Vec<_> = self.books.lock().names.keys().copied().collect();
        for name in names {
            if let Known::There(id, mut journal) = self.known(name) {
                let handle = self.pool()?.database(name).map_err(failed)?;
                let seen = look(&handle, Care::Once).map_err(Stop::Wrong)?;
                let commits = journal.judge(seen.print, loss).map_err(Stop::Wrong)?;
                journal.recovered(commits);
                self.set(name, Known::There(id, journal));
            }
        }
        Ok(())
    }

    /// Ends the process without a word.
    pub(super) fn end(self) {
        drop(self.pool);
    }
}

impl Books {
    /// With what a session has noted meanwhile.
    pub(super) fn with(&self, current: Option<Current>) -> Books {
        let mut books = self.clone();
        if let Some((name, journal)) = current
            && let Some(Known::There(_, own)) = books.names.get_mut(name)
        {
            *own = journal.lock().clone();
        }
        books
    }

    /// Compares all databases with what was promised. Returns the hash of what is there.
    fn compare(&self, pool: &Pool, loss: Loss) -> Result<BTreeMap<String, u64>, String> {
        let mut shown = BTreeMap::new();
        for info in pool.list() {
            let name = info.name.as_str();
            let Some(known) = self.names.get(name) else {
                return Err(format!("{name} was never created"));
            };
            let handle = pool.database(name);
            let handle = handle.map_err(|e| format!("{name} does not open: {e}"))?;
            let seen = look(&handle, Care::EveryWay).map_err(|e| format!("{name}: {e}"))?;
            let judged = match known {
                Known::Absent => return Err(format!("{name} was dropped and is there again")),
                Known::Creating(mode) => Journal::new(*mode).judge(seen.print, loss),
                Known::There(id, journal) | Known::Dropping(id, journal) => {
                    if info.id != *id {
                        return Err(format!("{name} has the id {}, not {id}", info.id));
                    }
                    journal.judge(seen.print, loss)
                }
            };
            judged.map_err(|e| format!("{name}: {e}"))?;
            shown.insert(info.name, seen.print.0);
        }
        for (name, known) in &self.names {
            if matches!(known, Known::There(..)) && !shown.contains_key(*name) {
                return Err(format!("{name} is gone"));
            }
        }
        Ok(shown)
    }
}

fn open(disk: &SimVfs) -> Result<Running, String> {
    let (vfs, dead) = Hooked::new(disk, |_, _| {}).anew();
    let pool = Pool::open(Arc::new(vfs), DIR, options())
        .map_err(|e| format!("the pool does not open: {:?}: {e}", e.kind()))?;
    Ok(Running { pool, dead })
}

/// A pool, and what kills its process. One that is merely dropped closes its databases, in no order.
struct Running {
    pool: Pool,
    dead: Dead,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.dead.die();
    }
}

/// What every database shows, without a comparison.
fn show(disk: &SimVfs) -> Result<BTreeMap<String, u64>, String> {
    let running = open(disk)?;
    let pool = &running.pool;
    let mut shown = BTreeMap::new();
    for info in pool.list() {
        let handle = pool
            .database(&info.name)
            .map_err(|e| format!("{}: {e}", info.name))?;
        let seen = look(&handle, Care::Once)?;
        shown.insert(info.name, seen.print.0);
    }
    Ok(shown)
}

impl Promised for Books {
    fn promised(&self, loss: Loss) -> u64 {
        let mut hash = Hash::new().number(self.id);
        for (name, known) in &self.names {
            hash = hash.bytes(name.as_bytes());
            hash = match known {
                Known::Absent => hash.number(0),
                Known::Creating(_) => hash.number(1),
                Known::There(id, journal) => hash.number(*id).number(journal.promised(loss)),
                Known::Dropping(id, journal) => hash.number(!*id).number(journal.promised(loss)),
            };
        }
        hash.value()
    }

    fn mode(&self) -> &'static str {
        "pool"
    }

    fn commits(&self) -> usize {
        let journals = self.names.values().map(|known| match known {
            Known::There(_, journal) | Known::Dropping(_, journal) => journal.commits(),
            _ => 0,
        });
        journals.sum()
    }

    fn recover(&self, vfs: Arc<dyn Vfs>, dead: &Dead) {
        let Ok(pool) = Pool::open(vfs, DIR, options()) else {
            return;
        };
        for info in pool.list() {
            drop(pool.database(&info.name));
        }
        dead.die();
    }

    fn check(&self, disk: &SimVfs, loss: Loss) -> Result<Checked, String> {
        let running = open(disk)?;
        let pool = &running.pool;
        let shown = self.compare(pool, loss)?;
        let operations = disk.op_count();
        let lost = disk.fork_crash(&CrashPolicy::KeepNone);
        // Ids are never used twice: a database made now has an id above all that ever were.
        let failed = |what: &str, e: docdb_engine::Error| format!("{what}: {:?}: {e}", e.kind());
        let id = pool.create_database("fresh", Some(Durability::Full));
        let id = id.map_err(|e| failed("no creation after the recovery", e))?;
        if id <= self.id
            || pool
                .list()
                .iter()
                .any(|info| info.name != "fresh" && info.id >= id)
        {
            return Err(format!("the id {id} was given out before"));
        }
        let mut expected = shown.clone();
        for name in shown.keys().take(1).map(String::as_str).chain(["fresh"]) {
            let body = body(name, 0, 40);
            let handle = pool.database(name).map_err(|e| failed(name, e))?;
            let after = WriteOp::insert(DEFAULT_COLLECTION, body.as_bytes());
            let written = handle.submit_as(&[after], Durability::Full).wait();
            let written = written.map_err(|e| failed("no write after the recovery", e))?;
            let document = document_print(
                DEFAULT_COLLECTION,
                written.ids[0],
                written.version,
                body.as_bytes(),
            );
            let empty = Journal::new(Durability::Full).last().print().0;
            let print = expected.entry(name.to_owned()).or_insert(empty);
            *print = print.wrapping_add(document.0);
        }
        let after = disk.fork_crash(&CrashPolicy::KeepNone);
        drop(running);
        let directories = disk.list(Path::new(DIR)).map_err(|e| e.to_string())?;
        let directories = directories.iter().filter(|name| name.starts_with("db-"));
        if directories.count() != expected.len() {
            return Err("a directory is left that is no database's".to_owned());
        }
        let mut trace = disk.trace_hash();
        for (disk, expected, what) in [
            (lost, &shown, "after the page cache was lost"),
            (
                after,
                &expected,
                "after the first writes and a loss of power",
            ),
        ] {
            let again = show(&disk).map_err(|e| format!("{what}: {e}"))?;
            if again != *expected {
                return Err(format!(
                    "{what} {again:x?} is there, before it was {expected:x?}"
                ));
            }
            trace = trace.rotate_left(7) ^ disk.trace_hash();
        }
        Ok(Checked {
            is_there: true,
            operations,
            log_bytes: 0,
            trace,
        })
    }
}
