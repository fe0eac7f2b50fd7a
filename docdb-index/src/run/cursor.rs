//! Streaming a run from its first entry to its last.

use std::marker::PhantomData;
use std::ops::Deref;

use super::format::{self, PAGE_BYTES, Page};
use super::{Run, RunEntry};
use crate::{IndexError, Key, Pointer, Result};

/// How many pages are read at a time.
const PAGES_AHEAD: u64 = 64;

/// Reads a run in large steps, one entry after the other; `R` borrows the run or keeps it.
pub(super) struct RunCursor<R, P> {
    run: R,
    next_block: usize,
    end_block: usize,
    pages: Vec<u8>,
    /// The index of the first of `pages`.
    pages_at: u64,
    /// The entries of the block before `next_block` that are left, last first.
    entries: Vec<RunEntry<P>>,
    count: u64,
    last: Option<Key>,
    /// All blocks are read, so that the number of entries can be checked.
    is_whole: bool,
    pointers: PhantomData<P>,
}

impl<P: Pointer, R: Deref<Target = Run<P>>> RunCursor<R, P> {
    pub(super) fn new(run: R) -> Self {
        let blocks = run.blocks();
        Self::starting(run, 0, blocks)
    }

    /// A cursor over the blocks in which `from..=to` are if they are anywhere: there may be entries
    /// below at first and above at last.
    pub(super) fn over(run: R, from: Key, to: Key) -> Self {
        let start = run.block_of(from).unwrap_or(0);
        let end = run.block_of(to).map_or(0, |block| block + 1);
        Self::starting(run, start, end.max(start))
    }

    fn starting(run: R, block: usize, end_block: usize) -> Self {
        Self {
            is_whole: block == 0 && end_block == run.blocks(),
            run,
            next_block: block,
            end_block,
            pages: Vec::new(),
            pages_at: 0,
            entries: Vec::new(),
            count: 0,
            last: None,
            pointers: PhantomData,
        }
    }

    /// The next entry; `None` at the end. What the footer says of order and number is checked on the
    /// way, so that nothing is left out without an error.
    pub(super) fn next(&mut self) -> Result<Option<RunEntry<P>>> {
        while self.entries.is_empty() {
            if self.next_block == self.end_block {
                if self.is_whole && self.count != self.run.meta().entries {
                    let offset = self.run.meta().file_bytes() - PAGE_BYTES as u64;
                    let what = "the footer's number of entries is wrong";
                    return Err(IndexError::corrupt(self.run.path(), offset, what));
                }
                return Ok(None);
            }
            self.load_block()?;
        }
        let entry = self.entries.pop();
        if let Some(entry) = &entry {
            if self.last.is_some_and(|last| last >= entry.key) {
                let offset = Run::<P>::block_offset(self.next_block - 1);
                return Err(IndexError::corrupt(
                    self.run.path(),
                    offset,
                    "keys do not ascend",
                ));
            }
            self.last = Some(entry.key);
            self.count += 1;
        }
        Ok(entry)
    }

    fn load_block(&mut self) -> Result<()> {
        let block = self.next_block;
        let index = format::block_page(block as u64);
        if index - self.pages_at >= (self.pages.len() / PAGE_BYTES) as u64 {
            // Blocks and their filters are all that lies in between.
            let end = format::block_page(self.end_block as u64 - 1) + 1;
            let pages = (end - index).min(PAGES_AHEAD);
            let offset = index * PAGE_BYTES as u64;
            self.pages.resize(pages as usize * PAGE_BYTES, 0);
            self.pages_at = index;
            let read = self.run.file().read_exact_at(&mut self.pages, offset);
            read.map_err(|error| self.run.read_error(offset, error))?;
        }
        let mut page: Page = [0; PAGE_BYTES];
        let start = (index - self.pages_at) as usize * PAGE_BYTES;
        page.copy_from_slice(&self.pages[start..][..PAGE_BYTES]);
        let checked = self.run.check_block(block, &page)?;
        for i in (0..checked.entries()).rev() {
            self.entries.push(self.run.entry(block, &checked, i)?);
        }
        self.next_block += 1;
        Ok(())
    }
}
