//! Findings in words.

use super::orders::Orders;
use super::store::Kind;

/// Most elements of a list that are printed.
const ELEMENTS_MAX: usize = 24;

/// How things are called.
#[derive(Clone, Copy)]
pub(super) struct Words<'a, 'h> {
    orders: &'a Orders<'h>,
}

impl<'a, 'h> Words<'a, 'h> {
    pub(super) fn of(orders: &'a Orders<'h>) -> Self {
        Self { orders }
    }

    /// A transaction: its index, its process and when it ran.
    pub(super) fn txn(self, txn: u32) -> String {
        let row = &self.orders.history.txns[txn as usize];
        format!(
            "T{txn} (process {}, {}..{})",
            row.process, row.begin, row.end
        )
    }

    pub(super) fn txn_or_nobody(self, txn: Option<u32>) -> String {
        txn.map_or_else(|| "nobody".to_owned(), |txn| self.txn(txn))
    }

    /// What an operation appended, and where.
    pub(super) fn element(self, append: u32) -> String {
        let row = self.orders.history.ops[append as usize];
        let name = self.orders.history.keys[row.key as usize].name;
        format!("{} of key {name}", row.value)
    }

    pub(super) fn list(self, list: &[u64]) -> String {
        match list.len().checked_sub(ELEMENTS_MAX) {
            None | Some(0) => format!("{list:?}"),
            Some(more) => format!("({more} elements and) {:?}", &list[more..]),
        }
    }

    /// Somebody who saw the element at a place, other than its writer. Looks through all
    /// operations on the key.
    pub(super) fn reader_beyond(self, key: u32, place: u32) -> Option<u32> {
        let ops = self.orders.ops_on(key).iter();
        let mut readers = ops.filter(|op| {
            let row = self.orders.history.ops[**op as usize];
            row.kind() == Kind::Known && row.length() > place
        });
        readers.next().map(|op| self.orders.txn_of[*op as usize])
    }
}
