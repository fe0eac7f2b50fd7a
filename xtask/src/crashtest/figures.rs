//! Numbers for people.

/// A number with as many digits as one wants to read: whole ones in groups of three.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value.fract() != 0.0 && value.abs() < 1000.0 {
        let digits = if value.abs() < 10.0 { 2 } else { 1 };
        return format!("{value:.digits$}");
    }
    let whole = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

/// The value below which this share of them lies; 0 of none.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::{number, quantile};

    #[test]
    fn numbers_are_readable() {
        let shown = [0.0, 1.0, 999.0, 1234.0, 1_234_567.8, 0.126, 12.34, -5000.0].map(number);
        let wanted = [
            "0",
            "1",
            "999",
            "1,234",
            "1,234,568",
            "0.13",
            "12.3",
            "-5,000",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 1.0), 3.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
