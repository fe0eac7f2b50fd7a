//! Backups of a database that is in use, and what is restored from them.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::backups::{
    BACKUP_DIR, backed_up, changed, contents, quiet, restored, restored_from, shared,
};
use common::workload::text;
use common::{create, create_with, dir, disk, dump, kind, open, options, settle};
use docdb_engine::backup::{Backup, BackupOptions, VERSIONS_LEFT_OUT};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};
use docdb_engine::{Db, ErrorKind, ManualDriver, WriteOp};

fn backup_dir() -> &'static Path {
    Path::new(BACKUP_DIR)
}

/// Documents in files, large ones, some only in the log, deleted ones, and collections.
fn filled(vfs: &SimVfs) -> Db {
    let db = create(vfs).unwrap();
    for round in 0..4 {
        changed(&db, round).unwrap();
    }
    db.create_collection("empty").wait().unwrap();
    let only_in_the_log = WriteOp::upsert("_default", 30, b"{\"only\":\"in the log\"}");
    db.submit(&[only_in_the_log]).wait().unwrap();
    db.submit(&[WriteOp::delete("_default", 3)]).wait().unwrap();
    db
}

#[test]
fn a_backup_holds_the_state_at_its_version() {
    let vfs = disk();
    let db = filled(&vfs);
    let (before, version) = (dump(&db).unwrap(), db.visible_version());
    let taken = backed_up(&db).unwrap();
    assert_eq!(taken.version, version);
    assert_eq!(taken.documents, db.stats().documents);
    assert!(
        taken.files_copied > 3 && taken.files_reused == 0,
        "{taken:?}"
    );
    assert_eq!(taken.bytes, taken.bytes_copied);
    // Later commits are not in it.
    changed(&db, 9).unwrap();
    db.submit(&[WriteOp::upsert("_default", 30, b"0")])
        .wait()
        .unwrap();
    db.compact().unwrap();
    let report = restored(&vfs, "one").unwrap();
    assert_eq!(
        (report.version, report.documents),
        (version, taken.documents)
    );
    let copy = restored_from(&vfs, "one").unwrap();
    assert_eq!(dump(&copy).unwrap(), before);
    // Its own versions are not those of what its source committed since.
    assert_eq!(copy.visible_version(), version + VERSIONS_LEFT_OUT);
    let ids = |db: &Db| {
        let written = db
            .submit(&[WriteOp::insert("_default", b"1")])
            .wait()
            .unwrap();
        (written.ids[0], written.version)
    };
    let (id, written) = ids(&copy);
    assert_eq!(id, 31, "the highest id is that of the backup");
    assert!(written > version + VERSIONS_LEFT_OUT);
    copy.compact().unwrap();
    copy.close().unwrap();
    assert!(
        restored_from(&vfs, "one")
            .unwrap()
            .exists("_default", id)
            .unwrap()
    );
    // The backup is as it was, and serves again.
    restored(&vfs, "two").unwrap();
    assert_eq!(dump(&restored_from(&vfs, "two").unwrap()).unwrap(), before);
    assert_eq!(
        kind(restored(&vfs, "two")),
        ErrorKind::AlreadyExists,
        "what is there is not replaced"
    );
}
