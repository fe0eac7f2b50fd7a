//! `cargo xtask bench storage`: the engine beside redb, fjall, LMDB, SQLite, sled and the bare disk.
//!
//! The work is done by a program of the crate in `bench-peers/`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use super::peers::{self, load};
use super::storage_report::Report;

/// Options of `cargo xtask bench storage`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How much is done: full is what the targets speak of, up to 10 million documents and hours;
    /// small is a tenth to a twentieth of it; smoke shows that it works
    #[arg(long, default_value = "small", value_parser = ["smoke", "small", "full"])]
    scale: String,
    /// How often every case is run; the runs of all subjects and cases alternate [default: 3, smoke 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100))]
    repeats: Option<u64>,
    /// How long each run of a case lasts that has no other end [default: by the scale]
    #[arg(long)]
    seconds: Option<f64>,
    /// Only these rows of the table of targets: T7,T8
    #[arg(long)]
    rows: Option<String>,
    /// Only these stores, and the bare device: docdb,lmdb
    #[arg(long)]
    subjects: Option<String>,
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
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let binary = match &options.peers {
        Some(path) if path.is_file() => std::path::absolute(path)?,
        Some(path) => return Err(format!("{}: no such file", path.display()).into()),
        None => peers::build("storage")?,
    };
    let dir = options.dir.clone();
    let dir = dir.unwrap_or_else(|| crate::root::workspace_root().join("data/bench"));
    let dir = std::path::absolute(dir.join(format!("storage-{}", std::process::id())))?;
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut command = Command::new(&binary);
    command.arg("--dir").arg(&dir);
    command.args(["--scale", &options.scale]);
    let given = [
        ("--repeats", options.repeats.map(|n| n.to_string())),
        ("--seconds", options.seconds.map(|n| n.to_string())),
        ("--rows", options.rows.clone()),
        ("--subjects", options.subjects.clone()),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            command.args([name, &value]);
        }
    }
    let before = load();
    // It tells how far it is on standard error.
    let lines = peers::lines(command, |_| {});
    fs::remove_dir_all(&dir)?;
    let report = Report::new(&lines?, [before, load()])?;
    println!("{report}");
    if let Some(path) = &options.json {
        fs::write(path, report.json()?).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
