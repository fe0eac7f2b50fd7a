//! JSON pointers, RFC 6901.

use std::borrow::Cow;

use docdb_types::limits::JSON_DEPTH_MAX;

/// A pointer's reference tokens, `~0` and `~1` resolved. None for the root; of a pointer that leads
/// deeper than any document, only as many as tell so.
#[derive(Debug, Clone)]
pub(super) struct Pointer<'a>(Vec<Token<'a>>);

/// The name of a member, or an index.
pub(super) type Token<'a> = Cow<'a, [u8]>;

/// Why a text is not a pointer.
pub(super) type NotAPointer = &'static str;

impl<'a> Pointer<'a> {
    pub(super) fn parse(text: Cow<'a, [u8]>) -> Result<Pointer<'a>, NotAPointer> {
        if text.is_empty() {
            return Ok(Pointer(Vec::new()));
        }
        if text.first() != Some(&b'/') {
            return Err("a path starts with '/'");
        }
        // No document goes so deep, and a token takes many times the memory of its text.
        const TOKENS_MAX: usize = JSON_DEPTH_MAX + 1;
        let tokens: Result<_, _> = match text {
            Cow::Borrowed(text) => {
                let tokens = text.split(|&b| b == b'/').skip(1).map(token);
                tokens.take(TOKENS_MAX).collect()
            }
            Cow::Owned(text) => {
                let tokens = text.split(|&b| b == b'/').skip(1).map(token);
                tokens
                    .take(TOKENS_MAX)
                    .map(|t| t.map(|t| Cow::Owned(t.into_owned())))
                    .collect()
            }
        };
        tokens.map(Pointer)
    }

    /// The last token and those before it; `None` for the root.
    pub(super) fn split_last(&self) -> Option<(&[u8], &[Token<'a>])> {
        self.0
            .split_last()
            .map(|(last, parents)| (&**last, parents))
    }

    /// How many containers enclose what it points to.
    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }
}

fn token(text: &[u8]) -> Result<Token<'_>, NotAPointer> {
    if !text.contains(&b'~') {
        return Ok(Cow::Borrowed(text));
    }
    let mut token = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        token.push(match (byte, byte == b'~') {
            (_, true) => match bytes.next() {
                Some(b'0') => b'~',
                Some(b'1') => b'/',
                _ => return Err("'~' in a path is followed by 0 or 1"),
            },
            (byte, false) => byte,
        });
    }
    Ok(Cow::Owned(token))
}

/// The array index that a token stands for: digits without a leading zero.
pub(super) fn index(token: &[u8]) -> Option<usize> {
    match token {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if token.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(token).ok()?.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{Pointer, index};

    #[test]
    fn the_examples_of_the_rfc() {
        for (text, tokens) in [
            ("", &[][..]),
            ("/foo", &["foo"][..]),
            ("/foo/0", &["foo", "0"]),
            ("/", &[""]),
            ("/a~1b", &["a/b"]),
            ("/c%d", &["c%d"]),
            ("/ ", &[" "]),
            ("/m~0n", &["m~n"]),
            ("/~01", &["~1"]),
            ("//", &["", ""]),
        ] {
            for text in [
                Cow::Borrowed(text.as_bytes()),
                text.as_bytes().to_vec().into(),
            ] {
                let pointer = Pointer::parse(text).expect("a pointer");
                assert!(
                    pointer
                        .0
                        .iter()
                        .map(|t| &**t)
                        .eq(tokens.iter().map(|t| t.as_bytes()))
                );
                assert_eq!(pointer.depth(), tokens.len());
            }
        }
        for text in ["a", "a/b", "/~", "/~2", "/a~/b", "#/a", " /a"] {
            assert!(Pointer::parse(text.as_bytes().into()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_leads_deeper_than_any_document_is_not_kept() {
        for text in ["/a".repeat(100_000), "/~0".repeat(100_000)] {
            for text in [
                Cow::Borrowed(text.as_bytes()),
                text.as_bytes().to_vec().into(),
            ] {
                let pointer = Pointer::parse(text).expect("a pointer");
                assert_eq!(pointer.depth(), docdb_types::limits::JSON_DEPTH_MAX + 1);
            }
        }
    }

    #[test]
    fn indexes() {
        for (token, wanted) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("10", Some(10)),
            ("", None),
            ("-", None),
            ("-1", None),
            ("+1", None),
            ("00", None),
            ("01", None),
            ("1e0", None),
            ("1 ", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(index(token.as_bytes()), wanted, "{token}");
        }
    }
}
