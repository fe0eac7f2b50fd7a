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

#[test]
#[ignore = "with the place of a case in DOCDB_PLACE"]
fn replay() {
    use docdb_crashtest::Part;

    let Ok(place) = std::env::var("DOCDB_PLACE") else {
        return;
    };
    let outcome = Io.replay(&common::job(Scale::Smoke, None), &place).unwrap();
    for line in outcome.violations.iter().flat_map(|v| &v.operations) {
        println!("    {line}");
    }
}

#[test]
#[ignore = "for release builds; the seconds stand in DOCDB_SECONDS"]
fn a_soak_test() {
    let outcome = common::soak(&Io);
    assert!(outcome.violations.is_empty());
}
