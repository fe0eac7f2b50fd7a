//! Readers beside writers of whole batches: nobody ever sees a part of one.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use docdb_engine::{Db, Error, ScanRequest, WriteOp};

/// Documents of a batch: so many that it takes its time to be installed.
const DOCUMENTS: u64 = 1_000;

/// Writers of such batches.
const WRITERS: usize = 2;

/// Writers write so many batches each into a new database at `dir`, while a reader scans. Says how
/// often it did, or what it saw of a batch that was not whole.
///
/// # Errors
///
/// The database fails.
pub fn torn_batches(dir: &Path, batches: usize) -> Result<Result<u64, String>, Error> {
    let db = Db::open(dir)?;
    let (torn, writing) = (AtomicBool::new(false), AtomicUsize::new(WRITERS));
    let failed = Mutex::new(None);
    let write = || {
        let batch: Vec<_> = (0..DOCUMENTS)
            .map(|id| WriteOp::upsert("_default", id, b"1"))
            .collect();
        for _ in 0..batches {
            if torn.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = db.submit(&batch).wait() {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert(error);
                break;
            }
        }
        writing.fetch_sub(1, Ordering::Relaxed);
    };
    let seen = std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(write);
        }
        let mut scans = 0;
        while writing.load(Ordering::Relaxed) > 0 {
            if let Err(what) = scan(&db) {
                torn.store(true, Ordering::Relaxed);
                return Err(what);
            }
            scans += 1;
        }
        Ok(scans)
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => {
            db.close()?;
            Ok(seen)
        }
    }
}

/// One scan, which must see nothing or a whole batch.
fn scan(db: &Db) -> Result<(), String> {
    let request = ScanRequest {
        collection: "_default".into(),
        ..Default::default()
    };
    // A version that was pruned too early is missed by an error.
    let items = db
        .scan(&request)
        .and_then(|mut scan| scan.next_chunk(DOCUMENTS as usize, usize::MAX));
    let items = items.map_err(|error| format!("a scan beside writers of batches: {error}"))?;
    let is_whole = items.is_empty() || items.len() as u64 == DOCUMENTS;
    match items.iter().find(|item| item.version != items[0].version) {
        None if is_whole => Ok(()),
        None => Err(format!(
            "a scan saw {} documents of a batch of {DOCUMENTS}",
            items.len()
        )),
        Some(other) => Err(format!(
            "a scan saw documents of the batches {} and {}, which write the same ones",
            items[0].version, other.version
        )),
    }
}
