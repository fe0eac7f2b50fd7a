//! Streaming a run from its first entry to its last.

use super::format::{PAGE_BYTES, Page};
use super::{Run, RunEntry};
use crate::{IndexError, Pointer, Result};

/// How many blocks are read at a time.
const BLOCKS_AHEAD: usize = 64;

/// Reads a run in large steps, one entry after the other.
pub(super) struct RunCursor<'a, P> {
    run: &'a Run<P>,
    next_block: usize,
    pages: Vec<u8>,
    /// The block that the first of `pages` is.
    pages_at: usize,
    /// The entries of the block before `next_block` that are left, last first.
    entries: Vec<RunEntry<P>>,
    count: u64,
    last: Option<crate::Key>,
}

impl<'a, P: Pointer> RunCursor<'a, P> {
    pub(super) fn new(run: &'a Run<P>) -> Self {
        Self {
            run,
            next_block: 0,
            pages: Vec::new(),
            pages_at: 0,
            entries: Vec::new(),
            count: 0,
            last: None,
        }
    }

    /// The next entry; `None` at the end. What the footer says of order and number is checked on the
    /// way, so that nothing is left out without an error.
    pub(super) fn next(&mut self) -> Result<Option<RunEntry<P>>> {
        while self.entries.is_empty() {
            if self.next_block == self.run.blocks() {
                if self.count != self.run.meta().entries {
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
        if block == self.pages_at + self.pages.len() / PAGE_BYTES {
            let blocks = (self.run.blocks() - block).min(BLOCKS_AHEAD);
            let offset = Run::<P>::block_offset(block);
            self.pages.resize(blocks * PAGE_BYTES, 0);
            self.pages_at = block;
            let read = self.run.file().read_exact_at(&mut self.pages, offset);
            read.map_err(|error| self.run.read_error(offset, error))?;
        }
        let mut page: Page = [0; PAGE_BYTES];
        page.copy_from_slice(&self.pages[(block - self.pages_at) * PAGE_BYTES..][..PAGE_BYTES]);
        let checked = self.run.check_block(block, &page)?;
        for i in (0..checked.entries()).rev() {
            self.entries.push(self.run.entry(block, &checked, i)?);
        }
        self.next_block += 1;
        Ok(())
    }
}
