//! Measures recovery: `cargo run --release --example replay_rate -- DIRECTORY [MEGABYTES]`.
//!
//! Writes a log of 300-byte records in large groups, then reads it with the page cache warm.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use docdb_wal::vfs::{RealVfs, Vfs};
use docdb_wal::{Durability, Recovery, ThreadDriver, Wal, WalOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let parent = arguments
        .next()
        .ok_or("usage: replay_rate DIRECTORY [MEGABYTES]")?;
    let megabytes: u64 = match arguments.next() {
        Some(text) => text.to_string_lossy().parse()?,
        None => 1_024,
    };
    let temp = tempfile::tempdir_in(parent)?;
    let mut options = WalOptions::default();
    options.durability = Durability::MEMORY;
    write(temp.path(), options.clone(), megabytes << 20)?;
    for _ in 0..3 {
        read(temp.path(), options.clone())?;
    }
    Ok(())
}

fn write(dir: &Path, options: WalOptions, bytes: u64) -> Result<(), Failure> {
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
    let wal = Wal::create(vfs, dir, options, Arc::new(ThreadDriver::start()?))?;
    for _ in 0..bytes / 332 {
        drop(wal.append(1, &[b'x'; 300])?);
    }
    wal.close()?;
    Ok(())
}

fn read(dir: &Path, options: WalOptions) -> Result<(), Failure> {
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
    let started = Instant::now();
    let mut sum = 0;
    let verdict = Recovery::judge(vfs, dir, options, &mut |record| {
        sum += record.payload.len() as u64;
        Ok(())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let records = verdict.report().records;
    println!(
        "{records} records, {:.2} GB/s of records, {:.1} million records/s",
        (sum + records * 32) as f64 / seconds / 1e9,
        records as f64 / seconds / 1e6,
    );
    Ok(())
}
