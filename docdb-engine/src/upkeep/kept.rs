//! Data files that are compacted and that snapshots may still read.
//!
//! A file leaves the manifest when nothing that the runs hold as newest points to it, as of the
//! checkpoint of that manifest. A snapshot at or above that checkpoint needs nothing else; an older
//! one may. So the file stays open, and on the disk, until no snapshot is older.

use std::collections::BTreeSet;

use docdb_datafile::data_file_name;
use docdb_mvcc::CommitTs;
use parking_lot::{MappedMutexGuard, MutexGuard};

use super::Upkeep;
use crate::db::Inner;

/// Most files that are kept; no more are compacted then.
pub(super) const KEPT_FILES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Kept {
    files: Vec<KeptFile>,
    /// Data files that earlier checkpoints name: these stay on the disk.
    pinned: BTreeSet<u32>,
    /// The directory may be another owner's.
    is_closed: bool,
}

#[derive(Debug)]
struct KeptFile {
    number: u32,
    bytes: u64,
    /// Snapshots at or above this do without it.
    bound: CommitTs,
}

impl Kept {
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn is_full(&self) -> bool {
        self.files.len() >= KEPT_FILES_MAX
    }
}

impl Upkeep {
    /// The data files that stay on the disk for earlier checkpoints.
    pub(crate) fn pinned_files(&self) -> MappedMutexGuard<'_, BTreeSet<u32>> {
        MutexGuard::map(self.kept.lock(), |kept| &mut kept.pinned)
    }

    /// Whether a snapshot may read this data file, which the manifest names no more.
    pub(crate) fn is_kept_for_snapshots(&self, number: u32) -> bool {
        let kept = self.kept.lock();
        kept.files.iter().any(|file| file.number == number)
    }
}

impl Inner {
    /// Keeps a data file that the manifest names no more for snapshots below `bound`.
    pub(super) fn keep_for_snapshots(&self, number: u32, bytes: u64, bound: CommitTs) {
        self.store.set_live(number, None);
        self.upkeep.kept.lock().files.push(KeptFile {
            number,
            bytes,
            bound,
        });
    }

    /// Removes the kept files that no snapshot at or above `oldest` needs. A reader who found a
    /// pointer into one before it was compacted asks the index again.
    pub(crate) fn release_files(&self, oldest: CommitTs) {
        let mut kept = self.upkeep.kept.lock();
        let was_full = kept.is_full();
        self.remove_kept(&mut kept, |file| file.bound <= oldest);
        if was_full && !kept.is_full() {
            self.upkeep.set_due(Some(self.vfs.now()));
            self.request_maintenance();
        }
    }

    /// Removes all kept files; no snapshot can be read any more. To be called before the directory is
    /// given up.
    pub(crate) fn close_kept(&self) {
        let mut kept = self.upkeep.kept.lock();
        self.remove_kept(&mut kept, |_| true);
        kept.is_closed = true;
    }

    fn remove_kept(&self, kept: &mut Kept, mut is_free: impl FnMut(&KeptFile) -> bool) {
        if kept.is_closed {
            return;
        }
        kept.files.retain(|file| {
            if !is_free(file) {
                return true;
            }
            self.store.remove(file.number);
            if !kept.pinned.contains(&file.number) {
                // What cannot be removed now, the next open removes.
                let _ = self
                    .vfs
                    .remove_file(&self.dir.join(data_file_name(file.number)));
            }
            false
        });
    }
}
