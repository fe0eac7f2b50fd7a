//! What transactions promise one another, judged from the outside: random transactions run at the
//! same time, and two checkers that know nothing of the engine look at what they saw.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
mod histories;

use docdb_engine::{Db, DbOptions};
use docdb_history::{
    Anomaly, DocumentRules, ListHistory, ListRules, Report, RunOptions, Txn, check_documents,
    check_lists, run_threads,
};

use histories::{Engine, documents, lists, quiet, run, skew};

/// Right, and there was something to be wrong about.
#[track_caller]
fn right(report: &Report) {
    assert!(report.is_ok(), "{report}");
    let stats = &report.stats;
    assert_eq!((stats.open, stats.unjudged), (0, 0), "{report}");
    assert!(stats.committed > 300 && stats.aborted > 100, "{report}");
    assert!(stats.reads > 1_000 && stats.writes > 300, "{report}");
}

#[test]
fn lists_show_no_anomaly() {
    for serializable_percent in [0, 50, 100] {
        for seed in 1..=3 {
            let history: ListHistory = run(seed, &lists(serializable_percent)).unwrap();
            right(&check_lists(&history, ListRules::default()));
        }
    }
}

#[test]
fn documents_are_those_of_their_snapshot() {
    for serializable_percent in [0, 50, 100] {
        for seed in 1..=3 {
            let history: Vec<Txn> = run(seed, &documents(serializable_percent)).unwrap();
            right(&check_documents(&history, DocumentRules::default()));
        }
    }
}

#[test]
fn write_skew_is_for_snapshots_only() {
    let run = |serializable_percent| {
        let history: ListHistory = run(1, &skew(serializable_percent)).unwrap();
        check_lists(&history, ListRules::default())
    };
    let snapshot = run(0);
    assert!(snapshot.is_ok(), "{snapshot}");
    assert!(snapshot.allowed(Anomaly::WriteSkew) > 20, "{snapshot}");
    let mixed = run(50);
    assert!(mixed.is_ok() && !mixed.is_blind(), "{mixed}");
    let serializable = run(100);
    assert!(
        serializable.is_ok() && serializable.is_blind(),
        "{serializable}"
    );
    assert!(serializable.stats.committed > 200, "{serializable}");
}

/// On the real disk, with the engine's own threads beside.
#[test]
fn threads_show_no_anomaly() {
    let temp = tempfile::tempdir().unwrap();
    let mut small = DbOptions::default();
    small.segment_bytes_min = 64 << 10;
    small.segment_bytes_max = 256 << 10;
    small.data_file_bytes_max = 128 << 10;
    small.runs_max = 2;
    let engine = |name| Engine::of(Db::open_with(temp.path().join(name), small.clone()).unwrap());
    let options = RunOptions {
        txns: 4_000,
        ..RunOptions::default()
    };
    let database = engine("lists");
    let history: ListHistory = run_threads(&database, &lists(50), options, &quiet).unwrap();
    let report = check_lists(&history, ListRules::default());
    assert!(report.is_ok(), "{report}");
    database.db.close().unwrap();

    let database = engine("documents");
    let history: Vec<Txn> = run_threads(&database, &documents(50), options, &quiet).unwrap();
    let report = check_documents(&history, DocumentRules::default());
    assert!(report.is_ok(), "{report}");
    database.db.close().unwrap();
}
