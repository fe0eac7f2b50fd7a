//! The strict JSON check that every document passes before anything is logged, and edits of documents
//! that leave what they do not touch as it was written.
//!
//! The engine stores documents byte for byte and never parses them again, so this is the one place
//! that decides what a document is: RFC 8259 in UTF-8, at most [`JSON_DEPTH_MAX`] levels deep, no
//! lone surrogate escapes, no number that a parser turns into infinity, one value and nothing after
//! it. Whatever is accepted here parses as a `serde_json::Value` with that crate's default features.
//!
//! The checker allocates nothing and does not recurse: its state is a position and one bit for each
//! open container. It is on the way of every commit, so it costs a few instructions a byte: positions
//! are passed by value and stay in registers, strings are walked through 16 bytes at a time.

use std::fmt;

use docdb_types::limits::JSON_DEPTH_MAX;

mod container;
mod edit;
mod key;
mod key_index;
mod machine;
mod merge;
mod number;
mod patch;
mod pointer;
mod string;
#[cfg(test)]
mod tests;
mod texts;
mod tree;
mod walk;

pub(crate) use edit::Edit;
pub use edit::EditError;

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

impl JsonProblem {
    const ALL: [JsonProblem; 15] = [
        JsonProblem::Empty,
        JsonProblem::NotUtf8,
        JsonProblem::UnexpectedEnd,
        JsonProblem::ExpectedValue,
        JsonProblem::ExpectedKey,
        JsonProblem::ExpectedColon,
        JsonProblem::ExpectedCommaOrBracket,
        JsonProblem::ExpectedCommaOrBrace,
        JsonProblem::InvalidNumber,
        JsonProblem::NumberOutOfRange,
        JsonProblem::ControlCharacter,
        JsonProblem::InvalidEscape,
        JsonProblem::LoneSurrogate,
        JsonProblem::TooDeep,
        JsonProblem::TrailingData,
    ];
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
    machine::document(bytes).map_err(JsonError::from)
}

/// The document after a patch: a list of changes at paths, all or none of them.
///
/// ```json
/// [{"op":"set","path":"/address/city","value":"Paris"},
///  {"op":"delete","path":"/tags/0"},
///  {"op":"insert","path":"/tags/-","value":"new"}]
/// ```
///
/// Paths are JSON pointers (RFC 6901) and walk through objects by key and through arrays by index.
/// `set` replaces what is there, or adds a member, with the objects that are missing on the way;
/// `insert` puts an element before the one at its index, `-` standing for the end; `delete` takes a
/// member or an element away. Members of an operation beside `op`, `path` and `value` mean nothing.
///
/// What is not touched keeps its bytes. Beside the result an edit takes eight bytes of memory for each
/// member or element of what lies on its paths, sixteen if an object is searched often.
///
/// # Errors
/// `InvalidJson` for a text that is not strict JSON; `NotAnObject` for a document that is none;
/// `InvalidPatch` for an empty list, an operation that is not in order, nesting that would become too
/// deep, and a path through a key that an object has twice; `InvalidPath` for what is no path, leads
/// through a scalar or to the root, for an index out of range, and for what is missing where it
/// must not; `TooLarge` for a result of more than 16 MiB; `LimitExceeded` for thousands of changes of
/// enormous arrays.
///
/// ```
/// use docdb_engine::json::patch;
///
/// let changed = patch(
///     br#"{ "n": 9007199254740993, "tags": ["a"] }"#,
///     br#"[{"op":"insert","path":"/tags/-","value":"b"}]"#,
/// );
/// assert_eq!(changed.unwrap(), br#"{ "n": 9007199254740993, "tags": ["a","b"] }"#);
/// ```
pub fn patch(document: &[u8], patch: &[u8]) -> Result<Vec<u8>, EditError> {
    strict(document, "the document")?;
    strict(patch, "the patch")?;
    Edit::patch(patch)?.apply(document)
}

/// The document after a merge patch (RFC 7396): its members replace those of the document, objects are
/// merged with objects, and `null` deletes.
///
/// What is not touched keeps its bytes. A patch that is not an object takes the document's place.
///
/// # Errors
/// `InvalidJson` for a text that is not strict JSON; `InvalidPatch` for an object of the patch that has
/// a key twice, and for a key of the patch that the document has twice; `TooLarge` for a result of more
/// than 16 MiB.
///
/// ```
/// use docdb_engine::json::merge;
///
/// let merged = merge(br#"{"a":1.10,"b":2,"c":3}"#, br#"{"b":null,"c":[]}"#);
/// assert_eq!(merged.unwrap(), br#"{"a":1.10,"c":[]}"#);
/// ```
pub fn merge(document: &[u8], patch: &[u8]) -> Result<Vec<u8>, EditError> {
    strict(document, "the document")?;
    strict(patch, "the patch")?;
    Edit::merge(patch).apply(document)
}

fn strict(text: &[u8], name: &str) -> Result<(), EditError> {
    check(text).map_err(|error| {
        EditError::new(
            docdb_types::ErrorKind::InvalidJson,
            format!("{name}: {error}"),
        )
    })
}

/// A [`JsonError`] that fits a register, so that what answers with it costs nothing where there is
/// none: the offset, and the problem in the lowest byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault(u64);

/// The offset at which the check goes on.
type Step = Result<usize, Fault>;

#[cold]
fn fault<T>(offset: usize, what: JsonProblem) -> Result<T, Fault> {
    Err(Fault((offset as u64) << 8 | u64::from(what as u8)))
}

/// The problem at this offset, or that the text ends here.
#[cold]
fn fault_or_end<T>(text: &[u8], offset: usize, what: JsonProblem) -> Result<T, Fault> {
    if offset < text.len() {
        fault(offset, what)
    } else {
        fault(offset, JsonProblem::UnexpectedEnd)
    }
}

impl From<Fault> for JsonError {
    fn from(Fault(packed): Fault) -> JsonError {
        let problems = JsonProblem::ALL.iter();
        let what = problems.copied().find(|what| *what as u8 == packed as u8);
        JsonError {
            offset: (packed >> 8) as usize,
            what: what.unwrap_or(JsonProblem::UnexpectedEnd),
        }
    }
}
