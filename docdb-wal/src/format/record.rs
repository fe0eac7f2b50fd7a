//! A record: a header and its payload.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | length of the payload as it stands here |
//! | 4 | 4 | CRC-32 of log id, payload length and bytes 8 to 31 |
//! | 8 | 8 | LSN |
//! | 16 | 8 | stamp, the caller's |
//! | 24 | 4 | CRC-32 of the payload as it stands here |
//! | 28 | 2 | kind, the caller's |
//! | 30 | 2 | flags: 1 the payload is [compressed](super::compressed) |
//! | 32 | | payload |
//!
//! The payload's own CRC is computed by whoever appends, before any lock is taken; the header's CRC
//! binds it to this log and this LSN. A flag that a reader does not know makes it refuse the log: it
//! cannot say what the payload means, nor that it may be done without.

use super::{u16_at, u32_at, u64_at};

pub(crate) const HEADER_BYTES: usize = 32;

/// The payload is compressed.
pub(crate) const FLAG_COMPRESSED: u16 = 1;
const FLAGS_KNOWN: u16 = FLAG_COMPRESSED;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) payload_bytes: u32,
    pub(crate) lsn: u64,
    pub(crate) stamp: u64,
    pub(crate) payload_crc: u32,
    pub(crate) kind: u16,
    pub(crate) flags: u16,
}

impl RecordHeader {
    pub(crate) fn encode(&self, seed: RecordSeed) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[8..16].copy_from_slice(&self.lsn.to_le_bytes());
        out[16..24].copy_from_slice(&self.stamp.to_le_bytes());
        out[24..28].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[28..30].copy_from_slice(&self.kind.to_le_bytes());
        out[30..32].copy_from_slice(&self.flags.to_le_bytes());
        let crc = seed.checksum(&out);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8], seed: RecordSeed) -> Option<RecordHeader> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        if u32_at(bytes, 4) != seed.checksum(bytes) {
            return None;
        }
        Some(RecordHeader {
            payload_bytes: u32_at(bytes, 0),
            lsn: u64_at(bytes, 8),
            stamp: u64_at(bytes, 16),
            payload_crc: u32_at(bytes, 24),
            kind: u16_at(bytes, 28),
            flags: u16_at(bytes, 30),
        })
    }

    /// The flags that this build cannot read.
    pub(crate) fn unknown_flags(&self) -> u16 {
        self.flags & !FLAGS_KNOWN
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.flags & FLAG_COMPRESSED != 0
    }
}

/// The part of a record's checksum that is the same for all records of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordSeed(u32);

impl RecordSeed {
    pub(crate) fn new(wal_id: u128) -> Self {
        Self(crc32fast::hash(&wal_id.to_le_bytes()))
    }

    fn checksum(self, header: &[u8; HEADER_BYTES]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(&header[0..4]);
        hasher.update(&header[8..]);
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_flips() {
        let seed = RecordSeed::new(77);
        let header = RecordHeader {
            payload_bytes: 5,
            lsn: 9,
            stamp: 11,
            payload_crc: 0xabcd,
            kind: 3,
            flags: FLAG_COMPRESSED | 8,
        };
        assert_eq!(header.unknown_flags(), 8);
        let good = header.encode(seed);
        assert_eq!(RecordHeader::decode(&good, seed), Some(header));
        assert_eq!(RecordHeader::decode(&good, RecordSeed::new(78)), None);
        assert_eq!(RecordHeader::decode(&good[..31], seed), None);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bad, seed), None, "bit {bit}");
        }
    }
}
