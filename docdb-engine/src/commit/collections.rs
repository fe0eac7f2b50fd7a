//! Creating and dropping collections: commits like any other.

use std::sync::atomic::Ordering;

use docdb_mvcc::CommitTs;
use docdb_types::{DEFAULT_COLLECTION, ErrorKind, check_collection_name, limits};
use parking_lot::MutexGuard;

use super::Sequencer;
use super::bodies::Bodies;
use crate::collections::Collection;
use crate::db::{Db, Inner};
use crate::error::{Error, Result};
use crate::ops::{Committed, Ids};
use crate::record::{self, LoggedOp, OpKind};
use crate::ticket::CommitTicket;

impl Db {
    /// Submits the creation of a collection. The ticket's only id is the collection's number.
    ///
    /// Error kinds of the ticket: `InvalidName`, `AlreadyExists`, `LimitExceeded`, and those of
    /// [`Db::submit`] that concern all of a commit.
    pub fn create_collection(&self, name: &str) -> CommitTicket {
        self.inner
            .create_collection(name)
            .unwrap_or_else(CommitTicket::failed)
    }

    /// Submits the drop of a collection: it must be empty unless `force` is set. Snapshots that are
    /// open still see it.
    ///
    /// Error kinds of the ticket: `CollectionNotFound`, `NotEmpty`, `InvalidArgument` for
    /// `_default`, and those of [`Db::submit`] that concern all of a commit.
    pub fn drop_collection(&self, name: &str, force: bool) -> CommitTicket {
        self.inner
            .drop_collection(name, force)
            .unwrap_or_else(CommitTicket::failed)
    }
}

impl Inner {
    fn create_collection(&self, name: &str) -> Result<CommitTicket> {
        self.check_writable()?;
        check_collection_name(name).map_err(|error| {
            Error::new(
                ErrorKind::InvalidName,
                format!("collection name {name:?}: {error}"),
            )
        })?;
        let mut sequencer = self.sequencer.lock();
        self.check_writable()?;
        if let Some(existing) = self.collections.installed(name) {
            let error = Error::new(
                ErrorKind::AlreadyExists,
                format!("collection {name:?} exists already"),
            );
            return Ok(self.refusal(error, existing.created()));
        }
        let id = sequencer.next_collection;
        if self.collections.live() >= limits::COLLECTIONS_MAX || id == u32::MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "a database has at most {} collections",
                    limits::COLLECTIONS_MAX
                ),
            ));
        }
        let op = LoggedOp {
            kind: OpKind::CreateCollection,
            existed: false,
            collection: id,
            id: 0,
            body: name.as_bytes(),
        };
        let ticket = self.log_collection_op(&mut sequencer, &op)?;
        sequencer.next_collection = id + 1;
        let ts = CommitTs(ticket.lsn().0);
        self.collections
            .add(Collection::new(id, name.to_owned(), ts));
        Ok(self.collection_committed(ticket, id))
    }

    fn drop_collection(&self, name: &str, force: bool) -> Result<CommitTicket> {
        self.check_writable()?;
        if name == DEFAULT_COLLECTION {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("collection {DEFAULT_COLLECTION:?} cannot be dropped"),
            ));
        }
        let mut sequencer = self.sequencer.lock();
        self.check_writable()?;
        let Some(collection) = self.collections.installed(name) else {
            return Ok(self.refusal(Error::collection_missing(name), self.installed()));
        };
        let (documents, _) = collection.installed();
        if documents > 0 && !force {
            let error = Error::new(
                ErrorKind::NotEmpty,
                format!("collection {name:?} holds {documents} documents; drop it with force"),
            );
            return Ok(self.refusal(error, self.installed()));
        }
        let op = LoggedOp {
            kind: OpKind::DropCollection,
            existed: true,
            collection: collection.id,
            id: 0,
            body: &[],
        };
        let ticket = self.log_collection_op(&mut sequencer, &op)?;
        self.collections
            .drop_at(&collection, CommitTs(ticket.lsn().0));
        Ok(self.collection_committed(ticket, collection.id))
    }

    fn log_collection_op(
        &self,
        sequencer: &mut MutexGuard<'_, Sequencer>,
        op: &LoggedOp<'_>,
    ) -> Result<docdb_wal::CommitTicket> {
        let head = &mut sequencer.head;
        head.clear();
        record::encode_head(head, 1);
        record::encode_op(head, op);
        let bodies = Bodies::new(op.body, &self.wal);
        self.log(head, &bodies, 0, self.options.durability)
    }

    fn collection_committed(&self, ticket: docdb_wal::CommitTicket, id: u32) -> CommitTicket {
        let version = ticket.lsn().0;
        self.transactions.recent.note_catalog(CommitTs(version));
        self.installed_ts.store(version, Ordering::Release);
        let committed = Committed {
            version,
            ids: Ids::one(u64::from(id)),
        };
        CommitTicket::new(Some(ticket), Ok(committed))
    }
}
