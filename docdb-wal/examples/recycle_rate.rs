//! Measures what recycling segments gains: `cargo run --release --example recycle_rate -- DIRECTORY [SECONDS]`.
//!
//! One thread keeps 1,000 records of 294 bytes in flight in a log that has reached its largest
//! segments and retires all it does not need, with and without reuse of the retired files, by turns.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use docdb_wal::vfs::{RealVfs, Vfs};
use docdb_wal::{CommitTicket, ThreadDriver, Wal, WalOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const IN_FLIGHT: usize = 1_000;
const SEGMENT_BYTES: u64 = 16 << 20;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let parent = arguments
        .next()
        .ok_or("usage: recycle_rate DIRECTORY [SECONDS]")?;
    let time = match arguments.next() {
        Some(text) => Duration::from_secs(text.to_string_lossy().parse()?),
        None => Duration::from_secs(5),
    };
    let temp = tempfile::tempdir_in(parent)?;
    for round in 0..3 {
        for recycle in [0, 2] {
            let dir = temp.path().join(format!("{round}-{recycle}"));
            measure(&dir, recycle, time)?;
            std::fs::remove_dir_all(dir)?;
        }
    }
    Ok(())
}

fn measure(dir: &Path, recycle: usize, time: Duration) -> Result<(), Failure> {
    let vfs = Arc::new(RealVfs::new());
    vfs.create_dir(dir)?;
    let mut options = WalOptions::default();
    options.segment_bytes_min = SEGMENT_BYTES;
    options.segment_bytes_max = SEGMENT_BYTES;
    options.keep_segments = 1;
    options.recycle_segments = recycle;
    let wal = Wal::create(vfs, dir, options, Arc::new(ThreadDriver::start()?))?;
    let (started, mut retired_at) = (Instant::now(), Instant::now());
    let mut tickets: VecDeque<CommitTicket> = VecDeque::new();
    while started.elapsed() < time {
        while tickets.len() < IN_FLIGHT {
            tickets.push_back(wal.append(1, &[b'x'; 294])?);
        }
        if let Some(ticket) = tickets.pop_front() {
            ticket.wait()?;
        }
        while tickets.front().is_some_and(CommitTicket::is_durable) {
            tickets.pop_front();
        }
        if retired_at.elapsed() > Duration::from_millis(50) {
            wal.retire_below(wal.durable_lsn())?;
            retired_at = Instant::now();
        }
    }
    wal.sync()?;
    let flush = wal.stats().flush;
    println!(
        "recycling {recycle} files: {:.0} records/s, flush {:?} in the mean, {:?} at most",
        flush.records as f64 / started.elapsed().as_secs_f64(),
        flush.flush_mean,
        flush.flush_max,
    );
    drop(tickets);
    wal.close()?;
    Ok(())
}
