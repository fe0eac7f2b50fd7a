//! What is recorded of a transaction.

use serde::{Deserialize, Serialize};

/// What a transaction asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// One snapshot, and the first committer wins.
    Snapshot,
    /// Also as if the transactions of this level had run one after another.
    Serializable,
}

/// How a transaction ended, as its client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The commit was acknowledged.
    Committed,
    /// Nothing was written: rolled back, or refused.
    Aborted,
    /// The client does not know, and may never have heard an answer.
    Unknown,
}

/// A document as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its version, if the answer told it and it was not the transaction's own write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Its value; [`digest`] makes one of bytes.
    pub value: u64,
}

/// The order of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the lowest key up.
    Ascending,
    /// From the highest key down.
    Descending,
}

/// What a scan asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRange {
    /// The lowest key, inclusive.
    pub from: u64,
    /// The highest key, inclusive.
    pub to: u64,
    /// The order.
    pub direction: Direction,
    /// At most so many documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl ScanRange {
    /// Every document, ascending.
    pub const ALL: ScanRange = ScanRange {
        from: 0,
        to: u64::MAX,
        direction: Direction::Ascending,
        limit: None,
    };
}

/// One operation that was answered. Lists and documents are separate: an append to list 3 does not
/// change document 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Appended a value to the list of a key. No other append to this key has the same value.
    Append(u64, u64),
    /// Read the list of a key; a key without a list has the empty one.
    Read(u64, Vec<u64>),
    /// Read a document, or found none.
    Get(u64, Option<Seen>),
    /// Scanned, and saw these documents in this order.
    Scan(ScanRange, Vec<(u64, Seen)>),
    /// Wrote a document.
    Put(u64, u64),
    /// Deleted a document that was there. Finding none is a `Get` of none.
    Delete(u64),
}

/// One transaction. Times are readings of one clock that never gives the same number twice, such as
/// [`Clock`](crate::Clock); only their order counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// Who ran it. A process runs one transaction after another, and never again after an unknown
    /// outcome.
    pub process: u32,
    /// Before the first call.
    pub begin: u64,
    /// After the last answer.
    pub end: u64,
    /// What was asked for.
    pub level: Level,
    /// How it ended.
    pub outcome: Outcome,
    /// The version that it read at, if that is known and it read at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
    /// The version that it committed, if that is known and it wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<u64>,
    /// What it did, in order.
    pub ops: Vec<Op>,
}

/// A value for a document of bytes (64-bit FNV-1a), so that its contents can be compared.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A collection of transactions that grows. [`ListHistory`](crate::ListHistory) is the compact one
/// for lists, `Vec<Txn>` keeps everything.
pub trait History: Default + Send {
    /// Adds a transaction that has ended.
    fn push(&mut self, txn: Txn);

    /// Adds all transactions of another history.
    fn absorb(&mut self, other: Self);

    /// How many there are.
    fn count(&self) -> usize;

    /// One of them, by its index below [`History::count`].
    fn txn(&self, index: usize) -> Txn;
}

impl History for Vec<Txn> {
    fn push(&mut self, txn: Txn) {
        Vec::push(self, txn);
    }

    fn absorb(&mut self, mut other: Self) {
        self.append(&mut other);
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn txn(&self, index: usize) -> Txn {
        self[index].clone()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_are_those_of_fnv_1a() {
        assert_eq!(super::digest(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(super::digest(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
