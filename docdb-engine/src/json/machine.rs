//! The grammar around strings and numbers: values, keys, and what stands between them.

use docdb_types::limits::JSON_DEPTH_MAX;

use super::number::number;
use super::string::string;
use super::{Fault, JsonProblem, Step, fault, fault_or_end};

/// The open containers, the innermost one in the lowest bit: 1 for an object, 0 for an array.
#[derive(Clone, Copy, Default)]
struct Containers {
    kinds: u128,
    depth: usize,
}

const _: () = assert!(JSON_DEPTH_MAX <= u128::BITS as usize);

impl Containers {
    /// False if one more would be too deep.
    #[inline]
    fn push(&mut self, object: bool) -> bool {
        self.kinds = (self.kinds << 1) | u128::from(object);
        self.depth += 1;
        self.depth <= JSON_DEPTH_MAX
    }

    #[inline]
    fn pop(&mut self) {
        self.kinds >>= 1;
        self.depth -= 1;
    }

    #[inline]
    fn in_object(&self) -> bool {
        self.kinds as u8 & 1 == 1
    }
}

/// Stands for the end of the text: nothing takes this byte outside of strings.
const END: u8 = 0;

/// The first byte from `at` on that is not white space, and where it is; [`END`] if there is none.
#[inline(always)]
fn token(text: &[u8], mut at: usize) -> (usize, u8) {
    loop {
        match text.get(at) {
            Some(&byte) if byte > b' ' => return (at, byte),
            Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
            Some(&byte) => return (at, byte),
            None => return (at, END),
        }
    }
}

/// One value and nothing after it, in a text that is known to be UTF-8.
pub(super) fn document(text: &[u8]) -> Result<(), Fault> {
    let mut open = Containers::default();
    let (mut at, mut byte) = token(text, 0);
    if at == text.len() {
        return fault(at, JsonProblem::Empty);
    }
    loop {
        // Here a value starts, with `byte`.
        at = match byte {
            b'"' => string(text, at + 1)?,
            b'-' | b'0'..=b'9' => number(text, at, byte)?,
            b'{' => {
                if !open.push(true) {
                    return fault(at, JsonProblem::TooDeep);
                }
                (at, byte) = token(text, at + 1);
                if byte == b'}' {
                    open.pop();
                    at + 1
                } else {
                    (at, byte) = key(text, at, byte)?;
                    continue;
                }
            }
            b'[' => {
                if !open.push(false) {
                    return fault(at, JsonProblem::TooDeep);
                }
                (at, byte) = token(text, at + 1);
                if byte == b']' {
                    open.pop();
                    at + 1
                } else {
                    continue;
                }
            }
            b't' => literal(text, at, b"true")?,
            b'f' => literal(text, at, b"false")?,
            b'n' => literal(text, at, b"null")?,
            _ => return fault_or_end(text, at, JsonProblem::ExpectedValue),
        };
        // From the end of a value to the start of the next one.
        loop {
            (at, byte) = token(text, at);
            if open.depth == 0 {
                return if at == text.len() {
                    Ok(())
                } else {
                    fault(at, JsonProblem::TrailingData)
                };
            }
            let in_object = open.in_object();
            match byte {
                b',' => {
                    (at, byte) = token(text, at + 1);
                    if in_object {
                        (at, byte) = key(text, at, byte)?;
                    }
                    break;
                }
                b'}' if in_object => {
                    at += 1;
                    open.pop();
                }
                b']' if !in_object => {
                    at += 1;
                    open.pop();
                }
                _ if in_object => {
                    return fault_or_end(text, at, JsonProblem::ExpectedCommaOrBrace);
                }
                _ => return fault_or_end(text, at, JsonProblem::ExpectedCommaOrBracket),
            }
        }
    }
}

/// A key and its colon. Where its value starts, and with which byte.
#[inline(always)]
fn key(text: &[u8], at: usize, byte: u8) -> Result<(usize, u8), Fault> {
    if byte != b'"' {
        return fault_or_end(text, at, JsonProblem::ExpectedKey);
    }
    let (at, byte) = token(text, string(text, at + 1)?);
    if byte != b':' {
        return fault_or_end(text, at, JsonProblem::ExpectedColon);
    }
    Ok(token(text, at + 1))
}

#[inline]
fn literal(text: &[u8], at: usize, word: &[u8]) -> Step {
    let rest = text.get(at..).unwrap_or_default();
    if rest.starts_with(word) {
        return Ok(at + word.len());
    }
    let same = rest.iter().zip(word).take_while(|(a, b)| a == b).count();
    fault_or_end(text, at + same, JsonProblem::ExpectedValue)
}
