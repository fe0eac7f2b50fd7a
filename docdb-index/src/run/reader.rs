//! Reading a run.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_mvcc::CommitTs;
use docdb_vfs::{IoError, OpenMode, Vfs, VfsFile};

use super::RunEntry;
use super::cursor::RunCursor;
use super::format::{self, FENCES_PER_PAGE, FormatError, PAGE_BYTES, Page, RunIdentity, RunMeta};
use crate::{Direction, IndexError, Key, Pointer, Result};

/// Whether a read may wait for the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadMode {
    /// It may.
    Blocking,
    /// It may not: what is not in memory already answers `WouldBlock`.
    NoWait,
}

/// A part of a range of a run, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunChunk<P> {
    /// The documents, deletions included.
    pub items: Vec<RunEntry<P>>,
    /// The last key in scan order up to which `items` are all there are; `None` if that is the whole
    /// range.
    pub complete_through: Option<Key>,
}

/// An open run: its fences are in memory, its blocks are read and verified one at a time.
pub struct Run<P> {
    file: Arc<dyn VfsFile>,
    path: PathBuf,
    identity: RunIdentity,
    meta: RunMeta,
    /// The first key of every data block.
    fences: Vec<Key>,
    pointers: PhantomData<P>,
}

fn format_error(path: &Path, page: u64, error: FormatError) -> IndexError {
    match error {
        FormatError::Corrupt(what) => {
            IndexError::corrupt(path, page.saturating_mul(PAGE_BYTES as u64), what)
        }
        FormatError::Unsupported(what) => IndexError::Unsupported {
            path: path.to_path_buf(),
            what,
        },
    }
}

/// A file that ends too early is damaged; any other failure is the operating system's.
fn read_error(path: &Path, offset: u64, error: IoError) -> IndexError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        IndexError::corrupt(path, offset, "the file ends too early")
    } else {
        IndexError::Io(error)
    }
}

fn read_page(file: &dyn VfsFile, path: &Path, index: u64, mode: ReadMode) -> Result<Page> {
    let mut page = [0; PAGE_BYTES];
    let offset = index * PAGE_BYTES as u64;
    match mode {
        ReadMode::Blocking => file
            .read_exact_at(&mut page, offset)
            .map_err(|error| read_error(path, offset, error))?,
        ReadMode::NoWait => {
            let read = file.read_at_nowait(&mut page, offset);
            // Part of a page: a read that may wait tells whether the file ends there.
            if read.map_err(|error| read_error(path, offset, error))? != Some(PAGE_BYTES) {
                return Err(IndexError::WouldBlock);
            }
        }
    }
    Ok(page)
}

impl<P: Pointer> Run<P> {
    /// Opens a run and checks its header, footer and fences. Another run's header, or a file of
    /// another length, is `Corrupt`.
    pub fn open(vfs: &dyn Vfs, path: &Path, identity: RunIdentity) -> Result<Self> {
        let file = vfs.open(path, OpenMode::Read)?;
        let len = file.len()?;
        if len < 2 * PAGE_BYTES as u64 || !len.is_multiple_of(PAGE_BYTES as u64) {
            return Err(IndexError::corrupt(path, len, "no run has that length"));
        }
        let header = read_page(&*file, path, 0, ReadMode::Blocking)?;
        let found = format::decode_header::<P>(&header).map_err(|e| format_error(path, 0, e))?;
        if found != identity {
            return Err(IndexError::corrupt(path, 32, "the header is another run's"));
        }
        let footer_page = len / PAGE_BYTES as u64 - 1;
        let footer = read_page(&*file, path, footer_page, ReadMode::Blocking)?;
        let meta = format::decode_footer::<P>(&footer, &identity, footer_page)
            .map_err(|error| format_error(path, footer_page, error))?;

        // The number of blocks was checked against the file's length.
        let mut fences = Vec::with_capacity(meta.data_blocks as usize);
        for i in 0..meta.fence_pages() {
            let index = 1 + meta.data_blocks + i;
            let page = read_page(&*file, path, index, ReadMode::Blocking)?;
            let expected = (meta.data_blocks as usize - fences.len()).min(FENCES_PER_PAGE);
            format::decode_fences(&page, &identity, index, expected, &mut fences)
                .map_err(|error| format_error(path, index, error))?;
        }
        let ends_fit = match (meta.keys, fences.first(), fences.last()) {
            (Some((first, last)), Some(lowest), Some(highest)) => {
                first == *lowest && *highest <= last
            }
            (None, None, None) => true,
            _ => false,
        };
        if !ends_fit {
            let offset = footer_page * PAGE_BYTES as u64;
            return Err(IndexError::corrupt(
                path,
                offset,
                "the footer does not fit the fences",
            ));
        }
        let path = path.to_path_buf();
        Ok(Self {
            file,
            path,
            identity,
            meta,
            fences,
            pointers: PhantomData,
        })
    }

    /// What the footer says.
    pub fn meta(&self) -> RunMeta {
        self.meta
    }

    /// The run's number and salt.
    pub fn identity(&self) -> RunIdentity {
        self.identity
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The memory that the fences take, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.fences.capacity() * size_of::<Key>()
    }

    /// The block in which `key` is if it is anywhere.
    pub(super) fn block_of(&self, key: Key) -> Option<usize> {
        self.fences
            .partition_point(|fence| *fence <= key)
            .checked_sub(1)
    }

    pub(super) fn blocks(&self) -> usize {
        self.fences.len()
    }

    pub(super) fn file(&self) -> &dyn VfsFile {
        &*self.file
    }

    pub(super) fn read_error(&self, offset: u64, error: IoError) -> IndexError {
        read_error(&self.path, offset, error)
    }

    pub(super) fn block_offset(block: usize) -> u64 {
        (1 + block as u64) * PAGE_BYTES as u64
    }

    pub(super) fn read_block(&self, block: usize, mode: ReadMode) -> Result<Page> {
        read_page(&*self.file, &self.path, 1 + block as u64, mode)
    }

    /// Verifies a page that was read as this block.
    pub(super) fn check_block<'a>(
        &self,
        block: usize,
        page: &'a Page,
    ) -> Result<format::Block<'a>> {
        let index = 1 + block as u64;
        format::Block::check::<P>(page, &self.identity, index)
            .map_err(|error| format_error(&self.path, index, error))
    }

    pub(super) fn entry(
        &self,
        block: usize,
        checked: &format::Block<'_>,
        i: usize,
    ) -> Result<RunEntry<P>> {
        checked
            .entry(i)
            .map_err(|error| format_error(&self.path, 1 + block as u64, error))
    }

    /// What the run holds of a document.
    pub fn get(&self, key: Key, mode: ReadMode) -> Result<Option<(CommitTs, Option<P>)>> {
        if self.meta.keys.is_none_or(|(_, last)| key > last) {
            return Ok(None);
        }
        let Some(block) = self.block_of(key) else {
            return Ok(None);
        };
        let page = self.read_block(block, mode)?;
        let checked = self.check_block(block, &page)?;
        let i = checked.lower_bound(key);
        if i == checked.entries() || checked.key(i) != key {
            return Ok(None);
        }
        let entry = self.entry(block, &checked, i)?;
        Ok(Some((entry.ts, entry.pointer)))
    }

    /// The beginning of `from..=to` in this direction: whole blocks until there are `items_max`
    /// items, cut to that many.
    pub fn chunk(
        &self,
        from: Key,
        to: Key,
        direction: Direction,
        items_max: usize,
        mode: ReadMode,
    ) -> Result<RunChunk<P>> {
        let mut chunk = RunChunk {
            items: Vec::new(),
            complete_through: None,
        };
        let Some((first, last)) = self.meta.keys else {
            return Ok(chunk);
        };
        if from > to || from > last || to < first {
            return Ok(chunk);
        }
        let items_max = items_max.max(1);
        // `to` is not below the run's first key, so a block begins at or below it.
        let low = self.block_of(from).unwrap_or(0);
        let high = self.block_of(to).unwrap_or(0);
        for n in 0..=high - low {
            let block = match direction {
                Direction::Ascending => low + n,
                Direction::Descending => high - n,
            };
            let page = self.read_block(block, mode)?;
            let checked = self.check_block(block, &page)?;
            let start = checked.lower_bound(from);
            let end = to
                .next()
                .map_or(checked.entries(), |after| checked.lower_bound(after));
            for i in 0..end.saturating_sub(start) {
                if chunk.items.len() == items_max {
                    chunk.complete_through = chunk.items.last().map(|entry| entry.key);
                    return Ok(chunk);
                }
                let i = match direction {
                    Direction::Ascending => start + i,
                    Direction::Descending => end - 1 - i,
                };
                chunk.items.push(self.entry(block, &checked, i)?);
            }
        }
        Ok(chunk)
    }

    /// All entries in ascending order, verified, in bounded memory. After an error it ends.
    pub fn entries(&self) -> impl Iterator<Item = Result<RunEntry<P>>> + '_ {
        let mut cursor = RunCursor::new(self);
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let entry = cursor.next().transpose();
            failed = matches!(entry, Some(Err(_)));
            entry
        })
    }
}

impl<P> fmt::Debug for Run<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("path", &self.path)
            .field("number", &self.identity.number)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
