//! The bodies of the fuzz targets, over inputs that proptest makes and those that fuzzers left.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;
mod fuzzing;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{append_and_wait, judge, open, segments};
use docdb_wal::{ManualDriver, Wal};
use fuzzing::seal::{Sealing, groups, records, seal_log};
use proptest::prelude::*;

/// Inputs that once found something, or lead far into the code.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let entries = fs::read_dir(dir.join(target)).unwrap();
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

fn run_seeds(target: &str, run: fn(&[u8])) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty());
    for (path, data) in seeds {
        // Shown if it fails.
        println!("{}", path.display());
        run(&data);
    }
}

#[test]
fn seeds_of_segment() {
    run_seeds("segment", fuzzing::segment);
}

#[test]
fn seeds_of_mutated_log() {
    run_seeds("mutated_log", fuzzing::mutated_log);
}

#[test]
fn seeds_of_reader() {
    run_seeds("reader", fuzzing::reader);
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Any bytes, or a seed in which some are changed: most of any bytes do not lead far.
fn input(target: &str, bytes_max: usize) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seeds: Vec<_> = seeds(target).into_iter().map(|(_, data)| data).collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let changed = (prop::sample::select(seeds), changes).prop_map(|(mut data, changes)| {
        for (at, byte) in changes {
            if !data.is_empty() {
                let at = at.index(data.len());
                data[at] = byte;
            }
        }
        data
    });
    prop_oneof![changed, prop::collection::vec(any::<u8>(), 0..bytes_max),]
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn segment(data in input("segment", 2_000)) {
        fuzzing::segment(&data);
    }

    #[test]
    fn mutated_log(data in input("mutated_log", 150)) {
        fuzzing::mutated_log(&data);
    }

    #[test]
    fn reader(data in input("reader", 150)) {
        fuzzing::reader(&data);
    }
}

/// Else what the fuzzers forge would be refused at its first checksum, unnoticed.
#[test]
fn sealing_changes_nothing_in_a_log_that_nobody_touched() {
    let vfs = common::disk();
    let mut options = common::options();
    // Sealing takes the old groups in a file that serves again for new ones.
    options.recycle_segments = 0;
    let shared = Arc::new(vfs.clone());
    let wal = Wal::create(shared, common::dir(), options, Arc::new(ManualDriver)).unwrap();
    let mut entries = Vec::new();
    for (n, bytes) in [0, 9_000, 300, 70_000, 20].into_iter().enumerate() {
        entries.push(append_and_wait(&wal, n as u64, bytes).unwrap());
    }
    drop(wal);
    let wal = open(&vfs).unwrap().wal;
    entries.push(append_and_wait(&wal, 5, 100).unwrap());
    wal.close().unwrap();
    let contents = || -> Vec<_> {
        let files = segments(&vfs);
        files.iter().map(|f| vfs.read_file(f).unwrap()).collect()
    };
    let before = contents();
    assert!(before.len() > 3);
    seal_log(&vfs, Sealing::ALL);
    assert!(contents() == before);

    // A payload that was changed is what the log says.
    let path = &segments(&vfs)[before.len() - 1];
    let mut bytes = before[before.len() - 1].clone();
    let (_, end) = groups(&bytes)
        .into_iter()
        .flat_map(|group| records(&bytes, group))
        .next_back()
        .unwrap();
    bytes[end - 1] ^= 1;
    vfs.write_file(path, &bytes).unwrap();
    assert!(judge(&vfs, common::options()).is_err());
    seal_log(&vfs, Sealing::ALL);
    let (found, _) = judge(&vfs, common::options()).unwrap();
    *entries[5].payload.last_mut().unwrap() ^= 1;
    assert_eq!(found, entries);
}
