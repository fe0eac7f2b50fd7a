//! Runs one part without the command line of `cargo xtask crashtest`: a development aid.
//!
//! `cargo run --release -p docdb-crashtest --example run -- --seconds 60 --seed 1 [--plant NAME]
//! [--replay PLACE] [--soak] [--threads 2]`

use std::fmt;
use std::time::Duration;

use docdb_crashtest::{Budget, Job, Part, Progress, Scale, Sim, planted};

struct Quiet;

impl Progress for Quiet {
    fn at(&self, _done: u64, _of: Option<u64>, _what: &dyn fmt::Display) {}
}

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).cloned()
    };
    let number = |name: &str| value(name).and_then(|text| text.parse::<u64>().ok());
    if let Some(name) = value("--plant") {
        planted::plant(&name)?;
    }
    let scale = if args.iter().any(|arg| arg == "--soak") {
        Scale::Soak
    } else {
        Scale::Smoke
    };
    let budget = Budget {
        time: number("--seconds").map(Duration::from_secs),
        cases: number("--cases"),
    };
    let mut job = Job::new(number("--seed").unwrap_or(1), scale, budget, &Quiet);
    job.threads = number("--threads").unwrap_or(1) as usize;
    let outcome = match value("--replay") {
        Some(place) => Sim.replay(&job, &place)?,
        None => Sim.run(&job)?,
    };
    println!(
        "{} {} in {:.1?}",
        outcome.cases,
        outcome.unit,
        job.elapsed()
    );
    for figure in &outcome.figures {
        println!("  {}: {} {}", figure.name, figure.value, figure.unit);
    }
    println!("  trace {:x?}", outcome.trace_hash);
    if args.iter().any(|arg| arg == "--charts") {
        for chart in &outcome.charts {
            println!("{}: {:?}", chart.title, chart.points);
        }
    }
    for violation in &outcome.violations {
        println!("VIOLATION {}\n  at {}", violation.what, violation.place);
        for operation in &violation.operations {
            println!("    {operation}");
        }
    }
    Ok(())
}
