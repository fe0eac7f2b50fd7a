//! Living a script once, with the disk kept as it was before every operation.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use docdb_engine::vfs::IoOp;
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};
use docdb_engine::{Db, Error, ManualDriver};
use parking_lot::Mutex;

use super::hooked::Hooked;
use super::place::Script;
use crate::life::{Between, Life, Setup, dir, disk};
use crate::oracle::Journal;

/// The disk right before an operation, and what had been promised by then.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) disk: SimVfs,
    pub(super) journal: Journal,
    /// The options of the process that made the operation.
    pub(super) setup: Setup,
    /// The operation, and on what.
    pub(super) op: &'static str,
    pub(super) file: &'static str,
    pub(super) path: Arc<Path>,
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
    let disk = disk(script.seed)?;
    let moments = Arc::new(Mutex::new(Vec::new()));
    let between = Between::default();
    let shared: Arc<Mutex<Option<(Arc<Mutex<Journal>>, Setup)>>> = Arc::default();
    let vfs = {
        let (disk, moments) = (disk.clone(), Arc::clone(&moments));
        let (between, shared) = (between.clone(), Arc::clone(&shared));
        Hooked::new(&disk.clone(), move |op, path| {
            between.before(op, path);
            let shared = shared.lock().clone();
            if is_crashed && let Some((journal, setup)) = shared {
                let journal = journal.lock().clone();
                let disk = disk.fork_crash(&CrashPolicy::Kill);
                moments.lock().push(Moment {
                    disk,
                    journal,
                    setup,
                    op: op_name(op),
                    file: file_kind(path),
                    path: path.into(),
                });
            }
        })
    };
    let mut life = Life::new(&disk, Arc::new(vfs), script.setup, between.clone());
    let journal = life.journal();
    *shared.lock() = Some((Arc::clone(&journal), script.setup));
    let mut at = 0;
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        life.create().map_err(|stop| stop.to_string())?;
        for step in &script.steps {
            let done = life.step(step);
            // Options change with a reopening; what comes before it was made under the old ones, and
            // a process may open with any.
            *shared.lock() = Some((Arc::clone(&journal), life.setup()));
            done.map_err(|stop| stop.to_string())?;
            at += 1;
        }
        Ok(())
    }));
    let lived = lived.unwrap_or_else(|panic| Err(panic_text(&*panic)));
    let end = Moment {
        disk: disk.fork_crash(&CrashPolicy::Kill),
        journal: journal.lock().clone(),
        setup: life.setup(),
        op: "end",
        file: "none",
        path: Path::new("").into(),
    };
    drop(std::panic::catch_unwind(AssertUnwindSafe(|| life.end())));
    let mut moments = std::mem::take(&mut *moments.lock());
    moments.push(end);
    Ok(Lived {
        moments,
        trace: disk.trace_hash(),
        wrong: lived.err().map(|what| (at, what)),
        between: between.calls(),
    })
}

/// The disk right before each operation of a recovery.
pub(super) fn recovery(image: &SimVfs, moment: &Moment) -> Vec<Moment> {
    let disk = image.fork_crash(&CrashPolicy::Kill);
    let moments = Arc::new(Mutex::new(Vec::new()));
    let vfs = {
        let (disk, moments, moment) = (disk.clone(), Arc::clone(&moments), moment.clone());
        Hooked::new(&disk.clone(), move |op, path| {
            moments.lock().push(Moment {
                disk: disk.fork_crash(&CrashPolicy::Kill),
                op: op_name(op),
                file: file_kind(path),
                path: path.into(),
                ..moment.clone()
            });
        })
    };
    // Whether it may fail is judged where the state itself is checked.
    drop(Db::open_manual(
        Arc::new(vfs),
        dir(),
        moment.setup.options(),
        Arc::new(ManualDriver),
    ));
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
