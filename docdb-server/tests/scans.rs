//! Scans under credit.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::collections::HashMap;

use common::{COLL, Client, TestServer};
use docdb_ipc::{BatchMode, CreditWindow, Request, RequestId, Response, Scan, ScanItem, WriteOp};
use docdb_types::ErrorKind;

/// A database with the documents 0..count of `bytes` bytes each.
fn filled(client: &mut Client, count: u64, bytes: usize) {
    client.create_database("db");
    let body = format!("\"{}\"", "x".repeat(bytes - 2));
    for first in (0..count).step_by(1000) {
        let ids = first..(first + 1000).min(count);
        let ops = ids
            .map(|id| WriteOp::create(COLL, id, body.clone()))
            .collect();
        let request = Request::Batch {
            db: "db".into(),
            mode: BatchMode::Atomic,
            durability: None,
            ops,
        };
        assert!(matches!(client.call(&request), Response::BatchDone { .. }));
    }
}

fn scan(credit: u32) -> Scan {
    Scan::new("db", COLL, credit)
}

/// Receives a whole scan, granting what was consumed.
fn receive_all(client: &mut Client, id: RequestId) -> (Vec<ScanItem>, Response) {
    let mut all = Vec::new();
    loop {
        match client.receive().unwrap() {
            (answered, Response::ScanItems(items)) => {
                assert_eq!(answered, id);
                let bytes = items
                    .iter()
                    .map(|item| CreditWindow::cost_bytes(item.body.len()));
                let bytes = bytes.sum();
                all.extend(items);
                client.send_about(id, &Request::ScanCredit { bytes });
            }
            (answered, end) => {
                assert_eq!(answered, id);
                return (all, end);
            }
        }
    }
}

#[test]
fn a_whole_collection_in_either_direction() {
    let server = TestServer::start();
    let mut client = server.connect();
    filled(&mut client, 5000, 100);
    for reverse in [false, true] {
        let id = client.send(&Request::Scan(Scan {
            reverse,
            ..scan(10_000)
        }));
        let (items, end) = receive_all(&mut client, id);
        let mut expected: Vec<u64> = (0..5000).collect();
        if reverse {
            expected.reverse();
        }
        assert_eq!(
            items.iter().map(|item| item.id).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(
            end,
            Response::ScanEnd {
                cursor: None,
                items: 5000
            }
        );
    }
    let range = Scan {
        from: Some(10),
        to: Some(12),
        ..scan(1 << 20)
    };
    let id = client.send(&Request::Scan(range));
    let (items, _) = receive_all(&mut client, id);
    assert_eq!(
        items.iter().map(|item| item.id).collect::<Vec<_>>(),
        [10, 11, 12]
    );
}

#[test]
fn a_limit_gives_a_cursor_to_go_on_from() {
    let server = TestServer::start();
    let mut client = server.connect();
    filled(&mut client, 100, 50);
    let mut cursor = None;
    let mut ids = Vec::new();
    loop {
        let request = Scan {
            limit: Some(30),
            cursor: cursor.clone(),
            ..scan(1 << 20)
        };
        let id = client.send(&Request::Scan(request));
        let (items, end) = receive_all(&mut client, id);
        ids.extend(items.iter().map(|item| item.id));
        match end {
            Response::ScanEnd {
                cursor: Some(next), ..
            } => cursor = Some(next),
            Response::ScanEnd { cursor: None, .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
}

#[test]
fn refused_scans() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let zero = Request::Scan(Scan {
        limit: Some(0),
        ..scan(1000)
    });
    assert_eq!(client.error(&zero), ErrorKind::InvalidArgument);
    let missing = Request::Scan(Scan::new("db", "missing", 1000));
    assert_eq!(client.error(&missing), ErrorKind::CollectionNotFound);
    let missing = Request::Scan(Scan::new("missing", COLL, 1000));
    assert_eq!(client.error(&missing), ErrorKind::DatabaseNotFound);
    let max = client.session.limits.scan_credit_bytes_max;
    assert_eq!(
        client.error(&Request::Scan(scan(max + 1))),
        ErrorKind::InvalidArgument
    );
    let garbage = Scan {
        cursor: Some(b"garbage"[..].into()),
        ..scan(1000)
    };
    assert_eq!(
        client.error(&Request::Scan(garbage)),
        ErrorKind::InvalidArgument
    );
}

/// Without credit a scan stops and the connection goes on; it can be cancelled, and the slot is
/// free again.
#[test]
fn scans_wait_for_credit_and_can_be_cancelled() {
    let server = TestServer::start();
    let mut client = server.connect();
    filled(&mut client, 2000, 1000);
    let credit = 10_000;
    let scans = docdb_server::SCANS_MAX;
    let mut received: HashMap<RequestId, u64> = HashMap::new();
    for _ in 0..scans {
        let id = client.send(&Request::Scan(scan(credit)));
        received.insert(id, 0);
    }
    // At most the credit and one document may arrive for each.
    let most = u64::from(credit / CreditWindow::cost_bytes(1000)) + 1;
    while received.values().any(|&count| count < most) {
        let (id, response) = client.receive().unwrap();
        let Response::ScanItems(items) = response else {
            panic!("{response:?}")
        };
        *received.get_mut(&id).unwrap() += items.len() as u64;
    }
    assert!(received.values().all(|&count| count == most));
    assert_eq!(client.error(&Request::Scan(scan(credit))), ErrorKind::Busy);
    assert_eq!(client.call(&Request::Ping), Response::Pong);
    let ids: Vec<_> = received.into_keys().collect();
    for &id in &ids {
        client.send_about(id, &Request::Cancel);
        let (answered, Response::Error(error)) = client.receive().unwrap() else {
            panic!()
        };
        assert_eq!((answered, error.kind()), (id, ErrorKind::Cancelled));
        // Late credit and a second cancel are fine.
        client.send_about(id, &Request::ScanCredit { bytes: 1 });
        client.send_about(id, &Request::Cancel);
    }
    let id = client.send(&Request::Scan(scan(credit)));
    let (items, end) = receive_all(&mut client, id);
    assert_eq!(items.len(), 2000);
    assert!(matches!(end, Response::ScanEnd { items: 2000, .. }));
}

#[test]
fn too_much_credit_ends_the_scan() {
    let server = TestServer::start();
    let mut client = server.connect();
    filled(&mut client, 100, 1000);
    let id = client.send(&Request::Scan(scan(1)));
    let (_, Response::ScanItems(items)) = client.receive().unwrap() else {
        panic!()
    };
    assert_eq!(items.len(), 1);
    client.send_about(id, &Request::ScanCredit { bytes: u32::MAX });
    let (answered, Response::Error(error)) = client.receive().unwrap() else {
        panic!()
    };
    assert_eq!((answered, error.kind()), (id, ErrorKind::InvalidArgument));
    assert_eq!(client.call(&Request::Ping), Response::Pong);
}

/// A server that stops answers the scans that wait for credit.
#[test]
fn stopping_ends_scans() {
    let server = TestServer::start();
    let mut client = server.connect();
    filled(&mut client, 1000, 1000);
    let id = client.send(&Request::Scan(scan(1)));
    assert!(matches!(
        client.receive(),
        Some((_, Response::ScanItems(_)))
    ));
    server.stop();
    let (answered, Response::Error(error)) = client.receive().unwrap() else {
        panic!()
    };
    assert_eq!((answered, error.kind()), (id, ErrorKind::Closed));
    assert!(client.receive().is_none());
}

#[test]
fn an_id_of_a_scan_in_flight_ends_the_connection_and_no_other() {
    let server = TestServer::start();
    let mut client = server.connect();
    filled(&mut client, 100, 200);
    let id = client.send(&Request::Scan(scan(1)));
    assert!(matches!(
        client.receive(),
        Some((_, Response::ScanItems(_)))
    ));
    client.send_about(id, &Request::Scan(scan(1)));
    match client.receive() {
        Some((answered, Response::Error(error))) => {
            assert_eq!((answered, error.kind()), (id, ErrorKind::Protocol));
        }
        other => panic!("{other:?}"),
    }
    assert!(client.receive().is_none(), "the connection is closed");
    assert_eq!(server.connect().read("db", COLL, 7).len(), 200);
}
