//! Strings: eight bytes at a time up to what ends or interrupts them.

use super::{Checked, JsonError, JsonProblem, Scanner};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Has the high bit set in the byte of the first quote, backslash or control character of the eight
/// bytes, is zero if there is none. Bits above the lowest one set mean nothing: a borrow can set
/// them.
#[inline]
fn interrupts(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (is_quote | is_backslash | is_control) & HIGHS
}

impl Scanner<'_> {
    /// A string, from its opening quote to past its closing one.
    #[inline]
    pub(super) fn string(&mut self) -> Checked {
        self.at += 1;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return self.problem_or_end(JsonProblem::ControlCharacter),
            }
        }
    }

    /// Stops at a quote, a backslash, a control character or the end of the text.
    #[inline]
    fn skip_plain(&mut self) {
        while let Some(chunk) = self.rest().first_chunk::<8>() {
            let found = interrupts(u64::from_le_bytes(*chunk));
            if found != 0 {
                self.at += (found.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while let Some(byte) = self.peek() {
            if byte < 0x20 || byte == b'"' || byte == b'\\' {
                return;
            }
            self.at += 1;
        }
    }

    /// One escape, a surrogate pair being one. A problem is at the backslash that starts it.
    fn escape(&mut self) -> Checked {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.unit(self.at)? {
                0xDC00..=0xDFFF => self.problem(JsonProblem::LoneSurrogate),
                0xD800..=0xDBFF => {
                    let second = self.at + 6;
                    if self.bytes.get(second..second + 2) != Some(b"\\u") {
                        return self.problem(JsonProblem::LoneSurrogate);
                    }
                    if !matches!(self.unit(second)?, 0xDC00..=0xDFFF) {
                        return self.problem(JsonProblem::LoneSurrogate);
                    }
                    self.at += 12;
                    Ok(())
                }
                _ => {
                    self.at += 6;
                    Ok(())
                }
            },
            Some(_) => self.problem(JsonProblem::InvalidEscape),
            None => Err(JsonError {
                offset: self.bytes.len(),
                what: JsonProblem::UnexpectedEnd,
            }),
        }
    }

    /// The UTF-16 unit that the `\u` escape at `start` stands for.
    fn unit(&self, start: usize) -> Result<u32, JsonError> {
        let mut unit = 0;
        for i in start + 2..start + 6 {
            let Some(&byte) = self.bytes.get(i) else {
                return Err(JsonError {
                    offset: i,
                    what: JsonProblem::UnexpectedEnd,
                });
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(JsonError {
                    offset: start,
                    what: JsonProblem::InvalidEscape,
                });
            };
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::interrupts;

    #[test]
    fn the_first_interrupt_is_found_whatever_surrounds_it() {
        for around in [
            b' ', b'!', b'#', b'a', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff,
        ] {
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
                    if byte < 0x20 || byte == b'"' || byte == b'\\' {
                        assert_eq!(found.trailing_zeros() as usize / 8, place, "{word:x?}");
                    } else {
                        assert_eq!(found, 0, "{word:x?}");
                    }
                }
            }
        }
    }
}
