//! Verbs about databases, collections and the server.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::creating_database;
use crate::Context;
use crate::failure::Outcome;
use crate::output;

pub(super) async fn ping(context: &Context) -> Outcome {
    context.client.ping().await?;
    output::ok(context)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn databases(context: &Context) -> Outcome {
    let list = context.client.databases().await?;
    if context.json {
        let list: Vec<Value> = list
            .iter()
            .map(|info| {
                json!({
                    "name": info.name,
                    "id": info.id,
                    "durability": info.durability,
                    "open": info.open,
                })
            })
            .collect();
        output::line(Value::from(list).to_string())?;
    } else {
        for info in list {
            output::line(info.name)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn create_database(
    context: &Context,
    db: &str,
    durability: Option<&str>,
) -> Outcome {
    context.client.create_database(db, durability).await?;
    output::ok(context)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn drop_database(context: &Context, db: &str) -> Outcome {
    context.client.drop_database(db).await?;
    output::ok(context)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn collections(context: &Context, db: &str) -> Outcome {
    let list = context.client.database(db).collections().await?;
    if context.json {
        let list: Vec<Value> = list
            .iter()
            .map(|info| json!({ "name": info.name, "id": info.id, "documents": info.documents }))
            .collect();
        output::line(Value::from(list).to_string())?;
    } else {
        for info in list {
            output::line(format!("{}\t{}", info.name, info.documents))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn create_collection(context: &Context, db: &str, name: &str) -> Outcome {
    let database = context.client.database(db);
    creating_database(&context.client, db, async || {
        database.create_collection(name).await
    })
    .await?;
    output::ok(context)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn drop_collection(
    context: &Context,
    db: &str,
    name: &str,
    force: bool,
) -> Outcome {
    context
        .client
        .database(db)
        .drop_collection(name, force)
        .await?;
    output::ok(context)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn stats(context: &Context, db: Option<&str>) -> Outcome {
    let stats = match db {
        Some(db) => context.client.database(db).stats().await?,
        None => context.client.stats().await?,
    };
    output::answer(context, format!("{stats:#}"), stats)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn checkpoint(context: &Context, db: &str) -> Outcome {
    context.client.database(db).checkpoint().await?;
    output::ok(context)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn compact(context: &Context, db: &str) -> Outcome {
    let done = context.client.database(db).compact().await?;
    let text = format!(
        "OK files={} documents_moved={} data_bytes={} before={}",
        done.files, done.documents_moved, done.bytes_after, done.bytes_before
    );
    let json = json!({
        "files": done.files,
        "documents_moved": done.documents_moved,
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
    });
    output::answer(context, text, json)?;
    Ok(ExitCode::SUCCESS)
}
