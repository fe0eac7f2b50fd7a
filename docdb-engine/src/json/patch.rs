//! `patch`: a list of changes at paths, all or none of them.

use std::borrow::Cow;

use docdb_types::ErrorKind;
use docdb_types::limits::JSON_DEPTH_MAX;

use super::container::Container;
use super::edit::{EditError, shown, within_limits};
use super::key;
use super::pointer::{Pointer, Token, index};
use super::texts::Texts;
use super::tree::{Node, render};
use super::walk::{Items, depth, skip_space};

/// A list of changes that is in order as far as that can be said without a document.
#[derive(Debug, Clone)]
pub(crate) struct Patch<'a>(Vec<Change<'a>>);

#[derive(Debug, Clone)]
struct Change<'a> {
    action: Action<'a>,
    path: Pointer<'a>,
    /// The path as it was written.
    text: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
enum Action<'a> {
    Set(&'a [u8]),
    Insert(&'a [u8]),
    Delete,
}

fn invalid(what: impl Into<String>) -> EditError {
    EditError::new(ErrorKind::InvalidPatch, what)
}

impl<'a> Patch<'a> {
    /// Reads a patch whose text has been checked.
    pub(super) fn parse(text: &'a [u8]) -> Result<Patch<'a>, EditError> {
        let start = skip_space(text, 0);
        let Some(items) = Items::of(text, start).filter(|items| !items.is_object()) else {
            return Err(invalid("a patch is an array of operations"));
        };
        let mut changes = Vec::new();
        for (op, item) in items.enumerate() {
            changes.push(Change::parse(text, item.value).map_err(|error| error.at(op))?);
        }
        if changes.is_empty() {
            return Err(invalid("a patch needs at least one operation"));
        }
        Ok(Patch(changes))
    }

    /// The document with all of the changes made.
    pub(super) fn apply(&self, document: &[u8]) -> Result<Vec<u8>, EditError> {
        let mut texts = Texts::new(document);
        let mut root = Node::document(&texts);
        if !root.is_object(&texts) {
            return Err(EditError::new(
                ErrorKind::NotAnObject,
                "only a document that is an object can be patched",
            ));
        }
        for (op, change) in self.0.iter().enumerate() {
            change
                .apply(&mut texts, &mut root)
                .map_err(|error| error.at(op))?;
        }
        within_limits(render(&texts, &root))
    }
}

impl<'a> Change<'a> {
    fn parse(text: &'a [u8], at: usize) -> Result<Change<'a>, EditError> {
        let Some(items) = Items::of(text, at).filter(Items::is_object) else {
            return Err(invalid("an operation is an object"));
        };
        let (mut op, mut path, mut value) = (None, None, None);
        for item in items {
            let stretch = |start, end| text.get(start..end).unwrap_or_default();
            let field = match &*key::unescape(stretch(item.key, item.key_end)) {
                b"op" => &mut op,
                b"path" => &mut path,
                b"value" => &mut value,
                _ => continue,
            };
            let found: &'a [u8] = stretch(item.value, item.value_end);
            if field.replace(found).is_some() {
                return Err(invalid("\"op\", \"path\" or \"value\" stands there twice"));
            }
        }
        let op = op.and_then(string);
        let op = op.ok_or_else(|| invalid("\"op\" must be a string"))?;
        let path = path.ok_or_else(|| invalid("an operation needs a \"path\""))?;
        let text = path;
        let path = string(path).ok_or_else(|| invalid("\"path\" must be a string"))?;
        let value = value.ok_or_else(|| invalid(format!("{} needs a \"value\"", shown(&op))));
        let action = match &*op {
            b"set" => Action::Set(value?),
            b"insert" => Action::Insert(value?),
            b"delete" => Action::Delete,
            _ => {
                return Err(invalid(format!(
                    "\"op\" is {}, but must be \"set\", \"delete\" or \"insert\"",
                    shown(&op)
                )));
            }
        };
        let path = Pointer::parse(path).map_err(|what| bad_path(text, what))?;
        Ok(Change { action, path, text })
    }

    fn bad_path(&self, what: &str) -> EditError {
        bad_path(self.text, what)
    }

    fn apply(&self, texts: &mut Texts<'_>, root: &mut Node) -> Result<(), EditError> {
        let Some((last, parents)) = self.path.split_last() else {
            return Err(self.bad_path("the root cannot be patched; update the document"));
        };
        if let Action::Set(value) | Action::Insert(value) = self.action
            && self.path.depth() + depth(value) > JSON_DEPTH_MAX
        {
            return Err(invalid(format!(
                "the document would be nested deeper than {JSON_DEPTH_MAX} levels"
            )));
        }
        let mut node = root;
        for (at, token) in parents.iter().enumerate() {
            let container = self.open(node, texts)?;
            let place = match self.place(container, texts, token)? {
                Some(place) => place,
                None if container.is_object() && matches!(self.action, Action::Set(_)) => {
                    return self.create(container, texts, token, parents.get(at + 1..), last);
                }
                None => return Err(self.bad_path("what it leads through does not exist")),
            };
            let value = container.value(texts, place);
            node = value.ok_or_else(|| self.bad_path("what it leads through does not exist"))?;
        }
        let container = self.open(node, texts)?;
        if let Action::Insert(value) = self.action {
            if container.is_object() {
                return Err(self.bad_path("only arrays can be inserted into"));
            }
            let place = match last {
                b"-" => Some(container.len()),
                token => index(token).filter(|place| *place <= container.len()),
            };
            let place = place.ok_or_else(|| self.out_of_range(container))?;
            let value = texts.add(|out| out.extend_from_slice(value))?;
            return container.insert(texts, place, value);
        }
        match (self.action, self.place(container, texts, last)?) {
            (Action::Set(value), Some(place)) => {
                let value = texts.add(|out| out.extend_from_slice(value))?;
                container.set(texts, place, value);
                Ok(())
            }
            (Action::Set(value), None) => {
                let name = |out: &mut Vec<u8>| key::write(last, out);
                container.push(texts, last, name, |out| out.extend_from_slice(value))
            }
            (_, Some(place)) => container.remove(texts, place, last),
            (_, None) => Err(self.bad_path("there is nothing to delete")),
        }
    }

    fn open<'n>(
        &self,
        node: &'n mut Node,
        texts: &Texts<'_>,
    ) -> Result<&'n mut Container, EditError> {
        node.open(texts)
            .ok_or_else(|| self.bad_path("it leads through a value that is no array and no object"))
    }

    /// Where the item that a token names is; `None` for a member that is not there.
    fn place(
        &self,
        container: &mut Container,
        texts: &Texts<'_>,
        token: &[u8],
    ) -> Result<Option<usize>, EditError> {
        if container.is_object() {
            return container.find(texts, token);
        }
        match index(token) {
            Some(place) if place < container.len() => Ok(Some(place)),
            _ => Err(self.out_of_range(container)),
        }
    }

    fn out_of_range(&self, array: &Container) -> EditError {
        self.bad_path(&format!(
            "no such index in an array of {} elements",
            array.len()
        ))
    }

    /// Adds the member `token` with the objects that are missing on the way to `last`.
    fn create(
        &self,
        container: &mut Container,
        texts: &mut Texts<'_>,
        token: &[u8],
        missing: Option<&[Token<'_>]>,
        last: &[u8],
    ) -> Result<(), EditError> {
        let (Action::Set(value) | Action::Insert(value)) = self.action else {
            return Ok(());
        };
        let missing = missing.unwrap_or_default();
        let name = |out: &mut Vec<u8>| key::write(token, out);
        container.push(texts, token, name, |out| {
            for key in missing.iter().map(|key| &**key).chain([last]) {
                out.push(b'{');
                key::write(key, out);
                out.push(b':');
            }
            out.extend_from_slice(value);
            out.resize(out.len() + missing.len() + 1, b'}');
        })
    }
}

fn bad_path(text: &[u8], what: &str) -> EditError {
    let what = format!("path {}: {what}", shown(text));
    EditError::new(ErrorKind::InvalidPath, what)
}

/// What a value means if it is a string.
fn string(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value {
        [b'"', raw @ .., b'"'] => Some(key::unescape(raw)),
        _ => None,
    }
}
