//! The commit path: prepare outside any lock, then validate, log and install under the sequencer.
//!
//! The sequencer is a mutex held for about a microsecond a commit: no I/O, no JSON, no compression, no
//! copying of bodies beyond the log's group buffer. A queue that one thread drains for the others was considered
//! and left out: a commit whose look at the index has become stale must look again, with I/O, in its
//! own thread, and the mutex needs neither a hand-over of results nor an allocation for it.

mod admission;
mod batch;
mod bodies;
mod bulk;
mod check;
mod collections;
mod edit_queues;
mod edits;
mod recent;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use docdb_index::{Key, Place, ReadMode, Seen};
use docdb_mvcc::{CommitTs, Current, WriteKind};
use docdb_types::ErrorKind;
use docdb_wal::{Durability, Record};
use parking_lot::MutexGuard;

use batch::Earlier;
use bodies::Bodies;

pub(crate) use bulk::BulkFile;
pub(crate) use check::check;
use check::check_sizes;
pub(crate) use edit_queues::EditQueues;
use edits::Foreseen;
pub(crate) use recent::{Lately, Recent, Watching};

use crate::bulk_files::BulkFiles;
use crate::collections::Collection;
use crate::db::{Db, Inner};
use crate::error::{Error, Result};
use crate::ops::{Committed, Ids, WriteOp};
use crate::pointer::DocPtr;
use crate::record::KIND_COMMIT;
use crate::ticket::CommitTicket;
use crate::txn::terms::Terms;
use crate::txn::validate::{Confirmed, Refused};

/// Stands for the version that a commit is about to get.
pub(crate) const THIS_COMMIT: CommitTs = CommitTs::MAX;
/// A byte that a large commit writes to a data file counts this little for the next checkpoint, which
/// need not write it again.
const DATA_BYTES_PER_LOG_BYTE: u64 = 8;

/// What commits are sequenced by. Holding its lock is the right to append and install.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    pub(crate) next_collection: u32,
    /// What large commits have written to since the last checkpoint began.
    pub(crate) bulk_files: BulkFiles,
    head: Vec<u8>,
}

impl Sequencer {
    pub(crate) fn new(next_collection: u32, bulk_files: BulkFiles) -> Sequencer {
        Sequencer {
            next_collection,
            bulk_files,
            head: Vec::new(),
        }
    }
}

impl Db {
    /// Submits one atomic commit: all of `ops`, in this order, each seeing the earlier ones, or none.
    ///
    /// Everything is checked, sequenced and installed when this returns; the ticket tells the
    /// outcome once it is durable. May block shortly for memory or for a new log segment.
    ///
    /// Error kinds of the ticket, which mean that nothing was written, with the position of the
    /// operation: `InvalidJson`, `TooLarge`, `CollectionNotFound`, `AlreadyExists`, `NotFound`,
    /// `VersionMismatch`, `LimitExceeded`, `InvalidArgument` (no operation at all); of a patch or merge
    /// also `InvalidPatch`, `InvalidPath`, `NotAnObject`, and `Corrupt` if the document that it is for
    /// does not verify; and for all of it: `MemoryLimit`, `DiskFull`, `Io`, `Poisoned`, `Closed`.
    pub fn submit(&self, ops: &[WriteOp<'_>]) -> CommitTicket {
        self.inner.submit(ops, self.inner.options.durability)
    }

    /// As [`Db::submit`], and the ticket waits for what `durability` asks for, if that is more than the
    /// database's mode does. When others see the commit follows the database's mode all the same.
    pub fn submit_as(&self, ops: &[WriteOp<'_>], durability: Durability) -> CommitTicket {
        self.inner.submit(ops, durability)
    }
}

/// An operation with everything that could be prepared without the sequencer.
struct Planned {
    collection: Arc<Collection>,
    key: Key,
    /// `None` for an insert: its id is above all that were ever used.
    seen: Option<Seen<Arc<[u8]>, DocPtr>>,
    /// What stays in memory: `None` for a deletion, and in a large commit.
    body: Option<Arc<[u8]>>,
}

/// An operation that the sequencer has accepted.
#[derive(Clone, Copy)]
struct Accepted {
    key: Key,
    existed: bool,
}

/// What the sequencer says of a commit.
enum Verdict {
    Accepted(Vec<Accepted>),
    /// A look at the index is out of date.
    LookAgain,
    /// Refused, for a reason that commit `rests_on` may have given.
    Refused {
        error: Error,
        rests_on: CommitTs,
    },
}

impl Inner {
    fn submit(&self, ops: &[WriteOp<'_>], durability: Durability) -> CommitTicket {
        let ticket = if ops.iter().any(|op| op.kind.is_edit()) {
            self.submit_edits(ops, durability)
        } else {
            self.edit_queues.give_way(ops);
            self.try_submit(ops, durability, &[], None)
        };
        let ticket = ticket.unwrap_or_else(CommitTicket::failed);
        if ticket.is_refused() {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        ticket
    }

    /// Submits the writes of a transaction, which were checked when they were made.
    pub(crate) fn submit_on_terms(
        &self,
        ops: &[WriteOp<'_>],
        durability: Durability,
        terms: &Terms<'_>,
    ) -> Result<CommitTicket> {
        self.edit_queues.give_way(ops);
        self.try_submit(ops, durability, &[], Some(terms))
    }

    /// `foreseen` are inserts whose ids others of `ops` rely on.
    fn try_submit(
        &self,
        ops: &[WriteOp<'_>],
        durability: Durability,
        foreseen: &[Foreseen],
        terms: Option<&Terms<'_>>,
    ) -> Result<CommitTicket> {
        self.check_writable()?;
        let body_bytes = match terms {
            None => check(ops)?,
            Some(_) => check_sizes(ops)?,
        };
        let is_large = body_bytes >= self.options.bulk_bytes_min.max(1);
        // The bodies of a large commit do not stay in memory.
        let resident_bytes = if is_large { 0 } else { body_bytes };
        let mut permit = self.admit(ops.len(), resident_bytes)?;
        let mut planned = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter().enumerate() {
            match self.plan(op, planned.last(), !is_large, terms) {
                Ok(op) => planned.push(op),
                Err(error) => {
                    let error = error.at_op(index);
                    return Ok(self.refuse_planning(ops, &planned, terms, error));
                }
            }
        }
        let mut reads = match terms.map_or(Ok(None), |terms| self.check_reads(terms)) {
            Ok(reads) => reads,
            Err(refused) => return Ok(self.refused(refused)),
        };
        if is_large && matches!(self.validate(ops, &planned, terms), Verdict::Refused { .. }) {
            // Most likely nothing need be written to say so.
            let sequencer = self.sequencer.lock();
            if let Verdict::Refused { error, rests_on } = self.validate(ops, &planned, terms) {
                drop(sequencer);
                return Ok(self.refusal(error, rests_on));
            }
        }
        let mut bodies = if is_large {
            Bodies::Stored(self.store_bodies(ops, &planned)?)
        } else {
            Bodies::gather(ops, body_bytes, &self.wal)
        };
        loop {
            let mut sequencer = self.sequencer.lock();
            self.check_writable()?;
            match self.validate(ops, &planned, terms) {
                Verdict::Accepted(accepted) => {
                    if let Some(missed) = foreseen.iter().find(|id| !id.came_true(&accepted)) {
                        drop(sequencer);
                        return Err(missed.error());
                    }
                    if let Bodies::Stored(stored) = &bodies
                        && !stored.fit(accepted.iter().map(|accepted| accepted.key))
                    {
                        drop(sequencer);
                        bodies = Bodies::gather(ops, body_bytes, &self.wal);
                        // Now they do stay in memory. Nothing is held while that is waited for.
                        drop(permit);
                        permit = self.admit(ops.len(), body_bytes)?;
                        for (op, plan) in ops.iter().zip(&mut planned) {
                            plan.body = resident(op);
                        }
                        continue;
                    }
                    match reads.as_ref().map(|reads| reads.confirm(&sequencer)) {
                        None | Some(Confirmed::Yes) => {}
                        Some(Confirmed::No(refused)) => {
                            drop(sequencer);
                            return Ok(self.refused(refused));
                        }
                        Some(Confirmed::Later) => {
                            drop(sequencer);
                            match reads.as_mut().map_or(Ok(()), |reads| reads.catch_up()) {
                                Ok(()) => continue,
                                Err(refused) => return Ok(self.refused(refused)),
                            }
                        }
                    }
                    // Last: from here on the answer is the commit's outcome.
                    if let Some(terms) = terms {
                        terms.check_time(self.vfs.now())?;
                    }
                    return self.commit(
                        &mut sequencer,
                        ops,
                        &planned,
                        &accepted,
                        &mut bodies,
                        durability,
                    );
                }
                Verdict::Refused { error, rests_on } => {
                    drop(sequencer);
                    return Ok(self.refusal(error, rests_on));
                }
                Verdict::LookAgain => {
                    drop(sequencer);
                    for (index, (op, plan)) in ops.iter().zip(&mut planned).enumerate() {
                        let renewed = if plan.collection.dropped().is_some() {
                            self.plan(op, None, plan.body.is_some(), terms)
                                .map(|renewed| *plan = renewed)
                        } else if plan.seen.is_some() {
                            self.look(plan.key, terms)
                                .map(|seen| plan.seen = Some(seen))
                        } else {
                            Ok(())
                        };
                        if let Err(error) = renewed {
                            return Ok(self.refusal(error.at_op(index), self.installed()));
                        }
                    }
                }
            }
        }
    }

    /// An operation could not be planned. If an earlier one is refused, that is what is told: a commit
    /// fails at its first operation that fails.
    fn refuse_planning(
        &self,
        ops: &[WriteOp<'_>],
        planned: &[Planned],
        terms: Option<&Terms<'_>>,
        error: Error,
    ) -> CommitTicket {
        let verdict = {
            let _sequencer = self.sequencer.lock();
            self.validate(ops, planned, terms)
        };
        match verdict {
            Verdict::Refused { error, rests_on } => self.refusal(error, rests_on),
            Verdict::Accepted(_) | Verdict::LookAgain => self.refusal(error, self.installed()),
        }
    }

    /// Nobody may learn of a refusal before what it rests on is durable.
    fn refusal(&self, error: Error, rests_on: CommitTs) -> CommitTicket {
        CommitTicket::new(self.watch(rests_on), Err(error))
    }

    fn refused(&self, refused: Refused) -> CommitTicket {
        self.refusal(refused.error, refused.rests_on)
    }

    pub(crate) fn installed(&self) -> CommitTs {
        CommitTs(self.installed_ts.load(Ordering::Acquire))
    }

    fn look(&self, key: Key, terms: Option<&Terms<'_>>) -> Result<Seen<Arc<[u8]>, DocPtr>> {
        let mode = ReadMode::Blocking;
        let seen = match terms {
            None => self.index.look(key, mode),
            Some(terms) => self.index.look_since(key, terms.read_ts, mode),
        };
        seen.map_err(Error::from)
    }

    /// `before` is the operation before it, most likely one on the same collection.
    fn plan(
        &self,
        op: &WriteOp<'_>,
        before: Option<&Planned>,
        resident_body: bool,
        terms: Option<&Terms<'_>>,
    ) -> Result<Planned> {
        let is_same = |collection: &&Arc<Collection>| {
            collection.name == op.collection && collection.dropped().is_none()
        };
        let known = before.map(|before| &before.collection).filter(is_same);
        let collection = match (known, terms) {
            (Some(collection), _) => Some(Arc::clone(collection)),
            (None, None) => self.collections.installed(op.collection),
            (None, Some(terms)) => terms.collection(op.collection),
        };
        let collection = collection.ok_or_else(|| Error::collection_missing(op.collection))?;
        let key = Key::new(collection.id, op.id);
        let seen = match op.kind {
            WriteKind::Insert => None,
            _ => Some(self.look(key, terms)?),
        };
        Ok(Planned {
            collection,
            key,
            seen,
            body: if resident_body { resident(op) } else { None },
        })
    }

    /// Decides under the sequencer, without I/O.
    fn validate(
        &self,
        ops: &[WriteOp<'_>],
        planned: &[Planned],
        terms: Option<&Terms<'_>>,
    ) -> Verdict {
        let mut accepted = Vec::with_capacity(ops.len());
        let mut earlier = Earlier::with_capacity(if ops.len() > 1 { ops.len() } else { 0 });
        for (index, (op, plan)) in ops.iter().zip(planned).enumerate() {
            if let Some(dropped) = plan.collection.dropped() {
                if terms.is_none() && self.collections.installed(op.collection).is_some() {
                    // Created again meanwhile: it is that one that the name now stands for.
                    return Verdict::LookAgain;
                }
                let error = Error::collection_missing(op.collection).at_op(index);
                return Verdict::Refused {
                    error,
                    rests_on: dropped,
                };
            }
            let mut key = plan.key;
            let (current, rests_on) = match &plan.seen {
                None => {
                    let highest = earlier.highest(&plan.collection);
                    match highest.map_or(Some(1), |id| id.checked_add(1)) {
                        Some(id) => key.id = id,
                        None => {
                            return Verdict::Refused {
                                error: Error::no_ids_left(op.collection).at_op(index),
                                rests_on: self.installed(),
                            };
                        }
                    }
                    (Current::Absent, CommitTs::ZERO)
                }
                Some(seen) => match earlier.state(key) {
                    Some(current) => (current, CommitTs::ZERO),
                    None => match self.index.newest_in_memory(key) {
                        Some((ts, true)) => (Current::Present(ts), ts),
                        Some((ts, false)) => (Current::Absent, ts),
                        None if self.index.is_still_valid(seen) => {
                            (seen.current(), seen.newest_ts())
                        }
                        None => return Verdict::LookAgain,
                    },
                },
            };
            let on_terms = terms.map_or(Ok(()), |terms| {
                terms.check_written(rests_on, op.collection, key.id)
            });
            let checked = on_terms.and_then(|()| op.check_against(current, key.id));
            if let Err(error) = checked {
                let error = error.at_op(index);
                return Verdict::Refused { error, rests_on };
            }
            if ops.len() > 1 {
                earlier.note(key, op.kind);
            }
            accepted.push(Accepted {
                key,
                existed: matches!(current, Current::Present(_)),
            });
        }
        Verdict::Accepted(accepted)
    }

    /// Logs and installs what was validated. Nothing is changed if the log refuses it.
    fn commit(
        &self,
        sequencer: &mut MutexGuard<'_, Sequencer>,
        ops: &[WriteOp<'_>],
        planned: &[Planned],
        accepted: &[Accepted],
        bodies: &mut Bodies<'_>,
        durability: Durability,
    ) -> Result<CommitTicket> {
        let head = &mut sequencer.head;
        head.clear();
        bodies.encode_head(head, ops, accepted);
        let data_bytes = bodies.stored().map_or(0, |stored| stored.bytes());
        let ticket = self.log(head, bodies, data_bytes, durability)?;
        if let Bodies::Stored(stored) = bodies {
            stored.logged();
            sequencer.bulk_files.note(stored.file);
        }
        let guard = InstallGuard(self);
        let ts = CommitTs(ticket.lsn().0);
        let horizon = self.horizon();
        for (index, (plan, accepted)) in planned.iter().zip(accepted).enumerate() {
            let place = match (&plan.body, bodies.stored()) {
                (Some(body), _) => Place::Memory(Arc::clone(body)),
                (None, Some(stored)) => stored.place(index),
                (None, None) => Place::Deleted,
            };
            let change = match place {
                Place::Deleted => -1,
                _ => i64::from(!accepted.existed),
            };
            self.index.install(accepted.key, ts, place, &horizon);
            let id = Some(accepted.key.id);
            let readers = || self.readers();
            plan.collection.record(ts, change, id, &horizon, readers);
        }
        let keys = accepted.iter().map(|accepted| accepted.key);
        self.transactions.recent.note(ts, keys);
        self.installed_ts.store(ts.0, Ordering::Release);
        std::mem::forget(guard);
        let ids = match accepted {
            [one] => Ids::one(one.key.id),
            many => Ids::many(many.iter().map(|accepted| accepted.key.id).collect()),
        };
        Ok(CommitTicket::new(
            Some(ticket),
            Ok(Committed { version: ts.0, ids }),
        ))
    }

    fn log(
        &self,
        head: &[u8],
        bodies: &Bodies<'_>,
        data_bytes: u64,
        durability: Durability,
    ) -> Result<docdb_wal::CommitTicket> {
        let record = Record {
            stamp: 0,
            kind: KIND_COMMIT,
            head,
            body: bodies.body(),
            payload_crc: bodies.payload_crc(head),
        };
        let ticket = self.wal.append_record_as(&record, durability)?;
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        // A checkpoint is worth while, too, when much has been written past the log.
        let bytes = (head.len() + bodies.len()) as u64 + data_bytes / DATA_BYTES_PER_LOG_BYTE;
        let before = self.logged_bytes.fetch_add(bytes, Ordering::Relaxed);
        let limit = self.options.checkpoint_wal_bytes;
        if self.dirty_since.load(Ordering::Relaxed) == 0 {
            let nanos = self.vfs.now().as_nanos() as u64 + 1;
            self.dirty_since.store(nanos, Ordering::Release);
            self.request_maintenance();
        } else if before < limit && before + bytes >= limit {
            self.request_maintenance();
        }
        Ok(ticket)
    }
}

/// The body as the index keeps it.
fn resident(op: &WriteOp<'_>) -> Option<Arc<[u8]>> {
    (op.kind != WriteKind::Delete).then(|| Arc::from(op.body))
}

/// Dropped only by a panic while a logged commit is being installed. A later commit would make the
/// installed part visible, so there must be none: the next open installs all of it from the log.
struct InstallGuard<'a>(&'a Inner);

impl Drop for InstallGuard<'_> {
    fn drop(&mut self) {
        let _ = self.0.poisoned.set(Error::new(
            ErrorKind::Internal,
            "a panic while a commit was installed",
        ));
    }
}
