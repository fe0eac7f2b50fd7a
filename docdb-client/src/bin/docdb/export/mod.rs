//! The verbs `export` and `export-db`.

mod pump;
mod target;

use std::path::Path;
use std::process::ExitCode;

use docdb_client::{CollectionInfo, RawCollection, Snapshot};
use indicatif::ProgressBar;
use serde_json::json;

use self::pump::Pump;
use self::target::Target;
use crate::Context;
use crate::failure::{Failure, Outcome};
use crate::json_text::export_line;
use crate::output;

/// Documents between two updates of the progress bar.
const DOCUMENTS_PER_UPDATE: u64 = 1_000;

/// Writes a collection as NDJSON to a file, or to stdout for `-`.
pub(crate) async fn export(context: &Context, db: &str, collection: &str, file: &Path) -> Outcome {
    let collection = context.client.database(db).raw_collection(collection);
    // Also says that the collection exists before a file is made for it.
    let count = collection.count().await?;
    let target = Target::open(file)?;
    let mut writing = Writing::begin(context, &target, count, None)?;
    let outcome = writing.documents(&collection, None).await;
    let exported = writing.finish(outcome).await?;
    if target.is_stdout() {
        return Ok(ExitCode::SUCCESS);
    }
    target.finish()?;
    let text = format!("{exported} documents exported");
    output::answer(context, text, json!({ "exported": exported }))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a whole database as NDJSON, from one snapshot: a line for each collection, so that empty ones
/// are in it, then the documents.
pub(crate) async fn export_db(context: &Context, db: &str, file: &Path) -> Outcome {
    let snapshot = context.client.database(db).snapshot().await?;
    let collections = snapshot.collections().await?;
    let target = Target::open(file)?;
    let count = collections.iter().map(|info| info.documents).sum();
    let mut writing = Writing::begin(context, &target, count, Some(snapshot.clone()))?;
    let outcome = writing.database(&snapshot, &collections).await;
    let (version, count) = (snapshot.version(), collections.len());
    if outcome.is_ok() {
        // All was read; it may take long until it is written.
        snapshot.close().await?;
    }
    let exported = writing.finish(outcome).await?;
    if target.is_stdout() {
        return Ok(ExitCode::SUCCESS);
    }
    target.finish()?;
    let text = format!("{exported} documents of {count} collections exported, version {version}");
    let json = json!({ "exported": exported, "collections": count, "version": version });
    output::answer(context, text, json)?;
    Ok(ExitCode::SUCCESS)
}

/// An export under way.
struct Writing {
    out: Pump,
    exported: u64,
    progress: ProgressBar,
}

impl Writing {
    fn begin(
        context: &Context,
        target: &Target,
        count: u64,
        snapshot: Option<Snapshot>,
    ) -> Result<Writing, Failure> {
        Ok(Writing {
            out: Pump::start(target.writer()?, snapshot),
            exported: 0,
            progress: target.progress(context, count),
        })
    }

    async fn database(
        &mut self,
        snapshot: &Snapshot,
        collections: &[CollectionInfo],
    ) -> Result<(), Failure> {
        for info in collections {
            let line = json!({ "collection": info.name }).to_string();
            self.out.line(line.as_bytes()).await?;
        }
        for info in collections {
            let collection = snapshot.raw_collection(&info.name);
            self.documents(&collection, Some(&info.name)).await?;
        }
        Ok(())
    }

    /// Writes a collection's documents, with its name if it is given.
    async fn documents(
        &mut self,
        collection: &RawCollection,
        name: Option<&str>,
    ) -> Result<(), Failure> {
        let mut scan = collection.scan(..);
        let mut line = Vec::new();
        while let Some(document) = scan.next().await? {
            line.clear();
            export_line(
                &mut line,
                name,
                document.id,
                document.version,
                &document.value,
            );
            self.out.line(&line).await?;
            self.exported += 1;
            if self.exported.is_multiple_of(DOCUMENTS_PER_UPDATE) {
                self.progress.set_position(self.exported);
            }
        }
        Ok(())
    }

    /// What could not be written is told rather than that there was nobody to write to.
    async fn finish(self, outcome: Result<(), Failure>) -> Result<u64, Failure> {
        let written = self.out.finish().await;
        self.progress.finish_and_clear();
        match (outcome, written) {
            (Ok(()) | Err(Failure::OutputClosed), Err(written)) => Err(written),
            (outcome, _) => outcome.map(|()| self.exported),
        }
    }
}
