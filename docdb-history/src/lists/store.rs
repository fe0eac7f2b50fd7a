//! A history of lists in few bytes: a read that is a prefix of what was read before is a length.

use std::collections::HashMap;

use crate::model::{History, Level, Op, Outcome, Txn};

/// Most elements that are kept of reads which contradict the order known so far (128 MiB).
pub(crate) const ODD_ELEMENTS_MAX: usize = if cfg!(test) { 64 } else { 16 << 20 };

/// No number, no place.
pub(crate) const NONE: u32 = u32::MAX;

/// Most transactions in one history.
pub const TXNS_MAX: usize = 1 << 27;

const LENGTH_BITS: u32 = 30;
const LENGTH_MAX: u32 = (1 << LENGTH_BITS) - 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Append,
    /// The list was the known one up to the length, and then what the transaction had appended.
    Known,
    /// It was another; its elements are in `odd`.
    Odd,
    /// It was another, and there was no room for it.
    Dropped,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct OpRow {
    pub(crate) key: u32,
    packed: u32,
    /// Of an append the element, of an odd read its start in `odd`.
    pub(crate) value: u64,
}

impl OpRow {
    fn new(key: u32, kind: Kind, length: usize, value: u64) -> Self {
        let packed = (kind as u32) << LENGTH_BITS | (length as u32 & LENGTH_MAX);
        Self { key, packed, value }
    }

    pub(crate) fn kind(self) -> Kind {
        match self.packed >> LENGTH_BITS {
            0 => Kind::Append,
            1 => Kind::Known,
            2 => Kind::Odd,
            _ => Kind::Dropped,
        }
    }

    pub(crate) fn length(self) -> u32 {
        self.packed & LENGTH_MAX
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct TxnRow {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    snapshot: u64,
    commit: u64,
    pub(crate) first_op: u32,
    pub(crate) process: u32,
    pub(crate) level: Level,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) struct KeyRow {
    pub(crate) name: u64,
    /// The longest list that was read, without what the reader itself had appended.
    pub(crate) known: Vec<u64>,
}

/// The list operations of a history, compact: a transaction takes 48 bytes, an operation 16, an
/// element of a list 8, however often it was read. Operations on documents are left out.
///
/// Holds up to [`TXNS_MAX`](crate::TXNS_MAX) transactions; what is pushed after that is not kept,
/// and the check says so.
#[derive(Debug, Default)]
pub struct ListHistory {
    pub(crate) txns: Vec<TxnRow>,
    pub(crate) ops: Vec<OpRow>,
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) odd: Vec<u64>,
    pub(crate) left_out: u64,
    key_ids: HashMap<u64, u32>,
}

impl ListHistory {
    /// A history of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn key_id(&mut self, name: u64) -> u32 {
        let next = self.keys.len() as u32;
        let id = *self.key_ids.entry(name).or_insert(next);
        if id == next {
            self.keys.push(KeyRow {
                name,
                known: Vec::new(),
            });
        }
        id
    }

    /// The indexes of a transaction's operations.
    pub(crate) fn ops_of(&self, txn: usize) -> std::ops::Range<usize> {
        let next = self.txns.get(txn + 1);
        let end = next.map_or(self.ops.len(), |next| next.first_op as usize);
        self.txns[txn].first_op as usize..end
    }

    /// The elements of an odd read.
    pub(crate) fn odd_list(&self, op: OpRow) -> &[u64] {
        let start = op.value as usize;
        &self.odd[start..start + op.length() as usize]
    }

    fn push_read(&mut self, key: u32, mut list: Vec<u64>, own: &[u64]) {
        let ends_with_own = list.ends_with(own);
        if ends_with_own {
            list.truncate(list.len() - own.len());
            let known = &mut self.keys[key as usize].known;
            let common = known.len().min(list.len());
            if known[..common] == list[..common] && list.len() <= LENGTH_MAX as usize {
                known.extend_from_slice(&list[common..]);
                self.ops.push(OpRow::new(key, Kind::Known, list.len(), 0));
                return;
            }
            list.extend_from_slice(own);
        }
        let row = if self.odd.len() + list.len() <= ODD_ELEMENTS_MAX {
            let start = self.odd.len() as u64;
            self.odd.extend_from_slice(&list);
            OpRow::new(key, Kind::Odd, list.len(), start)
        } else {
            OpRow::new(key, Kind::Dropped, 0, 0)
        };
        self.ops.push(row);
    }
}

/// What a transaction had appended to a key before one of its operations.
pub(crate) fn own_before(history: &ListHistory, txn: usize, op: usize) -> Vec<u64> {
    let key = history.ops[op].key;
    let before = &history.ops[history.txns[txn].first_op as usize..op];
    let own = before
        .iter()
        .filter(|o| o.key == key && o.kind() == Kind::Append);
    own.map(|o| o.value).collect()
}

impl History for ListHistory {
    fn push(&mut self, txn: Txn) {
        if self.txns.len() >= TXNS_MAX || self.ops.len() + txn.ops.len() >= NONE as usize {
            self.left_out += 1;
            return;
        }
        let first_op = self.ops.len();
        self.txns.push(TxnRow {
            begin: txn.begin,
            end: txn.end,
            snapshot: txn.snapshot.unwrap_or(u64::MAX),
            commit: txn.commit.unwrap_or(u64::MAX),
            first_op: first_op as u32,
            process: txn.process,
            level: txn.level,
            outcome: txn.outcome,
        });
        for op in txn.ops {
            match op {
                Op::Append(name, value) => {
                    let key = self.key_id(name);
                    self.ops.push(OpRow::new(key, Kind::Append, 0, value));
                }
                Op::Read(name, list) => {
                    let key = self.key_id(name);
                    let own = self.ops[first_op..]
                        .iter()
                        .filter(|o| o.key == key && o.kind() == Kind::Append);
                    let own: Vec<u64> = own.map(|o| o.value).collect();
                    self.push_read(key, list, &own);
                }
                Op::Get(..) | Op::Scan(..) | Op::Put(..) | Op::Delete(..) => {}
            }
        }
    }

    fn absorb(&mut self, other: Self) {
        if self.txns.is_empty() {
            *self = other;
            return;
        }
        self.left_out += other.left_out;
        for index in 0..other.count() {
            self.push(other.txn(index));
        }
    }

    fn count(&self) -> usize {
        self.txns.len()
    }

    /// Of reads that contradict the others 16 million elements are kept; a read behind that is left
    /// out.
    fn txn(&self, index: usize) -> Txn {
        let row = self.txns[index];
        let ops = self.ops_of(index).filter_map(|at| {
            let op = self.ops[at];
            let key = &self.keys[op.key as usize];
            Some(match op.kind() {
                Kind::Append => Op::Append(key.name, op.value),
                Kind::Known => {
                    let mut list = key.known[..op.length() as usize].to_vec();
                    list.extend(own_before(self, index, at));
                    Op::Read(key.name, list)
                }
                Kind::Odd => Op::Read(key.name, self.odd_list(op).to_vec()),
                Kind::Dropped => return None,
            })
        });
        Txn {
            process: row.process,
            begin: row.begin,
            end: row.end,
            level: row.level,
            outcome: row.outcome,
            snapshot: (row.snapshot != u64::MAX).then_some(row.snapshot),
            commit: (row.commit != u64::MAX).then_some(row.commit),
            ops: ops.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txn(begin: u64, ops: Vec<Op>) -> Txn {
        Txn {
            process: 3,
            begin,
            end: begin + 1,
            level: Level::Serializable,
            outcome: Outcome::Committed,
            snapshot: Some(begin),
            commit: None,
            ops,
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let txns = [
            txn(0, vec![Op::Append(9, 1), Op::Read(9, vec![1])]),
            txn(2, vec![Op::Read(9, vec![1, 2, 3]), Op::Read(4, vec![])]),
            txn(4, vec![Op::Read(9, vec![1, 2])]),
            txn(6, vec![Op::Read(9, vec![1, 3]), Op::Append(9, 5)]),
            txn(8, vec![]),
            txn(10, vec![Op::Append(9, 7), Op::Read(9, vec![1])]),
            txn(12, vec![Op::Append(9, 8), Op::Read(9, vec![4, 8])]),
        ];
        let mut history = ListHistory::new();
        let mut halves = (ListHistory::new(), ListHistory::new());
        for (i, txn) in txns.iter().enumerate() {
            history.push(txn.clone());
            let half = if i < 3 { &mut halves.0 } else { &mut halves.1 };
            half.push(txn.clone());
        }
        halves.0.absorb(halves.1);
        for history in [history, halves.0] {
            assert_eq!(history.count(), txns.len());
            for (i, txn) in txns.iter().enumerate() {
                assert_eq!(&history.txn(i), txn);
            }
        }
    }

    #[test]
    fn reads_that_contradict_take_bounded_memory() {
        let mut history = ListHistory::new();
        let list = |first: u64| vec![Op::Read(1, (first..first + 10).collect())];
        for first in 0..100 {
            history.push(txn(2 * first, list(first)));
        }
        assert_eq!(history.odd.len(), 60);
        assert_eq!(history.keys[0].known.len(), 10);
        let kept = (0..100).filter(|i| !history.txn(*i).ops.is_empty()).count();
        assert_eq!(kept, 7);
        let report = crate::check_lists(&history, crate::ListRules::default());
        assert_eq!((report.is_ok(), report.stats.unjudged), (false, 93));
    }

    #[test]
    fn rows_are_as_small_as_promised() {
        assert_eq!(size_of::<TxnRow>(), 48);
        assert_eq!(size_of::<OpRow>(), 16);
    }
}
