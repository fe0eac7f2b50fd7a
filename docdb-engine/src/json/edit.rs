//! Why an edit of a document is refused, and what edits share.

use std::fmt;

use docdb_types::{ErrorKind, limits};

use super::merge::merge;
use super::patch::Patch;

/// Why a document cannot be changed as it was asked for. It was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditError {
    kind: ErrorKind,
    op: Option<usize>,
    what: String,
}

impl EditError {
    pub(super) fn new(kind: ErrorKind, what: impl Into<String>) -> EditError {
        EditError {
            kind,
            op: None,
            what: what.into(),
        }
    }

    #[must_use]
    pub(super) fn at(mut self, op: usize) -> EditError {
        self.op = Some(op);
        self
    }

    /// What to do about it: `InvalidJson`, `InvalidPatch`, `InvalidPath`, `NotAnObject`, `TooLarge` or
    /// `LimitExceeded`.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The position in the patch of the operation that failed, from 0.
    pub fn op(&self) -> Option<usize> {
        self.op
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(op) = self.op {
            write!(f, "operation {op} of the patch: ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for EditError {}

/// An edit that is in order as far as that can be said without a document. Its text has been checked.
#[derive(Debug, Clone)]
pub(crate) enum Edit<'a> {
    Patch(Patch<'a>),
    Merge(&'a [u8]),
}

impl<'a> Edit<'a> {
    pub(crate) fn patch(text: &'a [u8]) -> Result<Edit<'a>, EditError> {
        Patch::parse(text).map(Edit::Patch)
    }

    pub(crate) fn merge(text: &'a [u8]) -> Edit<'a> {
        Edit::Merge(text)
    }

    /// The edited document. What is given has been checked, too.
    pub(crate) fn apply(&self, document: &[u8]) -> Result<Vec<u8>, EditError> {
        match self {
            Edit::Patch(patch) => patch.apply(document),
            Edit::Merge(patch) => merge(document, patch),
        }
    }
}

/// An edited document, if it is not too large.
pub(super) fn within_limits(document: Vec<u8>) -> Result<Vec<u8>, EditError> {
    debug_assert!(super::check(&document).is_ok(), "an edit made no JSON");
    if document.len() > limits::DOCUMENT_BYTES_MAX {
        return Err(EditError::new(
            ErrorKind::TooLarge,
            format!(
                "the document would have {} bytes, more than the limit of {} bytes",
                document.len(),
                limits::DOCUMENT_BYTES_MAX
            ),
        ));
    }
    Ok(document)
}

/// As it is shown in messages: in quotes, if it has none.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 80;
    let cut = bytes.get(..SHOWN_BYTES_MAX);
    let text = String::from_utf8_lossy(cut.unwrap_or(bytes));
    let more = if cut.is_some() { "..." } else { "" };
    if bytes.first() == Some(&b'"') {
        format!("{text}{more}")
    } else {
        format!("{text:?}{more}")
    }
}
