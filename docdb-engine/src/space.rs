//! How much of each data file is referenced.
//!
//! A frame is *live* while it is what the newest entry of its document over all runs points to, and
//! the document's collection exists, as of the last checkpoint. Everything else in a file but its
//! header is *dead*: superseded versions, documents of dropped collections, filling, and the frames
//! of deletions, which nothing points to. (So a salvage from data files alone may bring back a
//! document that was deleted.) What the manifest says of it is exact; it can only be too high, after
//! an old run was found damaged.

use std::collections::{BTreeMap, BTreeSet};

use docdb_datafile::format::{BLOCK_BYTES, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, padding_bytes};
use docdb_index::{Key, Winners};

use crate::db::{Db, Inner};
use crate::error::Result;
use crate::manifest::{DataFileEntry, Manifest};
use crate::pointer::DocPtr;

/// A slice of a compaction reads so many times the bytes that it may copy, if it finds little that is
/// live.
pub(crate) const READ_FACTOR: u64 = 8;

/// What a data file holds, as [`Db::space`] found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSpace {
    /// The file's number.
    pub number: u32,
    /// Its length in bytes, header and filling included.
    pub bytes: u64,
    /// The bytes of its frames that are referenced, as the manifest keeps count.
    pub live_bytes: u64,
    /// The same, as counted now from the index.
    pub referenced_bytes: u64,
}

/// By how many bytes the live bytes of data files grow or shrink.
#[derive(Debug, Default)]
pub(crate) struct LiveChanges(BTreeMap<u32, i64>);

impl LiveChanges {
    pub(crate) fn add(&mut self, pointer: DocPtr) {
        *self.0.entry(pointer.0.file).or_default() += pointer.0.frame_bytes() as i64;
    }

    pub(crate) fn remove(&mut self, pointer: DocPtr) {
        *self.0.entry(pointer.0.file).or_default() -= pointer.0.frame_bytes() as i64;
    }

    pub(crate) fn enter(&self, manifest: &mut Manifest) {
        for (number, change) in &self.0 {
            if let Some(entry) = manifest.data_file_mut(*number) {
                let live = entry.live_bytes.checked_add_signed(*change);
                debug_assert!(
                    live.is_some(),
                    "data file {number} has less than no live bytes"
                );
                // Never more than there is: no manifest says so and can be read.
                entry.live_bytes = live.unwrap_or(0).min(entry.durable_bytes);
            }
        }
    }
}

/// The bytes that compacting a data file in slices of about so many bytes would give back: not those
/// of its header, and not those of the filling that the copy would have as well. So whatever a
/// compaction leaves, compacting it again gains nothing, and the bytes of all files go down with each.
pub(crate) fn reclaimable_bytes(entry: &DataFileEntry, slice_bytes: u64) -> u64 {
    if entry.live_bytes == 0 {
        return entry.durable_bytes;
    }
    let live = entry.live_bytes;
    let slice_bytes = slice_bytes.max(1);
    let slices = live.div_ceil(slice_bytes) + entry.durable_bytes / slice_bytes / READ_FACTOR;
    let filling = if slices == 1 {
        padding_bytes(live) as u64
    } else {
        slices.saturating_mul(BLOCK_BYTES + FRAME_HEADER_BYTES as u64)
    };
    let copy = (FILE_HEADER_BYTES as u64 + live).saturating_add(filling);
    entry.durable_bytes.saturating_sub(copy)
}

impl Db {
    /// Counts anew, from all of the index, what the data files hold. For checks: it reads every index
    /// run, and no checkpoint is taken meanwhile.
    ///
    /// # Errors
    /// `Corrupt` if a run does not verify; `Io`; `Closed`.
    pub fn space(&self) -> Result<Vec<FileSpace>> {
        self.inner.space()
    }
}

impl Inner {
    fn space(&self) -> Result<Vec<FileSpace>> {
        let state = self.checkpointer.lock();
        self.check_open()?;
        let manifest = &state.manifest;
        let collections: BTreeSet<u32> =
            manifest.collections.iter().map(|entry| entry.id).collect();
        let mut referenced: BTreeMap<u32, u64> = BTreeMap::new();
        let mut winners = Winners::new(&self.index.runs(), Key::MIN, Key::MAX)?;
        while let Some(entry) = winners.next()? {
            if let Some(DocPtr(pointer)) = entry.pointer
                && collections.contains(&entry.key.collection)
            {
                *referenced.entry(pointer.file).or_default() += pointer.frame_bytes();
            }
        }
        let files = manifest.data_files.iter().map(|entry| FileSpace {
            number: entry.number,
            bytes: entry.durable_bytes,
            live_bytes: entry.live_bytes,
            referenced_bytes: referenced.remove(&entry.number).unwrap_or(0),
        });
        let mut files: Vec<_> = files.collect();
        // What points to no file that there is shows as a file without a byte.
        files.extend(
            referenced
                .into_iter()
                .map(|(number, referenced_bytes)| FileSpace {
                    number,
                    bytes: 0,
                    live_bytes: 0,
                    referenced_bytes,
                }),
        );
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_copy_would_need_is_not_reclaimable() {
        let file = |durable_bytes, live_bytes, slice_bytes| {
            let entry = DataFileEntry {
                live_bytes,
                ..DataFileEntry::new(1, 0, durable_bytes)
            };
            reclaimable_bytes(&entry, slice_bytes)
        };
        assert_eq!(file(4096, 0, 1 << 20), 4096);
        assert_eq!(file(8192, 56, 1 << 20), 0);
        assert_eq!(file(12288, 56, 1 << 20), 4096);
        // No frame fits into the 8 bytes that are left of the block.
        assert_eq!(file(12288, 4088, 1 << 20), 0);
        assert_eq!(file(12288, 4096, 1 << 20), 4096);
        // In many slices each may end in filling.
        assert_eq!(file(12288, 56, 10), 0);
        assert!(file(256 << 20, 128 << 20, 8 << 20) > 127 << 20);
    }
}
