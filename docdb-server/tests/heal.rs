//! Healing over the bare protocol: answers, and giving up what takes long.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use bytes::BytesMut;
use common::{COLL, TestServer};
use docdb_ipc::{HealOutcome, Request, Response, WriteOp};
use docdb_types::ErrorKind;
use std::io::Write;

fn heal(id: u64) -> Request {
    Request::Heal {
        db: "db".into(),
        collection: COLL.into(),
        id,
    }
}

fn heal_all() -> Request {
    Request::HealAll { db: "db".into() }
}

#[test]
fn answers() {
    let server = TestServer::start();
    let mut client = server.connect();
    assert_eq!(client.error(&heal(1)), ErrorKind::DatabaseNotFound);
    assert_eq!(client.error(&heal_all()), ErrorKind::DatabaseNotFound);
    client.create_database("db");
    assert_eq!(client.error(&heal(1)), ErrorKind::NotFound);
    client.write("db", WriteOp::create(COLL, 1, "1"));
    let intact = Response::Healed {
        outcome: HealOutcome::Intact,
        what: None,
    };
    assert_eq!(client.call(&heal(1)), intact);
    let Response::HealedAll(report) = client.call(&heal_all()) else {
        panic!("a report");
    };
    assert!(!report.is_damaged() && report.files > 0 && report.bytes > 4096);
    let Response::HealStats(json) = client.call(&Request::HealStats { db: "db".into() }) else {
        panic!("figures");
    };
    let stats: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&stats["scans"], &stats["found"]), (&1.into(), &0.into()));
}

#[test]
fn a_scan_of_everything_can_be_given_up() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let document = format!("\"{}\"", "x".repeat(1 << 20));
    for id in 0..24 {
        client.write("db", WriteOp::create(COLL, id, document.clone()));
    }
    // A scan may be through before it is told; not each time.
    for _ in 0..100 {
        let mut out = BytesMut::new();
        let id = client.encode(&mut out, &heal_all());
        client.stream.write_all(&out).unwrap();
        client.send_about(id, &Request::Cancel);
        match client.receive().unwrap() {
            (answered, Response::Error(error)) => {
                assert_eq!((answered, error.kind()), (id, ErrorKind::Cancelled));
                // The next is not in its way.
                assert!(matches!(client.call(&heal_all()), Response::HealedAll(_)));
                return;
            }
            (answered, Response::HealedAll(_)) => assert_eq!(answered, id),
            other => panic!("{other:?}"),
        }
    }
    panic!("it is never given up");
}

#[test]
fn what_a_client_that_vanishes_asked_for_ends() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    for id in 0..24 {
        let document = format!("\"{}\"", "x".repeat(1 << 20));
        client.write("db", WriteOp::create(COLL, id, document));
    }
    let mut other = server.connect();
    client.send(&heal_all());
    drop(client);
    // At last nobody else's scan is under way.
    loop {
        match other.call(&heal_all()) {
            Response::HealedAll(_) => break,
            Response::Error(error) => assert_eq!(error.kind(), ErrorKind::Busy),
            other => panic!("{other:?}"),
        }
    }
}
