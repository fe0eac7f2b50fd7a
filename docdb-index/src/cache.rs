//! A cache with a limit in bytes.
//!
//! Its own, because of what a hit costs: a lookup touches one line of memory for the tags, one for the
//! key and what the value is, and takes one lock. Caches that keep a hash table beside a list of
//! entries touch two more, and with a working set far beyond the processor's caches each of them costs
//! as much as the rest of a hit.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use ahash::RandomState;
use parking_lot::RwLock;

use crate::Resident;

/// What an entry costs beyond its value's own memory, in bytes: its slot, and the empty slots that it
/// takes to find it fast.
pub const CACHE_ENTRY_BYTES: u64 = 96;

const SHARDS_MAX: u64 = 32;
/// A shard is large enough for so many values of the expected size.
const SHARD_VALUES_MIN: u64 = 32;
const WAYS: usize = 8;

/// Keeps values that were used lately, of at most a number of bytes that can be changed at any time.
///
/// A key has a set of eight slots in one shard, and the next one where that is full; a shard grows by
/// half when five eighths of its slots are taken, so that few sets are full before the bytes run out.
/// When they run out, a hand goes round over the slots of the shard: a value that was used since it
/// last came by stays, one that was not goes. So a value that is used once gives way to those that are
/// used again.
///
/// Its hashes have a fixed seed: what it keeps depends on what is asked for and on nothing else.
pub struct ByteCache<K, V> {
    shards: Box<[Shard<K, V>]>,
    hasher: RandomState,
    capacity: AtomicU64,
    has_evicted: AtomicBool,
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

/// Apart from its neighbours, so that threads in different shards do not meet.
#[repr(align(128))]
struct Shard<K, V> {
    table: RwLock<Table<K, V>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct Table<K, V> {
    sets: Vec<Set<K, V>>,
    entries: usize,
    bytes: u64,
    capacity: u64,
    /// The slot that the hand comes to next.
    hand: usize,
}

struct Set<K, V> {
    /// Of each slot a part of its key's hash; zero if it is empty.
    tags: [u8; WAYS],
    /// A bit for each slot that was used since the hand came by.
    used: AtomicU8,
    slots: [Option<(K, V)>; WAYS],
}

impl<K, V> Default for Set<K, V> {
    fn default() -> Self {
        Self {
            tags: [0; WAYS],
            used: AtomicU8::new(0),
            slots: [const { None }; WAYS],
        }
    }
}

impl<K: Eq, V> Set<K, V> {
    fn way_of(&self, tag: u8, key: &K) -> Option<usize> {
        (0..WAYS).find(|&way| {
            self.tags[way] == tag && self.slots[way].as_ref().is_some_and(|(k, _)| k == key)
        })
    }
}

/// Never zero.
fn tag_of(hash: u64) -> u8 {
    hash as u8 | 1
}

fn weight<V: Resident>(value: &V) -> u64 {
    value.bytes() as u64 + CACHE_ENTRY_BYTES
}

impl<K: Eq + Hash, V: Resident> Table<K, V> {
    /// The key's set, and the one that takes what has no room there.
    fn sets_of(&self, hash: u64) -> [usize; 2] {
        // The high bits of the hash; the shard was chosen by those in its middle.
        let first = ((u128::from(hash) * self.sets.len() as u128) >> 64) as usize;
        let second = if first + 1 < self.sets.len() {
            first + 1
        } else {
            0
        };
        [first, second]
    }

    fn find(&self, hash: u64, key: &K) -> Option<(usize, usize)> {
        self.sets_of(hash).into_iter().find_map(|index| {
            let way = self.sets.get(index)?.way_of(tag_of(hash), key)?;
            Some((index, way))
        })
    }

    /// Returns whether others had to give way for want of bytes.
    fn insert(
        &mut self,
        hasher: &RandomState,
        hash: u64,
        key: K,
        bytes: u64,
        make: impl FnOnce(Option<V>) -> V,
    ) -> bool {
        let weight = bytes + CACHE_ENTRY_BYTES;
        if weight > self.capacity {
            return false;
        }
        if let Some((index, way)) = self.find(hash, &key) {
            self.remove(index, way);
        }
        let mut evicted = None;
        while self.bytes + weight > self.capacity {
            match self.evict() {
                Some(value) => evicted = Some(value),
                None => break,
            }
        }
        if self.entries * 8 >= self.sets.len() * WAYS * 5 {
            let sets = self.sets.len() + self.sets.len() / 2 + 1;
            self.rebuild(hasher, sets);
        }
        let has_evicted = evicted.is_some();
        self.put(hash, key, make(evicted));
        has_evicted
    }

    /// Puts what is not there into one of its sets, in place of another if both are full. Returns the
    /// slot.
    fn put(&mut self, hash: u64, key: K, value: V) -> (usize, usize) {
        let sets = self.sets_of(hash);
        let empty = sets.into_iter().find_map(|index| {
            let way = self.sets[index].slots.iter().position(Option::is_none)?;
            Some((index, way))
        });
        let (index, way) = empty.unwrap_or_else(|| {
            let used = self.sets[sets[0]].used.load(Ordering::Relaxed);
            let unused = (0..WAYS).find(|way| used & (1 << way) == 0);
            (sets[0], unused.unwrap_or((hash >> 8) as usize % WAYS))
        });
        self.remove(index, way);
        self.bytes += weight(&value);
        self.entries += 1;
        let set = &mut self.sets[index];
        set.tags[way] = tag_of(hash);
        set.slots[way] = Some((key, value));
        (index, way)
    }

    fn remove(&mut self, index: usize, way: usize) -> Option<V> {
        let set = &mut self.sets[index];
        set.tags[way] = 0;
        *set.used.get_mut() &= !(1 << way);
        let (_, value) = set.slots[way].take()?;
        self.bytes -= weight(&value);
        self.entries -= 1;
        Some(value)
    }

    /// Removes the next value that was not used; `None` if there is none at all.
    fn evict(&mut self) -> Option<V> {
        if self.entries == 0 {
            return None;
        }
        let slots = self.sets.len() * WAYS;
        // Twice round: the first time may only clear the marks of use.
        for _ in 0..=2 * slots {
            self.hand = (self.hand + 1) % slots;
            let (index, way) = (self.hand / WAYS, self.hand % WAYS);
            let set = &mut self.sets[index];
            let bit = 1 << way;
            if *set.used.get_mut() & bit != 0 {
                *set.used.get_mut() &= !bit;
            } else if set.slots[way].is_some() {
                return self.remove(index, way);
            }
        }
        None
    }

    fn rebuild(&mut self, hasher: &RandomState, sets: usize) {
        let mut new = Vec::new();
        new.resize_with(sets, Set::default);
        let old = std::mem::replace(&mut self.sets, new);
        (self.entries, self.bytes, self.hand) = (0, 0, 0);
        for set in old {
            let used = set.used.into_inner();
            for (way, slot) in set.slots.into_iter().enumerate() {
                let Some((key, value)) = slot else { continue };
                let hash = hasher.hash_one(&key);
                let (index, new_way) = self.put(hash, key, value);
                if used & (1 << way) != 0 {
                    *self.sets[index].used.get_mut() |= 1 << new_way;
                }
            }
        }
    }

    fn set_capacity(&mut self, hasher: &RandomState, capacity: u64) {
        self.capacity = capacity;
        while self.bytes > self.capacity && self.evict().is_some() {}
        // Slots that nothing will fill for long are given back.
        let wanted = self.entries / (WAYS / 2) + 1;
        if self.sets.len() > 4 * wanted {
            self.rebuild(hasher, wanted);
        }
    }
}

impl<K: Eq + Hash, V: Resident> ByteCache<K, V> {
    /// An empty cache of at most `capacity` bytes, for values that take about `value_bytes`.
    pub fn new(capacity: u64, value_bytes: u64) -> Self {
        let values = capacity / (value_bytes + CACHE_ENTRY_BYTES);
        let shards = (values / SHARD_VALUES_MIN).clamp(1, SHARDS_MAX);
        let shards = (0..shards).map(|_| Shard {
            table: RwLock::new(Table {
                sets: Vec::new(),
                entries: 0,
                bytes: 0,
                capacity: 0,
                hand: 0,
            }),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        });
        let cache = Self {
            shards: shards.collect(),
            hasher: RandomState::with_seeds(0x6f63, 0x6462, 0x6361, 0x6368),
            capacity: AtomicU64::new(0),
            has_evicted: AtomicBool::new(false),
        };
        cache.set_capacity(capacity);
        cache
    }

    fn shard(&self, hash: u64) -> &Shard<K, V> {
        &self.shards[(hash >> 16) as u32 as usize % self.shards.len()]
    }

    /// Whether it may keep anything.
    pub fn is_on(&self) -> bool {
        self.capacity.load(Ordering::Relaxed) > 0
    }

    /// Whether something had to give way for want of bytes since the capacity was last set.
    pub fn has_evicted(&self) -> bool {
        self.has_evicted.load(Ordering::Relaxed)
    }

    /// The most that it may take, in bytes.
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// The capacity at which so many values of `value_bytes` find room, or nearly all of them:
    /// they do not fall to the shards evenly.
    pub fn capacity_for(&self, values: u64, value_bytes: u64) -> u64 {
        let shards = self.shards.len() as u64;
        // Three deviations above the mean in each shard, and something for the smallest.
        let values =
            values.saturating_add(3 * (values.saturating_mul(shards)).isqrt() + 2 * shards);
        values.saturating_mul(value_bytes + CACHE_ENTRY_BYTES)
    }

    /// Changes what it may take. When this returns, it takes no more. Calls are serialised by the
    /// caller.
    pub fn set_capacity(&self, capacity: u64) {
        if self.capacity.swap(capacity, Ordering::Relaxed) == capacity {
            return;
        }
        let share = capacity / self.shards.len() as u64;
        for shard in &self.shards {
            shard.table.write().set_capacity(&self.hasher, share);
        }
        self.has_evicted.store(false, Ordering::Relaxed);
    }

    /// What `look` makes of the value, if that is there. Counted. `look` holds up whoever inserts near
    /// by, and must not call the cache.
    pub fn get_with<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        if !self.is_on() {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash);
        let found = {
            let table = shard.table.read();
            table.find(hash, key).and_then(|(index, way)| {
                let set = &table.sets[index];
                if set.used.load(Ordering::Relaxed) & (1 << way) == 0 {
                    set.used.fetch_or(1 << way, Ordering::Relaxed);
                }
                set.slots[way].as_ref().map(|(_, value)| look(value))
            })
        };
        let counter = match &found {
            Some(_) => &shard.hits,
            None => &shard.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// The value, if it is there. Counted.
    pub fn get(&self, key: &K) -> Option<V> {
        self.get_with(key, V::clone)
    }

    /// The value, if it is there; neither counted nor taken for a use.
    pub fn peek(&self, key: &K) -> Option<V> {
        if !self.is_on() {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let table = self.shard(hash).table.read();
        let (index, way) = table.find(hash, key)?;
        table.sets[index].slots[way]
            .as_ref()
            .map(|(_, value)| value.clone())
    }

    /// Keeps a value, if it is not too large.
    pub fn insert(&self, key: K, value: V) {
        self.insert_with(key, value.bytes() as u64, |_| value);
    }

    /// As [`ByteCache::insert`], of a value of so many bytes that `make` may build in the memory of one
    /// that gives way for it. Values of one size that are built so stay in the memory that the first
    /// ones took; an allocator that threads share in parts may need twice as much otherwise.
    pub fn insert_with(&self, key: K, bytes: u64, make: impl FnOnce(Option<V>) -> V) {
        if !self.is_on() {
            return;
        }
        let hash = self.hasher.hash_one(&key);
        let mut table = self.shard(hash).table.write();
        if table.insert(&self.hasher, hash, key, bytes, make) {
            self.has_evicted.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps a value, if it is not too large and `is_wanted` when nobody else can change what is near by:
    /// a [`ByteCache::remove`] of the key that begins later finds it.
    pub fn insert_if(&self, key: K, value: V, is_wanted: impl FnOnce() -> bool) {
        if !self.is_on() {
            return;
        }
        let hash = self.hasher.hash_one(&key);
        let mut table = self.shard(hash).table.write();
        if is_wanted() {
            let bytes = value.bytes() as u64;
            if table.insert(&self.hasher, hash, key, bytes, |_| value) {
                self.has_evicted.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Gives up the value, if it is there.
    pub fn remove(&self, key: &K) {
        let hash = self.hasher.hash_one(key);
        let mut table = self.shard(hash).table.write();
        if let Some((index, way)) = table.find(hash, key) {
            table.remove(index, way);
        }
    }

    /// Gives up all that `keep` does not accept. Takes time for every entry.
    pub fn retain(&self, keep: impl Fn(&K) -> bool) {
        for shard in &self.shards {
            let mut table = shard.table.write();
            for index in 0..table.sets.len() {
                for way in 0..WAYS {
                    let slot = &table.sets[index].slots[way];
                    if slot.as_ref().is_some_and(|(key, _)| !keep(key)) {
                        table.remove(index, way);
                    }
                }
            }
        }
    }

    /// Its figures, each as of some moment during the call.
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats {
            capacity: self.capacity(),
            ..CacheStats::default()
        };
        for shard in &self.shards {
            let table = shard.table.read();
            stats.bytes += table.bytes;
            stats.entries += table.entries as u64;
            stats.hits += shard.hits.load(Ordering::Relaxed);
            stats.misses += shard.misses.load(Ordering::Relaxed);
        }
        stats
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
    use std::sync::Arc;

    use super::*;

    type Bytes = Arc<[u8]>;

    fn value(len: usize) -> Bytes {
        Arc::from(vec![0; len])
    }

    #[test]
    fn never_above_its_capacity_while_that_changes() {
        let cache: ByteCache<u64, Bytes> = ByteCache::new(1 << 20, 300);
        for i in 0..50_000_u64 {
            if i % 5_000 == 0 {
                cache.set_capacity((i / 5_000 % 4) << 18);
            }
            cache.insert(i, value(i as usize % 700));
            if i % 100 == 0 {
                let stats = cache.stats();
                assert!(stats.bytes <= stats.capacity, "{stats:?}");
            }
        }
        assert!(cache.has_evicted());
    }

    #[test]
    fn off_is_off() {
        let cache: ByteCache<u64, Bytes> = ByteCache::new(0, 300);
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
        let cache: ByteCache<u64, Bytes> = ByteCache::new(5_000, 4_096);
        for i in 0..10 {
            cache.insert(i, value(4_096));
            assert_eq!(cache.stats().entries, 1);
            assert!(cache.get(&i).is_some());
        }
        cache.insert(11, value(5_000));
        assert!(cache.get(&11).is_none());
    }

    /// What is kept is what a map would hold, or nothing.
    #[test]
    fn values_are_those_that_were_inserted_last() {
        for capacity in [5_000, 100_000, 10 << 20] {
            let cache: ByteCache<u64, Bytes> = ByteCache::new(capacity, 100);
            let mut model = std::collections::HashMap::new();
            let mut random = 1_u64;
            for n in 0..100_000_usize {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let key = (random >> 40) % 3_000;
                if n % 3 == 0 {
                    cache.insert(key, value(n % 200));
                    model.insert(key, n % 200);
                } else if let Some(found) = cache.get(&key) {
                    assert_eq!(model.get(&key), Some(&found.len()));
                }
                if n % 10_000 == 9_999 {
                    cache.retain(|key| key % 2 == 0);
                    model.retain(|key, _| key % 2 == 0);
                }
            }
            let stats = cache.stats();
            let held: Vec<_> = (0..3_000).filter_map(|key| cache.peek(&key)).collect();
            assert_eq!(stats.entries, held.len() as u64);
            assert_eq!(stats.bytes, held.iter().map(weight).sum::<u64>());
            // All that were not refused at the end, if there is room for them.
            assert_eq!(capacity > 1 << 20, held.len() > 1_400, "{}", held.len());
        }
    }

    #[test]
    fn a_capacity_for_some_values_holds_nearly_all() {
        for values in [1, 10, 100, 1_000, 10_000_u64] {
            let cache: ByteCache<u64, Bytes> = ByteCache::new(1 << 30, 4_096);
            cache.set_capacity(cache.capacity_for(values, 4_096 + 16));
            for key in 0..values {
                cache.insert(key, value(4_096));
            }
            let kept = cache.stats().entries;
            assert!(kept + values / 100 >= values, "{kept} of {values}");
        }
    }

    #[test]
    fn what_is_used_again_outlives_what_is_used_once() {
        let cache: ByteCache<u64, Bytes> = ByteCache::new(1 << 20, 300);
        for key in 0..500 {
            cache.insert(key, value(300));
        }
        for key in 1_000..50_000 {
            cache.insert(key, value(300));
            cache.get(&(key % 500));
        }
        let kept = (0..500).filter(|key| cache.peek(key).is_some()).count();
        assert!(kept > 450, "{kept}");
    }

    #[test]
    fn hits_and_misses_are_counted() {
        let cache: ByteCache<u64, Bytes> = ByteCache::new(1 << 20, 300);
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
