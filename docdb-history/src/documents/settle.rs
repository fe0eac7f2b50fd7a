//! Which version each transaction committed; where its client does not know, by who saw it.

use std::collections::{HashMap, HashSet};

use super::{may_have_committed, writes_documents};
use crate::model::{Op, Outcome, Seen, Txn};
use crate::report::Report;

/// What the outcomes come to.
pub(super) struct Settled {
    /// The version that each transaction committed, if it wrote and that is known.
    pub(super) commit: Vec<Option<u64>>,
    /// Final writes of transactions that may have committed, nobody knows in which version: a
    /// document and its value, or none if it was deleted.
    open: HashSet<(u64, Option<u64>)>,
}

impl Settled {
    pub(super) fn new(txns: &[Txn], report: &mut Report) -> Self {
        let mut commit: Vec<Option<u64>> = vec![None; txns.len()];
        let mut known = HashSet::new();
        let mut unplaced = HashMap::new();
        for (index, txn) in txns.iter().enumerate() {
            let placed = txn.outcome == Outcome::Committed && txn.commit.is_some();
            if !may_have_committed(txn) || !writes_documents(txn) {
                continue;
            }
            if placed {
                commit[index] = txn.commit;
                known.extend(txn.commit);
            } else {
                for (key, value) in final_writes(txn) {
                    if let Some(value) = value {
                        unplaced.insert((key, value), index);
                    }
                }
            }
        }
        for (key, seen) in observations(txns) {
            if let Some(version) = seen.version.filter(|v| !known.contains(v))
                && let Some(index) = unplaced.get(&(key, seen.value))
                && commit[*index].is_none()
            {
                commit[*index] = Some(version);
            }
        }
        let mut open = HashSet::new();
        let stats = &mut report.stats;
        for (index, txn) in txns.iter().enumerate() {
            match txn.outcome {
                Outcome::Aborted => stats.aborted += 1,
                Outcome::Committed => stats.committed += 1,
                Outcome::Unknown if commit[index].is_some() => {
                    stats.committed += 1;
                    stats.settled += 1;
                }
                Outcome::Unknown => stats.open += 1,
            }
            if may_have_committed(txn) && commit[index].is_none() {
                open.extend(final_writes(txn));
            }
        }
        Self { commit, open }
    }

    /// Whether a document may be in this state by an open transaction.
    pub(super) fn is_open(&self, key: u64, value: Option<u64>) -> bool {
        self.open.contains(&(key, value))
    }
}

fn observations(txns: &[Txn]) -> impl Iterator<Item = (u64, Seen)> {
    let ops = txns.iter().flat_map(|txn| &txn.ops);
    ops.flat_map(|op| {
        let (got, scanned) = match op {
            Op::Get(key, Some(seen)) => (Some((*key, *seen)), [].as_slice()),
            Op::Scan(_, seen) => (None, seen.as_slice()),
            _ => (None, [].as_slice()),
        };
        got.into_iter().chain(scanned.iter().copied())
    })
}

/// What a transaction leaves behind of each document that it wrote.
pub(super) fn final_writes(txn: &Txn) -> HashMap<u64, Option<u64>> {
    let writes = txn.ops.iter().filter_map(|op| match op {
        Op::Put(key, value) => Some((*key, Some(*value))),
        Op::Delete(key) => Some((*key, None)),
        _ => None,
    });
    writes.collect()
}
