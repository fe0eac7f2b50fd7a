//! A cache with a limit in bytes.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ahash::RandomState;
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::Resident;

/// What an entry costs beyond its value's own memory, in bytes: the slot, the place in the hash
/// table, and what both are larger than needed while they grow.
pub const CACHE_ENTRY_BYTES: u64 = 96;

const SHARDS: usize = 16;
/// One counter for all threads would be the busiest memory of all.
const STRIPES: usize = 16;

/// Keeps values that were used lately, of at most a number of bytes that can be changed at any time.
/// Scan-resistant: what is used once gives way to what is used again.
///
/// Its hashes have a fixed seed: what it keeps depends on what is asked for and on nothing else.
pub struct ByteCache<K, V> {
    cache: Cache<K, V, ByBytes, RandomState, Evictions>,
    hasher: RandomState,
    capacity: AtomicU64,
    has_evicted: Arc<AtomicBool>,
    hits: [Stripe; STRIPES],
    misses: [Stripe; STRIPES],
}

/// Figures of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// What its entries take, in bytes; an estimate.
    pub bytes: u64,
    /// What they may take, in bytes; zero if the cache is off.
    pub capacity: u64,
    /// Entries.
    pub entries: u64,
    /// How often what was looked for was there.
    pub hits: u64,
    /// How often it was not.
    pub misses: u64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

impl Stripe {
    fn total(stripes: &[Stripe; STRIPES]) -> u64 {
        let counts = stripes
            .iter()
            .map(|stripe| stripe.0.load(Ordering::Relaxed));
        counts.sum()
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl<K, V: Resident> Weighter<K, V> for ByBytes {
    fn weight(&self, _: &K, value: &V) -> u64 {
        value.bytes() as u64 + CACHE_ENTRY_BYTES
    }
}

#[derive(Debug, Clone)]
struct Evictions(Arc<AtomicBool>);

impl<K, V> Lifecycle<K, V> for Evictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: K, _: V) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<K: Eq + Hash, V: Resident> ByteCache<K, V> {
    /// An empty cache of at most `capacity` bytes, for values that take about `value_bytes`. With
    /// `remembers`, it knows for a while what it has given up, and keeps that longer the next time.
    pub fn new(capacity: u64, value_bytes: u64, remembers: bool) -> Self {
        let items = capacity / (value_bytes + CACHE_ENTRY_BYTES);
        let has_evicted = Arc::new(AtomicBool::new(false));
        let hasher = RandomState::with_seeds(0x6f63, 0x6462, 0x6361, 0x6368);
        let mut options = OptionsBuilder::new();
        options
            .shards(SHARDS)
            .estimated_items_capacity(usize::try_from(items).unwrap_or(usize::MAX))
            .weight_capacity(capacity)
            .ghost_allocation(if remembers { 0.5 } else { 0.0 });
        let cache = match options.build() {
            Ok(options) => Cache::with_options(
                options,
                ByBytes,
                hasher.clone(),
                Evictions(Arc::clone(&has_evicted)),
            ),
            // Both capacities are given, so there is nothing that it could miss.
            Err(_) => Cache::with(
                0,
                capacity,
                ByBytes,
                hasher.clone(),
                Evictions(Arc::clone(&has_evicted)),
            ),
        };
        Self {
            cache,
            hasher,
            capacity: AtomicU64::new(capacity),
            has_evicted,
            hits: Default::default(),
            misses: Default::default(),
        }
    }

    /// Whether it may keep anything.
    pub fn is_on(&self) -> bool {
        self.capacity.load(Ordering::Relaxed) > 0
    }

    /// Whether something had to give way since the capacity was last set.
    pub fn has_evicted(&self) -> bool {
        self.has_evicted.load(Ordering::Relaxed)
    }

    /// The most that it may take, in bytes.
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Changes what it may take. When this returns, it takes no more.
    pub fn set_capacity(&self, capacity: u64) {
        if self.capacity.swap(capacity, Ordering::Relaxed) != capacity {
            self.cache.set_capacity(capacity);
            self.has_evicted.store(false, Ordering::Relaxed);
        }
    }

    /// The value, if it is there. Counted.
    pub fn get(&self, key: &K) -> Option<V> {
        if !self.is_on() {
            return None;
        }
        let found = self.cache.get(key);
        let counters = match &found {
            Some(_) => &self.hits,
            None => &self.misses,
        };
        let stripe = self.hasher.hash_one(key) as usize % STRIPES;
        counters[stripe].0.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// The value, if it is there; neither counted nor taken for a use.
    pub fn peek(&self, key: &K) -> Option<V> {
        if !self.is_on() {
            return None;
        }
        self.cache.peek(key)
    }

    /// Keeps a value, if it is not too large.
    pub fn insert(&self, key: K, value: V) {
        if self.is_on() {
            self.cache.insert(key, value);
        }
    }

    /// Gives up all that `keep` does not accept. Takes time for every entry.
    pub fn retain(&self, keep: impl Fn(&K) -> bool) {
        if self.is_on() {
            self.cache.retain(|key, _| keep(key));
        }
    }

    /// Its figures, each as of some moment during the call.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            bytes: self.cache.weight(),
            capacity: self.capacity(),
            entries: self.cache.len() as u64,
            hits: Stripe::total(&self.hits),
            misses: Stripe::total(&self.misses),
        }
    }
}

impl<K, V> fmt::Debug for ByteCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteCache")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Bytes = Arc<[u8]>;

    fn value(len: usize) -> Bytes {
        Arc::from(vec![0; len])
    }

    #[test]
    fn never_above_its_capacity_while_that_changes() {
        let cache: ByteCache<u64, Bytes> = ByteCache::new(1 << 20, 300, false);
        for i in 0..50_000_u64 {
            if i % 5_000 == 0 {
                cache.set_capacity((i / 5_000 % 4) << 18);
            }
            cache.insert(i, value(i as usize % 700));
            if i % 100 == 0 {
                let stats = cache.stats();
                // Each shard rounds up.
                assert!(stats.bytes <= stats.capacity + SHARDS as u64, "{stats:?}");
            }
        }
        assert!(cache.has_evicted());
    }

    #[test]
    fn off_is_off() {
        let cache: ByteCache<u64, Bytes> = ByteCache::new(0, 300, true);
        cache.insert(1, value(0));
        assert_eq!((cache.get(&1), cache.peek(&1)), (None, None));
        assert_eq!(cache.stats(), CacheStats::default());
        cache.set_capacity(100_000);
        cache.insert(1, value(10));
        assert!(cache.get(&1).is_some());
        cache.set_capacity(0);
        assert_eq!((cache.get(&1), cache.stats().entries), (None, 0));
    }

    #[test]
    fn a_cache_for_one_value_holds_one() {
        let cache: ByteCache<u64, Bytes> = ByteCache::new(5_000, 4_096, true);
        for i in 0..10 {
            cache.insert(i, value(4_096));
            assert_eq!(cache.stats().entries, 1);
            assert!(cache.get(&i).is_some());
        }
        cache.insert(11, value(5_000));
        assert!(cache.get(&11).is_none());
    }

    #[test]
    fn hits_and_misses_are_counted() {
        let cache: ByteCache<u64, Bytes> = ByteCache::new(1 << 20, 300, false);
        cache.insert(1, value(10));
        for i in 0..10 {
            cache.get(&(i % 2));
            cache.peek(&(i % 2));
        }
        cache.retain(|key| *key != 1);
        cache.get(&1);
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.entries), (5, 6, 0));
    }
}
