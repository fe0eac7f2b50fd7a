//! Every request, and every bad one.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use common::{COLL, Client, TestServer, read_request, write};
use docdb_ipc::{BatchMode, OpResult, Precondition, Request, Response, WriteOp};
use docdb_types::ErrorKind;
use docdb_types::limits::DOCUMENT_BYTES_MAX;

#[test]
fn documents() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let text = r#"{ "n": 9007199254740993, "x": 1.10 }"#;
    let (first, id) = client.write("db", WriteOp::create(COLL, 7, text));
    assert_eq!(id, 7);
    assert_eq!(client.read("db", COLL, 7), text);
    let (second, _) = client.write("db", WriteOp::update(COLL, 7, "2"));
    assert!(second > first);
    client.write("db", WriteOp::upsert(COLL, u64::MAX - 1, "[]"));
    let (_, assigned) = client.write("db", WriteOp::insert(COLL, "null"));
    assert_eq!(assigned, u64::MAX);
    let count = Request::Count {
        db: "db".into(),
        collection: COLL.into(),
    };
    assert_eq!(client.call(&count), Response::Count(3));
    client.write("db", WriteOp::delete(COLL, 7));
    let exists = Request::Exists {
        db: "db".into(),
        collection: COLL.into(),
        id: 7,
    };
    assert_eq!(client.call(&exists), Response::Exists(false));
    assert_eq!(
        client.error(&read_request("db", COLL, 7)),
        ErrorKind::NotFound
    );
    assert_eq!(
        client.error(&write("db", WriteOp::insert(COLL, "1"))),
        ErrorKind::LimitExceeded
    );
}

#[test]
fn edits_and_ranges() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    client.write(
        "db",
        WriteOp::create(COLL, 1, r#"{ "n": 9007199254740993, "l": [] }"#),
    );
    let push = r#"[{"op":"insert","path":"/l/-","value":1.10}]"#;
    let (version, id) = client.write("db", WriteOp::patch(COLL, 1, push));
    assert_eq!(id, 1);
    assert_eq!(
        client.read("db", COLL, 1),
        r#"{ "n": 9007199254740993, "l": [1.10] }"#
    );
    let merge = WriteOp::merge(COLL, 1, r#"{"l":null}"#);
    client.write("db", merge.clone().when(Precondition::VersionIs(version)));
    assert_eq!(client.read("db", COLL, 1), r#"{ "n": 9007199254740993 }"#);
    for (op, kind) in [
        (
            merge.when(Precondition::VersionIs(version)),
            ErrorKind::VersionMismatch,
        ),
        (WriteOp::merge(COLL, 2, "{}"), ErrorKind::NotFound),
        (WriteOp::patch(COLL, 1, "[]"), ErrorKind::InvalidPatch),
        (WriteOp::patch(COLL, 1, "["), ErrorKind::InvalidJson),
        (WriteOp::patch(COLL, 1, push), ErrorKind::InvalidPath),
    ] {
        assert_eq!(client.error(&write("db", op)), kind);
    }
    let batch = |mode| Request::Batch {
        db: "db".into(),
        mode,
        durability: None,
        ops: vec![
            WriteOp::merge(COLL, 1, r#"{"l":[]}"#),
            WriteOp::patch(COLL, 1, push),
            WriteOp::patch(COLL, 1, r#"[{"op":"delete","path":"/x"}]"#),
        ],
    };
    for mode in [BatchMode::Atomic, BatchMode::Independent] {
        let Response::BatchDone { results } = client.call(&batch(mode)) else {
            panic!("no results");
        };
        let atomic = mode == BatchMode::Atomic;
        assert_eq!(matches!(results[0], OpResult::Ok { .. }), !atomic);
        assert!(matches!(&results[2], OpResult::Err(e) if e.kind() == ErrorKind::InvalidPath));
        let expected = if atomic { "" } else { r#","l":[1.10]"# };
        let expected = format!(r#"{{ "n": 9007199254740993{expected} }}"#);
        assert_eq!(client.read("db", COLL, 1), expected);
    }

    for id in 2..=10 {
        client.write("db", WriteOp::create(COLL, id, "1"));
    }
    let range = |limit, durability: Option<&str>| Request::DeleteRange {
        db: "db".into(),
        collection: COLL.into(),
        from: Some(3),
        to: Some(9),
        limit,
        durability: durability.map(Into::into),
    };
    let deleted = |response| match response {
        Response::RangeDeleted {
            deleted,
            version,
            next,
        } => (deleted, version.is_some(), next),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        client.error(&range(Some(0), None)),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        client.error(&range(None, Some("often"))),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        deleted(client.call(&range(Some(5), None))),
        (5, true, Some(8))
    );
    assert_eq!(
        deleted(client.call(&range(None, Some("always")))),
        (2, true, None)
    );
    assert_eq!(deleted(client.call(&range(None, None))), (0, false, None));
    let count = Request::Count {
        db: "db".into(),
        collection: COLL.into(),
    };
    assert_eq!(client.call(&count), Response::Count(3));
}

#[test]
fn refused_writes() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let (version, _) = client.write("db", WriteOp::create(COLL, 1, "1"));
    let cases: Vec<(WriteOp, ErrorKind)> = vec![
        (WriteOp::create(COLL, 1, "1"), ErrorKind::AlreadyExists),
        (WriteOp::update(COLL, 2, "1"), ErrorKind::NotFound),
        (WriteOp::delete(COLL, 2), ErrorKind::NotFound),
        (
            WriteOp::upsert("missing", 1, "1"),
            ErrorKind::CollectionNotFound,
        ),
        (
            WriteOp::update(COLL, 1, "1").when(Precondition::VersionIs(version + 1)),
            ErrorKind::VersionMismatch,
        ),
        (
            WriteOp::upsert(COLL, 1, "1").when(Precondition::Absent),
            ErrorKind::VersionMismatch,
        ),
        (WriteOp::upsert(COLL, 1, "{bad"), ErrorKind::InvalidJson),
        (WriteOp::upsert(COLL, 1, ""), ErrorKind::InvalidJson),
        (WriteOp::upsert(COLL, 1, "1 2"), ErrorKind::InvalidJson),
        (
            WriteOp::upsert(COLL, 1, r#""\ud800""#),
            ErrorKind::InvalidJson,
        ),
        (WriteOp::upsert(COLL, 1, "1e999"), ErrorKind::InvalidJson),
        (
            WriteOp::upsert(COLL, 1, "[".repeat(100_000)),
            ErrorKind::InvalidJson,
        ),
        (
            WriteOp::upsert(COLL, 1, "[".repeat(128) + &"]".repeat(128)),
            ErrorKind::InvalidJson,
        ),
        (
            WriteOp::upsert(COLL, 1, &b"\"\xff\""[..]),
            ErrorKind::InvalidJson,
        ),
    ];
    for (op, kind) in cases {
        let text = format!("{op:.80?}");
        assert_eq!(client.error(&write("db", op)), kind, "{text}");
    }
    assert_eq!(
        client.error(&write("missing", WriteOp::delete(COLL, 1))),
        ErrorKind::DatabaseNotFound
    );
    let mut override_mode = write("db", WriteOp::upsert(COLL, 1, "1"));
    if let Request::Write { durability, .. } = &mut override_mode {
        *durability = Some("none".into());
    }
    assert_eq!(client.error(&override_mode), ErrorKind::InvalidArgument);
    assert_eq!(client.read("db", COLL, 1), "1");
}

#[test]
fn the_largest_document() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let largest = format!("\"{}\"", "x".repeat(DOCUMENT_BYTES_MAX - 2));
    client.write("db", WriteOp::create(COLL, 1, largest.clone()));
    assert!(client.read("db", COLL, 1) == largest);
    let larger = format!("\"{}\"", "x".repeat(DOCUMENT_BYTES_MAX - 1));
    assert_eq!(
        client.error(&write("db", WriteOp::create(COLL, 2, larger))),
        ErrorKind::TooLarge
    );
}

#[test]
fn databases() {
    let server = TestServer::start();
    let mut client = server.connect();
    for name in ["b", "a", "über"] {
        client.create_database(name);
    }
    let create = |name: &str, durability: Option<&str>| Request::CreateDatabase {
        name: name.into(),
        durability: durability.map(Into::into),
    };
    assert_eq!(client.error(&create("a", None)), ErrorKind::AlreadyExists);
    for name in [
        "../x",
        ".",
        "..",
        "",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        &"x".repeat(65),
    ] {
        assert_eq!(
            client.error(&create(name, None)),
            ErrorKind::InvalidName,
            "{name:?}"
        );
    }
    assert_eq!(
        client.error(&create("c", Some("sometimes"))),
        ErrorKind::InvalidArgument
    );
    assert_eq!(client.call(&create("c", Some("full"))), Response::Ok);
    let Response::Databases(list) = client.call(&Request::ListDatabases) else {
        panic!()
    };
    let names: Vec<&str> = list.iter().map(|info| &*info.name).collect();
    assert_eq!(names, ["a", "b", "c", "über"]);
    assert_eq!(
        list.iter()
            .map(|info| info.id)
            .collect::<HashSet<_>>()
            .len(),
        4
    );
    let drop = Request::DropDatabase { name: "b".into() };
    assert_eq!(client.call(&drop), Response::Ok);
    assert_eq!(client.error(&drop), ErrorKind::DatabaseNotFound);
    assert_eq!(
        client.error(&read_request("b", COLL, 1)),
        ErrorKind::DatabaseNotFound
    );
}

#[test]
fn collections() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let create = |name: &str| Request::CreateCollection {
        db: "db".into(),
        name: name.into(),
    };
    let drop = |name: &str, force| Request::DropCollection {
        db: "db".into(),
        name: name.into(),
        force,
    };
    assert_eq!(client.call(&create("c")), Response::Ok);
    assert_eq!(client.error(&create("c")), ErrorKind::AlreadyExists);
    for name in ["", "../x", "a.b", "a/b"] {
        assert_eq!(
            client.error(&create(name)),
            ErrorKind::InvalidName,
            "{name:?}"
        );
    }
    client.write("db", WriteOp::create("c", 1, "1"));
    let Response::Collections(list) = client.call(&Request::ListCollections { db: "db".into() })
    else {
        panic!()
    };
    let list: Vec<_> = list
        .iter()
        .map(|info| (&*info.name, info.documents))
        .collect();
    assert_eq!(list, [("_default", 0), ("c", 1)]);
    assert_eq!(client.error(&drop("c", false)), ErrorKind::NotEmpty);
    assert_eq!(client.call(&drop("c", true)), Response::Ok);
    assert_eq!(client.call(&create("c")), Response::Ok);
    assert_eq!(
        client.error(&read_request("db", "c", 1)),
        ErrorKind::NotFound
    );
}

#[test]
fn batches() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let batch = |mode, ops: Vec<WriteOp>| Request::Batch {
        db: "db".into(),
        mode,
        durability: None,
        ops,
    };
    let good = || vec![WriteOp::create(COLL, 1, "1"), WriteOp::update(COLL, 1, "2")];
    let Response::BatchDone { results } = client.call(&batch(BatchMode::Atomic, good())) else {
        panic!()
    };
    let [
        OpResult::Ok { version: a, id: 1 },
        OpResult::Ok { version: b, id: 1 },
    ] = results[..]
    else {
        panic!("{results:?}")
    };
    assert_eq!(a, b);
    assert_eq!(client.read("db", COLL, 1), "2");

    let bad = || {
        vec![
            WriteOp::upsert(COLL, 2, "2"),
            WriteOp::create(COLL, 1, "1"),
            WriteOp::upsert(COLL, 3, "3"),
        ]
    };
    let kinds = |results: &[OpResult]| -> Vec<Option<ErrorKind>> {
        let kind = |result: &OpResult| match result {
            OpResult::Ok { .. } => None,
            OpResult::Err(error) => Some(error.kind()),
        };
        results.iter().map(kind).collect()
    };
    let Response::BatchDone { results } = client.call(&batch(BatchMode::Atomic, bad())) else {
        panic!()
    };
    let aborted = Some(ErrorKind::Aborted);
    assert_eq!(
        kinds(&results),
        [aborted, Some(ErrorKind::AlreadyExists), aborted]
    );
    assert_eq!(
        client.error(&read_request("db", COLL, 2)),
        ErrorKind::NotFound
    );

    let Response::BatchDone { results } = client.call(&batch(BatchMode::Independent, bad())) else {
        panic!()
    };
    assert_eq!(
        kinds(&results),
        [None, Some(ErrorKind::AlreadyExists), None]
    );
    assert_eq!(client.read("db", COLL, 3), "3");

    for mode in [BatchMode::Atomic, BatchMode::Independent] {
        assert_eq!(
            client.error(&batch(mode, vec![])),
            ErrorKind::InvalidArgument
        );
        // Large enough to run on a worker thread.
        let many: Vec<_> = (0..5000)
            .map(|id| WriteOp::upsert(COLL, id, "{}"))
            .collect();
        let Response::BatchDone { results } = client.call(&batch(mode, many)) else {
            panic!()
        };
        assert_eq!(results.len(), 5000);
        assert!(
            results
                .iter()
                .all(|result| matches!(result, OpResult::Ok { .. }))
        );
    }
}

/// Requests are pipelined, and an acknowledged write is seen by every read sent afterwards, on any
/// connection.
#[test]
fn pipelining_on_many_connections() {
    let server = TestServer::start();
    server.connect().create_database("db");
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let mut client = server.connect();
            let mut reader = server.connect();
            scope.spawn(move || {
                for round in 0..20u64 {
                    let mut out = BytesMut::new();
                    let mut ids = HashSet::new();
                    for n in 0..50 {
                        let op = WriteOp::upsert(COLL, thread * 1000 + n, format!("{round}"));
                        ids.insert(client.encode(&mut out, &write("db", op)));
                    }
                    std::io::Write::write_all(&mut client.stream, &out).unwrap();
                    while !ids.is_empty() {
                        let (id, response) = client.receive().unwrap();
                        assert!(ids.remove(&id));
                        assert!(matches!(response, Response::Written { .. }), "{response:?}");
                    }
                    let n = thread * 1000 + round;
                    assert_eq!(reader.read("db", COLL, n), format!("{round}"));
                }
            });
        }
    });
}

#[test]
fn stats_and_checkpoint() {
    let server = TestServer::start();
    let mut client = server.connect();
    assert_eq!(client.call(&Request::Ping), Response::Pong);
    client.create_database("db");
    client.write("db", WriteOp::create(COLL, 1, "1"));
    assert_eq!(
        client.call(&Request::Checkpoint { db: "db".into() }),
        Response::Ok
    );
    let stats = |client: &mut Client, db: Option<&str>| -> serde_json::Value {
        match client.call(&Request::Stats {
            db: db.map(Into::into),
        }) {
            Response::Stats(json) => serde_json::from_slice(&json).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let whole = stats(&mut client, None);
    assert_eq!(whole["databases"]["total"], 1);
    assert_eq!(whole["connections"]["open"], 1);
    assert_eq!(whole["pid"], std::process::id());
    let one = stats(&mut client, Some("db"));
    assert_eq!(one["documents"], 1);
    assert_eq!(one["checkpoint"]["count"], 1);
    let missing = Request::Stats {
        db: Some("missing".into()),
    };
    assert_eq!(client.error(&missing), ErrorKind::DatabaseNotFound);
}

#[test]
fn compaction_gives_space_back() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let body = format!("\"{}\"", "x".repeat(2_000));
    for revision in 0..4 {
        for id in 1..=100 {
            client.write("db", WriteOp::upsert(COLL, id, body.clone()));
        }
        if revision < 3 {
            client.call(&Request::Checkpoint { db: "db".into() });
        }
    }
    let Response::Compacted(done) = client.call(&Request::Compact { db: "db".into() }) else {
        panic!("no answer to compact");
    };
    assert!(done.files > 0, "{done:?}");
    assert!(done.bytes_after < done.bytes_before / 2, "{done:?}");
    assert!(done.bytes_after > 200_000, "{done:?}");
    for id in 1..=100 {
        let document = client.call(&Request::Read {
            db: "db".into(),
            collection: COLL.into(),
            id,
        });
        let Response::Document { body: read, .. } = document else {
            panic!("{document:?}");
        };
        assert_eq!(read, body);
    }
    let missing = Request::Compact {
        db: "missing".into(),
    };
    assert_eq!(client.error(&missing), ErrorKind::DatabaseNotFound);
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let server = TestServer::start();
    let mut client = server.connect();
    for name in ["one", "two"] {
        client.create_database(name);
        client.write(
            name,
            WriteOp::create(COLL, 1, Bytes::from(format!("{name:?}"))),
        );
    }
    let temp = server.end();
    let server = TestServer::start_in(temp, |_| {});
    let mut client = server.connect();
    for name in ["one", "two"] {
        assert_eq!(client.read(name, COLL, 1), format!("{name:?}"));
    }
}

/// More requests than may be in flight: each is answered, some perhaps with `Busy`, and those that
/// were written are there.
#[test]
fn a_burst_beyond_the_limit() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let count = 3 * u64::from(client.session.limits.in_flight_requests_max);
    let mut out = BytesMut::new();
    let ids: Vec<_> = (0..count)
        .map(|id| client.encode(&mut out, &write("db", WriteOp::create(COLL, id, "1"))))
        .collect();
    let mut sender = client.stream.try_clone().unwrap();
    let written = std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut sender, &out).unwrap());
        let mut written = 0;
        let mut answered = HashSet::new();
        for _ in 0..count {
            let (id, response) = client.receive().unwrap();
            assert!(answered.insert(id));
            match response {
                Response::Written { .. } => written += 1,
                Response::Error(error) => assert_eq!(error.kind(), ErrorKind::Busy),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(answered, ids.into_iter().collect());
        written
    });
    assert!(written > 0);
    let count = Request::Count {
        db: "db".into(),
        collection: COLL.into(),
    };
    assert_eq!(client.call(&count), Response::Count(written));
}

/// A database dropped under its users: every request has an answer, and the next database of that
/// name is empty.
#[test]
fn a_drop_under_load() {
    let server = TestServer::start();
    let mut admin = server.connect();
    let mut user = server.connect();
    for _ in 0..5 {
        admin.create_database("db");
        let mut out = BytesMut::new();
        for id in 0..200 {
            user.encode(&mut out, &write("db", WriteOp::create(COLL, id, "1")));
            user.encode(&mut out, &read_request("db", COLL, id));
        }
        std::io::Write::write_all(&mut user.stream, &out).unwrap();
        let drop = Request::DropDatabase { name: "db".into() };
        assert_eq!(admin.call(&drop), Response::Ok);
        for _ in 0..400 {
            match user.receive().unwrap().1 {
                Response::Written { .. } | Response::Document { .. } => {}
                Response::Error(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::Closed | ErrorKind::DatabaseNotFound | ErrorKind::NotFound
                    ),
                    "{error}"
                ),
                other => panic!("{other:?}"),
            }
        }
        admin.create_database("db");
        let count = Request::Count {
            db: "db".into(),
            collection: COLL.into(),
        };
        assert_eq!(admin.call(&count), Response::Count(0));
        assert_eq!(admin.call(&drop), Response::Ok);
    }
}
