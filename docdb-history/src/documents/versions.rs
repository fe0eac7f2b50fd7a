//! The model: every version of every document.

use std::collections::BTreeMap;

use super::settle::{Settled, final_writes};
use crate::model::{Direction, ScanRange, Txn};

/// One version of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) ts: u64,
    /// None: it was deleted.
    pub(super) value: Option<u64>,
    pub(super) txn: usize,
}

/// A document as it must be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) value: u64,
    /// Its version, `None` where it is the transaction's own write.
    pub(super) version: Option<u64>,
}

/// What a transaction has written so far.
pub(super) type Own = BTreeMap<u64, Option<u64>>;

/// Of each document its versions, ascending.
#[derive(Debug, Default)]
pub(super) struct Versions {
    documents: BTreeMap<u64, Vec<Version>>,
}

impl Versions {
    pub(super) fn new(txns: &[Txn], settled: &Settled) -> Self {
        let mut order: Vec<(u64, usize)> = settled
            .commit
            .iter()
            .enumerate()
            .filter_map(|(txn, ts)| Some(((*ts)?, txn)))
            .collect();
        order.sort_unstable();
        let mut versions = Self::default();
        for (ts, txn) in order {
            for (key, value) in final_writes(&txns[txn]) {
                let of_key = versions.documents.entry(key).or_default();
                of_key.push(Version { ts, value, txn });
            }
        }
        versions
    }

    pub(super) fn count(&self) -> u64 {
        self.documents.values().map(|v| v.len() as u64).sum()
    }

    /// Every document with its versions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &[Version])> {
        self.documents.iter().map(|(key, v)| (*key, v.as_slice()))
    }

    /// The version of a document that is current at a point, deletions included.
    pub(super) fn version_at(&self, key: u64, ts: u64) -> Option<Version> {
        current(self.documents.get(&key)?, ts)
    }

    /// A document at a point.
    pub(super) fn at(&self, key: u64, ts: u64) -> Option<Expected> {
        self.version_at(key, ts).and_then(expected)
    }

    /// A scan at a point, over what the transaction itself has written.
    pub(super) fn scan(&self, range: ScanRange, ts: u64, own: &Own) -> Vec<(u64, Expected)> {
        if range.from > range.to {
            return Vec::new();
        }
        let keys = range.from..=range.to;
        let stored = self.documents.range(keys.clone());
        let stored = stored.filter_map(|(key, v)| Some((*key, current(v, ts).and_then(expected)?)));
        let mut all: BTreeMap<u64, Expected> = stored.collect();
        for (key, value) in own.range(keys) {
            match value {
                Some(value) => all.insert(*key, of_own(*value)),
                None => all.remove(key),
            };
        }
        let limit = range.limit.map_or(usize::MAX, |limit| limit as usize);
        match range.direction {
            Direction::Ascending => all.into_iter().take(limit).collect(),
            Direction::Descending => all.into_iter().rev().take(limit).collect(),
        }
    }
}

/// A document that the reader itself has written.
pub(super) fn of_own(value: u64) -> Expected {
    Expected {
        value,
        version: None,
    }
}

fn expected(version: Version) -> Option<Expected> {
    Some(Expected {
        value: version.value?,
        version: Some(version.ts),
    })
}

fn current(versions: &[Version], ts: u64) -> Option<Version> {
    let behind = versions.partition_point(|v| v.ts <= ts);
    versions[..behind].last().copied()
}
