//! What can be judged element by element: where each came from, and whether it should be there.

use super::orders::Orders;
use super::store::{Kind, NONE, own_before};
use super::words::Words;
use crate::model::Outcome;
use crate::report::{Anomaly, Report};

/// Invented and repeated elements, aborted and intermediate reads, contradictions.
pub(super) fn check(orders: &Orders<'_>, report: &mut Report) {
    let words = Words::of(orders);
    known_elements(orders, words, report);
    for (read, value, op) in orders.odd_elements() {
        let reader = orders.txn_of[read as usize];
        let key = orders.history.ops[read as usize].key;
        element(orders, words, (key, value, op), Some(reader), report);
    }
    for (first, second) in &orders.appended_twice {
        let txns = [*first, *second].map(|op| orders.txn_of[op as usize]);
        report.forbid(Anomaly::Duplicate, || {
            let said = format!(
                "{} and {} appended the same element {}: the workload must not",
                words.txn(txns[0]),
                words.txn(txns[1]),
                words.element(*first)
            );
            (ids(&txns), said)
        });
    }
    for op in 0..orders.history.ops.len() as u32 {
        match orders.history.ops[op as usize].kind() {
            Kind::Append => {}
            Kind::Known => known_read(orders, words, op, report),
            Kind::Odd => odd_read(orders, words, op, report),
            Kind::Dropped => report.stats.unjudged += 1,
        }
    }
}

fn ids(txns: &[u32]) -> Vec<usize> {
    txns.iter().map(|txn| *txn as usize).collect()
}

fn known_elements(orders: &Orders<'_>, words: Words<'_, '_>, report: &mut Report) {
    for (key, row) in orders.history.keys.iter().enumerate() {
        let key = key as u32;
        for (at, op) in orders.elements_of(key).iter().enumerate() {
            let found = (key, row.known[at], *op);
            let bad = *op == NONE || {
                let writer = orders.txn_of[*op as usize] as usize;
                orders.history.txns[writer].outcome == Outcome::Aborted
            };
            if bad {
                let reader = words.reader_beyond(key, at as u32);
                element(orders, words, found, reader, report);
            }
        }
    }
    for (key, at) in &orders.repeated {
        report.forbid(Anomaly::Duplicate, || {
            let reader = words.reader_beyond(*key, *at);
            let row = &orders.history.keys[*key as usize];
            let said = format!(
                "{} saw {} of key {} twice",
                words.txn_or_nobody(reader),
                row.known[*at as usize],
                row.name
            );
            (ids(reader.as_slice()), said)
        });
    }
}

/// An element that was read by another transaction than the one that appended it.
fn element(
    orders: &Orders<'_>,
    words: Words<'_, '_>,
    (key, value, op): (u32, u64, u32),
    reader: Option<u32>,
    report: &mut Report,
) {
    let name = orders.history.keys[key as usize].name;
    if op == NONE {
        report.forbid(Anomaly::Invented, || {
            let reader_said = words.txn_or_nobody(reader);
            let said = format!("{reader_said} saw {value} in key {name}, which nobody appended");
            (ids(reader.as_slice()), said)
        });
        return;
    }
    let writer = orders.txn_of[op as usize];
    if orders.history.txns[writer as usize].outcome == Outcome::Aborted {
        report.forbid(Anomaly::G1a, || {
            let said = format!(
                "{} saw {value} in key {name}, which {} appended and aborted",
                words.txn_or_nobody(reader),
                words.txn(writer)
            );
            let txns = reader.into_iter().chain([writer]).collect::<Vec<_>>();
            (ids(&txns), said)
        });
    }
}

fn known_read(orders: &Orders<'_>, words: Words<'_, '_>, read: u32, report: &mut Report) {
    report.stats.reads += 1;
    let history = orders.history;
    let row = history.ops[read as usize];
    let reader = orders.txn_of[read as usize];
    let before = history.txns[reader as usize].first_op as usize..read as usize;
    let earlier = history.ops[before]
        .iter()
        .find(|o| o.key == row.key && o.kind() == Kind::Known && o.length() != row.length());
    if let Some(earlier) = earlier {
        report.forbid(Anomaly::Internal, || {
            let said = format!(
                "{} read key {} twice and saw {} elements of others, then {}",
                words.txn(reader),
                history.keys[row.key as usize].name,
                earlier.length(),
                row.length()
            );
            (ids(&[reader]), said)
        });
    }
    intermediate(orders, words, read, report);
}

/// The last element that a reader saw must be the last that its transaction appended to the key.
fn intermediate(orders: &Orders<'_>, words: Words<'_, '_>, read: u32, report: &mut Report) {
    let row = orders.history.ops[read as usize];
    let Some(last) = row.length().checked_sub(1) else {
        return;
    };
    let last = orders.elements_of(row.key)[last as usize];
    let Some(writer) = orders.txn_of.get(last as usize).copied() else {
        return;
    };
    let reader = orders.txn_of[read as usize];
    if writer == reader {
        return;
    }
    let later = orders.history.ops_of(writer as usize).find(|at| {
        let op = orders.history.ops[*at];
        *at > last as usize && op.key == row.key && op.kind() == Kind::Append
    });
    if let Some(later) = later {
        report.forbid(Anomaly::G1b, || {
            let said = format!(
                "{} saw {} but not {}, both of which {} appended",
                words.txn(reader),
                words.element(last),
                words.element(later as u32),
                words.txn(writer)
            );
            (ids(&[reader, writer]), said)
        });
    }
}

fn odd_read(orders: &Orders<'_>, words: Words<'_, '_>, read: u32, report: &mut Report) {
    report.stats.reads += 1;
    let history = orders.history;
    let row = history.ops[read as usize];
    let reader = orders.txn_of[read as usize];
    let list = history.odd_list(row);
    let name = history.keys[row.key as usize].name;
    let own = own_before(history, reader as usize, read as usize);
    if !list.ends_with(&own) {
        report.forbid(Anomaly::Internal, || {
            let said = format!(
                "{} appended {own:?} to key {name} and then saw {}",
                words.txn(reader),
                words.list(list)
            );
            (ids(&[reader]), said)
        });
        return;
    }
    let mut sorted = list.to_vec();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        report.forbid(Anomaly::Duplicate, || {
            let said = format!("{} saw {} of key {name} twice", words.txn(reader), pair[0]);
            (ids(&[reader]), said)
        });
    }
    report.forbid(Anomaly::IncompatibleOrder, || {
        let known = &history.keys[row.key as usize].known;
        let same = known.iter().zip(list).take_while(|(a, b)| a == b).count();
        let other = words.reader_beyond(row.key, same as u32);
        let said = format!(
            "{} saw key {name} as {}, {} as {}: they differ at place {same}",
            words.txn(reader),
            words.list(list),
            words.txn_or_nobody(other),
            words.list(known),
        );
        let txns = [reader].into_iter().chain(other).collect::<Vec<_>>();
        (ids(&txns), said)
    });
}
