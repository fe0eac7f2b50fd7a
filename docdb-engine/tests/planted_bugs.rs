//! The crash tests are tests themselves only if they see bugs: each planted one turns them red.
#![cfg(all(feature = "planted-bugs", debug_assertions))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;

use docdb_engine::planted::{Bug, plant};
use docdb_engine::vfs::Vfs;
use docdb_engine::{Db, Durability, Error, ManualDriver, WriteOp};
use docdb_wal::planted as wal;

use common::damaged;
use common::explore::{crash_everywhere, crash_everywhere_in_recovery};
use common::hooked::Hooked;
use common::kept;
use common::workload::text;
use common::{check_space, create, dir, disk, dump, open, options, settle};
use docdb_crashtest::bounds::overwrite;
use docdb_crashtest::bounds::press;

/// What a reader was shown and a power loss took back, if so.
fn shown_is_durable() -> Result<(), String> {
    let vfs = disk();
    let db = create(&vfs).map_err(|e| e.to_string())?;
    let ticket = db.submit(&[WriteOp::create("_default", 1, b"1")]);
    let shown = db.exists("_default", 1).map_err(|e| e.to_string())?;
    let image = vfs.fork_crash(&docdb_engine::vfs::sim::CrashPolicy::KeepNone);
    let left: Db = open(&image).map_err(|e| e.to_string())?;
    drop(ticket);
    if shown && !left.exists("_default", 1).map_err(|e| e.to_string())? {
        return Err("a document was shown and is gone".into());
    }
    Ok(())
}

fn explore() -> Result<(), String> {
    shown_is_durable()?;
    crash_everywhere()?;
    crash_everywhere_in_recovery()?;
    Ok(())
}

/// Whether readers beside writers of whole batches ever see a part of one.
fn sees_torn_batches(batches: usize) -> bool {
    let temp = tempfile::tempdir().unwrap();
    let seen = docdb_crashtest::histories::torn_batches(&temp.path().join("db"), batches);
    seen.unwrap().is_err()
}

/// A database whose data file 1 is worth a compaction, with documents 0 to 40.
fn worth_compacting(vfs: Arc<dyn Vfs>) -> Result<Db, Error> {
    let mut options = options();
    options.compact_slice_bytes = 64 << 10;
    options.compaction_bytes_per_second = 0;
    let db = Db::create(vfs, dir(), options, Arc::new(ManualDriver))?;
    for id in 0..40 {
        let body = text(id, if id < 30 { 1_000 } else { 10 });
        db.submit(&[WriteOp::upsert("_default", id, body.as_bytes())])
            .wait()?;
    }
    db.checkpoint()?;
    for id in 0..25 {
        db.submit(&[WriteOp::upsert("_default", id, b"1")]).wait()?;
    }
    db.checkpoint()?;
    Ok(db)
}

/// A checkpoint supersedes documents while a compaction moves them.
fn superseded_while_moved() -> Result<(), String> {
    let hooked = Hooked::new(&disk(), "data-");
    let db = worth_compacting(hooked.vfs()).map_err(|e| e.to_string())?;
    let writing = db.clone();
    hooked.hook(move || {
        for id in 25..30 {
            let op = WriteOp::upsert("_default", id, b"2");
            writing.submit(&[op]).wait().unwrap();
        }
        writing.checkpoint().unwrap();
    });
    db.compact().map_err(|e| e.to_string())?;
    check_space(&db)
}

/// Newer runs are merged, with deletions of what an older run holds.
fn deleted_and_merged() -> Result<(), String> {
    let vfs = disk();
    let db = worth_compacting(Arc::new(vfs.clone())).map_err(|e| e.to_string())?;
    for id in 0..5 {
        for op in [
            WriteOp::delete("_default", id),
            WriteOp::upsert("_default", 100 + id, b"1"),
        ] {
            db.submit(&[op]).wait().map_err(|e| e.to_string())?;
        }
        db.checkpoint().map_err(|e| e.to_string())?;
        settle(&db).map_err(|e| e.to_string())?;
        let shown = dump(&db)?;
        if shown.collections["_default"].documents.contains_key(&id) {
            return Err(format!("document {id} is there again"));
        }
    }
    Ok(())
}

/// A document is written while an edit of it is under way, which has read it and not yet committed.
fn written_while_edited() -> Result<(), String> {
    let hooked = Hooked::new(&disk(), "data-");
    let db = Db::create(hooked.vfs(), dir(), options(), Arc::new(ManualDriver));
    let db = db.map_err(|e| e.to_string())?;
    // Large, so that a file is synced in between.
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(5_000));
    let write = |db: &Db, op| db.submit(&[op]).wait().map_err(|e| e.to_string());
    write(&db, WriteOp::create("_default", 1, large.as_bytes()))?;
    let writing = db.clone();
    hooked.hook(move || {
        let op = WriteOp::update("_default", 1, b"{}");
        writing.submit(&[op]).wait().unwrap();
    });
    write(&db, WriteOp::merge("_default", 1, b"{\"b\":1}"))?;
    let body = db.read("_default", 1).map_err(|e| e.to_string())?.body;
    match &*body {
        b"{\"b\":1}" => Ok(()),
        _ => Err("an update was lost".into()),
    }
}

/// A writer that is faster than checkpoints, at the end of the memory and at that of the log.
fn budgets_are_kept() -> Result<(), String> {
    let time = std::time::Duration::from_secs(2);
    for (memory, log) in [(4 << 20, 1 << 30), (1 << 30, 4 << 20)] {
        press(0, Durability::Os, memory, log, time)?;
    }
    Ok(())
}

/// Overwriting with a rate of compaction that is far too low.
fn space_is_bounded() -> Result<(), String> {
    let space = overwrite(7, 64 << 10, std::time::Duration::from_secs(10))?;
    if space.most > 4.0 {
        return Err(format!("{space:?}"));
    }
    Ok(())
}

/// What a test says, also if it panics: a bug may be caught by an assertion.
/// Nothing old and nothing deleted comes back when damaged documents are healed.
fn healed_as_it_was() -> Result<(), String> {
    let vfs = disk();
    let options = damaged::with_log();
    let db = common::create_with(&vfs, options.clone()).map_err(|e| e.to_string())?;
    let write = |body: &str| {
        let op = WriteOp::upsert("_default", 1, body.as_bytes());
        db.submit(&[op]).wait().map_err(|e| e.to_string())
    };
    write(&text(900, 700))?;
    write(&text(1, 700))?;
    db.checkpoint().map_err(|e| e.to_string())?;
    damaged::damage_document(&vfs, text(1, 700).as_bytes());
    db.heal("_default", 1).map_err(|e| e.to_string())?;
    drop(db);
    let db = common::open_with(&vfs, options).map_err(|e| e.to_string())?;
    let read = db.read("_default", 1).map_err(|e| e.to_string())?;
    if *read.body != *text(1, 700).as_bytes() {
        return Err(format!("{:.20?} came back", read.body));
    }
    check_space(&db)
}

/// A document that is deleted while it is healed stays deleted.
fn deleted_while_healed() -> Result<(), String> {
    let vfs = disk();
    let hooked = Hooked::new(&vfs, "data-");
    let driver = Arc::new(ManualDriver);
    let db = Db::create(hooked.vfs(), dir(), damaged::with_log(), driver);
    let db = db.map_err(|e| e.to_string())?;
    let op = WriteOp::create("_default", 1, b"\"a document that is damaged\"");
    db.submit(&[op]).wait().map_err(|e| e.to_string())?;
    db.checkpoint().map_err(|e| e.to_string())?;
    damaged::damage_document(&vfs, b"a document that is damaged");
    let beside = db.clone();
    hooked.hook(move || {
        let op = WriteOp::delete("_default", 1);
        beside.submit(&[op]).wait().unwrap();
        beside.checkpoint().unwrap();
    });
    db.heal("_default", 1).map_err(|e| e.to_string())?;
    if hooked.is_hooked() {
        return Err("nothing was written".into());
    }
    check_space(&db)?;
    match db.exists("_default", 1) {
        Ok(false) => Ok(()),
        other => Err(format!("exists: {other:?}")),
    }
}

fn outcome(test: fn() -> Result<(), String>) -> Result<(), String> {
    let panicked = |_| Err("by a panic".to_owned());
    std::thread::spawn(test).join().unwrap_or_else(panicked)
}

/// One test, since a planted bug is there for the whole process.
#[test]
fn every_planted_bug_is_caught() {
    for bug in [
        Bug::ManifestBeforeLog,
        Bug::NamesNotPinned,
        Bug::VisibleBeforeDurable,
    ] {
        plant(Some(bug));
        let how = explore().expect_err("goes unseen");
        println!("{bug:?} is caught {how:.300}");
    }
    plant(Some(Bug::KeptFilesGoneEarly));
    let how = kept::crash_everywhere().expect_err("goes unseen");
    println!("KeptFilesGoneEarly is caught {how:.300}");
    plant(Some(Bug::UnlinkedBeforeManifest));
    let how = crash_everywhere().expect_err("goes unseen");
    println!("UnlinkedBeforeManifest is caught {how:.300}");
    for (bug, test) in [
        (
            Bug::RelocatedUnchecked,
            superseded_while_moved as fn() -> Result<(), String>,
        ),
        (Bug::HealedToOlderVersion, healed_as_it_was),
        (Bug::HealedUnchecked, deleted_while_healed),
        (Bug::DeletionDroppedEarly, deleted_and_merged),
        (Bug::PatchedUnchecked, written_while_edited),
        (Bug::WritersNotSlowed, budgets_are_kept),
        (Bug::UpkeepRestsAlways, space_is_bounded),
    ] {
        plant(Some(bug));
        let how = outcome(test).expect_err("goes unseen");
        println!("{bug:?} is caught: {how:.300}");
        plant(None);
        outcome(test).expect("nothing is planted");
    }
    plant(Some(Bug::VisibleBeforeInstalled));
    assert!(
        sees_torn_batches(20_000),
        "VisibleBeforeInstalled goes unseen"
    );
    plant(None);
    assert!(!sees_torn_batches(100));
    explore().expect("nothing is planted");
    for bug in wal::Bug::SEEN_BY_CRASHES {
        wal::plant(Some(bug));
        let how = explore().expect_err("goes unseen");
        println!("{bug:?} of the log is caught {how:.300}");
    }
    wal::plant(None);
}
