//! docdb-wal.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use docdb_wal::vfs::{RealVfs, Vfs};
use docdb_wal::{
    CommitTicket, Durability, Lsn, ManualDriver, Recovery, ThreadDriver, Wal, WalOptions,
};

use crate::subject::{Append, Subject};
use docdb_bench_peers::measure::{Clock, Failure, Latencies, Sample, payload, renumber};

/// The kind of the records; the log does not look at it.
const KIND: u16 = 1;
/// In relaxed runs, how many records may pass before segments are retired behind them.
const RETIRE_EVERY: u64 = 1 << 16;
/// In durable runs, after how many records of its first thread the log retires segments.
const RETIRE_DURABLE_EVERY: u64 = 1 << 10;
/// How many of the last records stay when segments are retired.
const RETIRE_BEHIND: u64 = 1 << 16;
/// How many records of a log that is filled are written together, about: a little over 1 MiB.
const FILL_STEPS_EVERY: u64 = 4096;
/// In relaxed runs, how many appends are timed together.
const BURST: u64 = 64;

pub(crate) struct Docdb {
    wal: Wal,
}

/// Nothing is written behind the end of a run, whose directory is then removed.
impl Drop for Docdb {
    fn drop(&mut self) {
        // It may have failed before: the run has said so.
        let _ = self.wal.close();
    }
}

impl Docdb {
    /// A new log in `dir`, an empty directory.
    pub(crate) fn create(dir: &Path, durability: Durability) -> Result<Docdb, Failure> {
        let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
        let mut options = WalOptions::default();
        options.durability = durability;
        let driver = Arc::new(ThreadDriver::start()?);
        let wal = Wal::create(vfs, dir, options, driver)?;
        Ok(Docdb { wal })
    }

    /// One task with many commits in its hands, which awaits them in their order.
    pub(crate) fn awaited_in_order(
        &self,
        in_flight: usize,
        bytes: usize,
        time: Duration,
    ) -> Result<Sample, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut latencies = Latencies::default();
        let mut record = payload(0, bytes);
        let mut number = 0;
        let mut tickets: VecDeque<(Instant, CommitTicket)> = VecDeque::with_capacity(in_flight);
        let clock = Clock::start();
        runtime.block_on(async {
            loop {
                while tickets.len() < in_flight && clock.elapsed() < time {
                    number += 1;
                    renumber(&mut record, number);
                    tickets.push_back((Instant::now(), self.wal.append(KIND, &record)?));
                }
                let Some((start, ticket)) = tickets.pop_front() else {
                    return Ok::<_, Failure>(());
                };
                ticket.await?;
                latencies.note(start);
                while tickets.front().is_some_and(|(_, next)| next.is_settled()) {
                    if let Some((start, ticket)) = tickets.pop_front() {
                        ticket.await?;
                        latencies.note(start);
                    }
                }
            }
        })?;
        let sample = clock.stop(latencies.count()).with_latencies(latencies);
        Ok(self.with_groups(sample))
    }

    /// Many tasks on one thread, each of which appends, awaits and begins again.
    pub(crate) fn awaited_by_tasks(
        &self,
        tasks: usize,
        bytes: usize,
        time: Duration,
    ) -> Result<Sample, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let clock = Clock::start();
        let began = Instant::now();
        let handles: Vec<_> = (0..tasks)
            .map(|task| {
                let wal = self.wal.clone();
                runtime.spawn(async move {
                    let mut latencies = Latencies::default();
                    let mut record = payload(task as u64, bytes);
                    while began.elapsed() < time {
                        renumber(&mut record, latencies.count());
                        let start = Instant::now();
                        wal.append(KIND, &record)?.await?;
                        latencies.note(start);
                    }
                    Ok::<_, docdb_wal::WalError>(latencies)
                })
            })
            .collect();
        let mut all = Latencies::default();
        runtime.block_on(async {
            for handle in handles {
                all.merge(handle.await??);
            }
            Ok::<_, Failure>(())
        })?;
        let sample = clock.stop(all.count()).with_latencies(all);
        Ok(self.with_groups(sample))
    }

    /// One thread that appends, each time until acknowledged, and retires segments behind itself. Ends
    /// after `time`, or, if a number of bytes is given, when the log has grown by so many.
    pub(crate) fn relaxed(
        &self,
        bytes: usize,
        time: Duration,
        log_bytes: Option<u64>,
    ) -> Result<Sample, Failure> {
        let mut latencies = Latencies::default();
        let mut record = payload(0, bytes);
        let mut number = 0;
        let clock = Clock::start();
        loop {
            let start = Instant::now();
            for _ in 0..BURST {
                number += 1;
                renumber(&mut record, number);
                self.wal.append(KIND, &record)?.wait()?;
            }
            latencies.note_burst(start, BURST);
            if number % RETIRE_EVERY == 0 {
                self.wal
                    .retire_below(Lsn(number.saturating_sub(RETIRE_BEHIND)))?;
            }
            let done = match log_bytes {
                // Only now and then: a figure of the log takes its locks.
                Some(total) => number % 4096 == 0 && self.wal.stats().flush.records_bytes >= total,
                None => clock.elapsed() >= time,
            };
            if done {
                break;
            }
        }
        let sample = clock.stop(number).with_latencies(latencies);
        Ok(self.with_groups(sample.with_bytes(number * bytes as u64)))
    }

    pub(crate) fn with_groups(&self, mut sample: Sample) -> Sample {
        let flush = self.wal.stats().flush;
        let mut sizes = flush.group_sizes.to_vec();
        while sizes.last() == Some(&0) {
            sizes.pop();
        }
        sample.set("groups", flush.groups);
        sample.set("group_records_max", flush.group_records_max);
        sample.set("group_sizes", sizes);
        sample
    }

    /// Fills a log with `total` bytes of payloads.
    pub(crate) fn fill(dir: &Path, bytes: usize, total: u64) -> Result<(), Failure> {
        let mut options = WalOptions::default();
        options.durability = Durability::MEMORY;
        // No thread that could still be at work on the files when they are opened again.
        let driver = Arc::new(ManualDriver);
        let wal = Wal::create(Arc::new(RealVfs::new()), dir, options, driver)?;
        let mut record = payload(0, bytes);
        for number in 0..total.div_ceil(bytes as u64) {
            renumber(&mut record, number);
            wal.append(KIND, &record)?.wait()?;
            if number % FILL_STEPS_EVERY == 0 {
                wal.run_steps();
            }
        }
        wal.sync()?;
        Ok(())
    }

    /// Opens a log for writing and reads every record back on the way.
    pub(crate) fn replay(dir: &Path) -> Result<Sample, Failure> {
        let (mut records, mut bytes) = (0, 0);
        let clock = Clock::start();
        let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
        let verdict = Recovery::judge(vfs, dir, WalOptions::default(), &mut |record| {
            records += 1;
            bytes += record.payload.len() as u64;
            Ok(())
        })?;
        let (wal, _) = verdict.act(Arc::new(ThreadDriver::start()?))?;
        let sample = clock.stop(records).with_bytes(bytes);
        wal.close()?;
        Ok(sample)
    }
}

impl Subject for Docdb {
    fn appender(&self, thread: usize) -> Append<'_> {
        let mut appended = 0;
        Box::new(move |record| {
            let ticket = self.wal.append(KIND, record)?;
            let lsn = ticket.lsn().0;
            ticket.wait()?;
            appended += 1;
            // As the peers do: what is behind is given up.
            if thread == 0 && appended % RETIRE_DURABLE_EVERY == 0 {
                self.wal.retire_below(Lsn(lsn))?;
            }
            Ok(())
        })
    }

    fn finish(&self, sample: Sample) -> Sample {
        self.with_groups(sample)
    }
}
