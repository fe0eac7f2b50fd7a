//! The checkers of histories see the engine's planted bugs, knowing nothing of the engine.
#![cfg(all(feature = "planted-bugs", debug_assertions))]
#![allow(clippy::unwrap_used, reason = "a test")]

use docdb_engine::planted::{Bug, plant};
use docdb_history::{
    Anomaly, DocumentRules, DocumentShape, DocumentWorkload, ListHistory, ListRules, Report, Txn,
    check_documents, check_lists,
};

use docdb_crashtest::histories::{Engine, lists, run, run_on, skew};

/// One test, as a bug is planted in the whole process.
#[test]
fn every_bug_that_histories_can_show_is_seen() {
    for (bug, in_lists, in_documents) in [
        (
            Bug::FirstCommitterIgnored,
            Anomaly::LostUpdate,
            Anomaly::FirstCommitterLost,
        ),
        (
            Bug::ReadSetUnchecked,
            Anomaly::WriteSkew,
            Anomaly::ReadSetChanged,
        ),
        (Bug::BegunBehind, Anomaly::StaleRead, Anomaly::StaleRead),
    ] {
        plant(Some(bug));
        let seen = judge_lists(bug);
        assert!(seen.forbidden(in_lists) > 0, "{bug:?} in lists: {seen}");
        let seen = judge_documents(bug);
        assert!(
            seen.forbidden(in_documents) > 0,
            "{bug:?} in documents: {seen}"
        );
    }
    // Here the engine refuses before it could answer wrong, which no run takes for an abort.
    plant(Some(Bug::CollectedThoughHeld));
    let broken = run::<ListHistory>(1, &lists(0)).expect_err("a snapshot is gone");
    assert!(broken.what.contains("SnapshotTooOld"), "{broken}");
    plant(None);
    assert!(judge_lists(Bug::FirstCommitterIgnored).is_ok());
    assert!(judge_documents(Bug::FirstCommitterIgnored).is_ok());
}

fn judge_lists(bug: Bug) -> Report {
    let history: ListHistory = match bug {
        Bug::ReadSetUnchecked => run_on(&engine(), 1, &skew(100)).unwrap(),
        _ => run_on(&engine(), 1, &lists(0)).unwrap(),
    };
    check_lists(&history, ListRules::default())
}

fn judge_documents(bug: Bug) -> Report {
    let mut shape = DocumentShape {
        serializable_percent: 50,
        ..DocumentShape::default()
    };
    if bug == Bug::FirstCommitterIgnored {
        // Who loses to a deletion finds nothing to delete at its commit, and is refused anyway.
        shape.delete_percent = 0;
    }
    let workload = DocumentWorkload::new(shape);
    let history: Vec<Txn> = run_on(&engine(), 1, &workload).unwrap();
    check_documents(&history, DocumentRules::default())
}

/// The engine notices in places that a snapshot is not held, and that is not what is tested.
fn engine() -> Engine {
    let mut engine = Engine::simulated().unwrap();
    engine.forgives_lost_snapshots = true;
    engine
}
