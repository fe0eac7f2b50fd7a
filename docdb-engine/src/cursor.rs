//! Where a scan that a limit cut short goes on.

use docdb_types::ErrorKind;

use crate::error::{Error, Result};

/// The position behind the last document of a page.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 1 | version, 1 |
/// | 1 | 1 | 1 if the scan runs from high ids to low ones |
/// | 2 | 4 | collection number |
/// | 6 | 8 | id of the last document |
/// | 14 | 8 | commit of the snapshot |
/// | 22 | 4 | CRC-32 of the above |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) reverse: bool,
    pub(crate) collection: u32,
    pub(crate) last_id: u64,
    pub(crate) snapshot: u64,
}

const BYTES: usize = 26;

impl Cursor {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BYTES);
        out.extend_from_slice(&[1, u8::from(self.reverse)]);
        out.extend_from_slice(&self.collection.to_le_bytes());
        out.extend_from_slice(&self.last_id.to_le_bytes());
        out.extend_from_slice(&self.snapshot.to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Cursor> {
        let invalid = || {
            Error::new(
                ErrorKind::InvalidArgument,
                "the cursor is not one of a scan",
            )
        };
        let bytes: &[u8; BYTES] = bytes.try_into().map_err(|_| invalid())?;
        let crc = u32::from_le_bytes([bytes[22], bytes[23], bytes[24], bytes[25]]);
        if bytes[0] != 1 || bytes[1] > 1 || crc != crc32fast::hash(&bytes[..22]) {
            return Err(invalid());
        }
        let u64_at = |at: usize| {
            let mut raw = [0; 8];
            raw.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(raw)
        };
        Ok(Cursor {
            reverse: bytes[1] == 1,
            collection: u32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]),
            last_id: u64_at(6),
            snapshot: u64_at(14),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_garbage() {
        let cursor = Cursor {
            reverse: true,
            collection: 3,
            last_id: u64::MAX,
            snapshot: 9,
        };
        let bytes = cursor.encode();
        assert_eq!(Cursor::decode(&bytes).unwrap(), cursor);
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 4;
            assert_eq!(
                Cursor::decode(&bad).unwrap_err().kind(),
                ErrorKind::InvalidArgument
            );
        }
        assert!(Cursor::decode(b"").is_err());
    }
}
