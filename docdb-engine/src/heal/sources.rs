//! Where an intact copy of a document's version is looked for.
//!
//! 1. The places of this version that runs know beside the damaged one, also runs and data files that
//!    were replaced and are still there: a document that was moved has two for a while.
//! 2. The log's segments, the kept ones included: the record with the version's number, which is
//!    verified by the log.
//! 3. The earlier checkpoints that are kept: what their runs say has this version.
//! 4. The cache of documents, which were verified when they were read.
//!
//! A frame's checksum binds it to collection, id and version. A frame of a large commit does not know
//! its version; the run that points to it does. An older version is never a copy.

use std::cell::RefCell;
use std::sync::Arc;

use docdb_datafile::DataFile;
use docdb_datafile::data_file_name;
use docdb_index::{Probe, ReadMode};
use docdb_wal::{Lsn, WalError};

use super::Wanted;
use crate::db::Inner;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::open::open_runs;
use crate::planted::{Bug, is_planted};
use crate::publish::identity_of;
use crate::record::{self, KIND_COMMIT, OpKind};

/// Most damaged places of the log that a search goes round.
const LOG_DAMAGE_MAX: usize = 64;

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// As far as takes no lock that is held for the time of a checkpoint.
    OfReader,
    /// To the end.
    All,
}

/// What is done with a copy: the position of what was wanted, and the bytes.
pub(super) type OnCopy<'a> = &'a mut dyn FnMut(usize, Arc<[u8]>) -> Result<()>;

impl Inner {
    /// An intact copy of one version.
    pub(super) fn copy_of(&self, wanted: &Wanted, effort: Effort) -> Result<Option<Arc<[u8]>>> {
        let mut copy = None;
        self.copies_of(std::slice::from_ref(wanted), effort, &mut |_, body| {
            copy = Some(body);
            Ok(())
        })?;
        Ok(copy)
    }

    /// Hands out an intact copy of each version that has one, one at a time.
    ///
    /// # Errors
    /// Only those of `on_copy`: a place that cannot be read has no copy.
    pub(super) fn copies_of(
        &self,
        wanted: &[Wanted],
        effort: Effort,
        on_copy: OnCopy<'_>,
    ) -> Result<()> {
        let mut missing: Vec<usize> = Vec::new();
        for (at, one) in wanted.iter().enumerate() {
            match self.at_another_place(one) {
                Some(body) => on_copy(at, body)?,
                None => missing.push(at),
            }
        }
        self.in_log(wanted, &mut missing, on_copy)?;
        if effort == Effort::All && !missing.is_empty() {
            let kept = self.checkpointer.lock().kept.clone();
            for manifest in kept.iter().rev() {
                self.in_checkpoint(manifest, wanted, &mut missing, on_copy)?;
            }
        }
        for at in missing {
            if let Some(body) = self.documents.peek(wanted[at].key, wanted[at].ts) {
                on_copy(at, body)?;
            }
        }
        Ok(())
    }

    fn at_another_place(&self, wanted: &Wanted) -> Option<Arc<[u8]>> {
        let found = RefCell::new(None);
        let frame = wanted.frame();
        let is_intact = |pointer: &crate::pointer::DocPtr| {
            if *pointer == wanted.pointer {
                return false;
            }
            let read = self.store.read(pointer.0, &frame).ok();
            let is_intact = read.is_some();
            found.replace(read);
            is_intact
        };
        // A run that is damaged knows of no place.
        let place = self
            .index
            .stored(wanted.key, wanted.ts, ReadMode::Blocking, is_intact);
        place.ok().flatten().and_then(|_| found.into_inner())
    }

    /// Takes what it finds off `missing`. One pass over the log, from the lowest version on.
    fn in_log(
        &self,
        wanted: &[Wanted],
        missing: &mut Vec<usize>,
        on_copy: OnCopy<'_>,
    ) -> Result<()> {
        if is_planted(Bug::HealedToOlderVersion) {
            return self.in_log_by_key(wanted, missing, on_copy);
        }
        missing.sort_unstable_by_key(|&at| wanted[at].ts);
        let mut left = std::mem::take(missing).into_iter().peekable();
        let mut damage = 0;
        while let Some(&first) = left.peek() {
            let mut reader = match self.wal.read_from(Lsn(wanted[first].ts.0)) {
                Ok(reader) => reader,
                Err(WalError::NotRetained { oldest, .. }) if oldest.0 > wanted[first].ts.0 => {
                    while let Some(at) = left.next_if(|&at| wanted[at].ts.0 < oldest.0) {
                        missing.push(at);
                    }
                    continue;
                }
                // Its segment cannot be opened, which costs little to find out; a later one may be.
                Err(_) => {
                    missing.push(first);
                    left.next();
                    continue;
                }
            };
            loop {
                let Some(&next) = left.peek() else {
                    return Ok(());
                };
                match reader.next() {
                    Ok(Some(record)) => {
                        let lsn = record.lsn.0;
                        while let Some(at) = left.next_if(|&at| wanted[at].ts.0 <= lsn) {
                            let is_it = wanted[at].ts.0 == lsn && record.kind == KIND_COMMIT;
                            match is_it.then(|| put_in(record.payload, &wanted[at])).flatten() {
                                Some(body) => on_copy(at, body)?,
                                None => missing.push(at),
                            }
                        }
                    }
                    Ok(None) => {
                        missing.extend(left);
                        return Ok(());
                    }
                    // What comes after the damage may be intact: a reader that begins with the next
                    // passes over it, unless that is damaged itself.
                    Err(_) => {
                        damage += 1;
                        if next == first {
                            missing.push(next);
                            left.next();
                        }
                        break;
                    }
                }
            }
            if damage == LOG_DAMAGE_MAX {
                break;
            }
        }
        missing.extend(left);
        Ok(())
    }

    /// The bug that it is planted as: any version in the log will do.
    fn in_log_by_key(
        &self,
        wanted: &[Wanted],
        missing: &mut Vec<usize>,
        on_copy: OnCopy<'_>,
    ) -> Result<()> {
        let Ok(mut reader) = self
            .wal
            .oldest_lsn()
            .and_then(|lsn| self.wal.read_from(lsn))
        else {
            return Ok(());
        };
        while let Ok(Some(record)) = reader.next() {
            for at in std::mem::take(missing) {
                match put_in(record.payload, &wanted[at]) {
                    Some(body) => on_copy(at, body)?,
                    None => missing.push(at),
                }
            }
        }
        Ok(())
    }

    fn in_checkpoint(
        &self,
        manifest: &Manifest,
        wanted: &[Wanted],
        missing: &mut Vec<usize>,
        on_copy: OnCopy<'_>,
    ) -> Result<()> {
        let vfs = self.vfs.as_ref();
        // It may just be let go.
        let Ok(runs) = open_runs(vfs, &self.dir, manifest) else {
            return Ok(());
        };
        missing.sort_unstable_by_key(|&at| wanted[at].key);
        let mut probe = Probe::new(runs);
        for at in std::mem::take(missing) {
            let one = &wanted[at];
            let place = probe.newest(one.key).ok().flatten();
            let place = place.filter(|entry| entry.ts == one.ts);
            let pointer = place.and_then(|entry| entry.pointer);
            let body = pointer
                .filter(|pointer| *pointer != one.pointer)
                .and_then(|pointer| {
                    let mut files = manifest.data_files.iter();
                    let entry = files.find(|entry| entry.number == pointer.0.file)?;
                    let path = self.dir.join(data_file_name(entry.number));
                    let file = DataFile::open(vfs, &path, identity_of(entry), entry.durable_bytes);
                    file.ok()?.read(pointer.0, &one.frame()).ok()
                });
            match body {
                Some(body) => on_copy(at, body)?,
                None => missing.push(at),
            }
        }
        Ok(())
    }
}

/// The document that a commit leaves behind; `None` if it deletes it, or has it in a data file.
fn put_in(payload: &[u8], wanted: &Wanted) -> Option<Arc<[u8]>> {
    let ops = record::decode(payload).ok()?;
    // A commit may write a document more than once; the last counts.
    let mut writes = ops.iter().rev().filter(|op| {
        let is_write = matches!(op.kind, OpKind::Put | OpKind::PutStored | OpKind::Delete);
        is_write && (op.collection, op.id) == (wanted.key.collection, wanted.key.id)
    });
    let last = writes.next()?;
    (last.kind == OpKind::Put).then(|| Arc::from(last.body))
}
