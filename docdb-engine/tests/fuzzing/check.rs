//! The strict check, held against serde_json.

use docdb_engine::json::{self, JsonProblem};
use serde_json::Value;

/// Whatever is accepted must parse there, and only a number that is infinite when rounded exactly may
/// be accepted by serde_json alone.
pub(crate) fn check(data: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(data);
    let shown = String::from_utf8_lossy(data);
    match (json::check(data), theirs) {
        (Ok(()), Ok(_)) | (Err(_), Err(_)) => {}
        (Ok(()), Err(e)) => panic!("accepted here, refused by serde_json ({e}): {shown}"),
        (Err(e), Ok(_)) if e.what == JsonProblem::NumberOutOfRange => {
            let rest = std::str::from_utf8(&data[e.offset..]).unwrap();
            let is_number = |c: char| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
            let end = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
            let exact: f64 = rest[..end].parse().unwrap();
            assert!(exact.is_infinite(), "finite, and refused here: {shown}");
        }
        (Err(e), Ok(_)) => panic!("refused here ({e}), accepted by serde_json: {shown}"),
    }
}
