//! A database whose log compresses: what is read is what was written, after a crash too.

#![cfg(feature = "lz4")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{create_with, disk, open_with, options};
use docdb_engine::vfs::sim::CrashPolicy;
use docdb_engine::{Compression, Db, DbOptions, WriteOp};

const C: &str = "_default";

fn with(compression: Compression) -> DbOptions {
    let mut options = options();
    options.bulk_bytes_min = 1 << 20;
    options.wal_compression = compression;
    options
}

/// A document of about so many bytes that compresses.
fn document(id: u64, bytes: usize) -> Vec<u8> {
    let items: Vec<String> = (0..bytes / 24)
        .map(|n| format!(r#"{{"id":{id},"n":{n},"x":"abc"}}"#))
        .collect();
    format!("[{}]", items.join(",")).into_bytes()
}

fn check(db: &Db, sizes: &[usize]) {
    for (id, &bytes) in (1..).zip(sizes) {
        assert_eq!(&*db.read(C, id).unwrap().body, document(id, bytes));
    }
    assert_eq!(db.count(C).unwrap(), sizes.len() as u64);
}

#[test]
fn compressed_commits_are_there_after_a_crash() {
    // Alone and copied, alone and linked, several in one commit, large enough for a data file.
    let commits = [
        &[100][..],
        &[6_000],
        &[60_000],
        &[900, 2_000, 5_000, 9_000],
        &[2_000_000],
        &[7_000],
    ];
    let mut bytes_of = Vec::new();
    for options in [Compression::None, Compression::Lz4].map(with) {
        let vfs = disk();
        let db = create_with(&vfs, options.clone()).unwrap();
        let mut sizes = Vec::new();
        for commit in commits {
            let documents: Vec<_> = commit
                .iter()
                .map(|&bytes| {
                    sizes.push(bytes);
                    document(sizes.len() as u64, bytes)
                })
                .collect();
            let ops: Vec<_> = documents.iter().map(|d| WriteOp::insert(C, d)).collect();
            db.submit(&ops).wait().unwrap();
        }
        check(&db, &sizes);
        bytes_of.push(db.stats().wal.flush.records_bytes);
        let image = vfs.fork_crash(&CrashPolicy::KeepNone);
        drop(db);
        let db = open_with(&image, options.clone()).unwrap();
        check(&db, &sizes);
        db.checkpoint().unwrap();
        drop(db);
        check(&open_with(&image, options).unwrap(), &sizes);
    }
    assert!(bytes_of[1] * 2 < bytes_of[0], "{bytes_of:?}");
}
