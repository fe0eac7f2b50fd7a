//! The header of a segment file.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `DOCDBWAL` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 1 | origin: 1 first, 2 successor, 3 recovered |
//! | 11 | 1 | zero |
//! | 12 | 4 | incompatible feature bits |
//! | 16 | 4 | compatible feature bits: 1 recycled |
//! | 20 | 4 | zero |
//! | 24 | 16 | log id |
//! | 40 | 8 | segment number |
//! | 48 | 8 | capacity in bytes, this header included |
//! | 56 | 8 | durable LSN when the header was written |
//! | 64 | 8 | durable group number when the header was written |
//! | 72 | 8 | recovered: segment in which the older chain is cut |
//! | 80 | 8 | recovered: offset of the cut in it |
//! | 88 | 8 | recovered: LSN of the last record before the cut |
//! | 96 | 8 | recovered: number of the last group before the cut |
//! | 104 | 4 | recovered: CRC of that group |
//! | 108 | 4 | stream id, 0 |
//! | 112 | 4 | key id, 0 |
//! | 116 | 8 | zero |
//! | 124 | 4 | CRC-32 of bytes 0 to 123 |
//! | 128 | 3968 | zero |
//!
//! The file of a recycled segment served before under a lower number: where nothing was written
//! since, old bytes stand instead of zeros. They verify nowhere, since every checksum is bound to
//! the segment's number or to a record number that is never given out again.

use super::{u16_at, u32_at, u64_at, u128_at};

pub(crate) const HEADER_BYTES: usize = 128;
/// Where the first group starts.
pub(crate) const DATA_START: u64 = 4096;
/// No segment is larger: keeps offsets and the arithmetic on them far from overflow.
pub(crate) const CAPACITY_BYTES_MAX: u64 = 1 << 32;

const MAGIC: &[u8; 8] = b"DOCDBWAL";
const VERSION: u16 = 1;
const INCOMPATIBLE_KNOWN: u32 = 0;
/// The file served before, and holds what it held then.
const COMPATIBLE_RECYCLED: u32 = 1;

/// How a segment continues the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The log begins here.
    First,
    /// Follows the seal of the segment with the previous number.
    Successor,
    /// Written by a recovery: everything at or after the cut, up to this segment, is void.
    Recovered(Cut),
}

/// Where a recovery ended the older chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cut {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) last_lsn: u64,
    pub(crate) last_group: u64,
    pub(crate) last_group_crc: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) wal_id: u128,
    pub(crate) segment: u64,
    pub(crate) capacity_bytes: u64,
    pub(crate) durable_lsn: u64,
    pub(crate) durable_group: u64,
    pub(crate) origin: Origin,
    /// Bytes that were not written for this segment mean nothing; in others they are zero.
    pub(crate) recycled: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Damaged(&'static str),
    Unsupported(String),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        let (origin, cut) = match self.origin {
            Origin::First => (1, Cut::default()),
            Origin::Successor => (2, Cut::default()),
            Origin::Recovered(cut) => (3, cut),
        };
        out[10] = origin;
        let compatible = if self.recycled {
            COMPATIBLE_RECYCLED
        } else {
            0
        };
        out[16..20].copy_from_slice(&compatible.to_le_bytes());
        out[24..40].copy_from_slice(&self.wal_id.to_le_bytes());
        out[40..48].copy_from_slice(&self.segment.to_le_bytes());
        out[48..56].copy_from_slice(&self.capacity_bytes.to_le_bytes());
        out[56..64].copy_from_slice(&self.durable_lsn.to_le_bytes());
        out[64..72].copy_from_slice(&self.durable_group.to_le_bytes());
        out[72..80].copy_from_slice(&cut.segment.to_le_bytes());
        out[80..88].copy_from_slice(&cut.offset.to_le_bytes());
        out[88..96].copy_from_slice(&cut.last_lsn.to_le_bytes());
        out[96..104].copy_from_slice(&cut.last_group.to_le_bytes());
        out[104..108].copy_from_slice(&cut.last_group_crc.to_le_bytes());
        let crc = crc32fast::hash(&out[..124]);
        out[124..128].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<SegmentHeader, HeaderError> {
        if &bytes[0..8] != MAGIC {
            return Err(HeaderError::Damaged(
                "the magic number of a segment is missing",
            ));
        }
        if u32_at(bytes, 124) != crc32fast::hash(&bytes[..124]) {
            return Err(HeaderError::Damaged(
                "the checksum of the segment header does not match",
            ));
        }
        let version = u16_at(bytes, 8);
        if version != VERSION {
            return Err(HeaderError::Unsupported(format!(
                "format version {version}"
            )));
        }
        let unknown = u32_at(bytes, 12) & !INCOMPATIBLE_KNOWN;
        if unknown != 0 {
            return Err(HeaderError::Unsupported(format!(
                "feature bits {unknown:#x}"
            )));
        }
        let origin = match bytes[10] {
            1 => Origin::First,
            2 => Origin::Successor,
            3 => Origin::Recovered(Cut {
                segment: u64_at(bytes, 72),
                offset: u64_at(bytes, 80),
                last_lsn: u64_at(bytes, 88),
                last_group: u64_at(bytes, 96),
                last_group_crc: u32_at(bytes, 104),
            }),
            _ => {
                return Err(HeaderError::Damaged(
                    "the segment header has an unknown origin",
                ));
            }
        };
        let header = SegmentHeader {
            wal_id: u128_at(bytes, 24),
            segment: u64_at(bytes, 40),
            capacity_bytes: u64_at(bytes, 48),
            durable_lsn: u64_at(bytes, 56),
            durable_group: u64_at(bytes, 64),
            origin,
            recycled: u32_at(bytes, 16) & COMPATIBLE_RECYCLED != 0,
        };
        if header.capacity_bytes < DATA_START || header.capacity_bytes > CAPACITY_BYTES_MAX {
            return Err(HeaderError::Damaged(
                "the segment header has an impossible capacity",
            ));
        }
        Ok(header)
    }
}

/// The name of a segment's file.
pub(crate) fn file_name(segment: u64) -> String {
    format!("{segment:020}.wal")
}

/// The name under which a segment's file is written before it is part of the log.
pub(crate) fn temporary_name(segment: u64) -> String {
    format!("{segment:020}.wal.tmp")
}

/// The segment number in a file's name.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    parse_digits(name.strip_suffix(".wal")?)
}

/// Whether the name is one that [`temporary_name`] gives.
pub(crate) fn is_temporary_name(name: &str) -> bool {
    name.strip_suffix(".wal.tmp")
        .and_then(parse_digits)
        .is_some()
}

fn parse_digits(digits: &str) -> Option<u64> {
    if digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            wal_id: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
            segment: 7,
            capacity_bytes: 1 << 20,
            durable_lsn: 41,
            durable_group: 5,
            origin: Origin::Recovered(Cut {
                segment: 5,
                offset: 8192,
                last_lsn: 40,
                last_group: 4,
                last_group_crc: 0xdead_beef,
            }),
            recycled: false,
        }
    }

    #[test]
    fn round_trip() {
        for origin in [Origin::First, Origin::Successor, sample().origin] {
            for recycled in [false, true] {
                let header = SegmentHeader {
                    origin,
                    recycled,
                    ..sample()
                };
                assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
            }
        }
    }

    #[test]
    fn golden() {
        let bytes = sample().encode();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let golden = [
            "444f43444257414c01000300000000000000000000000000ffeeddccbbaa9988",
            "7766554433221100070000000000000000001000000000002900000000000000",
            "0500000000000000050000000000000000200000000000002800000000000000",
            "0400000000000000efbeadde000000000000000000000000000000001ad7959d",
        ];
        assert_eq!(hex, golden.concat());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = sample().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(parse_file_name(&file_name(12)), Some(12));
        assert_eq!(parse_file_name("12.wal"), None);
        assert_eq!(parse_file_name("00000000000000000012.wal.tmp"), None);
        assert!(is_temporary_name(&temporary_name(3)));
        assert!(!is_temporary_name("x.wal.tmp"));
    }
}
