//! Measures loading: `cargo run --release -p docdb-engine --example load_rate -- DIRECTORY [DOCUMENTS [BATCH...]]`.
//!
//! Loads documents of about 300 bytes into a new database in batches of several sizes, from the first
//! batch until the database is closed. Batches from 1 MiB on go to a data file at once.

use std::time::Instant;

use docdb_engine::{Db, WriteOp};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let parent = arguments
        .next()
        .ok_or("usage: load_rate DIRECTORY [DOCUMENTS [BATCH...]]")?;
    let documents: u64 = match arguments.next() {
        Some(text) => text.to_string_lossy().parse()?,
        None => 1_000_000,
    };
    let mut batches = Vec::new();
    for argument in arguments {
        batches.push(argument.to_string_lossy().parse()?);
    }
    if batches.is_empty() {
        batches = vec![100, 1_000, 3_000, 4_000, 10_000, 40_000];
    }
    for batch in batches {
        let temp = tempfile::tempdir_in(&parent)?;
        let db = Db::open(temp.path().join("db"))?;
        let started = Instant::now();
        let bodies = load(&db, documents, batch)?;
        let loaded = started.elapsed();
        db.close()?;
        let closed = started.elapsed();
        println!(
            "batches of {batch}: {:.0} documents/s, {:.0} MB/s; with the close {:.0} documents/s",
            documents as f64 / loaded.as_secs_f64(),
            bodies as f64 / 1e6 / loaded.as_secs_f64(),
            documents as f64 / closed.as_secs_f64(),
        );
    }
    Ok(())
}

fn load(db: &Db, documents: u64, batch: u64) -> Result<u64, Failure> {
    let filling = "x".repeat(260);
    let mut bytes = 0;
    for first in (0..documents).step_by(batch as usize) {
        let ids = first..documents.min(first + batch);
        let bodies: Vec<String> = ids
            .clone()
            .map(|id| format!("{{\"id\":{id},\"filling\":\"{filling}\"}}"))
            .collect();
        let ops: Vec<_> = ids
            .zip(&bodies)
            .map(|(id, body)| WriteOp::create("_default", id, body.as_bytes()))
            .collect();
        db.submit(&ops).wait()?;
        bytes += bodies.iter().map(|body| body.len() as u64).sum::<u64>();
    }
    Ok(bytes)
}
