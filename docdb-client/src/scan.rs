//! The documents of a collection, one after the other.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::vec;

use bytes::Bytes;
use docdb_ipc::{CreditWindow, Response, ScanItem, Text};
use serde::de::DeserializeOwned;

use crate::Result;
use crate::client::unexpected;
use crate::collection::decode;
use crate::connection::ScanStream;
use crate::view::Scope;

/// Most bytes of documents that a scan holds or has on their way, and one document.
const BUFFER_BYTES_MAX: u32 = 1 << 20;

/// A document of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document<T> {
    /// Its id.
    pub id: u64,
    /// The version that wrote it.
    pub version: u64,
    /// The document itself.
    pub value: T,
}

/// The lowest and the highest id of a range, where it has one; `None` if it holds no id.
pub(crate) fn inclusive(ids: &impl RangeBounds<u64>) -> Option<(Option<u64>, Option<u64>)> {
    let from = match ids.start_bound() {
        Bound::Included(&id) => Some(id),
        Bound::Excluded(&id) => Some(id.checked_add(1)?),
        Bound::Unbounded => None,
    };
    let to = match ids.end_bound() {
        Bound::Included(&id) => Some(id),
        Bound::Excluded(&id) => Some(id.checked_sub(1)?),
        Bound::Unbounded => None,
    };
    let is_empty = from.zip(to).is_some_and(|(from, to)| from > to);
    (!is_empty).then_some((from, to))
}

/// A scan whose documents are bytes, in the order of their ids, from one snapshot.
///
/// It is set up by its methods and starts at the first [`RawScan::next`]. It holds at most 1 MiB
/// and one document, however large the collection is: the server waits for a slow reader. Dropping
/// it ends it.
#[derive(Debug)]
pub struct RawScan {
    scope: Scope,
    request: docdb_ipc::Scan,
    /// The range holds no id.
    is_empty: bool,
    /// The connection broke before the first document, and the scan was started anew.
    restarted: bool,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Before,
    Running(Running),
    Ended { cursor: Option<Bytes> },
}

#[derive(Debug)]
struct Running {
    stream: ScanStream,
    received: vec::IntoIter<ScanItem>,
    /// Credit that was used by documents given out since, and is not granted anew yet.
    owed_bytes: u32,
    gave_out: bool,
}

impl Running {
    fn new(stream: ScanStream) -> Self {
        Running {
            stream,
            received: Vec::new().into_iter(),
            owed_bytes: 0,
            gave_out: false,
        }
    }

    fn take(&mut self) -> Option<ScanItem> {
        let item = self.received.next()?;
        self.gave_out = true;
        self.owed_bytes = self
            .owed_bytes
            .saturating_add(CreditWindow::cost_bytes(item.body.len()));
        if self.owed_bytes >= self.stream.credit_bytes().div_ceil(2) {
            self.stream.add_credit(std::mem::take(&mut self.owed_bytes));
        }
        Some(item)
    }
}

impl RawScan {
    pub(crate) fn new(scope: Scope, collection: Text, ids: impl RangeBounds<u64>) -> Self {
        let mut request = scope.scan(collection, BUFFER_BYTES_MAX);
        let bounds = inclusive(&ids);
        let is_empty = bounds.is_none();
        (request.from, request.to) = bounds.unwrap_or_default();
        RawScan {
            scope,
            request,
            is_empty,
            restarted: false,
            progress: Progress::Before,
        }
    }

    /// Gives out at most so many documents; 0 is `InvalidArgument`.
    pub fn limit(mut self, limit: u64) -> Self {
        self.request.limit = Some(limit);
        self
    }

    /// Gives out the highest id first. The range stays as it is.
    pub fn reverse(mut self) -> Self {
        self.request.reverse = true;
        self
    }

    /// Goes on after the last document of an earlier scan, in its snapshot; see
    /// [`RawScan::cursor`]. `SnapshotTooOld` if that is no longer kept.
    pub fn resume(mut self, cursor: impl Into<Bytes>) -> Self {
        self.request.cursor = Some(cursor.into());
        self
    }

    /// Lets a resumed scan go on in the newest state if its snapshot is no longer kept.
    pub fn at_latest(mut self) -> Self {
        self.request.at_latest = true;
        self
    }

    /// The next document; `None` after the last one. After an error there are no more.
    ///
    /// Dropping the future loses nothing: the next call gives the document.
    pub async fn next(&mut self) -> Result<Option<Document<Bytes>>> {
        loop {
            let failed = match &mut self.progress {
                Progress::Ended { .. } => return Ok(None),
                Progress::Before if self.is_empty => return Ok(None),
                Progress::Before => match self.scope.open_scan(self.request.clone()).await {
                    Ok(stream) => {
                        self.progress = Progress::Running(Running::new(stream));
                        continue;
                    }
                    Err(error) => error,
                },
                Progress::Running(running) => {
                    if let Some(ScanItem { id, version, body }) = running.take() {
                        return Ok(Some(Document {
                            id,
                            version,
                            value: body,
                        }));
                    }
                    match running.stream.next(self.scope.deadline()).await {
                        Ok(Response::ScanItems(items)) => {
                            running.received = items.into_iter();
                            continue;
                        }
                        Ok(Response::ScanEnd { cursor, .. }) => {
                            self.progress = Progress::Ended { cursor };
                            continue;
                        }
                        Ok(other) => unexpected(&other),
                        Err(error) => error,
                    }
                }
            };
            let gave_out = matches!(&self.progress, Progress::Running(running) if running.gave_out);
            let (failed, may_repeat) = self.scope.scan_failed(failed);
            if gave_out || self.restarted || !may_repeat {
                self.progress = Progress::Ended { cursor: None };
                return Err(failed);
            }
            self.restarted = true;
            self.progress = Progress::Before;
        }
    }

    /// Where another scan can go on, once this one has ended at its limit.
    pub fn cursor(&self) -> Option<&Bytes> {
        match &self.progress {
            Progress::Ended { cursor } => cursor.as_ref(),
            Progress::Before | Progress::Running(_) => None,
        }
    }
}

/// A scan whose documents are values of one type; see [`RawScan`].
pub struct Scan<T> {
    raw: RawScan,
    documents: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Scan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("raw", &self.raw).finish()
    }
}

impl<T> Scan<T> {
    pub(crate) fn new(raw: RawScan) -> Self {
        Scan {
            raw,
            documents: PhantomData,
        }
    }

    /// As [`RawScan::limit`].
    pub fn limit(self, limit: u64) -> Self {
        Scan::new(self.raw.limit(limit))
    }

    /// As [`RawScan::reverse`].
    pub fn reverse(self) -> Self {
        Scan::new(self.raw.reverse())
    }

    /// As [`RawScan::resume`].
    pub fn resume(self, cursor: impl Into<Bytes>) -> Self {
        Scan::new(self.raw.resume(cursor))
    }

    /// As [`RawScan::at_latest`].
    pub fn at_latest(self) -> Self {
        Scan::new(self.raw.at_latest())
    }

    /// As [`RawScan::cursor`].
    pub fn cursor(&self) -> Option<&Bytes> {
        self.raw.cursor()
    }
}

impl<T: DeserializeOwned> Scan<T> {
    /// The next document; `None` after the last one. A document that does not fit the type is an
    /// `InvalidArgument` error, after which the scan goes on with the one after it; after any other
    /// error there are no more.
    pub async fn next(&mut self) -> Result<Option<Document<T>>> {
        match self.raw.next().await? {
            None => Ok(None),
            Some(Document { id, version, value }) => Ok(Some(Document {
                id,
                version,
                value: decode(id, &value)?,
            })),
        }
    }
}
