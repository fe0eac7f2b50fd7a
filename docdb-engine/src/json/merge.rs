//! `merge`: JSON merge patch, RFC 7396.

use docdb_types::ErrorKind;

use super::container::Container;
use super::edit::{EditError, shown, within_limits};
use super::key;
use super::texts::Texts;
use super::tree::{Node, render};
use super::walk::{Item, Items, skip_space, skip_value};

/// The document with `patch` merged into it. Both texts have been checked.
///
/// Nesting needs no look: what is in the result is as deep as it was in the document or in the patch.
pub(super) fn merge(document: &[u8], patch: &[u8]) -> Result<Vec<u8>, EditError> {
    let start = skip_space(patch, 0);
    let Some(items) = Items::of(patch, start).filter(Items::is_object) else {
        // Not an object: it takes the document's place.
        let end = skip_value(patch, start);
        return within_limits(patch.get(start..end).unwrap_or_default().to_vec());
    };
    let mut texts = Texts::new(document);
    let mut root = Node::document(&texts);
    merge_into(&mut texts, &mut root, patch, items)?;
    within_limits(render(&texts, &root))
}

/// Recursion is as deep as the patch, which has at most `JSON_DEPTH_MAX` levels.
fn merge_into(
    texts: &mut Texts<'_>,
    node: &mut Node,
    patch: &[u8],
    items: Items<'_>,
) -> Result<(), EditError> {
    no_key_twice(patch, items.clone())?;
    if !node.is_object(texts) {
        *node = Node::Open(Container::new_object());
    }
    let Some(object) = node.open(texts) else {
        return Ok(());
    };
    for item in items {
        let written = key_of(patch, &item);
        let meaning = key::unescape(written);
        let name = |out: &mut Vec<u8>| string(written, out);
        let place = object.find(texts, &meaning)?;
        let value = patch.get(item.value..item.value_end).unwrap_or_default();
        let members = Items::of(patch, item.value).filter(Items::is_object);
        match (place, members) {
            (Some(place), None) if value == b"null" => object.remove(texts, place, &meaning)?,
            (None, None) if value == b"null" => {}
            (Some(place), None) => {
                let value = texts.add(|out| out.extend_from_slice(value))?;
                object.set(texts, place, value);
            }
            (None, None) => {
                object.push(texts, &meaning, name, |out| out.extend_from_slice(value))?
            }
            (Some(place), Some(members)) => {
                if let Some(node) = object.value(texts, place) {
                    merge_into(texts, node, patch, members)?;
                }
            }
            (None, Some(members)) => {
                let mut stripped = Vec::with_capacity(value.len());
                without_nulls(patch, members, &mut stripped)?;
                object.push(texts, &meaning, name, |out| {
                    out.extend_from_slice(&stripped)
                })?;
            }
        }
    }
    Ok(())
}

/// Appends an object of the patch as it is when merged into nothing: without members that are null.
fn without_nulls(patch: &[u8], items: Items<'_>, out: &mut Vec<u8>) -> Result<(), EditError> {
    no_key_twice(patch, items.clone())?;
    out.push(b'{');
    let mut is_first = true;
    for item in items {
        let value = patch.get(item.value..item.value_end).unwrap_or_default();
        if value == b"null" {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        string(key_of(patch, &item), out);
        out.push(b':');
        match Items::of(patch, item.value).filter(Items::is_object) {
            Some(members) => without_nulls(patch, members, out)?,
            None => out.extend_from_slice(value),
        }
    }
    out.push(b'}');
    Ok(())
}

/// Appends a string of which `written` is what stands between the quotes.
fn string(written: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(written);
    out.push(b'"');
}

fn key_of<'p>(patch: &'p [u8], item: &Item) -> &'p [u8] {
    patch.get(item.key..item.key_end).unwrap_or_default()
}

/// A patch that says two things of one key has no meaning that all readers agree on.
fn no_key_twice(patch: &[u8], items: Items<'_>) -> Result<(), EditError> {
    let mut keys: Vec<_> = items
        .map(|item| key::unescape(key_of(patch, &item)))
        .collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(EditError::new(
            ErrorKind::InvalidPatch,
            format!(
                "the patch has the key {} more than once in one object",
                shown(&pair[0])
            ),
        )),
    }
}
