//! Documents that say who wrote them and can be checked byte for byte.

use bytes::Bytes;
use serde_json::Value;

/// Everything that a document's bytes follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    /// Which lane wrote it.
    pub(super) lane: u64,
    /// The lane's own number of the write, never used twice.
    pub(super) sequence: u64,
    /// Bytes of filling.
    pub(super) fill_bytes: u32,
}

impl Stamp {
    /// The document: its stamp, the filling, and a checksum over both.
    pub(super) fn document(self) -> Bytes {
        let mut text = format!(
            "{{\"lane\":{},\"sequence\":{},\"fill_bytes\":{},\"fill\":\"",
            self.lane, self.sequence, self.fill_bytes
        );
        let mut rng = crate::rng::Rng::fork(self.lane, self.sequence);
        let mut filled = 0;
        while filled < self.fill_bytes {
            let word = format!("{:016x}", rng.next());
            let take = (self.fill_bytes - filled).min(16);
            text.push_str(&word[..take as usize]);
            filled += take;
        }
        let check = checksum(text.as_bytes());
        text.push_str(&format!("\",\"check\":{check}}}"));
        Bytes::from(text)
    }

    /// The stamp of a document, if it is byte for byte one that was made here.
    pub(super) fn read(document: &[u8]) -> Option<Stamp> {
        let value: Value = serde_json::from_slice(document).ok()?;
        let stamp = Stamp {
            lane: value["lane"].as_u64()?,
            sequence: value["sequence"].as_u64()?,
            fill_bytes: u32::try_from(value["fill_bytes"].as_u64()?).ok()?,
        };
        // The filling cannot be longer than the document, so that a bad one costs nothing.
        (stamp.fill_bytes as usize <= document.len() && stamp.document() == document)
            .then_some(stamp)
    }
}

/// FNV-1a, cut to what every JSON parser keeps exactly.
fn checksum(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash >> 12
}

#[cfg(test)]
mod tests {
    use super::Stamp;

    #[test]
    fn a_document_is_known_by_its_bytes() {
        for fill_bytes in [0, 1, 15, 16, 17, 300] {
            let stamp = Stamp {
                lane: 3,
                sequence: 77,
                fill_bytes,
            };
            let document = stamp.document();
            assert_eq!(Stamp::read(&document), Some(stamp));
            for at in 0..document.len() {
                let mut bad = document.to_vec();
                bad[at] ^= 1;
                assert_eq!(Stamp::read(&bad), None, "a flip at {at} was not seen");
            }
        }
        assert_eq!(Stamp::read(b"{}"), None);
    }
}
