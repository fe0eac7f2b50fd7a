//! Small databases that are not open, and what each held after every commit.

use std::collections::BTreeMap;
use std::path::Path;

use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};

use super::kept::{self, round};
use super::model::State;
use super::workload::{Promise, Run, delete, insert, put, text};
use super::{create, create_with, disk, dump};

/// A disk, and by version what the database on it held.
pub(crate) struct Life {
    pub(crate) vfs: SimVfs,
    pub(crate) states: BTreeMap<u64, State>,
}

impl Life {
    fn of(vfs: SimVfs, promise: &Promise) -> Life {
        // Every commit got the next number.
        let states = promise.states.iter().map(State::visible);
        let states: BTreeMap<u64, State> = (0..).zip(states).collect();
        assert_eq!(states.last_key_value().unwrap().0, &promise.version);
        Life { vfs, states }
    }

    /// What it holds.
    pub(crate) fn last(&self) -> &State {
        self.states.last_key_value().unwrap().1
    }
}

fn run<'a>(vfs: &SimVfs, promise: &'a mut Promise) -> Run<'a> {
    promise.created = true;
    Run {
        db: create(vfs).unwrap(),
        promise,
    }
}

/// Closed, with two runs and two data files, a deletion in the newer run.
pub(crate) fn closed() -> Life {
    let vfs = disk();
    let mut promise = Promise::default();
    let mut run = run(&vfs, &mut promise);
    run.create_collection("a").unwrap();
    run.commits(&[vec![put("_default", 1, "1"), put("a", 3, &text(1, 9_000))]])
        .unwrap();
    run.db.checkpoint().unwrap();
    run.commits(&[
        vec![delete("_default", 1)],
        vec![put("a", 2, &text(2, 200)), insert("a", "4")],
    ])
    .unwrap();
    run.commits(&[vec![put("_default", 2, "[]"), put("a", 30, "{}")]])
        .unwrap();
    run.db.close().unwrap();
    Life::of(vfs, &promise)
}

/// Killed instead of closed, so that the log is needed.
pub(crate) fn killed() -> Life {
    let vfs = disk();
    let mut promise = Promise::default();
    let mut run = run(&vfs, &mut promise);
    run.create_collection("a").unwrap();
    run.commits(&[vec![put("_default", 1, "1"), put("a", 3, &text(1, 300))]])
        .unwrap();
    run.db.checkpoint().unwrap();
    run.commits(&[vec![delete("_default", 1), put("a", 2, "2")]])
        .unwrap();
    run.create_collection("b").unwrap();
    run.commits(&[vec![put("b", 7, "7"), put("a", 3, "3")]])
        .unwrap();
    // Proves what stands before it.
    run.commits(&[vec![put("_default", 3, "3")]]).unwrap();
    drop(run);
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    Life::of(vfs, &promise)
}

/// Killed behind large commits, whose documents are in a data file that no manifest names.
pub(crate) fn bulk() -> Life {
    let vfs = disk();
    let mut promise = Promise::default();
    let mut run = run(&vfs, &mut promise);
    run.commits(&[vec![put("_default", 1, "1"), put("_default", 2, "2")]])
        .unwrap();
    run.db.checkpoint().unwrap();
    run.commits(&[
        vec![put("_default", 1, &text(1, 5_000))],
        vec![put("_default", 5, &text(2, 6_000))],
    ])
    .unwrap();
    run.commits(&[vec![delete("_default", 2)]]).unwrap();
    run.commits(&[vec![put("_default", 6, "6")]]).unwrap();
    drop(run);
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    Life::of(vfs, &promise)
}

/// Closed, with earlier checkpoints that are kept.
pub(crate) fn keeping() -> Life {
    let vfs = disk();
    let db = create_with(&vfs, kept::keeping(3)).unwrap();
    let mut shown = kept::Shown::default();
    for n in 0..4 {
        round(&db, n, &mut shown).unwrap();
    }
    shown.insert(db.visible_version(), dump(&db).unwrap());
    db.close().unwrap();
    Life { vfs, states: shown }
}

/// The same disk with other contents of a file.
pub(crate) fn damaged(vfs: &SimVfs, path: &Path, contents: &[u8]) -> SimVfs {
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    vfs.write_file(path, contents).unwrap();
    vfs
}
