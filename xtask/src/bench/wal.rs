//! `cargo xtask bench wal`: the write-ahead log beside okaywal, raft-engine and the bare disk.
//!
//! The work is done by the crate in `bench-peers/`, which the workspace does not contain, so that
//! nothing of DocDB ever compiles the logs it is compared with.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use indicatif::ProgressBar;
use serde_json::Value;

use super::wal_report::Report;

const BINARY: &str = "docdb-bench-peers";

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
        None => build()?,
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
    let lines = lines(command);
    fs::remove_dir_all(&dir)?;
    let report = Report::new(&lines?, repeats, seconds, [before, load()])?;
    println!("{report}");
    if let Some(path) = &options.json {
        fs::write(path, report.json()?).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the companion crate, with a target directory of its own below the usual one.
fn build() -> Result<PathBuf, Box<dyn Error>> {
    let root = crate::root::workspace_root();
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = target.join("bench-peers");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(root.join("bench-peers/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .current_dir(&root)
        .stdin(Stdio::null())
        .status()?;
    if !status.success() {
        return Err("cargo build of bench-peers failed".into());
    }
    Ok(Path::new(&target).join("release").join(BINARY))
}

/// Runs the benchmark and gives the lines that it prints.
fn lines(mut command: Command) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("the benchmark has no output")?;
    let bar = ProgressBar::new_spinner();
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        let value: Value = serde_json::from_str(&line?)?;
        if let (Some(case), Some(log)) = (value["case"].as_str(), value["log"].as_str()) {
            bar.set_message(format!("{case}: {log}"));
            bar.tick();
        }
        lines.push(value);
    }
    bar.finish_and_clear();
    let status = child.wait()?;
    match status.success() {
        true => Ok(lines),
        false => Err(format!("{BINARY} ended with {status}").into()),
    }
}

/// How many tasks wanted a processor in the last minute; `None` where the system does not say.
fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}
