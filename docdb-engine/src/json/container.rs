//! An array or object that edits have opened: the list of its items.

use ahash::AHashMap;
use docdb_types::ErrorKind;

use super::edit::{EditError, shown};
use super::key;
use super::texts::{Span, Texts};
use super::tree::Node;
use super::walk::Items;

/// An object of so many members gets an index ...
const INDEXED_MEMBERS_MIN: usize = 32;
/// ... when it has been searched so often.
const UNINDEXED_SEARCHES_MAX: usize = 4;

/// An opened array or object.
pub(super) struct Container {
    pub(super) object: bool,
    pub(super) entries: Vec<Entry>,
    /// White space before the closing bracket.
    pub(super) tail: Span,
    searches: usize,
    /// Where each key is, once that has been asked for often.
    index: Option<AHashMap<Vec<u8>, Place>>,
}

/// An item: `start..value` is what stands before the value (white space, key, colon), `value_end..end`
/// the white space behind it.
pub(super) struct Entry {
    pub(super) start: u32,
    key: u32,
    key_end: u32,
    pub(super) value: u32,
    pub(super) value_end: u32,
    pub(super) end: u32,
    /// What the value is if it is not, or no longer, the text in its place. A member that was deleted
    /// keeps its place in the list, so that the index stays true.
    pub(super) now: Now,
}

pub(super) enum Now {
    AsWritten,
    Changed(Box<Node>),
    Deleted,
}

/// Where a key is among the members.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    At(usize),
    /// More than one member has the key.
    Twice,
}

impl Container {
    pub(super) fn new_object() -> Container {
        Container {
            object: true,
            entries: Vec::new(),
            tail: Span::default(),
            searches: 0,
            index: None,
        }
    }

    pub(super) fn read(texts: &Texts<'_>, span: Span) -> Option<Container> {
        let text = texts.get(span);
        let mut items = Items::of(text, 0)?;
        let offset = |at: usize| span.start + at as u32;
        let mut entries = Vec::new();
        for item in &mut items {
            entries.push(Entry {
                start: offset(item.start),
                key: offset(item.key),
                key_end: offset(item.key_end),
                value: offset(item.value),
                value_end: offset(item.value_end),
                end: offset(item.end),
                now: Now::AsWritten,
            });
        }
        Some(Container {
            object: items.is_object(),
            entries,
            tail: Span {
                start: offset(items.tail()),
                end: span.end.saturating_sub(1),
            },
            searches: 0,
            index: None,
        })
    }

    pub(super) fn is_object(&self) -> bool {
        self.object
    }

    /// How many elements an array has.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
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
        let place = match &self.index {
            Some(index) => index.get(meaning).copied(),
            None => {
                texts.spend(self.entries.len())?;
                let mut found = None;
                for (at, entry) in self.entries.iter().enumerate() {
                    if key::means(entry.key(texts), meaning) && !entry.is_deleted() {
                        found = Some(found.map_or(Place::At(at), |_| Place::Twice));
                    }
                }
                found
            }
        };
        match place {
            Some(Place::Twice) => Err(EditError::new(
                ErrorKind::InvalidPatch,
                format!(
                    "the document has the key {} more than once in one object",
                    shown(meaning)
                ),
            )),
            Some(Place::At(at)) => Ok(Some(at)),
            None => Ok(None),
        }
    }

    fn make_index(&mut self, texts: &Texts<'_>) -> Result<(), EditError> {
        texts.spend(self.entries.len())?;
        let mut index = AHashMap::with_capacity(self.entries.len());
        for (at, entry) in self.entries.iter().enumerate() {
            if !entry.is_deleted() {
                let meaning = key::unescape(entry.key(texts)).into_owned();
                let place = index.entry(meaning);
                place
                    .and_modify(|p| *p = Place::Twice)
                    .or_insert(Place::At(at));
            }
        }
        self.index = Some(index);
        Ok(())
    }

    /// The value of an item.
    pub(super) fn value(&mut self, at: usize) -> Option<&mut Node> {
        let entry = self.entries.get_mut(at)?;
        if let Now::AsWritten = entry.now {
            entry.now = Now::Changed(Box::new(Node::Text(Span {
                start: entry.value,
                end: entry.value_end,
            })));
        }
        match &mut entry.now {
            Now::Changed(node) => Some(node),
            Now::AsWritten | Now::Deleted => None,
        }
    }

    pub(super) fn set(&mut self, at: usize, value: Span) {
        if let Some(entry) = self.entries.get_mut(at) {
            entry.now = Now::Changed(Box::new(Node::Text(value)));
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
        let name = texts.add(name)?;
        let colon = texts.add(|out| out.push(b':'))?;
        let value = texts.add(value)?;
        self.entries.push(Entry {
            start: name.start,
            key: name.start + 1,
            key_end: name.end.saturating_sub(1),
            value: colon.end,
            value_end: value.end,
            end: value.end,
            now: Now::AsWritten,
        });
        if let Some(index) = &mut self.index {
            index.insert(meaning.to_vec(), Place::At(self.entries.len() - 1));
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
        let entry = Entry {
            start: value.start,
            key: value.start,
            key_end: value.start,
            value: value.start,
            value_end: value.end,
            end: value.end,
            now: Now::AsWritten,
        };
        self.entries.insert(at.min(self.entries.len()), entry);
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
            if let Some(entry) = self.entries.get_mut(at) {
                entry.now = Now::Deleted;
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

impl Entry {
    fn key<'t>(&self, texts: &'t Texts<'_>) -> &'t [u8] {
        texts.get(Span {
            start: self.key,
            end: self.key_end,
        })
    }

    pub(super) fn is_deleted(&self) -> bool {
        matches!(self.now, Now::Deleted)
    }
}
