//! Every file of a cleanly closed database damaged in every way: it opens with exact data, or refuses
//! and names the file, or what is damaged answers `Corrupt` by itself. Never fewer documents as a
//! success, never a panic.
//!
//! What cannot be seen: an older copy of the *whole* directory, which is a database of its own right,
//! and damage to log segments that the last checkpoint no longer needs, which holds nothing back.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::{Path, PathBuf};

use common::model::State;
use common::workload::{Promise, Run, delete, insert, live, put, text};
use common::{create, disk, dump, in_collection, open};
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};
use docdb_engine::{Db, ErrorKind, ScanRequest, WriteOp};

/// What damage has done.
#[derive(Debug, Default)]
struct Found {
    exact: usize,
    refused: usize,
    corrupt: usize,
}

/// What was read of a document, or why not.
type Read = Result<(u64, Vec<u8>), ErrorKind>;

impl Found {
    fn judge(&mut self, vfs: &SimVfs, wanted: &State, path: &Path, what: &str) {
        let before = vfs.image_hash();
        let what = format!("{} {what}", path.display());
        let db = match open(vfs) {
            Ok(db) => db,
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::Corrupt | ErrorKind::UnsupportedVersion
                    ),
                    "{what}: {:?}: {error}",
                    error.kind()
                );
                // What is missing or another's shows in its neighbours; else the file itself is named.
                let text = error.to_string();
                let dir = path.parent().unwrap().to_str().unwrap();
                let own = text.contains(path.file_name().unwrap().to_str().unwrap());
                let foreign = what.contains("replaced") || what.contains("older");
                assert!(
                    own || text.contains(dir) && (foreign || dir.ends_with("wal")),
                    "{what}: {text}"
                );
                assert_eq!(vfs.image_hash(), before, "{what}: changed although refused");
                self.refused += 1;
                return;
            }
        };
        match dump(&db) {
            Ok(shown) => {
                assert_eq!(shown, *wanted, "{what}");
                self.exact += 1;
            }
            Err(why) => {
                assert!(why.contains("Corrupt"), "{what}: {why}");
                assert!(
                    why.contains(path.file_name().unwrap().to_str().unwrap()),
                    "{what}: {why}"
                );
                self.judge_one_by_one(&db, wanted, &what);
                self.corrupt += 1;
            }
        }
    }

    fn judge_one_by_one(&self, db: &Db, wanted: &State, what: &str) {
        for (name, collection) in &wanted.collections {
            assert_eq!(db.count(name).unwrap(), collection.documents.len() as u64);
            for id in 0..40 {
                let read: Read = match db.read(name, id) {
                    Ok(document) => Ok((document.version, document.body.to_vec())),
                    Err(error) => Err(error.kind()),
                };
                match (read, collection.documents.get(&id)) {
                    (Err(ErrorKind::Corrupt), _) | (Err(ErrorKind::NotFound), None) => {}
                    (Ok(read), Some(written)) if read == *written => {}
                    (read, _) => panic!("{what}: {name}/{id}: {read:?}"),
                }
            }
            for reverse in [false, true] {
                let request = ScanRequest {
                    reverse,
                    ..in_collection(name)
                };
                let mut scan = db.scan(&request).unwrap();
                let mut given = 0;
                let outcome = loop {
                    match scan.next_chunk(3, 100) {
                        Ok(chunk) if chunk.is_empty() => break Ok(()),
                        Ok(chunk) => {
                            for item in chunk {
                                given += 1;
                                let written = &collection.documents[&item.id];
                                assert_eq!((item.version, &*item.body), (written.0, &*written.1));
                            }
                        }
                        Err(error) => break Err(error.kind()),
                    }
                };
                match outcome {
                    Ok(()) => assert_eq!(given, collection.documents.len(), "{what}"),
                    Err(kind) => assert_eq!(kind, ErrorKind::Corrupt, "{what}"),
                }
            }
        }
    }
}

/// A closed database with two runs and two data files, and what it holds.
fn closed() -> (SimVfs, State) {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let mut promise = Promise {
        created: true,
        ..Promise::default()
    };
    let mut run = Run {
        db,
        promise: &mut promise,
    };
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

/// The same, killed instead of closed, so that the log is needed.
fn killed() -> (SimVfs, State) {
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let mut promise = Promise {
        created: true,
        ..Promise::default()
    };
    let mut run = Run {
        db,
        promise: &mut promise,
    };
    run.create_collection("a").unwrap();
    run.commits(&[vec![put("_default", 1, "1"), put("a", 3, &text(1, 300))]])
        .unwrap();
    run.db.checkpoint().unwrap();
    run.commits(&[vec![delete("_default", 1), put("a", 2, "2")]])
        .unwrap();
    // Proves what stands before it.
    run.commits(&[vec![put("_default", 3, "3")]]).unwrap();
    drop(run);
    (
        vfs.fork_crash(&CrashPolicy::KeepAll),
        promise.last().visible(),
    )
}

fn damaged(vfs: &SimVfs, path: &Path, contents: &[u8]) -> SimVfs {
    let vfs = vfs.fork_crash(&CrashPolicy::KeepAll);
    vfs.write_file(path, contents).unwrap();
    vfs
}

#[test]
fn files_deleted_cut_and_zeroed() {
    let mut found = Found::default();
    let (vfs, state) = closed();
    for path in vfs.files() {
        let good = vfs.read_file(&path).unwrap();
        let gone = vfs.fork_crash(&CrashPolicy::KeepAll);
        gone.remove(&path).unwrap();
        found.judge(&gone, &state, &path, "deleted");
        for (what, contents) in [
            ("cut to nothing", Vec::new()),
            ("cut by one byte", good[..good.len() - 1].to_vec()),
            ("halved", good[..good.len() / 2].to_vec()),
            ("zeroed", vec![0; good.len()]),
            ("doubled", [&good[..], &good[..]].concat()),
            (
                "of noise",
                (0..good.len()).map(|i| (i * i / 7 + i) as u8).collect(),
            ),
        ] {
            found.judge(&damaged(&vfs, &path, &contents), &state, &path, what);
        }
        for block in 0..good.len().div_ceil(4096) {
            let mut bad = good.clone();
            let end = bad.len().min((block + 1) * 4096);
            bad[block * 4096..end].fill(0);
            found.judge(
                &damaged(&vfs, &path, &bad),
                &state,
                &path,
                &format!("block {block} zeroed"),
            );
        }
    }
    println!("{found:?}");
    assert!(found.refused > 20 && found.corrupt > 2, "{found:?}");
}

#[test]
fn every_byte_of_what_is_needed_flipped() {
    let mut found = Found::default();
    let (vfs, state) = closed();
    for path in vfs.files() {
        let good = vfs.read_file(&path).unwrap();
        let in_log = path.parent().unwrap().ends_with("wal");
        for at in 0..good.len() {
            // The log's zeros are many and all the same.
            if in_log && good[at] == 0 && at % 64 != 0 {
                continue;
            }
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            found.judge(
                &damaged(&vfs, &path, &bad),
                &state,
                &path,
                &format!("flipped at {at}"),
            );
        }
    }
    println!("{found:?}");
    assert!(found.refused > 200 && found.corrupt > 1_000, "{found:?}");
}

#[test]
fn files_of_one_another_and_of_another_database() {
    let mut found = Found::default();
    let (vfs, state) = closed();
    // Another life with the same names: other random numbers bind every file.
    let other = SimVfs::new(8);
    docdb_engine::vfs::Vfs::create_dir(&other, Path::new("/data")).unwrap();
    live(&other, &mut Promise::default()).unwrap();
    for path in vfs.files() {
        for (what, donor) in [
            ("of the same database", &vfs),
            ("of another database", &other),
        ] {
            for file in donor.files() {
                if what.contains("same") && file == path {
                    continue;
                }
                let contents = donor.read_file(&file).unwrap();
                let what = format!("replaced by {} {what}", file.display());
                found.judge(&damaged(&vfs, &path, &contents), &state, &path, &what);
            }
        }
    }
    println!("{found:?}");
    assert!(found.refused > 40, "{found:?}");
}

/// Files as they were at an earlier time, under what came later.
#[test]
fn older_copies_of_single_files() {
    let mut found = Found::default();
    let vfs = disk();
    let db = create(&vfs).unwrap();
    let mut promise = Promise {
        created: true,
        ..Promise::default()
    };
    let mut run = Run {
        db,
        promise: &mut promise,
    };
    let mut copies: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for round in 0..7_u64 {
        run.commits(&[vec![
            put("_default", round % 3, &text(round, 900)),
            insert("_default", "0"),
        ]])
        .unwrap();
        if round % 2 == 1 {
            run.db.checkpoint().unwrap();
        }
        if round == 4 {
            run.db.close().unwrap();
            run.db = open(&vfs).unwrap();
        }
        for path in vfs.files() {
            copies.push((path.clone(), vfs.read_file(&path).unwrap()));
        }
    }
    run.db.close().unwrap();
    drop(run);
    let state = promise.last().visible();
    for (path, contents) in copies {
        if vfs.files().contains(&path) {
            found.judge(&damaged(&vfs, &path, &contents), &state, &path, "older");
        }
    }
    println!("{found:?}");
    assert!(found.refused > 5, "{found:?}");
}

/// The log of a killed database: what a later group proves is never lost, the rest is a torn tail.
#[test]
fn the_log_of_a_killed_database() {
    let (vfs, state) = killed();
    assert_eq!(
        dump(&open(&vfs.fork_crash(&CrashPolicy::KeepAll)).unwrap()),
        Ok(state.clone())
    );
    let mut without_last = state.clone();
    let documents = &mut without_last
        .collections
        .get_mut("_default")
        .unwrap()
        .documents;
    documents.remove(&3);
    let (mut exact, mut shorter, mut refused) = (0, 0, 0);
    for path in vfs.files() {
        if !path.parent().unwrap().ends_with("wal") {
            continue;
        }
        let good = vfs.read_file(&path).unwrap();
        for at in (0..good.len()).filter(|at| good[*at] != 0) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            match open(&damaged(&vfs, &path, &bad)) {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "at {at}: {error}");
                    refused += 1;
                }
                Ok(db) => match dump(&db).unwrap() {
                    shown if shown == state => exact += 1,
                    shown => {
                        // The last group, which nothing proves: reported as a torn tail.
                        assert_eq!(shown, without_last, "at {at}");
                        assert!(db.recovery_report().wal.cut.is_some());
                        shorter += 1;
                    }
                },
            }
        }
    }
    assert!(
        refused > 50 && shorter > 20 && exact > 50,
        "{refused} refused, {shorter} shorter, {exact} exact"
    );
}

#[test]
fn a_damaged_document_can_be_replaced() {
    let (vfs, state) = closed();
    let needle = b"{\"n\":2,";
    let (path, mut bad, at) = vfs
        .files()
        .into_iter()
        .filter(|path| path.parent() == Some(common::dir()))
        .find_map(|path| {
            let contents = vfs.read_file(&path).unwrap();
            let at = contents
                .windows(needle.len())
                .position(|bytes| bytes == needle)?;
            Some((path, contents, at))
        })
        .expect("the document is in a data file");
    bad[at + 1] ^= 1;
    let db = open(&damaged(&vfs, &path, &bad)).unwrap();
    let unreadable: Vec<(String, u64)> = state
        .collections
        .iter()
        .flat_map(|(name, c)| c.documents.keys().map(move |id| (name.clone(), *id)))
        .filter(|(name, id)| db.read(name, *id).is_err())
        .collect();
    assert_eq!(unreadable, [("a".to_owned(), 2)]);
    let (name, id) = &unreadable[0];
    assert_eq!(common::kind(db.read(name, *id)), ErrorKind::Corrupt);
    // Whoever scans gets all that precedes it.
    let mut scan = db.scan(&in_collection("a")).unwrap();
    assert_eq!(
        common::kind(scan.next_chunk(9, usize::MAX)),
        ErrorKind::Corrupt
    );
    let backward = ScanRequest {
        reverse: true,
        ..in_collection("a")
    };
    let mut scan = db.scan(&backward).unwrap();
    let before = scan.next_chunk(9, usize::MAX).unwrap();
    assert_eq!(before.iter().map(|i| i.id).collect::<Vec<_>>(), [30, 4, 3]);
    assert_eq!(
        common::kind(scan.next_chunk(9, usize::MAX)),
        ErrorKind::Corrupt
    );
    db.submit(&[WriteOp::update(name, *id, b"\"new\"")])
        .wait()
        .unwrap();
    db.checkpoint().unwrap();
    assert_eq!(&*db.read(name, *id).unwrap().body, b"\"new\"");
    dump(&db).unwrap();
}
