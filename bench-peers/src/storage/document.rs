//! The documents: JSON of 240 to 360 bytes, 300 on average, that can be told from their id and
//! revision alone, so that whoever reads one can say whether it is the right one.

use crate::rng::{Rng, mix};

/// What a document has on average.
pub const BYTES: u64 = 300;
const BYTES_MIN: u64 = 240;
const BYTES_MAX: u64 = 360;
/// A document is one of so many texts, with its id and its revision put in: making one costs little
/// beside the fastest write.
const TEXTS: u64 = 4096;
const ID_AT: usize = b"{\"id\":\"".len();
const REVISION_AT: usize = ID_AT + 16 + b"\",\"rev\":\"".len();
const WORDS: &[&str] = &[
    "amber", "bridge", "copper", "delta", "ember", "forest", "granite", "harbour", "island",
    "jasper", "kettle", "lantern", "meadow", "north", "ocean", "pepper", "quarry", "river",
    "silver", "timber", "umber", "valley", "willow", "yonder", "zephyr", "of", "the", "and",
    "beside", "under", "after", "twelve",
];

/// Which ids the documents have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Ids {
    /// 1, 2, 3 ...
    Dense,
    /// Anywhere in the 64 bits, each once.
    Random,
}

impl Ids {
    /// The id of the document with this number; numbers begin at 0.
    pub fn of(self, number: u64) -> u64 {
        match self {
            Ids::Dense => number + 1,
            Ids::Random => mix(number),
        }
    }
}

/// Makes documents.
#[derive(Debug)]
pub struct Documents(Vec<Vec<u8>>);

impl Documents {
    pub fn new() -> Documents {
        Documents((0..TEXTS).map(text).collect())
    }

    fn text(&self, id: u64, revision: u32) -> &[u8] {
        &self.0[(mix(id ^ (u64::from(revision) << 40)) % TEXTS) as usize]
    }

    /// Puts a document where another one was.
    pub fn write(&self, id: u64, revision: u32, body: &mut Vec<u8>) {
        body.clear();
        body.extend_from_slice(self.text(id, revision));
        hex(id, &mut body[ID_AT..ID_AT + 16]);
        hex(u64::from(revision), &mut body[REVISION_AT..REVISION_AT + 8]);
    }

    pub fn bytes(&self, id: u64, revision: u32) -> u64 {
        self.text(id, revision).len() as u64
    }

    /// The revision of a document that must be the one with this id.
    pub fn revision(&self, id: u64, body: &[u8]) -> Result<u32, String> {
        let wrong = || {
            let text = String::from_utf8_lossy(body);
            format!("what was read under id {id} is not its document: {text}")
        };
        let digits = body.get(REVISION_AT..REVISION_AT + 8);
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let revision = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let revision = revision.ok_or_else(wrong)?;
        let mut right = Vec::new();
        self.write(id, revision, &mut right);
        match right == body {
            true => Ok(revision),
            false => Err(wrong()),
        }
    }
}

/// Whether a document names this id; cheap enough for every read.
pub fn names(id: u64, body: &[u8]) -> bool {
    let mut digits = [0; 16];
    hex(id, &mut digits);
    body.get(ID_AT..ID_AT + 16) == Some(&digits)
}

fn hex(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

fn text(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let bytes = (BYTES_MIN + rng.below(BYTES_MAX - BYTES_MIN + 1)) as usize;
    let mut word = || WORDS[rng.below(WORDS.len() as u64) as usize];
    let mut text = format!(
        "{{\"id\":\"{}\",\"rev\":\"{}\",\"name\":\"{} {}\",\"tags\":[\"{}\",\"{}\"],",
        "0".repeat(16),
        "0".repeat(8),
        word(),
        word(),
        word(),
        word()
    );
    text.push_str(&format!(
        "\"price\":{}.{:02},\"stock\":{},\"sold\":{},\"text\":\"",
        rng.below(10_000),
        rng.below(100),
        rng.below(1_000_000),
        rng.below(2) == 1
    ));
    while text.len() < bytes - 2 {
        text.push_str(WORDS[rng.below(WORDS.len() as u64) as usize]);
        text.push(' ');
    }
    text.truncate(bytes - 2);
    text.push_str("\"}");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_json_and_name_themselves() {
        let documents = Documents::new();
        let mut body = Vec::new();
        let mut total = 0;
        for number in 0..10_000 {
            let id = Ids::Random.of(number);
            documents.write(id, 7, &mut body);
            assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
            assert_eq!(documents.revision(id, &body), Ok(7));
            assert_eq!(documents.bytes(id, 7), body.len() as u64);
            assert!(names(id, &body) && !names(id + 1, &body));
            assert!(documents.revision(id + 1, &body).is_err());
            total += body.len() as u64;
        }
        assert!((BYTES - 5..=BYTES + 5).contains(&(total / 10_000)));
    }
}
