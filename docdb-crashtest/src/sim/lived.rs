//! Living a script once, with the disk kept as it was before every operation.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use docdb_engine::Error;
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};
use docdb_engine::vfs::{IoOp, Vfs};
use parking_lot::Mutex;

use super::check::{Checked, Single};
use super::hooked::{Dead, Hooked};
use super::place::{Script, Steps};
use super::pools::{Books, Current, PoolLife, PoolStep};
use crate::life::{Between, Life, Setup, Step, disk};
use crate::oracle::{Journal, Loss};

/// What was promised, and how that is checked.
pub(super) trait Promised: fmt::Debug + Send + Sync {
    /// A number for all that must survive this.
    fn promised(&self, loss: Loss) -> u64;

    /// The durability mode, or another word for what is promised.
    fn mode(&self) -> &'static str;

    /// How many commits were submitted.
    fn commits(&self) -> usize;

    /// Recovers, and lets the process die. Whether it may fail is judged where the state itself is checked.
    fn recover(&self, vfs: Arc<dyn Vfs>, dead: &Dead);

    /// Recovers what a crash left on `disk`, compares it with what was promised, loses the page cache,
    /// writes, and loses power again.
    ///
    /// # Errors
    /// What is broken, as a sentence.
    fn check(&self, disk: &SimVfs, loss: Loss) -> Result<Checked, String>;
}

/// The disk right before an operation, and what had been promised by then.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) disk: SimVfs,
    pub(super) promised: Arc<dyn Promised>,
    /// The operation, and on what.
    pub(super) op: &'static str,
    pub(super) file: &'static str,
    pub(super) path: Arc<Path>,
}

impl Moment {
    fn new(disk: &SimVfs, promised: Arc<dyn Promised>, op: &'static str, path: &Path) -> Moment {
        Moment {
            disk: disk.fork_crash(&CrashPolicy::Kill),
            promised,
            op,
            file: file_kind(path),
            path: path.into(),
        }
    }
}

/// A life that was lived.
#[derive(Debug)]
pub(super) struct Lived {
    pub(super) moments: Vec<Moment>,
    /// A hash of all operations of the disk.
    pub(super) trace: u64,
    /// The step at which a promise was broken, and what was seen.
    pub(super) wrong: Option<(usize, String)>,
    pub(super) between: u64,
}

/// Lives a script to its end, or to where a promise is broken. The disk is kept only if that is wanted.
pub(super) fn live(script: &Script, is_crashed: bool) -> Result<Lived, Error> {
    match &script.steps {
        Steps::One(setup, steps) => live_one(script.seed, *setup, steps, is_crashed),
        Steps::Pool(steps) => live_pool(script.seed, steps, is_crashed),
    }
}

type Moments = Arc<Mutex<Vec<Moment>>>;

fn live_one(seed: u64, setup: Setup, steps: &[Step], is_crashed: bool) -> Result<Lived, Error> {
    let disk = disk(seed)?;
    let moments = Moments::default();
    let between = Between::default();
    let journal = Arc::new(Mutex::new(Journal::new(setup.mode)));
    let setups = Arc::new(Mutex::new(setup));
    let promised = {
        let (journal, setups) = (Arc::clone(&journal), Arc::clone(&setups));
        move || -> Arc<dyn Promised> {
            Arc::new(Single {
                journal: journal.lock().clone(),
                setup: *setups.lock(),
            })
        }
    };
    let vfs = {
        let (disk, moments) = (disk.clone(), Arc::clone(&moments));
        let (between, promised) = (between.clone(), promised.clone());
        Hooked::new(&disk.clone(), move |op, path| {
            between.before(op, path);
            if is_crashed {
                let moment = Moment::new(&disk, promised(), op_name(op), path);
                moments.lock().push(moment);
            }
        })
    };
    let mut life = Life::new(&disk, Arc::new(vfs), setup, journal, between.clone());
    let mut at = 0;
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        life.create().map_err(|stop| stop.to_string())?;
        for step in steps {
            life.step(step).map_err(|stop| stop.to_string())?;
            // A process may open with any options, so a recovery is checked with those before it.
            *setups.lock() = life.setup();
            at += 1;
        }
        Ok(())
    }));
    let end = Moment::new(&disk, promised(), "end", Path::new(""));
    drop(std::panic::catch_unwind(AssertUnwindSafe(|| life.end())));
    Ok(Lived::new(&disk, &moments, end, lived, at, between.calls()))
}

fn live_pool(seed: u64, steps: &[PoolStep], is_crashed: bool) -> Result<Lived, Error> {
    let disk = disk(seed)?;
    let moments = Moments::default();
    let books: Arc<Mutex<Books>> = Arc::default();
    let current: Arc<Mutex<Option<Current>>> = Arc::default();
    let promised = {
        let (books, current) = (Arc::clone(&books), Arc::clone(&current));
        move || -> Arc<dyn Promised> {
            let current = current.lock().clone();
            Arc::new(books.lock().with(current))
        }
    };
    let vfs = {
        let (disk, moments) = (disk.clone(), Arc::clone(&moments));
        let promised = promised.clone();
        Hooked::new(&disk.clone(), move |op, path| {
            if is_crashed {
                let moment = Moment::new(&disk, promised(), op_name(op), path);
                moments.lock().push(moment);
            }
        })
    };
    let mut life = PoolLife::new(&disk, vfs, books, current);
    let mut at = 0;
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        life.open().map_err(|stop| stop.to_string())?;
        for step in steps {
            life.step(step).map_err(|stop| stop.to_string())?;
            at += 1;
        }
        Ok(())
    }));
    let end = Moment::new(&disk, promised(), "end", Path::new(""));
    let trace = disk.trace_hash();
    drop(std::panic::catch_unwind(AssertUnwindSafe(|| life.end())));
    let lived = Lived::new(&disk, &moments, end, lived, at, 0);
    Ok(Lived { trace, ..lived })
}

impl Lived {
    fn new(
        disk: &SimVfs,
        moments: &Moments,
        end: Moment,
        lived: std::thread::Result<Result<(), String>>,
        at: usize,
        between: u64,
    ) -> Lived {
        let lived = lived.unwrap_or_else(|panic| Err(panic_text(&*panic)));
        let mut moments = std::mem::take(&mut *moments.lock());
        moments.push(end);
        Lived {
            moments,
            trace: disk.trace_hash(),
            wrong: lived.err().map(|what| (at, what)),
            between,
        }
    }
}

/// The disk right before each operation of a recovery.
pub(super) fn recovery(image: &SimVfs, moment: &Moment) -> Vec<Moment> {
    let disk = image.fork_crash(&CrashPolicy::Kill);
    let moments = Moments::default();
    let vfs = {
        let (disk, moments) = (disk.clone(), Arc::clone(&moments));
        let promised = Arc::clone(&moment.promised);
        Hooked::new(&disk.clone(), move |op, path| {
            let moment = Moment::new(&disk, Arc::clone(&promised), op_name(op), path);
            moments.lock().push(moment);
        })
    };
    let (vfs, dead) = vfs.anew();
    moment.promised.recover(Arc::new(vfs), &dead);
    std::mem::take(&mut moments.lock())
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("(no text)"))
}

fn op_name(op: IoOp) -> &'static str {
    match op {
        IoOp::Open => "create",
        IoOp::CreateDir => "create a directory",
        IoOp::SyncDir => "sync a directory",
        IoOp::Rename => "rename",
        IoOp::Remove => "remove",
        IoOp::Write => "write",
        IoOp::Sync => "sync",
        IoOp::SetLen => "set the length",
        IoOp::Allocate => "allocate",
        _ => "other",
    }
}

fn file_kind(path: &Path) -> &'static str {
    let name = path.file_name().and_then(|name| name.to_str());
    match name.unwrap_or("") {
        name if name.starts_with("data-") => "data file",
        name if name.starts_with("run-") => "index run",
        name if name.starts_with("MANIFEST") || name.starts_with("manifest") => "manifest",
        name if name.starts_with("CATALOG") || name.starts_with("catalog") => "catalog",
        "db" | "data" | "wal" | "" => "directory",
        _ if path.components().any(|part| part.as_os_str() == "wal") => "log",
        _ => "other",
    }
}
