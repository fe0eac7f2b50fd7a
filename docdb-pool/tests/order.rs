//! What a pool does to the disk follows from what it was asked, not from the order of a map.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{open, put};
use docdb_pool::engine::Durability;
use docdb_pool::engine::vfs::sim::SimVfs;

/// Several databases with work to do in the background; a hash of all operations of the disk.
fn life() -> u64 {
    let vfs = SimVfs::new(1);
    let pool = open(&vfs, Path::new("/data"));
    for n in 0..8 {
        let name = format!("database {n}");
        pool.create_database(&name, Some(Durability::Os)).unwrap();
        put(&pool.database(&name).unwrap(), n, "1").unwrap();
    }
    vfs.advance(Duration::from_secs(60));
    while pool.step() {}
    vfs.trace_hash()
}

#[test]
fn the_same_calls_give_the_same_operations() {
    let first = life();
    for _ in 0..4 {
        assert_eq!(life(), first);
    }
}
