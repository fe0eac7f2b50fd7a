//! Small databases that are not open, and what each holds.

use std::path::Path;

use docdb_engine::WriteOp;
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};

use super::kept::{self, round};
use super::model::State;
use super::workload::{Promise, Run, delete, insert, put, text};
use super::{create, create_with, disk, dump};

fn run<'a>(vfs: &SimVfs, promise: &'a mut Promise) -> Run<'a> {
    promise.created = true;
    Run {
        db: create(vfs).unwrap(),
        promise,
    }
}

/// Closed, with two runs and two data files, a deletion in the newer run.
pub(crate) fn closed() -> (SimVfs, State) {
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
    (vfs, promise.last().visible())
}

/// Killed instead of closed, so that the log is needed.
pub(crate) fn killed() -> (SimVfs, State) {
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
    (vfs, promise.last().visible())
}

/// Killed behind large commits, whose documents are in a data file that no manifest names.
pub(crate) fn bulk() -> (SimVfs, State) {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let write = |ops: &[WriteOp<'_>]| db.submit(ops).wait().map(|_| ()).unwrap();
    let large = text(1, 5_000);
    write(&[
        WriteOp::upsert("_default", 1, b"1"),
        WriteOp::upsert("_default", 2, b"2"),
    ]);
    db.checkpoint().unwrap();
    write(&[WriteOp::upsert("_default", 1, large.as_bytes())]);
    write(&[WriteOp::upsert("_default", 5, text(2, 6_000).as_bytes())]);
    write(&[WriteOp::delete("_default", 2)]);
    write(&[WriteOp::upsert("_default", 6, b"6")]);
    let state = dump(&db).unwrap();
    (vfs.fork_crash(&CrashPolicy::KeepAll), state)
}

/// Closed, with earlier checkpoints that are kept.
pub(crate) fn keeping() -> (SimVfs, State) {
    let vfs = disk();
    let db = create_with(&vfs, kept::keeping(3)).unwrap();
    let mut shown = kept::Shown::default();
    for n in 0..4 {
        round(&db, n, &mut shown).unwrap();
    }
    let state = dump(&db).unwrap();
    db.close().unwrap();
    (vfs, state)
}

/// The same disk with other contents of a file.
pub(crate) fn damaged(vfs: &SimVfs, path: &Path, contents: &[u8]) -> SimVfs {
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    vfs.write_file(path, contents).unwrap();
    vfs
}
