//! Strings: many bytes at a time up to what ends or interrupts them.

use super::{Fault, JsonProblem, Step, fault, fault_or_end};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Has the high bit set in the byte of the first quote, backslash or control character of the eight
/// bytes, is zero if there is none. Bits above the lowest one set mean nothing: a borrow can set
/// them.
#[inline(always)]
fn interrupts(word: u64) -> u64 {
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * 0x20);
    // A byte of a longer character has its high bit set before and after: it is none of these.
    (quote | backslash | control) & !word & HIGHS
}

/// What is walked over at once in long strings. Compilers turn the loop over it into a few vector
/// instructions.
const LONG_BYTES: usize = 32;

/// Whether a byte ends or interrupts a string.
#[inline(always)]
fn is_interrupt(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// The place of the first interrupt in the eight bytes at `at`; `None` if there is none, or there
/// are no eight bytes.
#[inline(always)]
fn in_word(text: &[u8], at: usize) -> Option<usize> {
    let chunk = text.get(at..)?.first_chunk()?;
    let found = interrupts(u64::from_le_bytes(*chunk));
    (found != 0).then(|| at + (found.trailing_zeros() / 8) as usize)
}

/// Walks to a quote, a backslash, a control character or the end of the text.
#[inline(always)]
pub(super) fn skip_plain(text: &[u8], at: usize) -> usize {
    // Most strings are short.
    in_word(text, at).unwrap_or_else(|| skip_plain_far(text, at))
}

#[inline(never)]
fn skip_plain_far(text: &[u8], mut at: usize) -> usize {
    for _ in 0..LONG_BYTES / 8 {
        if let Some(place) = in_word(text, at) {
            return place;
        }
        if at + 8 > text.len() {
            break;
        }
        at += 8;
    }
    while let Some(rest) = text.get(at..)
        && let Some(chunk) = rest.first_chunk::<LONG_BYTES>()
        && !chunk
            .iter()
            .fold(false, |any, &byte| any | is_interrupt(byte))
    {
        at += LONG_BYTES;
    }
    while let Some(&byte) = text.get(at)
        && !is_interrupt(byte)
    {
        at += 1;
    }
    at
}

/// A string, from behind its opening quote to past its closing one.
#[inline(always)]
pub(super) fn string(text: &[u8], at: usize) -> Step {
    let at = skip_plain(text, at);
    if text.get(at) == Some(&b'"') {
        return Ok(at + 1);
    }
    interrupted(text, at)
}

/// The rest of a string, from the first byte that is not simply part of it.
#[inline(never)]
fn interrupted(text: &[u8], mut at: usize) -> Step {
    loop {
        match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = skip_plain(text, escape(text, at)?),
            _ => return fault_or_end(text, at, JsonProblem::ControlCharacter),
        }
    }
}

/// One escape, a surrogate pair being one. A problem is at the backslash that starts it.
fn escape(text: &[u8], at: usize) -> Step {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match unit(text, at)? {
            0xDC00..=0xDFFF => fault(at, JsonProblem::LoneSurrogate),
            0xD800..=0xDBFF => {
                let second = at + 6;
                if text.get(second..second + 2) != Some(b"\\u") {
                    return fault(at, JsonProblem::LoneSurrogate);
                }
                if !matches!(unit(text, second)?, 0xDC00..=0xDFFF) {
                    return fault(at, JsonProblem::LoneSurrogate);
                }
                Ok(at + 12)
            }
            _ => Ok(at + 6),
        },
        Some(_) => fault(at, JsonProblem::InvalidEscape),
        None => fault(text.len(), JsonProblem::UnexpectedEnd),
    }
}

/// The UTF-16 unit that the `\u` escape at `start` stands for.
fn unit(text: &[u8], start: usize) -> Result<u32, Fault> {
    let mut unit = 0;
    for at in start + 2..start + 6 {
        let Some(&byte) = text.get(at) else {
            return fault(at, JsonProblem::UnexpectedEnd);
        };
        let Some(digit) = char::from(byte).to_digit(16) else {
            return fault(start, JsonProblem::InvalidEscape);
        };
        unit = unit << 4 | digit;
    }
    Ok(unit)
}

#[cfg(test)]
mod tests {
    use super::{interrupts, is_interrupt, skip_plain};

    const AROUND: [u8; 11] = [
        b' ', b'!', b'#', b'a', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff,
    ];

    #[test]
    fn the_first_interrupt_is_found_whatever_surrounds_it() {
        for around in AROUND {
            assert_eq!(
                interrupts(u64::from_le_bytes([around; 8])),
                0,
                "{around:#x}"
            );
            for byte in 0..=255u8 {
                for place in 0..8 {
                    let mut word = [around; 8];
                    word[place] = byte;
                    let found = interrupts(u64::from_le_bytes(word));
                    if is_interrupt(byte) {
                        assert_eq!(found.trailing_zeros() as usize / 8, place, "{word:x?}");
                    } else {
                        assert_eq!(found, 0, "{word:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_walk_ends_at_the_first_interrupt_however_far() {
        for length in 0..150 {
            for start in [0, 1, 7] {
                let mut text = vec![b'a'; length];
                assert_eq!(skip_plain(&text, start), length.max(start));
                for place in (start..length).rev() {
                    text[place] = b'"';
                    assert_eq!(skip_plain(&text, start), place);
                }
            }
        }
    }
}
