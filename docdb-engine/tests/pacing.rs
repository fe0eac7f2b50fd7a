//! A checkpoint, a merge and a compaction leave the device to commits: what they sync at once is little.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use common::watched::{Synced, Watched};
use common::{dir, disk, settle};
use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::{DEFAULT_COLLECTION, Db, DbOptions, Durability, ManualDriver, WriteOp};
use parking_lot::Mutex;

/// A part, and what may be appended before it is noticed.
const SYNCED_AT_ONCE_MAX: u64 = 512 << 10;

/// The most that one sync of each kind of file had to carry to the device.
#[derive(Debug, Default)]
struct Largest {
    synced: HashMap<String, u64>,
    data: u64,
    run: u64,
}

fn watch(sim: &SimVfs) -> (Arc<Watched>, Arc<Mutex<Largest>>) {
    let largest: Arc<Mutex<Largest>> = Arc::default();
    let (noted, files) = (Arc::clone(&largest), sim.clone());
    let watched = Watched::new(sim, move |synced| {
        if let Synced::File(name) = synced {
            let mut largest = noted.lock();
            let is_data = name.ends_with(".dat");
            if !is_data && !name.ends_with(".idx") {
                return true;
            }
            let length = files.read_file(&dir().join(name)).unwrap().len() as u64;
            let before = largest.synced.insert(name.to_owned(), length).unwrap_or(0);
            let more = length - before;
            if is_data {
                largest.data = largest.data.max(more);
            } else {
                largest.run = largest.run.max(more);
            }
        }
        true
    });
    (Arc::new(watched), largest)
}

fn options(durability: Durability) -> DbOptions {
    let mut options = DbOptions::default();
    options.durability = durability;
    options.runs_max = 2;
    options.data_file_bytes_max = 4 << 20;
    options.compaction_bytes_per_second = u64::MAX;
    options
}

/// Overwrites 20,000 documents a few times, with a checkpoint after each time.
fn work(durability: Durability) -> Largest {
    let sim = disk();
    let (vfs, largest) = watch(&sim);
    let db = Db::create(vfs, dir(), options(durability), Arc::new(ManualDriver)).unwrap();
    let body = format!("\"{}\"", "x".repeat(200));
    for _ in 0..4 {
        for first in (0..20_000).step_by(1_000) {
            let ops: Vec<_> = (first..first + 1_000)
                .map(|id| WriteOp::upsert(DEFAULT_COLLECTION, id, body.as_bytes()))
                .collect();
            db.submit(&ops).wait().unwrap();
        }
        db.checkpoint().unwrap();
        settle(&db).unwrap();
    }
    let stats = db.stats();
    assert!(stats.compactions > 0 && stats.merges > 0, "{stats:?}");
    db.close().unwrap();
    std::mem::take(&mut largest.lock())
}

#[test]
fn what_is_synced_at_once_is_little_where_commits_wait_for_the_device() {
    let largest = work(Durability::Full);
    assert!(
        largest.data > 0 && largest.data <= SYNCED_AT_ONCE_MAX,
        "{largest:?}"
    );
    assert!(
        largest.run > 0 && largest.run <= SYNCED_AT_ONCE_MAX,
        "{largest:?}"
    );
}

#[test]
fn where_they_do_not_wait_nothing_is_synced_in_parts() {
    let largest = work(Durability::Os);
    assert!(largest.data > SYNCED_AT_ONCE_MAX, "{largest:?}");
}

/// Whoever looks sees how far a checkpoint has come.
#[test]
fn a_checkpoint_tells_how_far_it_is() {
    let sim = disk();
    let watched: Arc<Mutex<Option<Db>>> = Arc::default();
    let seen: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let (db_of, noted) = (Arc::clone(&watched), Arc::clone(&seen));
    let vfs = Watched::new(&sim, move |synced| {
        if let (Synced::File(name), Some(db)) = (synced, &*db_of.lock())
            && name.ends_with(".dat")
        {
            let stats = db.stats();
            noted
                .lock()
                .push((stats.checkpoint_done, stats.checkpoint_todo));
        }
        true
    });
    let options = options(Durability::Full);
    let db = Db::create(Arc::new(vfs), dir(), options, Arc::new(ManualDriver)).unwrap();
    let body = format!("\"{}\"", "x".repeat(200));
    let ops: Vec<_> = (0..3_000)
        .map(|id| WriteOp::upsert(DEFAULT_COLLECTION, id, body.as_bytes()))
        .collect();
    db.submit(&ops).wait().unwrap();
    *watched.lock() = Some(db.clone());
    db.checkpoint().unwrap();
    *watched.lock() = None;
    let seen = seen.lock();
    assert!(
        seen.len() > 2 && seen.iter().all(|(_, todo)| *todo == 3_000),
        "{seen:?}"
    );
    assert!(seen.is_sorted() && seen[0].0 < 1_500, "{seen:?}");
    let stats = db.stats();
    assert_eq!((stats.checkpoint_done, stats.checkpoint_todo), (0, 0));
}
