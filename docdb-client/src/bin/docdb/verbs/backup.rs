//! The verb `backup`.

use std::io::{self, IsTerminal};
use std::path::{Path, absolute};
use std::process::ExitCode;
use std::time::Duration;

use docdb_client::{BackedUp, BackupOptions, Client};
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
    let dir = absolute(dir).map_err(|error| Failure::file(&dir.display().to_string(), &error))?;
    let Some(dir) = dir.to_str() else {
        return Err(Failure::usage("the directory's name is not UTF-8"));
    };
    let mut options = BackupOptions::new().databases(databases);
    if let Some(rate) = bytes_per_second {
        options = options.bytes_per_second(rate);
    }
    let taking = context.client.backup(dir, &options);
    let list = if context.json || !io::stderr().is_terminal() {
        taking.await?
    } else {
        let progress = ProgressBar::new(0);
        progress.set_style(progress_style(true));
        let showing = tokio::spawn(show(context.client.clone(), progress.clone()));
        let list = taking.await;
        showing.abort();
        progress.finish_and_clear();
        list?
    };
    if context.json {
        let list: Vec<Value> = list.iter().map(as_json).collect();
        output::line(json!({ "dir": dir, "databases": list }).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    for done in &list {
        output::line(format!(
            "{}\tversion={} documents={} bytes={} copied={} files={} extended={} reused={}",
            done.name,
            done.version,
            done.documents,
            done.bytes,
            done.bytes_copied,
            done.files_copied,
            done.files_extended,
            done.files_reused,
        ))?;
    }
    output::line(format!("OK databases={} dir={dir}", list.len()))?;
    Ok(ExitCode::SUCCESS)
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
        "bytes_copied": done.bytes_copied,
        "bytes": done.bytes,
    })
}
