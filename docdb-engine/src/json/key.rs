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
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            meaning.push(byte);
            continue;
        }
        let Some((&escape, behind)) = rest.split_first() else {
            break;
        };
        rest = behind;
        match escape {
            b'b' => meaning.push(8),
            b'f' => meaning.push(12),
            b'n' => meaning.push(b'\n'),
            b'r' => meaning.push(b'\r'),
            b't' => meaning.push(b'\t'),
            b'u' => {
                let mut unit = hex(rest);
                rest = rest.get(4..).unwrap_or_default();
                if (0xD800..0xDC00).contains(&unit) {
                    let low = hex(rest.get(2..).unwrap_or_default()).wrapping_sub(0xDC00) & 0x3ff;
                    unit = 0x10000 + ((unit - 0xD800) << 10 | low);
                    rest = rest.get(6..).unwrap_or_default();
                }
                let letter = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                meaning.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            quote_or_slash => meaning.push(quote_or_slash),
        }
    }
    Cow::Owned(meaning)
}

/// The number in the first four hexadecimal digits.
fn hex(digits: &[u8]) -> u32 {
    let digits = digits.iter().take(4);
    digits.fold(0, |n, &b| n << 4 | char::from(b).to_digit(16).unwrap_or(0))
}

/// Whether a key means this.
#[inline]
pub(super) fn means(raw: &[u8], meaning: &[u8]) -> bool {
    for (at, &byte) in raw.iter().enumerate() {
        if byte == b'\\' {
            return *unescape(raw) == *meaning;
        }
        if meaning.get(at) != Some(&byte) {
            return false;
        }
    }
    raw.len() == meaning.len()
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
    fn every_control_character_is_written_as_an_escape() {
        for byte in 0..0x80u8 {
            let mut written = Vec::new();
            write(&[byte], &mut written);
            let parsed: String = serde_json::from_slice(&written).expect("a string");
            assert_eq!(parsed.as_bytes(), [byte]);
        }
    }
}
