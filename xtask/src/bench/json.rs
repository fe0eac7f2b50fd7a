//! The check that every document passes before it is logged.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use docdb_engine::json;

use super::sample::{Sample, median};

const DATA_SET: &str = "data-sets/earthquakes.ndjson";

/// Checks the documents of the data set over and over on one thread. Times are those of a whole
/// pass, divided by its documents.
pub(super) fn check(time: Duration) -> Result<Sample, Box<dyn Error>> {
    let path = crate::root::workspace_root().join(DATA_SET);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let documents: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
    let bytes: usize = documents.iter().map(|d| d.len()).sum();
    let mut seconds = Vec::new();
    let began = Instant::now();
    while seconds.is_empty() || began.elapsed() < time {
        let start = Instant::now();
        for document in &documents {
            json::check(black_box(document))?;
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let per_document = |pass: f64| pass * 1e6 / documents.len() as f64;
    let passes = seconds.len() as f64;
    let total: f64 = seconds.iter().sum();
    Ok(Sample {
        rate: documents.len() as f64 * passes / total,
        micros_p50: per_document(median(seconds.iter().copied())),
        micros_p99: per_document(seconds[(seconds.len() - 1) * 99 / 100]),
        errors: 0,
        bytes_per_second: Some(bytes as f64 * passes / total),
    })
}
