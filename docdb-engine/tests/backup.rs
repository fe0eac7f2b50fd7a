//! Backups of a database that is in use, and what is restored from them.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::backups::{
    BACKUP_DIR, backed_up, changed, contents, power_loss_everywhere, quiet, restored, restored_dir,
    restored_from, shared, taken_while_all_goes_on,
};
use common::watched::Watched;
use common::workload::text;
use common::{create, create_with, dir, disk, dump, fault_at, kind, open, options};
use docdb_engine::backup::{self, Backup, BackupOptions, Progress, VERSIONS_LEFT_OUT};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind, SimVfs};
use docdb_engine::{Db, ErrorKind, ManualDriver, WriteOp};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

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

/// Commits, checkpoints, merges and compactions between all steps of a backup.
#[test]
fn a_backup_of_a_database_in_use_is_of_one_version() {
    for round in 0..4 {
        taken_while_all_goes_on(round).unwrap();
    }
}

/// The second backup writes what is new, and nothing else.
#[test]
fn only_what_is_new_is_copied() {
    let vfs = disk();
    let watched = Watched::new(&vfs, |_| true);
    let mut all_in_one_file = options();
    all_in_one_file.data_file_bytes_max = 1 << 20;
    all_in_one_file.compact_slice_bytes = 1 << 20;
    all_in_one_file.runs_max = 100;
    let db = Db::create(
        Arc::new(watched.clone()),
        dir(),
        all_in_one_file,
        Arc::new(ManualDriver),
    )
    .unwrap();
    for id in 0..200 {
        let body = text(id, 900);
        db.submit(&[WriteOp::create("_default", id, body.as_bytes())])
            .wait()
            .unwrap();
    }
    let first = backed_up(&db).unwrap();
    assert!(first.bytes_copied > 180_000);
    // Nothing has changed: BACKUP, and the manifest.
    let written_by = |db: &Db| {
        let before = watched.written.load(Ordering::Relaxed);
        let taken = backed_up(db).unwrap();
        (taken, watched.written.load(Ordering::Relaxed) - before)
    };
    let (second, written) = written_by(&db);
    assert_eq!((second.files_copied, second.files_extended), (1, 0));
    assert_eq!(second.files_reused, first.files_copied - 1);
    assert!(second.bytes_copied < 1_000 && written < 2_000, "{written}");
    // A data file has grown, and there is a new run.
    db.submit(&[WriteOp::create("_default", 200, b"{}")])
        .wait()
        .unwrap();
    db.checkpoint().unwrap();
    let (third, written) = written_by(&db);
    assert_eq!(
        (third.files_copied, third.files_extended),
        (2, 1),
        "{third:?}"
    );
    assert_eq!(third.files_reused, second.files_reused - 1);
    assert!(third.bytes_copied < 30_000, "{third:?}");
    assert!(written < third.bytes_copied + 2_000, "{written}");
    restored(&vfs, "third").unwrap();
    let copy = restored_from(&vfs, "third").unwrap();
    assert_eq!(dump(&copy).unwrap(), dump(&db).unwrap());
}

#[test]
fn a_power_loss_leaves_the_backup_before_or_the_new_one() {
    let seen = power_loss_everywhere().unwrap();
    println!("{seen} disks");
    assert!(seen > 100, "{seen}");
}

/// A failure of any operation ends the backup, and nothing else.
#[test]
fn a_failure_ends_the_backup_alone() {
    for errno in [EIO, ENOSPC] {
        for sticky in [false, true] {
            failures_end_the_backup(errno, sticky);
        }
    }
}

fn failures_end_the_backup(errno: i32, sticky: bool) {
    let vfs = disk();
    let db = filled(&vfs);
    backed_up(&db).unwrap();
    let first = dump(&db).unwrap();
    changed(&db, 7).unwrap();
    // From here on the backup alone does anything.
    db.checkpoint().unwrap();
    let second = dump(&db).unwrap();
    vfs.set_reads_count(true);
    let (mut failures, mut with_the_first) = (0, 0);
    for n in 0.. {
        let at = format!("errno {errno}, sticky {sticky}, operation {n}");
        let fault = vfs.op_count() + n;
        fault_at(&vfs, fault, FaultKind::Os(errno), sticky);
        let outcome = backed_up(&db);
        vfs.clear_faults();
        let is_over = vfs.op_count() <= fault;
        assert!(!db.stats().poisoned, "{at}");
        assert_eq!(db.stats().pinned_bytes, 0, "{at}");
        // Either backup is there, and whole.
        restored(&vfs, "it").unwrap_or_else(|e| panic!("{at}: {e}"));
        let shown = dump(&restored_from(&vfs, "it").unwrap()).unwrap();
        common::backups::remove(&vfs, &restored_dir("it"));
        if let Err(error) = outcome {
            failures += 1;
            with_the_first += u32::from(shown == first);
            let kind = error.kind();
            let expected = [ErrorKind::Io, ErrorKind::DiskFull].contains(&kind);
            assert!(expected, "{at}: {kind:?}: {error}");
            assert!(shown == second || shown == first, "{at}");
        } else {
            assert_eq!(shown, second, "{at}");
        }
        if is_over {
            break;
        }
    }
    assert!(
        failures > 100 && with_the_first > 80,
        "{failures}, {with_the_first}"
    );
    db.submit(&[WriteOp::insert("_default", b"1")])
        .wait()
        .unwrap();
    db.checkpoint().unwrap();
    backed_up(&db).unwrap();
}

/// A backup for which there is no room, or that was cancelled, takes none afterwards: the next one may be
/// of less.
#[test]
fn a_backup_that_failed_leaves_nothing_behind() {
    let vfs = disk();
    let db = filled(&vfs);
    let bytes = |vfs: &SimVfs| -> u64 {
        let files = contents(vfs, backup_dir());
        files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    };
    let description = backup_dir().join("BACKUP");
    for round in 0..2 {
        changed(&db, 7 + round).unwrap();
        db.checkpoint().unwrap();
        let (before, described) = (bytes(&vfs), vfs.read_file(&description).ok());
        let mut failures = 0;
        for n in 0.. {
            fault_at(&vfs, vfs.op_count() + n, FaultKind::Os(ENOSPC), false);
            let outcome = backed_up(&db);
            vfs.clear_faults();
            // The temporary name is left if the rename fails.
            if vfs.read_file(&description).ok() != described
                || vfs.exists(&backup_dir().join("BACKUP.tmp")).unwrap()
            {
                break;
            }
            assert!(outcome.is_err(), "{round}, {n}");
            assert_eq!(bytes(&vfs), before, "{round}, {n}");
            failures += 1;
        }
        assert!(failures > 20, "{failures}");
        backed_up(&db).unwrap();
    }
}

/// As above, for a directory that holds nothing yet.
#[test]
fn a_first_backup_that_failed_is_begun_anew() {
    let vfs = disk();
    let db = filled(&vfs);
    db.checkpoint().unwrap();
    let shown = dump(&db).unwrap();
    let rehearsal = vfs.op_count();
    backed_up(&db).unwrap();
    let operations = vfs.op_count() - rehearsal;
    common::backups::remove(&vfs, backup_dir());
    for sticky in [false, true] {
        for n in 0..operations {
            let at = format!("sticky {sticky}, operation {n}");
            fault_at(&vfs, vfs.op_count() + n, FaultKind::Os(EIO), sticky);
            let outcome = backed_up(&db);
            vfs.clear_faults();
            if outcome.is_err() {
                // What failed to be synced is not believed in: the power goes off after the next.
                backed_up(&db).unwrap_or_else(|e| panic!("{at}: {e}"));
            }
            let after = vfs.fork_crash(&CrashPolicy::KeepNone);
            restored(&after, "it").unwrap_or_else(|e| panic!("{at}: {e}"));
            assert_eq!(
                dump(&restored_from(&after, "it").unwrap()).unwrap(),
                shown,
                "{at}"
            );
            common::backups::remove(&vfs, backup_dir());
        }
    }
}

/// Every file of a backup is missed, and every damaged byte is noticed, with its place.
#[test]
fn damage_is_found_by_file_and_offset() {
    let vfs = disk();
    let db = filled(&vfs);
    backed_up(&db).unwrap();
    let files = contents(&vfs, backup_dir());
    assert!(files.len() > 5);
    let found = |image: &SimVfs, path: &Path, what: &str| {
        let error = restored(image, "it").expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(
            error.message().contains(path.to_str().unwrap()),
            "{what}: {error}"
        );
        assert!(!image.exists(&restored_dir("it")).unwrap(), "{what}");
        error.message().to_owned()
    };
    for (path, bytes) in &files {
        for at in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
            let image = vfs.fork_crash(&CrashPolicy::KeepAll);
            image.flip_bit(path, at as u64, 3).unwrap();
            let message = found(&image, path, &format!("bit at {at} of {}", path.display()));
            assert!(message.contains("offset"), "{message}");
        }
        let image = vfs.fork_crash(&CrashPolicy::KeepAll);
        let cut = bytes.len() - 1;
        image.write_file(path, &bytes[..cut]).unwrap();
        let message = found(&image, path, &format!("cut of {}", path.display()));
        assert!(message.contains(&format!("offset {cut}")), "{message}");
        image.remove(path).unwrap();
        found(&image, path, &format!("{} removed", path.display()));
    }
    // What lies behind what counts is nobody's business: an interrupted backup leaves it.
    let data = files
        .iter()
        .find(|(path, _)| path.to_str().unwrap().contains("/data-"));
    let (path, bytes) = data.unwrap();
    vfs.write_file(path, &[&bytes[..], b"more"].concat())
        .unwrap();
    restored(&vfs, "it").unwrap();
}

#[test]
fn damage_in_a_large_file_is_found_near_its_place() {
    let vfs = disk();
    let db = create_with(&vfs, docdb_engine::DbOptions::default()).unwrap();
    let body = text(1, 3 << 20);
    db.submit(&[WriteOp::create("_default", 1, body.as_bytes())])
        .wait()
        .unwrap();
    let taken = backed_up(&db).unwrap();
    assert!(taken.bytes > 3 << 20);
    let files = contents(&vfs, backup_dir());
    let (path, _) = files.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    vfs.flip_bit(path, (2 << 20) + 77, 1).unwrap();
    let error = restored(&vfs, "it").unwrap_err();
    let expected = "damaged between offset 2097152 and 3145728";
    assert!(error.message().contains(expected), "{error}");
    // Neither does the next backup build on it: the file has grown, and is copied anew.
    db.submit(&[WriteOp::create("_default", 2, b"2")])
        .wait()
        .unwrap();
    let taken = backed_up(&db).unwrap();
    assert_eq!((taken.files_renewed, taken.files_extended), (1, 0));
    assert!(taken.bytes_copied > 3 << 20);
    restored(&vfs, "it").unwrap();
}

/// What is damaged or missing of the backup before is copied anew, whatever is the matter with it, and
/// is whole then for that backup too.
#[test]
fn what_is_damaged_in_the_backup_before_is_copied_anew() {
    let vfs = disk();
    let db = filled(&vfs);
    backed_up(&db).unwrap();
    let files = contents(&vfs, backup_dir());
    let before = dump(&db).unwrap();
    type Harm = fn(&SimVfs, &Path, u64);
    let harms: [(&str, Harm); 3] = [
        ("damaged", |vfs, path, len| {
            vfs.flip_bit(path, len / 2, 3).unwrap()
        }),
        ("cut", |vfs, path, len| {
            let bytes = vfs.read_file(path).unwrap();
            vfs.write_file(path, &bytes[..len as usize - 1]).unwrap();
        }),
        ("missing", |vfs, path, _| vfs.remove(path).unwrap()),
    ];
    let mut renewed = 0;
    for (path, bytes) in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        // Without its description there is no backup; a manifest is written each time.
        if name == "BACKUP" || name.starts_with("manifest-") {
            continue;
        }
        for (what, harm) in harms {
            let at = format!("{what} {name}");
            let earlier = vfs.read_file(&backup_dir().join("BACKUP")).unwrap();
            harm(&vfs, path, bytes.len() as u64);
            let taken = backed_up(&db).unwrap_or_else(|e| panic!("{at}: {e}"));
            assert_eq!((taken.files_renewed, taken.files_copied), (1, 1), "{at}");
            assert!(taken.bytes_copied >= bytes.len() as u64, "{at}");
            assert_ne!(
                vfs.read_file(&backup_dir().join("BACKUP")).unwrap(),
                earlier
            );
            // Durably.
            let after = vfs.fork_crash(&CrashPolicy::KeepNone);
            assert_eq!(after.read_file(path).unwrap(), *bytes, "{at}");
            restored(&after, "it").unwrap_or_else(|e| panic!("{at}: {e}"));
            let copy = restored_from(&after, "it").unwrap();
            assert_eq!(dump(&copy).unwrap(), before, "{at}");
            assert_eq!(backed_up(&db).unwrap().files_renewed, 0, "{at}");
            renewed += 1;
        }
    }
    assert!(renewed >= 9, "{renewed}");
    // The whole directory of the database.
    for (path, _) in contents(&vfs, backup_dir()) {
        if !path.ends_with("BACKUP") {
            vfs.remove(&path).unwrap();
        }
    }
    vfs.remove_dir(&backup_dir().join("db-0000000000000001"))
        .unwrap();
    assert!(backed_up(&db).unwrap().files_renewed > 2);
    restored(&vfs, "last").unwrap();
}

/// What is damaged stays as it is until the copy that takes its place is whole: there may be more in it
/// than is lost.
#[test]
fn what_is_damaged_in_both_is_left_alone() {
    let vfs = disk();
    let db = filled(&vfs);
    backed_up(&db).unwrap();
    let is_data = |path: &Path| path.to_str().unwrap().contains("/data-00000001");
    let kept = contents(&vfs, backup_dir());
    let (kept, _) = kept.iter().find(|(path, _)| is_data(path)).unwrap();
    let source = dir().join("data-00000001.dat");
    vfs.flip_bit(kept, 700, 3).unwrap();
    let spoilt = vfs.read_file(kept).unwrap();
    vfs.flip_bit(&source, 900, 3).unwrap();
    let error = backed_up(&db).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("data-00000001.dat"), "{error}");
    assert_eq!(vfs.read_file(kept).unwrap(), spoilt);
    vfs.flip_bit(&source, 900, 3).unwrap();
    // Power losses and failures while it is copied anew.
    let disk = vfs;
    db.close().unwrap();
    for n in 0.. {
        let vfs = disk.fork_crash(&CrashPolicy::KeepAll);
        let db = open(&vfs).unwrap();
        db.checkpoint().unwrap();
        fault_at(&vfs, vfs.op_count() + n, FaultKind::Os(EIO), false);
        let outcome = backed_up(&db);
        let is_over = outcome.is_ok();
        vfs.clear_faults();
        let now = vfs.fork_crash(&CrashPolicy::KeepNone);
        match now.read_file(kept) {
            Ok(bytes) if bytes == spoilt => assert!(!is_over, "{n}"),
            _ => {
                restored(&now, "it").unwrap_or_else(|e| panic!("{n}: {e}"));
            }
        }
        backed_up(&db).unwrap_or_else(|e| panic!("{n}: {e}"));
        restored(&vfs, "it").unwrap_or_else(|e| panic!("{n}: {e}"));
        if is_over {
            break;
        }
    }
}

/// A damaged document is not backed up as if it were whole, and the backup before stays.
#[test]
fn a_damaged_database_is_not_backed_up() {
    let vfs = disk();
    let db = filled(&vfs);
    backed_up(&db).unwrap();
    let before = contents(&vfs, backup_dir());
    changed(&db, 5).unwrap();
    db.checkpoint().unwrap();
    let marker = b"{\"n\":5,";
    let mut damaged = 0;
    for (path, bytes) in contents(&vfs, dir()) {
        let at = bytes.windows(marker.len()).position(|part| part == marker);
        if path.extension().is_some_and(|kind| kind == "dat")
            && let Some(at) = at
        {
            damaged += 1;
            vfs.flip_bit(&path, at as u64 + 50, 1).unwrap();
        }
    }
    assert!(damaged > 0);
    let error = backed_up(&db).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("/data/db is damaged"), "{error}");
    for (path, bytes) in before {
        let now = vfs.read_file(&path).unwrap();
        assert_eq!(now[..bytes.len()], bytes[..], "{}", path.display());
    }
    restored(&vfs, "it").unwrap();
}

#[test]
fn directories_that_are_not_a_backups_own_are_refused() {
    let vfs = disk();
    let db = filled(&vfs);
    let other = Db::create(
        shared(&vfs),
        Path::new("/data/other"),
        options(),
        Arc::new(ManualDriver),
    )
    .unwrap();
    vfs.create_dir(Path::new("/data/full")).unwrap();
    vfs.write_file(Path::new("/data/full/letter"), b"dear")
        .unwrap();
    vfs.create_dir(Path::new("/data/alike")).unwrap();
    vfs.create_dir(Path::new("/data/alike/db-0000000000000001"))
        .unwrap();
    let alike = Path::new("/data/alike/db-0000000000000001/data-00000001.dat");
    vfs.write_file(alike, b"mine").unwrap();
    let before = contents(&vfs, Path::new("/"));
    let backup = |dir: &str| db.backup(dir, BackupOptions::default(), &mut quiet);
    for dir in [
        "/data/db",
        "/data/db/wal",
        "/data/db/kept",
        "/data/other/kept",
        "/data/full",
        "/data/alike",
        "/data/missing/kept",
        "/data/kept/../db2",
    ] {
        assert_eq!(kind(backup(dir)), ErrorKind::InvalidArgument, "{dir}");
    }
    assert_eq!(contents(&vfs, Path::new("/")), before);
    assert!(!vfs.exists(Path::new("/data/db/kept")).unwrap());
    backed_up(&db).unwrap();
    let kept = contents(&vfs, backup_dir());
    let foreign = other.backup(BACKUP_DIR, BackupOptions::default(), &mut quiet);
    assert_eq!(kind(foreign), ErrorKind::InvalidArgument);
    assert_eq!(contents(&vfs, backup_dir()), kept);
    // One at a time, of a database and into a directory.
    let mut is_first = true;
    let mut listener = |_: &Progress| {
        if std::mem::take(&mut is_first) {
            assert_eq!(kind(backup("/data/second")), ErrorKind::Busy);
        }
        let same = other.backup(BACKUP_DIR, BackupOptions::default(), &mut quiet);
        assert_eq!(kind(same), ErrorKind::InUse);
        ControlFlow::Continue(())
    };
    let options = BackupOptions::default();
    db.backup(BACKUP_DIR, options, &mut listener).unwrap();
}

/// A database that was set back, by a copy of its directory, does not spoil the backup.
#[test]
fn a_database_that_was_set_back_is_refused() {
    let vfs = disk();
    let db = filled(&vfs);
    db.checkpoint().unwrap();
    let earlier = vfs.fork_crash(&CrashPolicy::KeepAll);
    changed(&db, 5).unwrap();
    backed_up(&db).unwrap();
    let kept = contents(&vfs, backup_dir());
    for (path, bytes) in &kept {
        if !earlier.exists(backup_dir()).unwrap() {
            earlier.create_dir(backup_dir()).unwrap();
        }
        let above = path.parent().unwrap();
        if !earlier.exists(above).unwrap() {
            earlier.create_dir(above).unwrap();
        }
        earlier.write_file(path, bytes).unwrap();
    }
    let db = open(&earlier).unwrap();
    assert_eq!(kind(backed_up(&db)), ErrorKind::InvalidArgument);
    let now = contents(&earlier, backup_dir());
    let named = |path: &Path| {
        now.iter()
            .find(|(other, _)| other == path)
            .unwrap()
            .1
            .clone()
    };
    for (path, bytes) in kept {
        assert_eq!(named(&path), bytes, "{}", path.display());
    }
}

#[test]
fn a_backup_is_given_up_at_any_step() {
    let vfs = disk();
    let db = filled(&vfs);
    backed_up(&db).unwrap();
    let first = dump(&db).unwrap();
    changed(&db, 5).unwrap();
    let mut given_up = 0;
    for stop_at in 0.. {
        let mut step = 0;
        let mut listener = |_: &Progress| {
            step += 1;
            if step > stop_at {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        match db.backup(BACKUP_DIR, BackupOptions::default(), &mut listener) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled),
        }
        given_up += 1;
        assert_eq!(db.stats().pinned_bytes, 0);
        restored(&vfs, "it").unwrap();
        assert_eq!(dump(&restored_from(&vfs, "it").unwrap()).unwrap(), first);
        common::backups::remove(&vfs, &restored_dir("it"));
    }
    assert!(given_up > 10, "{given_up}");
    restored(&vfs, "it").unwrap();
    let copy = restored_from(&vfs, "it").unwrap();
    assert_eq!(dump(&copy).unwrap(), dump(&db).unwrap());
}

#[test]
fn a_backup_keeps_to_its_rate() {
    let vfs = disk();
    let db = filled(&vfs);
    db.checkpoint().unwrap();
    let started = vfs.now();
    let mut bytes = 0;
    let options = BackupOptions::default().bytes_per_second(10_000);
    db.backup(BACKUP_DIR, options, &mut |progress: &Progress| {
        bytes = progress.bytes_done;
        assert!(bytes <= progress.bytes_total);
        ControlFlow::Continue(())
    })
    .unwrap();
    let took = vfs.now() - started;
    assert!(
        took >= Duration::from_secs(bytes / 10_000),
        "{took:?} for {bytes}"
    );
    assert!(
        // And the documents once more.
        took <= Duration::from_secs(bytes * 3 / 2 / 10_000 + 1),
        "{took:?} for {bytes}"
    );
}

/// A database that is closed meanwhile ends the backup; its directory is left to the next owner.
#[test]
fn a_close_ends_the_backup() {
    for close_at in 0..8 {
        let vfs = disk();
        let db = filled(&vfs);
        let shown = dump(&db).unwrap();
        let mut step = 0;
        let outcome = db.backup(BACKUP_DIR, BackupOptions::default(), &mut |_: &Progress| {
            step += 1;
            if step == close_at + 1 {
                db.compact().unwrap();
                db.close().unwrap();
            }
            ControlFlow::Continue(())
        });
        assert_eq!(kind(outcome), ErrorKind::Closed, "{close_at}");
        let again = open(&vfs).unwrap();
        assert_eq!(dump(&again).unwrap(), shown);
        backed_up(&again).unwrap();
        restored(&vfs, "it").unwrap();
        assert_eq!(dump(&restored_from(&vfs, "it").unwrap()).unwrap(), shown);
    }
}

/// A restore makes all of the database or nothing of it, and does nothing to the backup.
#[test]
fn an_interrupted_restore_leaves_nothing_or_all() {
    let vfs = disk();
    let db = filled(&vfs);
    backed_up(&db).unwrap();
    let shown = dump(&db).unwrap();
    let kept = contents(&vfs, backup_dir());
    drop(db);
    let into = restored_dir("it");
    let rehearsal = vfs.fork_crash(&CrashPolicy::KeepAll);
    restored(&rehearsal, "it").unwrap();
    let (mut all, mut nothing) = (0, 0);
    for n in 0..rehearsal.op_count() {
        for kind in [
            FaultKind::PowerOff,
            FaultKind::Os(EIO),
            FaultKind::Os(ENOSPC),
        ] {
            let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
            fault_at(&vfs, n, kind, false);
            let failed = restored(&vfs, "it");
            vfs.clear_faults();
            if kind != FaultKind::PowerOff && failed.is_err() && !vfs.exists(&into).unwrap() {
                let beside = Path::new("/data/restored-it.creating");
                assert!(!vfs.exists(beside).unwrap(), "{kind:?} at {n}");
            }
            for policy in [
                CrashPolicy::KeepNone,
                CrashPolicy::KeepAll,
                CrashPolicy::Kill,
            ] {
                let vfs = vfs.fork_crash(&policy);
                if vfs.exists(&into).unwrap() {
                    all += 1;
                } else {
                    nothing += 1;
                    assert!(failed.is_err(), "{kind:?} at {n}, {policy:?}");
                    restored(&vfs, "it")
                        .unwrap_or_else(|e| panic!("{kind:?} at {n}, {policy:?}: {e}"));
                }
                let copy = restored_from(&vfs, "it").unwrap();
                assert_eq!(dump(&copy).unwrap(), shown, "{kind:?} at {n}, {policy:?}");
                assert_eq!(contents(&vfs, backup_dir()), kept);
            }
        }
    }
    assert!(all > 0 && nothing > 100, "{all}, {nothing}");
}

/// The same on the disk of this machine, by the shortest way.
#[test]
fn on_a_real_disk() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, kept) = (temp.path().join("db"), temp.path().join("kept"));
    let db = Db::open(&dir).unwrap();
    for id in 0..50 {
        let body = text(id, 40_000);
        db.submit(&[WriteOp::create("_default", id, body.as_bytes())])
            .wait()
            .unwrap();
    }
    let taken = db
        .backup(&kept, BackupOptions::default(), &mut quiet)
        .unwrap();
    assert_eq!(taken.documents, 50);
    db.submit(&[WriteOp::delete("_default", 7)]).wait().unwrap();
    let taken = db
        .backup(&kept, BackupOptions::default(), &mut quiet)
        .unwrap();
    assert!(
        taken.bytes_copied < 30_000 && taken.files_reused + taken.files_extended > 0,
        "{taken:?}"
    );
    // Through a link the database's directory is the same.
    let link = temp.path().join("link");
    std::os::unix::fs::symlink(dir.join("wal"), &link).unwrap();
    let inside = db.backup(link.join("kept"), BackupOptions::default(), &mut quiet);
    assert_eq!(kind(inside), ErrorKind::InvalidArgument);
    let again = temp.path().join("again");
    let made = backup::restore(&kept, &again).unwrap();
    assert_eq!((made.documents, made.version), (49, taken.version));
    let copy = Db::open(&again).unwrap();
    assert_eq!(copy.count("_default").unwrap(), 49);
    assert_eq!(kind(copy.read("_default", 7)), ErrorKind::NotFound);
    assert_eq!(
        kind(backup::restore(&dir, temp.path().join("no"))),
        ErrorKind::InUse
    );
    assert_eq!(
        kind(Backup::open(
            Arc::new(docdb_engine::vfs::RealVfs::new()),
            temp.path()
        )),
        ErrorKind::Corrupt
    );
}
