//! Segments as this version writes them, byte for byte. Once a release is tagged these files are
//! never changed, only joined by others.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::path::{Path, PathBuf};

use common::{append, create, disk, judge, open, options, segments};
use docdb_wal::vfs::sim::SimVfs;

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// A disk with the golden segment on it.
fn golden_disk(name: &str) -> SimVfs {
    let vfs = disk();
    let golden = std::fs::read(golden_path(name)).unwrap();
    vfs.write_file(Path::new("/wal/00000000000000000001.wal"), &golden)
        .unwrap();
    vfs
}

#[test]
fn a_segment_is_written_as_ever() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    let first = append(&wal, 1, 0).unwrap().0;
    let second = append(&wal, 2, 40).unwrap().0;
    second.wait().unwrap();
    first.wait().unwrap();
    append(&wal, 3, 700).unwrap().0.wait().unwrap();
    wal.close().unwrap();
    let bytes = vfs.read_file(&segments(&vfs)[0]).unwrap();
    let path = golden_path("segment-v1.wal");
    if std::env::var_os("DOCDB_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    let differs = bytes.iter().zip(&golden).position(|(new, old)| new != old);
    assert_eq!(differs, None, "the first byte that differs");
    assert_eq!(bytes.len(), golden.len());
}

#[test]
fn the_golden_segment_opens() {
    let vfs = golden_disk("segment-v1.wal");
    let (entries, verdict) = judge(&vfs, options()).unwrap();
    assert_eq!(verdict.wal_id(), common::WAL_ID);
    assert!(verdict.report().clean);
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (e.lsn, e.stamp, e.kind, e.payload.len()))
        .collect();
    assert_eq!(seen, [(1, 1, 1, 0), (2, 2, 2, 40), (3, 3, 3, 700)]);
    for entry in &entries {
        let expected = common::payload(entry.stamp, entry.payload.len());
        assert_eq!(entry.payload, expected);
    }
    let opened = open(&vfs).unwrap();
    assert_eq!(opened.wal.next_lsn().0, 4);
    append(&opened.wal, 4, 10).unwrap().0.wait().unwrap();
}

/// What a compressor makes of a payload may change with its version, so there is nothing to compare:
/// the segment was written once, with `DOCDB_WRITE_GOLDEN`, and is read ever after.
#[cfg(feature = "lz4")]
#[test]
fn the_golden_segment_of_compressed_records_opens() {
    const NAME: &str = "segment-v1-lz4.wal";
    if std::env::var_os("DOCDB_WRITE_GOLDEN").is_some() {
        let vfs = disk();
        let mut options = options();
        options.compression = docdb_wal::Compression::Lz4;
        let driver = std::sync::Arc::new(docdb_wal::ManualDriver);
        let disk = std::sync::Arc::new(vfs.clone());
        let wal = docdb_wal::Wal::create(disk, common::dir(), options, driver).unwrap();
        append(&wal, 1, 40).unwrap().0.wait().unwrap();
        let first = append(&wal, 2, 5_000).unwrap().0;
        append(&wal, 3, 70_000).unwrap().0.wait().unwrap();
        first.wait().unwrap();
        wal.close().unwrap();
        let bytes = vfs.read_file(&segments(&vfs)[0]).unwrap();
        std::fs::write(golden_path(NAME), bytes).unwrap();
    }
    let (entries, verdict) = judge(&golden_disk(NAME), options()).unwrap();
    assert!(verdict.report().clean);
    let seen: Vec<_> = entries.iter().map(|e| (e.lsn, e.payload.len())).collect();
    assert_eq!(seen, [(1, 40), (2, 5_000), (3, 70_000)]);
    for entry in &entries {
        let expected = common::payload(entry.stamp, entry.payload.len());
        assert_eq!(entry.payload, expected);
    }
}

#[cfg(not(feature = "lz4"))]
mod without_lz4 {
    use super::*;
    use docdb_wal::{Lsn, WalError, inspect};

    fn assert_refused(error: &WalError) {
        let WalError::UnsupportedVersion { path, .. } = error else {
            panic!("{error}");
        };
        assert!(path.ends_with("00000000000000000001.wal"));
        let text = error.to_string();
        assert!(text.contains("record 2 at offset 8272"), "{text}");
        assert!(text.contains("build it with that feature"), "{text}");
    }

    #[test]
    fn the_golden_segment_of_compressed_records_is_refused() {
        let vfs = golden_disk("segment-v1-lz4.wal");
        let before = vfs.op_count();
        assert_refused(&judge(&vfs, options()).map(drop).unwrap_err());
        assert_eq!(vfs.op_count(), before, "judging changed something");
        let path = &segments(&vfs)[0];
        // Looking at the file shows what can be shown.
        let (mut groups, mut read, mut unreadable) = (0, 0, Vec::new());
        inspect::segment(
            &vfs,
            path,
            &mut |found| match found {
                inspect::Found::Group(_) => groups += 1,
                inspect::Found::Unreadable { lsn, why } => unreadable.push((lsn.0, why)),
                _ => {}
            },
            &mut |_| read += 1,
        )
        .unwrap();
        assert!(groups > 1 && read > 0 && unreadable[0].0 == 2);
        let why = &unreadable[0].1;
        assert!(why.contains("record 2 at offset 8272"), "{why}");
    }

    #[test]
    fn compressed_records_that_nobody_needs_are_no_obstacle() {
        let vfs = golden_disk("segment-v1-lz4.wal");
        let mut later = options();
        later.start_lsn = Some(Lsn(4));
        let opened = common::open_with(&vfs, later).unwrap();
        assert!(opened.entries.is_empty());
        let mut reader = opened.wal.read_from(Lsn(1)).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().lsn, Lsn(1));
        for _ in 0..2 {
            assert_refused(&reader.next().map(drop).unwrap_err());
        }
    }
}
