//! Patches and merges: writes whose documents come of what is there.
//!
//! The newest document is read, and the edit made, before the commit and without any lock. The commit
//! then is an update on condition that the document's version is still the one that was read; else it
//! all begins anew. Each time that happens somebody else has written the document, so the database
//! makes progress; so that each edit does, too, those that have lost [`FREE_TRIES`] times go on one
//! after the other, and edits that begin meanwhile queue up behind them. One that loses as often again
//! while it has its turn, to writes that need not queue, has these wait, too: then only those can
//! overtake it that are under way already, each once.

use ahash::AHashMap;
use docdb_index::{Key, ReadMode};
use docdb_mvcc::{CommitTs, Current, WriteKind};
use docdb_types::ErrorKind;
use docdb_wal::Durability;

use super::check::{check, check_commit_bytes};
use super::{Accepted, THIS_COMMIT, Verdict};
use crate::body::Body;
use crate::db::Inner;
use crate::error::{Error, Result};
use crate::json::{Edit, EditError};
use crate::ops::{Precondition, Ready, WriteOp};
use crate::planted::{Bug, is_planted};
use crate::ticket::CommitTicket;

/// How often an edit is tried before it queues, and before others wait for it.
const FREE_TRIES: usize = 8;

/// An insert whose id was foreseen, because a later operation edits what it inserts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Foreseen {
    op: usize,
    id: u64,
}

impl Foreseen {
    pub(super) fn came_true(&self, accepted: &[Accepted]) -> bool {
        let insert = accepted.get(self.op);
        insert.is_some_and(|insert| insert.key.id == self.id)
    }

    /// Seen only here: the edits are made anew.
    pub(super) fn error(&self) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!("another commit has inserted document {}", self.id),
        )
        .at_op(self.op)
    }
}

/// What came of one try.
enum Try {
    Done(CommitTicket),
    /// Another commit has written what was read.
    Overtaken,
}

/// A commit whose edits are being made.
struct Edited<'a> {
    /// For each edit the document that it comes to.
    documents: Vec<Option<Vec<u8>>>,
    /// For each edit the version that it was made of; `None` if an earlier operation wrote that.
    bases: Vec<Option<CommitTs>>,
    /// The last operation on each document, and whether the document is there after it.
    written: AHashMap<Key, (usize, bool)>,
    /// The highest id that is used in a collection after the operations so far.
    highest: AHashMap<u32, u64>,
    foreseen: Vec<Foreseen>,
    /// Of all documents that the operations so far write.
    bytes: usize,
    /// The newest commit that was looked at.
    rests_on: CommitTs,
    ops: &'a [WriteOp<'a>],
}

impl Inner {
    /// As `try_submit`, of operations of which some are edits.
    pub(super) fn submit_edits(
        &self,
        ops: &[WriteOp<'_>],
        durability: Durability,
    ) -> Result<CommitTicket> {
        self.check_writable()?;
        check(ops)?;
        let mut edits = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter().enumerate() {
            let refused = |error: EditError| Error::edit_refused(&error, op.collection, op.id);
            edits.push(match op.kind {
                WriteKind::Patch => {
                    Some(Edit::patch(op.body).map_err(|e| refused(e).at_op(index))?)
                }
                WriteKind::Merge => Some(Edit::merge(op.body)),
                _ => None,
            });
        }
        self.edit_queues.give_way(ops);
        let mut line = self.edit_queues.line(ops);
        let mut tries = 0;
        loop {
            if !line.has_turn() && (tries >= FREE_TRIES || line.is_long()) {
                line.wait();
                tries = 0;
            }
            if tries >= FREE_TRIES {
                line.urge();
            }
            match self.try_edits(ops, &edits, durability)? {
                Try::Done(ticket) => return Ok(ticket),
                Try::Overtaken => tries += 1,
            }
        }
    }

    fn try_edits(
        &self,
        ops: &[WriteOp<'_>],
        edits: &[Option<Edit<'_>>],
        durability: Durability,
    ) -> Result<Try> {
        let mut edited = Edited {
            documents: vec![None; ops.len()],
            bases: vec![None; ops.len()],
            written: AHashMap::new(),
            highest: AHashMap::new(),
            foreseen: Vec::new(),
            bytes: 0,
            rests_on: CommitTs::ZERO,
            ops,
        };
        let mut refused = None;
        for (index, edit) in edits.iter().enumerate() {
            if let Err(error) = self.edit(&mut edited, index, edit.as_ref()) {
                refused = Some((index, error.at_op(index)));
                break;
            }
        }
        let updates = edited.updates();
        if let Some((index, error)) = refused {
            let before = updates.get(..index).unwrap_or_default();
            return Ok(self.refuse_edit(before, edits, error, edited.rests_on));
        }
        let is_overtaken = |error: &Error| is_overtaken(error, edits);
        match self.try_submit(&updates, durability, &edited.foreseen, None) {
            Ok(ticket) if ticket.refusal().is_some_and(is_overtaken) => Ok(Try::Overtaken),
            Ok(ticket) => Ok(Try::Done(ticket)),
            Err(error) if is_overtaken(&error) => Ok(Try::Overtaken),
            Err(error) => Err(error),
        }
    }

    /// Takes one operation into account, and makes it if it is an edit.
    fn edit(&self, edited: &mut Edited<'_>, index: usize, edit: Option<&Edit<'_>>) -> Result<()> {
        let Some(op) = edited.ops.get(index) else {
            return Ok(());
        };
        let collection = self
            .collections
            .installed(op.collection)
            .ok_or_else(|| Error::collection_missing(op.collection))?;
        let mut key = Key::new(collection.id, op.id);
        if let Some(edit) = edit {
            let (document, base) = match edited.own(op, key)? {
                Some(own) => (edit.apply(own), None),
                None => {
                    let (base, body) = self.base(op, key, &mut edited.rests_on)?;
                    (edit.apply(&body), Some(base))
                }
            };
            let refused = |error| Error::edit_refused(&error, op.collection, op.id);
            let document = document.map_err(refused)?;
            edited.bytes += document.len();
            edited.documents[index] = Some(document);
            edited.bases[index] = base;
            edited.note_base(op, key);
        } else if op.kind != WriteKind::Delete {
            edited.bytes += op.body.len();
        }
        // Now: small edits of large documents come to any amount of memory before the commit is
        // looked at as a whole.
        check_commit_bytes(edited.bytes)?;
        if edited.ops.len() > 1 {
            let written = edited.highest.get(&key.collection).copied();
            let highest = written.max(collection.highest_taken());
            if op.kind == WriteKind::Insert {
                // If there is none, the commit is refused for it.
                key.id = highest.map_or(1, |id| id.saturating_add(1));
            }
            edited
                .highest
                .insert(key.collection, highest.map_or(key.id, |id| id.max(key.id)));
            let is_there = op.kind != WriteKind::Delete;
            edited.written.insert(key, (index, is_there));
        }
        Ok(())
    }

    /// The document that an edit is for as no operation of its commit has written it.
    fn base(
        &self,
        op: &WriteOp<'_>,
        key: Key,
        rests_on: &mut CommitTs,
    ) -> Result<(CommitTs, Body)> {
        loop {
            let seen = self.index.look(key, ReadMode::Blocking)?;
            *rests_on = seen.newest_ts().max(*rests_on);
            op.check_against(seen.current(), op.id)?;
            let Some(version) = seen.newest else {
                return Err(Error::document_missing(op.collection, op.id));
            };
            if let Some((ts, body)) = self.documents.newest(key, version.ts, version.ts) {
                return Ok((ts, body.into()));
            }
            match self.body(key, &version, ReadMode::Blocking, None) {
                Ok(Ready::Now(body)) => return Ok((version.ts, body)),
                Ok(Ready::WouldBlock) => {
                    return Err(Error::new(
                        ErrorKind::Internal,
                        "a read that may block answered that it would block",
                    ));
                }
                // Superseded, and gone with its file.
                Err(error) if error.kind() == ErrorKind::SnapshotTooOld => self.check_writable()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// An operation was refused before the commit. If an earlier one is, that is what is told.
    fn refuse_edit(
        &self,
        before: &[WriteOp<'_>],
        edits: &[Option<Edit<'_>>],
        error: Error,
        rests_on: CommitTs,
    ) -> Try {
        let mut planned = Vec::with_capacity(before.len());
        for (index, op) in before.iter().enumerate() {
            match self.plan(op, planned.last(), false, None) {
                Ok(plan) => planned.push(plan),
                Err(error) => {
                    return Try::Done(self.refuse_planning(
                        before,
                        &planned,
                        None,
                        error.at_op(index),
                    ));
                }
            }
        }
        let verdict = {
            let _sequencer = self.sequencer.lock();
            self.validate(before, &planned, None)
        };
        match verdict {
            Verdict::Refused { error, .. } if is_overtaken(&error, edits) => Try::Overtaken,
            Verdict::Refused { error, rests_on } => Try::Done(self.refusal(error, rests_on)),
            Verdict::Accepted(_) | Verdict::LookAgain => {
                Try::Done(self.refusal(error, rests_on.max(self.installed())))
            }
        }
    }
}

impl Edited<'_> {
    /// The document that an earlier operation of the commit has written; `None` if there is none.
    fn own(&self, op: &WriteOp<'_>, key: Key) -> Result<Option<&[u8]>> {
        let Some(&(writer, is_there)) = self.written.get(&key) else {
            return Ok(None);
        };
        let current = if is_there {
            Current::Present(THIS_COMMIT)
        } else {
            Current::Absent
        };
        op.check_against(current, op.id)?;
        Ok(match self.documents.get(writer) {
            Some(Some(document)) => Some(document),
            _ => self.ops.get(writer).map(|op| op.body),
        })
    }

    /// Notes what the edit of `key` relies on.
    fn note_base(&mut self, op: &WriteOp<'_>, key: Key) {
        if let Some(&(writer, _)) = self.written.get(&key)
            && self
                .ops
                .get(writer)
                .is_some_and(|op| op.kind == WriteKind::Insert)
        {
            self.foreseen.push(Foreseen {
                op: writer,
                id: op.id,
            });
        }
    }

    /// The operations, with updates in place of those edits that have been made.
    fn updates(&self) -> Vec<WriteOp<'_>> {
        let made = self.documents.iter().zip(&self.bases);
        let updates = self.ops.iter().zip(made).map(|(op, (document, base))| {
            let Some(document) = document else {
                return *op;
            };
            let precondition = match base {
                Some(base) if !is_planted(Bug::PatchedUnchecked) => Precondition::VersionIs(base.0),
                // An earlier operation wrote what the edit was made of; its own demand has been met.
                _ => Precondition::None,
            };
            WriteOp::update(op.collection, op.id, document).when(precondition)
        });
        updates.collect()
    }
}

/// Whether a commit was refused because an edit in it was made of what is no longer the newest.
fn is_overtaken(error: &Error, edits: &[Option<Edit<'_>>]) -> bool {
    let of_edit = error.op_index().and_then(|index| edits.get(index));
    match error.kind() {
        ErrorKind::Conflict => true,
        ErrorKind::VersionMismatch | ErrorKind::NotFound => matches!(of_edit, Some(Some(_))),
        _ => false,
    }
}
