//! The same test with everything in memory, in data files, after a reopening, and mixed.

use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::{Committed, Db, Result, WriteOp};

use super::{create, disk, open};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Memory,
    Checkpointed,
    /// Closed and opened.
    Reopened,
    /// Dropped without a close, and opened.
    Killed,
    /// By turns none of it and a checkpoint.
    Mixed,
}

pub(crate) const MODES: [Mode; 5] = [
    Mode::Memory,
    Mode::Checkpointed,
    Mode::Reopened,
    Mode::Killed,
    Mode::Mixed,
];

pub(crate) struct Bench {
    pub(crate) vfs: SimVfs,
    pub(crate) mode: Mode,
    db: Option<Db>,
    turns: u32,
}

impl Bench {
    pub(crate) fn new(mode: Mode) -> Bench {
        println!("{mode:?}");
        let vfs = disk();
        let db = create(&vfs).unwrap();
        Bench {
            vfs,
            mode,
            db: Some(db),
            turns: 0,
        }
    }

    pub(crate) fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    /// Does what the mode is about.
    pub(crate) fn turn(&mut self) {
        self.turns += 1;
        match self.mode {
            Mode::Memory => {}
            Mode::Mixed if self.turns.is_multiple_of(2) => {}
            Mode::Checkpointed | Mode::Mixed => {
                self.db().checkpoint().unwrap();
            }
            Mode::Reopened => {
                self.db.take().unwrap().close().unwrap();
                self.db = Some(open(&self.vfs).unwrap());
            }
            Mode::Killed => {
                self.db = None;
                self.db = Some(open(&self.vfs).unwrap());
            }
        }
    }

    /// Writes and takes a turn, whether it worked or not.
    pub(crate) fn write(&mut self, ops: &[WriteOp<'_>]) -> Result<Committed> {
        let written = self.db().submit(ops).wait();
        self.turn();
        written
    }

    pub(crate) fn write_without_turn(&self, ops: &[WriteOp<'_>]) {
        self.db().submit(ops).wait().unwrap();
    }

    pub(crate) fn create_collection(&mut self, name: &str) -> Result<Committed> {
        let created = self.db().create_collection(name).wait();
        self.turn();
        created
    }

    pub(crate) fn drop_collection(&mut self, name: &str, force: bool) -> Result<Committed> {
        let dropped = self.db().drop_collection(name, force).wait();
        self.turn();
        dropped
    }

    pub(crate) fn body(&self, collection: &str, id: u64) -> String {
        let document = self.db().read(collection, id).unwrap();
        String::from_utf8(document.body.to_vec()).unwrap()
    }
}

/// Runs a test in every mode.
pub(crate) fn in_every_mode(test: impl Fn(&mut Bench)) {
    for mode in MODES {
        test(&mut Bench::new(mode));
    }
}
