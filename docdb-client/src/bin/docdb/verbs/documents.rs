//! Verbs about one document, and the count.

use std::process::ExitCode;

use docdb_client::RawCollection;
use serde_json::json;

use super::creating_database;
use crate::Context;
use crate::args::{DocumentArgs, EditArgs, PutArgs, WriteArgs};
use crate::failure::{EXIT_NO, Outcome};
use crate::json_text::export_line;
use crate::{input, output};

/// What becomes of a document that exists, or does not.
#[derive(Debug, Clone, Copy)]
pub(super) enum Put {
    Create,
    Update,
    Upsert,
}

pub(super) async fn put(context: &Context, put: Put, args: PutArgs) -> Outcome {
    let collection = collection(context, &args.document).with(args.write.options());
    let json = input::document(&args.body)?;
    let id = args.document.id;
    let written = match put {
        // A database is not created for this: there would be nothing to replace in it.
        Put::Update => collection.update(id, json).await?,
        Put::Create | Put::Upsert => {
            creating_database(&context.client, &args.document.db, async || match put {
                Put::Create => collection.create(id, json.clone()).await,
                _ => collection.upsert(id, json.clone()).await,
            })
            .await?
        }
    };
    output::written(context, written)?;
    Ok(ExitCode::SUCCESS)
}

/// How parts of a document are given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edit {
    Patch,
    Merge,
}

pub(super) async fn edit(context: &Context, edit: Edit, args: EditArgs) -> Outcome {
    // A database is not created for this: there would be nothing to change in it.
    let collection = collection(context, &args.document).with(args.write.options());
    let patch = input::document(&args.patch)?;
    let id = args.document.id;
    let written = match edit {
        Edit::Patch => collection.patch(id, patch).await?,
        Edit::Merge => collection.merge(id, patch).await?,
    };
    output::written(context, written)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn insert(
    context: &Context,
    db: &str,
    collection: &str,
    json: &str,
    write: &WriteArgs,
) -> Outcome {
    let collection = context
        .client
        .database(db)
        .raw_collection(collection)
        .with(write.options());
    let json = input::document(json)?;
    let written = creating_database(&context.client, db, async || {
        collection.insert(json.clone()).await
    })
    .await?;
    output::answer(
        context,
        written.id.to_string(),
        output::written_json(written),
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn get(context: &Context, args: DocumentArgs) -> Outcome {
    let document = collection(context, &args).get(args.id).await?;
    if context.json {
        let mut line = Vec::new();
        export_line(&mut line, None, args.id, document.version, &document.value);
        output::line(line)?;
    } else {
        output::line(document.value)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn delete(context: &Context, args: DocumentArgs, write: &WriteArgs) -> Outcome {
    // A database is not created for this: there would be nothing to delete in it.
    let written = collection(context, &args)
        .with(write.options())
        .delete(args.id)
        .await?;
    output::written(context, written)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn exists(context: &Context, args: DocumentArgs) -> Outcome {
    let exists = collection(context, &args).exists(args.id).await?;
    output::answer(context, exists.to_string(), json!({ "exists": exists }))?;
    Ok(if exists {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_NO)
    })
}

pub(super) async fn count(context: &Context, db: &str, collection: &str) -> Outcome {
    let count = context
        .client
        .database(db)
        .raw_collection(collection)
        .count()
        .await?;
    output::answer(context, count.to_string(), json!({ "count": count }))?;
    Ok(ExitCode::SUCCESS)
}

fn collection(context: &Context, args: &DocumentArgs) -> RawCollection {
    context
        .client
        .database(&args.db)
        .raw_collection(&args.collection)
}
