//! Where the index finds a stored document.

use docdb_datafile::FilePtr;
use docdb_index::Pointer;

/// A [`FilePtr`] as the index's runs keep it: file (4 bytes), offset (8), length (4), little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DocPtr(pub(crate) FilePtr);

impl Pointer for DocPtr {
    const BYTES: usize = 16;

    fn encode(self, bytes: &mut [u8]) {
        bytes[0..4].copy_from_slice(&self.0.file.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.0.offset.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.0.len.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let file = u32::from_le_bytes(bytes.get(0..4)?.try_into().ok()?);
        let offset = u64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?);
        let len = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?);
        Some(DocPtr(FilePtr { file, offset, len }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let pointer = DocPtr(FilePtr {
            file: 7,
            offset: 1 << 40,
            len: 300,
        });
        let mut bytes = [0; DocPtr::BYTES];
        pointer.encode(&mut bytes);
        assert_eq!(DocPtr::decode(&bytes), Some(pointer));
        assert_eq!(DocPtr::decode(&bytes[1..]), None);
    }
}
