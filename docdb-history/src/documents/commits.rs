//! The order of commits: unique, after the snapshot, first committer wins, as time went.

use super::settle::Settled;
use super::versions::Versions;
use super::{DocumentRules, words};
use crate::model::{Outcome, Txn};
use crate::report::{Anomaly, Report};

pub(super) fn check(
    txns: &[Txn],
    settled: &Settled,
    versions: &Versions,
    rules: DocumentRules,
    report: &mut Report,
) {
    unique(txns, settled, report);
    for (index, txn) in txns.iter().enumerate() {
        if let (Some(snapshot), Some(commit)) = (txn.snapshot, settled.commit[index])
            && commit <= snapshot
        {
            report.forbid(Anomaly::CommitOrder, || {
                let who = words(txns, index);
                let said = format!("{who} committed {commit}, not behind its snapshot {snapshot}");
                (vec![index], said)
            });
        }
    }
    first_committer_wins(txns, versions, report);
    if rules.real_time {
        in_time(txns, settled, report);
    }
}

fn unique(txns: &[Txn], settled: &Settled, report: &mut Report) {
    let commits = settled.commit.iter().enumerate();
    let mut commits: Vec<_> = commits
        .filter_map(|(txn, ts)| Some(((*ts)?, txn)))
        .collect();
    commits.sort_unstable();
    for pair in commits.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let (ts, a, b) = (pair[0].0, pair[0].1, pair[1].1);
        report.forbid(Anomaly::DuplicateCommit, || {
            let said = format!(
                "{} and {} both committed {ts}",
                words(txns, a),
                words(txns, b)
            );
            (vec![a, b], said)
        });
    }
}

/// Of two transactions that overlapped and wrote one document, only one commits. It is enough to
/// look at neighbours in the order of versions: who lost to any earlier commit lost to the last.
fn first_committer_wins(txns: &[Txn], versions: &Versions, report: &mut Report) {
    for (key, of_key) in versions.iter() {
        for pair in of_key.windows(2) {
            let (first, second) = (pair[0], pair[1]);
            let Some(snapshot) = txns[second.txn].snapshot else {
                continue;
            };
            if first.ts > snapshot && first.ts < second.ts {
                report.forbid(Anomaly::FirstCommitterLost, || {
                    let said = format!(
                        "{} committed {} of document {key} behind the snapshot {snapshot} of {}, which committed {} all the same",
                        words(txns, first.txn),
                        first.ts,
                        words(txns, second.txn),
                        second.ts
                    );
                    (vec![first.txn, second.txn], said)
                });
            }
        }
    }
}

/// The highest version so far, and whose it is.
type Highest = Option<(u64, usize)>;

/// Goes through begins and ends in the order of time.
fn in_time(txns: &[Txn], settled: &Settled, report: &mut Report) {
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(txns.len() * 2);
    for (index, txn) in txns.iter().enumerate() {
        events.push((txn.begin, false, index));
        events.push((txn.end, true, index));
    }
    events.sort_unstable();
    let mut acknowledged: Highest = None;
    let mut seen: Highest = None;
    // What was true when a transaction began.
    let mut before: Vec<(Highest, Highest)> = vec![(None, None); txns.len()];
    for (_, is_end, index) in events {
        let txn = &txns[index];
        if is_end {
            let commit = settled.commit[index].filter(|_| txn.outcome == Outcome::Committed);
            acknowledged = acknowledged.max(commit.map(|ts| (ts, index)));
            seen = seen.max(commit.max(txn.snapshot).map(|ts| (ts, index)));
        } else {
            before[index] = (acknowledged, seen);
        }
    }
    for (index, (acknowledged, seen)) in before.into_iter().enumerate() {
        let commit = settled.commit[index];
        if let Some((ts, by)) = acknowledged
            && let Some(snapshot) = txns[index].snapshot.filter(|snapshot| *snapshot < ts)
        {
            report.forbid(Anomaly::StaleRead, || {
                let said = format!(
                    "{} committed {ts} and was acknowledged; {} began later and read at {snapshot}",
                    words(txns, by),
                    words(txns, index)
                );
                (vec![by, index], said)
            });
        }
        if let Some((ts, by)) = seen
            && let Some(commit) = commit.filter(|commit| *commit <= ts)
        {
            report.forbid(Anomaly::CommitOrder, || {
                let said = format!(
                    "{} knew version {ts} and was over; {} began later and committed {commit}",
                    words(txns, by),
                    words(txns, index)
                );
                (vec![by, index], said)
            });
        }
    }
}
