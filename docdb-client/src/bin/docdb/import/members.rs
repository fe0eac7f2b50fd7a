//! Finds the top-level members of an object without parsing their values.

use std::ops::ControlFlow;

/// Calls `visit` with each top-level key and the exact text of its value, in order, until it
/// breaks. `None` if the text is not an object as far as it was looked at; what lies inside the
/// values is not checked.
pub(crate) fn for_each_member(
    document: &[u8],
    mut visit: impl FnMut(&str, &[u8]) -> ControlFlow<()>,
) -> Option<()> {
    let mut at = skip_space(document, 0);
    at = expect(document, at, b'{')?;
    at = skip_space(document, at);
    if document.get(at) == Some(&b'}') {
        return ends_at(document, at + 1);
    }
    loop {
        let key_end = string_end(document, at)?;
        let key: String = serde_json::from_slice(&document[at..key_end]).ok()?;
        at = expect(document, skip_space(document, key_end), b':')?;
        at = skip_space(document, at);
        let value_end = value_end(document, at)?;
        let value = document[at..value_end].trim_ascii_end();
        if value.is_empty() {
            return None;
        }
        if visit(&key, value).is_break() {
            return Some(());
        }
        match document.get(value_end)? {
            b'}' => return ends_at(document, value_end + 1),
            _ => at = skip_space(document, value_end + 1),
        }
    }
}

/// The text as a document id: a whole number from 0 to 2^64 - 1, written with digits alone.
pub(crate) fn whole_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

fn expect(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    (text.get(at) == Some(&byte)).then_some(at + 1)
}

fn ends_at(text: &[u8], at: usize) -> Option<()> {
    (skip_space(text, at) == text.len()).then_some(())
}

/// The position after the string that starts at `at`.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = expect(text, at, b'"')?;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The position of the `,` or `}` that ends the value which starts at `at`.
fn value_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at)?;
                continue;
            }
            b',' | b'}' if depth == 0 => return Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(document: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        for_each_member(document.as_bytes(), |key, value| {
            found.push((key.to_owned(), String::from_utf8(value.to_vec()).unwrap()));
            ControlFlow::Continue(())
        })?;
        Some(found)
    }

    #[test]
    fn finds_members_exactly() {
        let document = " { \"a\\u0062\" : 1.10 , \"}\": {\"x\":[\"]}\\\"\"]}\n,\"\":[ ] } ";
        let found = members(document).unwrap();
        let expected =
            [("ab", "1.10"), ("}", "{\"x\":[\"]}\\\"\"]}"), ("", "[ ]")].map(|(key, value)| {
                let (key, value) = (key.to_owned(), value.to_owned());
                (key, value)
            });
        assert_eq!(found, expected);
        assert_eq!(members("{ }").unwrap(), []);
    }

    #[test]
    fn what_is_not_an_object_has_no_members() {
        for text in [
            "", "[]", "1", "{", "{\"a\"", "{\"a\":", "{\"a\":}", "{\"a\":1", "{} x", "{\"a\\",
        ] {
            assert_eq!(members(text), None, "{text}");
        }
    }

    #[test]
    fn ids_are_digits_alone() {
        assert_eq!(whole_number(b"0"), Some(0));
        assert_eq!(whole_number(b"18446744073709551615"), Some(u64::MAX));
        for text in [
            &b""[..],
            b"-1",
            b"+1",
            b"1.0",
            b"1e3",
            b"\"1\"",
            b"18446744073709551616",
        ] {
            assert_eq!(whole_number(text), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_agrees_with_a_parser(text in "[{}\\[\\]:,\"\\\\a1 ]{0,24}") {
            let found = members(&text);
            if let Ok(serde_json::Value::Object(map)) = serde_json::from_str(&text) {
                let found = found.expect("an object has members");
                for (key, value) in &map {
                    let last = found.iter().rfind(|(name, _)| name == key).expect("every key");
                    prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&last.1).unwrap(), value);
                }
            }
        }
    }
}
