//! The verb `import`: a stream of documents, in constant memory.

mod document;
pub(crate) mod members;
pub(crate) mod reader;
mod sender;
pub(crate) mod splitter;

use std::path::Path;
use std::process::ExitCode;

use docdb_client::{DEFAULT_COLLECTION, Database, ErrorKind};
use serde_json::json;

use self::document::IdSource;
use self::reader::Input;
use self::sender::Sender;
use self::splitter::{Piece, Splitter};
use crate::Context;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::verbs::ensure_database;

/// How documents get their ids, and what becomes of those that exist.
pub(crate) struct Options {
    pub(crate) id_field: Option<String>,
    pub(crate) upsert: bool,
}

/// Imports a file, or stdin for `-`.
pub(crate) async fn import(
    context: &Context,
    db: &str,
    collection: &str,
    file: &Path,
    options: Options,
) -> Outcome {
    // Before anything is created: a file that is not there changes nothing.
    let mut input = Input::open(file, context.json)?;
    let database = context.client.database(db);
    ensure_place(context, &database, collection).await?;

    let mut sender = Sender::new(database, collection.to_owned());
    let ids = IdSource {
        id_field: options.id_field,
        upsert: options.upsert,
    };
    let result = run(&mut input, &ids, &mut sender).await;
    input.finish();

    let imported = sender.imported();
    match result {
        Ok(()) => {
            let text = format!("{imported} documents imported");
            output::answer(context, text, json!({ "imported": imported }))?;
            Ok(ExitCode::SUCCESS)
        }
        Err((line, failure)) => {
            if context.json {
                output::line(json!({ "imported": imported, "line": line }).to_string())?;
            }
            let place = line.map_or(String::new(), |line| format!("line {line}: "));
            let failure = failure
                .map_message(|message| format!("{place}{message} ({imported} documents imported)"));
            Err(failure)
        }
    }
}

/// Sends every document; on failure also says in which line, if it has one.
async fn run(
    input: &mut Input,
    ids: &IdSource,
    sender: &mut Sender,
) -> Result<(), (Option<u64>, Failure)> {
    let mut splitter = Splitter::new();
    let mut stopped = None;
    while stopped.is_none() {
        let read = match input.next_chunk().await {
            Ok(Some(chunk)) => {
                splitter.feed(&chunk);
                send_all(|splitter| splitter.next(), &mut splitter, ids, sender).await
            }
            Ok(None) => {
                stopped = Some(Ok(()));
                send_all(Splitter::finish, &mut splitter, ids, sender).await
            }
            Err(failure) => Err((None, failure)),
        };
        input.show(sender.imported());
        if let Err(failed) = read {
            stopped = Some(Err(failed));
        }
    }
    // What stands before a wrong line is written; what the server says about it comes first.
    sender.finish().await?;
    stopped.unwrap_or(Ok(()))
}

async fn send_all(
    mut next: impl FnMut(&mut Splitter) -> Result<Option<Piece>, splitter::SplitError>,
    splitter: &mut Splitter,
    ids: &IdSource,
    sender: &mut Sender,
) -> Result<(), (Option<u64>, Failure)> {
    loop {
        match next(splitter) {
            Ok(None) => return Ok(()),
            Ok(Some(piece)) => {
                let line = piece.line;
                let document = ids
                    .document(piece)
                    .map_err(|failure| (Some(line), failure))?;
                sender.push(document).await?;
            }
            Err(error) => {
                return Err((Some(error.line), Failure::new(error.kind, error.message)));
            }
        }
    }
}

/// Creates the database and the collection unless they are there.
async fn ensure_place(
    context: &Context,
    database: &Database,
    collection: &str,
) -> Result<(), Failure> {
    ensure_database(&context.client, database.name()).await?;
    if collection == DEFAULT_COLLECTION {
        return Ok(());
    }
    match database.create_collection(collection).await {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}
