//! Many writes in one request.

use bytes::Bytes;
use docdb_ipc::{BatchMode, OpResult, Precondition, Request, Response, Text, WriteOp};
use docdb_types::ErrorKind;
use docdb_types::limits::{COMMIT_BYTES_MAX, COMMIT_OPS_MAX};
use serde::Serialize;

use crate::client::unexpected_to_write;
use crate::collection::encode;
use crate::error::Stage;
use crate::{Client, Error, Result, WriteOptions, Written};

/// A list of writes to one database, sent at once; each sees the earlier ones. At most 65,536
/// operations and 32 MiB of documents.
///
/// An operation that cannot be added (its value cannot be written as JSON, or the batch is full)
/// is reported when the batch is sent; then nothing is sent.
#[derive(Debug, Clone)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    client: Client,
    db: Text,
    durability: Option<Text>,
    ops: Vec<WriteOp>,
    body_bytes: usize,
    refused: Option<Error>,
}

impl Batch {
    pub(crate) fn new(client: Client, db: Text) -> Self {
        Batch {
            client,
            db,
            durability: None,
            ops: Vec::new(),
            body_bytes: 0,
            refused: None,
        }
    }

    /// How many operations it holds.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether it holds no operation.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Asks for a safer mode than the database's for this batch's answer; see
    /// [`WriteOptions::durability`].
    pub fn durability(mut self, mode: &str) -> Self {
        self.durability = Some(Text::from(mode));
        self
    }

    /// Creates a document; `AlreadyExists` if there is one.
    pub fn create<T: Serialize + ?Sized>(self, collection: &str, id: u64, value: &T) -> Self {
        self.encoded(value, |body| WriteOp::create(collection, id, body))
    }

    /// Replaces a document; `NotFound` if there is none.
    pub fn update<T: Serialize + ?Sized>(self, collection: &str, id: u64, value: &T) -> Self {
        self.encoded(value, |body| WriteOp::update(collection, id, body))
    }

    /// Creates or replaces a document.
    pub fn upsert<T: Serialize + ?Sized>(self, collection: &str, id: u64, value: &T) -> Self {
        self.encoded(value, |body| WriteOp::upsert(collection, id, body))
    }

    /// Creates a document under a new id.
    pub fn insert<T: Serialize + ?Sized>(self, collection: &str, value: &T) -> Self {
        self.encoded(value, |body| WriteOp::insert(collection, body))
    }

    /// Changes parts of a document; see [`RawCollection::patch`](crate::RawCollection::patch).
    pub fn patch<P: Serialize + ?Sized>(self, collection: &str, id: u64, patch: &P) -> Self {
        self.encoded(patch, |body| WriteOp::patch(collection, id, body))
    }

    /// Merges into a document; see [`RawCollection::merge`](crate::RawCollection::merge).
    pub fn merge<P: Serialize + ?Sized>(self, collection: &str, id: u64, patch: &P) -> Self {
        self.encoded(patch, |body| WriteOp::merge(collection, id, body))
    }

    /// Deletes a document; `NotFound` if there is none.
    pub fn delete(self, collection: &str, id: u64) -> Self {
        self.op(WriteOp::delete(collection, id))
    }

    /// As [`Batch::create`], the document as JSON text, kept byte for byte.
    pub fn create_raw(self, collection: &str, id: u64, json: impl Into<Bytes>) -> Self {
        self.op(WriteOp::create(collection, id, json))
    }

    /// As [`Batch::update`], the document as JSON text, kept byte for byte.
    pub fn update_raw(self, collection: &str, id: u64, json: impl Into<Bytes>) -> Self {
        self.op(WriteOp::update(collection, id, json))
    }

    /// As [`Batch::upsert`], the document as JSON text, kept byte for byte.
    pub fn upsert_raw(self, collection: &str, id: u64, json: impl Into<Bytes>) -> Self {
        self.op(WriteOp::upsert(collection, id, json))
    }

    /// As [`Batch::insert`], the document as JSON text, kept byte for byte.
    pub fn insert_raw(self, collection: &str, json: impl Into<Bytes>) -> Self {
        self.op(WriteOp::insert(collection, json))
    }

    /// As [`Batch::patch`], the patch as JSON text.
    pub fn patch_raw(self, collection: &str, id: u64, patch: impl Into<Bytes>) -> Self {
        self.op(WriteOp::patch(collection, id, patch))
    }

    /// As [`Batch::merge`], the patch as JSON text.
    pub fn merge_raw(self, collection: &str, id: u64, patch: impl Into<Bytes>) -> Self {
        self.op(WriteOp::merge(collection, id, patch))
    }

    /// Puts the precondition of these options on the operation that was added last, and their
    /// durability, if they have one, on the whole batch.
    pub fn with(mut self, options: WriteOptions) -> Self {
        if options.durability.is_some() {
            self.durability = options.durability;
        }
        match self.ops.last_mut() {
            Some(op) => op.precondition = options.precondition,
            None if options.precondition != Precondition::None => {
                self.refuse(
                    ErrorKind::InvalidArgument,
                    "a precondition needs an operation".into(),
                );
            }
            None => {}
        }
        self
    }

    /// Writes all of them in one commit, or nothing. On failure the error is that of the operation
    /// that failed, and [`Error::op_index`] is its position.
    pub async fn commit(self) -> Result<Vec<Written>> {
        let results = self.send(BatchMode::Atomic).await?;
        let mut written = Vec::with_capacity(results.len());
        let mut failed: Option<Error> = None;
        for result in results {
            match result {
                Ok(one) => written.push(one),
                // The operations that did not fail themselves say Aborted.
                Err(error)
                    if failed
                        .as_ref()
                        .is_none_or(|f| f.kind() == ErrorKind::Aborted) =>
                {
                    failed = Some(error);
                }
                Err(_) => {}
            }
        }
        failed.map_or(Ok(written), Err)
    }

    /// Writes each operation in a commit of its own, in order, and tells the outcome of each. The
    /// outer error means that nothing is known beyond it.
    pub async fn commit_independent(self) -> Result<Vec<Result<Written>>> {
        self.send(BatchMode::Independent).await
    }

    async fn send(self, mode: BatchMode) -> Result<Vec<Result<Written>>> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        if self.ops.is_empty() {
            return Ok(Vec::new());
        }
        let count = self.ops.len();
        let Batch {
            client,
            db,
            durability,
            ops,
            ..
        } = self;
        match client
            .call(Request::Batch {
                db,
                mode,
                durability,
                ops,
            })
            .await?
        {
            Response::BatchDone { results } if results.len() == count => Ok((0u32..)
                .zip(results)
                .map(|(position, result)| outcome(position, result))
                .collect()),
            other => Err(unexpected_to_write(&other)),
        }
    }

    fn encoded<T: Serialize + ?Sized>(
        mut self,
        value: &T,
        op: impl FnOnce(Vec<u8>) -> WriteOp,
    ) -> Self {
        match encode(value) {
            Ok(body) => self.op(op(body)),
            Err(error) => {
                self.refused.get_or_insert(error);
                self
            }
        }
    }

    fn op(mut self, op: WriteOp) -> Self {
        self.body_bytes = self.body_bytes.saturating_add(op.body.len());
        if self.ops.len() >= COMMIT_OPS_MAX {
            let message = format!("a batch has at most {COMMIT_OPS_MAX} operations");
            self.refuse(ErrorKind::TooLarge, message);
        } else if self.body_bytes > COMMIT_BYTES_MAX {
            let message = format!("a batch has at most {COMMIT_BYTES_MAX} bytes of documents");
            self.refuse(ErrorKind::TooLarge, message);
        } else {
            self.ops.push(op);
        }
        self
    }

    fn refuse(&mut self, kind: ErrorKind, message: String) {
        self.refused
            .get_or_insert_with(|| Error::new(kind, message).at(Stage::Unsent));
    }
}

fn outcome(position: u32, result: OpResult) -> Result<Written> {
    match result {
        OpResult::Ok { version, id } => Ok(Written { version, id }),
        OpResult::Err(error) => Err(Error::from(error).with_op_index(position)),
    }
}
