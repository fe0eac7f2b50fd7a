//! How much the data files take while documents are overwritten, by background work alone. Time is
//! counted in commits, and the bytes of all files at every sync and every step.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use docdb_crashtest::bounds::overwrite;

/// 300-byte documents, overwritten at random at a steady pace, everything scaled down by 16 from
/// 100,000 documents, 200,000 overwrites a second and the default options.
#[test]
fn what_is_overwritten_takes_a_small_multiple_of_what_is_live() {
    let space = overwrite(7, 4 << 20, Duration::from_secs(10)).unwrap();
    println!("{space:?}");
    assert!(space.checkpoints >= 8, "{space:?}");
    assert!(space.most <= 2.5, "{space:?}");
    assert!(space.settled <= 1.5, "{space:?}");
}

/// The rate gives way when more is dead than alive: space is bounded however low it is.
#[test]
fn a_rate_that_is_too_low_gives_way() {
    let space = overwrite(7, 64 << 10, Duration::from_secs(10)).unwrap();
    println!("{space:?}");
    assert!(space.most <= 4.0, "{space:?}");
    assert!(space.runs_most <= 2 * 8 + 2, "{space:?}");
}
