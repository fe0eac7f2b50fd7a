//! What the offline tools tell those who run them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use docdb_types::ErrorKind;

use super::source::Counter;
use crate::error::{Error, Result};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Something does not verify that should.
    Damage,
    /// Worth knowing, and dealt with by the next open: a torn tail, a leftover.
    Note,
}

/// A document as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentName {
    /// The collection's name, or its number in brackets if it has none that is known.
    pub collection: String,
    /// The id.
    pub id: u64,
    /// The version.
    pub version: u64,
}

impl fmt::Display for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            collection,
            id,
            version,
        } = self;
        write!(f, "{collection}/{id} of version {version}")
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file, or the directory.
    pub file: PathBuf,
    /// Where in the file, in bytes, if it is about a place.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// The document that it concerns, if it is known and one.
    pub document: Option<DocumentName>,
}

impl Finding {
    pub(crate) fn damage(
        file: &Path,
        offset: impl Into<Option<u64>>,
        what: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Damage,
            file: file.to_path_buf(),
            offset: offset.into(),
            what: what.into(),
            document: None,
        }
    }

    pub(crate) fn note(
        file: &Path,
        offset: impl Into<Option<u64>>,
        what: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::damage(file, offset, what)
        }
    }

    pub(crate) fn of(mut self, document: DocumentName) -> Self {
        self.document = Some(document);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(document) = &self.document {
            write!(f, " ({document})")?;
        }
        Ok(())
    }
}

/// Who hears of findings, from whatever thread they are made on.
pub trait Observer: Sync {
    /// Something is not as it should be.
    fn finding(&self, finding: Finding);
}

/// How far an offline tool has got; a clone tells of the same, and may be asked from another thread.
#[derive(Debug, Clone, Default)]
pub struct Progress(Counter);

impl Progress {
    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.0.get(0)
    }

    /// Bytes that are to be read, as far as is known; some may be read more than once.
    pub fn bytes_total(&self) -> u64 {
        self.0.get(1)
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.add(0, bytes);
    }

    pub(crate) fn expect(&self, bytes: u64) {
        self.0.add(1, bytes);
    }
}

/// Counts findings on their way to an observer.
pub(crate) struct Findings<'a> {
    observer: &'a dyn Observer,
    damages: AtomicU64,
    notes: AtomicU64,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(observer: &'a dyn Observer) -> Self {
        Self {
            observer,
            damages: AtomicU64::new(0),
            notes: AtomicU64::new(0),
        }
    }

    pub(crate) fn tell(&self, finding: Finding) {
        match finding.severity {
            Severity::Damage => self.damages.fetch_add(1, Ordering::Relaxed),
            Severity::Note => self.notes.fetch_add(1, Ordering::Relaxed),
        };
        self.observer.finding(finding);
    }

    pub(crate) fn damages(&self) -> u64 {
        self.damages.load(Ordering::Relaxed)
    }

    pub(crate) fn notes(&self) -> u64 {
        self.notes.load(Ordering::Relaxed)
    }

    /// Makes a finding of an error that tells of damage to this file; any other is an error still.
    pub(crate) fn damage_or(&self, file: &Path, error: Error) -> Result<()> {
        if error.kind() != ErrorKind::Corrupt {
            return Err(error);
        }
        // The text names the file, and mostly the place.
        self.tell(Finding::damage(file, None, error.message()));
        Ok(())
    }
}
