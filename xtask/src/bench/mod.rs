//! `cargo xtask bench`: what DocDB costs, beside what the same disk allows in the same run.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

mod device;
mod embedded;
mod json;
mod peers;
mod report;
mod sample;
mod served;
mod storage;
mod storage_report;
mod storage_targets;
mod transactions;
mod wal;
mod wal_report;

use device::Device;
use report::{Report, Row};
use sample::Sample;
use served::Served;

const DOCUMENT_BYTES: usize = 300;
const MIX_DOCUMENT_BYTES: usize = 1024;
const THREADS: [usize; 5] = [1, 4, 16, 64, 256];
const TRANSACTION_THREADS: usize = 64;
const AWAITED_IN_FLIGHT: usize = 1_000;
const CONNECTIONS: [usize; 2] = [1, 50];
const IN_FLIGHT: [usize; 2] = [1, 16];

/// The device is measured for this part of the time of the case that follows.
const DEVICE_SHARE: u32 = 4;

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// How often every case is run; the runs of all cases alternate
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    repeats: u64,
    /// How long each run of a case lasts
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only the cases whose row and name contain this text
    #[arg(long)]
    only: Option<String>,
    /// Where to put the data, which should be on the disk that you want to know about
    /// [default: data/bench in the workspace]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Run this server rather than building the one of this workspace
    #[arg(long)]
    server: Option<PathBuf>,
    /// Write the figures to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Tiny runs, to see that it works
    #[arg(long)]
    smoke: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Measure the write-ahead log alone, beside okaywal, raft-engine and the bare disk
    Wal(wal::Options),
    /// Measure the engine beside redb, fjall, LMDB, SQLite, sled and the bare disk
    Storage(storage::Options),
}

/// One thing to measure. Every run of it starts on an empty directory.
#[derive(Debug, Clone, Copy)]
enum Case {
    WalBlocking(usize),
    WalAwaited,
    EngineBlocking(usize),
    EngineAwaited,
    Transactions(transactions::Work),
    Json(json::Work),
    JsonPatch,
    ServedCreates {
        connections: usize,
        in_flight: usize,
    },
    ServedReads {
        connections: usize,
        in_flight: usize,
    },
    ServedMix {
        in_flight: usize,
    },
}

impl Case {
    fn all() -> Vec<Case> {
        let mut cases = THREADS.map(Case::WalBlocking).to_vec();
        cases.push(Case::WalAwaited);
        cases.extend(THREADS.map(Case::EngineBlocking));
        cases.push(Case::EngineAwaited);
        use transactions::Work;
        let works = [Work::Plain, Work::Snapshot, Work::Serializable, Work::Hot];
        cases.extend(works.map(Case::Transactions));
        cases.extend([json::Work::Check, json::Work::Value, json::Work::Ignored].map(Case::Json));
        cases.push(Case::JsonPatch);
        for connections in CONNECTIONS {
            for in_flight in IN_FLIGHT {
                cases.push(Case::ServedCreates {
                    connections,
                    in_flight,
                });
                cases.push(Case::ServedReads {
                    connections,
                    in_flight,
                });
            }
        }
        cases.extend(IN_FLIGHT.map(|in_flight| Case::ServedMix { in_flight }));
        cases
    }

    /// The row of the table of targets that it belongs to.
    fn target_row(self) -> &'static str {
        match self {
            Case::WalBlocking(1) | Case::EngineBlocking(1) => "T1",
            Case::WalBlocking(_) | Case::EngineBlocking(_) => "T2",
            Case::WalAwaited | Case::EngineAwaited => "T3",
            Case::Transactions(_) => "txn",
            Case::Json(_) | Case::JsonPatch => "T15",
            Case::ServedCreates { .. } => "T18",
            Case::ServedReads { .. } => "T19",
            Case::ServedMix { .. } => "T16",
        }
    }

    fn name(self) -> String {
        match self {
            Case::WalBlocking(threads) => format!("wal: append, blocking threads: {threads}"),
            Case::WalAwaited => format!("wal: append, awaited by one thread: {AWAITED_IN_FLIGHT}"),
            Case::EngineBlocking(threads) => format!("engine: create, blocking threads: {threads}"),
            Case::Transactions(work) => {
                let work = match work {
                    transactions::Work::Plain => "plain overwrites of own documents",
                    transactions::Work::Snapshot => "transactions on own documents",
                    transactions::Work::Serializable => "serializable, on own documents",
                    transactions::Work::Hot => "transactions, all on one document",
                };
                format!("engine: {work}, threads: {TRANSACTION_THREADS}")
            }
            Case::Json(work) => {
                let work = match work {
                    json::Work::Check => "strict check",
                    json::Work::Value => "serde_json::Value",
                    json::Work::Ignored => "serde_json IgnoredAny",
                };
                format!("engine: {work} of earthquakes.ndjson, 1 thread")
            }
            Case::JsonPatch => "engine: patch of 1 KB, one operation, 1 thread".to_owned(),
            Case::EngineAwaited => {
                format!("engine: create, awaited by one thread: {AWAITED_IN_FLIGHT}")
            }
            Case::ServedCreates {
                connections,
                in_flight,
            } => {
                format!("served: create, connections: {connections}, in flight: {in_flight}")
            }
            Case::ServedReads {
                connections,
                in_flight,
            } => {
                format!("served: read, connections: {connections}, in flight: {in_flight}")
            }
            Case::ServedMix { in_flight } => {
                format!("served: mix, 1 KiB, 3 databases x 10 clients, in flight: {in_flight}")
            }
        }
    }

    /// What an answer promises.
    fn durability(self) -> &'static str {
        match self {
            Case::ServedReads { .. } | Case::Json(_) | Case::JsonPatch => "-",
            _ => "full",
        }
    }

    fn is_served(self) -> bool {
        matches!(
            self,
            Case::ServedCreates { .. } | Case::ServedReads { .. } | Case::ServedMix { .. }
        )
    }

    fn run(
        self,
        context: &Context,
        dir: &Path,
    ) -> Result<(Sample, Option<Duration>), Box<dyn Error>> {
        let time = context.time;
        let sample = match self {
            Case::WalBlocking(threads) => {
                embedded::blocking(&embedded::new_wal(dir)?, threads, time).map_err(plain)?
            }
            Case::WalAwaited => {
                embedded::awaited(&embedded::new_wal(dir)?, AWAITED_IN_FLIGHT, time)
                    .map_err(plain)?
            }
            Case::EngineBlocking(threads) => {
                embedded::blocking(&embedded::new_db(dir)?, threads, time).map_err(plain)?
            }
            Case::EngineAwaited => {
                embedded::awaited(&embedded::new_db(dir)?, AWAITED_IN_FLIGHT, time)
                    .map_err(plain)?
            }
            Case::Transactions(work) => {
                transactions::run(dir, work, TRANSACTION_THREADS, time).map_err(plain)?
            }
            Case::Json(work) => json::run(work, time)?,
            Case::JsonPatch => json::patch(time)?,
            Case::ServedCreates { .. } | Case::ServedReads { .. } | Case::ServedMix { .. } => {
                let binary = context.server.clone().ok_or("no server was built")?;
                let served = Served::start(binary, dir)?;
                let sample = match self {
                    Case::ServedCreates {
                        connections,
                        in_flight,
                    } => served.creates(connections, in_flight, time)?,
                    Case::ServedReads {
                        connections,
                        in_flight,
                    } => served.reads(connections, in_flight, time)?,
                    Case::ServedMix { in_flight } => served.mix(in_flight, time)?,
                    _ => return Err("not a case of the server".into()),
                };
                let ready = served.ready;
                served.stop()?;
                return Ok((sample, Some(ready)));
            }
        };
        Ok((sample, None))
    }
}

fn plain(failure: embedded::Failure) -> Box<dyn Error> {
    failure
}

/// What all runs share.
struct Context {
    time: Duration,
    server: Option<PathBuf>,
}

/// Runs all cases and prints the table.
pub(crate) fn run(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    match &options.part {
        Some(Part::Wal(options)) => return wal::run(options),
        Some(Part::Storage(options)) => return storage::run(options),
        None => {}
    }
    let chosen = |case: &Case| {
        let name = format!("{} {}", case.target_row(), case.name());
        options.only.as_ref().is_none_or(|only| name.contains(only))
    };
    let cases: Vec<Case> = Case::all().into_iter().filter(chosen).collect();
    let server = match cases.iter().any(|case| case.is_served()) {
        true => Some(crate::binaries::server(options.server.clone())?),
        false => None,
    };
    let (repeats, seconds) = if options.smoke {
        (1, 0.05)
    } else {
        (options.repeats, options.seconds)
    };
    let time = Duration::try_from_secs_f64(seconds).map_err(|e| format!("--seconds: {e}"))?;
    let context = Context { time, server };
    let dir = options.dir.clone();
    let dir = dir.unwrap_or_else(|| crate::root::workspace_root().join("data/bench"));
    let dir = dir.join(format!("run-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let outcome = alternate(&cases, &context, &dir, repeats);
    let report = Report::new(outcome?, &dir, repeats, time);
    fs::remove_dir_all(&dir)?;
    println!("{report}");
    if let Some(path) = &options.json {
        fs::write(path, report.json()?).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs every case once, then every case again, so that a slow minute of the machine meets them all.
/// Before each run the bare device is measured, which is what that run is compared with.
fn alternate(
    cases: &[Case],
    context: &Context,
    dir: &Path,
    repeats: u64,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let bar = ProgressBar::new(repeats * cases.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    let mut rows: Vec<Row> = cases.iter().map(|case| Row::new(*case)).collect();
    let mut device = Device::create(dir)?;
    for repeat in 0..repeats {
        for (i, row) in rows.iter_mut().enumerate() {
            let case = row.case;
            bar.set_message(case.name());
            let dir = dir.join(format!("{repeat}-{i}"));
            let device_sample = device.run(context.time / DEVICE_SHARE)?;
            let run = case
                .run(context, &dir)
                .map_err(|e| format!("{}: {e}", case.name()))?;
            row.samples.push(run.0);
            row.device.push(device_sample);
            row.ready.extend(run.1);
            if dir.exists() {
                fs::remove_dir_all(&dir)?;
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(rows)
}
