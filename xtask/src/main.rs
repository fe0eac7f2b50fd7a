//! Development tasks of DocDB: `cargo xtask tidy`, and others. `cargo xtask help` lists them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod binaries;
mod crashtest;
mod demo;
mod rng;
mod root;
mod server;
mod tidy;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks of DocDB", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check what the compiler cannot: layers, file effects, licences, links, pages kept in step
    Tidy(tidy::Options),
    /// Kill a real server again and again while clients write, and check that it kept every promise
    ///
    /// Starts docdb-server, lets clients write through its socket, ends it with SIGKILL at random
    /// moments (some within a checkpoint, some during the start that follows; a few with SIGTERM),
    /// starts it again and reads everything back: by id, by scan, by count. Every acknowledged write
    /// must be there with its version, every unanswered commit whole or not at all, and nothing else.
    ///
    /// A kill is not a power loss: what the kernel holds survives it. Power loss is simulated in the
    /// tests of the storage crates, at every single operation on the disk.
    Crashtest(crashtest::Options),
    /// Measure commits, reads and a mix, beside what the same disk allows in the same run
    Bench(bench::Options),
    /// Show what DocDB does: import, use, kill, recover, with figures
    ///
    /// Needs no arguments. Data of an earlier demo is removed.
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.task {
        Task::Tidy(options) => tidy::run(&options),
        Task::Crashtest(options) => crashtest::run(options),
        Task::Bench(options) => bench::run(options),
        Task::Demo(options) => demo::run(options),
    };
    match result {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
