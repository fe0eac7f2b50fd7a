//! Healing for clients.

use std::sync::atomic::{AtomicBool, Ordering};

use docdb_engine::{Error, HealOptions, HealOutcome, HealProgress, HealStats};
use docdb_ipc::{Response, UnhealableDocument};
use docdb_types::ErrorKind;
use serde_json::{Value, json};

use crate::convert;
use crate::state::State;

/// Longest text that says where something is damaged, in bytes.
const WHAT_BYTES_MAX: usize = 1024;

/// Verifies a document, and restores it if it is damaged.
pub(crate) fn heal(state: &State, db: &str, collection: &str, id: u64) -> Result<Response, Error> {
    let (outcome, what) = match state.pool.database(db)?.heal(collection, id)? {
        HealOutcome::Intact => (docdb_ipc::HealOutcome::Intact, None),
        HealOutcome::Healed => (docdb_ipc::HealOutcome::Healed, None),
        HealOutcome::Unhealable(error) => (docdb_ipc::HealOutcome::Unhealable, Some(what(&error))),
        HealOutcome::NotFound => {
            let message = format!("document {id} of collection {collection:?} does not exist");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        _ => {
            return Err(Error::new(
                ErrorKind::Internal,
                "an unknown outcome of a heal",
            ));
        }
    };
    Ok(Response::Healed {
        outcome,
        what: what.map(Into::into),
    })
}

/// Verifies all of a database, and restores what is damaged, until `is_cancelled`.
pub(crate) fn heal_all(state: &State, db: &str, is_cancelled: &AtomicBool) -> Response {
    let go_on = |_: HealProgress| !is_cancelled.load(Ordering::Relaxed);
    let mut options = HealOptions::default();
    options.on_progress = Some(&go_on);
    let healed = state.pool.database(db).and_then(|db| db.heal_all(&options));
    let report = match healed {
        Ok(report) => report,
        Err(error) => return convert::failed(&error),
    };
    let documents = report.unhealable_documents.iter();
    let documents = documents.map(|document| UnhealableDocument {
        collection: document.collection.as_str().into(),
        id: document.id,
        version: document.version,
        what: what(&document.error).into(),
    });
    Response::HealedAll(docdb_ipc::HealReport {
        files: report.files,
        bytes: report.bytes,
        found: report.found,
        healed: report.healed,
        unhealable: report.unhealable,
        index_pages_damaged: report.index_pages_damaged,
        unhealable_documents: documents.collect(),
        places: report
            .places
            .iter()
            .map(|place| what(place).into())
            .collect(),
    })
}

fn what(error: &Error) -> String {
    let text = error.to_string();
    text[..text.floor_char_boundary(WHAT_BYTES_MAX)].to_owned()
}

/// What healing has found and done.
pub(crate) fn stats(stats: &HealStats) -> Value {
    let age = |age: Option<std::time::Duration>| age.map(|age| age.as_secs_f64());
    json!({
        "scans": stats.scans,
        "last_scan_seconds_ago": age(stats.since_scan),
        "scanned_bytes": stats.scanned_bytes,
        "scan_done_bytes": stats.scan_done_bytes,
        "scan_todo_bytes": stats.scan_todo_bytes,
        "found": stats.found,
        "last_found_seconds_ago": age(stats.since_found),
        "healed": stats.healed,
        "last_healed_seconds_ago": age(stats.since_healed),
        "healed_on_demand": stats.healed_on_demand,
        "healed_in_background": stats.healed_in_background,
        "rescued_reads": stats.rescued_reads,
        "unhealable": stats.unhealable,
        "unhealable_now": stats.unhealable_now,
        "waiting": stats.waiting,
        "index_pages_damaged": stats.index_pages_damaged,
        "headers_damaged": stats.headers_damaged,
        "log_damaged": stats.log_damaged,
    })
}
