//! Sends documents in batches, some of them at the same time.
//!
//! The order of the file is kept where it can be seen: a batch that assigns ids, or replaces
//! documents, runs alone. Batches that only create documents under their own ids run side by side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use docdb_client::{Batch, Database, Error, ErrorKind};
use tokio::task::JoinSet;

use super::document::{Document, Write};
use crate::failure::Failure;

const BATCH_DOCUMENTS_MAX: usize = 10_000;
/// Enough for the server to write the documents once, to a data file, and not to its log first, unless
/// they are very small.
const BATCH_BYTES_MAX: usize = 2 << 20;
const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// How often a batch is sent again when the server has no room for it (nothing was written then).
const RETRIES_MAX: u32 = 6;
const RETRY_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Sender {
    database: Database,
    filling: Filling,
    in_flight: JoinSet<Sent>,
    in_flight_ordered: bool,
    /// Failures by line, so that the first one in the file is told.
    failed: BTreeMap<u64, Failure>,
    imported: u64,
}

/// The documents of the next batch.
#[derive(Default)]
struct Filling {
    documents: Vec<(Arc<str>, Document)>,
    bytes: usize,
    ordered: bool,
}

/// What became of a batch.
struct Sent {
    lines: Vec<u64>,
    result: Result<(), Error>,
}

impl Sender {
    pub(super) fn new(database: Database) -> Self {
        Sender {
            database,
            filling: Filling::default(),
            in_flight: JoinSet::new(),
            in_flight_ordered: false,
            failed: BTreeMap::new(),
            imported: 0,
        }
    }

    /// How many documents are known to be written.
    pub(super) fn imported(&self) -> u64 {
        self.imported
    }

    /// Adds a document of a collection. A failure may be that of an earlier one.
    pub(super) async fn push(
        &mut self,
        collection: &Arc<str>,
        document: Document,
    ) -> Result<(), (Option<u64>, Failure)> {
        let bytes = document.json.len();
        if !self.filling.documents.is_empty() && self.filling.bytes + bytes > BATCH_BYTES_MAX {
            self.send().await?;
        }
        let filling = &mut self.filling;
        filling.bytes += bytes;
        filling.ordered |= !matches!(document.write, Write::Create(_));
        filling.documents.push((Arc::clone(collection), document));
        if filling.documents.len() >= BATCH_DOCUMENTS_MAX || filling.bytes >= BATCH_BYTES_MAX {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what is left and waits for everything.
    pub(super) async fn finish(&mut self) -> Result<(), (Option<u64>, Failure)> {
        if !self.filling.documents.is_empty() {
            self.send().await?;
        }
        self.wait_until_in_flight(0).await
    }

    async fn send(&mut self) -> Result<(), (Option<u64>, Failure)> {
        let next = std::mem::take(&mut self.filling);
        let alone = next.ordered || self.in_flight_ordered;
        self.wait_until_in_flight(if alone { 0 } else { BATCHES_IN_FLIGHT_MAX - 1 })
            .await?;
        self.in_flight_ordered = next.ordered;
        let mut batch = self.database.batch();
        let mut lines = Vec::with_capacity(next.documents.len());
        for (collection, document) in next.documents {
            let Document { line, write, json } = document;
            lines.push(line);
            batch = match write {
                Write::Insert => batch.insert_raw(&collection, json),
                Write::Create(id) => batch.create_raw(&collection, id, json),
                Write::Upsert(id) => batch.upsert_raw(&collection, id, json),
            };
        }
        self.in_flight.spawn(async move {
            let result = commit(batch).await;
            Sent { lines, result }
        });
        // Lets the batch be written to the socket while more is read.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn wait_until_in_flight(&mut self, most: usize) -> Result<(), (Option<u64>, Failure)> {
        while self.in_flight.len() > most || !self.failed.is_empty() {
            match self.in_flight.join_next().await {
                Some(Ok(sent)) => self.take(sent),
                Some(Err(error)) => {
                    let failure = Failure::new(ErrorKind::Internal, error.to_string());
                    self.failed.insert(u64::MAX, failure);
                }
                None => break,
            }
        }
        match self.failed.pop_first() {
            Some((u64::MAX, failure)) => Err((None, failure)),
            Some((line, failure)) => Err((Some(line), failure)),
            None => Ok(()),
        }
    }

    fn take(&mut self, sent: Sent) {
        let error = match sent.result {
            Ok(()) => {
                self.imported += sent.lines.len() as u64;
                return;
            }
            Err(error) => error,
        };
        let first = sent.lines.first().copied().unwrap_or_default();
        let last = sent.lines.last().copied().unwrap_or_default();
        let at_op = error
            .op_index()
            .and_then(|index| sent.lines.get(index as usize))
            .copied();
        let failure = Failure::from(error);
        match at_op {
            Some(line) => self.failed.insert(line, failure),
            // It is about the batch as a whole.
            None => self.failed.insert(
                first,
                failure.map_message(|message| format!("in the batch up to line {last}: {message}")),
            ),
        };
    }
}

async fn commit(batch: Batch) -> Result<(), Error> {
    let mut pause = RETRY_PAUSE;
    for _ in 0..RETRIES_MAX {
        match batch.clone().commit().await {
            Err(error) if error.is_retryable() && !error.is_connect() => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            result => return result.map(drop),
        }
    }
    batch.commit().await.map(drop)
}
