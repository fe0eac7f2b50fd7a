//! The verbs `import` and `import-db`: a stream of documents, in constant memory.

mod document;
pub(crate) mod members;
pub(crate) mod reader;
mod sender;
pub(crate) mod splitter;
mod whole;

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use docdb_client::{DEFAULT_COLLECTION, Database, ErrorKind};
use serde_json::json;

use self::document::IdSource;
use self::reader::Input;
use self::sender::Sender;
use self::splitter::{Piece, Splitter};
use self::whole::Line;
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

    let shape = Shape::Collection {
        name: Arc::from(collection),
        ids: IdSource {
            id_field: options.id_field,
            upsert: options.upsert,
        },
    };
    let mut importer = Importer::new(database, shape);
    let result = run(&mut input, &mut importer).await;
    input.finish();
    let imported = importer.sender.imported();
    let text = format!("{imported} documents imported");
    tell(
        context,
        result,
        text,
        json!({ "imported": imported }),
        imported,
    )
}

/// Imports a whole database that `export-db` wrote, from a file, or stdin for `-`.
pub(crate) async fn import_db(context: &Context, db: &str, file: &Path, upsert: bool) -> Outcome {
    let mut input = Input::open(file, context.json)?;
    ensure_database(&context.client, db).await?;
    let shape = Shape::Database {
        upsert,
        collections: HashSet::new(),
        current: Arc::from(DEFAULT_COLLECTION),
    };
    let mut importer = Importer::new(context.client.database(db), shape);
    let result = run(&mut input, &mut importer).await;
    input.finish();
    let imported = importer.sender.imported();
    let collections = importer.shape.collections();
    let text = format!("{imported} documents of {collections} collections imported");
    let json = json!({ "imported": imported, "collections": collections });
    tell(context, result, text, json, imported)
}

/// Says what was imported, or in which line it failed.
fn tell(
    context: &Context,
    result: Result<(), (Option<u64>, Failure)>,
    text: String,
    json: serde_json::Value,
    imported: u64,
) -> Outcome {
    match result {
        Ok(()) => {
            output::answer(context, text, json)?;
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

/// What the pieces of a stream are, and where they go.
struct Importer {
    database: Database,
    sender: Sender,
    shape: Shape,
}

enum Shape {
    /// Documents of one collection.
    Collection { name: Arc<str>, ids: IdSource },
    /// Lines of a whole database.
    Database {
        upsert: bool,
        /// Those that are known to exist.
        collections: HashSet<Arc<str>>,
        /// The one of the last line.
        current: Arc<str>,
    },
}

impl Shape {
    fn collections(&self) -> usize {
        match self {
            Shape::Collection { .. } => 1,
            Shape::Database { collections, .. } => collections.len(),
        }
    }
}

impl Importer {
    fn new(database: Database, shape: Shape) -> Importer {
        Importer {
            sender: Sender::new(database.clone()),
            database,
            shape,
        }
    }

    async fn take(&mut self, piece: Piece) -> Result<(), (Option<u64>, Failure)> {
        let at = piece.line;
        let in_line = |failure| (Some(at), failure);
        match &mut self.shape {
            Shape::Collection { name, ids } => {
                let document = ids.document(piece).map_err(in_line)?;
                self.sender.push(name, document).await
            }
            Shape::Database {
                upsert,
                collections,
                current,
            } => {
                let line = whole::line(piece, *upsert).map_err(in_line)?;
                let name = match &line {
                    Line::Collection(name) | Line::Document(name, _) => name,
                };
                if **current != **name || !collections.contains(&**name) {
                    *current = Arc::from(name.as_str());
                    if !collections.contains(current) {
                        let ensured = ensure_collection(&self.database, name).await;
                        ensured.map_err(in_line)?;
                        collections.insert(Arc::clone(current));
                    }
                }
                match line {
                    Line::Collection(_) => Ok(()),
                    Line::Document(_, document) => self.sender.push(current, document).await,
                }
            }
        }
    }
}

/// Sends every document; on failure also says in which line, if it has one.
async fn run(input: &mut Input, importer: &mut Importer) -> Result<(), (Option<u64>, Failure)> {
    let mut splitter = Splitter::new();
    let mut stopped = None;
    while stopped.is_none() {
        let read = match input.next_chunk().await {
            Ok(Some(chunk)) => {
                splitter.feed(&chunk);
                send_all(|splitter| splitter.next(), &mut splitter, importer).await
            }
            Ok(None) => {
                stopped = Some(Ok(()));
                send_all(Splitter::finish, &mut splitter, importer).await
            }
            Err(failure) => Err((None, failure)),
        };
        input.show(importer.sender.imported());
        if let Err(failed) = read {
            stopped = Some(Err(failed));
        }
    }
    // What stands before a wrong line is written, and several batches are under way: what is told is
    // what is wrong first in the file.
    let sent = importer.sender.finish().await;
    match (stopped.unwrap_or(Ok(())), sent) {
        // One that is about no line in particular was not waited for.
        (Err(stopped), Err(sent)) => {
            let line = |failed: &(Option<u64>, Failure)| failed.0.unwrap_or(u64::MAX);
            Err(if line(&stopped) <= line(&sent) {
                stopped
            } else {
                sent
            })
        }
        (stopped, sent) => sent.and(stopped),
    }
}

async fn send_all(
    mut next: impl FnMut(&mut Splitter) -> Result<Option<Piece>, splitter::SplitError>,
    splitter: &mut Splitter,
    importer: &mut Importer,
) -> Result<(), (Option<u64>, Failure)> {
    loop {
        match next(splitter) {
            Ok(None) => return Ok(()),
            Ok(Some(piece)) => importer.take(piece).await?,
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
    ensure_collection(database, collection).await
}

/// Creates the collection unless it is there.
async fn ensure_collection(database: &Database, collection: &str) -> Result<(), Failure> {
    if collection == DEFAULT_COLLECTION {
        return Ok(());
    }
    match database.create_collection(collection).await {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}
