//! One hand-made history for each anomaly in documents, and beside it the nearest one that is legal.

use docdb_history::{
    Anomaly, Direction, DocumentRules, Level, Op, Outcome, Report, ScanRange, Seen, Txn,
    check_documents,
};

/// A transaction that overlaps all others until `at` says otherwise.
fn t(snapshot: u64, commit: u64, ops: &[Op]) -> Txn {
    Txn {
        process: 0,
        begin: 0,
        end: u64::MAX,
        level: Level::Snapshot,
        outcome: Outcome::Committed,
        snapshot: Some(snapshot),
        commit: (commit > 0).then_some(commit),
        ops: ops.to_vec(),
    }
}

fn at(begin: u64, end: u64, txn: Txn) -> Txn {
    Txn { begin, end, ..txn }
}

fn ended(outcome: Outcome, txn: Txn) -> Txn {
    Txn { outcome, ..txn }
}

fn serializable(txn: Txn) -> Txn {
    Txn {
        level: Level::Serializable,
        ..txn
    }
}

fn put(key: u64, value: u64) -> Op {
    Op::Put(key, value)
}

fn get(key: u64, version: u64, value: u64) -> Op {
    Op::Get(key, Some(seen(version, value)))
}

fn seen(version: u64, value: u64) -> Seen {
    Seen {
        version: (version > 0).then_some(version),
        value,
    }
}

const NONE: [(u64, u64, u64); 0] = [];

fn scan(from: u64, to: u64, direction: Direction, found: &[(u64, u64, u64)]) -> Op {
    let range = ScanRange {
        from,
        to,
        direction,
        limit: None,
    };
    let found = found
        .iter()
        .map(|(key, version, value)| (*key, seen(*version, *value)));
    Op::Scan(range, found.collect())
}

fn up(from: u64, to: u64, found: &[(u64, u64, u64)]) -> Op {
    scan(from, to, Direction::Ascending, found)
}

fn limited(limit: u32, op: Op) -> Op {
    let Op::Scan(range, found) = op else {
        return op;
    };
    let limit = Some(limit);
    Op::Scan(ScanRange { limit, ..range }, found)
}

fn check(txns: &[Txn]) -> Report {
    let mut txns = txns.to_vec();
    for (i, txn) in txns.iter_mut().enumerate() {
        txn.process = i as u32;
        if txn.end == u64::MAX {
            (txn.begin, txn.end) = (i as u64, 1000 + i as u64);
        }
    }
    check_documents(&txns, DocumentRules::default())
}

#[track_caller]
fn finds(txns: &[Txn], expected: &[(Anomaly, bool, &str)]) {
    let report = check(txns);
    let found: Vec<_> = report
        .findings()
        .iter()
        .map(|f| (f.kind, f.allowed, bare(&f.witness)))
        .collect();
    let found: Vec<_> = found.iter().map(|(k, a, w)| (*k, *a, w.as_str())).collect();
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
    assert_eq!(report.stats.unjudged, 0, "{report}");
}

#[test]
fn a_stale_value() {
    let writers = [t(0, 1, &[put(7, 10)]), t(1, 2, &[put(7, 20)])];
    let with = |op: Op| [writers.as_slice(), &[t(2, 0, &[op])]].concat();
    finds(
        &with(get(7, 1, 10)),
        &[(
            Anomaly::WrongRead,
            false,
            "T2 read document 7 at 2 as 10 (version 1); it was 20 (version 2) (10 was written by T0, which committed 1)",
        )],
    );
    legal(&with(get(7, 2, 20)));
    legal(&with(get(7, 0, 20)));
    finds(
        &with(get(7, 1, 20)),
        &[(
            Anomaly::WrongRead,
            false,
            "T2 read document 7 at 2 as 20 (version 1); it was 20 (version 2) (20 was written by T1, which committed 2)",
        )],
    );
}

#[test]
fn a_value_behind_the_snapshot() {
    let writers = [t(0, 1, &[put(7, 10)]), t(1, 2, &[put(7, 20)])];
    let with = |at: u64| [writers.as_slice(), &[t(at, 0, &[get(7, 2, 20)])]].concat();
    finds(
        &with(1),
        &[(
            Anomaly::WrongRead,
            false,
            "T2 read document 7 at 1 as 20 (version 2); it was 10 (version 1) (20 was written by T1, which committed 2, behind the snapshot)",
        )],
    );
    legal(&with(2));
}

#[test]
fn dirty_and_invented_values() {
    let aborted = ended(Outcome::Aborted, t(0, 0, &[put(7, 10)]));
    finds(
        &[aborted.clone(), t(0, 0, &[get(7, 0, 10)])],
        &[(
            Anomaly::WrongRead,
            false,
            "T1 read document 7 at 0 as 10; it was absent (10 was written by T0, which aborted)",
        )],
    );
    finds(
        &[t(0, 0, &[get(7, 0, 11)])],
        &[(
            Anomaly::WrongRead,
            false,
            "T0 read document 7 at 0 as 11; it was absent (11 was written by nobody)",
        )],
    );
    legal(&[aborted, t(0, 0, &[Op::Get(7, None)])]);
}

#[test]
fn intermediate_values() {
    let writer = t(0, 1, &[put(7, 10), put(7, 11)]);
    finds(
        &[writer.clone(), t(1, 0, &[get(7, 1, 10)])],
        &[(
            Anomaly::WrongRead,
            false,
            "T1 read document 7 at 1 as 10 (version 1); it was 11 (version 1) (10 was written by T0, which committed 1)",
        )],
    );
    legal(&[writer, t(1, 0, &[get(7, 1, 11)])]);
}

#[test]
fn own_writes() {
    let base = t(0, 1, &[put(7, 10)]);
    let own = |last: Op| t(1, 2, &[put(7, 20), put(8, 21), Op::Delete(7), last]);
    finds(
        &[base.clone(), own(get(7, 1, 10))],
        &[(
            Anomaly::WrongRead,
            false,
            "T1 read document 7 at 1 as 10 (version 1); it was absent (10 was written by T0, which committed 1)",
        )],
    );
    finds(
        &[base.clone(), own(up(0, 9, &[(7, 1, 10), (8, 0, 21)]))],
        &[(
            Anomaly::WrongScan,
            false,
            "T1 scanned 0..=9 up at 1 and saw document 7 as 10 (version 1), it was absent (10 was written by T0, which committed 1)",
        )],
    );
    legal(&[base.clone(), own(Op::Get(7, None))]);
    legal(&[base.clone(), own(get(8, 0, 21))]);
    legal(&[base, own(up(0, 9, &[(8, 0, 21)]))]);
}

#[test]
fn deletions() {
    let base = [t(0, 1, &[put(7, 10)]), t(1, 2, &[Op::Delete(7)])];
    let with = |txn: Txn| [base.as_slice(), &[txn]].concat();
    legal(&with(t(2, 0, &[Op::Get(7, None)])));
    legal(&with(t(1, 0, &[get(7, 1, 10)])));
    finds(
        &with(t(2, 0, &[get(7, 1, 10)])),
        &[(
            Anomaly::WrongRead,
            false,
            "T2 read document 7 at 2 as 10 (version 1); it was absent (10 was written by T0, which committed 1)",
        )],
    );
    finds(
        &with(t(2, 3, &[Op::Delete(7)])),
        &[(
            Anomaly::WrongRead,
            false,
            "T2 deleted document 7, which did not exist at 2",
        )],
    );
}

#[test]
fn scans_are_exact() {
    let base = t(0, 1, &[put(3, 30), put(5, 50), put(7, 70)]);
    let later = t(1, 2, &[put(4, 40), Op::Delete(5)]);
    let with = |at: u64, op: Op| [base.clone(), later.clone(), t(at, 0, &[op])];
    let old = [(3, 1, 30), (5, 1, 50), (7, 1, 70)];
    let new = [(3, 1, 30), (4, 2, 40), (7, 1, 70)];
    legal(&with(1, up(0, 9, &old)));
    legal(&with(2, up(0, 9, &new)));
    legal(&with(2, up(4, 6, &[(4, 2, 40)])));
    legal(&with(2, up(5, 6, &NONE)));
    legal(&with(2, up(6, 5, &NONE)));
    legal(&with(2, limited(2, up(0, 9, &new[..2]))));
    let down: Vec<_> = new.iter().rev().copied().collect();
    legal(&with(2, scan(0, 9, Direction::Descending, &down)));
    legal(&with(
        2,
        limited(1, scan(0, 9, Direction::Descending, &down[..1])),
    ));
    // A phantom, one that is missing, one too many, a wrong order, a bound or a limit not kept.
    finds(
        &with(1, up(0, 9, &new)),
        &[(
            Anomaly::WrongScan,
            false,
            "T2 scanned 0..=9 up at 1 and saw document 4 as 40 (version 2), it was absent (40 was written by T1, which committed 2, behind the snapshot); document 5 as absent, it was 50 (version 1)",
        )],
    );
    finds(
        &with(2, up(0, 9, &new[1..])),
        &[(
            Anomaly::WrongScan,
            false,
            "T2 scanned 0..=9 up at 2 and saw document 3 as absent, it was 30 (version 1)",
        )],
    );
    finds(
        &with(2, up(0, 9, &down)),
        &[(
            Anomaly::WrongScan,
            false,
            "T2 scanned 0..=9 up at 2 and saw the right documents in a wrong order, or one twice",
        )],
    );
    finds(
        &with(2, up(0, 6, &new)),
        &[(
            Anomaly::WrongScan,
            false,
            "T2 scanned 0..=6 up at 2 and saw document 7 as 70 (version 1), it was absent (70 was written by T0, which committed 1)",
        )],
    );
    finds(
        &with(2, limited(2, up(0, 9, &new))),
        &[(
            Anomaly::WrongScan,
            false,
            "T2 scanned 0..=9 up limit 2 at 2 and saw document 7 as 70 (version 1), it was absent (70 was written by T0, which committed 1)",
        )],
    );
    let twice = [new[0], new[0], new[1], new[2]];
    finds(
        &with(2, up(0, 9, &twice)),
        &[(
            Anomaly::WrongScan,
            false,
            "T2 scanned 0..=9 up at 2 and saw the right documents in a wrong order, or one twice",
        )],
    );
}

#[test]
fn write_skew() {
    let base = t(0, 1, &[put(1, 10), put(2, 20)]);
    let first = t(1, 2, &[get(1, 1, 10), get(2, 1, 20), put(1, 11)]);
    let second = t(1, 3, &[get(1, 1, 10), get(2, 1, 20), put(2, 21)]);
    legal(&[base.clone(), first.clone(), second.clone()]);
    legal(&[base.clone(), serializable(first.clone()), second.clone()]);
    finds(
        &[
            base.clone(),
            serializable(first.clone()),
            serializable(second),
        ],
        &[(
            Anomaly::ReadSetChanged,
            false,
            "T2 is serializable, but document 1 was changed by T1, which committed 2 before it committed 3",
        )],
    );
    let second = t(2, 3, &[get(1, 2, 11), get(2, 1, 20), put(2, 21)]);
    legal(&[base, serializable(first), serializable(second)]);
}

#[test]
fn phantoms() {
    let base = t(0, 1, &[put(1, 10), put(9, 90)]);
    let inserts = t(1, 2, &[put(5, 50)]);
    let found = [(1, 1, 10), (9, 1, 90)];
    let scans = |op: Op| serializable(t(1, 3, &[op, put(100, 1)]));
    finds(
        &[base.clone(), inserts.clone(), scans(up(0, 10, &found))],
        &[(
            Anomaly::ReadSetChanged,
            false,
            "T2 is serializable, but the scan 0..=10 up was changed by T1, which committed 2 before it committed 3",
        )],
    );
    // Outside of the range, and behind the limit.
    legal(&[base.clone(), inserts.clone(), scans(up(6, 10, &found[1..]))]);
    legal(&[
        base.clone(),
        inserts.clone(),
        scans(limited(1, up(0, 10, &found[..1]))),
    ]);
    // Who does not write reads at its snapshot, whatever comes later.
    let reader = serializable(t(1, 0, &[up(0, 10, &found)]));
    legal(&[base, inserts, reader]);
}

#[test]
fn an_absent_document_that_appears() {
    let inserts = t(0, 1, &[put(5, 50)]);
    let reads = |at: u64| serializable(t(at, 2, &[Op::Get(6, None), Op::Get(5, None), put(7, 1)]));
    finds(
        &[inserts.clone(), reads(0)],
        &[(
            Anomaly::ReadSetChanged,
            false,
            "T1 is serializable, but document 5 was changed by T0, which committed 1 before it committed 2",
        )],
    );
    let gone = t(1, 2, &[Op::Delete(5)]);
    let after = serializable(t(0, 3, &[Op::Get(5, None), put(7, 1)]));
    legal(&[inserts, gone, after]);
}

#[test]
fn the_first_committer_wins() {
    let base = t(0, 1, &[put(7, 10)]);
    let first = t(1, 2, &[put(7, 20)]);
    finds(
        &[base.clone(), first.clone(), t(1, 3, &[put(7, 30)])],
        &[(
            Anomaly::FirstCommitterLost,
            false,
            "T1 committed 2 of document 7 behind the snapshot 1 of T2, which committed 3 all the same",
        )],
    );
    legal(&[base.clone(), first.clone(), t(2, 3, &[put(7, 30)])]);
    legal(&[base.clone(), first.clone(), t(1, 3, &[put(8, 30)])]);
    let lost = ended(Outcome::Aborted, t(1, 0, &[put(7, 30)]));
    legal(&[base.clone(), first.clone(), lost]);
    // A write outside of any transaction takes what it finds.
    let single = Txn {
        snapshot: None,
        ..t(0, 3, &[put(7, 30)])
    };
    legal(&[base, first, single]);
}

#[test]
fn commits_are_unique_and_behind_their_snapshots() {
    finds(
        &[t(0, 1, &[put(1, 1)]), t(0, 1, &[put(2, 2)])],
        &[(
            Anomaly::DuplicateCommit,
            false,
            "T0 and T1 both committed 1",
        )],
    );
    legal(&[t(0, 1, &[put(1, 1)]), t(0, 2, &[put(2, 2)])]);
    finds(
        &[t(0, 1, &[put(1, 1)]), t(2, 2, &[put(2, 2)])],
        &[(
            Anomaly::CommitOrder,
            false,
            "T1 committed 2, not behind its snapshot 2",
        )],
    );
}

#[test]
fn time_goes_forward() {
    let first = at(0, 1, t(0, 5, &[put(1, 1)]));
    let read = |begin: u64| at(begin, 9, t(4, 0, &[Op::Get(1, None)]));
    finds(
        &[first.clone(), read(2)],
        &[(
            Anomaly::StaleRead,
            false,
            "T0 committed 5 and was acknowledged; T1 began later and read at 4",
        )],
    );
    legal(&[first.clone(), read(0)]);
    let unknown = ended(Outcome::Unknown, first.clone());
    legal(&[unknown, read(2)]);
    let single = |begin: u64| Txn {
        snapshot: None,
        ..at(begin, 9, t(0, 4, &[put(2, 2)]))
    };
    finds(
        &[first.clone(), single(2)],
        &[(
            Anomaly::CommitOrder,
            false,
            "T0 knew version 5 and was over; T1 began later and committed 4",
        )],
    );
    legal(&[first, single(0)]);
    // A snapshot cannot hold what began after its transaction was over.
    let reader = at(0, 1, t(6, 0, &[]));
    finds(
        &[reader, at(2, 3, t(5, 6, &[put(1, 1)]))],
        &[(
            Anomaly::CommitOrder,
            false,
            "T0 knew version 6 and was over; T1 began later and committed 6",
        )],
    );
}

#[test]
fn unknown_outcomes() {
    let unknown = ended(Outcome::Unknown, t(0, 0, &[put(7, 10), put(8, 11)]));
    let report = check(&[unknown.clone(), t(3, 0, &[get(7, 2, 10), get(8, 2, 11)])]);
    assert!(report.is_ok(), "{report}");
    assert_eq!((report.stats.settled, report.stats.open), (1, 0));
    // Half of it is not there.
    finds(
        &[unknown.clone(), t(3, 0, &[get(7, 2, 10), Op::Get(8, None)])],
        &[(
            Anomaly::WrongRead,
            false,
            "T1 read document 8 at 3 as absent; it was 11 (version 2)",
        )],
    );
    let report = check(&[unknown.clone(), t(3, 0, &[Op::Get(7, None)])]);
    assert!(report.is_ok(), "{report}");
    assert_eq!((report.stats.settled, report.stats.open), (0, 1));
    // Without its version it cannot be placed, so nothing is held against who saw it.
    let report = check(&[unknown, t(3, 0, &[get(7, 0, 10)])]);
    assert_eq!((report.is_ok(), report.stats.unjudged), (true, 1));
    // A deletion may have happened.
    let base = t(0, 1, &[put(7, 10)]);
    let deletes = ended(Outcome::Unknown, t(1, 0, &[Op::Delete(7)]));
    let report = check(&[base.clone(), deletes.clone(), t(3, 0, &[Op::Get(7, None)])]);
    assert_eq!((report.is_ok(), report.stats.unjudged), (true, 1));
    let report = check(&[base, deletes, t(3, 0, &[up(0, 9, &NONE)])]);
    assert_eq!((report.is_ok(), report.stats.unjudged), (true, 1));
}
