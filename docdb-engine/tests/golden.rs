//! A database as this version writes it, byte for byte: manifest, data files, runs and log. Once a
//! release is tagged its files are never changed, only joined by others, and every later version opens
//! them.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::{Path, PathBuf};

use common::model::State;
use common::workload::{Promise, Run, delete, insert, put, text};
use common::{DIR, create, disk, dump, open};
use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/database-v1")
}

/// A database with documents in data files, in the log and in both, deletions, a large commit and a
/// collection that was dropped, whose process was killed; and what it holds.
fn written() -> (SimVfs, State) {
    let vfs = disk();
    let mut promise = Promise {
        created: true,
        ..Promise::default()
    };
    let db = create(&vfs).unwrap();
    let mut run = Run {
        db,
        promise: &mut promise,
    };
    run.create_collection("a").unwrap();
    run.create_collection("dropped").unwrap();
    run.commits(&[
        vec![put("_default", 1, "1"), put("a", 1, &text(1, 300))],
        vec![
            put("a", u64::MAX, "{\"n\": 1.10}"),
            insert("_default", "[]"),
        ],
        vec![put("dropped", 1, "true"), put("a", 2, &text(2, 5_000))],
    ])
    .unwrap();
    run.db.checkpoint().unwrap();
    run.drop_collection("dropped").unwrap();
    run.commits(&[vec![delete("_default", 1), put("a", 1, "null")]])
        .unwrap();
    run.db.checkpoint().unwrap();
    run.commits(&[
        vec![put("a", 3, &text(3, 4_500)), insert("_default", "\"last\"")],
        vec![delete("a", 2)],
    ])
    .unwrap();
    drop(run);
    (vfs, promise.last().visible())
}

/// The files by their names below the database's directory.
fn files(vfs: &SimVfs) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = vfs
        .files()
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(DIR).unwrap().to_path_buf();
            (name, vfs.read_file(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Zeros at the end say nothing and are many.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    &bytes[..end]
}

/// The golden files: a line `length name` for each in `FILES`, and without their last zeros.
fn golden() -> Vec<(PathBuf, Vec<u8>)> {
    let index = std::fs::read_to_string(golden_dir().join("FILES")).unwrap();
    let read = |line: &str| {
        let (length, name) = line.split_once(' ').unwrap();
        let mut bytes = std::fs::read(golden_dir().join(name)).unwrap();
        bytes.resize(length.parse().unwrap(), 0);
        (PathBuf::from(name), bytes)
    };
    index.lines().map(read).collect()
}

#[test]
fn a_database_is_written_as_ever() {
    let files = files(&written().0);
    if std::env::var_os("DOCDB_WRITE_GOLDEN").is_some() {
        let dir = golden_dir();
        std::fs::create_dir_all(dir.join("wal")).unwrap();
        let mut index = String::new();
        for (name, bytes) in &files {
            std::fs::write(dir.join(name), trimmed(bytes)).unwrap();
            index += &format!("{} {}\n", bytes.len(), name.display());
        }
        std::fs::write(dir.join("FILES"), index).unwrap();
    }
    let golden = golden();
    let names = |files: &[(PathBuf, Vec<u8>)]| {
        let names = files
            .iter()
            .map(|(name, bytes)| (name.clone(), bytes.len()));
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&files), names(&golden));
    for ((name, new), (_, old)) in files.iter().zip(&golden) {
        let differs = new.iter().zip(old).position(|(new, old)| new != old);
        assert_eq!(
            differs,
            None,
            "the first byte of {} that differs",
            name.display()
        );
    }
}

#[test]
fn the_golden_database_opens() {
    let vfs = disk();
    vfs.create_dir(Path::new(DIR)).unwrap();
    vfs.create_dir(&Path::new(DIR).join("wal")).unwrap();
    for (name, bytes) in golden() {
        vfs.write_file(&Path::new(DIR).join(name), &bytes).unwrap();
    }
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    let db = open(&vfs).unwrap();
    assert_eq!(dump(&db).unwrap(), written().1);
    let report = db.recovery_report();
    assert_eq!((report.checkpoint_version, report.commits), (7, 2));
    let written = db
        .submit(&[docdb_engine::WriteOp::insert("_default", b"0")])
        .wait()
        .unwrap();
    assert!(written.version > 9, "{written:?}");
    db.compact().unwrap();
    db.close().unwrap();
}
