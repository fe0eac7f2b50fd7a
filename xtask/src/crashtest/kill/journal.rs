//! The same record as the oracle's, as a file beside the data directory, for whoever looks into a
//! failure.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use docdb_client::ErrorKind;
use serde_json::{Value, json};

use super::document::Stamp;
use super::oracle::Attempt;

/// An NDJSON file of attempts and answers, shared by all lanes. It starts anew with each round.
#[derive(Debug, Clone)]
pub(super) struct Journal(Arc<Mutex<BufWriter<File>>>);

impl Journal {
    pub(super) fn create(path: &Path) -> Result<Journal, Box<dyn Error>> {
        let file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Journal(Arc::new(Mutex::new(BufWriter::new(file)))))
    }

    pub(super) fn attempt(&self, database: &str, lane: u64, attempts: &[Attempt]) {
        self.line(json!({ "database": database, "lane": lane, "attempt": shown(attempts) }));
    }

    pub(super) fn insert(&self, database: &str, lane: u64, stamp: Stamp) {
        self.line(json!({ "database": database, "lane": lane, "insert": stamp.sequence }));
    }

    pub(super) fn acknowledged(
        &self,
        database: &str,
        lane: u64,
        attempts: &[Attempt],
        version: u64,
    ) {
        let acknowledged = shown(attempts);
        self.line(json!({
            "database": database, "lane": lane, "acknowledged": acknowledged, "version": version,
        }));
    }

    pub(super) fn refused(&self, database: &str, lane: u64, kind: ErrorKind) {
        self.line(json!({ "database": database, "lane": lane, "refused": kind.name() }));
    }

    /// Hands everything to the operating system.
    pub(super) fn flush(&self) -> Result<(), Box<dyn Error>> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .flush()?)
    }

    fn line(&self, value: Value) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The journal only helps to explain; the oracle in memory is what judges.
        let _ = writeln!(file, "{value}");
    }
}

fn shown(attempts: &[Attempt]) -> Vec<Value> {
    attempts
        .iter()
        .map(|a| json!([a.place.to_string(), a.stamp.map(|stamp| stamp.sequence)]))
        .collect()
}
