//! What one run of a case measured.

use std::time::{Duration, Instant};

/// One run of a case.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Sample {
    /// Operations done per second.
    pub(super) rate: f64,
    pub(super) micros_p50: f64,
    pub(super) micros_p99: f64,
    /// Operations that failed; they are not part of the rate.
    pub(super) errors: u64,
    /// For what is a matter of bytes.
    pub(super) bytes_per_second: Option<f64>,
}

/// The latencies of one thread or task, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    nanos: Vec<u32>,
    pub(super) errors: u64,
}

impl Latencies {
    /// Notes an operation that began at `began` and ends now.
    pub(super) fn note(&mut self, began: Instant) {
        self.nanos
            .push(u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }

    pub(super) fn merge(&mut self, other: Latencies) {
        self.nanos.extend(other.nanos);
        self.errors += other.errors;
    }

    /// The sample of all operations, which together took `elapsed`.
    pub(super) fn sample(mut self, elapsed: Duration) -> Sample {
        self.nanos.sort_unstable();
        let micros = |share: f64| {
            let at = (self.nanos.len().saturating_sub(1) as f64 * share) as usize;
            self.nanos.get(at).map_or(0.0, |n| f64::from(*n) / 1e3)
        };
        Sample {
            rate: self.nanos.len() as f64 / elapsed.as_secs_f64(),
            micros_p50: micros(0.5),
            micros_p99: micros(0.99),
            errors: self.errors,
            bytes_per_second: None,
        }
    }
}

/// The middle one of some values; of an even number the lower of the two.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0.0)
}

/// A JSON document of exactly `bytes`, at least 64, different for each `id`.
pub(super) fn document(id: u64, bytes: usize) -> String {
    let head = format!("{{\"id\":{id},\"kind\":\"measurement\",\"text\":\"");
    let fill = bytes.saturating_sub(head.len() + 2);
    let mut text = String::with_capacity(bytes);
    text.push_str(&head);
    text.extend((0..fill).map(|i| char::from(b'a' + ((id as usize + i) % 26) as u8)));
    text.push_str("\"}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_medians() {
        let nanos = (1..=100u32).rev().map(|n| n * 1_000).collect();
        let sample = Latencies { nanos, errors: 2 }.sample(Duration::from_secs(2));
        assert_eq!(
            (sample.rate, sample.micros_p50, sample.micros_p99),
            (50.0, 50.0, 99.0)
        );
        assert_eq!(
            (median([3.0, 1.0, 2.0]), median([1.0, 2.0]), median([])),
            (2.0, 1.0, 0.0)
        );
    }

    #[test]
    fn documents_have_their_size() {
        for id in [0, 9, 12_345_678] {
            let text = document(id, 300);
            assert_eq!(text.len(), 300);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
