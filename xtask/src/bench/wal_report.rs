//! The table of `cargo xtask bench wal`, for people and for programs.

use std::error::Error;
use std::fmt;

use serde_json::{Value, json};

use super::sample::median;

const OURS: &str = "docdb-wal";
const DEVICE: &str = "device";

/// The runs of one case on one log, in their order.
#[derive(Debug)]
struct Row {
    case: String,
    log: String,
    durability: String,
    runs: Vec<Value>,
}

impl Row {
    fn values<'a>(&'a self, figure: &'a str) -> impl Iterator<Item = f64> + 'a {
        self.runs.iter().filter_map(move |run| run[figure].as_f64())
    }

    fn median(&self, figure: &str) -> Option<f64> {
        self.values(figure).next()?;
        Some(median(self.values(figure)))
    }

    /// The median, over the runs, of a figure divided by the other row's of the same repeat.
    fn ratio(&self, figure: &str, to: &Row) -> Option<f64> {
        let ratios: Vec<f64> = self
            .values(figure)
            .zip(to.values(figure))
            .map(|(a, b)| a / b)
            .collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// The groups of all runs, by the power of two below their number of records.
    fn group_sizes(&self) -> Vec<u64> {
        let mut sum: Vec<u64> = Vec::new();
        for sizes in self
            .runs
            .iter()
            .filter_map(|run| run["group_sizes"].as_array())
        {
            sum.resize(sum.len().max(sizes.len()), 0);
            for (total, size) in sum.iter_mut().zip(sizes) {
                *total += size.as_u64().unwrap_or(0);
            }
        }
        sum
    }
}

/// All rows.
#[derive(Debug)]
pub(super) struct Report {
    head: Value,
    rows: Vec<Row>,
    repeats: u64,
    seconds: f64,
    /// The load of the machine before and after.
    load: [Option<f64>; 2],
}

impl Report {
    /// A report of what the benchmark printed: a line about the run, then a line for each run of a
    /// case on a log.
    pub(super) fn new(
        lines: &[Value],
        repeats: u64,
        seconds: f64,
        load: [Option<f64>; 2],
    ) -> Result<Report, Box<dyn Error>> {
        let (head, runs) = lines.split_first().ok_or("the benchmark printed nothing")?;
        let mut rows: Vec<Row> = Vec::new();
        for run in runs {
            let text = |name: &str| {
                let text = run[name].as_str().map(str::to_owned);
                text.ok_or_else(|| format!("a line of the benchmark has no {name}"))
            };
            let (case, log, durability) = (text("case")?, text("log")?, text("durability")?);
            match rows
                .iter_mut()
                .find(|row| row.case == case && row.log == log)
            {
                Some(row) => row.runs.push(run.clone()),
                None => rows.push(Row {
                    case,
                    log,
                    durability,
                    runs: vec![run.clone()],
                }),
            }
        }
        Ok(Report {
            head: head.clone(),
            rows,
            repeats,
            seconds,
            load,
        })
    }

    fn row(&self, case: &str, log: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.case == case && row.log == log)
    }

    /// A figure's ratio to the device's, which was measured just before.
    fn to_device(&self, row: &Row, figure: &str) -> Option<f64> {
        match row.log == DEVICE {
            true => None,
            false => row.ratio(figure, self.row(&row.case, DEVICE)?),
        }
    }

    /// How many times the rate of this log docdb-wal's is.
    fn ours_to(&self, row: &Row) -> Option<f64> {
        match row.log == OURS || row.log == DEVICE {
            true => None,
            false => self.row(&row.case, OURS)?.ratio("rate", row),
        }
    }

    pub(super) fn json(&self) -> Result<String, serde_json::Error> {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "case": row.case,
                    "log": row.log,
                    "durability": row.durability,
                    "rate_median": row.median("rate"),
                    "micros_p50_median": row.median("micros_p50"),
                    "micros_p99_median": row.median("micros_p99"),
                    "cpu_micros_median": row.median("cpu_micros"),
                    "bytes_per_second_median": row.median("bytes_per_second"),
                    "rate_to_device": self.to_device(row, "rate"),
                    "p50_to_device": self.to_device(row, "micros_p50"),
                    "docdb_rate_to_this": self.ours_to(row),
                    "runs": row.runs,
                })
            })
            .collect();
        let value = json!({
            "run": self.head,
            "repeats": self.repeats,
            "seconds": self.seconds,
            "load_before": self.load[0],
            "load_after": self.load[1],
            "rows": rows,
        });
        Ok(serde_json::to_string_pretty(&value)? + "\n")
    }
}

/// A figure, or a dash for one that there is not.
fn figure(value: Option<f64>, decimals: usize, unit: &str) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| format!("{value:.decimals$}{unit}"),
    )
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = self.load.map(|load| figure(load, 1, ""));
        writeln!(
            f,
            "medians of {} alternating runs of {} s each, [slowest..fastest]; records of {} bytes; \
             load of the machine before {}, after {}",
            self.repeats, self.seconds, self.head["record_bytes"], load[0], load[1]
        )?;
        writeln!(
            f,
            "{:12} {:10} {:>9} {:>19} {:>9} {:>9} {:>7} {:>9} {:>8} {:>9} {:>9}",
            "log",
            "durability",
            "ops/s",
            "spread",
            "p50 us",
            "p99 us",
            "cpu us",
            "rate/dev",
            "p50/dev",
            "docdb/it",
            "bytes/s"
        )?;
        let mut case = "";
        for row in &self.rows {
            if row.case != case {
                case = &row.case;
                writeln!(f, "{case}")?;
            }
            let slowest = row.values("rate").fold(f64::INFINITY, f64::min);
            let fastest = row.values("rate").fold(0.0, f64::max);
            let is_device = row.log == DEVICE;
            let bytes = row.median("bytes_per_second").map(|bytes| bytes / 1e9);
            writeln!(
                f,
                "{:12} {:10} {:>9.0} {:>19} {:>9} {:>9} {:>7} {:>9} {:>8} {:>9} {:>9}",
                row.log,
                row.durability,
                row.median("rate").unwrap_or(0.0),
                format!("[{slowest:.0}..{fastest:.0}]"),
                figure(row.median("micros_p50"), 1, ""),
                figure(row.median("micros_p99"), 1, ""),
                figure(row.median("cpu_micros").filter(|_| !is_device), 2, ""),
                figure(self.to_device(row, "rate"), 2, "x"),
                figure(self.to_device(row, "micros_p50"), 2, "x"),
                figure(self.ours_to(row), 2, "x"),
                figure(bytes, 2, " GB"),
            )?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "groups of docdb-wal by their number of records, of all groups"
        )?;
        for row in self.rows.iter().filter(|row| row.log == OURS) {
            let sizes = row.group_sizes();
            let all: u64 = sizes.iter().sum();
            if all == 0 || row.durability != "synced" {
                continue;
            }
            write!(f, "{:38}", row.case)?;
            for (class, groups) in sizes.iter().enumerate().filter(|(_, groups)| **groups > 0) {
                let share = *groups as f64 * 100.0 / all as f64;
                write!(f, "  {}+: {share:.0} %", 1_u64 << class)?;
            }
            writeln!(f)?;
        }
        writeln!(f)?;
        if let Some(settings) = self.head["settings"].as_object() {
            for (log, text) in settings {
                writeln!(f, "{log}: {}", text.as_str().unwrap_or_default())?;
            }
        }
        write!(
            f,
            "synced: acknowledged when on the device; os: when in the kernel's hands; memory: when in \
             the process's buffer.\ncpu us: processor time of the whole process per operation, the \
             load's own included. Rates compare with the device as it was just before."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_medians_and_ratios_of_the_same_repeat() {
        let run = |log: &str, repeat: u64, rate: f64| {
            json!({
                "case": "c", "log": log, "durability": "synced", "repeat": repeat, "rate": rate,
                "group_sizes": [1, 2],
            })
        };
        let lines = [
            json!({"settings": {"device": "bare"}, "record_bytes": 300}),
            run("device", 0, 10.0),
            run("docdb-wal", 0, 5.0),
            run("peer", 0, 4.0),
            run("device", 1, 100.0),
            run("peer", 1, 50.0),
            run("docdb-wal", 1, 50.0),
            run("device", 2, 10.0),
            run("docdb-wal", 2, 20.0),
            run("peer", 2, 10.0),
        ];
        let report = Report::new(&lines, 3, 1.0, [Some(0.5), None]).unwrap();
        let ours = report.row("c", "docdb-wal").unwrap();
        let peer = report.row("c", "peer").unwrap();
        assert_eq!(ours.median("rate"), Some(20.0));
        assert_eq!(ours.median("micros_p50"), None);
        assert_eq!(report.to_device(ours, "rate"), Some(0.5));
        assert_eq!(report.ours_to(peer), Some(1.25));
        assert_eq!(
            (report.ours_to(ours), ours.group_sizes()),
            (None, vec![3, 6])
        );
        let text = report.to_string();
        assert!(
            text.contains("1+: 33 %  2+: 67 %") && text.contains("device: bare"),
            "{text}"
        );
        assert!(Report::new(&[], 1, 1.0, [None, None]).is_err());
        assert!(Report::new(&[json!({}), json!({"case": "c"})], 1, 1.0, [None, None]).is_err());
    }
}
