//! What the lines of a whole database's export say.

use std::ops::ControlFlow;

use bytes::Bytes;
use docdb_client::ErrorKind;

use super::document::{Document, Write, set};
use super::members::{for_each_member, whole_number};
use super::splitter::Piece;
use crate::failure::Failure;

/// A line of `export-db`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// There is a collection of that name.
    Collection(String),
    /// A document of a collection.
    Document(String, Document),
}

/// What a line says; `upsert` replaces documents that exist.
pub(super) fn line(piece: Piece, upsert: bool) -> Result<Line, Failure> {
    let Piece { line, text } = piece;
    let (mut collection, mut id, mut version, mut json) = (None, None, None, None);
    let mut fits = true;
    let read = for_each_member(&text, |key, value| {
        fits = match key {
            "collection" => set(
                &mut collection,
                serde_json::from_slice::<String>(value).ok(),
            ),
            "id" => set(&mut id, whole_number(value)),
            "version" => set(&mut version, whole_number(value)),
            "doc" => set(&mut json, Some(text.slice_ref(value))),
            _ => false,
        };
        if fits {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    let members: (Option<String>, Option<u64>, Option<u64>, Option<Bytes>) =
        (collection, id, version, json);
    match (read, members) {
        (Some(()), (Some(collection), None, None, None)) if fits => {
            Ok(Line::Collection(collection))
        }
        (Some(()), (Some(collection), Some(id), _, Some(json))) if fits => {
            let write = if upsert {
                Write::Upsert(id)
            } else {
                Write::Create(id)
            };
            let document = Document { line, write, json };
            Ok(Line::Document(collection, document))
        }
        _ => Err(Failure::new(
            ErrorKind::InvalidArgument,
            "not a line of export-db: {\"collection\"}, or {\"collection\",\"id\",\"version\",\"doc\"}",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, upsert: bool) -> Result<Line, Failure> {
        let text = Bytes::copy_from_slice(text.as_bytes());
        line(Piece { line: 7, text }, upsert)
    }

    #[test]
    fn lines_are_read_exactly() {
        assert_eq!(
            read("{\"collection\":\"a\\u0062 \\\"\"}", false),
            Ok(Line::Collection("ab \"".into()))
        );
        let document = |write| {
            let json = Bytes::from_static(b"{\"a\" : 1.10}");
            let document = Document {
                line: 7,
                write,
                json,
            };
            Ok(Line::Document("c".into(), document))
        };
        let text = "{\"collection\":\"c\",\"id\":5,\"version\":9,\"doc\": {\"a\" : 1.10} }";
        assert_eq!(read(text, false), document(Write::Create(5)));
        assert_eq!(read(text, true), document(Write::Upsert(5)));
        let without_version = "{\"doc\":{\"a\" : 1.10},\"id\":5,\"collection\":\"c\"}";
        assert_eq!(read(without_version, false), document(Write::Create(5)));
    }

    #[test]
    fn other_lines_are_refused() {
        for text in [
            "{}",
            "{\"collection\":1}",
            "{\"collection\":\"c\",\"id\":5}",
            "{\"collection\":\"c\",\"doc\":5}",
            "{\"collection\":\"c\",\"version\":5}",
            "{\"collection\":\"c\",\"collection\":\"c\"}",
            "{\"collection\":\"c\",\"more\":1}",
            "{\"collection\":\"c\",\"id\":\"5\",\"version\":9,\"doc\":1}",
            "{\"id\":5,\"version\":9,\"doc\":1}",
            "{\"collection\":\"c\",\"id\":5,\"version\":9,\"doc\":1,\"more\":2}",
            "{\"collection\":\"c\"",
            "[1]",
            "1",
        ] {
            assert!(read(text, false).is_err(), "{text}");
        }
    }
}
