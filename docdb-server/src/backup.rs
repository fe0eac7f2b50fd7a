//! Backups: one at a time, on a worker thread, as long as somebody waits for it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use docdb_engine::backup::{BackupOptions, DatabaseBackup, Progress};
use docdb_engine::{Error, ErrorKind};
use docdb_ipc::{self as ipc, BackedUp, BackupRequest, Response};
use docdb_pool::{BackupReport, NotBackedUp, Which};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing::{error, info, warn};

use crate::convert;
use crate::execute::Outcome;
use crate::state::State;

/// Of how many databases that failed the answer says why. The log does of all.
const REASONS_MAX: usize = 1_000;

/// The place of the one backup that may run.
#[derive(Debug, Default)]
pub(crate) struct BackupPlace(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    dir: String,
    progress: Progress,
}

impl BackupPlace {
    /// How far the backup has come; null if there is none.
    pub(crate) fn stats(&self) -> Value {
        match &*self.0.lock() {
            None => Value::Null,
            Some(running) => json!({
                "dir": running.dir,
                "bytes_done": running.progress.bytes_done,
                "bytes_total": running.progress.bytes_total,
                "bytes_copied": running.progress.bytes_copied,
            }),
        }
    }

    fn take(&self, dir: &str) -> Result<Taken<'_>, Error> {
        let mut place = self.0.lock();
        if let Some(running) = &*place {
            let message = format!(
                "a backup into {} is being taken; one is at a time",
                running.dir
            );
            return Err(Error::new(ErrorKind::Busy, message));
        }
        *place = Some(Running {
            dir: dir.to_owned(),
            progress: Progress::default(),
        });
        Ok(Taken(self))
    }

    fn note(&self, progress: &Progress) {
        if let Some(running) = &mut *self.0.lock() {
            running.progress = *progress;
        }
    }
}

/// Gives the place back, also after a panic.
struct Taken<'a>(&'a BackupPlace);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}

/// Takes a backup.
pub(crate) fn run(state: &State, request: &BackupRequest, gives_up: &AtomicBool) -> Outcome {
    let dir = request.dir.as_str();
    let response = match take(state, request, gives_up) {
        Ok(report) => {
            log(dir, &report);
            Response::BackedUp(answer(report))
        }
        Err(error) => {
            let is_asked_for = matches!(
                error.kind(),
                ErrorKind::Busy | ErrorKind::Cancelled | ErrorKind::InvalidArgument
            );
            if is_asked_for {
                info!(dir, "a backup was not taken: {error}");
            } else {
                error!(alert = true, dir, "a backup failed: {error}");
            }
            convert::failed(&error)
        }
    };
    Outcome::Response(response)
}

fn take(
    state: &State,
    request: &BackupRequest,
    gives_up: &AtomicBool,
) -> Result<BackupReport, Error> {
    let dir = Path::new(request.dir.as_str());
    if !dir.is_absolute() {
        let message = format!(
            "the path of a backup must be absolute, and {} is not: it is one on the server's host",
            dir.display()
        );
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let _taken = state.backup.take(&request.dir)?;
    let names: Vec<String> = request
        .databases
        .iter()
        .map(|name| name.to_string())
        .collect();
    let which = if names.is_empty() {
        Which::All
    } else {
        Which::Named(&names)
    };
    let rate = request.bytes_per_second.unwrap_or(0);
    let options = BackupOptions::default().bytes_per_second(rate);
    let mut listener = |progress: &Progress| {
        state.backup.note(progress);
        if gives_up.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    state.pool.backup(dir, which, options, &mut listener)
}

fn log(dir: &str, report: &BackupReport) {
    for done in &report.databases {
        if done.files_renewed > 0 {
            warn!(
                dir,
                database = done.name,
                files = done.files_renewed,
                "files of the backup before were damaged or missing, and were copied anew"
            );
        }
    }
    for failed in &report.failed {
        let (database, kept) = (failed.name.as_str(), failed.kept_version);
        error!(
            alert = true,
            dir,
            database,
            kept_version = kept,
            "a database was not backed up: {}",
            failed.error
        );
    }
    let copied: u64 = report.databases.iter().map(|done| done.bytes_copied).sum();
    info!(
        dir,
        databases = report.databases.len(),
        failed = report.failed.len(),
        copied,
        "a backup was taken"
    );
}

fn answer(report: BackupReport) -> ipc::BackupReport {
    let mut failed: Vec<_> = report.failed.into_iter().map(not_backed_up).collect();
    for failed in failed.iter_mut().skip(REASONS_MAX) {
        failed.error.message = "see the server's log".to_owned();
    }
    ipc::BackupReport {
        databases: report.databases.into_iter().map(backed_up).collect(),
        failed,
    }
}

fn not_backed_up(failed: NotBackedUp) -> ipc::NotBackedUp {
    ipc::NotBackedUp {
        name: failed.name.into(),
        id: failed.id,
        kept_version: failed.kept_version,
        error: convert::wire_error(&failed.error),
    }
}

fn backed_up(done: DatabaseBackup) -> BackedUp {
    BackedUp {
        name: done.name.into(),
        id: done.id,
        version: done.version,
        documents: done.documents,
        files_copied: done.files_copied,
        files_extended: done.files_extended,
        files_reused: done.files_reused,
        files_renewed: done.files_renewed,
        bytes_copied: done.bytes_copied,
        bytes: done.bytes,
    }
}
