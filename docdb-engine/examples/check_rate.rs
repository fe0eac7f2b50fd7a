//! How fast a check reads a database from the page cache.
//!
//! `cargo run --release -p docdb-engine --example check_rate -- DIR [DOCUMENTS]` makes a database of
//! documents of about 300 bytes in DIR, unless there is one, and checks it with one and two threads,
//! without and with the check that documents are JSON.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use docdb_engine::offline::{self, CheckOptions, Finding, Observer};
use docdb_engine::vfs::{RealVfs, Vfs};
use docdb_engine::{Db, DbOptions, Durability, WriteOp};

struct Print;

impl Observer for Print {
    fn finding(&self, finding: Finding) {
        println!("{finding}");
    }
}

fn make(dir: &Path, documents: u64) -> Result<(), Box<dyn Error>> {
    let mut options = DbOptions::default();
    options.durability = Durability::Os;
    let db = Db::open_with(dir, options)?;
    let text = "the quick brown fox jumps over the lazy dog ".repeat(6);
    let mut next = 0;
    while next < documents {
        let ids = next..documents.min(next + 1_000);
        let bodies: Vec<String> = ids
            .clone()
            .map(|id| format!("{{\"id\":{id},\"text\":\"{text}\"}}"))
            .collect();
        let ops = ids.clone().zip(&bodies);
        let ops: Vec<_> = ops
            .map(|(id, body)| WriteOp::upsert("_default", id, body.as_bytes()))
            .collect();
        db.submit(&ops).wait()?;
        next = ids.end;
    }
    db.close()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("which directory?")?;
    let dir = Path::new(&dir);
    let documents = args.next().map_or(Ok(3_000_000), |text| text.parse())?;
    if !dir.exists() {
        make(dir, documents)?;
    }
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
    for (threads, documents) in [(1, false), (2, false), (1, true), (2, true)] {
        let mut options = CheckOptions::default();
        options.threads = threads;
        options.documents = documents;
        let began = Instant::now();
        let report = offline::check(&vfs, dir, &options, &Print)?;
        let took = began.elapsed().as_secs_f64();
        println!(
            "{threads} threads, documents {documents}: {:.0} MB in {took:.2} s, {:.2} GB/s, {} documents, {} damages",
            report.bytes as f64 / 1e6,
            report.bytes as f64 / 1e9 / took,
            report.documents,
            report.damages,
        );
    }
    Ok(())
}
