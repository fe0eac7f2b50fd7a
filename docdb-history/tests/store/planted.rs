//! Every known way to be wrong is caught within a bounded number of transactions.

use std::ops::ControlFlow;

use crate::reference::{BUGS, Bug, Store};
use docdb_history::{
    Anomaly, DocumentRules, DocumentShape, DocumentWorkload, ListHistory, ListRules, ListShape,
    ListWorkload, Progress, Report, RunOptions, SkewShape, SkewWorkload, Txn, Workload,
    check_documents, check_lists, run_interleaved,
};

/// So many transactions must be enough.
const TXNS: u64 = 1_000;

fn quiet(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn options(seed: u64) -> RunOptions {
    RunOptions {
        seed,
        txns: TXNS,
        ..RunOptions::default()
    }
}

fn lists(bug: Bug, seed: u64, workload: &dyn Workload) -> Report {
    let store = Store::new(Some(bug));
    let history: ListHistory =
        run_interleaved(&store, workload, options(seed), &quiet).expect("no broken call");
    check_lists(&history, ListRules::default())
}

fn documents(bug: Bug, seed: u64) -> Report {
    let workload = DocumentWorkload::new(DocumentShape {
        serializable_percent: 50,
        ..DocumentShape::default()
    });
    let store = Store::new(Some(bug));
    let history: Vec<Txn> =
        run_interleaved(&store, &workload, options(seed), &quiet).expect("no broken call");
    check_documents(&history, DocumentRules::default())
}

/// What the black box must see of each bug, if it can see it at all.
fn in_lists(bug: Bug) -> Option<Anomaly> {
    match bug {
        Bug::FirstCommitterWinsOff => Some(Anomaly::LostUpdate),
        Bug::DirtyRead => Some(Anomaly::G1a),
        Bug::StaleSnapshot | Bug::HalfVisible => Some(Anomaly::StaleRead),
        Bug::ReadSetUnvalidated => Some(Anomaly::WriteSkew),
        Bug::LostCommit => Some(Anomaly::LostAppend),
        Bug::NeededVersionCollected => Some(Anomaly::Internal),
        Bug::ReadsLatest => Some(Anomaly::GSingle),
        Bug::RollbackKeeps => Some(Anomaly::G1a),
        Bug::OwnWritesUnseen => Some(Anomaly::Internal),
        // Lists have no ranges, and no versions are looked at.
        Bug::RangesUnvalidated | Bug::VersionReused => None,
    }
}

/// What the white box must see of each bug.
fn in_documents(bug: Bug) -> Anomaly {
    match bug {
        Bug::FirstCommitterWinsOff => Anomaly::FirstCommitterLost,
        Bug::DirtyRead
        | Bug::StaleSnapshot
        | Bug::HalfVisible
        | Bug::LostCommit
        | Bug::NeededVersionCollected
        | Bug::ReadsLatest
        | Bug::RollbackKeeps
        | Bug::OwnWritesUnseen => Anomaly::WrongRead,
        Bug::ReadSetUnvalidated | Bug::RangesUnvalidated => Anomaly::ReadSetChanged,
        Bug::VersionReused => Anomaly::DuplicateCommit,
    }
}

#[test]
fn the_black_box_catches_what_lists_can_show() {
    for bug in BUGS {
        let Some(expected) = in_lists(bug) else {
            continue;
        };
        // A list that is appended to has been read, so validation would do for the first committer.
        let serializable_percent = match bug {
            Bug::ReadSetUnvalidated => 100,
            _ => 25,
        };
        for seed in 1..=5 {
            let workload = ListWorkload::new(ListShape {
                serializable_percent,
                ..ListShape::default()
            });
            let report = lists(bug, seed, &workload);
            assert!(
                report.forbidden(expected) > 0,
                "{bug:?}, seed {seed}: {report}"
            );
        }
    }
}

#[test]
fn the_black_box_catches_skew_of_serializable_transactions() {
    for seed in 1..=5 {
        let workload = SkewWorkload::new(SkewShape {
            serializable_percent: 100,
            ..SkewShape::default()
        });
        let report = lists(Bug::ReadSetUnvalidated, seed, &workload);
        assert!(report.forbidden(Anomaly::WriteSkew) > 10, "{report}");
        assert_eq!(report.allowed(Anomaly::WriteSkew), 0, "{report}");
    }
}

#[test]
fn the_white_box_catches_everything() {
    for bug in BUGS {
        for seed in 1..=5 {
            let report = documents(bug, seed);
            let expected = in_documents(bug);
            assert!(
                report.forbidden(expected) > 0,
                "{bug:?}, seed {seed}: {report}"
            );
        }
    }
}

/// Scans see what reads see.
#[test]
fn the_white_box_catches_wrong_scans() {
    for bug in [
        Bug::DirtyRead,
        Bug::StaleSnapshot,
        Bug::HalfVisible,
        Bug::LostCommit,
        Bug::NeededVersionCollected,
        Bug::ReadsLatest,
        Bug::RollbackKeeps,
        Bug::OwnWritesUnseen,
    ] {
        let report = documents(bug, 1);
        assert!(
            report.forbidden(Anomaly::WrongScan) > 0,
            "{bug:?}: {report}"
        );
    }
}

/// A store that tells no versions is judged by lists alone.
#[test]
fn the_black_box_needs_no_versions() {
    let mut store = Store::new(Some(Bug::ReadsLatest));
    store.secretive = true;
    let workload = ListWorkload::new(ListShape::default());
    let history: ListHistory =
        run_interleaved(&store, &workload, options(1), &quiet).expect("no broken call");
    let report = check_lists(&history, ListRules::default());
    assert!(report.forbidden(Anomaly::GSingle) > 0, "{report}");
}
