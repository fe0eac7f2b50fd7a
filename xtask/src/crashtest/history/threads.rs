//! A history of threads in this process, on the real disk, where whoever waits for a commit flushes it
//! or is woken by who does: a wake-up that is lost is a wait without an end.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use docdb_crashtest::histories::{Engine, quiet};
use docdb_history::{History, RunError, RunOptions, Workload, run_threads};

use super::kind::{Judged, Kind};

/// Few, since who is left waiting is seen when the others have come to their end.
const TXNS: u64 = 600;

/// Between so many transactions the database is closed and opened.
const REOPENED_EVERY: u64 = 250;

/// A history that takes so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(15);

/// Runs and judges one history in a new directory.
pub(super) fn run(dir: PathBuf, kind: Kind, seed: u64) -> Result<Judged, String> {
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let workload = kind.workload();
        let judged = match kind {
            Kind::Documents(_) => kind.judge_documents(history(&dir, &*workload, seed)),
            _ => kind.judge_lists(history(&dir, &*workload, seed)),
        };
        // Nobody listens any more to a history that was given up.
        let _ = send.send(judged);
    });
    match receive.recv_timeout(HANGS_AFTER) {
        Ok(judged) => Ok(judged),
        Err(RecvTimeoutError::Disconnected) => Ok(broken("a thread panicked".to_owned())),
        // Its threads cannot be ended; they wait until the process ends.
        Err(RecvTimeoutError::Timeout) => Ok(broken(format!(
            "{TXNS} transactions have not come to an end within {} s: somebody waits for ever",
            HANGS_AFTER.as_secs()
        ))),
    }
}

fn broken(what: String) -> Judged {
    Judged {
        violation: Some(what),
        ..Judged::default()
    }
}

fn history<H: History>(dir: &Path, workload: &dyn Workload, seed: u64) -> Result<H, RunError> {
    let engine = Engine::by_hand(dir, REOPENED_EVERY);
    let engine = engine.map_err(|error| RunError {
        process: 0,
        what: error.to_string(),
    })?;
    let options = RunOptions {
        seed,
        txns: TXNS,
        ..RunOptions::default()
    };
    let history = run_threads(&engine, workload, options, &quiet)?;
    let closed = engine.db().close();
    closed.map_err(|error| RunError {
        process: 0,
        what: format!("closing: {error}"),
    })?;
    Ok(history)
}
