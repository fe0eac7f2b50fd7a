//! The room that a store takes on the disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::peers::docdb::LOG_DIR;

/// A block of `st_blocks`, whatever the file system's.
const BLOCK_BYTES: u64 = 512;

/// Bytes in blocks that the files have been given: holes are not counted, blocks set aside are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Everything but `log`.
    pub data: u64,
    /// DocDB's log, which has a directory of its own; that of the others lies among their files.
    pub log: u64,
}

impl Usage {
    pub fn all(self) -> u64 {
        self.data + self.log
    }

    pub fn of(dir: &Path) -> io::Result<Usage> {
        let mut usage = Usage {
            data: 0,
            log: files(&dir.join(LOG_DIR))?,
        };
        usage.data = files(dir)?.saturating_sub(usage.log);
        Ok(usage)
    }
}

/// Files come and go meanwhile.
fn files(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        bytes += match metadata.is_dir() {
            true => files(&entry.path())?,
            false => metadata.blocks() * BLOCK_BYTES,
        };
    }
    Ok(bytes)
}
