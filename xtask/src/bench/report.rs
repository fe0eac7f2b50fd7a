//! The table of a run, for people and for programs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::device::Device;
use super::sample::{Sample, median};
use super::{Case, DOCUMENT_BYTES};

/// The runs of one case.
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) samples: Vec<Sample>,
    /// The bare device just before each run.
    pub(super) device: Vec<Sample>,
    /// How long the server took to be ready, for each run that started one.
    pub(super) ready: Vec<Duration>,
}

impl Row {
    pub(super) fn new(case: Case) -> Row {
        Row {
            case,
            samples: Vec::new(),
            device: Vec::new(),
            ready: Vec::new(),
        }
    }

    fn errors(&self) -> u64 {
        self.samples.iter().map(|s| s.errors).sum()
    }

    /// The median, over the runs, of a figure of this case divided by the device's just before.
    fn ratio(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(
            self.samples
                .iter()
                .zip(&self.device)
                .map(|(s, d)| of(s) / of(d)),
        )
    }
}

/// All rows.
pub(super) struct Report {
    rows: Vec<Row>,
    dir: PathBuf,
    repeats: u64,
    time: Duration,
}

impl Report {
    pub(super) fn new(rows: Vec<Row>, dir: &Path, repeats: u64, time: Duration) -> Report {
        Report {
            rows,
            dir: dir.to_owned(),
            repeats,
            time,
        }
    }

    fn ready_millis(&self) -> Vec<f64> {
        self.rows
            .iter()
            .flat_map(|row| &row.ready)
            .map(|d| d.as_secs_f64() * 1e3)
            .collect()
    }

    pub(super) fn json(&self) -> Result<String, serde_json::Error> {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "row": row.case.target_row(),
                    "case": row.case.name(),
                    "durability": row.case.durability(),
                    "rate_median": median(row.samples.iter().map(|s| s.rate)),
                    "micros_p50_median": median(row.samples.iter().map(|s| s.micros_p50)),
                    "micros_p99_median": median(row.samples.iter().map(|s| s.micros_p99)),
                    "rate_to_device": row.ratio(|s| s.rate),
                    "p50_to_device": row.ratio(|s| s.micros_p50),
                    "errors": row.errors(),
                    "samples": row.samples,
                    "device_samples": row.device,
                })
            })
            .collect();
        let ready = self.ready_millis();
        let value = json!({
            "dir": self.dir,
            "document_bytes": DOCUMENT_BYTES,
            "repeats": self.repeats,
            "seconds": self.time.as_secs_f64(),
            "rows": rows,
            "server_ready_millis": ready,
        });
        Ok(serde_json::to_string_pretty(&value)? + "\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        writeln!(
            f,
            "medians of {} alternating runs of {seconds} s each, [slowest..fastest]; documents of \
             {DOCUMENT_BYTES} bytes; in {}",
            self.repeats,
            self.dir.display()
        )?;
        writeln!(
            f,
            "{:5} {:62} {:10} {:>9} {:>19} {:>9} {:>9} {:>8} {:>7}",
            "row",
            "case",
            "durability",
            "ops/s",
            "spread",
            "p50 us",
            "p99 us",
            "rate/dev",
            "p50/dev"
        )?;
        let device: Vec<Sample> = self
            .rows
            .iter()
            .flat_map(|row| row.device.clone())
            .collect();
        line(f, "limit", Device::NAME, "fdatasync", &device)?;
        writeln!(f)?;
        for row in &self.rows {
            line(
                f,
                row.case.target_row(),
                &row.case.name(),
                row.case.durability(),
                &row.samples,
            )?;
            // What waits for no device is not compared with it.
            if row.case.durability() != "-" {
                let (rate, p50) = (row.ratio(|s| s.rate), row.ratio(|s| s.micros_p50));
                write!(f, " {rate:>7.2}x {p50:>6.2}x")?;
            }
            if row.samples.iter().any(|s| s.bytes_per_second.is_some()) {
                let bytes = row.samples.iter().filter_map(|s| s.bytes_per_second);
                write!(f, "  {:.2} GB/s", median(bytes) / 1e9)?;
            }
            match row.errors() {
                0 => writeln!(f)?,
                errors => writeln!(f, "  {errors} ERRORS")?,
            }
        }
        let ready = self.ready_millis();
        if !ready.is_empty() {
            let slowest = ready.iter().copied().fold(0.0, f64::max);
            let middle = median(ready.iter().copied());
            writeln!(
                f,
                "T21   server ready on an empty directory: median {middle:.0} ms, slowest {slowest:.0} ms"
            )?;
        }
        write!(
            f,
            "full: answered when synced to the device. rate/dev and p50/dev compare with the device \
             as it was just before each run."
        )
    }
}

fn line(
    f: &mut fmt::Formatter<'_>,
    row: &str,
    name: &str,
    durability: &str,
    samples: &[Sample],
) -> fmt::Result {
    let rates = samples.iter().map(|s| s.rate);
    let slowest = rates.clone().fold(f64::INFINITY, f64::min);
    let spread = format!("[{slowest:.0}..{:.0}]", rates.clone().fold(0.0, f64::max));
    write!(
        f,
        "{row:5} {name:62} {durability:10} {:>9.0} {spread:>19} {:>9.1} {:>9.1}",
        median(rates),
        median(samples.iter().map(|s| s.micros_p50)),
        median(samples.iter().map(|s| s.micros_p99)),
    )
}
