//! Short words for what tests of transactions do.

use docdb_engine::{
    Committed, Db, Durability, Error, ErrorKind, Isolation, ScanItem, ScanRequest, Txn, TxnOptions,
    WriteOp,
};

pub(crate) const C: &str = "_default";

pub(crate) fn begin(db: &Db) -> Txn {
    db.begin(&TxnOptions::default()).unwrap()
}

pub(crate) fn begin_serializable(db: &Db) -> Txn {
    db.begin(&TxnOptions::serializable()).unwrap()
}

pub(crate) fn begin_as(db: &Db, isolation: Isolation) -> Txn {
    match isolation {
        Isolation::Snapshot => begin(db),
        Isolation::Serializable => begin_serializable(db),
    }
}

/// Writes without a transaction.
pub(crate) fn put(db: &Db, id: u64, body: &str) -> u64 {
    let op = WriteOp::upsert(C, id, body.as_bytes());
    db.submit(&[op]).wait().unwrap().version
}

pub(crate) fn remove(db: &Db, id: u64) -> u64 {
    db.submit(&[WriteOp::delete(C, id)]).wait().unwrap().version
}

/// The document without a transaction; empty if there is none.
pub(crate) fn get(db: &Db, id: u64) -> String {
    body(db.read(C, id).map(|document| document.body.to_vec()))
}

pub(crate) fn txn_get(txn: &mut Txn, id: u64) -> String {
    body(txn.read(C, id).map(|document| document.body.to_vec()))
}

fn body(read: Result<Vec<u8>, Error>) -> String {
    match read {
        Ok(body) => String::from_utf8(body).unwrap(),
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => panic!("{error:?}"),
    }
}

pub(crate) fn range(from: u64, to: u64) -> ScanRequest {
    ScanRequest {
        collection: C.to_owned(),
        from: Some(from),
        to: Some(to),
        ..ScanRequest::default()
    }
}

/// All that a scan in a transaction gives, a few at a time.
pub(crate) fn txn_items(txn: &mut Txn, request: &ScanRequest) -> Vec<ScanItem> {
    let mut scan = txn.scan(request).unwrap();
    let mut found = Vec::new();
    loop {
        let chunk = scan.next_chunk(txn, 3, 1 << 10).unwrap();
        if chunk.is_empty() {
            return found;
        }
        found.extend(chunk);
    }
}

pub(crate) fn txn_scan(txn: &mut Txn, request: &ScanRequest) -> Vec<(u64, String)> {
    let items = txn_items(txn, request).into_iter();
    items
        .map(|item| (item.id, String::from_utf8(item.body.to_vec()).unwrap()))
        .collect()
}

pub(crate) fn commit(txn: Txn) -> Result<Committed, Error> {
    txn.commit().wait()
}

/// The version that a commit lost to.
pub(crate) fn lost_to(outcome: Result<Committed, Error>) -> u64 {
    let error = outcome.expect_err("must lose");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.is_retryable());
    error.version().expect("a conflict names its version")
}

/// A commit that is submitted, and neither durable nor visible.
pub(crate) fn submit_unseen(db: &Db, op: WriteOp<'_>) -> docdb_engine::CommitTicket {
    db.submit_as(&[op], Durability::Full)
}
