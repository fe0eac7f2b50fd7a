//! Reads and scans against the model, at the snapshot and, for serializable ones, at the commit.

use super::settle::Settled;
use super::versions::{Expected, Own, Versions, of_own};
use super::words;
use crate::model::{Level, Op, Outcome, ScanRange, Seen, Txn};
use crate::report::{Anomaly, Report};

/// Most documents of a difference that are named.
const NAMED_MAX: usize = 4;

pub(super) fn check(txns: &[Txn], settled: &Settled, versions: &Versions, report: &mut Report) {
    for index in 0..txns.len() {
        let replay = Replay {
            txns,
            settled,
            versions,
            index,
        };
        replay.run(report);
    }
}

struct Replay<'a> {
    txns: &'a [Txn],
    settled: &'a Settled,
    versions: &'a Versions,
    index: usize,
}

impl Replay<'_> {
    fn run(&self, report: &mut Report) {
        let txn = &self.txns[self.index];
        let Some(at) = txn.snapshot else {
            let reads = |op: &&Op| matches!(op, Op::Get(..) | Op::Scan(..));
            report.stats.unjudged += txn.ops.iter().filter(reads).count() as u64;
            return;
        };
        // What a serializable writer read must be the same right before its commit.
        let again = match (txn.level, self.settled.commit[self.index]) {
            (Level::Serializable, Some(commit)) => commit.checked_sub(1).filter(|last| *last > at),
            _ => None,
        };
        let mut own = Own::new();
        for op in &txn.ops {
            match op {
                Op::Get(key, seen) => {
                    report.stats.reads += 1;
                    self.get(*key, *seen, at, &own, report);
                    if !own.contains_key(key)
                        && let Some(again) = again
                    {
                        let (then, now) =
                            (self.versions.at(*key, at), self.versions.at(*key, again));
                        if then != now {
                            self.changed(&format!("document {key}"), (*key, again), report);
                        }
                    }
                }
                Op::Scan(range, seen) => {
                    report.stats.reads += 1;
                    self.scan(*range, seen, at, &own, report);
                    if let Some(again) = again {
                        let then = self.versions.scan(*range, at, &own);
                        let now = self.versions.scan(*range, again, &own);
                        if let Some(key) = first_difference(&then, &now) {
                            let what = format!("the scan {}", range_words(*range));
                            self.changed(&what, (key, again), report);
                        }
                    }
                }
                Op::Put(key, value) => {
                    own.insert(*key, Some(*value));
                }
                Op::Delete(key) => {
                    let there = match own.get(key) {
                        Some(own) => own.is_some(),
                        None => self.versions.at(*key, at).is_some(),
                    };
                    if !there && !self.may_be_there(*key) {
                        report.forbid(Anomaly::WrongRead, || {
                            let who = words(self.txns, self.index);
                            let said = format!(
                                "{who} deleted document {key}, which did not exist at {at}"
                            );
                            (vec![self.index], said)
                        });
                    }
                    own.insert(*key, None);
                }
                Op::Append(..) | Op::Read(..) => {}
            }
        }
    }

    fn get(&self, key: u64, seen: Option<Seen>, at: u64, own: &Own, report: &mut Report) {
        let expected = match own.get(&key) {
            Some(own) => own.map(of_own),
            None => self.versions.at(key, at),
        };
        if matches(seen, expected) {
            return;
        }
        if !own.contains_key(&key) && self.settled.is_open(key, seen.map(|s| s.value)) {
            report.stats.unjudged += 1;
            return;
        }
        report.forbid(Anomaly::WrongRead, || {
            let said = format!(
                "{} read document {key} at {at} as {}; it was {}{}",
                words(self.txns, self.index),
                seen_words(seen),
                expected_words(expected),
                self.origin(key, seen, at)
            );
            (self.with_origin(key, seen), said)
        });
    }

    fn scan(
        &self,
        range: ScanRange,
        seen: &[(u64, Seen)],
        at: u64,
        own: &Own,
        report: &mut Report,
    ) {
        let expected = self.versions.scan(range, at, own);
        let same = |((a, seen), (b, expected)): (&(u64, Seen), &(u64, Expected))| {
            a == b && matches(Some(*seen), Some(*expected))
        };
        if seen.len() == expected.len() && seen.iter().zip(&expected).all(same) {
            return;
        }
        let differences = differences(seen, &expected);
        let open = |(key, seen, _): &(u64, Option<Seen>, Option<Expected>)| {
            !own.contains_key(key) && self.settled.is_open(*key, seen.map(|s| s.value))
        };
        if differences.iter().any(open) {
            report.stats.unjudged += 1;
            return;
        }
        report.forbid(Anomaly::WrongScan, || {
            let first = differences.first();
            let named = differences
                .iter()
                .take(NAMED_MAX)
                .map(|(key, seen, expected)| {
                    format!(
                        "document {key} as {}, it was {}{}",
                        seen_words(*seen),
                        expected_words(*expected),
                        self.origin(*key, *seen, at)
                    )
                });
            let mut said = named.collect::<Vec<_>>().join("; ");
            if differences.is_empty() {
                said = "the right documents in a wrong order, or one twice".to_owned();
            } else if differences.len() > NAMED_MAX {
                said += &format!("; and {} more", differences.len() - NAMED_MAX);
            }
            let who = words(self.txns, self.index);
            let said = format!(
                "{who} scanned {} at {at} and saw {said}",
                range_words(range)
            );
            let txns = match first {
                Some((key, seen, _)) => self.with_origin(*key, *seen),
                None => vec![self.index],
            };
            (txns, said)
        });
    }

    fn changed(&self, what: &str, (key, by): (u64, u64), report: &mut Report) {
        report.forbid(Anomaly::ReadSetChanged, || {
            let writer = self.versions.version_at(key, by);
            let by = writer.map_or_else(String::new, |v| {
                format!(" by {}, which committed {}", words(self.txns, v.txn), v.ts)
            });
            let said = format!(
                "{} is serializable, but {what} was changed{by} before it committed {}",
                words(self.txns, self.index),
                self.settled.commit[self.index].unwrap_or_default()
            );
            let txns = [self.index].into_iter().chain(writer.map(|v| v.txn));
            (txns.collect(), said)
        });
    }

    /// Whether an open transaction may have written a document that the model does not have.
    fn may_be_there(&self, key: u64) -> bool {
        let open = self.txns.iter().enumerate().filter(|(index, txn)| {
            txn.outcome == Outcome::Unknown && self.settled.commit[*index].is_none()
        });
        open.flat_map(|(_, txn)| &txn.ops)
            .any(|op| matches!(op, Op::Put(k, _) if *k == key))
    }

    /// Who wrote what was seen. Looks through the whole history, so only for a witness.
    fn writer_of(&self, key: u64, seen: Option<Seen>) -> Option<usize> {
        let value = seen?.value;
        let wrote = |txn: &Txn| txn.ops.contains(&Op::Put(key, value));
        self.txns.iter().position(wrote)
    }

    fn with_origin(&self, key: u64, seen: Option<Seen>) -> Vec<usize> {
        let other = self.writer_of(key, seen).filter(|txn| *txn != self.index);
        [self.index].into_iter().chain(other).collect()
    }

    fn origin(&self, key: u64, seen: Option<Seen>, at: u64) -> String {
        let Some(seen) = seen else {
            return String::new();
        };
        let Some(index) = self.writer_of(key, Some(seen)) else {
            return format!(" ({} was written by nobody)", seen.value);
        };
        let end = match (self.txns[index].outcome, self.settled.commit[index]) {
            (Outcome::Aborted, _) => "aborted".to_owned(),
            (_, Some(ts)) if ts > at => format!("committed {ts}, behind the snapshot"),
            (_, Some(ts)) => format!("committed {ts}"),
            (_, None) => "is open".to_owned(),
        };
        let who = words(self.txns, index);
        format!(" ({} was written by {who}, which {end})", seen.value)
    }
}

fn matches(seen: Option<Seen>, expected: Option<Expected>) -> bool {
    match (seen, expected) {
        (None, None) => true,
        (Some(seen), Some(expected)) => {
            let versions = seen.version.zip(expected.version);
            seen.value == expected.value && versions.is_none_or(|(a, b)| a == b)
        }
        _ => false,
    }
}

/// The documents in which a scan and the model differ.
fn differences(
    seen: &[(u64, Seen)],
    expected: &[(u64, Expected)],
) -> Vec<(u64, Option<Seen>, Option<Expected>)> {
    let seen: std::collections::BTreeMap<_, _> = seen.iter().copied().collect();
    let expected: std::collections::BTreeMap<_, _> = expected.iter().copied().collect();
    let mut keys: Vec<u64> = seen.keys().chain(expected.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.iter()
        .map(|key| (*key, seen.get(key).copied(), expected.get(key).copied()))
        .filter(|(_, seen, expected)| !matches(*seen, *expected))
        .collect()
}

/// A document in which two scans by the model differ.
fn first_difference(then: &[(u64, Expected)], now: &[(u64, Expected)]) -> Option<u64> {
    let different = now.iter().find(|pair| !then.contains(pair));
    different
        .or_else(|| then.iter().find(|pair| !now.contains(pair)))
        .map(|(key, _)| *key)
}

fn seen_words(seen: Option<Seen>) -> String {
    match seen {
        None => "absent".to_owned(),
        Some(seen) => match seen.version {
            Some(version) => format!("{} (version {version})", seen.value),
            None => seen.value.to_string(),
        },
    }
}

fn expected_words(expected: Option<Expected>) -> String {
    match expected {
        None => "absent".to_owned(),
        Some(Expected {
            value,
            version: Some(version),
        }) => format!("{value} (version {version})"),
        Some(own) => format!("{}, its own write", own.value),
    }
}

fn range_words(range: ScanRange) -> String {
    let limit = range
        .limit
        .map_or_else(String::new, |limit| format!(" limit {limit}"));
    let direction = match range.direction {
        crate::model::Direction::Ascending => "up",
        crate::model::Direction::Descending => "down",
    };
    format!("{}..={} {direction}{limit}", range.from, range.to)
}
