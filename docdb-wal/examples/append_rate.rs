//! Measures durable appends: `cargo run --release --example append_rate -- DIRECTORY [SECONDS]`.
//!
//! The directory must be on the disk that is to be measured. Each row runs for the given time with
//! 294-byte records; beside them stands what the disk does with a bare write and fdatasync.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use docdb_wal::vfs::{OpenMode, RealVfs, Vfs};
use docdb_wal::{CommitTicket, ThreadDriver, Wal, WalOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const PAYLOAD: [u8; 294] = [b'x'; 294];

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let parent = arguments
        .next()
        .ok_or("usage: append_rate DIRECTORY [SECONDS]")?;
    let seconds = match arguments.next() {
        Some(text) => text.to_string_lossy().parse()?,
        None => 2,
    };
    let time = Duration::from_secs(seconds);
    let temp = tempfile::tempdir_in(parent)?;
    println!("bare write + fdatasync: {:.0}/s", bare(temp.path(), time)?);
    for threads in [1, 4, 16, 64, 256] {
        let dir = temp.path().join(format!("threads-{threads}"));
        report(&format!("{threads} threads"), &dir, |wal| {
            blocking(wal, threads, time)
        })?;
    }
    let dir = temp.path().join("tickets");
    report("1,000 tickets in flight", &dir, |wal| {
        awaited(wal, 1_000, time)
    })?;
    Ok(())
}

fn bare(dir: &Path, time: Duration) -> Result<f64, Failure> {
    const FILE_BYTES: u64 = 64 << 20;
    let file = RealVfs::new().open(&dir.join("bare"), OpenMode::CreateNew)?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset)?;
    }
    file.sync_data()?;
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < time {
        file.write_all_at(&PAYLOAD, count * 4096 % FILE_BYTES)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

fn report(
    name: &str,
    dir: &Path,
    run: impl FnOnce(&Wal) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let vfs = Arc::new(RealVfs::new());
    vfs.create_dir(dir)?;
    let driver = Arc::new(ThreadDriver::start()?);
    let wal = Wal::create(vfs, dir, WalOptions::default(), driver)?;
    let started = Instant::now();
    run(&wal)?;
    let took = started.elapsed();
    let flush = wal.stats().flush;
    println!(
        "{name}: {:.0}/s, {:.1} records a group, flush {:?} in the mean, {:?} at most",
        flush.records as f64 / took.as_secs_f64(),
        flush.records as f64 / flush.groups as f64,
        flush.flush_mean,
        flush.flush_max,
    );
    wal.close()?;
    Ok(())
}

fn blocking(wal: &Wal, threads: usize, time: Duration) -> Result<(), Failure> {
    let stop = AtomicBool::new(false);
    let failures = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    if wal
                        .append(1, &PAYLOAD)
                        .and_then(CommitTicket::wait)
                        .is_err()
                    {
                        failures.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    match failures.into_inner() {
        0 => Ok(()),
        failed => Err(format!("{failed} threads failed").into()),
    }
}

/// One thread keeps many records in flight and waits for the oldest, as a server's connection does.
fn awaited(wal: &Wal, in_flight: usize, time: Duration) -> Result<(), Failure> {
    let mut tickets = std::collections::VecDeque::new();
    let started = Instant::now();
    while started.elapsed() < time {
        while tickets.len() < in_flight {
            tickets.push_back(wal.append(1, &PAYLOAD)?);
        }
        if let Some(ticket) = tickets.pop_front() {
            block_on(ticket)?;
        }
        while tickets.front().is_some_and(CommitTicket::is_durable) {
            tickets.pop_front();
        }
    }
    Ok(wal.sync()?)
}

fn block_on(ticket: CommitTicket) -> docdb_wal::Result<()> {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let mut ticket = std::pin::pin!(ticket);
    loop {
        match ticket.as_mut().poll(&mut context) {
            std::task::Poll::Ready(outcome) => return outcome,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
