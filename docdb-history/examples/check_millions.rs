//! Checks a history of millions of transactions and says what that took:
//!
//! ```sh
//! cargo run --release -p docdb-history --example check_millions 2000000
//! ```
//!
//! The history is made up: two transactions at a time read one snapshot, unless they append to the
//! same list, so there is write skew all over.

use std::collections::HashMap;
use std::time::Instant;

use docdb_history::{
    Anomaly, History, ListHistory, ListRules, ListShape, ListWorkload, Op, Outcome, Plan, Rng,
    Step, Txn, Workload, check_lists,
};

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let count: u64 = count.unwrap_or(200_000);

    let started = Instant::now();
    let history = make(count);
    println!(
        "{} transactions recorded in {:.1} s, peak memory {}",
        history.count(),
        started.elapsed().as_secs_f64(),
        peak_memory()
    );
    let started = Instant::now();
    let report = check_lists(&history, ListRules::default());
    println!(
        "checked in {:.1} s, peak memory {}",
        started.elapsed().as_secs_f64(),
        peak_memory()
    );
    println!("{:?}", report.stats);
    println!(
        "violations: {}; write skew, allowed: {}",
        report.violations().count(),
        report.allowed(Anomaly::WriteSkew)
    );
    assert!(report.is_ok() && !report.is_blind(), "{report}");
}

fn make(count: u64) -> ListHistory {
    let shape = ListShape::default();
    let workload = ListWorkload::new(shape);
    let mut rng = Rng::new(1, 0);
    let mut lists: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut history = ListHistory::new();
    for turn in 0..count / 2 {
        let plans = [workload.plan(&mut rng), workload.plan(&mut rng)];
        let appends = |plan: &Plan, key: u64| {
            let same = |step: &Step| matches!(step, Step::Append(k, _) if *k == key);
            !plan.rollback && plan.steps.iter().any(same)
        };
        let conflict = plans[0].steps.iter().any(|step| match step {
            Step::Append(key, _) => appends(&plans[0], *key) && appends(&plans[1], *key),
            _ => false,
        });
        let first = run(&plans[0], &lists);
        if conflict {
            apply(&plans[0], &mut lists);
        }
        let second = run(&plans[1], &lists);
        if !conflict {
            apply(&plans[0], &mut lists);
        }
        apply(&plans[1], &mut lists);
        for (process, (plan, ops)) in [(&plans[0], first), (&plans[1], second)]
            .into_iter()
            .enumerate()
        {
            history.push(Txn {
                process: process as u32,
                begin: 4 * turn + process as u64,
                end: 4 * turn + 2 + process as u64,
                level: plan.level,
                outcome: if plan.rollback {
                    Outcome::Aborted
                } else {
                    Outcome::Committed
                },
                snapshot: None,
                commit: None,
                ops,
            });
        }
        if turn % 4096 == 0 {
            let oldest = plans[0].steps.iter().map(key).min().unwrap_or(0);
            lists.retain(|key, _| key + 2 * shape.hot_keys >= oldest);
        }
    }
    history
}

fn key(step: &Step) -> u64 {
    match step {
        Step::Append(key, _) | Step::Read(key) => *key,
        _ => 0,
    }
}

fn run(plan: &Plan, lists: &HashMap<u64, Vec<u64>>) -> Vec<Op> {
    let mut own: Vec<(u64, u64)> = Vec::new();
    let ops = plan.steps.iter().filter_map(|step| match step {
        Step::Append(key, value) => {
            own.push((*key, *value));
            Some(Op::Append(*key, *value))
        }
        Step::Read(key) => {
            let mut list = lists.get(key).cloned().unwrap_or_default();
            list.extend(own.iter().filter(|(k, _)| k == key).map(|(_, v)| *v));
            Some(Op::Read(*key, list))
        }
        _ => None,
    });
    ops.collect()
}

fn apply(plan: &Plan, lists: &mut HashMap<u64, Vec<u64>>) {
    for step in plan.steps.iter().filter(|_| !plan.rollback) {
        if let Step::Append(key, value) = step {
            lists.entry(*key).or_default().push(*value);
        }
    }
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".to_owned(), |line| line.trim().to_owned())
}
