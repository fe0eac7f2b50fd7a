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
    /// Try to break a database in every way that we know, and judge what is left
    ///
    /// Parts: sim (losses of power at every operation, on a simulated disk), io (every operation
    /// fails), flip (every byte is damaged), bounds (writers that are faster than the disk), kill (a real server under load is killed, on the disk of
    /// --dir), history (transactions judged by checkers of isolation, with kills in between), planted
    /// (bugs are planted on purpose, and the other parts must catch them).
    ///
    /// Ends with a table, and for each broken promise the one command that does it again. Without
    /// arguments it takes a few minutes. A kill is no loss of power: what the kernel holds survives it.
    /// That is what the simulated disk is for. More: docs/testing.md, "The crash test".
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
