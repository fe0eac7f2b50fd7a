//! Space set aside for a recovery, so that a log on a full disk can be opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_vfs::{OpenMode, Vfs, VfsFile};

use crate::error::Result;
use crate::format::BLOCK_BYTES;
use crate::format::segment::temporary_name;
use crate::segment::{SEGMENT_BYTES_LEAST, sync_name};

/// A file of allocated blocks under the temporary name of a segment that never is. A recovery writes
/// one new segment; if there is no space for it, this file gives up as much as that needs.
///
/// A recovery copies at most what stands unproven in one segment, since a segment is synced before
/// anything is written to its successor. There is a little more, so that a log that crashes again
/// before anything was written to it opens again: then the recovery is done once more beside what
/// the first one made. Where the disk stays full, this goes on for ever if the unproven tail takes
/// less than half of the space; else it works once.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    file: Option<Arc<dyn VfsFile>>,
    bytes: u64,
    /// A sync of the directory has failed.
    in_doubt: bool,
}

/// How much is set aside for a log whose largest segment in use has this capacity.
pub(crate) fn wanted_bytes(capacity_bytes: u64) -> u64 {
    capacity_bytes + BLOCK_BYTES + SEGMENT_BYTES_LEAST
}

/// The path of the file in a log's directory.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join(temporary_name(0))
}

impl Reserve {
    /// What an earlier run has set aside.
    pub(crate) fn find(vfs: &dyn Vfs, dir: &Path) -> Result<Reserve> {
        let path = path(dir);
        if !vfs.exists(&path)? {
            return Ok(Reserve::default());
        }
        let file = vfs.open(&path, OpenMode::ReadWrite)?;
        let bytes = file.len()?;
        Ok(Reserve {
            file: Some(file),
            bytes,
            in_doubt: false,
        })
    }

    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sees to it that at least `bytes` are set aside, durably.
    pub(crate) fn grow(&mut self, vfs: &dyn Vfs, dir: &Path, bytes: u64) -> Result<()> {
        if self.bytes >= bytes {
            return Ok(());
        }
        let path = path(dir);
        let (file, is_new) = match self.file.take() {
            Some(file) => (file, false),
            None => {
                if vfs.exists(&path)? {
                    vfs.remove_file(&path)?;
                }
                (vfs.open(&path, OpenMode::CreateNew)?, true)
            }
        };
        let grown = file.allocate(bytes).and_then(|()| file.sync_data());
        if let Err(error) = grown {
            // What was set aside before still is; of a new file nothing is worth keeping.
            if is_new {
                let _ = vfs.remove_file(&path);
            } else {
                self.file = Some(file);
            }
            return Err(error.into());
        }
        if is_new && let Err(error) = sync_name(vfs, dir) {
            self.in_doubt = true;
            return Err(error);
        }
        self.file = Some(file);
        self.bytes = bytes;
        Ok(())
    }

    /// As [`Reserve::grow`], as far as there is space.
    pub(crate) fn grow_if_possible(&mut self, vfs: &dyn Vfs, dir: &Path, bytes: u64) -> Result<()> {
        let mut more = bytes.saturating_sub(self.bytes);
        while more >= BLOCK_BYTES {
            match self.grow(vfs, dir, self.bytes + more) {
                Err(error) if error.is_disk_full() => {}
                outcome => return outcome,
            }
            more = more / 2 / BLOCK_BYTES * BLOCK_BYTES;
        }
        Ok(())
    }

    /// Keeps no more than `bytes`. Durable before the space is used for something else.
    pub(crate) fn shrink(&mut self, vfs: &dyn Vfs, dir: &Path, bytes: u64) -> Result<()> {
        if self.bytes <= bytes {
            return Ok(());
        }
        if let Some(file) = self.file.take() {
            self.bytes = 0;
            if bytes == 0 {
                drop(file);
                vfs.remove_file(&path(dir))?;
                if let Err(error) = vfs.sync_dir(dir) {
                    self.in_doubt = true;
                    return Err(error.into());
                }
            } else {
                file.set_len(bytes)?;
                file.sync_data()?;
                self.bytes = bytes;
                self.file = Some(file);
            }
        }
        Ok(())
    }
}
