//! Scans in a transaction: its snapshot merged with its own writes.

use std::collections::VecDeque;
use std::sync::Arc;

use docdb_index::{Direction, Key, ReadMode};
use docdb_types::ErrorKind;

use super::Txn;
use crate::body::Body;
use crate::error::{Error, Result};
use crate::scan::{Scan, ScanItem, ScanRequest};
use crate::snapshot::View;

/// A scan under way in a transaction. It sees what the transaction has written by the time a chunk is
/// asked for.
#[derive(Debug)]
pub struct TxnScan {
    view: Arc<View>,
    /// The snapshot's documents, without a limit.
    stored: Scan,
    /// Those that were read and not given out yet.
    ahead: VecDeque<ScanItem>,
    stored_is_done: bool,
    direction: Direction,
    /// The whole range.
    range: (Key, Key),
    /// What is left of it; `None` at the end.
    rest: Option<(Key, Key)>,
    left: Option<u64>,
}

impl Txn {
    /// Starts a scan of what the transaction sees. Cursors are not taken: a scan goes on by asking for
    /// its next chunk. In a serializable transaction the scan counts as having read the range as far
    /// as it was given out, the gaps included.
    ///
    /// # Errors
    /// `CollectionNotFound`; `InvalidArgument` for a limit of 0 or a cursor; `TransactionExpired`;
    /// `LimitExceeded`; `Closed`.
    pub fn scan(&mut self, request: &ScanRequest) -> Result<TxnScan> {
        let _pin = self.pin()?;
        self.make_room_for_reads(ReadMode::Blocking)?;
        if request.cursor.is_some() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a transaction's scan takes no cursor: ask the scan for its next chunk",
            ));
        }
        let collection = self.collection(&request.collection)?.id;
        let stored = Scan::in_view(&self.view, request)?.without_limit();
        let from = Key::new(collection, request.from.unwrap_or(0));
        let to = Key::new(collection, request.to.unwrap_or(u64::MAX));
        Ok(TxnScan {
            view: Arc::clone(&self.view),
            stored,
            ahead: VecDeque::new(),
            stored_is_done: false,
            direction: if request.reverse {
                Direction::Descending
            } else {
                Direction::Ascending
            },
            range: (from, to),
            rest: (from <= to).then_some((from, to)),
            left: request.limit,
        })
    }
}

impl TxnScan {
    /// The next documents in order, of the transaction that the scan is of: at most `items_max`, and
    /// no more once their bytes reach `bytes_max`. Empty at the end and only there.
    ///
    /// # Errors
    /// As [`Scan::next_chunk`]; `TransactionExpired`; `LimitExceeded`; `InvalidArgument` with another
    /// transaction.
    pub fn next_chunk(
        &mut self,
        txn: &mut Txn,
        items_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<ScanItem>> {
        if !Arc::ptr_eq(&self.view, &txn.view) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the scan belongs to another transaction",
            ));
        }
        let _pin = txn.pin()?;
        txn.make_room_for_reads(ReadMode::Blocking)?;
        let (before, left_before) = (self.rest, self.left);
        let mut items = Vec::new();
        let mut bytes = 0;
        while items.len() < items_max.max(1) && (items.is_empty() || bytes < bytes_max) {
            match self.next(txn, items_max, bytes_max) {
                Ok(Some(item)) => {
                    bytes += item.body.len();
                    items.push(item);
                }
                Ok(None) => break,
                // What was read before it is given out first.
                Err(_) if !items.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        if before.is_some() {
            let noted = match self.read_so_far() {
                Some((from, to)) => txn.note_range(from, to),
                None => Ok(()),
            };
            if let Err(error) = noted {
                // Nothing was given out: asking again asks for it again.
                for item in items.into_iter().rev().filter(|item| item.version > 0) {
                    self.ahead.push_front(item);
                }
                (self.rest, self.left) = (before, left_before);
                return Err(error);
            }
        }
        Ok(items)
    }

    /// What the scan has looked at: all that is not left.
    fn read_so_far(&self) -> Option<(Key, Key)> {
        let (from, to) = self.range;
        match (self.rest, self.direction) {
            (None, _) => Some((from, to)),
            (Some((low, _)), Direction::Ascending) => {
                (low > from).then(|| low.previous().map(|end| (from, end)))?
            }
            (Some((_, high)), Direction::Descending) => {
                (high < to).then(|| high.next().map(|start| (start, to)))?
            }
        }
    }

    /// The next document of what is left, which it is taken off.
    fn next(&mut self, txn: &Txn, items_max: usize, bytes_max: usize) -> Result<Option<ScanItem>> {
        if self.left == Some(0) {
            return Ok(None);
        }
        while let Some((from, to)) = self.rest {
            if self.ahead.is_empty() && !self.stored_is_done {
                let chunk = self.stored.next_chunk(items_max, bytes_max)?;
                self.stored_is_done = chunk.is_empty();
                self.ahead.extend(chunk);
            }
            let stored = self.ahead.front();
            let stored = stored.map(|item| Key::new(from.collection, item.id));
            let own = txn.writes.first(from, to, self.direction);
            let item = match (stored, own) {
                (None, None) => {
                    self.rest = None;
                    return Ok(None);
                }
                (Some(key), own)
                    if own.is_none_or(|(own, _)| self.direction.is_before(key, own)) =>
                {
                    self.pass(key);
                    self.ahead.pop_front()
                }
                (stored, Some((key, written))) => {
                    self.pass(key);
                    if stored == Some(key) {
                        self.ahead.pop_front();
                    }
                    written.body.as_ref().map(|body| ScanItem {
                        id: key.id,
                        version: 0,
                        body: Body::from(Arc::clone(body)),
                    })
                }
                (Some(_), None) => None,
            };
            if let Some(item) = item {
                if let Some(left) = &mut self.left {
                    *left -= 1;
                }
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    fn pass(&mut self, key: Key) {
        self.rest = self
            .rest
            .and_then(|(from, to)| self.direction.rest(from, to, key));
    }
}
