//! The verb `backup`.

use std::io::{self, IsTerminal};
use std::path::{Component, Path, PathBuf, absolute};
use std::process::ExitCode;
use std::time::Duration;

use docdb_client::{BackedUp, BackupOptions, Client, ErrorKind, NotBackedUp};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{self, progress_style};

/// Between two questions how far the server has come.
const ASK_EVERY: Duration = Duration::from_millis(300);

pub(super) async fn backup(
    context: &Context,
    dir: &Path,
    databases: &[String],
    bytes_per_second: Option<u64>,
) -> Outcome {
    let dir =
        on_this_host(dir).map_err(|error| Failure::file(&dir.display().to_string(), &error))?;
    let Some(dir) = dir.to_str() else {
        return Err(Failure::usage("the directory's name is not UTF-8"));
    };
    let mut options = BackupOptions::new().databases(databases);
    if let Some(rate) = bytes_per_second {
        options = options.bytes_per_second(rate);
    }
    let taking = context.client.backup(dir, &options);
    let report = if context.json || !io::stderr().is_terminal() {
        taking.await?
    } else {
        let progress = ProgressBar::new(0);
        progress.set_style(progress_style(true));
        let showing = tokio::spawn(show(context.client.clone(), progress.clone()));
        let report = taking.await;
        showing.abort();
        progress.finish_and_clear();
        report?
    };
    let list = &report.databases;
    if context.json {
        let list: Vec<Value> = list.iter().map(as_json).collect();
        let failed: Vec<Value> = report.failed.iter().map(failed_as_json).collect();
        let json = json!({ "dir": dir, "databases": list, "failed": failed });
        output::line(json.to_string())?;
        return outcome(&report.failed);
    }
    for done in list {
        output::line(format!(
            "{}\tversion={} documents={} bytes={} copied={} files={} extended={} reused={} renewed={}",
            done.name,
            done.version,
            done.documents,
            done.bytes,
            done.bytes_copied,
            done.files_copied,
            done.files_extended,
            done.files_reused,
            done.files_renewed,
        ))?;
    }
    if report.failed.is_empty() {
        output::line(format!("OK databases={} dir={dir}", list.len()))?;
    }
    outcome(&report.failed)
}

/// Tells of every database that is not in the backup as it should be; the exit code is that of the worst.
fn outcome(failed: &[NotBackedUp]) -> Outcome {
    let mut code = ExitCode::SUCCESS;
    let is_corrupt = |failed: &&NotBackedUp| failed.error.kind() == ErrorKind::Corrupt;
    let others = failed.iter().filter(|failed| !is_corrupt(failed));
    for failed in others.chain(failed.iter().filter(is_corrupt)) {
        let kept = match failed.kept_version {
            Some(version) => format!("the backup has it as it was at version {version}"),
            None => "it is not in the backup".to_owned(),
        };
        let message = format!(
            "{} ({kept}; the others were backed up)",
            failed.error.message
        );
        code = Failure::new(failed.error.kind(), message).report();
    }
    Ok(code)
}

/// The path as the server is to have it, which takes none that leads up by `..`: a relative one is one
/// on this host, whose directories say where that is.
fn on_this_host(dir: &Path) -> io::Result<PathBuf> {
    let leads_up = dir.components().any(|part| part == Component::ParentDir);
    if dir.is_absolute() || !leads_up {
        return absolute(dir);
    }
    match (dir.parent(), dir.file_name()) {
        (Some(above), Some(name)) => Ok(above.canonicalize()?.join(name)),
        // It ends in `..`.
        _ => dir.canonicalize(),
    }
}

/// Shows what the server's statistics say of the backup, until it is stopped.
async fn show(client: Client, progress: ProgressBar) {
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        // The backup itself says what is wrong, if anything is.
        let Ok(stats) = client.stats().await else {
            continue;
        };
        let backup = &stats["backup"];
        if let (Some(done), Some(total)) = (
            backup["bytes_done"].as_u64(),
            backup["bytes_total"].as_u64(),
        ) {
            progress.set_length(total);
            progress.set_position(done);
        }
    }
}

fn as_json(done: &BackedUp) -> Value {
    json!({
        "name": done.name.as_str(),
        "id": done.id,
        "version": done.version,
        "documents": done.documents,
        "files_copied": done.files_copied,
        "files_extended": done.files_extended,
        "files_reused": done.files_reused,
        "files_renewed": done.files_renewed,
        "bytes_copied": done.bytes_copied,
        "bytes": done.bytes,
    })
}

fn failed_as_json(failed: &NotBackedUp) -> Value {
    json!({
        "name": failed.name.as_str(),
        "id": failed.id,
        "kept_version": failed.kept_version,
        "kind": failed.error.kind().name(),
        "message": failed.error.message,
    })
}
