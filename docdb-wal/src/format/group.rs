//! The header of a group: the unit of writing and syncing, valid as a whole or not at all.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `DGRP` |
//! | 4 | 4 | CRC-32 of log id, segment number, offset of the group, and bytes 8 to 79 |
//! | 8 | 8 | group number: from 1, dense |
//! | 16 | 8 | LSN of the first record; in a group without records, of the next one |
//! | 24 | 8 | durable LSN when the group was issued |
//! | 32 | 8 | number of the last durable group when the group was issued |
//! | 40 | 4 | bytes of all records |
//! | 44 | 4 | number of records |
//! | 48 | 4 | flags: 1 seal, 2 jump, 4 close, 8 idle |
//! | 52 | 4 | CRC of the previous group (its field at 4) |
//! | 56 | 4 | CRC-32 of the headers of all records |
//! | 60 | 4 | stream id, 0 |
//! | 64 | 4 | key id, 0 |
//! | 68 | 12 | zero |
//!
//! Flags stand on groups without records only, and a jump is the last group that a recovery wrote
//! before its segment got a name: others do not count.
//!
//! The checksum binds a group to its place: copied elsewhere, or left over in a file that serves
//! anew under another number, it does not verify.

use super::{u32_at, u64_at};
use crate::planted::{Bug, is_planted};

pub(crate) const HEADER_BYTES: usize = 80;

const MAGIC: u32 = u32::from_le_bytes(*b"DGRP");

/// The last group of a segment: the log goes on in the next one.
pub(crate) const FLAG_SEAL: u32 = 1;
/// A recovery let the LSNs jump to this group's first LSN.
pub(crate) const FLAG_JUMP: u32 = 2;
/// The log was closed cleanly after everything before this group was durable.
pub(crate) const FLAG_CLOSE: u32 = 4;
/// Written after a while without appends: proves that everything before it was durable.
pub(crate) const FLAG_IDLE: u32 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GroupHeader {
    pub(crate) group: u64,
    pub(crate) first_lsn: u64,
    pub(crate) durable_lsn: u64,
    pub(crate) durable_group: u64,
    pub(crate) records_bytes: u32,
    pub(crate) records: u32,
    pub(crate) flags: u32,
    pub(crate) previous_crc: u32,
    pub(crate) digest: u32,
}

/// Where a group stands: part of its checksum.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GroupPlace {
    pub(crate) wal_id: u128,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

impl GroupHeader {
    /// The header's bytes and their CRC, which the next group repeats.
    pub(crate) fn encode(&self, place: GroupPlace) -> ([u8; HEADER_BYTES], u32) {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[8..16].copy_from_slice(&self.group.to_le_bytes());
        out[16..24].copy_from_slice(&self.first_lsn.to_le_bytes());
        out[24..32].copy_from_slice(&self.durable_lsn.to_le_bytes());
        out[32..40].copy_from_slice(&self.durable_group.to_le_bytes());
        out[40..44].copy_from_slice(&self.records_bytes.to_le_bytes());
        out[44..48].copy_from_slice(&self.records.to_le_bytes());
        out[48..52].copy_from_slice(&self.flags.to_le_bytes());
        out[52..56].copy_from_slice(&self.previous_crc.to_le_bytes());
        out[56..60].copy_from_slice(&self.digest.to_le_bytes());
        let crc = checksum(&out, place);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        (out, crc)
    }

    /// The header at `place` and its CRC, or `None` if no valid one stands there.
    pub(crate) fn decode(bytes: &[u8], place: GroupPlace) -> Option<(GroupHeader, u32)> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if u32_at(bytes, 0) != MAGIC {
            return None;
        }
        let crc = u32_at(bytes, 4);
        if crc != checksum(bytes, place) {
            return None;
        }
        let header = GroupHeader {
            group: u64_at(bytes, 8),
            first_lsn: u64_at(bytes, 16),
            durable_lsn: u64_at(bytes, 24),
            durable_group: u64_at(bytes, 32),
            records_bytes: u32_at(bytes, 40),
            records: u32_at(bytes, 44),
            flags: u32_at(bytes, 48),
            previous_crc: u32_at(bytes, 52),
            digest: u32_at(bytes, 56),
        };
        Some((header, crc))
    }

    /// The LSN of the last record; in a group without records, of the one before it.
    pub(crate) fn last_lsn(&self) -> u64 {
        self.first_lsn
            .saturating_add(u64::from(self.records))
            .saturating_sub(1)
    }

    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

fn checksum(header: &[u8], place: GroupPlace) -> u32 {
    let place = if is_planted(Bug::ChecksumWithoutPlace) {
        GroupPlace::default()
    } else {
        place
    };
    let mut identity = [0; 32];
    identity[..16].copy_from_slice(&place.wal_id.to_le_bytes());
    identity[16..24].copy_from_slice(&place.segment.to_le_bytes());
    identity[24..].copy_from_slice(&place.offset.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity);
    hasher.update(&header[8..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: GroupPlace = GroupPlace {
        wal_id: 9,
        segment: 2,
        offset: 4096,
    };

    fn sample() -> GroupHeader {
        GroupHeader {
            group: 3,
            first_lsn: 17,
            durable_lsn: 16,
            durable_group: 2,
            records_bytes: 40,
            records: 1,
            flags: FLAG_SEAL,
            previous_crc: 0x0102_0304,
            digest: 0x0506_0708,
        }
    }

    #[test]
    fn round_trip() {
        let (bytes, crc) = sample().encode(PLACE);
        assert_eq!(GroupHeader::decode(&bytes, PLACE), Some((sample(), crc)));
    }

    #[test]
    fn valid_only_in_its_place() {
        let (bytes, _) = sample().encode(PLACE);
        for place in [
            GroupPlace { wal_id: 8, ..PLACE },
            GroupPlace {
                segment: 3,
                ..PLACE
            },
            GroupPlace {
                offset: 8192,
                ..PLACE
            },
        ] {
            assert_eq!(GroupHeader::decode(&bytes, place), None);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (good, _) = sample().encode(PLACE);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::decode(&bad, PLACE), None, "bit {bit}");
        }
        assert_eq!(GroupHeader::decode(&good[..79], PLACE), None);
    }
}
