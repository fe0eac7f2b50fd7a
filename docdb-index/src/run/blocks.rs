//! Pages of runs that were read and verified lately.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::format::{Block, PAGE_BYTES, Page};
use crate::cache::ByteCache;
use crate::{CacheStats, Pointer, Resident};

/// A page that was verified, and how many entries it says it has: to ask the page itself would touch
/// one more line of memory.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedPage {
    pub(crate) page: Arc<Page>,
    pub(crate) entries: u16,
}

impl VerifiedPage {
    const BYTES: u64 = PAGE_BYTES as u64 + 16;

    /// The data block that it is.
    pub(super) fn block<P: Pointer>(&self) -> Block<'_> {
        Block::checked::<P>(&self.page, self.entries)
    }
}

impl Resident for VerifiedPage {
    fn bytes(&self) -> usize {
        Self::BYTES as usize
    }
}

/// A page: the run's number, which is never used again, and the page's index in it. What stands
/// there never changes, so that no entry is ever out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PageId {
    pub(crate) run: u64,
    pub(crate) index: u64,
}

/// The data blocks and filters of all runs of an index that were read lately. What is in it has been
/// verified when it was read: a page that is damaged on the device afterwards is not noticed while
/// it is here.
#[derive(Debug)]
pub struct BlockCache {
    pages: ByteCache<PageId, VerifiedPage>,
    filtered: AtomicU64,
    filters_damaged: AtomicU64,
}

impl BlockCache {
    /// A cache of at most `capacity` bytes; zero for none.
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            pages: ByteCache::new(capacity, PAGE_BYTES as u64),
            filtered: AtomicU64::new(0),
            filters_damaged: AtomicU64::new(0),
        }
    }

    /// Changes the most that it may take, in bytes. When this returns, it takes no more.
    pub fn set_capacity(&self, capacity: u64) {
        self.pages.set_capacity(capacity);
    }

    /// The capacity at which so many pages find room, or nearly all of them, in bytes.
    pub fn capacity_for(&self, pages: u64) -> u64 {
        self.pages.capacity_for(pages, VerifiedPage::BYTES)
    }

    /// Its figures.
    pub fn stats(&self) -> CacheStats {
        self.pages.stats()
    }

    /// How often a filter saved a look at a block.
    pub fn filtered(&self) -> u64 {
        self.filtered.load(Ordering::Relaxed)
    }

    /// How often a filter did not verify, or could not be read, and its block was read instead.
    pub fn filters_damaged(&self) -> u64 {
        self.filters_damaged.load(Ordering::Relaxed)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.pages.is_on()
    }

    /// What `look` makes of the page, if that is here. `look` must not call the cache.
    pub(crate) fn get_with<T>(
        &self,
        id: PageId,
        look: impl FnOnce(&VerifiedPage) -> T,
    ) -> Option<T> {
        self.pages.get_with(&id, look)
    }

    pub(crate) fn peek(&self, id: PageId) -> Option<VerifiedPage> {
        self.pages.peek(&id)
    }

    /// Keeps a copy of a page that was verified.
    pub(crate) fn insert(&self, id: PageId, page: &Page, entries: u16) {
        self.pages.insert_with(id, VerifiedPage::BYTES, |old| {
            let mut memory = old.map(|old| old.page);
            // Not if somebody still reads it.
            let reused = memory.as_mut().and_then(Arc::get_mut);
            let is_reused = reused.map(|bytes| bytes.copy_from_slice(page)).is_some();
            let page = match memory {
                Some(memory) if is_reused => memory,
                _ => Arc::new(*page),
            };
            VerifiedPage { page, entries }
        });
    }

    /// Gives up the pages of runs that nobody but readers under way will ask for.
    pub(crate) fn forget(&self, runs: &[u64]) {
        if !runs.is_empty() {
            self.pages.retain(|id| !runs.contains(&id.run));
        }
    }

    pub(super) fn note_filtered(&self) {
        self.filtered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_damaged_filter(&self) {
        self.filters_damaged.fetch_add(1, Ordering::Relaxed);
    }
}
