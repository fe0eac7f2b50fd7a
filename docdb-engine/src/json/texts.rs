//! The document under edit as it was, and what edits add to it.

use std::cell::Cell;

use docdb_types::ErrorKind;

use super::edit::EditError;
use super::walk::skip_space;

/// What one edit may cost beside walking over its text: items looked at and moved.
const STEPS_MAX: u64 = 1 << 30;
/// A stretch of text. Offsets go on from the document into what edits have added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// The document as it was, and what edits add.
pub(super) struct Texts<'a> {
    pub(super) base: &'a [u8],
    added: Vec<u8>,
    steps: Cell<u64>,
}

impl<'a> Texts<'a> {
    pub(super) fn new(base: &'a [u8]) -> Texts<'a> {
        Texts {
            base,
            added: Vec::new(),
            steps: Cell::new(0),
        }
    }

    /// The document without the white space around it.
    pub(super) fn document(&self) -> Span {
        Span {
            start: skip_space(self.base, 0) as u32,
            end: self.base.trim_ascii_end().len() as u32,
        }
    }

    pub(super) fn get(&self, span: Span) -> &[u8] {
        let (start, end, base) = (span.start as usize, span.end as usize, self.base.len());
        let text = if start < base {
            self.base.get(start..end)
        } else {
            self.added.get(start - base..end.saturating_sub(base))
        };
        text.unwrap_or_default()
    }

    /// Bytes of the document and of what was added.
    pub(super) fn len(&self) -> usize {
        self.base.len() + self.added.len()
    }

    /// Adds what `write` appends.
    ///
    /// # Errors
    /// `TooLarge` if that is more than any document and patch can ask for.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Span, EditError> {
        let start = self.len();
        write(&mut self.added);
        let end = self.len();
        match (u32::try_from(start), u32::try_from(end)) {
            // The last number stands for something else.
            (Ok(start), Ok(end)) if end < u32::MAX => Ok(Span { start, end }),
            _ => Err(EditError::new(
                ErrorKind::TooLarge,
                "the patch adds more than 4 GiB",
            )),
        }
    }

    /// Accounts for `steps` more.
    ///
    /// # Errors
    /// `LimitExceeded`: an edit of a few MiB could take minutes otherwise.
    pub(super) fn spend(&self, steps: usize) -> Result<(), EditError> {
        let spent = self.steps.get().saturating_add(steps as u64);
        self.steps.set(spent);
        if spent > STEPS_MAX {
            return Err(EditError::new(
                ErrorKind::LimitExceeded,
                "the patch takes too many steps on this document; split it into several",
            ));
        }
        Ok(())
    }
}
