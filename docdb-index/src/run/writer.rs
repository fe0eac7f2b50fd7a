//! Writing a run, in one pass.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_mvcc::CommitTs;
use docdb_vfs::{OpenMode, Vfs, VfsFile};

use super::format::{
    self, BLOCKS_PER_FILTER, FENCES_PER_PAGE, PAGE_BYTES, Page, RunIdentity, RunMeta,
};
use super::{RunEntry, filter};
use crate::{IndexError, Key, Pointer, Result};

/// How many bytes are gathered before they are written.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// Writes a run: entries in ascending order of keys, one per key. Keeps 16 bytes of memory per
/// 4 KiB block. After an error the file is to be abandoned, and every later call says so.
#[derive(Debug)]
pub struct RunWriter<P> {
    file: Arc<dyn VfsFile>,
    path: PathBuf,
    identity: RunIdentity,
    buffer: Vec<u8>,
    written_len: u64,
    /// Up to here nothing need be carried to the device any more.
    synced_len: u64,
    block: Vec<RunEntry<P>>,
    /// Of the group of blocks that is being written.
    filter: Box<Page>,
    group_blocks: usize,
    fences: Vec<Key>,
    meta: RunMeta,
    failed: bool,
}

impl<P: Pointer> RunWriter<P> {
    /// Creates a file that must not exist yet.
    pub fn create(vfs: &dyn Vfs, path: &Path, identity: RunIdentity) -> Result<Self> {
        let file = vfs.open(path, OpenMode::CreateNew)?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            identity,
            buffer: format::encode_header::<P>(&identity).to_vec(),
            written_len: 0,
            synced_len: 0,
            block: Vec::with_capacity(format::entries_per_block::<P>()),
            filter: Box::new([0; PAGE_BYTES]),
            group_blocks: 0,
            fences: Vec::new(),
            meta: RunMeta {
                entries: 0,
                tombstones: 0,
                data_blocks: 0,
                min_ts: CommitTs::ZERO,
                max_ts: CommitTs::ZERO,
                keys: None,
            },
            failed: false,
        })
    }

    /// Adds a document, whose key must be above all before: its version and pointer, or its
    /// deletion.
    pub fn push(&mut self, key: Key, ts: CommitTs, pointer: Option<P>) -> Result<()> {
        self.check_usable()?;
        let first = match self.meta.keys {
            Some((_, last)) if last >= key => {
                self.failed = true;
                return Err(IndexError::OutOfOrder {
                    path: self.path.clone(),
                    key,
                });
            }
            Some((first, _)) => first,
            None => {
                self.meta.min_ts = ts;
                key
            }
        };
        self.meta.keys = Some((first, key));
        self.meta.entries += 1;
        self.meta.tombstones += u64::from(pointer.is_none());
        self.meta.min_ts = self.meta.min_ts.min(ts);
        self.meta.max_ts = self.meta.max_ts.max(ts);
        self.block.push(RunEntry { key, ts, pointer });
        if self.block.len() == format::entries_per_block::<P>() {
            self.end_block()?;
        }
        Ok(())
    }

    /// Writes the rest and makes the contents durable. The name becomes durable when the caller
    /// syncs the directory.
    pub fn finish(mut self) -> Result<RunMeta> {
        self.check_usable()?;
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.end_group()?;
        let fences = std::mem::take(&mut self.fences);
        for fences in fences.chunks(FENCES_PER_PAGE) {
            let page = format::encode_fences(fences, &self.identity, self.next_page());
            self.add_page(&page)?;
        }
        let footer = format::encode_footer(&self.meta, &self.identity, self.next_page());
        self.add_page(&footer)?;
        self.write_buffer()?;
        self.file.sync_data()?;
        Ok(self.meta)
    }

    /// Writes and syncs what fills whole pages so far, so that the end has less left to wait for.
    pub fn sync_written(&mut self) -> Result<()> {
        self.check_usable()?;
        self.write_buffer()?;
        if let Err(error) = self.file.sync_data() {
            self.failed = true;
            return Err(error.into());
        }
        self.synced_len = self.written_len;
        Ok(())
    }

    /// Bytes that the next sync has to carry to the device.
    pub fn unsynced_bytes(&self) -> u64 {
        self.written_len + self.buffer.len() as u64 - self.synced_len
    }

    /// What was pushed so far.
    pub fn entries(&self) -> u64 {
        self.meta.entries
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's number and salt.
    pub fn identity(&self) -> RunIdentity {
        self.identity
    }

    fn next_page(&self) -> u64 {
        (self.written_len + self.buffer.len() as u64) / PAGE_BYTES as u64
    }

    fn end_block(&mut self) -> Result<()> {
        let page = format::encode_block(&self.block, &self.identity, self.next_page());
        let number = self.fences.len();
        for entry in &self.block {
            filter::add(&mut self.filter, entry.key, number);
        }
        self.fences
            .extend(self.block.first().map(|entry| entry.key));
        self.block.clear();
        self.meta.data_blocks += 1;
        self.add_page(&page)?;
        self.group_blocks += 1;
        if self.group_blocks == BLOCKS_PER_FILTER {
            self.end_group()?;
        }
        Ok(())
    }

    /// Writes the filter of the blocks since the last one, if there are any.
    fn end_group(&mut self) -> Result<()> {
        let blocks = std::mem::take(&mut self.group_blocks);
        if blocks == 0 {
            return Ok(());
        }
        let index = self.next_page();
        format::seal_filter(&mut self.filter, blocks, &self.identity, index);
        let page = std::mem::replace(&mut *self.filter, [0; PAGE_BYTES]);
        self.add_page(&page)
    }

    fn add_page(&mut self, page: &format::Page) -> Result<()> {
        self.buffer.extend_from_slice(page);
        if self.buffer.len() >= WRITE_BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<()> {
        if let Err(error) = self.file.write_all_at(&self.buffer, self.written_len) {
            self.failed = true;
            return Err(error.into());
        }
        self.written_len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn check_usable(&self) -> Result<()> {
        if self.failed {
            return Err(IndexError::WriterFailed {
                path: self.path.clone(),
            });
        }
        Ok(())
    }
}
