//! `check` of databases that are whole, and of each of them with every byte flipped: it tells of every
//! byte that matters, names its file, and changes nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::offline::{Life, bulk, closed, damaged, keeping, killed};
use common::workload::text;
use common::{dir, open_with, options};
use docdb_engine::offline::{self, CheckOptions, CheckReport, Finding, Observer, Severity};
use docdb_engine::vfs::sim::{CrashPolicy, SectorSize, SimVfs};
use docdb_engine::vfs::{OpenMode, Vfs};
use docdb_engine::{ErrorKind, Result};
use docdb_wal::inspect::{self, Found};

#[derive(Default)]
struct Findings(Mutex<Vec<Finding>>);

impl Observer for Findings {
    fn finding(&self, finding: Finding) {
        self.0.lock().unwrap().push(finding);
    }
}

fn check(vfs: &SimVfs, threads: usize) -> Result<(CheckReport, Vec<Finding>)> {
    check_with(vfs, |options| options.threads = threads)
}

fn check_with(
    vfs: &SimVfs,
    set: impl Fn(&mut CheckOptions),
) -> Result<(CheckReport, Vec<Finding>)> {
    let before = vfs.image_hash();
    let findings = Findings::default();
    let mut options = CheckOptions::default();
    options.documents = true;
    set(&mut options);
    let vfs_arc: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let report = offline::check(&vfs_arc, dir(), &options, &findings);
    assert_eq!(vfs.image_hash(), before, "the check changed something");
    let findings = findings.0.into_inner().unwrap();
    let report = report?;
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count() as u64;
    assert_eq!(report.damages, count(Severity::Damage));
    assert_eq!(report.notes, count(Severity::Note));
    Ok((report, findings))
}

/// The parts of a file that hold something.
fn that_matter(vfs: &SimVfs, path: &Path) -> Vec<std::ops::Range<u64>> {
    let name = path.file_name().unwrap().to_str().unwrap();
    if !name.ends_with(".wal") {
        let length = vfs.read_file(path).unwrap().len() as u64;
        return if name.ends_with(".tmp") {
            Vec::new()
        } else {
            std::iter::once(0..length).collect()
        };
    }
    let mut parts = Vec::new();
    parts.push(0..128);
    let mut found = |found| {
        if let Found::Group(group) = found {
            let end = group.offset + 80 + u64::from(group.records_bytes);
            parts.push(group.offset..end);
        }
    };
    inspect::segment(vfs, path, &mut found, &mut |_| {}).unwrap();
    parts
}

/// Flips bits all over every file of a whole database.
fn flip_all(vfs: &SimVfs, stride: u64) {
    let (report, findings) = check(vfs, 1).unwrap();
    assert_eq!(report.damages, 0, "{findings:#?}");
    let (mut seen, mut unseen) = (0, 0);
    for path in vfs.files() {
        if !path.starts_with(dir()) {
            continue;
        }
        let length = vfs.open(&path, OpenMode::Read).unwrap().len().unwrap();
        let parts = that_matter(vfs, &path);
        let mut offset = 0;
        while offset < length {
            let bit = (offset % 8) as u8;
            vfs.flip_bit(&path, offset, bit).unwrap();
            let (_, findings) = check(vfs, 1).unwrap();
            vfs.flip_bit(&path, offset, bit).unwrap();
            let what = format!("{} at {offset}: {findings:#?}", path.display());
            let names = |f: &&Finding| f.file == path || f.what.contains(path.to_str().unwrap());
            if parts.iter().any(|part| part.contains(&offset)) {
                assert!(findings.iter().any(|f| names(&f)), "unseen: {what}");
                seen += 1;
            } else {
                let damage = findings.iter().find(|f| f.severity == Severity::Damage);
                assert!(damage.is_none(), "nothing is there: {what}");
                unseen += 1;
            }
            // Small things whole, large ones in strides.
            offset += if length <= 512 || offset % 4096 < 128 {
                1
            } else {
                stride
            };
        }
    }
    assert!(seen > 500 && unseen > 10, "{seen} seen, {unseen} void");
}

#[test]
fn every_byte_of_a_closed_database() {
    flip_all(&closed().vfs, 97);
}

#[test]
fn every_byte_of_a_killed_database() {
    flip_all(&killed().vfs, 97);
}

#[test]
fn every_byte_of_a_database_with_large_commits() {
    flip_all(&bulk().vfs, 197);
}

#[test]
fn every_byte_of_a_database_with_earlier_checkpoints() {
    flip_all(&keeping().vfs, 397);
}

/// Damage names the place and the document.
#[test]
fn what_is_damaged_is_named() {
    let vfs = closed().vfs;
    let body = text(1, 9_000);
    let places = vfs.files().into_iter().filter_map(|path| {
        let contents = vfs.read_file(&path).unwrap();
        let mut windows = contents.windows(body.len());
        let is_data = path.extension().is_some_and(|e| e == "dat");
        let at = windows
            .position(|w| w == body.as_bytes())
            .filter(|_| is_data)?;
        Some((path, at as u64))
    });
    let places: Vec<_> = places.collect();
    let (path, at) = &places[0];
    vfs.flip_bit(path, *at, 0).unwrap();
    let (_, findings) = check(&vfs, 2).unwrap();
    let [finding] = &findings[..] else {
        panic!("{findings:#?}");
    };
    assert_eq!(
        (finding.severity, finding.offset),
        (Severity::Damage, Some(*at - 48))
    );
    let document = finding.document.as_ref().unwrap();
    assert_eq!((document.collection.as_str(), document.id), ("a", 3));
}

#[test]
fn files_that_are_gone_or_cut_are_named() {
    for Life { vfs, .. } in [closed(), killed(), bulk(), keeping()] {
        for path in vfs.files() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".tmp") || !path.starts_with(dir()) {
                continue;
            }
            let good = vfs.read_file(&path).unwrap();
            let mut cases = vec![
                ("cut to nothing", Some(Vec::new())),
                ("zeroed", Some(vec![0; good.len()])),
                (
                    "noise",
                    Some((0..good.len()).map(|i| (i * i / 7 + i) as u8).collect()),
                ),
            ];
            // The newest segment, and those of which nothing is needed, may be gone unseen; a
            // checkpoint that is let go is.
            if !name.ends_with(".wal") && !name.starts_with("MANIFEST-") {
                cases.push(("gone", None));
                cases.push(("halved", Some(good[..good.len() / 2].to_vec())));
                cases.push(("cut by a byte", Some(good[..good.len() - 1].to_vec())));
            }
            for (what, contents) in cases {
                let vfs = match contents {
                    Some(contents) => damaged(&vfs, &path, &contents),
                    None => {
                        let vfs = damaged(&vfs, &path, &good);
                        vfs.remove(&path).unwrap();
                        vfs
                    }
                };
                let (report, findings) = check(&vfs, 2).unwrap();
                assert!(report.damages > 0, "{what}: {}", path.display());
                let names = |f: &Finding| f.file == path || f.what.contains(&name);
                assert!(findings.iter().any(names), "{what} {name}: {findings:#?}");
            }
        }
    }
}

/// What a crash leaves is no damage.
#[test]
fn leftovers_and_torn_tails_are_notes() {
    let vfs = closed().vfs;
    for name in [
        "MANIFEST.tmp",
        "data-00000099.dat",
        "run-00000099.idx",
        "mine.txt",
    ] {
        vfs.write_file(&dir().join(name), b"x").unwrap();
    }
    let (report, findings) = check(&vfs, 1).unwrap();
    assert_eq!((report.damages, report.notes), (0, 4), "{findings:#?}");
}

/// However little memory there is for pointers, the same is found.
#[test]
fn pointers_are_checked_in_batches() {
    for life in [closed(), bulk(), keeping()] {
        for path in life.vfs.files() {
            if path.extension().is_none_or(|e| e != "dat") {
                continue;
            }
            let length = life.vfs.read_file(&path).unwrap().len() as u64;
            for offset in (4096..length).step_by(301) {
                life.vfs.flip_bit(&path, offset, 1).unwrap();
                let found = [1, 3, 1 << 20].map(|max| {
                    let mut found = check_with(&life.vfs, |o| o.pointers_max = max).unwrap().1;
                    found.sort_by_key(|f| (f.file.clone(), f.offset));
                    found
                });
                life.vfs.flip_bit(&path, offset, 1).unwrap();
                assert!(!found[0].is_empty(), "{} at {offset}", path.display());
                assert!(found.iter().all(|f| *f == found[0]), "{found:#?}");
            }
        }
    }
}

#[test]
fn a_database_in_use_is_refused() {
    let vfs = closed().vfs;
    let db = open_with(&vfs, options()).unwrap();
    assert_eq!(check(&vfs, 1).unwrap_err().kind(), ErrorKind::InUse);
    db.close().unwrap();
    assert_eq!(check(&vfs, 1).unwrap().0.damages, 0);
}

#[test]
fn no_directory_is_an_error() {
    let vfs = common::disk();
    assert_eq!(check(&vfs, 1).unwrap_err().kind(), ErrorKind::Io);
}

/// Lives with crashes of every kind, modes that sync little, large commits, checkpoints, compactions and
/// retired log segments: whatever they leave is no damage, as the next open shows, and a dump gives what
/// that shows.
#[test]
fn what_crashes_leave_is_no_damage() {
    for seed in 0..60_u64 {
        let mut vfs = common::disk();
        let mut how = options();
        how.keep_segments = (seed % 3) as usize;
        how.keep_checkpoints = 1 + (seed % 2) as usize;
        if seed % 4 == 3 {
            how.durability = docdb_engine::Durability::Os;
        }
        common::create_with(&vfs, how.clone())
            .unwrap()
            .close()
            .unwrap();
        for round in 0..8 {
            let db = open_with(&vfs, how.clone()).unwrap();
            for n in 0..seed % 7 * 4 + 3 {
                let id = (n * 7 + round + seed) % 23;
                let length = if n % 9 == 8 {
                    6_000
                } else {
                    40 * (n % 13) as usize + 10
                };
                let body = text(seed * 100 + n, length);
                let op = docdb_engine::WriteOp::upsert("_default", id, body.as_bytes());
                db.submit(&[op]).wait().unwrap();
                if n % 5 == 4 {
                    let _ = db
                        .submit(&[docdb_engine::WriteOp::delete("_default", id)])
                        .wait();
                }
                if n % 11 == 10 {
                    db.checkpoint().unwrap();
                    common::settle(&db).unwrap();
                }
            }
            if round == 3 {
                db.create_collection("more").wait().unwrap();
            }
            if (round + seed) % 3 == 0 {
                db.close().unwrap();
            } else {
                if seed % 2 == 0 {
                    // Nobody waits for these.
                    for id in 0..5 {
                        drop(db.submit(&[docdb_engine::WriteOp::upsert("_default", id, b"0")]));
                    }
                }
                drop(db);
                let sector = SectorSize::Bytes512;
                let policy = match round % 5 {
                    0 => CrashPolicy::KeepNone,
                    1 => CrashPolicy::KeepAll,
                    2 => CrashPolicy::Kill,
                    3 => CrashPolicy::Random { seed, sector },
                    _ => CrashPolicy::Torn { seed, sector },
                };
                vfs = vfs.fork_crash(&policy);
            }
            let (report, findings) = check(&vfs, 1).unwrap();
            assert_eq!(
                report.damages, 0,
                "seed {seed}, round {round}: {findings:#?}"
            );
            let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
            let mut dumped = 0;
            let mut highest = 0;
            let mut give = |document: offline::DumpedDocument<'_>| {
                dumped += 1;
                highest = highest.max(document.version);
                Ok(())
            };
            let progress = offline::Progress::default();
            let observer = Findings::default();
            let report = offline::dump(&shared, dir(), &progress, &observer, &mut give).unwrap();
            let opened = open_with(&vfs.fork_crash(&CrashPolicy::KeepAll), how.clone()).unwrap();
            assert_eq!(
                dumped,
                opened.stats().documents,
                "seed {seed}, round {round}"
            );
            assert!(highest <= report.version && report.version <= opened.visible_version());
        }
    }
}
