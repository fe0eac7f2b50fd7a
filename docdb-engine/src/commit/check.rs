//! What can be said of a commit without a look at the database.

use docdb_mvcc::{CommitRules, Current, WriteKind};
use docdb_types::{ErrorKind, limits};

use crate::error::{Error, Result};
use crate::json;
use crate::ops::{Precondition, WriteOp};

use super::THIS_COMMIT;

/// Checks everything about a commit that needs no look at the database. Returns the bytes of its
/// documents.
pub(crate) fn check(ops: &[WriteOp<'_>]) -> Result<usize> {
    let bytes = check_sizes(ops)?;
    for (index, op) in ops.iter().enumerate() {
        if op.kind != WriteKind::Delete {
            json::check(op.body).map_err(|error| {
                Error::new(ErrorKind::InvalidJson, error.to_string()).at_op(index)
            })?;
        }
    }
    Ok(bytes)
}

/// As [`check`], of documents that are known to be JSON.
pub(super) fn check_sizes(ops: &[WriteOp<'_>]) -> Result<usize> {
    if ops.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "a commit needs an operation",
        ));
    }
    if ops.len() > limits::COMMIT_OPS_MAX {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("a commit has at most {} operations", limits::COMMIT_OPS_MAX),
        ));
    }
    let mut bytes = 0;
    for (index, op) in ops.iter().enumerate() {
        if op.kind == WriteKind::Delete {
            continue;
        }
        if op.body.len() > limits::DOCUMENT_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "a document of {} bytes exceeds the limit of {} bytes",
                    op.body.len(),
                    limits::DOCUMENT_BYTES_MAX
                ),
            )
            .at_op(index));
        }
        bytes += op.body.len();
    }
    check_commit_bytes(bytes)?;
    Ok(bytes)
}

/// Whether the documents of a commit are not too much together.
pub(super) fn check_commit_bytes(bytes: usize) -> Result<()> {
    if bytes > limits::COMMIT_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the documents of a commit have {bytes} bytes, more than the limit of {} bytes",
                limits::COMMIT_BYTES_MAX
            ),
        ));
    }
    Ok(())
}

impl WriteOp<'_> {
    /// Whether the write may act on what it finds under its id.
    pub(crate) fn check_against(&self, current: Current, id: u64) -> Result<()> {
        let is_own = current == Current::Present(THIS_COMMIT);
        let precondition = match self.precondition {
            // What this commit has written has no version yet that anyone could name.
            Precondition::VersionIs(_) if is_own => Precondition::Absent,
            precondition => precondition,
        };
        CommitRules::check(self.kind, precondition.into(), current).map_err(|refusal| {
            if is_own {
                Error::refused_in_batch(refusal, self.collection, id)
            } else {
                Error::refused(refusal, self.collection, id)
            }
        })
    }
}
