//! The order of the versions of each key, as far as reads show it.

use super::store::{Kind, ListHistory, NONE};
use crate::model::Outcome;

/// What is derived from a history before any judgement.
pub(crate) struct Orders<'h> {
    pub(crate) history: &'h ListHistory,
    /// The transaction of each operation.
    pub(crate) txn_of: Vec<u32>,
    /// Operations by key, in order: those of key `k` from `key_starts[k]` to `key_starts[k + 1]`.
    by_key: Vec<u32>,
    key_starts: Vec<u32>,
    /// The append that wrote each element of each known list ([`NONE`] if nobody did), from
    /// `element_starts[k]` on.
    elements: Vec<u32>,
    element_starts: Vec<u32>,
    /// Where the element of an append stands in the known list, [`NONE`] if it is not there.
    place: Vec<u32>,
    /// Committed, or of unknown outcome and seen by another.
    pub(crate) alive: Vec<bool>,
    pub(crate) settled: u64,
    /// Elements that stand twice in a known list: key and place of the second.
    pub(crate) repeated: Vec<(u32, u32)>,
    /// Appends of an element that was appended before: first and second.
    pub(crate) appended_twice: Vec<(u32, u32)>,
}

impl<'h> Orders<'h> {
    pub(crate) fn new(history: &'h ListHistory) -> Self {
        let mut txn_of = vec![0; history.ops.len()];
        for txn in 0..history.txns.len() {
            txn_of[history.ops_of(txn)].fill(txn as u32);
        }
        let (key_starts, by_key) = group_by_key(history);
        let mut element_starts = Vec::with_capacity(history.keys.len() + 1);
        let mut total = 0;
        for key in &history.keys {
            element_starts.push(total);
            total += key.known.len() as u32;
        }
        element_starts.push(total);
        let mut orders = Self {
            history,
            txn_of,
            by_key,
            key_starts,
            elements: vec![NONE; total as usize],
            element_starts,
            place: vec![NONE; history.ops.len()],
            alive: Vec::new(),
            settled: 0,
            repeated: Vec::new(),
            appended_twice: Vec::new(),
        };
        for key in 0..history.keys.len() as u32 {
            orders.place_elements(key);
        }
        orders.find_alive();
        orders
    }

    fn place_elements(&mut self, key: u32) {
        let appends = self.appends_by_value(key);
        for pair in appends.windows(2) {
            if pair[0].0 == pair[1].0 {
                self.appended_twice.push((pair[0].1, pair[1].1));
            }
        }
        let start = self.element_starts[key as usize] as usize;
        for (at, value) in self.history.keys[key as usize].known.iter().enumerate() {
            let found = appends.partition_point(|(v, _)| v < value);
            let Some((_, op)) = appends.get(found).filter(|(v, _)| v == value) else {
                continue;
            };
            self.elements[start + at] = *op;
            let place = &mut self.place[*op as usize];
            if *place == NONE {
                *place = at as u32;
            } else {
                self.repeated.push((key, at as u32));
            }
        }
    }

    fn appends_by_value(&self, key: u32) -> Vec<(u64, u32)> {
        let ops = self.ops_on(key).iter();
        let appends = ops.filter(|op| self.history.ops[**op as usize].kind() == Kind::Append);
        let mut appends: Vec<_> = appends
            .map(|op| (self.history.ops[*op as usize].value, *op))
            .collect();
        appends.sort_unstable();
        appends
    }

    fn find_alive(&mut self) {
        let rows = &self.history.txns;
        self.alive = rows
            .iter()
            .map(|row| row.outcome == Outcome::Committed)
            .collect();
        let mut seen: Vec<u32> = self.elements.clone();
        seen.extend(self.odd_elements().map(|(_, _, op)| op));
        for op in seen.into_iter().filter(|op| *op != NONE) {
            let txn = self.txn_of[op as usize] as usize;
            if rows[txn].outcome == Outcome::Unknown && !self.alive[txn] {
                self.alive[txn] = true;
                self.settled += 1;
            }
        }
    }

    /// Every element of every odd read that its own transaction did not append: the read, the
    /// element, and the append that wrote it or [`NONE`].
    pub(crate) fn odd_elements(&self) -> impl Iterator<Item = (u32, u64, u32)> {
        let ops = 0..self.history.ops.len() as u32;
        let odd = ops.filter(|op| self.history.ops[*op as usize].kind() == Kind::Odd);
        odd.flat_map(move |read| {
            let row = self.history.ops[read as usize];
            let appends = self.appends_by_value(row.key);
            let list = self.history.odd_list(row).iter();
            let found = list.map(move |value| {
                let at = appends.partition_point(|(v, _)| v < value);
                let op = appends.get(at).filter(|(v, _)| v == value);
                (read, *value, op.map_or(NONE, |(_, op)| *op))
            });
            let reader = self.txn_of[read as usize];
            found.filter(move |(_, _, op)| *op == NONE || self.txn_of[*op as usize] != reader)
        })
    }

    /// The operations on a key, in the order of the history.
    pub(crate) fn ops_on(&self, key: u32) -> &[u32] {
        let key = key as usize;
        &self.by_key[self.key_starts[key] as usize..self.key_starts[key + 1] as usize]
    }

    /// The appends that wrote the known list of a key.
    pub(crate) fn elements_of(&self, key: u32) -> &[u32] {
        let key = key as usize;
        &self.elements[self.element_starts[key] as usize..self.element_starts[key + 1] as usize]
    }

    /// Where the element of an append stands.
    pub(crate) fn place_of(&self, op: u32) -> Option<u32> {
        let place = self.place[op as usize];
        (place != NONE).then_some(place)
    }

    /// The transaction that wrote the element at a place of a key's known list, if it counts.
    pub(crate) fn writer(&self, key: u32, place: u32) -> Option<u32> {
        let op = *self.elements_of(key).get(place as usize)?;
        let txn = *self.txn_of.get(op as usize)?;
        self.alive[txn as usize].then_some(txn)
    }

    /// The transactions that appended to a key and counted, but were never seen there; not more
    /// than are needed to tell what is wrong.
    pub(crate) fn unseen_writers(&self, key: u32) -> Vec<u32> {
        const UNSEEN_MAX: usize = 16;
        let mut unseen = Vec::new();
        for op in self.ops_on(key) {
            let txn = self.txn_of[*op as usize];
            if self.history.ops[*op as usize].kind() == Kind::Append
                && self.place_of(*op).is_none()
                && self.alive[txn as usize]
                && unseen.last() != Some(&txn)
            {
                unseen.push(txn);
                if unseen.len() == UNSEEN_MAX {
                    break;
                }
            }
        }
        unseen
    }
}

fn group_by_key(history: &ListHistory) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; history.keys.len() + 1];
    for op in &history.ops {
        starts[op.key as usize + 1] += 1;
    }
    for key in 0..history.keys.len() {
        starts[key + 1] += starts[key];
    }
    let mut next = starts.clone();
    let mut by_key = vec![0; history.ops.len()];
    for (at, op) in history.ops.iter().enumerate() {
        let slot = &mut next[op.key as usize];
        by_key[*slot as usize] = at as u32;
        *slot += 1;
    }
    (starts, by_key)
}
