//! The command line, the environment, and what they set.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use docdb_engine::{Compression, Durability};

use crate::limits::DRAIN_TIMEOUT;
use crate::offline;
use crate::restore::RestoreArgs;

/// The DocDB server: many JSON document databases over a Unix socket.
///
/// Every option can also be set by the environment variable that its help names; the command line
/// comes first.
#[derive(Debug, Parser)]
#[command(
    name = "docdb-server",
    version,
    after_help = "Exit codes: 0 stopped in good order, 1 error, 2 wrong usage, 3 the data directory \
                  or the socket is in use, 5 stored data is corrupt."
)]
pub struct Cli {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of `serve`.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Where and how the log is written.
    #[command(flatten)]
    pub log: LogOptions,
}

/// What the binary does.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Serve a data directory until SIGTERM or SIGINT.
    Serve,
    /// Make a data directory of a backup; the backup is verified first, and is not changed.
    Restore(RestoreArgs),
    /// Verify a data directory that no server owns; change nothing.
    Check(offline::CheckArgs),
    /// Make a new data directory of what verifies of one that is damaged, which is not changed.
    Salvage(offline::SalvageArgs),
    /// Write all documents of a data directory that no server owns, one JSON object to a line.
    Dump(offline::DumpArgs),
    /// Give back the space of what is superseded or deleted in a data directory that no server owns.
    Compact(offline::CompactArgs),
}

/// The options of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Directory of the databases; made if it does not exist.
    #[arg(
        long,
        global = true,
        env = "DOCDB_DATA_DIR",
        default_value = "./data",
        value_name = "DIR"
    )]
    pub data_dir: PathBuf,
    /// Unix socket to listen on. A stale one is replaced, a live one is refused.
    #[arg(
        long,
        global = true,
        env = "DOCDB_SOCKET",
        default_value = "/tmp/docdb.sock",
        value_name = "PATH"
    )]
    pub socket: PathBuf,
    /// Permissions of the socket, octal.
    #[arg(
        long,
        global = true,
        env = "DOCDB_SOCKET_MODE",
        default_value = "0600",
        value_name = "MODE",
        value_parser = parse_mode
    )]
    pub socket_mode: u32,
    /// Durability mode of databases that are created without one.
    #[arg(
        long,
        global = true,
        env = "DOCDB_DURABILITY",
        default_value = "full",
        value_name = "MODE",
        value_parser = str::parse::<Durability>
    )]
    pub durability: Durability,
    /// What the databases' logs do with commits of 4 KiB and more: none, or lz4 in a build with the
    /// feature `lz4`.
    #[arg(
        long,
        global = true,
        env = "DOCDB_WAL_COMPRESSION",
        default_value = "none",
        value_name = "METHOD",
        value_parser = str::parse::<Compression>
    )]
    pub wal_compression: Compression,
    /// Checkpoints that each database keeps: the newest and those before it.
    #[arg(
        long,
        global = true,
        env = "DOCDB_KEEP_CHECKPOINTS",
        default_value_t = 1,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub keep_checkpoints: u32,
    /// Budget in bytes for the files of each database's log. Writers are slowed down near it.
    #[arg(
        long,
        global = true,
        env = "DOCDB_WAL_BYTES_MAX",
        default_value_t = 256 << 20,
        value_name = "BYTES",
        value_parser = clap::value_parser!(u64).range(128 << 10..)
    )]
    pub wal_bytes_max: u64,
    /// Seconds after its opening, and after each pass, at which a database begins to verify its files;
    /// 0: never.
    #[arg(
        long,
        global = true,
        env = "DOCDB_SCRUB_INTERVAL",
        default_value_t = 3600,
        value_name = "SECONDS"
    )]
    pub scrub_interval: u32,
    /// The most that all databases together read a second for that, in bytes.
    #[arg(
        long,
        global = true,
        env = "DOCDB_SCRUB_BYTES_PER_SECOND",
        default_value_t = 16 << 20,
        value_name = "BYTES",
        value_parser = clap::value_parser!(u64).range(1 << 10..)
    )]
    pub scrub_bytes_per_second: u64,
    /// Most connections at a time; further clients wait to be accepted.
    #[arg(
        long,
        global = true,
        env = "DOCDB_MAX_CONNECTIONS",
        default_value_t = 4096,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub max_connections: u32,
}

/// Where and how the log is written: always to stderr.
#[derive(Debug, Clone, Copy, Args)]
pub struct LogOptions {
    /// One line of text or one JSON object for each event.
    #[arg(long, global = true, env = "DOCDB_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// The least important events that are logged.
    #[arg(long, global = true, env = "DOCDB_LOG_LEVEL", default_value = "info")]
    pub log_level: LogLevel,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object on one line.
    Json,
}

/// How important an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What an operator must look at.
    Error,
    /// What an operator may want to look at.
    Warn,
    /// Starting, stopping, databases opened and closed.
    Info,
    /// Connections.
    Debug,
    /// Everything.
    Trace,
}

/// What a server needs to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Directory of the databases.
    pub data_dir: PathBuf,
    /// Unix socket to listen on.
    pub socket: PathBuf,
    /// Permissions of the socket.
    pub socket_mode: u32,
    /// Durability mode of databases that are created without one.
    pub durability: Durability,
    /// Whether the databases' logs compress.
    pub wal_compression: Compression,
    /// Checkpoints that each database keeps.
    pub keep_checkpoints: u32,
    /// Budget in bytes for the files of each database's log.
    pub wal_bytes_max: u64,
    /// How long after its opening, and after each pass, a database begins to verify its files; zero for
    /// never.
    pub scrub_interval: Duration,
    /// The most that all databases together read a second for that, in bytes.
    pub scrub_bytes_per_second: u64,
    /// Most connections at a time.
    pub connections_max: u32,
    /// How long stopping may take.
    pub drain_timeout: Duration,
}

impl Config {
    /// The defaults, with this data directory and socket.
    pub fn new(data_dir: impl Into<PathBuf>, socket: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            socket: socket.into(),
            socket_mode: 0o600,
            durability: Durability::default(),
            wal_compression: Compression::default(),
            keep_checkpoints: 1,
            wal_bytes_max: 256 << 20,
            scrub_interval: Duration::from_secs(3600),
            scrub_bytes_per_second: 16 << 20,
            connections_max: 4096,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

impl From<ServeArgs> for Config {
    fn from(args: ServeArgs) -> Self {
        Self {
            socket_mode: args.socket_mode,
            durability: args.durability,
            wal_compression: args.wal_compression,
            keep_checkpoints: args.keep_checkpoints,
            wal_bytes_max: args.wal_bytes_max,
            scrub_interval: Duration::from_secs(args.scrub_interval.into()),
            scrub_bytes_per_second: args.scrub_bytes_per_second,
            connections_max: args.max_connections,
            ..Config::new(args.data_dir, args.socket)
        }
    }
}

fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("not an octal mode between 0000 and 0777".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("docdb-server").chain(args.iter().copied()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_go_before_or_after_the_verb() {
        for args in [
            &[
                "--data-dir",
                "/d",
                "--socket-mode",
                "0660",
                "--log-format",
                "json",
            ][..],
            &[
                "serve",
                "--data-dir",
                "/d",
                "--socket-mode",
                "660",
                "--log-format",
                "json",
            ],
            &[
                "--data-dir",
                "/d",
                "serve",
                "--socket-mode",
                "0660",
                "--log-format",
                "json",
            ],
        ] {
            let cli = parse(args).unwrap();
            assert_eq!(cli.log.log_format, LogFormat::Json);
            let config = Config::from(cli.serve);
            assert_eq!(config.data_dir, PathBuf::from("/d"));
            assert_eq!(config.socket_mode, 0o660);
        }
    }

    #[test]
    fn wrong_usage_is_refused() {
        for args in [
            &["--durability", "sometimes"][..],
            &["--durability", "none"],
            &["--wal-compression", "zip"],
            &["--socket-mode", "9"],
            &["--socket-mode", "1777"],
            &["--wal-bytes-max", "1000"],
            &["--keep-checkpoints", "0"],
            &["--max-connections", "0"],
            &["--no-such-option"],
            &["no-such-verb"],
        ] {
            assert_eq!(parse(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }

    #[cfg(feature = "lz4")]
    #[test]
    fn a_log_may_compress() {
        let cli = parse(&["--wal-compression", "lz4"]).unwrap();
        let config = Config::from(cli.serve);
        assert_eq!(config.wal_compression, Compression::Lz4);
    }

    #[cfg(not(feature = "lz4"))]
    #[test]
    fn a_build_without_lz4_says_so() {
        let error = parse(&["--wal-compression", "lz4"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("feature `lz4`"), "{error}");
    }
}
