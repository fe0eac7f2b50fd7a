//! Writers that are faster than checkpoints are slowed down before a budget ends.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use docdb_crashtest::bounds::press;
use docdb_engine::Durability;

const SMALL: u64 = 4 << 20;
const LARGE: u64 = 1 << 30;
const TIME: Duration = Duration::from_secs(3);

/// The disk takes 10 MiB a second, and the writer could write 38.
fn check(durability: Durability, memory_bytes_max: u64, wal_bytes_max: u64) {
    let outcome = press(0, durability, memory_bytes_max, wal_bytes_max, TIME).unwrap();
    println!("{outcome:?}");
    assert!(outcome.stats.checkpoints > 20 && outcome.stats.delayed > 100);
    // They are slowed to what checkpoints sustain, and no more.
    assert!(outcome.rate > 4 << 20, "{}", outcome.rate);
    // What is set aside for a recovery is 20 KiB larger than a segment.
    assert!(outcome.wal_bytes_idle <= wal_bytes_max / 2 + (20 << 10));
}

#[test]
fn nobody_meets_the_end_of_the_memory() {
    check(Durability::Os, SMALL, LARGE);
}

#[test]
fn nobody_meets_the_end_of_the_log() {
    check(Durability::Os, LARGE, SMALL);
}

#[test]
fn nobody_meets_the_end_of_either_if_each_commit_is_synced() {
    check(Durability::Full, SMALL, SMALL);
}

/// Where there is no pressure nobody is delayed.
#[test]
fn nobody_is_delayed_while_checkpoints_keep_up() {
    let outcome = press(0, Durability::Os, LARGE, LARGE, Duration::from_secs(2)).unwrap();
    assert_eq!(outcome.stats.delayed, 0, "{outcome:?}");
    assert!(outcome.rate > 30 << 20);
}
