//! `cargo xtask bench wal`: the write-ahead log beside okaywal, raft-engine and the bare disk.
//!
//! The work is done by a program of the crate in `bench-peers/`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use indicatif::ProgressBar;

use super::peers::{self, load};
use super::wal_report::Report;

/// Options of `cargo xtask bench wal`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often every case is run; the runs of all logs and cases alternate
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    repeats: u64,
    /// How long each run of a case lasts
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only the cases whose name contains this text
    #[arg(long)]
    only: Option<String>,
    /// Where to put the data, which should be on the disk that you want to know about
    /// [default: data/bench in the workspace]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Run this binary rather than building bench-peers
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Write the figures to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Tiny runs, to see that it works
    #[arg(long)]
    smoke: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let binary = match &options.peers {
        Some(path) if path.is_file() => std::path::absolute(path)?,
        Some(path) => return Err(format!("{}: no such file", path.display()).into()),
        None => peers::build("wal")?,
    };
    let dir = options.dir.clone();
    let dir = dir.unwrap_or_else(|| crate::root::workspace_root().join("data/bench"));
    let dir = dir.join(format!("wal-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut command = Command::new(&binary);
    command.arg("--dir").arg(&dir);
    let (repeats, seconds) = if options.smoke {
        command.args(["--memory-bytes", "33554432", "--replay-bytes", "16777216"]);
        (1, 0.05)
    } else {
        (options.repeats, options.seconds)
    };
    command.args(["--repeats", &repeats.to_string()]);
    command.args(["--seconds", &seconds.to_string()]);
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    let before = load();
    let bar = ProgressBar::new_spinner();
    let lines = peers::lines(command, |line| {
        if let (Some(case), Some(log)) = (line["case"].as_str(), line["log"].as_str()) {
            bar.set_message(format!("{case}: {log}"));
            bar.tick();
        }
    });
    bar.finish_and_clear();
    fs::remove_dir_all(&dir)?;
    let report = Report::new(&lines?, repeats, seconds, [before, load()])?;
    println!("{report}");
    if let Some(path) = &options.json {
        fs::write(path, report.json()?).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
