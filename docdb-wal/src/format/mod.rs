//! The bytes of a segment file, without I/O. All integers are little-endian.
//!
//! A segment is a [header block](segment) of 4,096 bytes and then [groups](group). A group is a
//! header and its [records](record), one after the other. After a sync the next group starts on a
//! 4,096-byte boundary, so that no block that holds synced bytes is ever written again; a group that
//! follows unsynced bytes starts at the next multiple of 64. The bytes between are zero, or, in
//! a recycled file, what stood there before. A reader
//! looks at the nearer of the two places first, and at the other if the group that follows is not
//! there.

pub(crate) mod compressed;
pub(crate) mod group;
pub(crate) mod record;
pub(crate) mod segment;

/// The unit in which groups are placed: no block with synced bytes in it is written again.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// Groups that follow unsynced bytes start at multiples of this.
pub(crate) const GROUP_ALIGN_BYTES: u64 = 64;

/// Where a group may start that follows unsynced bytes which end at `offset`.
pub(crate) fn align_group(offset: u64) -> u64 {
    offset.div_ceil(GROUP_ALIGN_BYTES) * GROUP_ALIGN_BYTES
}

/// The next block boundary at or after `offset`.
pub(crate) fn align_up(offset: u64) -> u64 {
    offset.div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}

pub(crate) fn u128_at(bytes: &[u8], at: usize) -> u128 {
    let mut raw = [0; 16];
    raw.copy_from_slice(&bytes[at..at + 16]);
    u128::from_le_bytes(raw)
}
