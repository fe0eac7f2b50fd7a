//! A document under edit: its text, opened only where an edit goes.
//!
//! What is not opened stays the stretch of text that it was, and is copied as it is at the end; so
//! numbers, escapes, white space and the order of keys are what they were. An opened container is the
//! list of its items, each again a stretch of text until it is opened itself.

use std::cell::Cell;

use ahash::AHashMap;
use docdb_types::ErrorKind;

use super::edit::EditError;
use super::key;
use super::walk::{Items, skip_space};

/// What one edit may cost beside walking over its text: items looked at and moved.
const STEPS_MAX: u64 = 1 << 30;
/// An object of so many members gets an index ...
const INDEXED_MEMBERS_MIN: usize = 32;
/// ... when it has been searched so often.
const UNINDEXED_SEARCHES_MAX: usize = 4;

/// A stretch of text. Offsets go on from the document into what edits have added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

/// The document as it was, and what edits add.
pub(super) struct Texts<'a> {
    base: &'a [u8],
    added: Vec<u8>,
    steps: Cell<u64>,
}

impl<'a> Texts<'a> {
    /// Of a document and some bytes that are to be added.
    pub(super) fn new(base: &'a [u8]) -> Texts<'a> {
        Texts {
            base,
            added: Vec::new(),
            steps: Cell::new(0),
        }
    }

    /// The document without the white space around it.
    fn document(&self) -> Span {
        Span {
            start: skip_space(self.base, 0) as u32,
            end: self.base.trim_ascii_end().len() as u32,
        }
    }

    fn get(&self, span: Span) -> &[u8] {
        let (start, end, base) = (span.start as usize, span.end as usize, self.base.len());
        let text = if start < base {
            self.base.get(start..end)
        } else {
            self.added.get(start - base..end.saturating_sub(base))
        };
        text.unwrap_or_default()
    }

    /// Adds what `write` appends.
    ///
    /// # Errors
    /// `TooLarge` if that is more than any document and patch can ask for.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Span, EditError> {
        let start = self.base.len() + self.added.len();
        write(&mut self.added);
        let end = self.base.len() + self.added.len();
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => Ok(Span { start, end }),
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
    fn spend(&self, steps: usize) -> Result<(), EditError> {
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

/// A value of a document under edit.
pub(super) enum Node {
    Text(Span),
    Open(Container),
}

impl Node {
    pub(super) fn document(texts: &Texts<'_>) -> Node {
        Node::Text(texts.document())
    }

    /// The items of an array or object; `None` for a scalar.
    pub(super) fn open(&mut self, texts: &Texts<'_>) -> Option<&mut Container> {
        if let Node::Text(span) = *self {
            *self = Node::Open(Container::read(texts, span)?);
        }
        match self {
            Node::Open(container) => Some(container),
            Node::Text(_) => None,
        }
    }

    /// Whether it is an object; nothing is opened.
    pub(super) fn is_object(&self, texts: &Texts<'_>) -> bool {
        match self {
            Node::Text(span) => texts.get(*span).first() == Some(&b'{'),
            Node::Open(container) => container.object,
        }
    }
}

/// An opened array or object.
pub(super) struct Container {
    object: bool,
    entries: Vec<Entry>,
    /// White space before the closing bracket.
    tail: Span,
    searches: usize,
    /// Where each key is, once that has been asked for often.
    index: Option<AHashMap<Vec<u8>, Place>>,
}

/// An item: `start..value` is what stands before the value (white space, key, colon), `value_end..end`
/// the white space behind it.
struct Entry {
    start: u32,
    key: u32,
    key_end: u32,
    value: u32,
    value_end: u32,
    end: u32,
    /// What the value is if it is not, or no longer, the text in its place. A member that was deleted
    /// keeps its place in the list, so that the index stays true.
    now: Now,
}

enum Now {
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

    fn read(texts: &Texts<'_>, span: Span) -> Option<Container> {
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
                    super::edit::shown(meaning)
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

    fn is_deleted(&self) -> bool {
        matches!(self.now, Now::Deleted)
    }
}

/// The text of a document after all edits.
pub(super) fn render(texts: &Texts<'_>, root: &Node) -> Vec<u8> {
    let mut out = Vec::with_capacity(texts.base.len() + texts.added.len());
    let Span { start, end } = texts.document();
    out.extend_from_slice(texts.base.get(..start as usize).unwrap_or_default());
    render_node(texts, root, &mut out);
    out.extend_from_slice(texts.base.get(end as usize..).unwrap_or_default());
    out
}

/// Recursion is as deep as the document, which has at most `JSON_DEPTH_MAX` levels.
fn render_node(texts: &Texts<'_>, node: &Node, out: &mut Vec<u8>) {
    let container = match node {
        Node::Text(span) => return out.extend_from_slice(texts.get(*span)),
        Node::Open(container) => container,
    };
    out.push(if container.object { b'{' } else { b'[' });
    let mut is_first = true;
    for entry in container.entries.iter().filter(|e| !e.is_deleted()) {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        let stretch = |start, end| texts.get(Span { start, end });
        match &entry.now {
            Now::Changed(node) => {
                out.extend_from_slice(stretch(entry.start, entry.value));
                render_node(texts, node, out);
                out.extend_from_slice(stretch(entry.value_end, entry.end));
            }
            Now::AsWritten | Now::Deleted => {
                out.extend_from_slice(stretch(entry.start, entry.end));
            }
        }
    }
    out.extend_from_slice(texts.get(container.tail));
    out.push(if container.object { b'}' } else { b']' });
}
