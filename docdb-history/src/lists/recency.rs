//! What must have been seen by the time of a read, and updates that were lost.

use super::orders::Orders;
use super::store::Kind;
use super::words::Words;
use crate::model::Outcome;
use crate::report::{Anomaly, Report};

/// Appends that were acknowledged and not read later; with `real_time`, also those that were read
/// by some but not by everyone who began later.
pub(super) fn check(orders: &Orders<'_>, real_time: bool, report: &mut Report) {
    let words = Words::of(orders);
    for key in 0..orders.history.keys.len() as u32 {
        of_key(orders, words, key, real_time, report);
        lost_updates(orders, words, key, report);
    }
}

fn of_key(
    orders: &Orders<'_>,
    words: Words<'_, '_>,
    key: u32,
    real_time: bool,
    report: &mut Report,
) {
    let history = orders.history;
    let mut acknowledged = Vec::new();
    let mut reads = Vec::new();
    for op in orders.ops_on(key) {
        let row = history.ops[*op as usize];
        let txn = &history.txns[orders.txn_of[*op as usize] as usize];
        match row.kind() {
            Kind::Append if txn.outcome == Outcome::Committed => {
                acknowledged.push((txn.end, *op));
            }
            Kind::Known => reads.push((txn.begin, *op)),
            _ => {}
        }
    }
    acknowledged.sort_unstable();
    reads.sort_unstable();

    let last_read = reads.last().copied();
    for (end, op) in &acknowledged {
        let Some((begin, read)) = last_read else {
            break;
        };
        if orders.place_of(*op).is_none() && begin > *end {
            report.forbid(Anomaly::LostAppend, || missed(orders, words, *op, read));
        }
    }
    if !real_time {
        return;
    }
    let mut due = acknowledged.into_iter().peekable();
    // The acknowledged append that stands furthest back in the list.
    let mut furthest: Option<(u32, u32)> = None;
    for (begin, read) in reads {
        while let Some((_, op)) = due.next_if(|(end, _)| *end < begin) {
            furthest = furthest.max(orders.place_of(op).map(|place| (place, op)));
        }
        if let Some((place, op)) = furthest
            && place >= history.ops[read as usize].length()
        {
            report.forbid(Anomaly::StaleRead, || missed(orders, words, op, read));
        }
    }
}

fn missed(orders: &Orders<'_>, words: Words<'_, '_>, op: u32, read: u32) -> (Vec<usize>, String) {
    let txns = [op, read].map(|op| orders.txn_of[op as usize]);
    let said = format!(
        "{} appended {} and was acknowledged; {} began later and saw only {} elements, without it",
        words.txn(txns[0]),
        words.element(op),
        words.txn(txns[1]),
        orders.history.ops[read as usize].length(),
    );
    (txns.map(|txn| txn as usize).to_vec(), said)
}

/// Of all that read one version of a key and appended to it, one may count.
fn lost_updates(orders: &Orders<'_>, words: Words<'_, '_>, key: u32, report: &mut Report) {
    let history = orders.history;
    let mut updates = Vec::new();
    for op in orders.ops_on(key) {
        let row = history.ops[*op as usize];
        let txn = orders.txn_of[*op as usize];
        if row.kind() == Kind::Known && orders.alive[txn as usize] {
            let mut ops = history.ops_of(txn as usize).map(|at| history.ops[at]);
            if ops.any(|o| o.key == key && o.kind() == Kind::Append) {
                updates.push((row.length(), txn));
            }
        }
    }
    updates.sort_unstable();
    updates.dedup();
    for pair in updates.windows(2) {
        if pair[0].0 == pair[1].0 {
            let txns = [pair[0].1, pair[1].1];
            report.forbid(Anomaly::LostUpdate, || {
                let said = format!(
                    "{} and {} both read {} elements of key {} and appended to it",
                    words.txn(txns[0]),
                    words.txn(txns[1]),
                    pair[0].0,
                    history.keys[key as usize].name
                );
                (txns.map(|txn| txn as usize).to_vec(), said)
            });
        }
    }
}
