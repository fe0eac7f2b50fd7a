//! Development tasks of DocDB: `cargo xtask tidy`, and others. `cargo xtask help` lists them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod root;
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
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.task {
        Task::Tidy(options) => tidy::run(&options),
    };
    match result {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
