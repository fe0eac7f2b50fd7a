//! Runs a part, and shows what it found.

#![allow(dead_code, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::fmt;

use docdb_crashtest::{Budget, Job, Outcome, Part, Progress, Scale};

struct Quiet;

impl Progress for Quiet {
    fn at(&self, _: u64, _: Option<u64>, _: &dyn fmt::Display) {}
}

pub(crate) fn job(scale: Scale, cases: Option<u64>) -> Job<'static> {
    let budget = Budget { time: None, cases };
    let mut job = Job::new(7, scale, budget, &Quiet);
    job.threads = 2;
    job
}

/// Runs it with seed 7.
pub(crate) fn run(
    part: &dyn Part,
    scale: Scale,
    cases: Option<u64>,
    violations_max: usize,
) -> Outcome {
    let mut job = job(scale, cases);
    job.violations_max = violations_max;
    let outcome = part.run(&job).unwrap();
    show(&job, &outcome);
    outcome
}

pub(crate) fn show(job: &Job<'_>, outcome: &Outcome) {
    println!("{} {}, {:?}", outcome.cases, outcome.unit, job.elapsed());
    for figure in &outcome.figures {
        println!("{} {}", figure.name, figure.value);
    }
    for (label, _, y) in outcome.charts.iter().flat_map(|chart| &chart.points) {
        println!("  {label}: {y}");
    }
    for violation in &outcome.violations {
        println!("{}: {}", violation.place, violation.what);
        for line in &violation.operations {
            println!("    {line}");
        }
    }
}

pub(crate) fn figure(outcome: &Outcome, name: &str) -> f64 {
    let found = outcome.figures.iter().find(|figure| figure.name == name);
    found.unwrap().value
}

/// Runs it at its most thorough, for so many seconds as the environment says.
pub(crate) fn soak(part: &dyn Part) -> Outcome {
    let seconds = std::env::var("DOCDB_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut job = job(Scale::Soak, None);
    job.budget.time = Some(std::time::Duration::from_secs(seconds));
    job.violations_max = 20;
    let outcome = part.run(&job).unwrap();
    show(&job, &outcome);
    outcome
}
