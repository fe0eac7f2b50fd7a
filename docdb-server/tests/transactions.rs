//! Transactions and snapshots over a real socket.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::collections::HashMap;
use std::net::Shutdown;

use bytes::BytesMut;
use common::views::{
    begin, begin_with, commit, count_in, credit, exists_in, kind, list_in, number, open_snapshot,
    read_in, rollback, scan_in, stats, write_in,
};
use common::{COLL, Client, TestServer, read_request};
use docdb_ipc::{
    BatchMode, OpResult, Precondition, Request, RequestId, Response, ViewRequest, WriteOp,
};
use docdb_types::ErrorKind;

fn server_with_database() -> (TestServer, Client) {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    (server, client)
}

/// A collection of the documents 0..count.
fn fill(client: &mut Client, count: u64) {
    let ops = (0..count).map(|id| WriteOp::create(COLL, id, id.to_string()));
    let request = Request::Batch {
        db: "db".into(),
        mode: BatchMode::Atomic,
        durability: None,
        ops: ops.collect(),
    };
    assert!(matches!(client.call(&request), Response::BatchDone { .. }));
}

fn ids(items: &[(u64, u64, String)]) -> Vec<u64> {
    items.iter().map(|(id, ..)| *id).collect()
}

#[test]
fn own_writes_are_seen_by_oneself_and_by_others_after_the_commit() {
    let (server, mut client) = server_with_database();
    let mut other = server.connect();
    client.write("db", WriteOp::create(COLL, 1, "1"));
    client.write("db", WriteOp::create(COLL, 2, "2"));
    let tx = begin(&mut client, "db");
    let written = Response::Written { version: 0, id: 1 };
    let update = WriteOp::update(COLL, 1, r#"{ "a" : 1 }"#);
    assert_eq!(client.call(&write_in(tx, update)), written);
    client.call(&write_in(tx, WriteOp::delete(COLL, 2)));
    let inserted = client.call(&write_in(tx, WriteOp::insert(COLL, "3")));
    assert_eq!(inserted, Response::Written { version: 0, id: 3 });

    let own = Response::Document {
        version: 0,
        body: r#"{ "a" : 1 }"#.into(),
    };
    assert_eq!(client.call(&read_in(tx, COLL, 1)), own);
    assert_eq!(
        client.error(&read_in(tx, COLL, 2)),
        ErrorKind::NotFound,
        "deleted"
    );
    assert_eq!(client.call(&exists_in(tx, COLL, 3)), Response::Exists(true));
    assert_eq!(client.call(&count_in(tx, COLL)), Response::Count(2));
    let Response::Collections(list) = client.call(&list_in(tx)) else {
        panic!("no list")
    };
    assert_eq!((&*list[0].name, list[0].documents), (COLL, 2));
    let id = client.send(&scan_in(tx, COLL, 1 << 20));
    let (items, end) = common::views::receive_scan(&mut client, id);
    assert_eq!(ids(&items), [1, 3]);
    let done = Response::ScanEnd {
        cursor: None,
        items: 2,
    };
    assert_eq!(end, done);

    assert_eq!(other.read("db", COLL, 1), "1");
    assert_eq!(other.read("db", COLL, 2), "2");
    assert_eq!(
        other.error(&read_request("db", COLL, 3)),
        ErrorKind::NotFound
    );
    let Response::Committed { version } = client.call(&commit(tx)) else {
        panic!("not committed")
    };
    assert_eq!(other.read("db", COLL, 1), r#"{ "a" : 1 }"#);
    assert_eq!(
        other.error(&read_request("db", COLL, 2)),
        ErrorKind::NotFound
    );
    let third = Response::Document {
        version,
        body: "3".into(),
    };
    assert_eq!(other.call(&read_request("db", COLL, 3)), third);

    let tx = begin(&mut client, "db");
    client.call(&write_in(tx, WriteOp::delete(COLL, 3)));
    assert_eq!(client.call(&rollback(tx)), Response::Ok);
    // Whatever was committed before it is visible with it.
    client.write("db", WriteOp::upsert(COLL, 4, "4"));
    assert_eq!(client.read("db", COLL, 3), "3");
}

#[test]
fn a_transaction_can_be_sent_at_once() {
    let (_server, mut client) = server_with_database();
    // The database is closed, so that it has to be opened first.
    let mut out = BytesMut::new();
    let tx = client.encode(&mut out, &begin_with("db", false, None));
    let requests = [
        write_in(tx, WriteOp::create(COLL, 1, "1")),
        read_in(tx, COLL, 1),
        write_in(tx, WriteOp::create(COLL, 1, "2")),
        write_in(tx, WriteOp::delete(COLL, 1)),
        exists_in(tx, COLL, 1),
        count_in(tx, COLL),
        write_in(tx, WriteOp::create(COLL, 2, "2")),
        commit(tx),
        read_in(tx, COLL, 2),
    ];
    let sent: Vec<RequestId> = requests
        .iter()
        .map(|request| client.encode(&mut out, request))
        .collect();
    std::io::Write::write_all(&mut client.stream, &out).unwrap();
    let mut answers = HashMap::new();
    for _ in 0..=sent.len() {
        let (id, answer) = client.receive().unwrap();
        answers.insert(id, answer);
    }
    assert!(matches!(answers[&tx], Response::Opened { .. }));
    let of = |at: usize| &answers[&sent[at]];
    assert!(matches!(of(0), Response::Written { .. }));
    assert!(matches!(of(1), Response::Document { .. }));
    assert_eq!(kind(of(2)), ErrorKind::AlreadyExists);
    assert!(matches!(of(3), Response::Written { .. }));
    assert_eq!(*of(4), Response::Exists(false));
    assert_eq!(*of(5), Response::Count(0));
    assert!(matches!(of(7), Response::Committed { .. }));
    assert_eq!(kind(of(8)), ErrorKind::TransactionNotFound);
    assert_eq!(client.read("db", COLL, 2), "2");
}

#[test]
fn what_is_not_opened_has_nothing_in_it() {
    let (_server, mut client) = server_with_database();
    for (request, expected) in [
        (
            begin_with("missing", false, None),
            ErrorKind::DatabaseNotFound,
        ),
        (begin_with("db", false, Some(0)), ErrorKind::InvalidArgument),
        (
            begin_with("db", true, Some(60_001)),
            ErrorKind::InvalidArgument,
        ),
        (
            Request::View(ViewRequest::OpenSnapshot {
                db: "missing".into(),
            }),
            ErrorKind::DatabaseNotFound,
        ),
    ] {
        let view = client.send(&request);
        let inside = client.send(&read_in(view, COLL, 1));
        let mut answers = HashMap::new();
        for _ in 0..2 {
            let (id, answer) = client.receive().unwrap();
            answers.insert(id, kind(&answer));
        }
        assert_eq!(answers[&view], expected);
        assert_eq!(answers[&inside], ErrorKind::TransactionNotFound);
    }
    let tx = client.send(&begin_with("db", false, Some(60_000)));
    let (opened, answer) = client.receive().unwrap();
    assert!(opened == tx && matches!(answer, Response::Opened { .. }));
}

#[test]
fn the_first_to_commit_wins() {
    let (server, mut first) = server_with_database();
    let mut second = server.connect();
    first.write("db", WriteOp::create(COLL, 1, "0"));
    let (tx1, tx2) = (begin(&mut first, "db"), begin(&mut second, "db"));
    first.call(&write_in(tx1, WriteOp::update(COLL, 1, "1")));
    second.call(&write_in(tx2, WriteOp::update(COLL, 1, "2")));
    let Response::Committed { version } = first.call(&commit(tx1)) else {
        panic!("not committed")
    };
    let Response::Error(error) = second.call(&commit(tx2)) else {
        panic!("committed")
    };
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.version, Some(version));
    assert_eq!(second.read("db", COLL, 1), "1");
    assert_eq!(number(&stats(&mut first, "db"), "conflicted"), 1);
    assert_eq!(number(&stats(&mut first, "db"), "committed"), 1);

    // A single write is not kept waiting by an open transaction, which then loses.
    let tx = begin(&mut first, "db");
    first.call(&write_in(tx, WriteOp::update(COLL, 1, "3")));
    second.write("db", WriteOp::update(COLL, 1, "4"));
    assert_eq!(first.error(&commit(tx)), ErrorKind::Conflict);
    assert_eq!(second.read("db", COLL, 1), "4");
}

/// Two that each read what the other writes: only one of two serializable ones commits.
#[test]
fn write_skew() {
    let (server, mut first) = server_with_database();
    let mut second = server.connect();
    for (serializable, expected) in [(false, None), (true, Some(ErrorKind::Conflict))] {
        for id in [1, 2] {
            first.write("db", WriteOp::upsert(COLL, id, "true"));
        }
        let tx1 = first.send(&begin_with("db", serializable, None));
        let tx2 = second.send(&begin_with("db", serializable, None));
        first.receive().unwrap();
        second.receive().unwrap();
        first.call(&read_in(tx1, COLL, 1));
        second.call(&read_in(tx2, COLL, 2));
        first.call(&write_in(tx1, WriteOp::update(COLL, 2, "false")));
        second.call(&write_in(tx2, WriteOp::update(COLL, 1, "false")));
        assert!(matches!(
            first.call(&commit(tx1)),
            Response::Committed { .. }
        ));
        match (second.call(&commit(tx2)), expected) {
            (Response::Committed { .. }, None) => {}
            (answer, Some(expected)) => assert_eq!(kind(&answer), expected),
            (answer, None) => panic!("{answer:?}"),
        }
    }
}

/// A scan is a part of its serializable transaction: what appears in its range is a conflict.
#[test]
fn phantoms() {
    let (server, mut client) = server_with_database();
    let mut other = server.connect();
    fill(&mut client, 3);
    let tx = client.send(&begin_with("db", true, None));
    client.receive().unwrap();
    let id = client.send(&scan_in(tx, COLL, 1 << 20));
    let (items, _) = common::views::receive_scan(&mut client, id);
    assert_eq!(ids(&items), [0, 1, 2]);
    client.call(&write_in(tx, WriteOp::create("_default", 10, "3")));
    other.write("db", WriteOp::create(COLL, 5, "5"));
    assert_eq!(client.error(&commit(tx)), ErrorKind::Conflict);
}

#[test]
fn a_snapshot_stays_as_it_was_while_others_write() {
    let server = TestServer::start();
    let (mut client, mut writer) = (server.connect(), server.connect());
    client.call(&Request::CreateDatabase {
        name: "db".into(),
        durability: Some("memory(100)".into()),
    });
    fill(&mut client, 3_000);
    let snapshot = open_snapshot(&mut client, "db");
    // One document's credit: the rest is fetched after the writes.
    let first = client.send(&scan_in(snapshot, COLL, 1));
    let (scanned, Response::ScanItems(items)) = client.receive().unwrap() else {
        panic!("no documents")
    };
    assert_eq!((scanned, items.len()), (first, 1));
    for id in 0..3_000 {
        let op = match id % 3 {
            0 => WriteOp::delete(COLL, id),
            1 => WriteOp::update(COLL, id, "-1"),
            _ => WriteOp::create(COLL, 10_000 + id, "-1"),
        };
        writer.write("db", op);
    }
    client.send_about(first, &credit(1 << 20));
    let (items, _) = common::views::receive_scan(&mut client, first);
    let expected: Vec<u64> = (1..3_000).collect();
    assert_eq!(ids(&items), expected);
    assert!(items.iter().all(|(id, _, body)| *body == id.to_string()));

    assert_eq!(
        client.call(&count_in(snapshot, COLL)),
        Response::Count(3_000)
    );
    let Response::Document { body, .. } = client.call(&read_in(snapshot, COLL, 0)) else {
        panic!("deleted in a snapshot")
    };
    assert_eq!(body, "0");
    assert_eq!(
        client.call(&exists_in(snapshot, COLL, 10_002)),
        Response::Exists(false)
    );
    let Response::Collections(list) = client.call(&list_in(snapshot)) else {
        panic!("no list")
    };
    assert_eq!(list[0].documents, 3_000);

    // A scan goes on when its snapshot is closed.
    let second = client.send(&scan_in(snapshot, COLL, 1));
    client.receive().unwrap();
    let close = Request::View(ViewRequest::CloseSnapshot { view: snapshot });
    assert_eq!(client.call(&close), Response::Ok);
    client.send_about(second, &credit(1 << 20));
    let (items, _) = common::views::receive_scan(&mut client, second);
    assert_eq!(ids(&items), expected);
    assert_eq!(
        client.error(&read_in(snapshot, COLL, 0)),
        ErrorKind::TransactionNotFound
    );
    assert_eq!(client.error(&close), ErrorKind::TransactionNotFound);
}

#[test]
fn a_cursor_goes_on_in_its_snapshot() {
    let (server, mut client) = server_with_database();
    let mut other = server.connect();
    fill(&mut client, 10);
    let snapshot = open_snapshot(&mut client, "db");
    let page = |cursor| {
        let mut scan = docdb_ipc::Scan::new("", COLL, 1 << 20);
        scan.limit = Some(4);
        scan.cursor = cursor;
        Request::View(ViewRequest::Scan {
            view: snapshot,
            scan,
        })
    };
    let mut cursor = None;
    let mut all = Vec::new();
    loop {
        let id = client.send(&page(cursor.take()));
        let (items, end) = common::views::receive_scan(&mut client, id);
        all.extend(ids(&items));
        let last = WriteOp::upsert(COLL, 9, "-1");
        other.write("db", last);
        match end {
            Response::ScanEnd { cursor: next, .. } if next.is_some() => cursor = next,
            _ => break,
        }
    }
    assert_eq!(all, (0..10).collect::<Vec<u64>>());
    // A transaction takes none.
    let tx = begin(&mut client, "db");
    let mut scan = docdb_ipc::Scan::new("", COLL, 1 << 20);
    scan.cursor = Some("x".into());
    let request = Request::View(ViewRequest::Scan { view: tx, scan });
    assert_eq!(client.error(&request), ErrorKind::InvalidArgument);
    assert!(matches!(
        client.call(&commit(tx)),
        Response::Committed { .. }
    ));
}

/// A scan waits for credit, and neither its own transaction nor anybody else waits for it.
#[test]
fn a_scan_that_waits_keeps_nobody_waiting() {
    let (_server, mut client) = server_with_database();
    fill(&mut client, 3_000);
    let tx = begin(&mut client, "db");
    let scan = client.send(&scan_in(tx, COLL, 1));
    let (_, Response::ScanItems(first)) = client.receive().unwrap() else {
        panic!("no documents")
    };
    assert_eq!(first.len(), 1);
    assert_eq!(client.read("db", COLL, 7), "7");
    let other = begin(&mut client, "db");
    client.call(&write_in(other, WriteOp::delete(COLL, 5)));
    client.call(&rollback(other));
    client.call(&write_in(tx, WriteOp::delete(COLL, 2_500)));
    client.call(&write_in(tx, WriteOp::create(COLL, 5_000, "1")));
    // Twice as much as a step fetches, so the writes come before what is fetched last.
    client.send_about(scan, &credit(1 << 20));
    let (items, end) = common::views::receive_scan(&mut client, scan);
    let mut expected: Vec<u64> = (1..3_000).filter(|id| *id != 2_500).collect();
    expected.push(5_000);
    assert_eq!(ids(&items), expected);
    assert!(matches!(end, Response::ScanEnd { items: 3_000, .. }));
    assert!(matches!(
        client.call(&commit(tx)),
        Response::Committed { .. }
    ));
}

#[test]
fn the_end_of_a_transaction_ends_its_scans() {
    let (_server, mut client) = server_with_database();
    fill(&mut client, 10);
    for end in [commit as fn(RequestId) -> Request, rollback] {
        let tx = begin(&mut client, "db");
        let scan = client.send(&scan_in(tx, COLL, 1));
        client.receive().unwrap();
        let end = client.send(&end(tx));
        let mut answers = HashMap::new();
        for _ in 0..2 {
            let (id, answer) = client.receive().unwrap();
            answers.insert(id, answer);
        }
        assert_eq!(kind(&answers[&scan]), ErrorKind::TransactionNotFound);
        assert!(answers.contains_key(&end));
    }
    // With credit enough it comes before the commit that was sent at once.
    let mut out = BytesMut::new();
    let tx = client.encode(&mut out, &begin_with("db", false, None));
    let scan = client.encode(&mut out, &scan_in(tx, COLL, 1 << 20));
    let end = client.encode(&mut out, &commit(tx));
    std::io::Write::write_all(&mut client.stream, &out).unwrap();
    assert_eq!(client.receive().unwrap().0, tx);
    let (items, done) = common::views::receive_scan(&mut client, scan);
    assert_eq!(items.len(), 10);
    assert!(matches!(done, Response::ScanEnd { .. }));
    assert_eq!(client.receive().unwrap().0, end);
}

/// The server ends what is over although nobody asks: the memory of what was written is free.
#[test]
fn a_deadline_frees_a_transaction_of_a_silent_client() {
    let (server, mut client) = server_with_database();
    let mut observer = server.connect();
    client.write("db", WriteOp::create(COLL, 1, "1"));
    let tx = client.send(&begin_with("db", false, Some(200)));
    client.receive().unwrap();
    let body = format!("\"{}\"", "x".repeat(100_000));
    let wrote = client.call(&write_in(tx, WriteOp::create(COLL, 2, body)));
    // The machine may be slower than the deadline; then the write was too late.
    let in_time = matches!(wrote, Response::Written { .. });
    let scan = in_time.then(|| client.send(&scan_in(tx, COLL, 1)));
    loop {
        let found = stats(&mut observer, "db");
        if number(&found, "expired") == 1 {
            assert_eq!(number(&found, "open"), 0);
            assert_eq!(number(&found, "bytes"), 0);
            break;
        }
    }
    if let Some(scan) = scan {
        loop {
            let (id, answer) = client.receive().unwrap();
            assert_eq!(id, scan);
            if answer.is_final() {
                assert_eq!(kind(&answer), ErrorKind::TransactionExpired);
                break;
            }
        }
    }
    for request in [read_in(tx, COLL, 1), count_in(tx, COLL), commit(tx)] {
        assert_eq!(client.error(&request), ErrorKind::TransactionExpired);
    }
    assert_eq!(client.error(&commit(tx)), ErrorKind::TransactionNotFound);
    assert_eq!(
        client.error(&read_request("db", COLL, 2)),
        ErrorKind::NotFound
    );
    // What has expired may be rolled back, and makes room.
    let tx = client.send(&begin_with("db", false, Some(1)));
    client.receive().unwrap();
    while number(&stats(&mut observer, "db"), "expired") != 2 {}
    assert_eq!(client.call(&rollback(tx)), Response::Ok);
    assert_eq!(client.error(&rollback(tx)), ErrorKind::TransactionNotFound);
}

#[test]
fn a_client_that_is_gone_holds_nothing() {
    let (server, mut other) = server_with_database();
    other.write("db", WriteOp::create(COLL, 1, "1"));
    let mut client = server.connect();
    let tx = begin(&mut client, "db");
    client.call(&write_in(tx, WriteOp::update(COLL, 1, "2")));
    open_snapshot(&mut client, "db");
    let scan = client.send(&scan_in(tx, COLL, 1));
    assert_eq!(client.receive().unwrap().0, scan);
    assert_eq!(number(&stats(&mut other, "db"), "open"), 1);
    // Nobody waits for it even now.
    other.write("db", WriteOp::update(COLL, 1, "3"));
    drop(client);
    while number(&stats(&mut other, "db"), "open") != 0 {}
    let found = stats(&mut other, "db");
    assert_eq!(number(&found, "rolled_back"), 1);
    assert_eq!(number(&found, "bytes"), 0);
    assert_eq!(common::views::snapshots(&mut other, "db"), 0);
    assert_eq!(other.read("db", COLL, 1), "3");
}

#[test]
fn what_was_sent_before_the_client_stopped_sending_is_finished() {
    let (_server, mut client) = server_with_database();
    let mut out = BytesMut::new();
    let tx = client.encode(&mut out, &begin_with("db", false, None));
    client.encode(&mut out, &write_in(tx, WriteOp::create(COLL, 1, "1")));
    client.encode(&mut out, &commit(tx));
    let idle = client.encode(&mut out, &begin_with("db", false, None));
    client.encode(&mut out, &write_in(idle, WriteOp::create(COLL, 2, "2")));
    std::io::Write::write_all(&mut client.stream, &out).unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    let mut answers = 0;
    while let Some((_, answer)) = client.receive() {
        assert!(!matches!(answer, Response::Error(_)), "{answer:?}");
        answers += 1;
    }
    assert_eq!(answers, 5);
    let mut client = _server.connect();
    assert_eq!(client.read("db", COLL, 1), "1");
    assert_eq!(
        client.error(&read_request("db", COLL, 2)),
        ErrorKind::NotFound
    );
    assert_eq!(number(&stats(&mut client, "db"), "open"), 0);
}

#[test]
fn a_connection_has_so_many_transactions_and_snapshots_open() {
    let (server, mut client) = server_with_database();
    let limits = client.session.limits;
    let opens = [
        (
            begin_with("db", false, Some(60_000)),
            limits.transactions_max,
        ),
        (
            Request::View(ViewRequest::OpenSnapshot { db: "db".into() }),
            limits.snapshots_max,
        ),
    ];
    for (open, most) in opens {
        assert!(most > 0);
        // Not all at once: so many requests may not be in flight.
        let first = client.send(&open);
        client.receive().unwrap();
        for _ in 1..most {
            client.send(&open);
            let (_, answer) = client.receive().unwrap();
            assert!(matches!(answer, Response::Opened { .. }), "{answer:?}");
        }
        assert_eq!(client.error(&open), ErrorKind::LimitExceeded);
        // Another connection is not affected, and one that ends makes room.
        assert!(matches!(
            server.connect().call(&open),
            Response::Opened { .. }
        ));
        client.send_about(first, &Request::Cancel);
        assert!(matches!(client.call(&open), Response::Opened { .. }));
    }
}

#[test]
fn requests_out_of_order() {
    let (server, mut client) = server_with_database();
    client.write("db", WriteOp::create(COLL, 1, "1"));
    let not_found = ErrorKind::TransactionNotFound;
    // After the end.
    for end in [commit as fn(RequestId) -> Request, rollback] {
        let tx = begin(&mut client, "db");
        client.call(&write_in(tx, WriteOp::upsert(COLL, 1, "1")));
        client.call(&end(tx));
        for request in [
            commit(tx),
            rollback(tx),
            read_in(tx, COLL, 1),
            exists_in(tx, COLL, 1),
            count_in(tx, COLL),
            list_in(tx),
            scan_in(tx, COLL, 10),
            write_in(tx, WriteOp::upsert(COLL, 1, "2")),
        ] {
            assert_eq!(client.error(&request), not_found, "{request:?}");
        }
    }
    // One that never was, and one of another connection.
    let tx = begin(&mut client, "db");
    let mut other = server.connect();
    assert_eq!(client.error(&commit(RequestId(u64::MAX))), not_found);
    assert_eq!(other.error(&commit(tx)), not_found);
    assert_eq!(other.error(&read_in(tx, COLL, 1)), not_found);
    // A request that is no view.
    let read = client.send(&read_request("db", COLL, 1));
    client.receive().unwrap();
    assert_eq!(client.error(&commit(read)), not_found);
    // What only one kind of view can do.
    let snapshot = open_snapshot(&mut client, "db");
    for request in [
        write_in(snapshot, WriteOp::upsert(COLL, 1, "2")),
        commit(snapshot),
        rollback(snapshot),
        Request::View(ViewRequest::CloseSnapshot { view: tx }),
    ] {
        assert_eq!(
            client.error(&request),
            ErrorKind::InvalidArgument,
            "{request:?}"
        );
    }
    assert!(matches!(
        client.call(&read_in(snapshot, COLL, 1)),
        Response::Document { .. }
    ));
    // What is refused changes nothing, and the transaction goes on.
    for (op, expected) in [
        (WriteOp::create(COLL, 1, "2"), ErrorKind::AlreadyExists),
        (WriteOp::update(COLL, 9, "2"), ErrorKind::NotFound),
        (WriteOp::upsert(COLL, 9, "{"), ErrorKind::InvalidJson),
        (
            WriteOp::upsert("missing", 9, "2"),
            ErrorKind::CollectionNotFound,
        ),
        (
            WriteOp::update(COLL, 1, "2").when(Precondition::VersionIs(1 << 60)),
            ErrorKind::VersionMismatch,
        ),
    ] {
        assert_eq!(client.error(&write_in(tx, op)), expected);
    }
    assert!(matches!(
        client.call(&commit(tx)),
        Response::Committed { .. }
    ));
    assert_eq!(client.read("db", COLL, 1), "1");
    // A durability that there is none of ends it all the same.
    let tx = begin(&mut client, "db");
    client.call(&write_in(tx, WriteOp::update(COLL, 1, "2")));
    let commit_as = |mode: &str| {
        Request::View(ViewRequest::Commit {
            view: tx,
            durability: Some(mode.into()),
        })
    };
    assert_eq!(
        client.error(&commit_as("sometimes")),
        ErrorKind::InvalidArgument
    );
    assert_eq!(client.error(&commit_as("full")), not_found);
    assert_eq!(client.read("db", COLL, 1), "1");
    let tx = begin(&mut client, "db");
    client.call(&write_in(tx, WriteOp::update(COLL, 1, "2")));
    let commit_always = Request::View(ViewRequest::Commit {
        view: tx,
        durability: Some("always".into()),
    });
    assert!(matches!(
        client.call(&commit_always),
        Response::Committed { .. }
    ));
    // The id of one that is open: nothing after it can be told apart.
    let tx = begin(&mut client, "db");
    client.send_about(tx, &begin_with("db", false, None));
    let (id, answer) = client.receive().unwrap();
    assert_eq!((id, kind(&answer)), (tx, ErrorKind::Protocol));
    assert!(client.receive().is_none());
    while number(&stats(&mut other, "db"), "open") != 0 {}
}

#[test]
fn what_was_opened_or_waits_can_be_cancelled() {
    let (_server, mut client) = server_with_database();
    let tx = begin(&mut client, "db");
    client.call(&write_in(tx, WriteOp::create(COLL, 1, "1")));
    let snapshot = open_snapshot(&mut client, "db");
    for view in [tx, snapshot] {
        client.send_about(view, &Request::Cancel);
        assert_eq!(
            client.error(&read_in(view, COLL, 1)),
            ErrorKind::TransactionNotFound
        );
    }
    assert_eq!(number(&stats(&mut client, "db"), "rolled_back"), 1);
    // Before it is open, if it is not at once: what waits for it is answered, too.
    let mut out = BytesMut::new();
    let tx = client.encode(&mut out, &begin_with("db", false, None));
    let wrote = client.encode(&mut out, &write_in(tx, WriteOp::create(COLL, 1, "1")));
    std::io::Write::write_all(&mut client.stream, &out).unwrap();
    client.send_about(wrote, &Request::Cancel);
    client.send_about(tx, &Request::Cancel);
    let mut answered = HashMap::new();
    for _ in 0..2 {
        let (id, answer) = client.receive().unwrap();
        answered.insert(id, answer);
    }
    assert!(answered.contains_key(&tx) && answered.contains_key(&wrote));
    assert_eq!(client.error(&commit(tx)), ErrorKind::TransactionNotFound);
    assert_eq!(
        client.error(&read_request("db", COLL, 1)),
        ErrorKind::NotFound
    );
}

#[test]
fn a_server_that_stops_rolls_back_what_is_open_and_says_so() {
    let (server, mut client) = server_with_database();
    let tx = begin(&mut client, "db");
    client.call(&write_in(tx, WriteOp::create(COLL, 1, "1")));
    let mut without = server.connect();
    assert_eq!(without.call(&Request::Ping), Response::Pong);
    server.stop();
    let (id, answer) = client.receive().unwrap();
    assert_eq!(
        (id, kind(&answer)),
        (RequestId::CONNECTION, ErrorKind::Closed)
    );
    assert!(client.receive().is_none());
    assert!(without.receive().is_none());
    let server = TestServer::start_in(server.end(), |_| {});
    let mut client = server.connect();
    assert_eq!(
        client.error(&read_request("db", COLL, 1)),
        ErrorKind::NotFound
    );
}

#[test]
fn what_a_transaction_rests_on_may_be_dropped() {
    let (server, mut client) = server_with_database();
    let mut other = server.connect();
    let create = Request::CreateCollection {
        db: "db".into(),
        name: "c".into(),
    };
    assert_eq!(client.call(&create), Response::Ok);
    let tx = begin(&mut client, "db");
    client.call(&write_in(tx, WriteOp::create("c", 1, "1")));
    let drop = Request::DropCollection {
        db: "db".into(),
        name: "c".into(),
        force: false,
    };
    assert_eq!(other.call(&drop), Response::Ok);
    assert_eq!(client.error(&commit(tx)), ErrorKind::CollectionNotFound);
    let tx = begin(&mut client, "db");
    let drop = Request::DropDatabase { name: "db".into() };
    assert_eq!(other.call(&drop), Response::Ok);
    assert_eq!(client.error(&read_in(tx, COLL, 1)), ErrorKind::Closed);
    assert_eq!(client.error(&commit(tx)), ErrorKind::Closed);
}

/// One of the preconditions of an atomic batch fails: nothing of it is there, and it is said which.
#[test]
fn preconditions_of_a_batch_hold_together() {
    let (_server, mut client) = server_with_database();
    let (version, _) = client.write("db", WriteOp::create(COLL, 1, "1"));
    let batch = |mode, expected: u64| Request::Batch {
        db: "db".into(),
        mode,
        durability: None,
        ops: vec![
            WriteOp::upsert(COLL, 2, "2").when(Precondition::Absent),
            WriteOp::update(COLL, 1, "3").when(Precondition::VersionIs(expected)),
            WriteOp::upsert(COLL, 3, "4"),
        ],
    };
    let Response::BatchDone { results } = client.call(&batch(BatchMode::Atomic, version + 1))
    else {
        panic!("no results")
    };
    let kinds: Vec<ErrorKind> = results
        .iter()
        .map(|result| match result {
            OpResult::Err(error) => error.kind(),
            OpResult::Ok { .. } => panic!("written"),
        })
        .collect();
    let aborted = ErrorKind::Aborted;
    assert_eq!(kinds, [aborted, ErrorKind::VersionMismatch, aborted]);
    assert!(matches!(&results[1], OpResult::Err(error) if error.version == Some(version)));
    for id in [2, 3] {
        assert_eq!(
            client.error(&read_request("db", COLL, id)),
            ErrorKind::NotFound
        );
    }
    assert_eq!(client.read("db", COLL, 1), "1");
    let Response::BatchDone { results } = client.call(&batch(BatchMode::Atomic, version)) else {
        panic!("no results")
    };
    let versions: Vec<u64> = results
        .iter()
        .map(|result| match result {
            OpResult::Ok { version, .. } => *version,
            OpResult::Err(error) => panic!("{error}"),
        })
        .collect();
    assert!(versions[0] > version && versions.iter().all(|v| *v == versions[0]));
}
