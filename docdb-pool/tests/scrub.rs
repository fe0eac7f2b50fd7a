//! The scrubs of a pool's databases, and what they tell.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{get, put, recording};
use docdb_pool::engine::DbOptions;
use docdb_pool::engine::vfs::Vfs;
use docdb_pool::engine::vfs::sim::SimVfs;
use docdb_pool::{Pool, PoolEvent, PoolOptions};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[test]
fn databases_scrub_one_after_the_other_and_damage_is_told() {
    let vfs = SimVfs::new(1);
    let mut db = DbOptions::default();
    db.scrub_bytes_per_second = 64 << 10;
    db.document_cache_bytes_max = 0;
    let options = PoolOptions::manual().db(db).idle_close(Duration::MAX / 4);
    let (options, events) = recording(options);
    let pool = Pool::open(Arc::new(vfs.clone()), Path::new("/data"), options).unwrap();
    let document = |name: &str, id: u64| format!("\"{}\"", format!("{name}{id} ").repeat(200));
    let dbs = NAMES.map(|name| {
        pool.create_database(name, None).unwrap();
        let db = pool.database(name).unwrap();
        for id in 0..200 {
            put(&db, id, &document(name, id)).unwrap();
        }
        db.checkpoint().unwrap();
        db
    });
    // In the middle of one of them.
    let needle = document("b", 77);
    let mut damaged = 0;
    for path in vfs.files() {
        let bytes = vfs.read_file(&path).unwrap();
        let is_data = path.extension().is_some_and(|extension| extension == "dat");
        let at = bytes
            .windows(needle.len())
            .position(|w| w == needle.as_bytes());
        if let (true, Some(at)) = (is_data, at) {
            vfs.flip_bit(&path, at as u64 + 100, 1).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    vfs.advance(Duration::from_secs(3600));
    let begun = vfs.now();
    while dbs.iter().any(|db| db.heal_stats().scans == 0) {
        pool.step();
        let is_under_way = |db: &&docdb_pool::DbHandle| db.heal_stats().scan_done_bytes > 0;
        assert!(dbs.iter().filter(is_under_way).count() <= 1);
        vfs.advance(Duration::from_millis(100));
        assert!(vfs.now() - begun < Duration::from_secs(600));
    }
    let read: u64 = dbs.iter().map(|db| db.heal_stats().scanned_bytes).sum();
    let rate = read as f64 / (vfs.now() - begun).as_secs_f64();
    assert!(rate <= 1.3 * f64::from(64 << 10), "{rate} bytes a second");
    assert_eq!(dbs[1].heal_stats().healed_in_background, 1);
    assert_eq!(get(&dbs[1], 77).unwrap(), needle);
    let told: Vec<String> = events
        .lock()
        .iter()
        .filter(|event| matches!(event, PoolEvent::Damaged { .. }))
        .map(ToString::to_string)
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("database \"b\": document 77"), "{told:?}");
    assert!(told[0].contains("it is restored"), "{told:?}");
}
