//! Two databases in one data directory: `cargo run -p docdb-pool --example databases`.

use std::sync::Arc;

use docdb_pool::engine::vfs::RealVfs;
use docdb_pool::engine::{Precondition, WriteKind, WriteOp};
use docdb_pool::{Pool, PoolOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let options = PoolOptions::default().listener(|event| eprintln!("event: {event}"));
    let pool = Pool::open(Arc::new(RealVfs::new()), dir.path(), options)?;
    for (name, body) in [
        ("users", r#"{"name":"Ada"}"#),
        ("orders", r#"{"total":1.10}"#),
    ] {
        pool.create_database(name, None)?;
        let db = pool.database(name)?;
        let op = WriteOp {
            kind: WriteKind::Create,
            collection: "_default",
            id: 1,
            precondition: Precondition::None,
            body: body.as_bytes(),
        };
        let committed = db.submit(&[op]).wait()?;
        println!(
            "{name}: version {} of document 1 is durable",
            committed.version
        );
    }
    for info in pool.list() {
        println!(
            "{} {} {} open: {}",
            info.id, info.name, info.durability, info.open
        );
    }
    pool.close();
    Ok(())
}
