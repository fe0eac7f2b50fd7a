//! Large commits: bodies go to a data file at once, the log and memory get pointers.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind, SimVfs};
use docdb_engine::{Db, ErrorKind, ManualDriver, OnProgress, WriteOp};

use common::hooked::Hooked;
use common::workload::text;
use common::{create, dir, disk, dump, fault_at, kind, open};

/// Above the threshold that the tests set.
const LARGE: usize = 6_000;

fn put_large(db: &Db, id: u64) -> docdb_engine::Result<u64> {
    let body = text(id, LARGE);
    let ops = [WriteOp::upsert("_default", id, body.as_bytes())];
    Ok(db.submit(&ops).wait()?.version)
}

fn check_large(db: &Db, id: u64, version: u64) {
    let read = db.read("_default", id).unwrap();
    assert_eq!(
        (read.version, &*read.body),
        (version, text(id, LARGE).as_bytes())
    );
}

fn data_files(vfs: &SimVfs) -> Vec<std::path::PathBuf> {
    let mut files = vfs.files();
    files.retain(|path| path.extension() == Some("dat".as_ref()));
    files
}

fn power_loss(vfs: &SimVfs) -> SimVfs {
    vfs.fork_crash(&CrashPolicy::KeepNone)
}

#[test]
fn a_large_commit_passes_the_log_and_memory_by() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let bodies: Vec<String> = (0..50).map(|n| text(n, 1_000)).collect();
    let ops: Vec<_> = bodies
        .iter()
        .map(|body| WriteOp::insert("_default", body.as_bytes()))
        .collect();
    let committed = db.submit(&ops).wait().unwrap();
    assert_eq!(
        committed.ids.iter().copied().collect::<Vec<_>>(),
        (1..=50).collect::<Vec<_>>()
    );
    let stats = db.stats();
    assert!(
        stats.wal.flush.records_bytes < 5_000,
        "{:?}",
        stats.wal.flush
    );
    assert!(stats.delta_bytes < 30_000, "{}", stats.delta_bytes);
    let shown = dump(&db).unwrap();
    let image = power_loss(&vfs);
    drop(db);
    // From the log, then after a checkpoint, then reopened from that.
    let db = open(&image).unwrap();
    assert_eq!(dump(&db).unwrap(), shown);
    db.checkpoint().unwrap();
    assert_eq!(dump(&db).unwrap(), shown);
    db.close().unwrap();
    let db = open(&image).unwrap();
    assert_eq!(dump(&db).unwrap(), shown);
    assert_eq!(db.recovery_report().removed, Vec::<String>::new());
}

#[test]
fn its_bodies_are_written_once() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let version = put_large(&db, 1).unwrap();
    let before: u64 = data_files(&vfs)
        .iter()
        .map(|path| vfs.read_file(path).unwrap().len() as u64)
        .sum();
    let report = db.checkpoint().unwrap();
    assert_eq!(report.documents, 0);
    let after: u64 = data_files(&vfs)
        .iter()
        .map(|path| vfs.read_file(path).unwrap().len() as u64)
        .sum();
    assert_eq!(before, after);
    check_large(&db, 1, version);
}

/// A small insert between the guess of the ids and the sequencer makes the guess wrong.
#[test]
fn inserts_beside_it_get_ids_of_their_own() {
    let temp = tempfile::tempdir().unwrap();
    let mut options = common::options();
    options.runs_max = 8;
    let db = Db::open_with(temp.path().join("db"), options).unwrap();
    let (large, small) = (text(1, LARGE), text(2, 20));
    std::thread::scope(|scope| {
        for body in [&large, &small, &large, &small] {
            scope.spawn(|| {
                for _ in 0..100 {
                    let op = WriteOp::insert("_default", body.as_bytes());
                    let committed = db.submit(&[op]).wait().unwrap();
                    let read = db.read("_default", committed.ids[0]).unwrap();
                    assert_eq!(*read.body, *body.as_bytes());
                }
            });
        }
    });
    let shown = dump(&db).unwrap();
    let documents = &shown.collections["_default"].documents;
    assert_eq!(
        documents.keys().copied().collect::<Vec<_>>(),
        (1..=400).collect::<Vec<_>>()
    );
    let large = documents
        .values()
        .filter(|(_, body)| body.len() == LARGE)
        .count();
    assert_eq!(large, 200);
    db.close().unwrap();
    let db = Db::open(temp.path().join("db")).unwrap();
    assert_eq!(dump(&db).unwrap(), shown);
}

/// Whatever fails while bodies are written: nothing is committed, what was stays, and the next large
/// commit works.
#[test]
fn a_failure_costs_one_commit() {
    let rehearsal = disk();
    let db = create(&rehearsal).unwrap();
    put_large(&db, 1).unwrap();
    let first = rehearsal.op_count();
    put_large(&db, 2).unwrap();
    let operations = rehearsal.op_count() - first;
    assert!(operations >= 4, "{operations}");
    let mut data_failures = 0;
    for nth in 0..operations {
        let vfs = disk();
        let db = create(&vfs).unwrap();
        let version = put_large(&db, 1).unwrap();
        let before = data_bytes(&vfs);
        fault_at(&vfs, vfs.op_count() + nth, FaultKind::Os(28), false);
        let outcome = put_large(&db, 2);
        vfs.clear_faults();
        check_large(&db, 1, version);
        if db.stats().poisoned {
            // The log's own write or sync.
            assert!(outcome.is_err());
            continue;
        }
        if outcome.is_err() {
            data_failures += 1;
            assert_eq!(data_bytes(&vfs), before, "operation {nth}");
            assert_eq!(kind(outcome), ErrorKind::DiskFull);
            assert_eq!(kind(db.read("_default", 2)), ErrorKind::NotFound);
        }
        let version = put_large(&db, 3).unwrap();
        let db = open(&power_loss(&vfs)).unwrap();
        check_large(&db, 3, version);
    }
    assert!(data_failures >= 2, "{data_failures}");
}

#[test]
fn its_file_is_missed_when_it_is_gone_cut_or_another() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    put_large(&db, 1).unwrap();
    let killed = power_loss(&vfs);
    drop(db);
    let [path] = &data_files(&killed)[..] else {
        panic!("{:?}", data_files(&killed))
    };
    let contents = killed.read_file(path).unwrap();
    let refused = |what: &str, damage: &dyn Fn(&SimVfs, &Path)| {
        let image = power_loss(&killed);
        damage(&image, path);
        let error = open(&image).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(error.message().contains(name), "{what}: {error}");
    };
    refused("gone", &|vfs, path| vfs.remove_file(path).unwrap());
    refused("cut", &|vfs, path| {
        vfs.write_file(path, &contents[..contents.len() - 4096])
            .unwrap();
    });
    refused("another", &|vfs, path| {
        let mut other = contents.clone();
        other[..4096].fill(0);
        vfs.write_file(path, &other).unwrap();
    });
    // One flipped bit in the body: that document alone.
    let image = power_loss(&killed);
    let mut flipped = contents.clone();
    flipped[4096 + 48 + 100] ^= 1;
    image.write_file(path, &flipped).unwrap();
    let db = open(&image).unwrap();
    assert_eq!(kind(db.read("_default", 1)), ErrorKind::Corrupt);
    let version = put_large(&db, 1).unwrap();
    check_large(&db, 1, version);
}

/// A file that nobody refers to, since the power went before the log did, is removed.
#[test]
fn an_unfinished_one_leaves_nothing() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let first = vfs.op_count();
    put_large(&db, 1).unwrap();
    let operations = vfs.op_count() - first;
    drop(db);
    let mut removed = 0;
    for nth in 0..operations {
        let vfs = disk();
        let db = create(&vfs).unwrap();
        fault_at(&vfs, vfs.op_count() + nth, FaultKind::PowerOff, false);
        assert!(put_large(&db, 1).is_err());
        drop(db);
        let image = vfs.fork_crash(&CrashPolicy::KeepAll);
        let db = open(&image).unwrap();
        let committed = db.exists("_default", 1).unwrap();
        removed += db.recovery_report().removed.len();
        assert_eq!(data_files(&image).len(), usize::from(committed));
        assert!(image.exists(dir()).unwrap());
    }
    assert!(removed > 0);
}

/// Reading the log is told of as it goes on.
#[test]
fn a_recovery_tells_how_far_it_has_got() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    for id in 0..200 {
        put_large(&db, id).unwrap();
    }
    drop(db);
    let told = Arc::new(Mutex::new(Vec::new()));
    let in_callback = Arc::clone(&told);
    let mut options = common::options();
    options.on_recovery = Some(OnProgress::new(move |progress| {
        in_callback
            .lock()
            .unwrap()
            .push((progress.bytes, progress.bytes_total, progress.records));
    }));
    let db = common::open_with(&vfs, options).unwrap();
    let told = told.lock().unwrap();
    assert!(told.len() > 1 && told.is_sorted(), "{told:?}");
    let (bytes, total, records) = told[told.len() - 1];
    assert_eq!((bytes, records), (total, 200));
    let report = db.recovery_report();
    assert_eq!(report.commits, 200);
    assert!(report.total_time >= report.files_time + report.wal.judge_time + report.wal.act_time);
}

fn data_bytes(vfs: &SimVfs) -> usize {
    let files = data_files(vfs);
    files
        .iter()
        .map(|path| vfs.read_file(path).unwrap().len())
        .sum()
}

#[test]
fn what_is_refused_takes_no_space() {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let body = text(1, LARGE);
    let create = |id| db.submit(&[WriteOp::create("_default", id, body.as_bytes())]);
    db.submit(&[WriteOp::create("_default", 1, b"1")])
        .wait()
        .unwrap();
    let operations = vfs.op_count();
    for _ in 0..3 {
        assert_eq!(kind(create(1).wait()), ErrorKind::AlreadyExists);
    }
    assert_eq!(vfs.op_count(), operations, "something was written");
    assert_eq!(data_bytes(&vfs), 0);
}

/// A database in which something happens while the bodies of the next large commit are synced.
fn hooked(vfs: &SimVfs) -> (Db, Hooked) {
    let hooked = Hooked::new(vfs, "data-");
    let shared = hooked.vfs();
    let db = Db::create(shared, dir(), common::options(), Arc::new(ManualDriver)).unwrap();
    (db, hooked)
}

/// What comes between the bodies and the sequencer is seen there, and the space is given back: of a
/// new file, and of one that holds others' documents.
#[test]
fn what_is_refused_late_gives_its_space_back() {
    for with_earlier in [false, true] {
        let vfs = disk();
        let (db, hooked) = hooked(&vfs);
        let version = with_earlier.then(|| put_large(&db, 7).unwrap());
        let before = data_bytes(&vfs);
        let rival = db.clone();
        hooked.hook(move || {
            let op = WriteOp::create("_default", 1, b"\"rival\"");
            rival.submit(&[op]).wait().unwrap();
        });
        let body = text(1, LARGE);
        let late = db.submit(&[WriteOp::create("_default", 1, body.as_bytes())]);
        assert!(!hooked.is_hooked());
        assert_eq!(kind(late.wait()), ErrorKind::AlreadyExists);
        assert_eq!(data_bytes(&vfs), before);
        // The next one goes on where the file ends now.
        let next = put_large(&db, 2).unwrap();
        for db in [db, open(&power_loss(&vfs)).unwrap()] {
            check_large(&db, 2, next);
            if let Some(version) = version {
                check_large(&db, 7, version);
            }
            assert_eq!(*db.read("_default", 1).unwrap().body, *b"\"rival\"");
            db.compact().unwrap();
            check_large(&db, 2, next);
        }
    }
}

/// The name stands for another collection when the commit is sequenced: its documents are found there.
#[test]
fn a_collection_that_is_created_anew_meanwhile_gets_its_documents() {
    let vfs = disk();
    let (db, hooked) = hooked(&vfs);
    db.create_collection("c").wait().unwrap();
    let rival = db.clone();
    hooked.hook(move || {
        rival.drop_collection("c", true).wait().unwrap();
        rival.create_collection("c").wait().unwrap();
    });
    let body = text(1, LARGE);
    let ops = [
        WriteOp::create("c", 5, body.as_bytes()),
        WriteOp::insert("c", b"6"),
    ];
    let committed = db.submit(&ops).wait().unwrap();
    assert!(!hooked.is_hooked());
    for db in [db, open(&power_loss(&vfs)).unwrap()] {
        let read = db.read("c", 5).unwrap();
        assert_eq!(
            (read.version, &*read.body),
            (committed.version, body.as_bytes())
        );
        assert_eq!(db.count("c").unwrap(), 2);
    }
}
