//! Runs the same work on docdb-wal, okaywal, raft-engine and the bare disk, in one process and in
//! alternation, and prints a line of JSON for every run. `cargo xtask bench wal` builds it, runs it
//! and makes a table of it.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use docdb_wal::Durability;
use serde_json::{Value, json};

mod docdb;
mod okay;
mod raft;
mod subject;

use docdb::Docdb;
use docdb_bench_peers::device::Device;
use docdb_bench_peers::measure::{Failure, Sample};
use okay::Okay;
use raft::Raft;
use subject::blocking;

/// Payload of a record.
const RECORD_BYTES: usize = 300;
/// What docdb-wal hands to the kernel for a record in a group of its own: that, a header of 32 bytes
/// and one of 80.
const LONE_GROUP_BYTES: usize = RECORD_BYTES + 32 + 80;
/// What the device writes and syncs beside a durable append.
const SYNCED_WRITE_BYTES: usize = 512;
const THREADS: [usize; 5] = [1, 4, 16, 64, 256];
const AWAITED: usize = 1_000;
/// The device is measured for this part of the time of the case that follows.
const DEVICE_SHARE: u32 = 4;

const USAGE: &str = "options: --dir DIR [--repeats N] [--seconds S] [--memory-bytes N] \
                     [--replay-bytes N] [--only TEXT] [--log LOG]";

/// How the logs are set up: printed with the figures.
const SETTINGS: &[(&str, &str)] = &[
    (
        "docdb-wal",
        "WalOptions::default(): segments of 256 KiB doubling to 64 MiB; ThreadDriver; durable runs retire what is behind, as the peers do",
    ),
    (
        "okaywal",
        "0.3.1, Configuration::default_for: segments of 1 MiB, checkpoint after 768 KiB, buffer \
         of 16 KiB; LogVoid; one entry of one chunk per record",
    ),
    (
        "okaywal-64m",
        "as okaywal, but segments of 64 MiB, checkpoint after 48 MiB",
    ),
    (
        "raft-engine",
        "0.4.2, Config::default(): files of 128 MiB, recycled, format 2; a raft group per thread, \
         write(batch of one entry, sync), compacted every 4,096 entries",
    ),
    (
        "device",
        "one thread, a file of 64 MiB written before; pwrite of 512 bytes and fdatasync, one 4 KiB \
         block further each time; pwrite of 412 bytes, nothing synced; pread of 1 MiB from the \
         page cache",
    ),
];

struct Options {
    dir: PathBuf,
    repeats: u32,
    time: Duration,
    memory_bytes: u64,
    replay_bytes: u64,
    only: Option<String>,
    /// Only this log and the device.
    log: Option<String>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Failure> {
        let mut options = Options {
            dir: PathBuf::new(),
            repeats: 3,
            time: Duration::from_secs(1),
            memory_bytes: 4 << 30,
            replay_bytes: 1 << 30,
            only: None,
            log: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            match name.as_str() {
                "--dir" => options.dir = value.into(),
                "--repeats" => options.repeats = value.parse()?,
                "--seconds" => options.time = Duration::try_from_secs_f64(value.parse()?)?,
                "--memory-bytes" => options.memory_bytes = value.parse()?,
                "--replay-bytes" => options.replay_bytes = value.parse()?,
                "--only" => options.only = Some(value),
                "--log" => options.log = Some(value),
                _ => return Err(USAGE.into()),
            }
        }
        if options.dir.as_os_str().is_empty() {
            return Err(USAGE.into());
        }
        Ok(options)
    }
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Durable(usize),
    AwaitedInOrder,
    AwaitedByTasks,
    Memory,
    Os,
    Replay,
}

impl Work {
    fn all() -> Vec<Work> {
        let mut all = THREADS.map(Work::Durable).to_vec();
        all.extend([
            Work::AwaitedInOrder,
            Work::AwaitedByTasks,
            Work::Memory,
            Work::Os,
            Work::Replay,
        ]);
        all
    }

    fn name(self) -> String {
        match self {
            Work::Durable(threads) => format!("durable append, threads: {threads}"),
            Work::AwaitedInOrder => format!("durable append, awaited by one task: {AWAITED}"),
            Work::AwaitedByTasks => format!("durable append, awaiting tasks: {AWAITED}"),
            Work::Memory => "append into memory, threads: 1".to_owned(),
            Work::Os => "append and write(2), threads: 1".to_owned(),
            Work::Replay => "open and read back".to_owned(),
        }
    }

    fn durability(self) -> &'static str {
        match self {
            Work::Durable(_) | Work::AwaitedInOrder | Work::AwaitedByTasks => "synced",
            Work::Memory => "memory",
            Work::Os => "os",
            Work::Replay => "-",
        }
    }

    fn logs(self) -> &'static [&'static str] {
        match self {
            Work::Durable(_) => &["docdb-wal", "okaywal", "okaywal-64m", "raft-engine"],
            Work::AwaitedInOrder | Work::AwaitedByTasks | Work::Memory => &["docdb-wal"],
            Work::Os => &["docdb-wal", "raft-engine"],
            Work::Replay => &["docdb-wal", "okaywal", "raft-engine"],
        }
    }

    fn device(self, device: &mut Device, options: &Options) -> Result<Sample, Failure> {
        let time = options.time / DEVICE_SHARE;
        match self {
            Work::Durable(_) | Work::AwaitedInOrder | Work::AwaitedByTasks => {
                device.synced_writes(SYNCED_WRITE_BYTES, time)
            }
            Work::Memory | Work::Os => device.writes(LONE_GROUP_BYTES, time),
            Work::Replay => device.reads(options.replay_bytes),
        }
    }

    fn run(self, log: &str, dir: &Path, options: &Options) -> Result<Sample, Failure> {
        let time = options.time;
        match (self, log) {
            (Work::Durable(threads), "docdb-wal") => {
                let log = Docdb::create(dir, Durability::Full)?;
                blocking(&log, threads, RECORD_BYTES, time)
            }
            (Work::Durable(threads), "okaywal") => {
                blocking(&Okay::create(dir, false)?, threads, RECORD_BYTES, time)
            }
            (Work::Durable(threads), "okaywal-64m") => {
                blocking(&Okay::create(dir, true)?, threads, RECORD_BYTES, time)
            }
            (Work::Durable(threads), "raft-engine") => {
                blocking(&Raft::open(dir, true)?, threads, RECORD_BYTES, time)
            }
            (Work::AwaitedInOrder, "docdb-wal") => {
                Docdb::create(dir, Durability::Full)?.awaited_in_order(AWAITED, RECORD_BYTES, time)
            }
            (Work::AwaitedByTasks, "docdb-wal") => {
                Docdb::create(dir, Durability::Full)?.awaited_by_tasks(AWAITED, RECORD_BYTES, time)
            }
            (Work::Memory, "docdb-wal") => Docdb::create(dir, Durability::MEMORY)?.relaxed(
                RECORD_BYTES,
                time,
                Some(options.memory_bytes),
            ),
            (Work::Os, "docdb-wal") => {
                Docdb::create(dir, Durability::Os)?.relaxed(RECORD_BYTES, time, None)
            }
            (Work::Os, "raft-engine") => blocking(&Raft::open(dir, false)?, 1, RECORD_BYTES, time),
            (Work::Replay, "docdb-wal") => {
                Docdb::fill(dir, RECORD_BYTES, options.replay_bytes)?;
                Docdb::replay(dir)
            }
            (Work::Replay, "okaywal") => {
                Okay::fill(dir, RECORD_BYTES, options.replay_bytes)?;
                Okay::replay(dir)
            }
            (Work::Replay, "raft-engine") => {
                Raft::fill(dir, RECORD_BYTES, options.replay_bytes)?;
                Raft::replay(dir)
            }
            _ => Err(format!("{log} has no {}", self.name()).into()),
        }
    }
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every case on every log once, then everything again, so that a slow minute of the machine
/// meets them all. Before each case the bare device is measured.
fn run(options: &Options) -> Result<(), Failure> {
    let chosen = |work: &Work| {
        let only = options.only.as_ref();
        only.is_none_or(|only| work.name().contains(only.as_str()))
    };
    let works: Vec<Work> = Work::all().into_iter().filter(chosen).collect();
    fs::create_dir_all(&options.dir)?;
    let settings: Value = SETTINGS
        .iter()
        .map(|(log, text)| ((*log).to_owned(), Value::from(*text)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    println!(
        "{}",
        json!({
            "settings": settings,
            "record_bytes": RECORD_BYTES,
            "memory_bytes": options.memory_bytes,
            "replay_bytes": options.replay_bytes,
        })
    );
    let mut device = Device::create(&options.dir)?;
    for repeat in 0..options.repeats {
        for work in &works {
            let sample = work.device(&mut device, options)?;
            print(*work, "device", repeat, sample);
            // Each time another log is first.
            let mut logs = work.logs().to_vec();
            logs.retain(|log| options.log.as_deref().is_none_or(|only| only == *log));
            let first = repeat as usize % logs.len().max(1);
            logs.rotate_left(first);
            for log in logs {
                let dir = options.dir.join("log");
                fs::create_dir(&dir)?;
                let sample = work
                    .run(log, &dir, options)
                    .map_err(|error| format!("{log}: {}: {error}", work.name()))?;
                print(*work, log, repeat, sample);
                fs::remove_dir_all(&dir)?;
            }
        }
    }
    Ok(())
}

fn print(work: Work, log: &str, repeat: u32, sample: Sample) {
    let mut line = sample.into_map();
    line.insert("case".to_owned(), work.name().into());
    line.insert("log".to_owned(), log.into());
    line.insert("durability".to_owned(), work.durability().into());
    line.insert("repeat".to_owned(), repeat.into());
    println!("{}", Value::from(line));
}
