//! What must hold of records that were read back.

use crate::common::Entry;

/// Whether `found` stands in `entries` as it is, without a hole.
pub(crate) fn is_part_of(found: &[Entry], entries: &[Entry]) -> bool {
    let Some(first) = found.first() else {
        return true;
    };
    let at = entries.iter().position(|e| e.lsn == first.lsn);
    at.is_some_and(|at| entries[at..].starts_with(found))
}
