//! Requests about transactions and snapshots.

use docdb_ipc::{CreditWindow, Request, RequestId, Response, Scan, ViewRequest, WriteOp};
use docdb_types::ErrorKind;
use serde_json::Value;

use super::Client;

pub(crate) fn begin_with(db: &str, serializable: bool, timeout_ms: Option<u32>) -> Request {
    Request::View(ViewRequest::Begin {
        db: db.into(),
        serializable,
        timeout_ms,
    })
}

/// Begins a transaction; most tests need not know how long it may last.
pub(crate) fn begin(client: &mut Client, db: &str) -> RequestId {
    opened(client, &begin_with(db, false, Some(60_000)))
}

pub(crate) fn open_snapshot(client: &mut Client, db: &str) -> RequestId {
    opened(
        client,
        &Request::View(ViewRequest::OpenSnapshot { db: db.into() }),
    )
}

fn opened(client: &mut Client, request: &Request) -> RequestId {
    let id = client.send(request);
    let (answered, answer) = client.receive().expect("an answer");
    assert_eq!(answered, id);
    assert!(matches!(answer, Response::Opened { .. }), "{answer:?}");
    id
}

pub(crate) fn commit(view: RequestId) -> Request {
    Request::View(ViewRequest::Commit {
        view,
        durability: None,
    })
}

pub(crate) fn rollback(view: RequestId) -> Request {
    Request::View(ViewRequest::Rollback { view })
}

pub(crate) fn read_in(view: RequestId, collection: &str, id: u64) -> Request {
    Request::View(ViewRequest::Read {
        view,
        collection: collection.into(),
        id,
    })
}

pub(crate) fn exists_in(view: RequestId, collection: &str, id: u64) -> Request {
    Request::View(ViewRequest::Exists {
        view,
        collection: collection.into(),
        id,
    })
}

pub(crate) fn count_in(view: RequestId, collection: &str) -> Request {
    Request::View(ViewRequest::Count {
        view,
        collection: collection.into(),
    })
}

pub(crate) fn list_in(view: RequestId) -> Request {
    Request::View(ViewRequest::ListCollections { view })
}

pub(crate) fn scan_in(view: RequestId, collection: &str, credit: u32) -> Request {
    Request::View(ViewRequest::Scan {
        view,
        scan: Scan::new("", collection, credit),
    })
}

pub(crate) fn write_in(view: RequestId, op: WriteOp) -> Request {
    Request::View(ViewRequest::Write { view, op })
}

pub(crate) fn credit(bytes: u32) -> Request {
    Request::ScanCredit { bytes }
}

/// Receives a whole scan and its end, granting what was consumed: id, version and document.
pub(crate) fn receive_scan(
    client: &mut Client,
    id: RequestId,
) -> (Vec<(u64, u64, String)>, Response) {
    let mut all = Vec::new();
    loop {
        let (answered, answer) = client.receive().expect("an answer");
        assert_eq!(answered, id);
        let Response::ScanItems(items) = answer else {
            return (all, answer);
        };
        let cost = items
            .iter()
            .map(|item| CreditWindow::cost_bytes(item.body.len()));
        client.send_about(id, &credit(cost.sum()));
        for item in items {
            let body = String::from_utf8(item.body.to_vec()).unwrap();
            all.push((item.id, item.version, body));
        }
    }
}

pub(crate) fn kind(answer: &Response) -> ErrorKind {
    match answer {
        Response::Error(error) => error.kind(),
        other => panic!("{other:?}"),
    }
}

fn all_stats(client: &mut Client, db: &str) -> Value {
    let request = Request::Stats {
        db: Some(db.into()),
    };
    match client.call(&request) {
        Response::Stats(json) => serde_json::from_slice(&json).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// What the server counts of a database's transactions.
pub(crate) fn stats(client: &mut Client, db: &str) -> Value {
    all_stats(client, db)["transactions"].clone()
}

pub(crate) fn number(stats: &Value, name: &str) -> u64 {
    stats[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} of {stats}"))
}

/// Snapshots that are open, those of transactions included.
pub(crate) fn snapshots(client: &mut Client, db: &str) -> u64 {
    number(&all_stats(client, db)["snapshots"], "open")
}
