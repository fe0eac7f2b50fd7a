//! Short runs of `sim`: nothing is broken, and the same seed gives the same run.

use std::fmt;

use docdb_crashtest::{Budget, Job, Outcome, Part, Progress, Scale, Sim};

struct Quiet;

impl Progress for Quiet {
    fn at(&self, _done: u64, _of: Option<u64>, _what: &dyn fmt::Display) {}
}

fn run(seed: u64, cases: u64) -> Outcome {
    let budget = Budget {
        cases: Some(cases),
        time: None,
    };
    let job = Job::new(seed, Scale::Smoke, budget, &Quiet);
    let outcome = Sim.run(&job).expect("it works");
    assert_eq!(outcome.violations, [], "seed {seed}");
    outcome
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (first, again) = (run(7, 1_500), run(7, 1_500));
    assert_eq!(first, again);
    assert!(first.cases >= 1_500, "{first:?}");
    assert!(first.trace_hash.is_some());
    assert_ne!(run(8, 1_500).trace_hash, first.trace_hash);
}

/// What is printed as the place of a case can be done again; what is none is refused.
#[test]
fn a_place_is_done_again() {
    let job = Job::new(1, Scale::Smoke, Budget::default(), &Quiet);
    for place in [
        "merge/os/60:none",
        "life/0x5/60:all/3:none",
        "pool/0x3/40:kill",
        "long/0x2",
    ] {
        let outcome = Sim.replay(&job, place).expect(place);
        assert_eq!((outcome.cases, outcome.violations.len()), (1, 0), "{place}");
    }
    assert!(Sim.replay(&job, "life/1/nothing").is_err());
    assert!(Sim.replay(&job, "life/1/1000000:none").is_err());
}
