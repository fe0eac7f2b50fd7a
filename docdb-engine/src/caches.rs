//! What is kept of data files and runs in memory, in what the budget leaves.
//!
//! One budget holds what no checkpoint has written yet, what open scans have read ahead, the fences of
//! the runs, and two caches. What
//! must be in memory comes first: whenever a commit asks for room, the caches are cut to what is then
//! left, in steps, so that most commits cut nothing. A checkpoint gives them room again.
//!
//! Of what is left, run pages get as much as they all together take, but three quarters at most,
//! and documents the rest: a lookup that finds its page in memory but not its document costs one
//! small read, and one page serves a hundred documents.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use docdb_index::{ByteCache, CacheStats, Key, Resident};
use docdb_mvcc::CommitTs;
use parking_lot::Mutex;

use crate::checkpoint::FrozenDelta;
use crate::db::Inner;
use crate::options::DbOptions;

/// The budget is given to what must be in memory in so many steps.
const STEPS: u64 = 128;
/// What a document takes, about, in bytes.
const DOCUMENT_BYTES: u64 = 512;
/// How many misses lie between two for the same document, at most, for it to be kept.
const MISSES_REMEMBERED: usize = 1 << 15;

/// A version of a document.
#[derive(Debug, Clone)]
struct Kept {
    ts: CommitTs,
    body: Arc<[u8]>,
}

impl Resident for Kept {
    fn bytes(&self) -> usize {
        self.body.bytes() + size_of::<CommitTs>()
    }
}

/// Documents of data files that were read lately, verified when they were read: of each the newest
/// version that the runs hold, or one that is in memory too. So a reader who finds nothing in memory
/// finds here what the runs would tell, if it is not above the reader's number ([`docdb_index::Below`] says why).
/// A compaction moves documents and changes none, and does not matter here.
///
/// While there is room every document that is read is kept. Once there is none, a document is kept
/// when it is missed twice in a short time: else those that are read once would spend more on driving
/// one another out than they save.
#[derive(Debug)]
pub(crate) struct DocumentCache {
    documents: ByteCache<Key, Kept>,
    /// What was looked up when a delta before this one was the last to be published may be out of
    /// date.
    valid_since: AtomicU64,
    /// Of documents that were missed lately a part of the hash, at places that another part chooses.
    missed: OnceLock<Box<[AtomicU16]>>,
    /// The steps of the budget that were taken when the caches were last cut to fit.
    fitted: AtomicU64,
    fitting: Mutex<()>,
}

impl DocumentCache {
    /// An empty cache for a database with these options. Its capacity is that of the whole budget:
    /// [`Inner::fit_caches`] sets it.
    pub(crate) fn new(options: &DbOptions) -> DocumentCache {
        let capacity = options
            .memory_bytes_max
            .min(options.document_cache_bytes_max);
        DocumentCache {
            documents: ByteCache::new(capacity, DOCUMENT_BYTES),
            valid_since: AtomicU64::new(0),
            missed: OnceLock::new(),
            fitted: AtomicU64::new(u64::MAX),
            fitting: Mutex::new(()),
        }
    }

    /// The newest version of the document, if it is here and was committed at `from` or later, at `upto`
    /// at the latest.
    pub(crate) fn newest(
        &self,
        key: Key,
        from: CommitTs,
        upto: CommitTs,
    ) -> Option<(CommitTs, Arc<[u8]>)> {
        let kept = self.documents.get_with(&key, |kept| {
            let is_seen = from <= kept.ts && kept.ts <= upto;
            is_seen.then(|| (kept.ts, Arc::clone(&kept.body)))
        });
        kept.flatten()
    }

    /// That version of the document, if it is here; no use of it.
    pub(crate) fn peek(&self, key: Key, ts: CommitTs) -> Option<Arc<[u8]>> {
        let kept = self.documents.peek(&key)?;
        (kept.ts == ts).then_some(kept.body)
    }

    /// Keeps a document that was read, if it seems worth it. `published_id` is that of the lookup.
    pub(crate) fn offer(&self, key: Key, ts: CommitTs, body: &Arc<[u8]>, published_id: u64) {
        if self.documents.is_on() && (!self.documents.has_evicted() || self.was_missed(key)) {
            let body = Arc::clone(body);
            self.documents.insert_if(key, Kept { ts, body }, || {
                published_id >= self.valid_since.load(Ordering::Acquire)
            });
        }
    }

    /// Gives up what a delta supersedes that is about to be published.
    pub(crate) fn supersede(&self, delta: &FrozenDelta) {
        self.valid_since.store(delta.id(), Ordering::Release);
        if self.documents.stats().entries > 0 {
            delta.for_each_key(|key| self.documents.remove(&key));
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        self.documents.stats()
    }

    /// Whether the document was missed lately; notes that it is missed now.
    fn was_missed(&self, key: Key) -> bool {
        let missed = self
            .missed
            .get_or_init(|| (0..MISSES_REMEMBERED).map(|_| AtomicU16::new(0)).collect());
        let mixed = (key.id ^ u64::from(key.collection).rotate_left(40))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mark = (mixed >> 32) as u16 | 1;
        let place = (mixed >> 48) as usize % MISSES_REMEMBERED;
        missed
            .get(place)
            .is_some_and(|last| last.swap(mark, Ordering::Relaxed) == mark)
    }
}

impl Inner {
    /// Cuts the caches to what the budget leaves if `needed` bytes are taken by what no checkpoint has
    /// written, beside what scans take. Returns at once if that is the same step as before.
    pub(crate) fn make_room(&self, needed: u64) {
        let step = (self.options.memory_bytes_max / STEPS).max(1);
        let scans = self.scan_bytes.load(Ordering::Relaxed);
        if self.documents.fitted.load(Ordering::Relaxed) != (needed + scans).div_ceil(step) {
            self.fit_caches(needed);
        }
    }

    /// Divides among the caches what the budget leaves, when that or the runs may have changed.
    pub(crate) fn fit_caches(&self, needed: u64) {
        let options = &self.options;
        let _turn = self.documents.fitting.lock();
        let step = (options.memory_bytes_max / STEPS).max(1);
        let scans = self.scan_bytes.load(Ordering::Relaxed);
        let steps = (needed + scans).div_ceil(step);
        let fences = self.index.stats().run_bytes as u64;
        let left = options
            .memory_bytes_max
            .saturating_sub(steps.saturating_mul(step))
            .saturating_sub(fences);
        let pages: u64 = self
            .index
            .runs()
            .iter()
            .map(|run| run.meta().data_blocks + run.meta().filter_pages())
            .sum();
        let cache = self.index.block_cache();
        let blocks = cache
            .capacity_for(pages)
            .min(left / 4 * 3)
            .min(options.block_cache_bytes_max);
        let documents = (left - blocks).min(options.document_cache_bytes_max);
        // What shrinks does so before the other grows.
        cache.set_capacity(blocks.min(cache.stats().capacity));
        self.documents.documents.set_capacity(documents);
        cache.set_capacity(blocks);
        self.documents.fitted.store(steps, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use docdb_index::Place;

    use super::*;

    const KEY: Key = Key {
        collection: 1,
        id: 7,
    };

    fn body(text: &str) -> Arc<[u8]> {
        Arc::from(text.as_bytes())
    }

    fn newest(cache: &DocumentCache, upto: u64) -> Option<u64> {
        let kept = cache.newest(KEY, CommitTs::ZERO, CommitTs(upto))?;
        Some(kept.0.0)
    }

    /// A reader that found version 3 in the runs, and offers it when a checkpoint with version 5 has
    /// begun to be published, or has been: it is refused, since nobody would find 5 in memory.
    #[test]
    fn what_was_looked_up_before_a_publication_is_not_kept_after_it() {
        let cache = DocumentCache::new(&DbOptions::default());
        cache.offer(KEY, CommitTs(3), &body("3"), 0);
        assert_eq!(
            [2, 3, 9].map(|at| newest(&cache, at)),
            [None, Some(3), Some(3)]
        );
        assert!(cache.peek(KEY, CommitTs(3)).is_some() && cache.peek(KEY, CommitTs(4)).is_none());

        let delta = FrozenDelta::new(1, 4, 0);
        delta.install(KEY, CommitTs(5), Place::Deleted, &CommitTs::ZERO.into());
        cache.supersede(&delta);
        assert_eq!(newest(&cache, 9), None);
        cache.offer(KEY, CommitTs(3), &body("3"), 0);
        assert_eq!(newest(&cache, 9), None);
        cache.offer(KEY, CommitTs(6), &body("6"), 1);
        assert_eq!(newest(&cache, 9), Some(6));
        // What another delta supersedes is another document.
        cache.supersede(&FrozenDelta::new(2, 4, 0));
        assert_eq!(newest(&cache, 9), Some(6));
    }
}
