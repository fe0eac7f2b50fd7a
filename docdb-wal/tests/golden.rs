//! A segment as this version writes it, byte for byte. Once a release is tagged this file is never
//! changed, only joined by others.

mod common;

use std::path::{Path, PathBuf};

use common::{append, create, disk, judge, open, options, segments};

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segment-v1.wal")
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
    if std::env::var_os("DOCDB_WRITE_GOLDEN").is_some() {
        std::fs::write(golden_path(), &bytes).unwrap();
    }
    let golden = std::fs::read(golden_path()).unwrap();
    let differs = bytes.iter().zip(&golden).position(|(new, old)| new != old);
    assert_eq!(differs, None, "the first byte that differs");
    assert_eq!(bytes.len(), golden.len());
}

#[test]
fn the_golden_segment_opens() {
    let vfs = disk();
    let golden = std::fs::read(golden_path()).unwrap();
    vfs.write_file(Path::new("/wal/00000000000000000001.wal"), &golden)
        .unwrap();
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
