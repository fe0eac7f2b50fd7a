//! The checker against the definitions: small random histories, judged by trying out every order of
//! commits and every choice of snapshots.

use docdb_history::{
    Direction, DocumentRules, History, Level, ListHistory, ListRules, Op, Outcome, Rng, ScanRange,
    Seen, Txn, check_documents, check_lists,
};

const NO_ORDER: ListRules = ListRules {
    real_time: false,
    session: false,
};

/// Up to four transactions over two lists, and a reader of everything. Every read is a prefix of an
/// order that was chosen for its list, so there is mostly one contradiction or none.
fn random_lists(rng: &mut Rng) -> Vec<Txn> {
    let count = 2 + rng.below(3) as usize;
    let mut plans: Vec<Vec<(u64, bool)>> = Vec::new();
    for _ in 0..count {
        let ops = 1 + rng.below(3);
        plans.push((0..ops).map(|_| (rng.below(2), rng.chance(55))).collect());
    }
    // Values are 10 * transaction + operation.
    let mut finals: [Vec<u64>; 2] = Default::default();
    for (txn, plan) in plans.iter().enumerate() {
        let mut start = [usize::MAX; 2];
        for (at, (key, append)) in plan.iter().enumerate() {
            let list = &mut finals[*key as usize];
            if *append {
                let place = if start[*key as usize] == usize::MAX {
                    // Mostly not into the middle of another transaction's.
                    let places: Vec<_> = (0..=list.len())
                        .filter(|p| {
                            *p == 0 || *p == list.len() || list[*p] / 10 != list[p - 1] / 10
                        })
                        .collect();
                    places[rng.below(places.len() as u64) as usize]
                } else {
                    start[*key as usize]
                };
                list.insert(place, 10 * txn as u64 + at as u64);
                start[*key as usize] = place + 1;
            }
        }
    }
    let mut txns = Vec::new();
    for (txn, plan) in plans.iter().enumerate() {
        let mut external: [Option<usize>; 2] = [None, None];
        let mut own: [Vec<u64>; 2] = Default::default();
        let mut ops = Vec::new();
        for (at, (key, append)) in plan.iter().enumerate() {
            let k = *key as usize;
            if *append {
                let value = 10 * txn as u64 + at as u64;
                own[k].push(value);
                ops.push(Op::Append(*key, value));
                continue;
            }
            // Behind its own elements it cannot have read.
            let first_own = finals[k].iter().position(|v| *v / 10 == txn as u64);
            let most = first_own.unwrap_or(finals[k].len());
            let length = *external[k].get_or_insert(rng.below(most as u64 + 1) as usize);
            let mut list = finals[k][..length].to_vec();
            list.extend(&own[k]);
            ops.push(Op::Read(*key, list));
        }
        txns.push(txn_of(ops));
    }
    let last = (0..2).map(|key| Op::Read(key, finals[key as usize].clone()));
    txns.push(txn_of(last.collect()));
    for (i, txn) in txns.iter_mut().enumerate() {
        txn.process = i as u32;
        (txn.begin, txn.end) = (i as u64, 100 + i as u64);
    }
    txns
}

fn txn_of(ops: Vec<Op>) -> Txn {
    Txn {
        process: 0,
        begin: 0,
        end: 0,
        level: Level::Snapshot,
        outcome: Outcome::Committed,
        snapshot: None,
        commit: None,
        ops,
    }
}

type Lists = [Vec<u64>; 2];

/// Runs a transaction on a snapshot: the lists that it leaves, if it reads what it says.
fn run(txn: &Txn, snapshot: &Lists) -> Option<Lists> {
    let mut lists = snapshot.clone();
    for op in &txn.ops {
        match op {
            Op::Append(key, value) => lists[*key as usize].push(*value),
            Op::Read(key, list) if &lists[*key as usize] != list => return None,
            _ => {}
        }
    }
    Some(lists)
}

fn appends_to(txn: &Txn, key: u64) -> bool {
    let appends = |op: &Op| matches!(op, Op::Append(k, _) if *k == key);
    txn.ops.iter().any(appends)
}

/// Whether some order of commits explains the history; `states` are those after each commit so far.
/// A serializable transaction reads what it finds when it commits.
fn explained(
    txns: &[Txn],
    left: &mut Vec<usize>,
    states: &mut Vec<Lists>,
    order: &mut Vec<usize>,
) -> bool {
    if left.is_empty() {
        return true;
    }
    for i in 0..left.len() {
        let next = left.remove(i);
        let newest = states.len() - 1;
        let oldest = match txns[next].level {
            Level::Serializable => newest,
            Level::Snapshot => 0,
        };
        for snapshot in oldest..=newest {
            let overlapping = &order[snapshot..];
            let conflict = (0..2).any(|key| {
                appends_to(&txns[next], key)
                    && overlapping
                        .iter()
                        .any(|other| appends_to(&txns[*other], key))
            });
            let Some(written) = run(&txns[next], &states[snapshot]).filter(|_| !conflict) else {
                continue;
            };
            let mut state = states[newest].clone();
            for key in 0..2 {
                if appends_to(&txns[next], key) {
                    state[key as usize] = written[key as usize].clone();
                }
            }
            states.push(state);
            order.push(next);
            let good = explained(txns, left, states, order);
            order.pop();
            states.pop();
            if good {
                left.insert(i, next);
                return true;
            }
        }
        left.insert(i, next);
    }
    false
}

fn by_definition(txns: &[Txn]) -> bool {
    let mut left = (0..txns.len()).collect();
    let mut states = vec![Lists::default()];
    explained(txns, &mut left, &mut states, &mut Vec::new())
}

fn checked(txns: &[Txn]) -> docdb_history::Report {
    let mut history = ListHistory::new();
    txns.iter().for_each(|txn| history.push(txn.clone()));
    check_lists(&history, NO_ORDER)
}

fn with_levels(txns: &[Txn], mut level: impl FnMut() -> Level) -> Vec<Txn> {
    let mut txns = txns.to_vec();
    txns.iter_mut().for_each(|txn| txn.level = level());
    txns
}

#[test]
fn lists_are_judged_as_by_the_definitions() {
    let mut rng = Rng::new(1, 0);
    let mut verdicts = [0; 4];
    for round in 0..30_000 {
        let txns = random_lists(&mut rng);
        let random = with_levels(&txns, || {
            [Level::Snapshot, Level::Serializable][rng.below(2) as usize]
        });
        let all = |level| with_levels(&txns, || level);
        let levels = [all(Level::Serializable), random, all(Level::Snapshot)];
        let right = levels.each_ref().map(|txns| by_definition(txns));
        let reports = levels.each_ref().map(|txns| checked(txns));
        for i in 0..3 {
            assert_eq!(
                reports[i].is_ok(),
                right[i],
                "round {round}: {:?}\n{}",
                levels[i],
                reports[i]
            );
            for finding in reports[i].findings() {
                let mut txns = finding.txns.clone();
                txns.sort_unstable();
                txns.dedup();
                assert_eq!(
                    txns.len(),
                    finding.txns.len(),
                    "one of them twice: {finding}"
                );
            }
            // What is allowed but in no order is found as well.
            assert_eq!(reports[i].findings().is_empty(), right[0], "round {round}");
        }
        verdicts[right.into_iter().filter(|right| *right).count()] += 1;
    }
    // Wrong at every level, skew that the levels tolerate or not, right at every level.
    assert!(verdicts.iter().all(|n| *n > 50), "{verdicts:?}");
}

/// Nothing that a store could answer makes the checkers panic.
#[test]
fn nonsense_is_judged_without_a_panic() {
    let mut rng = Rng::new(2, 0);
    let mut bad = 0;
    for _ in 0..5_000 {
        let txns: Vec<Txn> = (0..1 + rng.below(6)).map(|_| nonsense(&mut rng)).collect();
        let mut history = ListHistory::new();
        txns.iter().for_each(|txn| history.push(txn.clone()));
        let report = check_lists(&history, ListRules::default());
        let documents = check_documents(&txns, DocumentRules::default());
        bad += u32::from(!report.is_ok() && !documents.is_ok());
        assert!(!format!("{report}{documents}").is_empty());
    }
    assert!(bad > 1_000, "{bad}");
}

fn nonsense(rng: &mut Rng) -> Txn {
    let ops = (0..rng.below(6)).map(|_| {
        let key = rng.below(3);
        let values = rng.below(4);
        let seen = |rng: &mut Rng| Seen {
            version: rng.chance(50).then(|| rng.below(6)),
            value: rng.below(6),
        };
        match rng.below(6) {
            0 => Op::Append(key, rng.below(6)),
            1 => Op::Read(key, (0..values).map(|_| rng.below(6)).collect()),
            2 => Op::Get(key, rng.chance(70).then(|| seen(rng))),
            3 => {
                let range = ScanRange {
                    from: rng.below(4),
                    to: rng.below(4),
                    direction: Direction::Descending,
                    limit: rng.chance(50).then_some(2),
                };
                Op::Scan(
                    range,
                    (0..values).map(|_| (rng.below(4), seen(rng))).collect(),
                )
            }
            4 => Op::Put(key, rng.below(6)),
            _ => Op::Delete(key),
        }
    });
    let ops = ops.collect();
    let some = |rng: &mut Rng| rng.chance(80).then(|| rng.below(6));
    Txn {
        process: rng.below(3) as u32,
        begin: rng.below(9),
        end: rng.below(9),
        level: [Level::Snapshot, Level::Serializable][rng.below(2) as usize],
        outcome: [Outcome::Committed, Outcome::Aborted, Outcome::Unknown][rng.below(3) as usize],
        snapshot: some(rng),
        commit: some(rng),
        ops,
    }
}
