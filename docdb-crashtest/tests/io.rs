//! The part `io`: a short run is green, and has some of everything.

mod common;

use common::{figure, run};
use docdb_crashtest::{Io, Scale};

#[test]
fn failed_calls_are_told_and_survived() {
    let outcome = run(&Io, Scale::Smoke, Some(600), 20);
    assert!(outcome.violations.is_empty());
    assert!(outcome.cases >= 600);
    for fate in [
        "went on",
        "refused, typed",
        "poisoned",
        "did not open, typed",
    ] {
        assert!(figure(&outcome, fate) > 10.0, "{fate}");
    }
}

#[test]
#[ignore = "for release builds"]
fn all_of_a_smoke_test() {
    let outcome = run(&Io, Scale::Smoke, None, 20);
    assert!(outcome.violations.is_empty());
    assert_eq!(outcome.cases as f64, figure(&outcome, "of"));
}
