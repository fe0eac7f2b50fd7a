//! Verbs that print a part of the statistics as a table.

use std::process::ExitCode;

use serde_json::{Map, Value};

use crate::Context;
use crate::failure::Outcome;
use crate::output;

pub(super) async fn mem(context: &Context) -> Outcome {
    let stats = context.client.stats().await?;
    let memory = stats.get("memory").cloned().unwrap_or_default();
    output::answer(context, memory_table(&memory), memory)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn wal(context: &Context, db: &str) -> Outcome {
    let stats = context.client.database(db).stats().await?;
    let wal = stats.get("wal").cloned().unwrap_or_default();
    output::answer(context, list(&wal), wal)?;
    Ok(ExitCode::SUCCESS)
}

/// A line for each figure: its name, tab, its value.
pub(crate) fn list(figures: &Value) -> String {
    let lines = figures.as_object().into_iter().flatten();
    let lines: Vec<String> = lines
        .map(|(name, value)| format!("{name}\t{value}"))
        .collect();
    lines.join("\n")
}

/// A line for each open database and one for all, a column for each part.
pub(crate) fn memory_table(memory: &Value) -> String {
    let none = Map::new();
    let object = |name| memory.get(name).and_then(Value::as_object).unwrap_or(&none);
    let (total, databases) = (object("total"), object("databases"));
    let parts: Vec<&String> = total.keys().collect();
    let header = parts.iter().map(|part| part.trim_end_matches("_bytes"));
    let mut rows = vec![row("database", header.map(str::to_owned))];
    let figures = |figures: &Value| {
        let figure = |part: &&String| figures.get(*part).and_then(Value::as_u64);
        parts
            .iter()
            .map(|part| figure(part).map_or_else(String::new, bytes))
            .collect::<Vec<_>>()
    };
    for (name, of_database) in databases {
        rows.push(row(name, figures(of_database).into_iter()));
    }
    rows.push(row(
        "total",
        figures(&Value::Object(total.clone())).into_iter(),
    ));
    align(&rows)
}

fn row(first: &str, rest: impl Iterator<Item = String>) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(rest).collect()
}

/// Bytes as people read them.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let lines = rows.iter().map(|row| {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let text = if at == 0 {
                format!("{cell:<width$}")
            } else {
                format!("  {cell:>width$}")
            };
            line.push_str(&text);
        }
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_database_and_the_total() {
        let memory = serde_json::json!({
            "total": { "delta_bytes": 3 << 20, "run_bytes": 12 },
            "databases": {
                "a": { "delta_bytes": 1 << 20, "run_bytes": 12 },
                "longer": { "delta_bytes": 2 << 20, "run_bytes": 0 },
            },
        });
        let expected = "\
database    delta   run
a         1.0 MiB  12 B
longer    2.0 MiB   0 B
total     3.0 MiB  12 B";
        assert_eq!(memory_table(&memory), expected);
        assert_eq!(memory_table(&Value::Null), "database\ntotal");
    }
}
