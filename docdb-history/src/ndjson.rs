//! Histories as text: one transaction a line.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use crate::model::{History, Txn};

/// Longest line that is read.
pub const LINE_BYTES_MAX: u64 = 64 << 20;

/// Why a history could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The reader failed.
    Io(io::Error),
    /// A line is no transaction.
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line is longer than [`LINE_BYTES_MAX`].
    TooLong {
        /// Its number, from 1.
        line: u64,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(_) => f.write_str("cannot read the history"),
            ReadError::Line { line, .. } => {
                write!(f, "line {line} of the history is no transaction")
            }
            ReadError::TooLong { line } => {
                write!(
                    f,
                    "line {line} of the history has more than {LINE_BYTES_MAX} bytes"
                )
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io(error) => Some(error),
            ReadError::Line { source, .. } => Some(source),
            ReadError::TooLong { .. } => None,
        }
    }
}

/// Writes every transaction as a line. The number of the line less one is the index that a
/// [`Finding`](crate::Finding) names.
pub fn write_ndjson<H: History>(history: &H, mut to: impl Write) -> io::Result<()> {
    for index in 0..history.count() {
        serde_json::to_writer(&mut to, &history.txn(index))?;
        to.write_all(b"\n")?;
    }
    to.flush()
}

/// Reads what [`write_ndjson`] wrote. Empty lines are passed over.
pub fn read_ndjson<H: History>(mut from: impl BufRead) -> Result<H, ReadError> {
    let mut history = H::default();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let bytes = (&mut from)
            .take(LINE_BYTES_MAX + 1)
            .read_until(b'\n', &mut text)
            .map_err(ReadError::Io)?;
        if bytes == 0 {
            break;
        }
        if bytes as u64 > LINE_BYTES_MAX {
            return Err(ReadError::TooLong { line });
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let txn: Txn =
            serde_json::from_slice(&text).map_err(|source| ReadError::Line { line, source })?;
        history.push(txn);
    }
    Ok(history)
}
