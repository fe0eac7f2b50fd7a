//! The part `flip`: short runs are green, and the same cases whatever the threads.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt;
use std::time::Instant;

use docdb_crashtest::{Budget, Flip, Job, Outcome, Part, Progress, Scale};

struct Quiet;

impl Progress for Quiet {
    fn at(&self, _: u64, _: Option<u64>, _: &dyn fmt::Display) {}
}

fn run(threads: usize, scale: Scale, cases: Option<u64>) -> Outcome {
    let budget = Budget { time: None, cases };
    let mut job = Job::new(7, scale, budget, &Quiet);
    job.threads = threads;
    job.violations_max = 20;
    let began = Instant::now();
    let outcome = Flip.run(&job).unwrap();
    println!("{:.1} s", began.elapsed().as_secs_f64());
    for figure in &outcome.figures {
        println!("{} {}", figure.name, figure.value);
    }
    for (label, _, y) in &outcome.charts[0].points {
        println!("  {label}: {y}");
    }
    for violation in &outcome.violations {
        println!("{}: {}", violation.place, violation.what);
    }
    outcome
}

fn figure(outcome: &Outcome, name: &str) -> f64 {
    let found = outcome.figures.iter().find(|figure| figure.name == name);
    found.unwrap().value
}

#[test]
fn damage_is_refused_or_harmless() {
    let outcome = run(2, Scale::Smoke, Some(4_000));
    assert!(outcome.violations.is_empty());
    assert!(outcome.cases >= 4_000);
    for fate in ["exact", "documents unreadable", "refused"] {
        assert!(figure(&outcome, fate) > 50.0, "{fate}");
    }
}

#[test]
#[ignore = "half a minute in a release build"]
fn all_of_a_smoke_test() {
    let outcome = run(2, Scale::Smoke, None);
    assert!(outcome.violations.is_empty());
    assert_eq!(outcome.cases as f64, figure(&outcome, "of"));
}
