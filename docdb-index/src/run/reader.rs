//! Reading a run.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_mvcc::CommitTs;
use docdb_vfs::{IoError, OpenMode, Vfs, VfsFile};

use super::blocks::{BlockCache, PageId, VerifiedPage};
use super::cursor::RunCursor;
use super::fences::Fences;
use super::format::{
    self, BLOCKS_PER_FILTER, FENCES_PER_PAGE, FormatError, PAGE_BYTES, Page, RunIdentity, RunMeta,
};
use super::{RunEntry, filter};
use crate::{Direction, IndexError, Key, Pointer, Result};

/// How many fence pages are read at a time.
const FENCE_PAGES_AHEAD: u64 = 64;

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
    fences: Fences,
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

/// The first keys of the data blocks, and the lowest and the highest of them.
type FencesAndEnds = (Fences, Option<(Key, Key)>);

fn read_fences(
    file: &dyn VfsFile,
    path: &Path,
    identity: &RunIdentity,
    meta: &RunMeta,
) -> Result<FencesAndEnds> {
    // The number of blocks was checked against the file's length.
    let blocks = meta.data_blocks as usize;
    let mut fences = Fences::with_capacity(blocks);
    let mut ends: Option<(Key, Key)> = None;
    let mut bytes = Vec::new();
    let mut keys = Vec::with_capacity(FENCES_PER_PAGE + 1);
    for i in 0..meta.fence_pages() {
        let index = meta.fences_at() + i;
        let at = (i % FENCE_PAGES_AHEAD) as usize * PAGE_BYTES;
        if at == 0 {
            let pages = (meta.fence_pages() - i).min(FENCE_PAGES_AHEAD);
            let offset = index * PAGE_BYTES as u64;
            bytes.resize(pages as usize * PAGE_BYTES, 0);
            file.read_exact_at(&mut bytes, offset)
                .map_err(|error| read_error(path, offset, error))?;
        }
        let mut page: Page = [0; PAGE_BYTES];
        page.copy_from_slice(&bytes[at..at + PAGE_BYTES]);
        let expected = (blocks - fences.len()).min(FENCES_PER_PAGE);
        // The last key of the page before, for the order.
        keys.clear();
        keys.extend(ends.map(|(_, highest)| highest));
        let before = keys.len();
        format::decode_fences(&page, identity, index, expected, &mut keys)
            .map_err(|error| format_error(path, index, error))?;
        for key in &keys[before..] {
            fences.push(*key);
            ends = Some((ends.map_or(*key, |(lowest, _)| lowest), *key));
        }
    }
    Ok((fences, ends))
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

        let (fences, ends) = read_fences(&*file, path, &identity, &meta)?;
        let ends_fit = match (meta.keys, ends) {
            (Some((first, last)), Some((lowest, highest))) => first == lowest && highest <= last,
            (None, None) => true,
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
        self.fences.memory_bytes()
    }

    /// The block in which `key` is if it is anywhere.
    pub(super) fn block_of(&self, key: Key) -> Option<usize> {
        self.fences.count_upto(key).checked_sub(1)
    }

    pub(super) fn blocks(&self) -> usize {
        self.fences.len()
    }

    pub(super) fn file(&self) -> &dyn VfsFile {
        &*self.file
    }

    /// The page with that index, unverified.
    pub(super) fn page(&self, index: u64) -> Result<Page> {
        read_page(&*self.file, &self.path, index, ReadMode::Blocking)
    }

    pub(super) fn read_error(&self, offset: u64, error: IoError) -> IndexError {
        read_error(&self.path, offset, error)
    }

    pub(super) fn block_offset(block: usize) -> u64 {
        format::block_page(block as u64) * PAGE_BYTES as u64
    }

    pub(super) fn read_block(&self, block: usize, mode: ReadMode) -> Result<Page> {
        let index = format::block_page(block as u64);
        read_page(&*self.file, &self.path, index, mode)
    }

    /// Reads a block and keeps it.
    fn load_block(&self, block: usize, mode: ReadMode, cache: &BlockCache) -> Result<Page> {
        let page = self.read_block(block, mode)?;
        let entries = self.check_block(block, &page)?.entries() as u16;
        let id = self.page_id(format::block_page(block as u64));
        cache.insert(id, &page, entries);
        Ok(page)
    }

    fn page_id(&self, index: u64) -> PageId {
        PageId {
            run: self.identity.number,
            index,
        }
    }

    /// Whether `key` may be in the block; `false` is certain. A filter that cannot be had is as good
    /// as none: the block itself tells.
    fn may_contain(&self, key: Key, block: usize, mode: ReadMode, cache: &BlockCache) -> bool {
        let index = self.meta.filter_page(block as u64);
        let id = self.page_id(index);
        let look = |page: &Page| filter::may_contain(page, key, block);
        if let Some(answer) = cache.get_with(id, |found| look(&found.page)) {
            return answer;
        }
        match self.read_filter(block, index, mode) {
            Ok(page) => {
                cache.insert(id, &page, 0);
                look(&page)
            }
            Err(IndexError::WouldBlock) => true,
            Err(_) => {
                cache.note_damaged_filter();
                true
            }
        }
    }

    fn read_filter(&self, block: usize, index: u64, mode: ReadMode) -> Result<Page> {
        let page = read_page(&*self.file, &self.path, index, mode)?;
        let first = block / BLOCKS_PER_FILTER * BLOCKS_PER_FILTER;
        let expected = (self.blocks() - first).min(BLOCKS_PER_FILTER);
        format::check_filter(&page, &self.identity, index, expected)
            .map_err(|error| format_error(&self.path, index, error))?;
        Ok(page)
    }

    /// Verifies a page that was read as this block.
    pub(super) fn check_block<'a>(
        &self,
        block: usize,
        page: &'a Page,
    ) -> Result<format::Block<'a>> {
        let index = format::block_page(block as u64);
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
            .map_err(|error| format_error(&self.path, format::block_page(block as u64), error))
    }

    /// The block that tells of a document, if the run can hold it.
    fn block_for(&self, key: Key) -> Option<usize> {
        let (_, last) = self.meta.keys?;
        if key > last {
            return None;
        }
        self.block_of(key)
    }

    fn find_in(
        &self,
        block: usize,
        checked: &format::Block<'_>,
        key: Key,
    ) -> Result<Option<(CommitTs, Option<P>)>> {
        let guess = self.fences.guess_in(block, key, checked.entries());
        let i = checked.lower_bound_near(key, guess);
        if i == checked.entries() || checked.key(i) != key {
            return Ok(None);
        }
        let entry = self.entry(block, checked, i)?;
        Ok(Some((entry.ts, entry.pointer)))
    }

    /// What the run holds of a document.
    pub fn get(&self, key: Key, mode: ReadMode) -> Result<Option<(CommitTs, Option<P>)>> {
        let Some(block) = self.block_for(key) else {
            return Ok(None);
        };
        let page = self.read_block(block, mode)?;
        self.find_in(block, &self.check_block(block, &page)?, key)
    }

    /// As [`Run::get`], with the help of what was read lately. A block that is not in memory is read
    /// only if its filter does not exclude the document. If that `is_unlikely` to be here, as with one
    /// run of several, the filter is asked first in any case: the filters of all runs are so much
    /// smaller that they mostly lie in the processor's own caches.
    pub(crate) fn get_cached(
        &self,
        key: Key,
        mode: ReadMode,
        cache: &BlockCache,
        is_unlikely: bool,
    ) -> Result<Option<(CommitTs, Option<P>)>> {
        if !cache.is_on() {
            return self.get(key, mode);
        }
        let Some(block) = self.block_for(key) else {
            return Ok(None);
        };
        if is_unlikely && !self.may_contain(key, block, mode, cache) {
            cache.note_filtered();
            return Ok(None);
        }
        let id = self.page_id(format::block_page(block as u64));
        let look = |checked: &format::Block<'_>| self.find_in(block, checked, key);
        let look_in_kept = |kept: &VerifiedPage| look(&kept.block::<P>());
        if let Some(found) = cache.get_with(id, look_in_kept) {
            return found;
        }
        if !is_unlikely && !self.may_contain(key, block, mode, cache) {
            cache.note_filtered();
            return Ok(None);
        }
        let page = self.load_block(block, mode, cache)?;
        look(&format::Block::of_checked::<P>(&page))
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
        self.chunk_of(from, to, direction, items_max, |block, visit| {
            let page = self.read_block(block, mode)?;
            visit(&self.check_block(block, &page)?)
        })
    }

    /// As [`Run::chunk`], with the help of what was read lately. Only a chunk of about a block leaves
    /// anything behind: a long scan must not drive out what others use.
    pub(crate) fn chunk_cached(
        &self,
        from: Key,
        to: Key,
        direction: Direction,
        items_max: usize,
        mode: ReadMode,
        cache: &BlockCache,
    ) -> Result<RunChunk<P>> {
        if !cache.is_on() {
            return self.chunk(from, to, direction, items_max, mode);
        }
        let keeps = items_max <= format::entries_per_block::<P>();
        self.chunk_of(from, to, direction, items_max, |block, visit| {
            let id = self.page_id(format::block_page(block as u64));
            if let Some(kept) = cache.peek(id) {
                return visit(&kept.block::<P>());
            }
            if keeps {
                let page = self.load_block(block, mode, cache)?;
                return visit(&format::Block::of_checked::<P>(&page));
            }
            let page = self.read_block(block, mode)?;
            visit(&self.check_block(block, &page)?)
        })
    }

    /// `load` reads a block and hands it to what it is given.
    fn chunk_of(
        &self,
        from: Key,
        to: Key,
        direction: Direction,
        items_max: usize,
        load: impl Fn(usize, &mut dyn FnMut(&format::Block<'_>) -> Result<()>) -> Result<()>,
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
        let mut is_full = false;
        for n in 0..=high - low {
            let block = match direction {
                Direction::Ascending => low + n,
                Direction::Descending => high - n,
            };
            load(block, &mut |checked| {
                let start = checked.lower_bound(from);
                let end = to
                    .next()
                    .map_or(checked.entries(), |after| checked.lower_bound(after));
                for i in 0..end.saturating_sub(start) {
                    if chunk.items.len() == items_max {
                        is_full = true;
                        return Ok(());
                    }
                    let i = match direction {
                        Direction::Ascending => start + i,
                        Direction::Descending => end - 1 - i,
                    };
                    chunk.items.push(self.entry(block, checked, i)?);
                }
                Ok(())
            })?;
            if is_full {
                chunk.complete_through = chunk.items.last().map(|entry| entry.key);
                break;
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
