//! Earlier checkpoints that are kept, and the databases that are made of them.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::kept::{Shown, check_kept, copied, copy_dir, crash_everywhere, keeping, round};
use common::{create_with, dir, disk, dump, fault_at, kind, open_with, options, settle};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind, SimVfs};
use docdb_engine::{Db, ErrorKind, ManualDriver, WriteOp, checkpoints};

fn shared(vfs: &SimVfs) -> Arc<dyn Vfs> {
    Arc::new(vfs.clone())
}

fn versions(vfs: &SimVfs) -> Vec<u64> {
    let listed = checkpoints::list_with(vfs, dir()).unwrap();
    assert!(listed.iter().rev().skip(1).all(|kept| !kept.is_newest));
    listed.iter().map(|kept| kept.version).collect()
}

/// A database with three checkpoints, closed.
fn three() -> (SimVfs, Shown) {
    let vfs = disk();
    let mut shown = Shown::new();
    let db = create_with(&vfs, keeping(3)).unwrap();
    for n in 0..6 {
        round(&db, n, &mut shown).unwrap();
    }
    db.close().unwrap();
    (vfs, shown)
}

/// The names and bytes of all files below a directory.
fn contents(vfs: &SimVfs, below: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = vfs.files();
    files.retain(|path| path.starts_with(below));
    let read = |path: &std::path::PathBuf| vfs.read_file(path).unwrap();
    let named = files.iter().map(|p| (p.display().to_string(), read(p)));
    named.collect()
}

#[test]
fn kept_checkpoints_hold_what_was_there_then() {
    let vfs = disk();
    let mut shown = Shown::new();
    let db = create_with(&vfs, keeping(3)).unwrap();
    let mut pinned = 0;
    for n in 0..12 {
        round(&db, n, &mut shown).unwrap();
        let stats = db.stats();
        pinned = pinned.max(stats.pinned_bytes);
        assert_eq!(stats.checkpoints_kept, (n + 1).min(3));
        let newest: Vec<u64> = shown.keys().rev().take(3).rev().copied().collect();
        assert_eq!(versions(&vfs), newest);
        assert_eq!(
            kind(checkpoints::copy_with(
                &shared(&vfs),
                dir(),
                newest[0],
                &copy_dir(0)
            )),
            ErrorKind::InUse
        );
    }
    assert!(pinned > 0);
    let last = db.stats();
    assert!(last.compactions > 3 && last.merges > 3, "{last:?}");
    db.close().unwrap();
    let before = contents(&vfs, dir());
    assert_eq!(
        check_kept(&vfs.fork_crash(&CrashPolicy::KeepNone), &shown),
        Ok(3)
    );
    for version in versions(&vfs) {
        assert_eq!(copied(&vfs, version).unwrap(), shown[&version]);
        // It goes on by itself, above.
        let copy = Db::open_manual(
            shared(&vfs),
            &copy_dir(version),
            options(),
            Arc::new(ManualDriver),
        )
        .unwrap();
        let written = copy.submit(&[WriteOp::insert("_default", b"1")]).wait();
        assert!(written.unwrap().version > version);
        copy.checkpoint().unwrap();
        copy.compact().unwrap();
        dump(&copy).unwrap();
    }
    assert_eq!(contents(&vfs, dir()), before, "the source is as it was");
    // Fewer are wanted: the oldest go, with what only they named.
    let db = open_with(&vfs, keeping(1)).unwrap();
    assert!(db.recovery_report().removed.len() > 2);
    assert_eq!((versions(&vfs).len(), db.stats().pinned_bytes), (1, 0));
    let files = db.stats().data_files + db.stats().runs;
    let names = vfs.list(dir()).unwrap();
    // Beside them there are only the manifest and the log.
    assert_eq!(names.len() as u64, files + 2, "{names:?}");
}

/// What a snapshot reads and a checkpoint keeps goes when neither needs it, whichever ends first.
#[test]
fn what_is_pinned_goes_with_the_last_who_needs_it() {
    for scan_ends_first in [true, false] {
        let vfs = disk();
        let mut shown = Shown::new();
        let db = create_with(&vfs, keeping(2)).unwrap();
        for n in 0..3 {
            round(&db, n, &mut shown).unwrap();
        }
        let request = common::in_collection("_default");
        let mut scan = Some(db.scan(&request).unwrap());
        for n in 3..9 {
            if n == 6 && scan_ends_first {
                scan = None;
            }
            round(&db, n, &mut shown).unwrap();
            assert!(db.stats().pinned_bytes > 0 || n % 2 == 1);
        }
        drop(scan);
        db.maintenance_step().unwrap();
        for n in 9..11 {
            round(&db, n, &mut shown).unwrap();
        }
        let (names, stats) = (vfs.list(dir()).unwrap(), db.stats());
        drop(db);
        let opened = open_with(&vfs, keeping(2)).unwrap();
        assert_eq!(opened.recovery_report().removed, Vec::<String>::new());
        assert_eq!(stats.data_kept_bytes, 0, "{names:?}");
    }
}

#[test]
fn a_damaged_one_costs_itself_only() {
    let (vfs, shown) = three();
    let oldest = versions(&vfs)[0];
    let path = dir().join(format!("MANIFEST-{oldest:020}"));
    let whole = vfs.read_file(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let image = vfs.fork_crash(&CrashPolicy::KeepAll);
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        image.write_file(&path, &bytes).unwrap();
        assert_eq!(versions(&image).len(), 2);
        let copy = checkpoints::copy_with(&shared(&image), dir(), oldest, &copy_dir(oldest));
        let refused = kind(copy);
        assert!(matches!(
            refused,
            ErrorKind::Corrupt | ErrorKind::UnsupportedVersion
        ));
        assert!(!image.exists(&copy_dir(oldest)).unwrap());
        assert_eq!(check_kept(&image, &shown), Ok(2));
        assert!(!image.exists(&path).unwrap());
    }
    // The same if a file that only it names is gone: it is not listed, and is let go.
    let image = vfs.fork_crash(&CrashPolicy::KeepAll);
    let open = open_with(&vfs.fork_crash(&CrashPolicy::KeepAll), keeping(1)).unwrap();
    let gone = open.recovery_report().removed.iter();
    let gone = gone
        .filter(|name| !name.starts_with("MANIFEST"))
        .max()
        .unwrap();
    image.remove_file(&dir().join(gone)).unwrap();
    let (listed, mut lacking) = (versions(&image), versions(&vfs));
    lacking.retain(|version| !listed.contains(version));
    assert_eq!(lacking.len(), 1);
    let copy = checkpoints::copy_with(&shared(&image), dir(), lacking[0], &copy_dir(lacking[0]));
    assert!(copy.unwrap_err().to_string().contains(gone.as_str()));
    assert_eq!(check_kept(&image, &shown), Ok(2));
    let path = dir().join(format!("MANIFEST-{:020}", lacking[0]));
    assert!(!image.exists(&path).unwrap());
}

/// Every byte of a copy is looked at before it gets its name.
#[test]
fn a_damaged_document_is_not_copied() {
    let (vfs, _) = three();
    let oldest = versions(&vfs)[0];
    let mut refused = 0;
    for (path, whole) in contents(&vfs, dir()) {
        if !path.contains("data-") {
            continue;
        }
        let needle = b"\"aaaa";
        let at = whole
            .windows(2)
            .position(|w| w == &needle[..2])
            .unwrap_or(whole.len() / 2);
        let image = vfs.fork_crash(&CrashPolicy::KeepAll);
        let mut bytes = whole.clone();
        for byte in &mut bytes[at.min(whole.len() - 1)..] {
            *byte ^= 1;
        }
        image.write_file(Path::new(&path), &bytes).unwrap();
        let copy = checkpoints::copy_with(&shared(&image), dir(), oldest, &copy_dir(oldest));
        if let Err(error) = copy {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert_eq!(image.list(Path::new("/data")).unwrap(), ["db"]);
            refused += 1;
        }
    }
    assert!(refused > 0);
}

#[test]
fn what_cannot_be_copied_is_said() {
    let (vfs, _) = three();
    let version = versions(&vfs)[1];
    let copy = |version, into: &str| {
        checkpoints::copy_with(&shared(&vfs), dir(), version, Path::new(into))
    };
    assert_eq!(kind(copy(version, "/data/db")), ErrorKind::AlreadyExists);
    assert_eq!(
        kind(copy(version, "/nowhere/db")),
        ErrorKind::InvalidArgument
    );
    let missing = copy(version + 1_000, "/data/copy").unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(
        missing.to_string().contains(&version.to_string()),
        "{missing}"
    );
    assert_eq!(copy(version, "/data/copy").unwrap().version, version);
}

/// A checkpoint that fails keeps no file from going.
#[test]
fn a_checkpoint_that_failed_pins_nothing() {
    let mut failed = 0;
    for step in 0..60 {
        let vfs = disk();
        let db = create_with(&vfs, keeping(2)).unwrap();
        let put = |id, n, bytes| {
            let body = common::workload::text(n, bytes);
            let op = WriteOp::upsert("_default", id, body.as_bytes());
            db.submit(&[op]).wait().unwrap();
        };
        // Large ones, of which most are dead by the first checkpoint.
        for n in 0..8 {
            put(n % 2, n, 5_000);
        }
        db.checkpoint().unwrap();
        put(9, 9, 100);
        fault_at(&vfs, vfs.op_count() + step, FaultKind::Os(28), false);
        let outcome = db.checkpoint();
        vfs.clear_faults();
        if outcome.is_err() && !db.stats().poisoned {
            failed += 1;
        }
        if db.stats().poisoned {
            continue;
        }
        settle(&db).unwrap();
        assert!(db.stats().compactions > 0);
        db.close().unwrap();
        let opened = open_with(&vfs, keeping(2)).unwrap();
        let removed = &opened.recovery_report().removed;
        assert_eq!(*removed, Vec::<String>::new(), "step {step}");
    }
    assert!(failed > 5, "{failed}");
}

/// The copy is there as a whole or not at all, the source stays, and the next attempt succeeds.
#[test]
fn a_copy_that_is_interrupted_leaves_nothing_or_all_of_it() {
    let (vfs, shown) = three();
    let version = versions(&vfs)[0];
    let whole = vfs.fork_crash(&CrashPolicy::KeepAll);
    let first = whole.op_count();
    copied(&whole, version).unwrap();
    for at_op in first..whole.op_count() {
        for fault in [FaultKind::PowerOff, FaultKind::Os(28)] {
            let image = vfs.fork_crash(&CrashPolicy::KeepAll);
            fault_at(&image, at_op, fault, false);
            let _ = copied(&image, version);
            for policy in [
                CrashPolicy::KeepNone,
                CrashPolicy::KeepAll,
                CrashPolicy::Kill,
            ] {
                let image = image.fork_crash(&policy);
                if image.exists(&copy_dir(version)).unwrap() {
                    let found = Db::open_manual(
                        shared(&image),
                        &copy_dir(version),
                        options(),
                        Arc::new(ManualDriver),
                    );
                    assert_eq!(dump(&found.unwrap()).unwrap(), shown[&version], "{at_op}");
                } else {
                    assert_eq!(copied(&image, version).unwrap(), shown[&version], "{at_op}");
                }
                assert_eq!(versions(&image).len(), 3);
            }
        }
    }
}

#[test]
fn every_crash_leaves_whole_checkpoints() {
    let disks = crash_everywhere().unwrap();
    println!("{disks} disks");
    assert!(disks > 300, "{disks}");
}

/// Each operation fails once: the database goes on or is poisoned, and what it keeps is whole.
#[test]
fn what_fails_leaves_whole_checkpoints() {
    let run = |vfs: &SimVfs, shown: &mut Shown| -> docdb_engine::Result<()> {
        let db = create_with(vfs, keeping(3))?;
        for n in 0..5 {
            round(&db, n, shown)?;
        }
        settle(&db)
    };
    let whole = disk();
    let first = whole.op_count();
    run(&whole, &mut Shown::new()).unwrap();
    for at_op in first..whole.op_count() {
        let vfs = disk();
        fault_at(&vfs, at_op, FaultKind::Os(5), false);
        let mut shown = Shown::new();
        let _ = run(&vfs, &mut shown);
        vfs.clear_faults();
        let image = vfs.fork_crash(&CrashPolicy::KeepNone);
        if image.exists(dir()).unwrap() {
            check_kept(&image, &shown).unwrap_or_else(|what| panic!("at {at_op}: {what}"));
        }
    }
}
