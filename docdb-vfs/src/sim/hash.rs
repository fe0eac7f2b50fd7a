//! Hashes that compare runs and disk images; not for anything that leaves the process.

/// A running 64-bit hash: multiply and fold (the step of wyhash), eight bytes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash64(u64);

impl Hash64 {
    pub(super) fn new() -> Self {
        Self(0x243f_6a88_85a3_08d3)
    }

    pub(super) fn number(&mut self, n: u64) {
        let wide = u128::from(self.0 ^ n ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
        self.0 = (wide as u64) ^ ((wide >> 64) as u64) ^ self.0.rotate_left(23);
    }

    /// Adds the bytes and their count, so that neighbouring fields cannot run together.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.number(u64::from_le_bytes(last));
        }
    }

    pub(super) fn value(self) -> u64 {
        self.0
    }
}
