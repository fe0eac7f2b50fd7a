//! Writing in a transaction, and committing what was written.

use std::sync::Arc;

use docdb_index::{Key, ReadMode};
use docdb_mvcc::{CommitRules, Current, WriteKind};
use docdb_types::ErrorKind;
use docdb_wal::Durability;

use super::terms::Terms;
use super::write_set::WRITE_BYTES;
use super::{End, Txn};
use crate::commit::{THIS_COMMIT, check};
use crate::error::{Error, Result};
use crate::json::Edit;
use crate::ops::{Committed, Ids, WriteOp};
use crate::snapshot::now;
use crate::ticket::CommitTicket;

impl Txn {
    /// Writes, to be committed with the transaction. The rules and preconditions are those of
    /// [`Db::submit`](crate::Db::submit), for what the transaction sees; a document that it wrote
    /// itself has no version that could be demanded. Returns the document's id, which an insert
    /// assigns: nobody else gets it, also if the transaction is rolled back.
    ///
    /// # Errors
    /// `InvalidJson`, `TooLarge`, `CollectionNotFound`, `AlreadyExists`, `NotFound`,
    /// `VersionMismatch`; `LimitExceeded` if the transaction has written too much, or there are no ids
    /// left; `MemoryLimit`; `TransactionExpired`; `Corrupt`, `Io`, `Closed`. The write is not made, and
    /// the transaction goes on.
    pub fn write(&mut self, op: &WriteOp<'_>) -> Result<u64> {
        self.try_write(op).map_err(Error::without_op)
    }

    /// As [`Txn::write`] of [`WriteOp::create`].
    ///
    /// # Errors
    /// As `write`.
    pub fn create(&mut self, collection: &str, id: u64, body: &[u8]) -> Result<()> {
        self.write(&WriteOp::create(collection, id, body)).map(drop)
    }

    /// As [`Txn::write`] of [`WriteOp::update`].
    ///
    /// # Errors
    /// As `write`.
    pub fn update(&mut self, collection: &str, id: u64, body: &[u8]) -> Result<()> {
        self.write(&WriteOp::update(collection, id, body)).map(drop)
    }

    /// As [`Txn::write`] of [`WriteOp::upsert`].
    ///
    /// # Errors
    /// As `write`.
    pub fn upsert(&mut self, collection: &str, id: u64, body: &[u8]) -> Result<()> {
        self.write(&WriteOp::upsert(collection, id, body)).map(drop)
    }

    /// As [`Txn::write`] of [`WriteOp::insert`]; returns the id.
    ///
    /// # Errors
    /// As `write`.
    pub fn insert(&mut self, collection: &str, body: &[u8]) -> Result<u64> {
        self.write(&WriteOp::insert(collection, body))
    }

    /// As [`Txn::write`] of [`WriteOp::patch`].
    ///
    /// # Errors
    /// As `write`; `InvalidPatch`, `InvalidPath`, `NotAnObject`.
    pub fn patch(&mut self, collection: &str, id: u64, patch: &[u8]) -> Result<()> {
        self.write(&WriteOp::patch(collection, id, patch)).map(drop)
    }

    /// As [`Txn::write`] of [`WriteOp::merge`].
    ///
    /// # Errors
    /// As `write`.
    pub fn merge(&mut self, collection: &str, id: u64, merge: &[u8]) -> Result<()> {
        self.write(&WriteOp::merge(collection, id, merge)).map(drop)
    }

    /// As [`Txn::write`] of [`WriteOp::delete`].
    ///
    /// # Errors
    /// As `write`.
    pub fn delete(&mut self, collection: &str, id: u64) -> Result<()> {
        self.write(&WriteOp::delete(collection, id)).map(drop)
    }

    fn try_write(&mut self, op: &WriteOp<'_>) -> Result<u64> {
        let _pin = self.pin()?;
        self.make_room_for_reads(ReadMode::Blocking)?;
        check(std::slice::from_ref(op))?;
        let collection = self.collection(op.collection)?;
        let body = (op.kind != WriteKind::Delete).then_some(op.body);
        if op.kind == WriteKind::Insert {
            self.check_limits(None, false, body)?;
            CommitRules::check(op.kind, op.precondition.into(), Current::Absent)
                .map_err(|refusal| Error::refused(refusal, op.collection, 0))?;
            let own_highest = self.writes.highest_id(collection.id);
            let id = {
                let _sequencer = self.inner().sequencer.lock();
                collection.reserve_id(own_highest)
            };
            let id = id.ok_or_else(|| Error::no_ids_left(op.collection))?;
            // Nobody has ever used the id, so it is not there.
            self.put(&collection, Key::new(collection.id, id), false, body)?;
            return Ok(id);
        }
        let key = Key::new(collection.id, op.id);
        let own = self.writes.get(key).map(|own| own.body.is_some());
        let (current, existed) = match own {
            Some(exists) => {
                let existed = self.writes.existed(key).unwrap_or(false);
                let current = if exists {
                    Current::Present(THIS_COMMIT)
                } else {
                    Current::Absent
                };
                (current, existed)
            }
            None => match now(self.view.find(key, ReadMode::Blocking)?)? {
                Some(version) => (Current::Present(version.ts), true),
                None => (Current::Absent, false),
            },
        };
        if let Err(error) = op.check_against(current, op.id) {
            // The answer tells what was read; of an accepted write the commit itself makes sure.
            if own.is_none() {
                self.note_point(key)?;
            }
            return Err(error);
        }
        let edited;
        let body = if op.kind.is_edit() {
            edited = self.edit(op)?;
            Some(edited.as_slice())
        } else {
            body
        };
        self.check_limits(Some(key), existed, body)?;
        self.put(&collection, key, existed, body)?;
        Ok(op.id)
    }

    /// What a patch or a merge makes of the document, as the transaction sees it. That nobody else has
    /// written it is asked of every write when the transaction commits.
    fn edit(&mut self, op: &WriteOp<'_>) -> Result<Vec<u8>> {
        let refused = |error| Error::edit_refused(&error, op.collection, op.id);
        let edit = match op.kind {
            WriteKind::Patch => Edit::patch(op.body).map_err(refused)?,
            _ => Edit::merge(op.body),
        };
        let base = self.read(op.collection, op.id)?;
        edit.apply(&base.body).map_err(refused)
    }

    fn check_limits(&self, key: Option<Key>, existed: bool, body: Option<&[u8]>) -> Result<()> {
        // An id that is not known yet is one that was not written.
        let key = key.unwrap_or(Key::MAX);
        let (ops, bytes) = self.writes.sizes_with(key, existed, body);
        let options = &self.inner().options;
        let (ops_max, bytes_max) = (options.transaction_ops_max, options.transaction_bytes_max);
        if ops > ops_max || bytes > bytes_max {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "a transaction writes at most {ops_max} documents of {bytes_max} bytes in all; \
                     commit what it has, or split it"
                ),
            ));
        }
        Ok(())
    }

    fn put(
        &mut self,
        collection: &Arc<crate::collections::Collection>,
        key: Key,
        existed: bool,
        body: Option<&[u8]>,
    ) -> Result<()> {
        let bytes = |body: Option<&[u8]>| WRITE_BYTES + body.map_or(0, |body| body.len() as u64);
        let before = self.writes.get(key);
        let before = before.map_or(0, |before| bytes(before.body.as_deref()));
        let after = bytes(body);
        if let Some(growth @ 1..) = after.checked_sub(before) {
            let inner = Arc::clone(self.inner());
            // What waits for memory is the permit; the transaction takes the memory over from it.
            let permit = inner.admit(1, growth as usize)?;
            self.charge(growth);
            drop(permit);
        } else {
            self.give_back(before - after);
        }
        self.writes
            .put(collection, key, existed, body.map(Arc::from));
        Ok(())
    }

    /// Submits the transaction's writes as one commit. Everything is decided when this returns; the
    /// ticket tells the outcome once it is durable. The ids in it are none: inserts answered theirs. A
    /// transaction that wrote nothing commits without a trace, at the version that it read at.
    ///
    /// Error kinds of the ticket, which mean that nothing was written: `Conflict`, with the version
    /// that the transaction lost to ([`Error::version`]): begin anew; `CollectionNotFound` if a
    /// collection that it wrote to was dropped; `TransactionExpired`; `MemoryLimit`, `DiskFull`, `Io`,
    /// `Poisoned`, `Closed`. And `OutcomeUnknown`, as ever.
    pub fn commit(mut self) -> CommitTicket {
        let failed = |error: Error| CommitTicket::failed(error.without_op());
        let ticket = self.try_commit().unwrap_or_else(failed);
        self.finish(match ticket.refused_with() {
            None => End::Committed,
            Some(ErrorKind::Conflict) => End::Conflicted,
            Some(ErrorKind::TransactionExpired) => End::Expired,
            Some(_) => End::RolledBack,
        });
        ticket
    }

    /// As [`Txn::commit`]; the answer also waits for what this mode asks for, if that is more than the
    /// database's mode does.
    pub fn commit_as(mut self, durability: Durability) -> CommitTicket {
        self.options.durability = Some(durability);
        self.commit()
    }

    fn try_commit(&mut self) -> Result<CommitTicket> {
        let _pin = self.pin()?;
        if self.writes.is_empty() {
            let committed = Committed {
                version: self.version(),
                ids: Ids::many(Vec::new()),
            };
            return Ok(CommitTicket::new(None, Ok(committed)));
        }
        // The commit asks for its own.
        self.discharge();
        let inner = Arc::clone(self.inner());
        let durability = self.options.durability.unwrap_or(inner.options.durability);
        let terms = Terms::new(
            self.view.ts(),
            self.deadline,
            &self.writes,
            self.reads.as_ref(),
        );
        let ticket = inner.submit_on_terms(&self.writes.as_ops(), durability, &terms)?;
        Ok(ticket.of_transaction())
    }
}
