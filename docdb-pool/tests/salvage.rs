//! A data directory that is salvaged: what becomes of its databases' names.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{get, names, put};
use docdb_pool::engine::offline::{Finding, SalvageOptions};
use docdb_pool::engine::vfs::Vfs;
use docdb_pool::engine::vfs::sim::SimVfs;
use docdb_pool::offline::{DirectoryObserver, salvage};
use docdb_pool::{Pool, PoolOptions};

struct Nobody;

impl DirectoryObserver for Nobody {
    fn finding(&self, _database: Option<&str>, _finding: Finding) {}
}

/// The catalog is an older one, which does not know the second database; the first one has the name
/// that the second one's directory would give it.
#[test]
fn a_database_without_a_name_gets_one_that_is_free() {
    let disk = SimVfs::new(7);
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let open = |dir: &str| Pool::open(Arc::clone(&vfs), dir, PoolOptions::manual()).unwrap();
    let pool = open("/data");
    let taken = "db-0000000000000002";
    pool.create_database(taken, None).unwrap();
    put(&pool.database(taken).unwrap(), 1, "\"first\"").unwrap();
    let older = disk.read_file(Path::new("/data/CATALOG")).unwrap();
    pool.create_database("second", None).unwrap();
    put(&pool.database("second").unwrap(), 1, "\"second\"").unwrap();
    pool.close();
    drop(pool);
    for copy in ["/data/CATALOG", "/data/CATALOG.copy"] {
        disk.write_file(Path::new(copy), &older).unwrap();
    }

    salvage(&vfs, "/data", "/new", &SalvageOptions::default(), &Nobody).unwrap();
    let pool = open("/new");
    assert_eq!(names(&pool), [taken, "db-0000000000000002-1"]);
    let document = |name: &str| get(&pool.database(name).unwrap(), 1).unwrap();
    assert_eq!(document(taken), "\"first\"");
    assert_eq!(document("db-0000000000000002-1"), "\"second\"");
    pool.close();
}
