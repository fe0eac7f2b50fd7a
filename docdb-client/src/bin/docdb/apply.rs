//! The verb `apply`: all that a file says in one commit, or nothing.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use docdb_client::{DEFAULT_COLLECTION, ErrorKind, WriteOptions};
use docdb_types::limits::COMMIT_OPS_MAX;
use serde_json::json;

use crate::Context;
use crate::failure::{Failure, Outcome};
use crate::import::members::{for_each_member, whole_number};
use crate::import::reader::Input;
use crate::import::splitter::{Piece, Splitter};
use crate::output;
use crate::verbs::creating_database;

/// Applies a file, or stdin for `-`.
pub(crate) async fn apply(context: &Context, db: &str, file: &Path) -> Outcome {
    let ops = read(context, file).await?;
    let lines: Vec<u64> = ops.iter().map(|op| op.line).collect();
    let database = context.client.database(db);
    let written = creating_database(&context.client, db, async || {
        let batch = ops.iter().fold(database.batch(), |batch, op| {
            let name = op.collection.as_str();
            let (id, text) = (op.id, op.text.clone());
            let batch = match op.kind {
                Kind::Create => batch.create_raw(name, id, text),
                Kind::Update => batch.update_raw(name, id, text),
                Kind::Put => batch.upsert_raw(name, id, text),
                Kind::Insert => batch.insert_raw(name, text),
                Kind::Delete => batch.delete(name, id),
                Kind::Patch => batch.patch_raw(name, id, text),
                Kind::Merge => batch.merge_raw(name, id, text),
            };
            batch.with(op.options.clone())
        });
        batch.commit().await
    })
    .await
    .map_err(|error| {
        let index = error
            .op_index()
            .and_then(|index| usize::try_from(index).ok());
        let failure = Failure::from(error);
        match index.and_then(|index| lines.get(index)) {
            Some(line) => at_line(*line, failure),
            None => failure,
        }
    })?;
    let version = written.first().map_or(0, |first| first.version);
    let ids: Vec<u64> = written.iter().map(|one| one.id).collect();
    output::answer(
        context,
        format!("OK version={version} operations={}", ids.len()),
        json!({ "version": version, "ids": ids }),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn at_line(line: u64, failure: Failure) -> Failure {
    failure.map_message(|message| format!("line {line}: {message}"))
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(ErrorKind::InvalidArgument, message)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Update,
    Put,
    Insert,
    Delete,
    Patch,
    Merge,
}

/// One operation, and the line it came from.
#[derive(Debug, PartialEq, Eq)]
struct Op {
    line: u64,
    kind: Kind,
    collection: String,
    /// 0 for an insert.
    id: u64,
    /// The document, or what to change; empty for a delete.
    text: Bytes,
    options: WriteOptions,
}

/// Every operation of the file.
async fn read(context: &Context, file: &Path) -> Result<Vec<Op>, Failure> {
    let mut input = Input::open(file, context.json)?;
    let mut splitter = Splitter::new();
    let mut ops = Vec::new();
    while let Some(chunk) = input.next_chunk().await? {
        splitter.feed(&chunk);
        take(&mut splitter, Splitter::next, &mut ops)?;
    }
    take(&mut splitter, Splitter::finish, &mut ops)?;
    input.finish();
    if ops.is_empty() {
        return Err(invalid("there is no operation in it"));
    }
    Ok(ops)
}

fn take(
    splitter: &mut Splitter,
    next: impl Fn(&mut Splitter) -> Result<Option<Piece>, crate::import::splitter::SplitError>,
    ops: &mut Vec<Op>,
) -> Result<(), Failure> {
    loop {
        let piece = next(splitter)
            .map_err(|error| at_line(error.line, Failure::new(error.kind, error.message)))?;
        let Some(piece) = piece else {
            return Ok(());
        };
        let line = piece.line;
        if ops.len() == COMMIT_OPS_MAX {
            let message = format!("one commit has at most {COMMIT_OPS_MAX} operations");
            return Err(at_line(line, Failure::new(ErrorKind::TooLarge, message)));
        }
        ops.push(parse(&piece).map_err(|failure| at_line(line, failure))?);
    }
}

/// The operation of a line.
fn parse(piece: &Piece) -> Result<Op, Failure> {
    let mut members: Vec<(String, Bytes)> = Vec::new();
    let mut problem = None;
    let read = for_each_member(&piece.text, |key, value| {
        const KNOWN: [&str; 7] = [
            "op",
            "collection",
            "id",
            "doc",
            "patch",
            "if_version",
            "if_absent",
        ];
        if !KNOWN.contains(&key) {
            problem = Some(format!("the field {key:?} is not known"));
        } else if members.iter().any(|(known, _)| known == key) {
            problem = Some(format!("the field {key:?} stands there twice"));
        } else {
            members.push((key.to_owned(), piece.text.slice_ref(value)));
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(())
    });
    if let Some(problem) = problem {
        return Err(invalid(problem));
    }
    if read.is_none() {
        return Err(invalid("an operation is an object"));
    }
    let field = |name: &str| {
        let found = members.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    };
    let string = |name: &str| {
        let text = field(name)?;
        Some(
            serde_json::from_slice::<String>(&text)
                .map_err(|_| invalid(format!("{name:?} must be a string"))),
        )
    };
    let number = |name: &str| {
        let text = field(name)?;
        Some(whole_number(&text).ok_or_else(|| {
            invalid(format!(
                "{name:?} must be a whole number from 0 to 2^64 - 1"
            ))
        }))
    };
    let op = string("op").ok_or_else(|| invalid("\"op\" is missing"))??;
    let kind = match op.as_str() {
        "create" => Kind::Create,
        "update" => Kind::Update,
        "put" | "upsert" => Kind::Put,
        "insert" => Kind::Insert,
        "delete" | "del" => Kind::Delete,
        "patch" => Kind::Patch,
        "merge" => Kind::Merge,
        other => {
            return Err(invalid(format!(
                "\"op\" is {other:?}, but must be create, update, put, insert, delete, patch or merge"
            )));
        }
    };
    let wanted = match kind {
        Kind::Delete => None,
        Kind::Patch | Kind::Merge => Some("patch"),
        _ => Some("doc"),
    };
    for name in ["doc", "patch"] {
        match (wanted == Some(name), field(name).is_some()) {
            (true, false) => return Err(invalid(format!("{op} needs {name:?}"))),
            (false, true) => return Err(invalid(format!("{op} takes no {name:?}"))),
            _ => {}
        }
    }
    let id = match (kind, number("id")) {
        (Kind::Insert, None) => 0,
        (Kind::Insert, Some(_)) => return Err(invalid("insert takes no \"id\"")),
        (_, Some(id)) => id?,
        (_, None) => return Err(invalid(format!("{op} needs an \"id\""))),
    };
    let mut options = WriteOptions::new();
    if let Some(version) = number("if_version") {
        options = options.if_version(version?);
    }
    match field("if_absent").as_deref() {
        None | Some(b"false") => {}
        Some(b"true") if field("if_version").is_none() => options = options.if_absent(),
        Some(b"true") => {
            return Err(invalid(
                "\"if_version\" and \"if_absent\" exclude each other",
            ));
        }
        Some(_) => return Err(invalid("\"if_absent\" must be true or false")),
    }
    Ok(Op {
        line: piece.line,
        kind,
        collection: string("collection").unwrap_or_else(|| Ok(DEFAULT_COLLECTION.to_owned()))?,
        id,
        text: wanted.and_then(field).unwrap_or_default(),
        options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Op, String> {
        let text = Bytes::copy_from_slice(text.as_bytes());
        parse(&Piece { line: 3, text }).map_err(|failure| failure.line())
    }

    #[test]
    fn operations() {
        let op =
            parsed(r#" {"op":"patch","collection":"c","id":7,"patch":[ 1.10 ],"if_version":4}"#);
        let expected = Op {
            line: 3,
            kind: Kind::Patch,
            collection: "c".into(),
            id: 7,
            text: "[ 1.10 ]".into(),
            options: WriteOptions::new().if_version(4),
        };
        assert_eq!(op, Ok(expected));
        let op = parsed(r#"{"doc":null,"op":"insert","if_absent":true}"#).unwrap();
        assert_eq!(
            (op.kind, op.collection.as_str()),
            (Kind::Insert, "_default")
        );
        assert_eq!(
            (op.text, op.options),
            ("null".into(), WriteOptions::new().if_absent())
        );
        for (op, kind) in [
            ("create", Kind::Create),
            ("update", Kind::Update),
            ("put", Kind::Put),
        ] {
            let op = parsed(&format!(r#"{{"op":"{op}","id":1,"doc":2}}"#)).unwrap();
            assert_eq!((op.kind, op.id), (kind, 1));
        }
        assert_eq!(
            parsed(r#"{"op":"delete","id":1}"#).unwrap().kind,
            Kind::Delete
        );
        assert_eq!(
            parsed(r#"{"op":"merge","id":1,"patch":{}}"#).unwrap().kind,
            Kind::Merge
        );
    }

    #[test]
    fn wrong_ones_are_refused() {
        for (text, problem) in [
            ("[]", "an object"),
            ("{}", "\"op\" is missing"),
            (r#"{"op":1}"#, "a string"),
            (r#"{"op":"move","id":1}"#, "must be create"),
            (r#"{"op":"put","doc":1}"#, "needs an \"id\""),
            (r#"{"op":"put","id":1}"#, "needs \"doc\""),
            (r#"{"op":"patch","id":1,"doc":1}"#, "takes no \"doc\""),
            (r#"{"op":"delete","id":1,"patch":1}"#, "takes no \"patch\""),
            (r#"{"op":"insert","id":1,"doc":1}"#, "takes no \"id\""),
            (r#"{"op":"delete","id":-1}"#, "whole number"),
            (r#"{"op":"delete","id":1,"id":2}"#, "twice"),
            (r#"{"op":"delete","id":1,"version":2}"#, "not known"),
            (r#"{"op":"delete","id":1,"if_absent":1}"#, "true or false"),
            (
                r#"{"op":"delete","id":1,"if_absent":true,"if_version":1}"#,
                "exclude",
            ),
            (r#"{"op":"delete","id":1,"collection":1}"#, "a string"),
        ] {
            let line = parsed(text).expect_err(text);
            assert!(line.contains(problem), "{text}: {line}");
        }
    }
}
