//! The check that every document passes before it is logged, and patches.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use docdb_engine::json;

use super::sample::{Sample, median};

const DATA_SET: &str = "data-sets/earthquakes.ndjson";

/// What is done with each document of the data set.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// The strict check.
    Check,
    /// `serde_json` builds a value: what the check must agree with.
    Value,
    /// `serde_json` looks at everything and keeps nothing.
    Ignored,
}

/// A patch of one operation.
const PATCH: &[u8] = br#"[{"op":"set","path":"/measured/depth","value":12.5}]"#;
/// Patches between two looks at the clock.
const BURST: usize = 1_000;

/// Works through the documents of the data set over and over on one thread. Times are those of a whole
/// pass, divided by its documents.
pub(super) fn run(work: Work, time: Duration) -> Result<Sample, Box<dyn Error>> {
    let path = crate::root::workspace_root().join(DATA_SET);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let documents: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
    let bytes: usize = documents.iter().map(|d| d.len()).sum();
    passes(time, documents.len(), bytes, || {
        for document in &documents {
            let document = black_box(*document);
            match work {
                Work::Check => json::check(document)?,
                Work::Value => drop(serde_json::from_slice::<serde_json::Value>(document)?),
                Work::Ignored => drop(serde_json::from_slice::<serde::de::IgnoredAny>(document)?),
            }
        }
        Ok(())
    })
}

/// Patches a document of 1 KB over and over on one thread; patch and document are parsed each time.
pub(super) fn patch(time: Duration) -> Result<Sample, Box<dyn Error>> {
    let head = r#"{"id":7,"kind":"measurement","tags":["a","b"],"measured":{"depth":3.10,"at":"#;
    let mut document = format!("{head}\"2026-01-01T00:00:00Z\"}},\"text\":\"").into_bytes();
    document.resize(1022, b'x');
    document.extend_from_slice(b"\"}");
    passes(time, BURST, BURST * document.len(), || {
        for _ in 0..BURST {
            black_box(json::patch(black_box(&document), black_box(PATCH))?);
        }
        Ok(())
    })
}

fn passes(
    time: Duration,
    operations: usize,
    bytes: usize,
    mut pass: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<Sample, Box<dyn Error>> {
    let mut seconds = Vec::new();
    let began = Instant::now();
    while seconds.is_empty() || began.elapsed() < time {
        let start = Instant::now();
        pass()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let per_operation = |pass: f64| pass * 1e6 / operations as f64;
    let passes = seconds.len() as f64;
    let total: f64 = seconds.iter().sum();
    Ok(Sample {
        rate: operations as f64 * passes / total,
        micros_p50: per_operation(median(seconds.iter().copied())),
        micros_p99: per_operation(seconds[(seconds.len() - 1) * 99 / 100]),
        errors: 0,
        bytes_per_second: Some(bytes as f64 * passes / total),
    })
}
