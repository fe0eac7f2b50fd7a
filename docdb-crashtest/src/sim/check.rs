//! What must be true of a database after a crash.

use std::path::Path;
use std::sync::Arc;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};
use docdb_engine::{DEFAULT_COLLECTION, Db, Durability, ErrorKind, ManualDriver, WriteOp};

use super::hooked::Dead;
use super::kept::{copies_hold_what_was, nothing_lacks_a_file};
use super::lived::Promised;
use crate::life::{Setup, dir};
use crate::oracle::{Care, Journal, Loss, backup_holds, document_print, look};

/// What a state was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    /// Whether there was a database; else it was not created yet, and rightly is not there.
    pub(super) is_there: bool,
    /// Operations of the disk that the recovery took.
    pub(super) operations: u64,
    /// Bytes of the log's records that it replayed.
    pub(super) log_bytes: u64,
    /// A hash of everything that was done to the disk.
    pub(super) trace: u64,
}

/// Of so many states while a backup is taken, and of so many of the others once there is one, it is
/// restored in one.
const RESTORE_EVERY: (u64, u64) = (4, 32);
const AFTER: &[u8] = br#"{"in":"_default","n":0,"t":"after"}"#;
/// Of so many states that keep checkpoints, databases are made of these in one.
const COPY_EVERY: u64 = 8;
/// What a database may take beside the documents: the log, and what has not been compacted.
const SPACE_BYTES_MAX: u64 = 1 << 20;

fn open(disk: &SimVfs, setup: Setup) -> Result<Db, String> {
    let shared: Arc<dyn Vfs> = Arc::new(disk.clone());
    Db::open_manual(shared, dir(), setup.options(), Arc::new(ManualDriver))
        .map_err(|e| format!("does not open: {:?}: {e}", e.kind()))
}

/// What one database has promised, and the options that it is opened with.
#[derive(Debug, Clone)]
pub(super) struct Single {
    pub(super) journal: Journal,
    pub(super) setup: Setup,
}

impl Promised for Single {
    fn promised(&self, loss: Loss) -> u64 {
        self.journal.promised(loss)
    }

    fn mode(&self) -> &'static str {
        self.journal.mode().name()
    }

    fn commits(&self) -> usize {
        self.journal.commits()
    }

    fn recover(&self, vfs: Arc<dyn Vfs>, _dead: &Dead) {
        let options = self.setup.options();
        drop(Db::open_manual(vfs, dir(), options, Arc::new(ManualDriver)));
    }

    fn check(&self, disk: &SimVfs, loss: Loss) -> Result<Checked, String> {
        check(disk, &self.journal, self.setup, loss)
    }
}

fn check(disk: &SimVfs, journal: &Journal, setup: Setup, loss: Loss) -> Result<Checked, String> {
    let is_there = disk.exists(dir()).map_err(|e| e.to_string())?;
    if !is_there {
        if journal.is_created() {
            return Err("the database is gone".to_owned());
        }
        return nothing_is_in_the_way(disk, setup);
    }
    let backed_up = journal.backed_up();
    let every = match (backed_up.under_way, &backed_up.last) {
        (true, _) => Some(RESTORE_EVERY.0),
        (false, Some(_)) => Some(RESTORE_EVERY.1),
        (false, None) => None,
    };
    if every.is_some_and(|every| disk.image_hash().is_multiple_of(every)) {
        let disk = disk.fork_crash(&CrashPolicy::KeepAll);
        backup_holds(&disk, journal, setup.options())?;
    }
    if let Some(damaged) = journal.damaged() {
        let copy = disk.fork_crash(&CrashPolicy::Kill);
        let db = open(&copy, setup).map_err(|e| format!("with damage it {e}"))?;
        damaged.judge(&db, journal, loss)?;
        // The rest must be kept whatever becomes of the document.
        damaged.undo(disk).map_err(|e| e.to_string())?;
    }
    let keeps = setup.keep_checkpoints > 1;
    if keeps {
        nothing_lacks_a_file(disk)?;
        if disk.image_hash().is_multiple_of(COPY_EVERY) {
            let disk = disk.fork_crash(&CrashPolicy::KeepAll);
            copies_hold_what_was(&disk, setup, journal)?;
        }
    }
    let db = open(disk, setup)?;
    let operations = disk.op_count();
    let log_bytes = db.recovery_report().wal.payload_bytes;
    let seen = look(&db, Care::WithSpace)?;
    journal.judge(seen.print, loss)?;
    let lost = disk.fork_crash(&CrashPolicy::KeepNone);
    // The first write: durable, with a version above all, and an id above all that were ever used.
    let after = WriteOp::insert(DEFAULT_COLLECTION, AFTER);
    let written = db.submit_as(&[after], Durability::Full).wait();
    let written =
        written.map_err(|e| format!("no write after the recovery: {:?}: {e}", e.kind()))?;
    let (id, version) = (written.ids[0], written.version);
    if version <= journal.version() {
        return Err(format!("version {version} was given out before"));
    }
    let mut fitting = journal.fitting(seen.print, loss);
    let is_next = |number: usize| {
        let state = journal.state(number)?;
        let highest = state.collection(DEFAULT_COLLECTION)?.highest;
        Some(highest.map_or(1, |highest| highest + 1) == id)
    };
    if !fitting.any(|number| is_next(number) == Some(true)) {
        return Err(format!(
            "the id {id} was assigned, which is not the next one"
        ));
    }
    let live = journal.last().live_bytes();
    let used = disk.used_bytes();
    // A backup takes as much again.
    let copies = 1 + u64::from(every.is_some());
    if used > copies * (SPACE_BYTES_MAX + 4 * live) {
        return Err(format!(
            "{used} bytes are taken by {live} bytes of documents"
        ));
    }
    drop(db);
    if keeps {
        nothing_lacks_a_file(disk)?;
    }
    let mut expected = seen.print;
    expected += document_print(DEFAULT_COLLECTION, id, version, AFTER);
    let mut trace = disk.trace_hash();
    for (disk, expected, what) in [
        (lost, seen.print, "after the page cache was lost"),
        (
            disk.fork_crash(&CrashPolicy::KeepNone),
            expected,
            "after the first write and a loss of power",
        ),
    ] {
        let db = open(&disk, setup).map_err(|e| format!("{what} it {e}"))?;
        let again = look(&db, Care::Once).map_err(|e| format!("{what}: {e}"))?;
        if again.print != expected {
            return Err(format!(
                "{what} there is another state: {} documents, before {}",
                again.documents, seen.documents
            ));
        }
        trace = trace.rotate_left(7) ^ disk.trace_hash();
    }
    Ok(Checked {
        is_there,
        operations,
        log_bytes,
        trace,
    })
}

/// A database whose creation was not answered and that is not there can be created.
fn nothing_is_in_the_way(disk: &SimVfs, setup: Setup) -> Result<Checked, String> {
    let shared: Arc<dyn Vfs> = Arc::new(disk.clone());
    let driver = Arc::new(ManualDriver);
    match Db::open_manual(Arc::clone(&shared), dir(), setup.options(), driver.clone()) {
        Err(error) if error.kind() != ErrorKind::Internal => {}
        _ => return Err("what was never created can be opened".to_owned()),
    }
    let db = Db::create(shared, dir(), setup.options(), driver);
    db.map_err(|e| format!("cannot be created: {e}"))?;
    if !disk.exists(Path::new(dir())).map_err(|e| e.to_string())? {
        return Err("was created and is not there".to_owned());
    }
    Ok(Checked {
        is_there: false,
        operations: disk.op_count(),
        log_bytes: 0,
        trace: disk.trace_hash(),
    })
}
