//! Documents as values of a Rust type.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeBounds;

use docdb_types::ErrorKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Stage;
use crate::{Error, RangeDeleted, RawCollection, Result, Scan, Versioned, WriteOptions, Written};

/// A collection of documents of one Rust type. A cheap handle: nothing is sent until a method is
/// called.
///
/// A document that does not fit `T` is answered with `InvalidArgument`; it stays as it is, and
/// [`Collection::raw`] reads it.
pub struct Collection<T> {
    raw: RawCollection,
    // A handle holds no T: it is Send and Sync whatever T is.
    documents: PhantomData<fn() -> T>,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Collection {
            raw: self.raw.clone(),
            documents: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Collection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection")
            .field("raw", &self.raw)
            .finish()
    }
}

impl<T> Collection<T> {
    pub(crate) fn new(raw: RawCollection) -> Self {
        Collection {
            raw,
            documents: PhantomData,
        }
    }

    /// The same collection, its documents as bytes.
    pub fn raw(&self) -> &RawCollection {
        &self.raw
    }

    /// The collection's name.
    pub fn name(&self) -> &str {
        self.raw.name()
    }

    /// The same collection, whose writes are made with these options:
    /// `users.with(WriteOptions::new().if_version(7)).update(1, &user)`.
    pub fn with(&self, options: WriteOptions) -> Self {
        Collection::new(self.raw.with(options))
    }

    /// Deletes a document; `NotFound` if there is none.
    pub async fn delete(&self, id: u64) -> Result<Written> {
        self.raw.delete(id).await
    }

    /// Changes parts of a document; see [`RawCollection::patch`].
    pub async fn patch<P: Serialize + ?Sized>(&self, id: u64, patch: &P) -> Result<Written> {
        self.raw.patch(id, encode(patch)?).await
    }

    /// Merges into a document; see [`RawCollection::merge`].
    pub async fn merge<P: Serialize + ?Sized>(&self, id: u64, patch: &P) -> Result<Written> {
        self.raw.merge(id, encode(patch)?).await
    }

    /// Deletes the documents of a range; see [`RawCollection::delete_range`].
    pub async fn delete_range(
        &self,
        ids: impl RangeBounds<u64>,
        limit: Option<u64>,
    ) -> Result<RangeDeleted> {
        self.raw.delete_range(ids, limit).await
    }

    /// Whether there is such a document.
    pub async fn exists(&self, id: u64) -> Result<bool> {
        self.raw.exists(id).await
    }

    /// How many documents the collection holds.
    pub async fn count(&self) -> Result<u64> {
        self.raw.count().await
    }
}

impl<T: Serialize> Collection<T> {
    /// Creates a document; `AlreadyExists` if there is one.
    pub async fn create(&self, id: u64, value: &T) -> Result<Written> {
        self.raw.create(id, encode(value)?).await
    }

    /// Replaces a document; `NotFound` if there is none.
    pub async fn update(&self, id: u64, value: &T) -> Result<Written> {
        self.raw.update(id, encode(value)?).await
    }

    /// Creates or replaces a document.
    pub async fn upsert(&self, id: u64, value: &T) -> Result<Written> {
        self.raw.upsert(id, encode(value)?).await
    }

    /// Creates a document under a new id, one above the highest that was ever used.
    pub async fn insert(&self, value: &T) -> Result<Written> {
        self.raw.insert(encode(value)?).await
    }
}

impl<T: DeserializeOwned> Collection<T> {
    /// Reads a document; `NotFound` if there is none.
    pub async fn get(&self, id: u64) -> Result<Versioned<T>> {
        let document = self.raw.get(id).await?;
        Ok(Versioned {
            version: document.version,
            value: decode(id, &document.value)?,
        })
    }

    /// Reads a document; `None` if there is none.
    pub async fn get_if_exists(&self, id: u64) -> Result<Option<Versioned<T>>> {
        match self.raw.get_if_exists(id).await? {
            None => Ok(None),
            Some(document) => {
                let value = decode(id, &document.value)?;
                Ok(Some(Versioned {
                    version: document.version,
                    value,
                }))
            }
        }
    }

    /// The documents whose ids are in the range, in order; see [`Scan`].
    pub fn scan(&self, ids: impl RangeBounds<u64>) -> Scan<T> {
        Scan::new(self.raw.scan(ids))
    }
}

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| {
        let message = format!("the value cannot be written as JSON: {error}");
        Error::new(ErrorKind::InvalidArgument, message)
            .at(Stage::Unsent)
            .with_source(error)
    })
}

pub(crate) fn decode<T: DeserializeOwned>(id: u64, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        let message = format!("document {id} does not fit the type: {error}");
        Error::new(ErrorKind::InvalidArgument, message).with_source(error)
    })
}
