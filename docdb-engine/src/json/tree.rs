//! A document under edit: its text, opened only where an edit goes.
//!
//! What is not opened stays the stretch of text that it was, and is copied as it is at the end; so
//! numbers, escapes, white space and the order of keys are what they were. An opened container is the
//! list of its items, each again a stretch of text until it is opened itself.

use super::container::{Container, Now};
use super::texts::{Span, Texts};

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

/// The text of a document after all edits.
pub(super) fn render(texts: &Texts<'_>, root: &Node) -> Vec<u8> {
    let mut out = Vec::with_capacity(texts.len());
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
    for entry in &container.entries {
        let now = container.now(*entry);
        if let Now::Deleted = now {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        match now {
            Now::AsWritten(span) => out.extend_from_slice(texts.get(span)),
            Now::Changed(before, node, behind) => {
                out.extend_from_slice(texts.get(before));
                render_node(texts, node, out);
                out.extend_from_slice(texts.get(behind));
            }
            Now::Deleted => {}
        }
    }
    out.extend_from_slice(texts.get(container.tail));
    out.push(if container.object { b'}' } else { b']' });
}
