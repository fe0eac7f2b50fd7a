//! How fast space is given back, and what it costs: a set is overwritten at random, then compacted.
//!
//! ```sh
//! cargo run --release -p docdb-engine --example space_rate -- /some/dir
//! ```

use std::path::PathBuf;
use std::time::{Duration, Instant};

use docdb_engine::{Db, DbOptions, Result, WriteOp};

const DOCUMENTS: u64 = 300_000;
const DOCUMENT_BYTES: usize = 600;
const BATCH: u64 = 500;

fn main() -> Result<()> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from);
    let dir = dir.unwrap_or_else(std::env::temp_dir).join("space_rate");
    let mut options = DbOptions::default();
    options.data_file_bytes_max = 64 << 20;
    // Compactions only when they are asked for.
    options.compaction_bytes_per_second = 0;
    let db = Db::open_with(&dir, options)?;
    let body = format!("\"{}\"", "x".repeat(DOCUMENT_BYTES - 2)).into_bytes();
    let mut random = 1_u64;
    for round in 0..4 {
        let started = Instant::now();
        let mut checkpoints = Duration::ZERO;
        for batch in 0..DOCUMENTS / BATCH {
            let ops: Vec<_> = (0..BATCH)
                .map(|n| {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let id = if round == 0 {
                        batch * BATCH + n
                    } else {
                        (random >> 33) % DOCUMENTS
                    };
                    WriteOp::upsert("_default", id, &body)
                })
                .collect();
            db.submit(&ops).wait()?;
            if batch % 100 == 99 {
                checkpoints += db.checkpoint()?.time;
            }
        }
        println!(
            "round {round}: {:.0} documents/s, of which checkpoints {:.2} s of {:.2} s",
            DOCUMENTS as f64 / started.elapsed().as_secs_f64(),
            checkpoints.as_secs_f64(),
            started.elapsed().as_secs_f64(),
        );
    }
    let before = db.stats();
    let started = Instant::now();
    let report = db.compact()?;
    let took = started.elapsed().as_secs_f64();
    let after = db.stats();
    println!(
        "compact: {} files, {:.0} MiB to {:.0} MiB ({:.0} MiB live), {} documents in {took:.2} s, {:.0} MiB/s \
         copied; runs {} to {}, {} merges",
        report.files,
        report.bytes_before as f64 / f64::from(1 << 20),
        report.bytes_after as f64 / f64::from(1 << 20),
        after.data_live_bytes as f64 / f64::from(1 << 20),
        report.documents_moved,
        (after.compacted_bytes - before.compacted_bytes) as f64 / f64::from(1 << 20) / took,
        before.runs,
        after.runs,
        after.merges,
    );
    let started = Instant::now();
    let exact = db
        .space()?
        .iter()
        .all(|file| file.live_bytes == file.referenced_bytes);
    println!(
        "counted anew in {:.2} s: exact: {exact}",
        started.elapsed().as_secs_f64()
    );
    let started = Instant::now();
    db.close()?;
    println!("closed in {:.3} s", started.elapsed().as_secs_f64());
    Ok(())
}
