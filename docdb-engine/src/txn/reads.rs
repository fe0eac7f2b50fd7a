//! Reading in a transaction: its snapshot, with its own writes over it.

use std::sync::Arc;

use docdb_index::{Key, ReadMode};
use docdb_types::{ErrorKind, limits};

use super::read_set::NOTE_BYTES_MAX;
use super::{ReadSet, Txn};
use crate::body::Body;
use crate::collections::Collection;
use crate::error::{Error, Result};
use crate::ops::{CollectionInfo, Document, Ready};
use crate::snapshot::now;

/// A read set asks for memory in steps of this. The first is not asked for: a transaction that reads
/// little does not wait.
const READ_SET_STEP_BYTES: u64 = 4096;

impl Txn {
    /// The document, as the transaction sees it. Its version is 0 if the transaction wrote it.
    ///
    /// # Errors
    /// `NotFound`, `CollectionNotFound`; `TransactionExpired`; `LimitExceeded` if the transaction is
    /// serializable and has read too much; `MemoryLimit`; `Corrupt`, `Io`, `Closed`.
    pub fn read(&mut self, collection: &str, id: u64) -> Result<Document> {
        now(self.document(collection, id, ReadMode::Blocking)?)
    }

    /// As [`Txn::read`], if that needs no wait for the device.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_nowait(&mut self, collection: &str, id: u64) -> Result<Ready<Document>> {
        self.document(collection, id, ReadMode::NoWait)
    }

    fn document(&mut self, collection: &str, id: u64, mode: ReadMode) -> Result<Ready<Document>> {
        let _pin = self.pin()?;
        if let Ready::WouldBlock = self.make_room_for_reads(mode)? {
            return Ok(Ready::WouldBlock);
        }
        let key = Key::new(self.collection(collection)?.id, id);
        let missing = || Error::document_missing(collection, id);
        if let Some(own) = self.writes.get(key) {
            let body = own.body.as_ref().ok_or_else(missing)?;
            return Ok(Ready::Now(Document {
                version: 0,
                body: Body::from(Arc::clone(body)),
            }));
        }
        let found = self.view.document(key, mode)?;
        if matches!(found, Ready::Now(_)) {
            self.note_point(key)?;
        }
        Ok(match found {
            Ready::Now(Some(document)) => Ready::Now(document),
            Ready::Now(None) => return Err(missing()),
            Ready::WouldBlock => Ready::WouldBlock,
        })
    }

    /// Whether the document exists, as the transaction sees it.
    ///
    /// # Errors
    /// As [`Txn::read`], without `NotFound`.
    pub fn exists(&mut self, collection: &str, id: u64) -> Result<bool> {
        now(self.is_there(collection, id, ReadMode::Blocking)?)
    }

    /// As [`Txn::exists`], if that needs no wait for the device.
    ///
    /// # Errors
    /// As `exists`.
    pub fn exists_nowait(&mut self, collection: &str, id: u64) -> Result<Ready<bool>> {
        self.is_there(collection, id, ReadMode::NoWait)
    }

    fn is_there(&mut self, collection: &str, id: u64, mode: ReadMode) -> Result<Ready<bool>> {
        let _pin = self.pin()?;
        if let Ready::WouldBlock = self.make_room_for_reads(mode)? {
            return Ok(Ready::WouldBlock);
        }
        let key = Key::new(self.collection(collection)?.id, id);
        if let Some(own) = self.writes.get(key) {
            return Ok(Ready::Now(own.body.is_some()));
        }
        let Ready::Now(found) = self.view.find(key, mode)? else {
            return Ok(Ready::WouldBlock);
        };
        self.note_point(key)?;
        Ok(Ready::Now(found.is_some()))
    }

    /// How many documents the collection holds, as the transaction sees it. In a serializable
    /// transaction that counts as having read all of them.
    ///
    /// # Errors
    /// As [`Txn::read`], without `NotFound`.
    pub fn count(&mut self, collection: &str) -> Result<u64> {
        let _pin = self.pin()?;
        self.make_room_for_reads(ReadMode::Blocking)?;
        let collection = self.collection(collection)?;
        let (from, to) = (0, u64::MAX);
        self.note_range(Key::new(collection.id, from), Key::new(collection.id, to))?;
        let count = collection.count_at(self.view.ts());
        Ok(count.saturating_add_signed(self.writes.change(collection.id)))
    }

    /// The collections, by name, with their counts as the transaction sees them. In a serializable
    /// transaction that counts as having read everything.
    ///
    /// # Errors
    /// As [`Txn::count`], without `CollectionNotFound`.
    pub fn collections(&mut self) -> Result<Vec<CollectionInfo>> {
        let _pin = self.pin()?;
        self.make_room_for_reads(ReadMode::Blocking)?;
        self.note_range(Key::MIN, Key::MAX)?;
        if let Some(reads) = &mut self.reads {
            reads.add_all_names();
        }
        let mut list = self.inner().collections_at(self.view.ts());
        for info in &mut list {
            let change = self.writes.change(info.id);
            info.documents = info.documents.saturating_add_signed(change);
        }
        Ok(list)
    }

    /// The collection that bears the name in the transaction's snapshot.
    pub(super) fn collection(&mut self, name: &str) -> Result<Arc<Collection>> {
        let found = self.view.collection(name);
        let id = match &found {
            Ok(collection) => Some(collection.id),
            Err(error) if error.kind() == ErrorKind::CollectionNotFound => None,
            Err(_) => return found,
        };
        if name.len() > limits::NAME_BYTES_MAX {
            // There never will be one.
            return found;
        }
        self.note(|reads| reads.add_name(name, id))?;
        found
    }

    /// Before the answer is given: what is not noted must not be told.
    pub(super) fn note_point(&mut self, key: Key) -> Result<()> {
        self.note(|reads| reads.add_point(key))
    }

    pub(super) fn note_range(&mut self, from: Key, to: Key) -> Result<()> {
        self.note(|reads| reads.add_range(from, to))
    }

    fn note(&mut self, add: impl FnOnce(&mut ReadSet) -> Result<u64>) -> Result<()> {
        if let Some(reads) = &mut self.reads {
            let bytes = add(reads)?;
            self.read_room_bytes = self.read_room_bytes.saturating_sub(bytes);
        }
        Ok(())
    }

    /// Takes memory for what a call may note. `WouldBlock` if that must be waited for and may not.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub(super) fn make_room_for_reads(&mut self, mode: ReadMode) -> Result<Ready<()>> {
        if self.reads.is_none() || self.read_room_bytes >= NOTE_BYTES_MAX {
            return Ok(Ready::Now(()));
        }
        if self.reads.as_ref().is_some_and(ReadSet::is_empty) {
            self.charge(READ_SET_STEP_BYTES);
        } else {
            let inner = Arc::clone(self.inner());
            let permit = match (inner.try_admit(READ_SET_STEP_BYTES), mode) {
                (Some(permit), _) => permit,
                (None, ReadMode::NoWait) => return Ok(Ready::WouldBlock),
                (None, ReadMode::Blocking) => inner.admit(0, READ_SET_STEP_BYTES as usize)?,
            };
            // The transaction takes the memory over from the permit.
            self.charge(READ_SET_STEP_BYTES);
            drop(permit);
        }
        self.read_room_bytes += READ_SET_STEP_BYTES;
        Ok(Ready::Now(()))
    }
}
