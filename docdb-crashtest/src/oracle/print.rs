//! A hash of what a database shows.

use std::ops::{AddAssign, SubAssign};

/// A hash of everything that can be seen of a database: the names of its collections, and of each
/// document where it lies, its version and its bytes. It does not depend on any order, and a document
/// can be taken out of it again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Print(pub u64);

impl AddAssign for Print {
    fn add_assign(&mut self, other: Print) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl SubAssign for Print {
    fn sub_assign(&mut self, other: Print) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}

/// Multiply and fold, eight bytes at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Hash {
        Hash(0x51ed_270b_f9e0_2b4d)
    }

    pub(crate) fn number(mut self, n: u64) -> Hash {
        let wide = u128::from(self.0 ^ n ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
        self.0 = (wide as u64) ^ ((wide >> 64) as u64) ^ self.0.rotate_left(23);
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Hash {
        self = self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self = self.number(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.number(u64::from_le_bytes(last))
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// What a collection's name adds.
pub(crate) fn name_print(collection: &str) -> Print {
    Print(Hash::new().bytes(collection.as_bytes()).value())
}

/// What a document adds.
pub fn document_print(collection: &str, id: u64, version: u64, body: &[u8]) -> Print {
    let hash = Hash::new().bytes(collection.as_bytes());
    Print(hash.number(id).number(version).bytes(body).value())
}
