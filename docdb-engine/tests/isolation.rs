//! What transactions promise one another, judged from the outside: random transactions run at the
//! same time, and two checkers that know nothing of the engine look at what they saw.

#![allow(clippy::unwrap_used, reason = "a test")]

use docdb_engine::DbOptions;
use docdb_history::{
    Anomaly, DocumentRules, ListHistory, ListRules, Report, RunOptions, Txn, check_documents,
    check_lists, run_threads,
};

use docdb_crashtest::histories::{Engine, documents, lists, quiet, run, skew};

/// Right, and there was something to be wrong about.
#[track_caller]
fn right(report: &Report) {
    assert!(report.is_ok(), "{report}");
    let stats = &report.stats;
    // Of commits that the power failed under, nobody knows the outcome unless it is seen.
    assert_eq!(stats.unjudged, 0, "{report}");
    assert!(stats.open * 20 < stats.committed, "{report}");
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

/// Everything small, so that there is always something to do in the background.
fn small() -> DbOptions {
    let mut small = DbOptions::default();
    small.segment_bytes_min = 64 << 10;
    small.segment_bytes_max = 256 << 10;
    small.data_file_bytes_max = 128 << 10;
    small.checkpoint_wal_bytes = 1 << 20;
    small.runs_max = 2;
    small
}

/// On the real disk, with the engine's own threads beside, which is closed and opened in between.
#[test]
fn threads_show_no_anomaly() {
    let temp = tempfile::tempdir().unwrap();
    let options = |txns| RunOptions {
        txns,
        ..RunOptions::default()
    };
    let engine = Engine::reopened(&temp.path().join("lists"), &small(), 5_000).unwrap();
    let history: ListHistory = run_threads(&engine, &lists(50), options(20_000), &quiet).unwrap();
    let report = check_lists(&history, ListRules::default());
    assert!(report.is_ok(), "{report}");
    engine.db().close().unwrap();

    let engine = Engine::reopened(&temp.path().join("documents"), &small(), 1_500).unwrap();
    let history: Vec<Txn> = run_threads(&engine, &documents(50), options(4_000), &quiet).unwrap();
    let report = check_documents(&history, DocumentRules::default());
    assert!(report.is_ok(), "{report}");
    engine.db().close().unwrap();
}

/// On demand:
/// `cargo test --release -p docdb-engine --test isolation -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn two_million_lists_show_no_anomaly() {
    let temp = tempfile::tempdir().unwrap();
    let mut options = RunOptions {
        processes: 32,
        txns: 2_000_000,
        ..RunOptions::default()
    };
    if let Ok(txns) = std::env::var("DOCDB_HISTORY_TXNS") {
        options.txns = txns.parse().unwrap();
    }
    let tell = |progress: docdb_history::Progress| {
        let ended = progress.committed + progress.aborted + progress.unknown;
        if ended.is_multiple_of(1 << 16) {
            eprintln!("{ended} of {}: {progress:?}", options.txns);
        }
        std::ops::ControlFlow::Continue(())
    };
    let engine = Engine::reopened(temp.path(), &small(), 100_000).unwrap();
    let history: ListHistory = run_threads(&engine, &lists(50), options, &tell).unwrap();
    let report = check_lists(&history, ListRules::default());
    eprintln!("{report}");
    assert!(report.is_ok(), "{report}");
    let stats = engine.db().stats();
    eprintln!("since it was opened last: {stats:?}");
    engine.db().close().unwrap();
}
