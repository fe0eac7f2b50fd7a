//! Reading a run over damage, for checks and salvage.
//!
//! [`Run::open`](super::Run::open) needs header, footer and fences. A survey needs none of them: what
//! a page is follows from its index and the length of the file, and every page is bound to its place.
//! So it goes through the data blocks in the order of the file, which is that of the keys, and says
//! where some are missing. On the way everything else is verified, too.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_mvcc::CommitTs;
use docdb_vfs::{OpenMode, Vfs, VfsFile};

use super::format::{
    self, BLOCKS_PER_FILTER, FENCES_PER_PAGE, FormatError, PAGE_BYTES, Page, RunIdentity, RunMeta,
};
use super::{RunEntry, filter};
use crate::{IndexError, Key, Pointer, Result};

/// How many pages are read at a time.
const PAGES_AHEAD: u64 = 256;

/// What a survey comes upon, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunFound<P> {
    /// An entry; keys ascend.
    Entry(RunEntry<P>),
    /// Entries may be missing between the last one and the next.
    Gap,
    /// Something does not verify.
    Damaged {
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

/// Reads a run from its beginning to its end, whatever is wrong with it. Keeps 1 MiB of pages, and 12
/// bytes for each block.
pub struct RunSurvey<P> {
    file: Arc<dyn VfsFile>,
    path: PathBuf,
    identity: RunIdentity,
    pages: u64,
    /// How many data blocks there are, if the file has a length that a run can have.
    blocks: Option<u64>,
    meta: Option<RunMeta>,
    window: Vec<u8>,
    window_at: u64,
    next_page: u64,
    /// What was found on the pages so far and not handed out.
    queue: VecDeque<RunFound<P>>,
    /// First keys of the blocks so far; `None` for those that do not verify.
    fences: Vec<Option<Key>>,
    /// Keys of the blocks since the last filter, with their blocks.
    group: Vec<(Key, usize)>,
    last: Option<Key>,
    seen: Seen,
    ended: bool,
    pointers: PhantomData<P>,
}

/// What the footer tells, as it was counted.
#[derive(Debug, Default)]
struct Seen {
    entries: u64,
    tombstones: u64,
    versions: Option<(CommitTs, CommitTs)>,
    first: Option<Key>,
    has_gap: bool,
    /// A page of fences stands where the file's length says: so that is the run's.
    fences: bool,
}

impl<P: Pointer> RunSurvey<P> {
    /// Opens the file of that run.
    ///
    /// # Errors
    /// `Unsupported` if a newer version wrote it; `Io`. Damage is told by [`RunSurvey::next`].
    pub fn open(vfs: &dyn Vfs, path: &Path, identity: RunIdentity) -> Result<Self> {
        let file = vfs.open(path, OpenMode::Read)?;
        let len = file.len()?;
        let pages = len / PAGE_BYTES as u64;
        let blocks = blocks_in(pages).filter(|_| len.is_multiple_of(PAGE_BYTES as u64));
        let mut survey = Self {
            file,
            path: path.to_path_buf(),
            identity,
            pages,
            blocks,
            meta: None,
            window: Vec::new(),
            window_at: 0,
            next_page: 1,
            queue: VecDeque::new(),
            fences: Vec::new(),
            group: Vec::new(),
            last: None,
            seen: Seen::default(),
            ended: false,
            pointers: PhantomData,
        };
        if blocks.is_none() {
            survey.damaged(len, "no run has that length");
        }
        survey.check_header()?;
        survey.read_footer()?;
        Ok(survey)
    }

    /// The highest version in the run, if its footer verifies.
    pub fn max_ts(&self) -> Option<CommitTs> {
        self.meta.map(|meta| meta.max_ts)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// `Unsupported`; `Io`.
    #[expect(clippy::should_implement_trait, reason = "fails once and for all")]
    pub fn next(&mut self) -> Result<Option<RunFound<P>>> {
        loop {
            if let Some(found) = self.queue.pop_front() {
                return Ok(Some(found));
            }
            if self.next_page < self.pages {
                self.step()?;
            } else if !self.ended {
                self.ended = true;
                self.end();
            } else {
                return Ok(None);
            }
        }
    }

    fn damaged(&mut self, offset: u64, what: impl Into<String>) {
        self.queue.push_back(RunFound::Damaged {
            offset,
            what: what.into(),
        });
    }

    fn damaged_page(&mut self, index: u64, error: FormatError) -> Result<()> {
        match error {
            FormatError::Corrupt(what) => self.damaged(index * PAGE_BYTES as u64, what),
            FormatError::Unsupported(what) => {
                return Err(IndexError::Unsupported {
                    path: self.path.clone(),
                    what,
                });
            }
        }
        Ok(())
    }

    fn check_header(&mut self) -> Result<()> {
        if self.pages == 0 {
            return Ok(());
        }
        let page = self.page(0)?;
        match format::decode_header::<P>(&page) {
            Ok(found) if found == self.identity => Ok(()),
            Ok(_) => {
                self.damaged(32, "the header is another run's");
                Ok(())
            }
            Err(error) => self.damaged_page(0, error),
        }
    }

    fn read_footer(&mut self) -> Result<()> {
        if self.blocks.is_none() {
            return Ok(());
        }
        let index = self.pages - 1;
        let page = self.page(index)?;
        match format::decode_footer::<P>(&page, &self.identity, index) {
            Ok(meta) => self.meta = Some(meta),
            Err(error) => self.damaged_page(index, error)?,
        }
        Ok(())
    }

    fn page(&mut self, index: u64) -> Result<Page> {
        let held = (self.window.len() / PAGE_BYTES) as u64;
        if !(self.window_at..self.window_at + held).contains(&index) {
            let pages = (self.pages - index).min(PAGES_AHEAD);
            self.window.resize(pages as usize * PAGE_BYTES, 0);
            self.window_at = index;
            let offset = index * PAGE_BYTES as u64;
            self.file.read_exact_at(&mut self.window, offset)?;
        }
        let at = (index - self.window_at) as usize * PAGE_BYTES;
        let mut page = [0; PAGE_BYTES];
        page.copy_from_slice(&self.window[at..at + PAGE_BYTES]);
        Ok(page)
    }

    fn step(&mut self) -> Result<()> {
        let index = self.next_page;
        self.next_page += 1;
        let page = self.page(index)?;
        let Some(blocks) = self.blocks else {
            return self.guess(index, &page);
        };
        let read = self.fences.len() as u64;
        if read < blocks && index == format::block_page(read) {
            return self.block(index, &page);
        }
        let filters = blocks.div_ceil(BLOCKS_PER_FILTER as u64);
        let fences_at = 1 + blocks + filters;
        if index < fences_at {
            self.check_filter(index, &page)
        } else if index + 1 < self.pages {
            self.check_fences(index, fences_at, &page)
        } else {
            // The footer has been read.
            Ok(())
        }
    }

    fn block(&mut self, index: u64, page: &Page) -> Result<()> {
        match self.entries_of(index, page) {
            Ok(entries) => self.take(entries),
            Err(error) => {
                self.fences.push(None);
                self.damaged_page(index, error)?;
                self.gap();
            }
        }
        Ok(())
    }

    fn take(&mut self, entries: Vec<RunEntry<P>>) {
        let number = self.fences.len();
        self.fences.push(entries.first().map(|entry| entry.key));
        for entry in entries {
            self.group.push((entry.key, number));
            self.last = Some(entry.key);
            let seen = &mut self.seen;
            seen.entries += 1;
            seen.tombstones += u64::from(entry.pointer.is_none());
            seen.first.get_or_insert(entry.key);
            let (low, high) = seen.versions.unwrap_or((entry.ts, entry.ts));
            seen.versions = Some((low.min(entry.ts), high.max(entry.ts)));
            self.queue.push_back(RunFound::Entry(entry));
        }
    }

    fn gap(&mut self) {
        self.seen.has_gap = true;
        self.queue.push_back(RunFound::Gap);
    }

    /// The entries of a block that verifies as a whole: its keys ascend, also from the last block on.
    fn entries_of(
        &self,
        index: u64,
        page: &Page,
    ) -> std::result::Result<Vec<RunEntry<P>>, FormatError> {
        let block = format::Block::check::<P>(page, &self.identity, index)?;
        let mut last = self.last;
        let mut entries = Vec::with_capacity(block.entries());
        for i in 0..block.entries() {
            let entry = block.entry::<P>(i)?;
            if last.is_some_and(|last| last >= entry.key) {
                return Err(FormatError::Corrupt("keys do not ascend"));
            }
            if entry.ts == CommitTs::ZERO {
                return Err(FormatError::Corrupt("an entry is of no version"));
            }
            last = Some(entry.key);
            entries.push(entry);
        }
        Ok(entries)
    }

    fn check_filter(&mut self, index: u64, page: &Page) -> Result<()> {
        let group = std::mem::take(&mut self.group);
        let blocks = self.fences.len();
        let expected = blocks - (blocks - 1) / BLOCKS_PER_FILTER * BLOCKS_PER_FILTER;
        if let Err(error) = format::check_filter(page, &self.identity, index, expected) {
            return self.damaged_page(index, error);
        }
        let missing = |(key, block): &&(Key, usize)| !filter::may_contain(page, *key, *block);
        if let Some((key, _)) = group.iter().find(missing) {
            let what = format!("the filter excludes document {key}, which is there");
            self.damaged(index * PAGE_BYTES as u64, what);
        }
        Ok(())
    }

    fn check_fences(&mut self, index: u64, fences_at: u64, page: &Page) -> Result<()> {
        let start = (index - fences_at) as usize * FENCES_PER_PAGE;
        let end = (start + FENCES_PER_PAGE).min(self.fences.len());
        let mut keys = Vec::with_capacity(FENCES_PER_PAGE);
        let decoded = format::decode_fences(page, &self.identity, index, end - start, &mut keys);
        if let Err(error) = decoded {
            return self.damaged_page(index, error);
        }
        let differs = |(block, fence): (&Option<Key>, &Key)| block.is_some_and(|key| key != *fence);
        if self.fences[start..end].iter().zip(&keys).any(differs) {
            let offset = index * PAGE_BYTES as u64;
            self.damaged(offset, "a fence is not the first key of its block");
        } else {
            self.seen.fences = true;
        }
        Ok(())
    }

    /// A page of a file of a length that no run has: a data block verifies as one, and no other page
    /// does, since it would have an entry of version 0.
    fn guess(&mut self, index: u64, page: &Page) -> Result<()> {
        match self.entries_of(index, page) {
            Ok(entries) => self.take(entries),
            Err(FormatError::Corrupt(_)) => {
                if !matches!(self.queue.back(), Some(RunFound::Gap)) {
                    self.gap();
                }
            }
            Err(error) => self.damaged_page(index, error)?,
        }
        Ok(())
    }

    fn end(&mut self) {
        // A file that was cut may by chance have the length of a smaller run.
        if self.blocks.is_none() || (self.meta.is_none() && !self.seen.fences) {
            self.gap();
        }
        let Some(meta) = self.meta.filter(|_| !self.seen.has_gap) else {
            return;
        };
        let seen = &self.seen;
        let (min_ts, max_ts) = seen.versions.unwrap_or_default();
        let is_true = (meta.entries, meta.tombstones) == (seen.entries, seen.tombstones)
            && (meta.min_ts, meta.max_ts) == (min_ts, max_ts)
            && meta.keys == seen.first.zip(self.last);
        if !is_true {
            let offset = (self.pages - 1) * PAGE_BYTES as u64;
            self.damaged(offset, "the footer does not fit the entries");
        }
    }
}

/// How many data blocks a run of so many pages has.
fn blocks_in(pages: u64) -> Option<u64> {
    let pages_of = |blocks: u64| {
        2 + blocks
            + blocks.div_ceil(BLOCKS_PER_FILTER as u64)
            + blocks.div_ceil(FENCES_PER_PAGE as u64)
    };
    // Pages grow with blocks, by one to three at a time.
    let (mut low, mut high) = (0, pages);
    while low < high {
        let middle = low + (high - low) / 2;
        if pages_of(middle) < pages {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (pages_of(low) == pages).then_some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_from_the_length() {
        let mut pages_before = 0;
        for data_blocks in 0..2_000 {
            let meta = RunMeta {
                entries: data_blocks,
                tombstones: 0,
                data_blocks,
                min_ts: CommitTs::ZERO,
                max_ts: CommitTs::ZERO,
                keys: None,
            };
            let pages = meta.file_bytes() / PAGE_BYTES as u64;
            assert_eq!(blocks_in(pages), Some(data_blocks));
            for between in pages_before + 1..pages {
                assert_eq!(blocks_in(between), None, "{between}");
            }
            pages_before = pages;
        }
    }
}
