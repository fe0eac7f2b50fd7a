//! The verb `export`.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use docdb_client::RawCollection;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::Context;
use crate::failure::{Failure, Outcome};
use crate::json_text::export_line;
use crate::output::{self, OUTPUT_BYTES};

/// Documents between two updates of the progress bar.
const DOCUMENTS_PER_UPDATE: u64 = 1_000;

/// Writes a collection as NDJSON to a file, or to stdout for `-`.
///
/// A file that is there is replaced at the end and not before: a failed export leaves it alone.
pub(crate) async fn export(context: &Context, db: &str, collection: &str, file: &Path) -> Outcome {
    let collection = context.client.database(db).raw_collection(collection);
    // Also says that the collection exists before a file is made for it.
    let count = collection.count().await?;
    if file == Path::new("-") {
        // On a terminal the documents are the progress.
        let progress = if io::stdout().is_terminal() {
            ProgressBar::hidden()
        } else {
            progress(context, count)
        };
        let out = BufWriter::with_capacity(OUTPUT_BYTES, io::stdout().lock());
        write_all(&collection, out, &progress).await?;
        return Ok(ExitCode::SUCCESS);
    }

    let name = file.display().to_string();
    let failed = |error: io::Error| Failure::file(&name, &error);
    let progress = progress(context, count);
    // Through a pipe or device it is written to, not around it.
    let in_place = fs::metadata(file).is_ok_and(|metadata| !metadata.is_file());
    let exported = if in_place {
        let out = File::options().write(true).open(file).map_err(failed)?;
        write_all(
            &collection,
            BufWriter::with_capacity(OUTPUT_BYTES, out),
            &progress,
        )
        .await?
        .1
    } else {
        let partial = Partial::create(file).map_err(failed)?;
        let out = partial.file.try_clone().map_err(failed)?;
        let out = BufWriter::with_capacity(OUTPUT_BYTES, out);
        let (_, exported) = write_all(&collection, out, &progress).await?;
        partial.finish(file).map_err(failed)?;
        exported
    };
    let text = format!("{exported} documents exported");
    output::answer(context, text, json!({ "exported": exported }))?;
    Ok(ExitCode::SUCCESS)
}

async fn write_all<W: Write>(
    collection: &RawCollection,
    mut out: W,
    progress: &ProgressBar,
) -> Result<(W, u64), Failure> {
    let mut scan = collection.scan(..);
    let mut line = Vec::new();
    let mut exported = 0;
    while let Some(document) = scan.next().await? {
        line.clear();
        export_line(&mut line, document.id, document.version, &document.value);
        line.push(b'\n');
        out.write_all(&line)?;
        exported += 1;
        if exported % DOCUMENTS_PER_UPDATE == 0 {
            progress.set_position(exported);
        }
    }
    out.flush()?;
    progress.finish_and_clear();
    Ok((out, exported))
}

fn progress(context: &Context, count: u64) -> ProgressBar {
    if context.json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let progress = ProgressBar::new(count);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} documents {eta}") {
        progress.set_style(style);
    }
    progress
}

/// A file under a temporary name, removed unless it is finished.
struct Partial {
    path: PathBuf,
    file: File,
    finished: bool,
}

impl Partial {
    fn create(target: &Path) -> io::Result<Partial> {
        let mut name = target
            .file_name()
            .ok_or(io::ErrorKind::InvalidInput)?
            .to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = target.with_file_name(name);
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Partial {
            path,
            file,
            finished: false,
        })
    }

    fn finish(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            // There is nobody to tell; the failure that led here is told.
            let _ = fs::remove_file(&self.path);
        }
    }
}
