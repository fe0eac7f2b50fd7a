//! Verifying a run page by page, past the caches where that is possible.

use super::format::{self, PAGE_BYTES};
use super::reader::ReadMode;
use super::{Run, RunEntry};
use crate::{IndexError, Pointer, Result};

/// What [`Run::scrub`] has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunScrubbed {
    /// The page at which the next part begins.
    pub page: u64,
    /// The run ended here.
    pub is_end: bool,
    /// The offsets of pages that hold entries and do not verify, in bytes.
    pub entries_damaged: Vec<u64>,
    /// The offsets of other pages that do not verify, in bytes: header, filters, fences and footer,
    /// all of which the entries tell anew.
    pub others_damaged: Vec<u64>,
}

impl<P: Pointer> Run<P> {
    /// Reads and verifies `pages_max` pages from the one with the index `from` on.
    ///
    /// # Errors
    /// `Io`, except for what the device cannot read, which counts as damaged.
    pub fn scrub(&self, from: u64, pages_max: u64) -> Result<RunScrubbed> {
        let pages = self.meta().file_bytes() / PAGE_BYTES as u64;
        let end = from.saturating_add(pages_max.max(1)).min(pages);
        let (at, len) = (
            from * PAGE_BYTES as u64,
            (end - from.min(end)) * PAGE_BYTES as u64,
        );
        self.file().forget_cached(at, len);
        let mut scrubbed = RunScrubbed {
            page: end,
            is_end: end == pages,
            entries_damaged: Vec::new(),
            others_damaged: Vec::new(),
        };
        for index in from..end {
            match self.check(index) {
                Ok(()) => {}
                Err(error) if is_damage(&error) => {
                    let damaged = if self.holds_entries(index) {
                        &mut scrubbed.entries_damaged
                    } else {
                        &mut scrubbed.others_damaged
                    };
                    damaged.push(index * PAGE_BYTES as u64);
                }
                Err(error) => return Err(error),
            }
        }
        self.file().forget_cached(at, len);
        Ok(scrubbed)
    }

    /// The entries of data block `block`, as they are on the disk now; `None` if there is no such
    /// block.
    ///
    /// # Errors
    /// `Corrupt` if the block does not verify; `Io`.
    pub fn block_entries(&self, block: usize) -> Result<Option<Vec<RunEntry<P>>>> {
        if block >= self.blocks() {
            return Ok(None);
        }
        let page = self.read_block(block, ReadMode::Blocking)?;
        let checked = self.check_block(block, &page)?;
        let entries = (0..checked.entries()).map(|i| self.entry(block, &checked, i));
        entries.collect::<Result<_>>().map(Some)
    }

    /// Whether the page is a data block.
    fn holds_entries(&self, index: u64) -> bool {
        let group = format::BLOCKS_PER_FILTER as u64 + 1;
        let Some(place) = index.checked_sub(1) else {
            return false;
        };
        let block = place - place / group;
        block < self.meta().data_blocks && format::block_page(block) == index
    }

    fn check(&self, index: u64) -> Result<()> {
        let page = self.page(index)?;
        let checked = if index == 0 {
            format::decode_header::<P>(&page).and_then(|found| match found {
                found if found == self.identity() => Ok(()),
                _ => Err(format::FormatError::Corrupt("the header is another run's")),
            })
        } else {
            format::check_page(&page, &self.identity(), index)
        };
        let what = match checked {
            Ok(()) => return Ok(()),
            Err(format::FormatError::Corrupt(what)) => what,
            Err(format::FormatError::Unsupported(_)) => "it is of a newer version",
        };
        Err(IndexError::corrupt(
            self.path(),
            index * PAGE_BYTES as u64,
            what,
        ))
    }
}

fn is_damage(error: &IndexError) -> bool {
    match error {
        IndexError::Corrupt { .. } | IndexError::Unsupported { .. } => true,
        IndexError::Io(io) => io.is_device_error(),
        _ => false,
    }
}
