//! One hand-made history for each anomaly in lists, as small as it can be, and beside it the nearest
//! one that is legal.

use docdb_history::{
    Anomaly, History, Level, ListHistory, ListRules, Op, Outcome, Report, Txn, check_lists,
};

/// A transaction of its own process; all of them overlap until `at` says otherwise.
fn t(ops: &[Op]) -> Txn {
    Txn {
        process: u32::MAX,
        begin: 0,
        end: u64::MAX,
        level: Level::Snapshot,
        outcome: Outcome::Committed,
        snapshot: None,
        commit: None,
        ops: ops.to_vec(),
    }
}

trait Change {
    fn at(self, begin: u64, end: u64) -> Txn;
    fn ended(self, outcome: Outcome) -> Txn;
    fn serializable(self) -> Txn;
    fn process(self, process: u32) -> Txn;
}

impl Change for Txn {
    fn at(self, begin: u64, end: u64) -> Txn {
        Txn { begin, end, ..self }
    }
    fn ended(self, outcome: Outcome) -> Txn {
        Txn { outcome, ..self }
    }
    fn serializable(self) -> Txn {
        Txn {
            level: Level::Serializable,
            ..self
        }
    }
    fn process(self, process: u32) -> Txn {
        Txn { process, ..self }
    }
}

fn a(key: u64, value: u64) -> Op {
    Op::Append(key, value)
}

fn r(key: u64, list: &[u64]) -> Op {
    Op::Read(key, list.to_vec())
}

fn check_by(rules: ListRules, txns: &[Txn]) -> Report {
    let mut history = ListHistory::new();
    for (i, txn) in txns.iter().enumerate() {
        let mut txn = txn.clone();
        if txn.process == u32::MAX {
            txn.process = 100 + i as u32;
        }
        if txn.end == u64::MAX {
            (txn.begin, txn.end) = (i as u64, 1000 + i as u64);
        }
        history.push(txn);
    }
    check_lists(&history, rules)
}

fn check(txns: &[Txn]) -> Report {
    check_by(ListRules::default(), txns)
}

/// Exactly these findings, in this order: kind, whether it is allowed, and the witness without the
/// processes and times.
#[track_caller]
fn finds(report: &Report, expected: &[(Anomaly, bool, &str)]) {
    let found: Vec<_> = report
        .findings()
        .iter()
        .map(|f| (f.kind, f.allowed, bare(&f.witness)))
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|(kind, allowed, witness)| (*kind, *allowed, witness.as_str()))
        .collect();
    assert_eq!(found, expected);
}

fn bare(witness: &str) -> String {
    let mut text = String::new();
    let mut rest = witness;
    while let Some((before, after)) = rest.split_once(" (process ") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text + rest
}

#[track_caller]
fn legal(txns: &[Txn]) {
    let report = check(txns);
    assert!(report.findings().is_empty(), "{report}");
}

#[test]
fn g0_dirty_write() {
    let writers = [t(&[a(1, 1), a(2, 1)]), t(&[a(1, 2), a(2, 2)])];
    let [t0, t1] = writers;
    let bad = t(&[r(1, &[1, 2]), r(2, &[2, 1])]);
    finds(
        &check(&[t0.clone(), t1.clone(), bad]),
        &[(
            Anomaly::G0,
            false,
            "T1 appended 2 of key 1 behind what T0 had appended; T0 appended 1 of key 2 behind what T1 had appended",
        )],
    );
    legal(&[t0, t1, t(&[r(1, &[1, 2]), r(2, &[1, 2])])]);
}

#[test]
fn g1a_aborted_read() {
    let writer = t(&[a(1, 1)]).ended(Outcome::Aborted);
    finds(
        &check(&[writer.clone(), t(&[r(1, &[1])])]),
        &[(
            Anomaly::G1a,
            false,
            "T1 saw 1 in key 1, which T0 appended and aborted",
        )],
    );
    legal(&[writer, t(&[r(1, &[])])]);
    legal(&[t(&[a(1, 1)]), t(&[r(1, &[1])])]);
}

#[test]
fn g1a_in_a_read_that_contradicts_others() {
    let writer = t(&[a(1, 1)]);
    let aborted = t(&[a(1, 2)]).ended(Outcome::Aborted);
    let report = check(&[
        writer,
        aborted,
        t(&[a(1, 3)]),
        t(&[r(1, &[1, 3])]),
        t(&[r(1, &[1, 2])]),
    ]);
    finds(
        &report,
        &[
            (
                Anomaly::G1a,
                false,
                "T4 saw 2 in key 1, which T1 appended and aborted",
            ),
            (
                Anomaly::IncompatibleOrder,
                false,
                "T4 saw key 1 as [1, 2], T3 as [1, 3]: they differ at place 1",
            ),
        ],
    );
}

#[test]
fn g1b_intermediate_read() {
    let writer = t(&[a(1, 1), a(1, 2)]);
    finds(
        &check(&[writer.clone(), t(&[r(1, &[1])])]),
        &[
            (
                Anomaly::G1b,
                false,
                "T1 saw 1 of key 1 but not 2 of key 1, both of which T0 appended",
            ),
            (
                Anomaly::GSingle,
                false,
                "T1 did not see 2 of key 1, which T0 appended; T1 saw 1 of key 1, which T0 had appended",
            ),
        ],
    );
    legal(&[writer, t(&[r(1, &[1, 2])])]);
    legal(&[t(&[a(1, 1), r(1, &[1]), a(1, 2)]), t(&[r(1, &[1, 2])])]);
}

#[test]
fn g1c_circular_information_flow() {
    let first = t(&[a(1, 1), r(2, &[1])]);
    finds(
        &check(&[first.clone(), t(&[a(2, 1), r(1, &[1])])]),
        &[(
            Anomaly::G1c,
            false,
            "T1 saw 1 of key 1, which T0 had appended; T0 saw 1 of key 2, which T1 had appended",
        )],
    );
    legal(&[first, t(&[a(2, 1), r(1, &[])])]);
}

/// What nobody saw stands behind all that was seen.
#[test]
fn g1c_by_an_append_that_was_not_seen() {
    let with = |seen: &[u64]| {
        [
            t(&[a(1, 1), r(2, seen)]),
            t(&[a(1, 2), a(2, 5)]),
            t(&[r(1, &[1])]),
        ]
    };
    finds(
        &check(&with(&[5])),
        &[
            (
                Anomaly::G1c,
                false,
                "T0 saw 5 of key 2, which T1 had appended; T1 appended 2 of key 1 behind what T0 had appended",
            ),
            (
                Anomaly::GSingle,
                false,
                "T2 did not see 2 of key 1, which T1 appended; T0 saw 5 of key 2, which T1 had appended; T2 saw 1 of key 1, which T0 had appended",
            ),
        ],
    );
    legal(&with(&[]));
}

/// T0, T1 and T3 are in a cycle with two rw in a row that meet in T1: that is allowed, even if a walk
/// can come back to T1 between them.
#[test]
fn g1c_beside_a_cycle_that_is_allowed() {
    let report = check(&[
        t(&[r(3, &[]), r(5, &[1])]),
        t(&[a(1, 1), r(2, &[1]), a(3, 1), r(4, &[])]),
        t(&[a(2, 1), r(1, &[1])]),
        t(&[a(4, 1), a(5, 1)]),
    ]);
    finds(
        &report,
        &[
            (
                Anomaly::G1c,
                false,
                "T2 saw 1 of key 1, which T1 had appended; T1 saw 1 of key 2, which T2 had appended",
            ),
            (
                Anomaly::G2Item,
                true,
                "T0 did not see 1 of key 3, which T1 appended; T1 did not see 1 of key 4, which T3 appended; T0 saw 1 of key 5, which T3 had appended",
            ),
        ],
    );
}

#[test]
fn g_single_read_skew() {
    let writer = t(&[a(1, 1), a(2, 1)]);
    finds(
        &check(&[writer.clone(), t(&[r(1, &[1]), r(2, &[])])]),
        &[(
            Anomaly::GSingle,
            false,
            "T1 did not see 1 of key 2, which T0 appended; T1 saw 1 of key 1, which T0 had appended",
        )],
    );
    legal(&[writer.clone(), t(&[r(1, &[1]), r(2, &[1])])]);
    legal(&[writer, t(&[r(1, &[]), r(2, &[])])]);
}

#[test]
fn lost_update() {
    let first = t(&[r(1, &[]), a(1, 1)]);
    let reader = t(&[r(1, &[1, 2])]);
    finds(
        &check(&[first.clone(), t(&[r(1, &[]), a(1, 2)]), reader.clone()]),
        &[(
            Anomaly::LostUpdate,
            false,
            "T0 and T1 both read 0 elements of key 1 and appended to it",
        )],
    );
    legal(&[first.clone(), t(&[r(1, &[1]), a(1, 2)]), reader.clone()]);
    // The second was refused.
    let refused = t(&[r(1, &[]), a(1, 2)]).ended(Outcome::Aborted);
    legal(&[first.clone(), refused, t(&[r(1, &[1])])]);
    // Nobody read what they wrote.
    finds(
        &check(&[first, t(&[r(1, &[]), a(1, 2)])]),
        &[(
            Anomaly::LostUpdate,
            false,
            "T0 and T1 both read 0 elements of key 1 and appended to it",
        )],
    );
}

#[test]
fn long_fork() {
    let fork = |last: &[u64]| {
        [
            t(&[a(1, 1)]),
            t(&[a(2, 1)]),
            t(&[r(1, &[1]), r(2, &[])]),
            t(&[r(1, last), r(2, &[1])]),
        ]
    };
    finds(
        &check(&fork(&[])),
        &[(
            Anomaly::LongFork,
            false,
            "T2 did not see 1 of key 2, which T1 appended; T3 saw 1 of key 2, which T1 had appended; T3 did not see 1 of key 1, which T0 appended; T2 saw 1 of key 1, which T0 had appended",
        )],
    );
    legal(&fork(&[1]));
}

#[test]
fn write_skew_is_for_snapshots_only() {
    let skew = |seen: &[u64]| [t(&[r(1, &[]), a(2, 1)]), t(&[r(2, seen), a(1, 1)])];
    let said = "T0 did not see 1 of key 1, which T1 appended; T1 did not see 1 of key 2, which T0 appended";
    let [t0, t1] = skew(&[]);
    finds(
        &check(&[t0.clone(), t1.clone()]),
        &[(Anomaly::WriteSkew, true, said)],
    );
    finds(
        &check(&[t0.clone().serializable(), t1.clone()]),
        &[(Anomaly::WriteSkew, true, said)],
    );
    finds(
        &check(&[t0.serializable(), t1.serializable()]),
        &[(Anomaly::WriteSkew, false, said)],
    );
    legal(&skew(&[1]).map(Change::serializable));
}

#[test]
fn g2_item_of_three() {
    let ring = |seen: &[u64]| {
        [
            t(&[r(1, &[]), a(2, 1)]),
            t(&[r(2, &[]), a(3, 1)]),
            t(&[r(3, seen), a(1, 1)]),
        ]
    };
    finds(
        &check(&ring(&[])),
        &[(
            Anomaly::G2Item,
            true,
            "T0 did not see 1 of key 1, which T2 appended; T2 did not see 1 of key 3, which T1 appended; T1 did not see 1 of key 2, which T0 appended",
        )],
    );
    finds(
        &check(&ring(&[]).map(Change::serializable)),
        &[(
            Anomaly::G2Item,
            false,
            "T0 did not see 1 of key 1, which T2 appended; T2 did not see 1 of key 3, which T1 appended; T1 did not see 1 of key 2, which T0 appended",
        )],
    );
    legal(&ring(&[1]).map(Change::serializable));
}

/// Fekete, O'Neil and O'Neil 2004: without the reader the other two could be put in order.
#[test]
fn g2_item_of_a_reader() {
    let all = |seen: &[u64]| {
        [
            t(&[r(1, &[]), r(2, &[]), a(1, 1)]),
            t(&[r(2, &[]), a(2, 1)]),
            t(&[r(1, seen), r(2, &[1])]),
        ]
    };
    finds(
        &check(&all(&[]).map(Change::serializable)),
        &[(
            Anomaly::G2Item,
            false,
            "T0 did not see 1 of key 2, which T1 appended; T2 saw 1 of key 2, which T1 had appended; T2 did not see 1 of key 1, which T0 appended",
        )],
    );
    let [t0, t1, _] = all(&[]).map(Change::serializable);
    legal(&[t0, t1]);
}

#[test]
fn internal_own_append_not_seen() {
    finds(
        &check(&[t(&[a(1, 1), r(1, &[])])]),
        &[(
            Anomaly::Internal,
            false,
            "T0 appended [1] to key 1 and then saw []",
        )],
    );
    legal(&[t(&[a(1, 1), r(1, &[1])])]);
    legal(&[
        t(&[a(1, 1), r(1, &[1])]).ended(Outcome::Aborted),
        t(&[r(1, &[])]),
    ]);
}

#[test]
fn internal_read_that_changes() {
    let writer = t(&[a(1, 1)]);
    finds(
        &check(&[writer.clone(), t(&[r(1, &[]), r(1, &[1])])]),
        &[
            (
                Anomaly::Internal,
                false,
                "T1 read key 1 twice and saw 0 elements of others, then 1",
            ),
            (
                Anomaly::GSingle,
                false,
                "T1 did not see 1 of key 1, which T0 appended; T1 saw 1 of key 1, which T0 had appended",
            ),
        ],
    );
    legal(&[writer, t(&[r(1, &[1]), a(1, 2), r(1, &[1, 2])])]);
}

#[test]
fn invented_element() {
    finds(
        &check(&[t(&[r(1, &[9])])]),
        &[(
            Anomaly::Invented,
            false,
            "T0 saw 9 in key 1, which nobody appended",
        )],
    );
    legal(&[t(&[r(1, &[9])]), t(&[a(1, 9)]).ended(Outcome::Unknown)]);
}

#[test]
fn duplicate_element() {
    let writer = t(&[a(1, 1)]);
    let report = check(&[writer.clone(), t(&[r(1, &[1, 1])])]);
    finds(
        &report,
        &[(Anomaly::Duplicate, false, "T1 saw 1 of key 1 twice")],
    );
    legal(&[writer, t(&[r(1, &[1])])]);
}

#[test]
fn element_appended_twice() {
    finds(
        &check(&[t(&[a(1, 1)]), t(&[a(1, 1)])]),
        &[(
            Anomaly::Duplicate,
            false,
            "T0 and T1 appended the same element 1 of key 1: the workload must not",
        )],
    );
    legal(&[t(&[a(1, 1)]), t(&[a(2, 1)])]);
}

#[test]
fn incompatible_orders() {
    let writers = [t(&[a(1, 1)]), t(&[a(1, 2)]), t(&[r(1, &[1, 2])])];
    let with = |list: &[u64]| [writers.as_slice(), &[t(&[r(1, list)])]].concat();
    finds(
        &check(&with(&[2, 1])),
        &[(
            Anomaly::IncompatibleOrder,
            false,
            "T3 saw key 1 as [2, 1], T2 as [1, 2]: they differ at place 0",
        )],
    );
    finds(
        &check(&with(&[2])),
        &[(
            Anomaly::IncompatibleOrder,
            false,
            "T3 saw key 1 as [2], T2 as [1, 2]: they differ at place 0",
        )],
    );
    legal(&with(&[1]));
}

#[test]
fn lost_append() {
    let writer = t(&[a(1, 1)]).at(0, 2);
    finds(
        &check(&[writer.clone(), t(&[r(1, &[])]).at(3, 4)]),
        &[(
            Anomaly::LostAppend,
            false,
            "T0 appended 1 of key 1 and was acknowledged; T1 began later and saw only 0 elements, without it",
        )],
    );
    legal(&[writer.clone(), t(&[r(1, &[])]).at(1, 4)]);
    let unknown = writer.ended(Outcome::Unknown);
    legal(&[unknown, t(&[r(1, &[])]).at(3, 4)]);
}

#[test]
fn stale_read() {
    let others = [t(&[a(1, 1)]).at(0, 2), t(&[r(1, &[1])]).at(3, 4)];
    let with = |begin| [others.as_slice(), &[t(&[r(1, &[])]).at(begin, 9)]].concat();
    finds(
        &check(&with(5)),
        &[(
            Anomaly::StaleRead,
            false,
            "T0 appended 1 of key 1 and was acknowledged; T2 began later and saw only 0 elements, without it",
        )],
    );
    legal(&with(1));
    let rules = ListRules {
        real_time: false,
        session: true,
    };
    assert!(check_by(rules, &with(5)).is_ok());
    // Nothing was acknowledged, but who saw it was over before the other began.
    let [writer, reader] = others;
    let unknown = writer.ended(Outcome::Unknown);
    finds(
        &check(&[unknown.clone(), reader.clone(), t(&[r(1, &[])]).at(5, 9)]),
        &[(
            Anomaly::RealTimeCycle,
            false,
            "T1 was over before T2 began; T2 did not see 1 of key 1, which T0 appended; T1 saw 1 of key 1, which T0 had appended",
        )],
    );
    legal(&[unknown, reader, t(&[r(1, &[])]).at(3, 9)]);
}

#[test]
fn session_cycle() {
    let rules = ListRules {
        real_time: false,
        session: true,
    };
    let with = |process| {
        [
            t(&[a(1, 1)]).at(0, 2).process(7),
            t(&[r(1, &[])]).at(5, 9).process(process),
            t(&[r(1, &[1])]).at(3, 4),
        ]
    };
    finds(
        &check_by(rules, &with(7)),
        &[(
            Anomaly::SessionCycle,
            false,
            "T0 came before T1 in the same process; T1 did not see 1 of key 1, which T0 appended",
        )],
    );
    assert!(check_by(rules, &with(8)).findings().is_empty());
}

#[test]
fn real_time_cycle() {
    let with = |begin| {
        [
            t(&[a(1, 1)]).at(1, 2),
            t(&[a(2, 1)]).at(begin, 4),
            t(&[r(2, &[1]), r(1, &[])]).at(0, 9),
        ]
    };
    finds(
        &check(&with(3)),
        &[(
            Anomaly::RealTimeCycle,
            false,
            "T2 saw 1 of key 2, which T1 had appended; T2 did not see 1 of key 1, which T0 appended; T0 was over before T1 began",
        )],
    );
    legal(&with(1));
}

/// Between the first and the second others begin and end, none of them in between.
#[test]
fn real_time_cycle_over_other_ends() {
    let with = |begin| {
        [
            t(&[a(1, 1)]).at(1, 2),
            t(&[a(2, 1)]).at(begin, 6),
            t(&[r(2, &[1]), r(1, &[])]).at(0, 9),
            t(&[]).at(0, 4),
            t(&[]).at(3, 10),
        ]
    };
    finds(
        &check(&with(5)),
        &[(
            Anomaly::RealTimeCycle,
            false,
            "T2 saw 1 of key 2, which T1 had appended; T2 did not see 1 of key 1, which T0 appended; T0 was over before T1 began",
        )],
    );
    legal(&with(1));
}

#[test]
fn unknown_outcomes_are_settled_by_readers() {
    let writer = t(&[a(1, 1), a(2, 1)]).ended(Outcome::Unknown);
    let report = check(&[writer.clone(), t(&[r(1, &[1]), r(2, &[1])])]);
    assert!(report.is_ok());
    assert_eq!((report.stats.settled, report.stats.open), (1, 0));
    let report = check(&[writer.clone(), t(&[r(1, &[]), r(2, &[])])]);
    assert!(report.is_ok());
    assert_eq!((report.stats.settled, report.stats.open), (0, 1));
    // Once it is settled, it is as good as any.
    finds(
        &check(&[writer, t(&[r(1, &[1]), r(2, &[])])]),
        &[(
            Anomaly::GSingle,
            false,
            "T1 did not see 1 of key 2, which T0 appended; T1 saw 1 of key 1, which T0 had appended",
        )],
    );
}
