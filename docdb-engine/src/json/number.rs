//! Numbers: their grammar, and the rule that none may become infinite.
//!
//! The rule has two sides. The exact value, rounded to the nearest `f64`, must be finite; and so
//! must be what serde_json makes of it, which by default multiplies the first digits by a power of
//! ten and so can overflow a little below the largest `f64`. Both are only worked out for numbers
//! between 1e308 and 1e309: below, both are finite; above, neither is.

use super::{JsonProblem, Step, fault, fault_or_end};

/// Numbers with at most this many integer digits and an exponent of at most two digits are below
/// 1e300 and need no closer look.
const INTEGER_DIGITS_PLAIN: usize = 200;
const EXPONENT_DIGITS_PLAIN: usize = 2;

/// The largest power of ten that an `f64` can hold.
const F64_DECADE_MAX: i64 = 308;

/// Exponents in the text stop counting here; serde_json refuses larger positive ones even if
/// leading zeros would make up for them.
const EXPONENT_MAX: i64 = i32::MAX as i64;

/// A number, from `first`, its sign or first digit, to past its last.
#[inline]
pub(super) fn number(text: &[u8], start: usize, first: u8) -> Step {
    let integer = start + usize::from(first == b'-');
    let mut at = digits(text, integer);
    let integer_digits = at - integer;
    if integer_digits != 1 {
        if integer_digits == 0 {
            return fault_or_end(text, at, JsonProblem::InvalidNumber);
        }
        if text.get(integer) == Some(&b'0') {
            return fault(integer + 1, JsonProblem::InvalidNumber);
        }
    }
    let mut next = text.get(at);
    if next == Some(&b'.') {
        let fraction = at + 1;
        at = digits(text, fraction);
        if at == fraction {
            return fault_or_end(text, at, JsonProblem::InvalidNumber);
        }
        next = text.get(at);
    }
    if let Some(b'e' | b'E') = next {
        return exponent(text, start, integer_digits, at + 1);
    }
    if integer_digits > INTEGER_DIGITS_PLAIN {
        return in_range(text, start, at);
    }
    Ok(at)
}

/// The rest of the number that starts at `start`, from behind the letter of its exponent.
fn exponent(text: &[u8], start: usize, integer_digits: usize, at: usize) -> Step {
    let exponent = at + usize::from(matches!(text.get(at), Some(b'+' | b'-')));
    let at = digits(text, exponent);
    if at == exponent {
        return fault_or_end(text, at, JsonProblem::InvalidNumber);
    }
    if integer_digits > INTEGER_DIGITS_PLAIN || at - exponent > EXPONENT_DIGITS_PLAIN {
        return in_range(text, start, at);
    }
    Ok(at)
}

/// Past the number between `start` and `end`, if it stays finite.
#[cold]
fn in_range(text: &[u8], start: usize, end: usize) -> Step {
    if is_finite(text.get(start..end).unwrap_or_default()) {
        Ok(end)
    } else {
        fault(start, JsonProblem::NumberOutOfRange)
    }
}

/// Past the digits from `at` on.
#[inline]
fn digits(text: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    at
}

/// Whether a number, already known to be well formed, stays finite.
fn is_finite(text: &[u8]) -> bool {
    let digits_end = text
        .iter()
        .position(|b| matches!(b, b'e' | b'E'))
        .unwrap_or(text.len());
    let (digits, exponent) = text.split_at(digits_end);
    let exponent = exponent_value(exponent);
    let number = Decimal::read(digits);
    if number.significand == 0 {
        return true;
    }
    if exponent > EXPONENT_MAX {
        return false;
    }
    match number.decade + exponent {
        ..F64_DECADE_MAX => true,
        F64_DECADE_MAX => number.serde_json_is_finite(exponent) && exact_is_finite(text),
        _ => false,
    }
}

/// The exponent in `e+12`, 0 if there is none. It stops just past [`EXPONENT_MAX`] either way.
fn exponent_value(text: &[u8]) -> i64 {
    let negative = text.get(1) == Some(&b'-');
    let mut value = 0i64;
    for byte in text.iter().filter(|b| b.is_ascii_digit()) {
        value = (value * 10 + i64::from(byte - b'0')).min(EXPONENT_MAX + 1);
    }
    if negative { -value } else { value }
}

fn exact_is_finite(text: &[u8]) -> bool {
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    parsed.is_some_and(f64::is_finite)
}

/// The digits of a number before its exponent, as serde_json reads them.
struct Decimal {
    /// The leading digits, as many as fit.
    significand: u64,
    /// The power of ten that the significand is multiplied by.
    scale: i64,
    /// The power of ten of the first digit that is not 0.
    decade: i64,
}

impl Decimal {
    fn read(digits: &[u8]) -> Decimal {
        let mut significand = 0u64;
        let mut scale = 0i64;
        let mut digits_seen = 0i64;
        let mut in_fraction = false;
        let mut full = false;
        let mut decade = 0i64;
        for &byte in digits {
            let digit = match byte {
                b'0'..=b'9' => u64::from(byte - b'0'),
                b'.' => {
                    in_fraction = true;
                    // serde_json tries again whether a digit fits when the fraction begins.
                    full = false;
                    continue;
                }
                _ => continue,
            };
            if in_fraction && digits_seen == 0 {
                decade -= 1;
            }
            if digit != 0 || digits_seen > 0 {
                digits_seen += 1;
                if !in_fraction && digits_seen > 1 {
                    decade += 1;
                }
            }
            let next = significand
                .checked_mul(10)
                .and_then(|s| s.checked_add(digit));
            match next {
                Some(next) if !full => {
                    significand = next;
                    scale -= i64::from(in_fraction);
                }
                _ => {
                    full = true;
                    scale += i64::from(!in_fraction);
                }
            }
        }
        Decimal {
            significand,
            scale,
            decade,
        }
    }

    /// Only for numbers whose first digit stands for 1e308, so that the power of ten that is left
    /// for the significand is itself finite.
    fn serde_json_is_finite(&self, exponent: i64) -> bool {
        let power = format!("1e{}", self.scale + exponent);
        let power = power.parse::<f64>().unwrap_or(f64::INFINITY);
        (self.significand as f64 * power).is_finite()
    }
}
