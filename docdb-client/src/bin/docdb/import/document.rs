//! Which id a document gets, and what is done with it.

use std::ops::ControlFlow;

use bytes::Bytes;
use docdb_client::ErrorKind;

use super::members::{for_each_member, whole_number};
use super::splitter::Piece;
use crate::failure::Failure;

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Write {
    Insert,
    Create(u64),
    Upsert(u64),
}

/// A document on its way, and the line it came from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) line: u64,
    pub(super) write: Write,
    pub(super) json: Bytes,
}

/// How documents get their ids.
pub(super) struct IdSource {
    pub(super) id_field: Option<String>,
    pub(super) upsert: bool,
}

impl IdSource {
    /// The document of a piece: of a line of export's shape what stands in `doc`.
    pub(super) fn document(&self, piece: Piece) -> Result<Document, Failure> {
        let Piece { line, text } = piece;
        if let Some(field) = &self.id_field {
            let id = id_in(&text, field)?;
            return Ok(Document {
                line,
                write: self.write(id),
                json: text,
            });
        }
        Ok(match exported(&text) {
            Some((id, json)) => Document {
                line,
                write: self.write(id),
                json,
            },
            None => Document {
                line,
                write: Write::Insert,
                json: text,
            },
        })
    }

    fn write(&self, id: u64) -> Write {
        if self.upsert {
            Write::Upsert(id)
        } else {
            Write::Create(id)
        }
    }
}

/// The id in a top-level field; of a repeated one the last counts.
fn id_in(document: &[u8], field: &str) -> Result<u64, Failure> {
    let mut found = None;
    let read = for_each_member(document, |key, value| {
        if key == field {
            found = Some(whole_number(value));
        }
        ControlFlow::Continue(())
    });
    let invalid = |what: &str| {
        Failure::new(
            ErrorKind::InvalidArgument,
            format!("the document {what} {field:?}"),
        )
    };
    match (read, found) {
        (_, Some(Some(id))) => Ok(id),
        (_, Some(None)) => Err(invalid(
            "has no whole number from 0 to 2^64 - 1 in its field",
        )),
        (Some(()), None) => Err(invalid("has no field")),
        (None, None) => Err(invalid("is not an object with a field")),
    }
}

/// The id and the document of a line of export's shape: an object of `id`, `version` and `doc`
/// once each and nothing else, where the first two are whole numbers.
fn exported(text: &Bytes) -> Option<(u64, Bytes)> {
    let (mut id, mut version, mut document) = (None, None, None);
    let mut fits = true;
    for_each_member(text, |key, value| {
        let slot_was_free = match key {
            "id" => set(&mut id, whole_number(value)),
            "version" => set(&mut version, whole_number(value)),
            "doc" => set(&mut document, Some(text.slice_ref(value))),
            _ => false,
        };
        fits = slot_was_free;
        if fits {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    match (fits, id, version, document) {
        (true, Some(id), Some(_), Some(document)) => Some((id, document)),
        _ => None,
    }
}

/// Fills an empty slot; false if the slot was full or there is nothing to fill it with.
pub(super) fn set<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    slot.is_none() && value.is_some_and(|value| slot.replace(value).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(source: &IdSource, text: &str) -> Result<(Write, String), String> {
        let text = Bytes::copy_from_slice(text.as_bytes());
        match source.document(Piece { line: 7, text }) {
            Ok(Document { line, write, json }) => {
                assert_eq!(line, 7);
                Ok((write, String::from_utf8(json.to_vec()).unwrap()))
            }
            Err(failure) => Err(failure.line()),
        }
    }

    #[test]
    fn without_a_field_only_exports_shape_has_an_id() {
        let source = IdSource {
            id_field: None,
            upsert: false,
        };
        let exported = "{\"id\":5,\"version\":9,\"doc\": {\"a\" : 1.10} }";
        assert_eq!(
            document(&source, exported).unwrap(),
            (Write::Create(5), "{\"a\" : 1.10}".to_owned())
        );
        let upsert = IdSource {
            id_field: None,
            upsert: true,
        };
        assert_eq!(document(&upsert, exported).unwrap().0, Write::Upsert(5));
        for text in [
            "{\"id\":5,\"version\":9}",
            "{\"id\":5,\"version\":9,\"doc\":1,\"more\":2}",
            "{\"id\":5,\"id\":5,\"version\":9,\"doc\":1}",
            "{\"id\":\"5\",\"version\":9,\"doc\":1}",
            "{\"id\":5,\"version\":-9,\"doc\":1}",
            "[5,9,1]",
            "{\"id\":5,\"version\":9,\"doc\":1",
        ] {
            assert_eq!(
                document(&source, text).unwrap(),
                (Write::Insert, text.to_owned())
            );
        }
    }

    #[test]
    fn the_field_gives_the_id() {
        let source = IdSource {
            id_field: Some("n".into()),
            upsert: false,
        };
        let text = "{\"id\":5, \"n\" : 1, \"n\":18446744073709551615 }";
        assert_eq!(
            document(&source, text).unwrap(),
            (Write::Create(u64::MAX), text.to_owned()),
            "the last of a repeated key counts, and the document stays as it is"
        );
        for text in [
            "{\"n\":\"1\"}",
            "{\"n\":1.0}",
            "{\"n\":-1}",
            "{\"m\":1}",
            "[1]",
            "7",
            "{",
        ] {
            let error = document(&source, text).unwrap_err();
            assert!(
                error.starts_with("ERROR InvalidArgument"),
                "{text}: {error}"
            );
        }
    }
}
