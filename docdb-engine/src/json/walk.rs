//! Walking over text that is known to be strict JSON, without looking at more of it than needed.
//!
//! Nothing here can fail or panic: in text that is not JSON the walk ends somewhere inside it.

use super::string::skip_plain;

/// Past the white space from `at` on.
#[inline]
pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// Past the string whose opening quote is just before `at`.
#[inline(always)]
fn skip_string(text: &[u8], mut at: usize) -> usize {
    loop {
        at = skip_plain(text, at);
        match text.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at = (at + 2).min(text.len()),
            Some(_) => at += 1,
            None => return at,
        }
    }
}

/// Where the string ends, of which `text` starts behind the opening quote: at the closing one.
pub(super) fn end_of_string(text: &[u8]) -> usize {
    skip_string(text, 0).saturating_sub(1)
}

/// Where the value of a member starts, of which `text` is all from behind the bracket or comma before it.
pub(super) fn start_of_member_value(text: &[u8]) -> usize {
    let behind = skip_string(text, skip_space(text, 0) + 1);
    let colon = skip_space(text, behind);
    skip_space(text, colon + 1)
}

/// Past the value that starts at `at`.
#[inline]
pub(super) fn skip_value(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => skip_string(text, at + 1),
        Some(b'{' | b'[') => skip_container(text, at),
        _ => {
            let rest = text.get(at..).unwrap_or_default();
            let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            at + rest.iter().position(ends).unwrap_or(rest.len())
        }
    }
}

/// Past the array or object that starts at `at`.
fn skip_container(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    loop {
        at = skip_between(text, at);
        let Some(&byte) = text.get(at) else {
            return at;
        };
        at += 1;
        if byte == b'"' {
            at = skip_string(text, at);
        } else if !is_bracket(byte) {
            // One of the last bytes of the text.
        } else if is_opening(byte) {
            depth += 1;
        } else if depth <= 1 {
            return at;
        } else {
            depth -= 1;
        }
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Outside of strings: to the next quote or bracket, as long as eight bytes are left.
#[inline(always)]
fn skip_between(text: &[u8], mut at: usize) -> usize {
    while let Some(rest) = text.get(at..)
        && let Some(chunk) = rest.first_chunk()
    {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let bracket = (word & (ONES * !BRACKETS_DIFFER as u64)) ^ (ONES * BRACKETS_SHARE as u64);
        let found = (quote.wrapping_sub(ONES) & !quote) | (bracket.wrapping_sub(ONES) & !bracket);
        let found = found & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at
}

/// The bits in which brackets and braces differ, and what is left of all of them without these.
const BRACKETS_DIFFER: u8 = 0x26;
const BRACKETS_SHARE: u8 = b'[' & b']';

/// Whether a byte outside of strings is a bracket or brace: no other that may stand there has just
/// these bits.
#[inline]
fn is_bracket(byte: u8) -> bool {
    byte & !BRACKETS_DIFFER == BRACKETS_SHARE
}

/// Whether a bracket or brace opens.
#[inline]
fn is_opening(bracket: u8) -> bool {
    bracket & 2 != 0
}

/// How many levels of arrays and objects a value has: 0 for a scalar.
pub(super) fn depth(value: &[u8]) -> usize {
    let (mut at, mut depth, mut deepest) = (0, 0usize, 0);
    while let Some(&byte) = value.get(at) {
        at += 1;
        if byte == b'"' {
            at = skip_string(value, at);
        } else if is_bracket(byte) {
            depth = if is_opening(byte) {
                depth + 1
            } else {
                depth.saturating_sub(1)
            };
            deepest = deepest.max(depth);
        }
    }
    deepest
}

/// An element of an array or a member of an object, as offsets into the text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Item {
    /// Behind the bracket or comma before it: white space, and a member's key and colon, follow.
    pub(super) start: usize,
    /// A member's key, without its quotes; empty for an element.
    pub(super) key: usize,
    pub(super) key_end: usize,
    pub(super) value: usize,
    pub(super) value_end: usize,
    /// Behind the white space that follows the value; the last item's stays with the bracket.
    pub(super) end: usize,
}

/// The items of an array or object, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Items<'t> {
    text: &'t [u8],
    at: usize,
    object: bool,
    done: bool,
}

impl<'t> Items<'t> {
    /// Of the value that starts at `at`; `None` if that is a scalar.
    pub(super) fn of(text: &'t [u8], at: usize) -> Option<Items<'t>> {
        let object = match text.get(at) {
            Some(b'{') => true,
            Some(b'[') => false,
            _ => return None,
        };
        let first = skip_space(text, at + 1);
        Some(Items {
            text,
            at: at + 1,
            object,
            done: matches!(text.get(first), None | Some(b'}' | b']')),
        })
    }

    pub(super) fn is_object(&self) -> bool {
        self.object
    }

    /// At the end: where the white space before the closing bracket starts.
    pub(super) fn tail(&self) -> usize {
        self.at
    }
}

impl Iterator for Items<'_> {
    type Item = Item;

    #[inline]
    fn next(&mut self) -> Option<Item> {
        if self.done {
            return None;
        }
        let text = self.text;
        let mut item = Item {
            start: self.at,
            value: skip_space(text, self.at),
            ..Item::default()
        };
        if self.object {
            item.key = item.value + 1;
            let behind = skip_string(text, item.key);
            item.key_end = behind.saturating_sub(1).max(item.key);
            let colon = skip_space(text, behind);
            item.value = skip_space(text, colon + 1);
        }
        item.value_end = skip_value(text, item.value);
        let behind = skip_space(text, item.value_end);
        if text.get(behind) == Some(&b',') {
            item.end = behind;
            self.at = behind + 1;
        } else {
            item.end = item.value_end;
            self.at = item.value_end;
            self.done = true;
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::{depth, is_bracket, is_opening, skip_value};

    #[test]
    fn brackets_are_told_from_all_else_that_stands_outside_of_strings() {
        for byte in 0..=255u8 {
            if b"{}[]".contains(&byte) {
                assert!(is_bracket(byte));
                assert_eq!(is_opening(byte), b"{[".contains(&byte));
            } else if b" \t\r\n,:-+.0123456789eEtrufalsn".contains(&byte) {
                assert!(!is_bracket(byte), "{}", char::from(byte));
            }
        }
    }

    #[test]
    fn values_end_where_they_end() {
        for value in [
            "1",
            "-1.5e+3",
            "null",
            "\"\"",
            "\"]\\\"}\\\\\"",
            "[]",
            "{\"a]\":[\"}\",{\"b\":[[1]]}],\"c\":\"_yY\"}",
        ] {
            for behind in ["", ",1", "]", "}", " ,", "\n"] {
                let text = format!("{value}{behind}");
                assert_eq!(skip_value(text.as_bytes(), 0), value.len(), "{text}");
            }
        }
        for (value, levels) in [("1", 0), ("\"[\"", 0), ("[]", 1), ("[{},[[]],1]", 3)] {
            assert_eq!(depth(value.as_bytes()), levels);
        }
    }

    #[test]
    fn a_walk_over_what_is_no_json_ends_inside_it() {
        for text in ["", "\"", "\"\\", "[", "{\"a", "[1,", "]]", "{\"a\":", "[{]"] {
            assert!(skip_value(text.as_bytes(), 0) <= text.len());
            let items = super::Items::of(text.as_bytes(), 0);
            assert!(items.is_none_or(|items| items.count() < 10));
        }
    }
}
