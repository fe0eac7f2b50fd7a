//! What the offline subcommands write: lines for people, or JSON objects for programs.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use docdb_engine::Error;
use docdb_engine::offline::{Finding, Line, Severity};
use docdb_pool::offline::DirectoryObserver;

use super::output_failed;

/// Most findings of each severity that are written, so that notes hide no damage; the others are
/// counted.
pub(super) const SHOWN_MAX: u64 = 1_000;

/// Where lines go, from whatever thread.
pub(super) struct Report<W> {
    is_json: bool,
    state: Mutex<State<W>>,
}

struct State<W> {
    out: W,
    damage_shown: u64,
    notes_shown: u64,
    left_out: u64,
    failed: Option<Error>,
}

impl<W: Write + Send> Report<W> {
    pub(super) fn new(is_json: bool, out: W) -> Self {
        Self {
            is_json,
            state: Mutex::new(State {
                out,
                damage_shown: 0,
                notes_shown: 0,
                left_out: 0,
                failed: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one of the two.
    pub(super) fn line(&self, line: Line, text: &str) -> Result<(), Error> {
        self.write(&mut self.state(), line, text);
        self.state().failed.clone().map_or(Ok(()), Err)
    }

    fn write(&self, state: &mut State<W>, line: Line, text: &str) {
        let written = if self.is_json {
            state.out.write_all(&line.end())
        } else {
            writeln!(state.out, "{text}")
        };
        if let Err(error) = written {
            state.failed.get_or_insert(output_failed(&error));
        }
    }

    /// Writes the last line.
    pub(super) fn end(&self, line: Line, text: &str) -> Result<(), Error> {
        let left_out = self.state().left_out;
        if left_out > 0 {
            let text = format!("... and {left_out} more");
            self.line(Line::default().number("left_out", left_out), &text)?;
        }
        self.line(line, text)?;
        self.state()
            .out
            .flush()
            .map_err(|error| output_failed(&error))
    }
}

impl<W: Write + Send> DirectoryObserver for Report<W> {
    fn finding(&self, database: Option<&str>, finding: Finding) {
        let mut state = self.state();
        let shown = match finding.severity {
            Severity::Damage => &mut state.damage_shown,
            Severity::Note => &mut state.notes_shown,
        };
        if *shown >= SHOWN_MAX {
            state.left_out += 1;
            return;
        }
        *shown += 1;
        let severity = match finding.severity {
            Severity::Damage => "damage",
            Severity::Note => "note",
        };
        let mut line = Line::default().text("severity", severity);
        if let Some(database) = database {
            line = line.text("database", database);
        }
        line = line
            .text("file", &finding.file.to_string_lossy())
            .maybe("offset", finding.offset)
            .text("what", &finding.what);
        if let Some(document) = &finding.document {
            line = line
                .text("collection", &document.collection)
                .number("id", document.id)
                .number("version", document.version);
        }
        self.write(&mut state, line, &format!("{severity}: {finding}"));
    }
}

/// Bytes for people.
pub(super) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} bytes"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        assert_eq!(human_bytes(1023), "1023 bytes");
        assert_eq!(human_bytes(1536), "1.5 KiB");
        assert_eq!(human_bytes(3 << 30), "3.0 GiB");
    }
}
