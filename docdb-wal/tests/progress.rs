//! What a recovery says while it reads.

mod common;

use std::sync::{Arc, Mutex};

use common::{append_and_wait, create, disk, judge, options};
use docdb_wal::{OnProgress, RecoveryProgress};

#[test]
fn progress_is_told_for_every_segment() {
    let vfs = disk();
    let wal = create(&vfs).unwrap();
    for n in 0..20 {
        append_and_wait(&wal, n, 9_000).unwrap();
    }
    wal.close().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let mut options = options();
    options.on_progress = Some(OnProgress::new(move |progress| {
        telling.lock().unwrap().push(progress);
    }));
    let (entries, verdict) = judge(&vfs, options).unwrap();
    let told: Vec<RecoveryProgress> = told.lock().unwrap().clone();
    let segments = wal.stats().segments;
    assert_eq!(told.len() as u64, segments);
    for (at, progress) in told.iter().enumerate() {
        assert_eq!(progress.segments, at as u64 + 1);
        assert_eq!(progress.segments_total, segments);
        assert_eq!(progress.bytes_total, wal.stats().segment_bytes);
    }
    let last = told.last().unwrap();
    assert_eq!(last.bytes, last.bytes_total);
    assert_eq!(last.records, entries.len() as u64);
    assert_eq!(last.records, verdict.report().records);
}
