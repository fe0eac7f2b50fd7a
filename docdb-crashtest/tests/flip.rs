//! The part `flip`: a short run is green, and has some of everything.

mod common;

use common::{figure, run};
use docdb_crashtest::{Flip, Scale};

#[test]
fn damage_is_refused_or_harmless() {
    let outcome = run(&Flip, Scale::Smoke, Some(4_000), 20);
    assert!(outcome.violations.is_empty());
    assert!(outcome.cases >= 4_000);
    for fate in ["exact", "documents unreadable", "refused"] {
        assert!(figure(&outcome, fate) > 50.0, "{fate}");
    }
}

#[test]
#[ignore = "for release builds"]
fn all_of_a_smoke_test() {
    let outcome = run(&Flip, Scale::Smoke, None, 20);
    assert!(outcome.violations.is_empty());
    assert_eq!(outcome.cases as f64, figure(&outcome, "of"));
}

#[test]
#[ignore = "for release builds; the seconds stand in DOCDB_SECONDS"]
fn a_soak_test() {
    let outcome = common::soak(&Flip);
    assert!(outcome.violations.is_empty());
}
