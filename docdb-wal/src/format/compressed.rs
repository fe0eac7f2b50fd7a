//! The payload of a record with the flag for compression, as it stands.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | length of the payload |
//! | 4 | 4 | CRC-32 of the payload |
//! | 8 | 4 | length of its front, which is not compressed |
//! | 12 | | front |
//! | | | all behind the front, as one LZ4 block |
//!
//! The record's header has the length and the CRC of all this, so that it can be verified and copied
//! without being expanded. The CRC in here is the one that the caller gave: what is handed out is
//! compared with it.

use super::u32_at;

pub(crate) const PREFIX_BYTES: usize = 12;

/// What stands before the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) payload_bytes: u32,
    pub(crate) payload_crc: u32,
    pub(crate) front_bytes: u32,
}

impl Prefix {
    pub(crate) fn encode(&self) -> [u8; PREFIX_BYTES] {
        let mut out = [0; PREFIX_BYTES];
        out[0..4].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[4..8].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[8..12].copy_from_slice(&self.front_bytes.to_le_bytes());
        out
    }

    /// The prefix of `stored`, the front and the block behind it; `None` if it is too short for them.
    pub(crate) fn split(stored: &[u8]) -> Option<(Prefix, &[u8], &[u8])> {
        let (bytes, rest) = stored.split_at_checked(PREFIX_BYTES)?;
        let prefix = Prefix {
            payload_bytes: u32_at(bytes, 0),
            payload_crc: u32_at(bytes, 4),
            front_bytes: u32_at(bytes, 8),
        };
        let (front, block) = rest.split_at_checked(prefix.front_bytes as usize)?;
        Some((prefix, front, block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let prefix = Prefix {
            payload_bytes: 0x0102_0304,
            payload_crc: 0x0506_0708,
            front_bytes: 2,
        };
        let mut stored = prefix.encode().to_vec();
        assert_eq!(stored, [4, 3, 2, 1, 8, 7, 6, 5, 2, 0, 0, 0]);
        stored.extend_from_slice(b"frBLOCK");
        let (front, block) = (&b"fr"[..], &b"BLOCK"[..]);
        assert_eq!(Prefix::split(&stored), Some((prefix, front, block)));
        assert_eq!(Prefix::split(&stored[..13]), None);
        assert_eq!(Prefix::split(&stored[..11]), None);
    }
}
