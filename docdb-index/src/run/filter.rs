//! Which keys are not in a data block: the contents of filter pages. The bytes are described in
//! [`format`](super::format).

use super::format::{BLOCKS_PER_FILTER, Page};
use crate::Key;

const LINE_BYTES: usize = 64;
const LINES_PER_BLOCK: usize = 2;
/// Bits that a key sets, and the length of the number of one.
const PROBES: u32 = 6;
const PROBE_BITS: u32 = 9;

fn finish(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn hash(key: Key) -> u64 {
    finish(finish(u64::from(key.collection)).wrapping_add(key.id))
}

/// The byte and the bit in it of every probe of a key in the group's block with this number.
fn probes(key: Key, block: usize) -> impl Iterator<Item = (usize, u8)> {
    let hash = hash(key);
    let line = block % BLOCKS_PER_FILTER * LINES_PER_BLOCK + (hash >> 63) as usize;
    // The page's own header takes a line.
    let start = (1 + line) * LINE_BYTES;
    (0..PROBES).map(move |i| {
        let bit = (hash >> (i * PROBE_BITS)) as usize % (LINE_BYTES * 8);
        (start + bit / 8, 1 << (bit % 8))
    })
}

/// Notes that `key` is in this data block of the run.
pub(super) fn add(page: &mut Page, key: Key, block: usize) {
    for (byte, bit) in probes(key, block) {
        page[byte] |= bit;
    }
}

/// Whether `key` may be in this data block of the run; `false` is certain.
pub(super) fn may_contain(page: &Page, key: Key, block: usize) -> bool {
    probes(key, block).all(|(byte, bit)| page[byte] & bit != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::run::format::PAGE_BYTES;

    proptest! {
        #[test]
        fn what_was_added_may_be_there(
            keys in prop::collection::vec((any::<u32>(), any::<u64>(), 0..1000_usize), 1..500),
        ) {
            let mut page = [0; PAGE_BYTES];
            for (collection, id, block) in &keys {
                add(&mut page, Key::new(*collection, *id), *block);
            }
            for (collection, id, block) in &keys {
                prop_assert!(may_contain(&page, Key::new(*collection, *id), *block));
            }
            // The header's line is none of the filter's.
            prop_assert!(page[..LINE_BYTES].iter().all(|byte| *byte == 0));
        }
    }

    /// One key in fifty at most, for full blocks of pointers of 16 bytes, dense and scattered.
    #[test]
    fn what_was_not_added_is_mostly_known_to_be_absent() {
        let entries = (PAGE_BYTES - 8) / 37;
        for scatter in [1, 0x9e37_79b9_7f4a_7c15_u64] {
            let key = |i: usize| Key::new(1, (i as u64).wrapping_mul(scatter));
            let mut page = [0; PAGE_BYTES];
            for i in 0..entries * BLOCKS_PER_FILTER {
                add(&mut page, key(i), i / entries);
            }
            let asked = 100_000;
            let wrong = (0..asked)
                .filter(|i| may_contain(&page, key(1_000_000 + i), i % BLOCKS_PER_FILTER))
                .count();
            assert!(wrong < asked / 50, "{wrong} of {asked}");
        }
    }
}
