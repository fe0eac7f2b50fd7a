//! Appends lines to a log in a temporary place and reads them back: `cargo run --example append`.

use std::sync::Arc;

use docdb_wal::vfs::RealVfs;
use docdb_wal::{Recovery, ThreadDriver, Wal, WalOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temp = tempfile::tempdir()?;
    let vfs = Arc::new(RealVfs::new());
    let driver = Arc::new(ThreadDriver::start()?);
    let wal = Wal::create(
        vfs.clone(),
        temp.path(),
        WalOptions::default(),
        driver.clone(),
    )?;
    for line in ["one", "two", "three"] {
        let ticket = wal.append(1, line.as_bytes())?;
        let lsn = ticket.lsn();
        ticket.wait()?;
        println!("record {lsn} is durable");
    }
    wal.close()?;
    let verdict = Recovery::judge(vfs, temp.path(), WalOptions::default(), &mut |record| {
        println!(
            "record {}: {}",
            record.lsn,
            String::from_utf8_lossy(record.payload)
        );
        Ok(())
    })?;
    let (wal, report) = verdict.act(driver)?;
    println!(
        "{} records, closed cleanly: {}",
        report.records, report.clean
    );
    wal.close()?;
    Ok(())
}
