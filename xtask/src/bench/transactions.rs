//! Transactions beside the plain commits that they come to.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use docdb_engine::{DEFAULT_COLLECTION, Db, Error, TxnOptions, WriteOp};

use super::DOCUMENT_BYTES;
use super::embedded::Failure;
use super::sample::{Latencies, Sample, document};

/// Documents that each thread has for itself.
const DOCUMENTS_PER_THREAD: u64 = 64;
const HOT_DOCUMENT: u64 = 0;

/// What each thread does over and over, blocking until it is durable.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Overwrites one of its own documents by a plain commit.
    Plain,
    /// Reads one of its own documents and overwrites it, in a transaction.
    Snapshot,
    /// The same, serializable.
    Serializable,
    /// Counts up the one document that all have, with `Db::transact`.
    Hot,
}

pub(super) fn run(
    dir: &Path,
    work: Work,
    threads: usize,
    time: Duration,
) -> Result<Sample, Failure> {
    let db = Db::open(dir)?;
    let ids = threads as u64 * DOCUMENTS_PER_THREAD;
    let texts: Vec<_> = (1..=ids).map(|id| document(id, DOCUMENT_BYTES)).collect();
    let own = (1..).zip(&texts);
    let own = own.map(|(id, text)| WriteOp::create(DEFAULT_COLLECTION, id, text.as_bytes()));
    db.submit(&own.collect::<Vec<_>>()).wait()?;
    let zero = [WriteOp::create(DEFAULT_COLLECTION, HOT_DOCUMENT, b"0")];
    db.submit(&zero).wait()?;
    let committed = AtomicU64::new(0);
    let began = Instant::now();
    let one_thread = |thread: u64| {
        let mut latencies = Latencies::default();
        let mut turn = 0;
        while began.elapsed() < time {
            let id = 1 + thread * DOCUMENTS_PER_THREAD + turn % DOCUMENTS_PER_THREAD;
            turn += 1;
            let text = document(turn, DOCUMENT_BYTES);
            let start = Instant::now();
            match work {
                Work::Plain => {
                    let op = WriteOp::upsert(DEFAULT_COLLECTION, id, text.as_bytes());
                    db.submit(&[op]).wait()?;
                }
                Work::Snapshot => overwrite(&db, &TxnOptions::default(), id, &text)?,
                Work::Serializable => overwrite(&db, &TxnOptions::serializable(), id, &text)?,
                Work::Hot => count_up(&db)?,
            }
            latencies.note(start);
            committed.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, Failure>(latencies)
    };
    let mut all = Latencies::default();
    std::thread::scope(|scope| {
        let one_thread = &one_thread;
        let threads: Vec<_> = (0..threads as u64)
            .map(|thread| scope.spawn(move || one_thread(thread)))
            .collect();
        for thread in threads {
            all.merge(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok::<_, Failure>(())
    })?;
    let sample = all.sample(began.elapsed());
    if let Work::Hot = work {
        let counted = db.read(DEFAULT_COLLECTION, HOT_DOCUMENT)?;
        let counted: u64 = serde_json::from_slice(&counted.body)?;
        let committed = committed.into_inner();
        if counted != committed {
            return Err(format!("{committed} transactions have counted to {counted}").into());
        }
    }
    db.close()?;
    Ok(sample)
}

fn overwrite(db: &Db, options: &TxnOptions, id: u64, text: &str) -> Result<(), Error> {
    let mut txn = db.begin(options)?;
    txn.read(DEFAULT_COLLECTION, id)?;
    txn.update(DEFAULT_COLLECTION, id, text.as_bytes())?;
    txn.commit().wait()?;
    Ok(())
}

fn count_up(db: &Db) -> Result<(), Failure> {
    db.transact(&TxnOptions::default(), |txn| {
        let before = txn.read(DEFAULT_COLLECTION, HOT_DOCUMENT)?;
        let count: u64 = serde_json::from_slice(&before.body)?;
        let count = (count + 1).to_string();
        txn.update(DEFAULT_COLLECTION, HOT_DOCUMENT, count.as_bytes())?;
        Ok::<_, Failure>(())
    })
}
