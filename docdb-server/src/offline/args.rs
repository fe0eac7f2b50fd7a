//! The arguments of the offline subcommands.

use std::path::PathBuf;

use clap::Args;

/// The arguments of `check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    after_help = "Exit codes: 0 nothing is damaged, 1 error, 2 wrong usage, 3 the data directory is in use, \
                        5 something is damaged."
)]
pub struct CheckArgs {
    /// The data directory, if not given by --data-dir.
    pub data_dir: Option<PathBuf>,
    /// Also check that every document is JSON, which takes longer.
    #[arg(long)]
    pub documents: bool,
    /// Write JSON objects, one to a line.
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `salvage`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    override_usage = "docdb-server salvage [OPTIONS] [DATA_DIR] <NEW_DIR>",
    after_help = "Exit codes: 0 everything is in the new directory, 1 error, 2 wrong usage, 3 the data \
                  directory is in use, 5 something is lost or doubtful."
)]
pub struct SalvageArgs {
    /// The data directory, if not given by --data-dir, and the new directory, which must not exist or be
    /// empty.
    #[arg(required = true, num_args = 1..=2, value_name = "DIR")]
    pub directories: Vec<PathBuf>,
    /// Put the newest version of what cannot be proven into the new databases, too. It may be an old
    /// version, or have been deleted.
    #[arg(long)]
    pub include_doubtful: bool,
    /// Write JSON objects, one to a line.
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `dump`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    override_usage = "docdb-server dump [OPTIONS] [DATA_DIR [DB]...]",
    after_help = "Exit codes: 0 all documents were written, 1 error, 2 wrong usage, 3 the data directory is \
                  in use, 5 something is damaged, the rest was written."
)]
pub struct DumpArgs {
    /// The data directory, if not given by --data-dir, and the databases; all if none is named.
    #[arg(value_name = "DATA_DIR [DB]")]
    pub target: Vec<String>,
    /// Write to this file instead of to the standard output. One that exists is replaced.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The arguments of `compact`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    override_usage = "docdb-server compact [OPTIONS] [DATA_DIR [DB]...]",
    after_help = "Exit codes: 0 done, 1 error, 2 wrong usage, 3 the data directory is in use, 5 something is \
                  damaged."
)]
pub struct CompactArgs {
    /// The data directory, if not given by --data-dir, and the databases; all if none is named.
    #[arg(value_name = "DATA_DIR [DB]")]
    pub target: Vec<String>,
    /// Write JSON objects, one to a line.
    #[arg(long)]
    pub json: bool,
}
