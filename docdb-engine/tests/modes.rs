//! The durability modes from the database's point of view: what is acknowledged is visible at once,
//! and what an end of the process or a power loss leaves is a prefix that keeps the mode's promise.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, SimVfs};
use docdb_engine::{Db, DbOptions, Durability, ManualDriver, WriteOp};

const INTERVAL: Duration = Duration::from_millis(10);
const C: &str = "_default";

fn dir() -> PathBuf {
    PathBuf::from("/db")
}

fn options(mode: Durability) -> DbOptions {
    let mut options = DbOptions::default();
    options.durability = mode;
    // No rotation, which would sync.
    options.segment_bytes_min = 256 << 10;
    options
}

fn create(vfs: &SimVfs, mode: Durability) -> Db {
    let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
    Db::create(shared, &dir(), options(mode), Arc::new(ManualDriver)).unwrap()
}

/// How many of the documents 1, 2, 3, ... are there; there must be no hole.
fn prefix(disk: &SimVfs, mode: Durability) -> u64 {
    let shared: Arc<dyn Vfs> = Arc::new(disk.clone());
    let db = Db::open_manual(
        shared,
        Path::new("/db"),
        options(mode),
        Arc::new(ManualDriver),
    );
    let db = db.unwrap();
    let count = db.count(C).unwrap();
    for id in 1..=count {
        assert_eq!(&*db.read(C, id).unwrap().body, id.to_string().as_bytes());
    }
    count
}

fn put(db: &Db, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        let body = id.to_string();
        db.submit(&[WriteOp::create(C, id, body.as_bytes())])
            .wait()
            .unwrap();
        // Acknowledged, so it is seen.
        assert_eq!(&*db.read(C, id).unwrap().body, body.as_bytes());
        assert_eq!(db.count(C).unwrap(), id);
    }
}

/// After ten commits, a checkpoint, and ten more: what is there after the process's end, and after a
/// power loss.
#[test]
fn what_each_mode_keeps() {
    for (mode, killed, power_lost) in [
        (Durability::Full, 20, 20),
        (Durability::Always, 20, 20),
        (Durability::Interval(INTERVAL), 20, 10),
        (Durability::Os, 20, 10),
        (Durability::Memory(INTERVAL), 10, 10),
    ] {
        let vfs = SimVfs::new(7);
        let db = create(&vfs, mode);
        put(&db, 1..=10);
        db.checkpoint().unwrap();
        put(&db, 11..=20);
        assert_eq!(
            prefix(&vfs.fork_crash(&CrashPolicy::Kill), mode),
            killed,
            "{mode}"
        );
        assert_eq!(
            prefix(&vfs.fork_crash(&CrashPolicy::KeepNone), mode),
            power_lost,
            "{mode}"
        );
        // The timer, then power is lost.
        vfs.advance(INTERVAL);
        db.wal().timed_step().unwrap();
        let after = if matches!(mode, Durability::Interval(_)) {
            20
        } else {
            power_lost
        };
        assert_eq!(
            prefix(&vfs.fork_crash(&CrashPolicy::KeepNone), mode),
            after,
            "{mode}"
        );
        assert_eq!(
            prefix(&vfs.fork_crash(&CrashPolicy::Kill), mode),
            20,
            "{mode}"
        );
    }
}

#[test]
fn a_commit_can_ask_for_more_than_its_database() {
    for mode in [
        Durability::Os,
        Durability::Memory(INTERVAL),
        Durability::Interval(INTERVAL),
    ] {
        let vfs = SimVfs::new(7);
        let db = create(&vfs, mode);
        put(&db, 1..=5);
        let strict = WriteOp::create(C, 6, b"6");
        db.submit_as(&[strict], Durability::Full).wait().unwrap();
        put(&db, 7..=9);
        // Its sync covers everything before it, and nothing behind it.
        assert_eq!(
            prefix(&vfs.fork_crash(&CrashPolicy::KeepNone), mode),
            6,
            "{mode}"
        );
    }
}

#[test]
fn a_clean_close_keeps_everything_in_every_mode() {
    for mode in [
        Durability::Os,
        Durability::Memory(INTERVAL),
        Durability::Interval(INTERVAL),
    ] {
        let vfs = SimVfs::new(7);
        let db = create(&vfs, mode);
        put(&db, 1..=5);
        db.close().unwrap();
        assert_eq!(
            prefix(&vfs.fork_crash(&CrashPolicy::KeepNone), mode),
            5,
            "{mode}"
        );
    }
}
