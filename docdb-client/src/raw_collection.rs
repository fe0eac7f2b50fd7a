//! Documents as bytes.

use std::ops::RangeBounds;

use bytes::Bytes;
use docdb_ipc::{Request, Response, Text, WriteOp};
use docdb_types::ErrorKind;

use crate::client::{unexpected, unexpected_to_write};
use crate::scan::inclusive;
use crate::view::Scope;
use crate::{RangeDeleted, RawScan, Result, Versioned, WriteOptions, Written};

/// A collection whose documents are read and written as JSON text, byte for byte. A cheap handle:
/// nothing is sent until a method is called.
#[derive(Debug, Clone)]
pub struct RawCollection {
    scope: Scope,
    name: Text,
    options: WriteOptions,
}

impl RawCollection {
    pub(crate) fn new(scope: Scope, name: Text) -> Self {
        RawCollection {
            scope,
            name,
            options: WriteOptions::default(),
        }
    }

    /// The collection's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same collection, whose writes are made with these options.
    pub fn with(&self, options: WriteOptions) -> Self {
        RawCollection {
            options,
            ..self.clone()
        }
    }

    /// Creates a document; `AlreadyExists` if there is one.
    pub async fn create(&self, id: u64, json: impl Into<Bytes>) -> Result<Written> {
        self.write(WriteOp::create(self.name.clone(), id, json))
            .await
    }

    /// Replaces a document; `NotFound` if there is none.
    pub async fn update(&self, id: u64, json: impl Into<Bytes>) -> Result<Written> {
        self.write(WriteOp::update(self.name.clone(), id, json))
            .await
    }

    /// Creates or replaces a document.
    pub async fn upsert(&self, id: u64, json: impl Into<Bytes>) -> Result<Written> {
        self.write(WriteOp::upsert(self.name.clone(), id, json))
            .await
    }

    /// Creates a document under a new id, one above the highest that was ever used.
    pub async fn insert(&self, json: impl Into<Bytes>) -> Result<Written> {
        self.write(WriteOp::insert(self.name.clone(), json)).await
    }

    /// Changes parts of a document: `patch` is a list like
    /// `[{"op":"set","path":"/address/city","value":"Paris"}]`, with the operations `set`, `delete` and
    /// `insert` at JSON pointers, all or none of them. What it does not touch keeps its bytes.
    /// `NotFound` if there is no such document.
    pub async fn patch(&self, id: u64, patch: impl Into<Bytes>) -> Result<Written> {
        self.write(WriteOp::patch(self.name.clone(), id, patch))
            .await
    }

    /// Merges into a document: members of `patch` replace those of the document, objects are merged with
    /// objects, and `null` deletes (RFC 7396). What it does not touch keeps its bytes. `NotFound` if
    /// there is no such document.
    pub async fn merge(&self, id: u64, patch: impl Into<Bytes>) -> Result<Written> {
        self.write(WriteOp::merge(self.name.clone(), id, patch))
            .await
    }

    /// Deletes a document; `NotFound` if there is none.
    pub async fn delete(&self, id: u64) -> Result<Written> {
        self.write(WriteOp::delete(self.name.clone(), id)).await
    }

    /// Reads a document; `NotFound` if there is none.
    pub async fn get(&self, id: u64) -> Result<Versioned<Bytes>> {
        let request = self.scope.read(self.name.clone(), id);
        match self.scope.call(request).await? {
            Response::Document { version, body } => Ok(Versioned {
                version,
                value: body,
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// Reads a document; `None` if there is none.
    pub async fn get_if_exists(&self, id: u64) -> Result<Option<Versioned<Bytes>>> {
        match self.get(id).await {
            Ok(document) => Ok(Some(document)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is such a document.
    pub async fn exists(&self, id: u64) -> Result<bool> {
        let request = self.scope.exists(self.name.clone(), id);
        match self.scope.call(request).await? {
            Response::Exists(exists) => Ok(exists),
            other => Err(unexpected(&other)),
        }
    }

    /// How many documents the collection holds.
    pub async fn count(&self) -> Result<u64> {
        let request = self.scope.count(self.name.clone());
        match self.scope.call(request).await? {
            Response::Count(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes the documents whose ids are in the range, in one commit: the lowest ids first, at most
    /// `limit` (65,536 if there is none, and in any case). The answer says where to go on. Not in a
    /// transaction: it is one.
    pub async fn delete_range(
        &self,
        ids: impl RangeBounds<u64>,
        limit: Option<u64>,
    ) -> Result<RangeDeleted> {
        let nothing = RangeDeleted {
            deleted: 0,
            version: None,
            next: None,
        };
        let Some((from, to)) = inclusive(&ids) else {
            return Ok(nothing);
        };
        let (client, db) = self.scope.database()?;
        let request = Request::DeleteRange {
            db: db.clone(),
            collection: self.name.clone(),
            from,
            to,
            limit,
            durability: self.options.durability.clone(),
        };
        match client.call(request).await? {
            Response::RangeDeleted {
                deleted,
                version,
                next,
            } => Ok(RangeDeleted {
                deleted,
                version,
                next,
            }),
            other => Err(unexpected_to_write(&other)),
        }
    }

    /// The documents whose ids are in the range, in order; see [`RawScan`].
    pub fn scan(&self, ids: impl RangeBounds<u64>) -> RawScan {
        RawScan::new(self.scope.clone(), self.name.clone(), ids)
    }

    async fn write(&self, op: WriteOp) -> Result<Written> {
        match self.scope.write(op, &self.options).await? {
            Response::Written { version, id } => Ok(Written { version, id }),
            other => Err(unexpected_to_write(&other)),
        }
    }
}
