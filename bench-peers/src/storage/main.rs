//! Runs the same work on DocDB's engine, on other embedded stores and on the bare disk, in
//! alternation, and prints a line of JSON for every run. `cargo xtask bench storage` builds it, runs
//! it and makes a table of it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use docdb_bench_peers::measure::Failure;
use serde_json::{Map, Value, json};

mod case;
mod disk;
mod document;
mod options;
mod peers;
mod plan;
mod rng;
mod runner;
mod store;
mod task;
mod work;

use options::Options;
use runner::Runner;
use store::SUBJECTS;
use task::Task;

/// What a process of its own is started with, before its task.
const TASK: &str = "--task";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [name, task] if name == TASK => run_task(task),
        _ => Options::parse(arguments.into_iter()).and_then(|options| run(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does the work of one run and prints what was measured.
fn run_task(task: &str) -> Result<(), Failure> {
    let task: Task = serde_json::from_str(task)?;
    let sample = work::run(&task)?;
    println!("{}", Value::from(sample.into_map()));
    Ok(())
}

fn run(options: &Options) -> Result<(), Failure> {
    let mut settings: Map<String, Value> = SUBJECTS
        .iter()
        .map(|subject| (subject.name.to_owned(), subject.settings.into()))
        .collect();
    settings.insert(
        store::DEVICE.to_owned(),
        "one thread; T2, T3, T14: pwrite of the commit's bytes (at least 512) and fdatasync into \
         blocks written before; T4, T5, T11: pwrite of 412 bytes; T7: write of each batch, fdatasync \
         at the end; T8: pread of the same documents, as many threads; T9: pread of 1 MiB"
            .into(),
    );
    println!(
        "{}",
        json!({
            "settings": settings,
            "document_bytes": document::BYTES,
            "scale": options.scale.name,
            "repeats": options.repeats,
            "seconds": options.seconds,
        })
    );
    plan::run(&Runner::new(options)?)
}
