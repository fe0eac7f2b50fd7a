//! The strict JSON check that every document passes before anything is logged.
//!
//! The engine stores documents byte for byte and never parses them again, so this is the one place
//! that decides what a document is: RFC 8259 in UTF-8, at most [`JSON_DEPTH_MAX`] levels deep, no
//! lone surrogate escapes, no number that a parser turns into infinity, one value and nothing after
//! it. Whatever is accepted here parses as a `serde_json::Value` with that crate's default features.
//!
//! The checker allocates nothing and does not recurse: its state is a position and one bit for each
//! open container.

use std::fmt;

use docdb_types::limits::JSON_DEPTH_MAX;

mod number;
mod string;
#[cfg(test)]
mod tests;

/// Where and why a text is not strict JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// The offset in bytes of the first byte that cannot be accepted. It is the length of the text
    /// if the text ends too early.
    pub offset: usize,
    /// What is wrong there.
    pub what: JsonProblem,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for JsonError {}

/// What is wrong with a text that is not strict JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonProblem {
    /// There is no value: the text is empty or white space only.
    Empty,
    /// The text is not UTF-8.
    NotUtf8,
    /// The text ends inside a value.
    UnexpectedEnd,
    /// A value was expected.
    ExpectedValue,
    /// A key, that is a string, was expected.
    ExpectedKey,
    /// A colon was expected after a key.
    ExpectedColon,
    /// A comma or the closing bracket of the array was expected.
    ExpectedCommaOrBracket,
    /// A comma or the closing brace of the object was expected.
    ExpectedCommaOrBrace,
    /// A number is not written as JSON writes numbers.
    InvalidNumber,
    /// A number is so large that parsers turn it into infinity.
    NumberOutOfRange,
    /// A control character stands unescaped in a string.
    ControlCharacter,
    /// A backslash in a string is not followed by an escape that JSON knows.
    InvalidEscape,
    /// A `\u` escape is one half of a surrogate pair without the other.
    LoneSurrogate,
    /// Arrays and objects are nested deeper than [`JSON_DEPTH_MAX`].
    TooDeep,
    /// Something other than white space follows the value.
    TrailingData,
}

impl fmt::Display for JsonProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            JsonProblem::Empty => "no value",
            JsonProblem::NotUtf8 => "invalid UTF-8",
            JsonProblem::UnexpectedEnd => "unexpected end of the text",
            JsonProblem::ExpectedValue => "expected a value",
            JsonProblem::ExpectedKey => "expected a key in double quotes",
            JsonProblem::ExpectedColon => "expected ':' after a key",
            JsonProblem::ExpectedCommaOrBracket => "expected ',' or ']'",
            JsonProblem::ExpectedCommaOrBrace => "expected ',' or '}'",
            JsonProblem::InvalidNumber => "invalid number",
            JsonProblem::NumberOutOfRange => "number out of range",
            JsonProblem::ControlCharacter => "unescaped control character in a string",
            JsonProblem::InvalidEscape => "invalid escape in a string",
            JsonProblem::LoneSurrogate => "lone surrogate escape in a string",
            JsonProblem::TooDeep => {
                return write!(f, "nested deeper than {JSON_DEPTH_MAX} levels");
            }
            JsonProblem::TrailingData => "data after the value",
        };
        f.write_str(text)
    }
}

/// Checks that `bytes` is exactly one strict JSON value, with white space around it allowed.
///
/// The size is not limited here. Time is linear in it, memory is constant.
///
/// # Errors
///
/// The first problem found, with its offset. Invalid UTF-8 anywhere is found before anything else.
///
/// ```
/// use docdb_engine::json::{JsonProblem, check};
///
/// assert!(check(br#"{"name":"Ada","born":1815}"#).is_ok());
/// let error = check(br#"{"name":"Ada",}"#).expect_err("a comma too many");
/// assert_eq!((error.what, error.offset), (JsonProblem::ExpectedKey, 14));
/// ```
pub fn check(bytes: &[u8]) -> Result<(), JsonError> {
    if let Err(e) = std::str::from_utf8(bytes) {
        return Err(JsonError {
            offset: e.valid_up_to(),
            what: JsonProblem::NotUtf8,
        });
    }
    Scanner { bytes, at: 0 }.document()
}

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
        self.kinds & 1 == 1
    }
}

/// A position in a text that is known to be UTF-8.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Checked = Result<(), JsonError>;

impl Scanner<'_> {
    fn document(mut self) -> Checked {
        let mut open = Containers::default();
        self.skip_space();
        if self.peek().is_none() {
            return self.problem(JsonProblem::Empty);
        }
        loop {
            // Here a value starts, and white space before it has been skipped.
            let closed = match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    true
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                    true
                }
                Some(b'{') => {
                    if !open.push(true) {
                        return self.problem(JsonProblem::TooDeep);
                    }
                    self.at += 1;
                    self.skip_space();
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                        open.pop();
                        true
                    } else {
                        self.key()?;
                        false
                    }
                }
                Some(b'[') => {
                    if !open.push(false) {
                        return self.problem(JsonProblem::TooDeep);
                    }
                    self.at += 1;
                    self.skip_space();
                    if self.peek() == Some(b']') {
                        self.at += 1;
                        open.pop();
                        true
                    } else {
                        false
                    }
                }
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return self.problem_or_end(JsonProblem::ExpectedValue),
            };
            if closed && !self.after_value(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Goes from the end of a value to the start of the next one. False at the end of the text.
    #[inline]
    fn after_value(&mut self, open: &mut Containers) -> Result<bool, JsonError> {
        loop {
            self.skip_space();
            if open.depth == 0 {
                return match self.peek() {
                    None => Ok(false),
                    Some(_) => self.problem(JsonProblem::TrailingData),
                };
            }
            match (self.peek(), open.in_object()) {
                (Some(b','), object) => {
                    self.at += 1;
                    self.skip_space();
                    if object {
                        self.key()?;
                    }
                    return Ok(true);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    open.pop();
                }
                (_, true) => return self.problem_or_end(JsonProblem::ExpectedCommaOrBrace),
                (_, false) => return self.problem_or_end(JsonProblem::ExpectedCommaOrBracket),
            }
        }
    }

    /// A key and its colon, and white space around the colon.
    #[inline]
    fn key(&mut self) -> Checked {
        if self.peek() != Some(b'"') {
            return self.problem_or_end(JsonProblem::ExpectedKey);
        }
        self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.problem_or_end(JsonProblem::ExpectedColon);
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// Always true if it returns, so that it reads as a closed value.
    fn literal(&mut self, word: &[u8]) -> Result<bool, JsonError> {
        let rest = self.rest();
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(true);
        }
        let same = rest.iter().zip(word).take_while(|(a, b)| a == b).count();
        self.at += same;
        self.problem_or_end(JsonProblem::ExpectedValue)
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The problem at this position.
    #[cold]
    fn problem<T>(&self, what: JsonProblem) -> Result<T, JsonError> {
        Err(JsonError {
            offset: self.at,
            what,
        })
    }

    /// The problem at this position, or that the text ends here.
    #[cold]
    fn problem_or_end<T>(&self, what: JsonProblem) -> Result<T, JsonError> {
        let what = if self.at < self.bytes.len() {
            what
        } else {
            JsonProblem::UnexpectedEnd
        };
        self.problem(what)
    }
}
