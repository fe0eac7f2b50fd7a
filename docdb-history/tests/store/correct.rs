//! Histories of a store that is right pass both checkers, whatever the level, the threads, the
//! answers that get lost.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::reference::Store;
use docdb_history::{
    Anomaly, DocumentRules, DocumentShape, DocumentWorkload, History, ListHistory, ListRules,
    ListShape, ListWorkload, Op, Outcome, Progress, Report, RunOptions, SkewShape, SkewWorkload,
    Txn, check_documents, check_lists, read_ndjson, run_interleaved, run_threads, write_ndjson,
};

fn quiet(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn options(seed: u64, txns: u64) -> RunOptions {
    RunOptions {
        seed,
        txns,
        ..RunOptions::default()
    }
}

#[track_caller]
fn right(report: &Report) {
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.stats.unjudged, 0, "{report}");
    assert!(report.stats.committed > 500, "{report}");
    assert!(report.stats.aborted > 100, "{report}");
}

fn lists(store: &Store, seed: u64, serializable_percent: u32) -> ListHistory {
    let workload = ListWorkload::new(ListShape {
        serializable_percent,
        ..ListShape::default()
    });
    run_interleaved(store, &workload, options(seed, 3_000), &quiet).expect("no broken call")
}

fn documents(store: &Store, seed: u64, serializable_percent: u32) -> Vec<Txn> {
    let workload = DocumentWorkload::new(DocumentShape {
        serializable_percent,
        ..DocumentShape::default()
    });
    run_interleaved(store, &workload, options(seed, 3_000), &quiet).expect("no broken call")
}

#[test]
fn lists_pass_at_every_level() {
    for serializable_percent in [0, 50, 100] {
        for seed in 1..=5 {
            let history = lists(&Store::new(None), seed, serializable_percent);
            let report = check_lists(&history, ListRules::default());
            right(&report);
            assert!(
                report.stats.reads > 3_000 && report.stats.edges > 3_000,
                "{report}"
            );
        }
    }
}

#[test]
fn documents_pass_at_every_level() {
    for serializable_percent in [0, 50, 100] {
        for seed in 1..=5 {
            let history = documents(&Store::new(None), seed, serializable_percent);
            let report = check_documents(&history, DocumentRules::default());
            right(&report);
            assert!(
                report.stats.reads > 3_000 && report.stats.writes > 1_000,
                "{report}"
            );
        }
    }
}

#[test]
fn write_skew_happens_at_the_snapshot_level_only() {
    let run = |serializable_percent| {
        let workload = SkewWorkload::new(SkewShape {
            serializable_percent,
            ..SkewShape::default()
        });
        let store = Store::new(None);
        let history: ListHistory =
            run_interleaved(&store, &workload, options(1, 1_000), &quiet).expect("runs");
        check_lists(&history, ListRules::default())
    };
    let snapshot = run(0);
    assert!(snapshot.is_ok(), "{snapshot}");
    assert!(!snapshot.is_blind(), "{snapshot}");
    assert!(snapshot.allowed(Anomaly::WriteSkew) >= 50, "{snapshot}");
    let mixed = run(50);
    assert!(mixed.is_ok() && !mixed.is_blind(), "{mixed}");
    let serializable = run(100);
    assert!(
        serializable.is_ok() && serializable.is_blind(),
        "{serializable}"
    );
    assert!(serializable.stats.committed > 200, "{serializable}");
}

#[test]
fn lost_answers_are_no_violations() {
    for serializable_percent in [0, 100] {
        let store = Store::that_loses_answers();
        let report = check_lists(
            &lists(&store, 1, serializable_percent),
            ListRules::default(),
        );
        right(&report);
        assert!(
            report.stats.settled > 10 && report.stats.open > 10,
            "{report}"
        );

        let store = Store::that_loses_answers();
        let history = documents(&store, 1, serializable_percent);
        let report = check_documents(&history, DocumentRules::default());
        assert!(report.is_ok(), "{report}");
        assert!(
            report.stats.settled > 10 && report.stats.open > 10,
            "{report}"
        );
        assert!(report.stats.unjudged < report.stats.reads / 10, "{report}");
    }
}

#[test]
fn one_seed_gives_one_history() {
    let history = |seed| documents(&Store::new(None), seed, 50);
    assert_eq!(history(7), history(7));
    assert_ne!(history(7), history(8));
}

#[test]
fn threads_are_recorded_as_they_ran() {
    let told = AtomicU64::new(0);
    let tell = |progress: Progress| {
        told.fetch_max(progress.committed, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    let store = Store::new(None);
    let workload = ListWorkload::new(ListShape {
        serializable_percent: 50,
        ..ListShape::default()
    });
    let history: ListHistory =
        run_threads(&store, &workload, options(1, 20_000), &tell).expect("runs");
    assert!(history.count() >= 20_000);
    let report = check_lists(&history, ListRules::default());
    assert!(report.is_ok(), "{report}");
    assert!(told.into_inner() > 1_000);

    let store = Store::new(None);
    let workload = DocumentWorkload::new(DocumentShape {
        serializable_percent: 50,
        ..DocumentShape::default()
    });
    let history: Vec<Txn> =
        run_threads(&store, &workload, options(1, 10_000), &quiet).expect("runs");
    let report = check_documents(&history, DocumentRules::default());
    assert!(report.is_ok(), "{report}");
}

#[test]
fn a_run_ends_when_it_is_told_to() {
    let store = Store::new(None);
    let workload = ListWorkload::new(ListShape::default());
    let tell = |_: Progress| ControlFlow::Break(());
    let history: Vec<Txn> =
        run_interleaved(&store, &workload, options(1, u64::MAX), &tell).expect("runs");
    let in_time = history.iter().filter(|txn| txn.process < 8).count();
    assert!((1_024..1_040).contains(&in_time), "{in_time}");
}

#[test]
fn everything_is_read_in_the_end() {
    let store = Store::new(None);
    let workload = ListWorkload::new(ListShape::default());
    let history: Vec<Txn> =
        run_interleaved(&store, &workload, options(1, 1_000), &quiet).expect("runs");
    let last = history.iter().filter(|txn| txn.process >= 1 << 31);
    let read: Vec<u64> = last
        .flat_map(|txn| &txn.ops)
        .flat_map(|op| match op {
            Op::Read(_, list) => list.clone(),
            _ => panic!("the end only reads"),
        })
        .collect();
    let committed = history
        .iter()
        .filter(|txn| txn.outcome == Outcome::Committed);
    let appended = committed
        .flat_map(|txn| &txn.ops)
        .filter_map(|op| match op {
            Op::Append(_, value) => Some(*value),
            _ => None,
        });
    let (mut read, mut appended) = (read, appended.collect::<Vec<_>>());
    read.sort_unstable();
    appended.sort_unstable();
    assert_eq!(read, appended);
}

#[test]
fn a_process_ends_with_an_unknown_outcome() {
    let store = Store::that_loses_answers();
    let workload = ListWorkload::new(ListShape::default());
    let history: Vec<Txn> =
        run_interleaved(&store, &workload, options(1, 1_000), &quiet).expect("runs");
    let mut ended = HashSet::new();
    for txn in &history {
        assert!(!ended.contains(&txn.process), "{txn:?}");
        if txn.outcome == Outcome::Unknown {
            ended.insert(txn.process);
        }
    }
    assert!(ended.len() > 10);
}

#[test]
fn histories_survive_as_text() {
    let store = Store::that_loses_answers();
    let full: Vec<Txn> = {
        let workload = ListWorkload::new(ListShape::default());
        run_interleaved(&store, &workload, options(3, 1_000), &quiet).expect("runs")
    };
    assert!(full.iter().any(|txn| txn.outcome == Outcome::Unknown));
    let mut text = Vec::new();
    write_ndjson(&full, &mut text).expect("into memory");
    assert_eq!(
        read_ndjson::<Vec<Txn>>(text.as_slice()).expect("as written"),
        full
    );

    let compact: ListHistory = read_ndjson(text.as_slice()).expect("as written");
    let mut again = Vec::new();
    write_ndjson(&compact, &mut again).expect("into memory");
    assert_eq!(text, again);

    let documents = documents(&store, 4, 50);
    let mut text = Vec::new();
    write_ndjson(&documents, &mut text).expect("into memory");
    assert_eq!(
        read_ndjson::<Vec<Txn>>(text.as_slice()).expect("as written"),
        documents
    );
}

#[test]
fn a_line_that_is_no_transaction_is_named() {
    let good = r#"{"process":0,"begin":1,"end":2,"level":"snapshot","outcome":"committed","ops":[{"append":[1,2]},{"read":[1,[2]]},{"delete":4}]}"#;
    let text = format!("{good}\n\n{{\"process\":0}}\n");
    let error = read_ndjson::<Vec<Txn>>(text.as_bytes()).expect_err("the third line is bad");
    assert_eq!(error.to_string(), "line 3 of the history is no transaction");
    assert_eq!(
        read_ndjson::<Vec<Txn>>(good.as_bytes())
            .expect("good")
            .len(),
        1
    );
}
