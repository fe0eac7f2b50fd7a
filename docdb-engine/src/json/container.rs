//! An array or object that edits have opened: the list of its items.

use docdb_types::ErrorKind;

use super::edit::{EditError, shown};
use super::key;
use super::key_index::KeyIndex;
use super::texts::{Span, Texts};
use super::tree::Node;
use super::walk::{Items, end_of_string, skip_space, start_of_member_value};

/// An object of so many members gets an index ...
const INDEXED_MEMBERS_MIN: usize = 32;
/// ... when it has been searched so often.
const UNINDEXED_SEARCHES_MAX: usize = 4;

/// An opened array or object. An item that is not changed takes eight bytes, whatever it is: a document
/// may have millions of them.
pub(super) struct Container {
    pub(super) object: bool,
    pub(super) entries: Vec<Entry>,
    changed: Vec<Changed>,
    /// White space before the closing bracket.
    pub(super) tail: Span,
    searches: usize,
    /// Where each key is, once that has been asked for often.
    index: Option<KeyIndex>,
}

/// An item: a stretch of text with all between the commas around it, or where it is among the changed.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    start: u32,
    end: u32,
}

/// `Entry::end` of one that is changed, and whose `start` is its place among those.
const CHANGED: u32 = u32::MAX;

/// An item whose value is not, or no longer, the text in its place.
struct Changed {
    /// The text that stands before the value: white space, key, colon.
    before: Span,
    /// `None` if it is deleted. A member that was deleted keeps its place in the list, so that the index
    /// stays true.
    node: Option<Node>,
    /// The white space behind the value.
    behind: Span,
}

/// What an item has become.
pub(super) enum Now<'c> {
    AsWritten(Span),
    Changed(Span, &'c Node, Span),
    Deleted,
}

impl Container {
    pub(super) fn new_object() -> Container {
        Container {
            object: true,
            entries: Vec::new(),
            changed: Vec::new(),
            tail: Span::default(),
            searches: 0,
            index: None,
        }
    }

    pub(super) fn read(texts: &Texts<'_>, span: Span) -> Option<Container> {
        let mut items = Items::of(texts.get(span), 0)?;
        let offset = |at: usize| span.start + at as u32;
        let mut entries = Vec::new();
        for item in &mut items {
            entries.push(Entry {
                start: offset(item.start),
                end: offset(item.end),
            });
        }
        Some(Container {
            object: items.is_object(),
            entries,
            tail: Span {
                start: offset(items.tail()),
                end: span.end.saturating_sub(1),
            },
            ..Container::new_object()
        })
    }

    pub(super) fn is_object(&self) -> bool {
        self.object
    }

    /// How many elements an array has.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the item has become.
    #[inline]
    pub(super) fn now(&self, entry: Entry) -> Now<'_> {
        let Entry { start, end } = entry;
        if end != CHANGED {
            return Now::AsWritten(Span { start, end });
        }
        match self.changed.get(start as usize) {
            Some(Changed {
                before,
                node: Some(node),
                behind,
            }) => Now::Changed(*before, node, *behind),
            _ => Now::Deleted,
        }
    }

    /// The text of a member from its key's first byte on; `None` if it is deleted.
    #[inline]
    fn key_onwards<'t>(&self, texts: &'t Texts<'_>, entry: Entry) -> Option<&'t [u8]> {
        let span = match self.now(entry) {
            Now::AsWritten(span) | Now::Changed(span, ..) => span,
            Now::Deleted => return None,
        };
        let text = texts.get(span);
        text.get(skip_space(text, 0) + 1..)
    }

    /// The member with that key.
    ///
    /// # Errors
    /// `InvalidPatch` if there is more than one; `LimitExceeded`.
    pub(super) fn find(
        &mut self,
        texts: &Texts<'_>,
        meaning: &[u8],
    ) -> Result<Option<usize>, EditError> {
        self.searches += 1;
        if self.index.is_none()
            && self.searches > UNINDEXED_SEARCHES_MAX
            && self.entries.len() >= INDEXED_MEMBERS_MIN
        {
            self.make_index(texts)?;
        }
        let is_it = |entry: &Entry| {
            let key = self.key_onwards(texts, *entry);
            key.is_some_and(|key| key::means(key, meaning))
        };
        let (first, second) = match &self.index {
            Some(index) => {
                let entry = |at: &usize| self.entries.get(*at);
                let mut found = index
                    .candidates(meaning)
                    .filter(|at| entry(at).is_some_and(is_it));
                (found.next(), found.next())
            }
            None => {
                texts.spend(self.entries.len())?;
                let mut found = self.entries.iter();
                let first = found.position(is_it);
                (first, first.and_then(|_| found.position(is_it)))
            }
        };
        if second.is_some() {
            return Err(EditError::new(
                ErrorKind::InvalidPatch,
                format!(
                    "the document has the key {} more than once in one object",
                    shown(meaning)
                ),
            ));
        }
        Ok(first)
    }

    fn make_index(&mut self, texts: &Texts<'_>) -> Result<(), EditError> {
        texts.spend(self.entries.len())?;
        let mut index = KeyIndex::with_capacity(self.entries.len());
        for (at, entry) in self.entries.iter().enumerate() {
            if let Some(key) = self.key_onwards(texts, *entry) {
                let raw = key.get(..end_of_string(key)).unwrap_or_default();
                index.add(at, &key::unescape(raw));
            }
        }
        index.sort();
        self.index = Some(index);
        Ok(())
    }

    /// Notes an item as changed, if it is not yet.
    fn change(&mut self, texts: &Texts<'_>, at: usize) -> Option<&mut Changed> {
        let entry = self.entries.get_mut(at)?;
        if entry.end != CHANGED {
            let Entry { start, end } = *entry;
            let text = texts.get(Span { start, end });
            let value = if self.object {
                start_of_member_value(text)
            } else {
                skip_space(text, 0)
            };
            let value_end = text.trim_ascii_end().len();
            let span = |from: usize, to: usize| Span {
                start: start + from as u32,
                end: start + to as u32,
            };
            *entry = Entry {
                start: u32::try_from(self.changed.len()).ok()?,
                end: CHANGED,
            };
            self.changed.push(Changed {
                before: span(0, value),
                node: Some(Node::Text(span(value, value_end))),
                behind: span(value_end, text.len()),
            });
        }
        self.changed.get_mut(entry.start as usize)
    }

    /// The value of an item.
    pub(super) fn value(&mut self, texts: &Texts<'_>, at: usize) -> Option<&mut Node> {
        self.change(texts, at)?.node.as_mut()
    }

    pub(super) fn set(&mut self, texts: &Texts<'_>, at: usize, value: Span) {
        if let Some(changed) = self.change(texts, at) {
            changed.node = Some(Node::Text(value));
        }
    }

    /// Adds a member whose key is not there yet. `name` and `value` append their texts.
    pub(super) fn push(
        &mut self,
        texts: &mut Texts<'_>,
        meaning: &[u8],
        name: impl FnOnce(&mut Vec<u8>),
        value: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), EditError> {
        let Span { start, end } = texts.add(|out| {
            name(out);
            out.push(b':');
            value(out);
        })?;
        self.entries.push(Entry { start, end });
        if let Some(index) = &mut self.index {
            index.insert(self.entries.len() - 1, meaning);
        }
        Ok(())
    }

    /// Puts an element before the one at `at`.
    pub(super) fn insert(
        &mut self,
        texts: &Texts<'_>,
        at: usize,
        value: Span,
    ) -> Result<(), EditError> {
        texts.spend(self.entries.len().saturating_sub(at))?;
        let Span { start, end } = value;
        let at = at.min(self.entries.len());
        self.entries.insert(at, Entry { start, end });
        Ok(())
    }

    /// Takes an item away.
    pub(super) fn remove(
        &mut self,
        texts: &Texts<'_>,
        at: usize,
        meaning: &[u8],
    ) -> Result<(), EditError> {
        if self.object {
            if let Some(changed) = self.change(texts, at) {
                changed.node = None;
            }
            if let Some(index) = &mut self.index {
                index.remove(meaning);
            }
        } else if at < self.entries.len() {
            texts.spend(self.entries.len() - at)?;
            self.entries.remove(at);
        }
        Ok(())
    }
}
