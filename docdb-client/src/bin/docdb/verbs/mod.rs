//! The one-shot verbs.

mod admin;
mod backup;
mod documents;
pub(crate) mod figures;
pub(crate) mod heal;
mod scan;

use docdb_client::{Client, ErrorKind};

use crate::args::Verb;
use crate::failure::Outcome;
use crate::{Context, apply, export, import};

/// Runs a verb; the shell is not one of them.
pub(crate) async fn run(context: &Context, verb: Verb) -> Outcome {
    match verb {
        Verb::Ping => admin::ping(context).await,
        Verb::Databases => admin::databases(context).await,
        Verb::CreateDatabase { db, durability } => {
            admin::create_database(context, &db, durability.as_deref()).await
        }
        Verb::DropDatabase { db } => admin::drop_database(context, &db).await,
        Verb::Collections { db } => admin::collections(context, &db).await,
        Verb::CreateCollection { db, collection } => {
            admin::create_collection(context, &db, &collection).await
        }
        Verb::DropCollection {
            db,
            collection,
            force,
        } => admin::drop_collection(context, &db, &collection, force).await,
        Verb::Stats { db } => admin::stats(context, db.as_deref()).await,
        Verb::Mem => figures::mem(context).await,
        Verb::Wal { db } => figures::wal(context, &db).await,
        Verb::Checkpoint { db } => admin::checkpoint(context, &db).await,
        Verb::Compact { db } => admin::compact(context, &db).await,
        Verb::Heal(args) => heal::heal(context, &args).await,
        Verb::HealAll { db } => heal::heal_all(context, &db).await,
        Verb::HealStats { db } => heal::heal_stats(context, &db).await,
        Verb::Create(args) => documents::put(context, documents::Put::Create, args).await,
        Verb::Update(args) => documents::put(context, documents::Put::Update, args).await,
        Verb::Put(args) => documents::put(context, documents::Put::Upsert, args).await,
        Verb::Patch(args) => documents::edit(context, documents::Edit::Patch, args).await,
        Verb::Merge(args) => documents::edit(context, documents::Edit::Merge, args).await,
        Verb::Apply { db, file } => apply::apply(context, &db, &file).await,
        Verb::Insert {
            db,
            collection,
            body,
            write,
        } => documents::insert(context, &db, &collection, &body, &write).await,
        Verb::Get(args) => documents::get(context, args).await,
        Verb::Del { document, write } => documents::delete(context, document, &write).await,
        Verb::Exists(args) => documents::exists(context, args).await,
        Verb::Count { db, collection } => documents::count(context, &db, &collection).await,
        Verb::Scan {
            db,
            collection,
            from,
            to,
            limit,
            reverse,
        } => {
            let range = scan::Range {
                from,
                to,
                limit,
                reverse,
            };
            scan::scan(context, &db, &collection, range).await
        }
        Verb::Import {
            db,
            collection,
            file,
            id_field,
            upsert,
        } => {
            let options = import::Options { id_field, upsert };
            import::import(context, &db, &collection, &file, options).await
        }
        Verb::Export {
            db,
            collection,
            file,
        } => export::export(context, &db, &collection, &file).await,
        Verb::ExportDb { db, file } => export::export_db(context, &db, &file).await,
        Verb::ImportDb { db, file, upsert } => import::import_db(context, &db, &file, upsert).await,
        Verb::Backup {
            dir,
            databases,
            bytes_per_second,
        } => backup::backup(context, &dir, &databases, bytes_per_second).await,
        Verb::Shell { .. } => unreachable!("the shell runs outside the runtime"),
    }
}

/// Creates the database unless it is there.
pub(crate) async fn ensure_database(client: &Client, db: &str) -> docdb_client::Result<()> {
    match client.create_database(db, None).await {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes a call, and once more in a new database if there was none: a database is created when it
/// is first written to.
pub(crate) async fn creating_database<T>(
    client: &Client,
    db: &str,
    call: impl AsyncFn() -> docdb_client::Result<T>,
) -> docdb_client::Result<T> {
    match call().await {
        Err(error) if error.kind() == ErrorKind::DatabaseNotFound => {
            ensure_database(client, db).await?;
            call().await
        }
        result => result,
    }
}
