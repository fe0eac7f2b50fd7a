//! What the pool's tests share.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::Path;
use std::sync::Arc;

use docdb_pool::engine::vfs::Vfs;
use docdb_pool::engine::{Error, ErrorKind, Precondition, WriteKind, WriteOp};
use docdb_pool::{DbHandle, Pool, PoolEvent, PoolOptions};
use parking_lot::Mutex;

pub(crate) type Events = Arc<Mutex<Vec<PoolEvent>>>;

/// Options that collect events.
pub(crate) fn recording(options: PoolOptions) -> (PoolOptions, Events) {
    let events = Events::default();
    let sink = events.clone();
    (
        options.listener(move |event| sink.lock().push(event.clone())),
        events,
    )
}

pub(crate) fn upsert<'a>(id: u64, body: &'a [u8]) -> WriteOp<'a> {
    WriteOp {
        kind: WriteKind::Upsert,
        collection: "_default",
        id,
        precondition: Precondition::None,
        body,
    }
}

/// Writes a document and waits until it is durable.
pub(crate) fn put(db: &DbHandle, id: u64, body: &str) -> Result<u64, Error> {
    Ok(db.submit(&[upsert(id, body.as_bytes())]).wait()?.version)
}

pub(crate) fn get(db: &DbHandle, id: u64) -> Result<String, Error> {
    let document = db.read("_default", id)?;
    Ok(String::from_utf8(document.body.to_vec()).unwrap())
}

pub(crate) fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    match result {
        Ok(_) => panic!("succeeded"),
        Err(error) => error.kind(),
    }
}

pub(crate) fn names(pool: &Pool) -> Vec<String> {
    pool.list().into_iter().map(|info| info.name).collect()
}

pub(crate) fn open(vfs: &(impl Vfs + Clone + 'static), dir: &Path) -> Pool {
    Pool::open(Arc::new(vfs.clone()), dir, PoolOptions::manual()).unwrap()
}
