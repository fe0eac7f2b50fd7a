//! Keys: their meaning behind escapes, and how they are written.

use std::borrow::Cow;

/// What a string means, of which `raw` is what stands between the quotes. It was checked before.
pub(super) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = raw.iter().position(|&b| b == b'\\') else {
        return Cow::Borrowed(raw);
    };
    let mut meaning = Vec::with_capacity(raw.len());
    let (plain, mut rest) = raw.split_at(first);
    meaning.extend_from_slice(plain);
    let mut letter = [0; 4];
    while !rest.is_empty() {
        let part;
        (part, rest) = split_part(rest, &mut letter);
        meaning.extend_from_slice(part);
    }
    Cow::Owned(meaning)
}

/// What the first byte or escape of a string means, and what stands behind it. `letter` has room for it.
fn split_part<'l, 'r: 'l>(raw: &'r [u8], letter: &'l mut [u8; 4]) -> (&'l [u8], &'r [u8]) {
    let [b'\\', escape, rest @ ..] = raw else {
        return raw.split_at_checked(1).unwrap_or_default();
    };
    let (meaning, rest) = match escape {
        b'b' => ('\u{8}', rest),
        b'f' => ('\u{c}', rest),
        b'n' => ('\n', rest),
        b'r' => ('\r', rest),
        b't' => ('\t', rest),
        b'u' => {
            let (mut unit, mut rest) = (hex(rest), rest.get(4..).unwrap_or_default());
            if (0xD800..0xDC00).contains(&unit) {
                let low = hex(rest.get(2..).unwrap_or_default()).wrapping_sub(0xDC00) & 0x3ff;
                unit = 0x10000 + ((unit - 0xD800) << 10 | low);
                rest = rest.get(6..).unwrap_or_default();
            }
            let letter = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
            (letter, rest)
        }
        quote_or_slash => (char::from(*quote_or_slash), rest),
    };
    (meaning.encode_utf8(letter).as_bytes(), rest)
}

/// The number in the first four hexadecimal digits.
fn hex(digits: &[u8]) -> u32 {
    let digits = digits.iter().take(4);
    digits.fold(0, |n, &b| n << 4 | char::from(b).to_digit(16).unwrap_or(0))
}

/// Whether a key means this, of which `raw` starts behind the opening quote and goes on behind the
/// closing one, or ends there. Looks at no more of it than is needed to tell: a key may have megabytes,
/// and be asked for again and again.
#[inline]
pub(super) fn means(raw: &[u8], meaning: &[u8]) -> bool {
    for (at, &byte) in raw.iter().enumerate() {
        match byte {
            b'\\' => return escaped_means(raw, meaning, at),
            b'"' => return at == meaning.len(),
            _ => {}
        }
        if meaning.get(at) != Some(&byte) {
            return false;
        }
    }
    raw.len() == meaning.len()
}

/// As [`means`], from the first escape on: it is at `at`, and what is before it has been compared.
#[cold]
fn escaped_means(raw: &[u8], meaning: &[u8], at: usize) -> bool {
    let (mut rest, mut wanted) = (
        raw.get(at..).unwrap_or_default(),
        meaning.get(at..).unwrap_or_default(),
    );
    while !matches!(rest.first(), None | Some(b'"')) {
        let mut letter = [0; 4];
        let (part, behind) = split_part(rest, &mut letter);
        match wanted.strip_prefix(part) {
            Some(left) => wanted = left,
            None => return false,
        }
        rest = behind;
    }
    wanted.is_empty()
}

/// Appends the string that means this, quotes included.
pub(super) fn write(meaning: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in meaning {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend([byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::{means, unescape, write};

    #[test]
    fn meanings() {
        for (raw, meaning) in [
            ("", ""),
            ("abc", "abc"),
            (r"a\u0062c", "abc"),
            (r"\u00e9\u20AC", "\u{e9}\u{20ac}"),
            (r"\ud83d\ude00!", "\u{1f600}!"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            ("\u{1f600}\\u0000", "\u{1f600}\0"),
        ] {
            assert_eq!(*unescape(raw.as_bytes()), *meaning.as_bytes(), "{raw}");
            assert!(means(raw.as_bytes(), meaning.as_bytes()), "{raw}");
            for other in ["a", "abcd", "x", r"a\u0062c", "\u{1f600}"] {
                if other != meaning {
                    assert!(!means(raw.as_bytes(), other.as_bytes()), "{raw} {other}");
                }
            }
            let mut written = Vec::new();
            write(meaning.as_bytes(), &mut written);
            let parsed: String = serde_json::from_slice(&written).expect("a string");
            assert_eq!(parsed, meaning);
        }
        assert!(!means(br"a\\b", br"a\\b"));
        assert!(means(br"a\\b", br"a\b"));
    }

    #[test]
    fn a_key_means_what_it_means_and_nothing_that_begins_so() {
        let raws = [
            "",
            "a",
            "ab",
            r"\u0061",
            r"a\u0062",
            r"\u0061b",
            r"\n",
            r"a\n",
            r"\u00e9",
            r"\ud83d\ude00",
        ];
        for raw in raws {
            for other in raws {
                let meaning = unescape(other.as_bytes());
                let wanted = unescape(raw.as_bytes()) == meaning;
                assert_eq!(means(raw.as_bytes(), &meaning), wanted, "{raw} {other}");
                let more = format!("{raw}\":1");
                assert_eq!(means(more.as_bytes(), &meaning), wanted, "{raw} {other}");
            }
        }
    }

    #[test]
    fn every_control_character_is_written_as_an_escape() {
        for byte in 0..0x80u8 {
            let mut written = Vec::new();
            write(&[byte], &mut written);
            let parsed: String = serde_json::from_slice(&written).expect("a string");
            assert_eq!(parsed.as_bytes(), [byte]);
        }
    }
}
