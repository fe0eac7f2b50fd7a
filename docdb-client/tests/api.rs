//! The client's calls against a server whose documents live in memory.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::memory::MemoryServer;
use common::{FakeServer, Handler, Peer};
use docdb_client::{Base64Bytes, Client, DEFAULT_COLLECTION, ErrorKind, WriteOptions, blocking};
use docdb_ipc::{Limits, Request, RequestId};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    picture: Base64Bytes,
}

fn user(name: &str) -> User {
    User {
        name: name.into(),
        picture: name.as_bytes().into(),
    }
}

async fn with_database() -> (FakeServer, Client) {
    let server = FakeServer::start(MemoryServer::default());
    let client = Client::connect(server.path()).await.unwrap();
    client.create_database("d", Some("os")).await.unwrap();
    (server, client)
}

#[tokio::test]
async fn documents() {
    let (_server, client) = with_database().await;
    let users = client.database("d").collection::<User>(DEFAULT_COLLECTION);

    let created = users.create(7, &user("Ada")).await.unwrap();
    assert_eq!(created.id, 7);
    assert_eq!(
        users.create(7, &user("Ada")).await.unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        users.update(8, &user("x")).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let inserted = users.insert(&user("Grace")).await.unwrap();
    assert_eq!(inserted.id, 8);
    assert!(inserted.version > created.version);
    assert_eq!(users.get(7).await.unwrap().value, user("Ada"));
    assert_eq!(users.get_if_exists(9).await.unwrap(), None);
    assert_eq!(users.get(9).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(users.exists(8).await.unwrap());
    assert_eq!(users.count().await.unwrap(), 2);
    users.delete(8).await.unwrap();
    assert!(!users.exists(8).await.unwrap());
    assert_eq!(
        users.delete(8).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    // Ids are not used again.
    assert_eq!(users.insert(&user("Edith")).await.unwrap().id, 9);
}

#[tokio::test]
async fn preconditions() {
    let (_server, client) = with_database().await;
    let values = client.database("d").collection::<u64>(DEFAULT_COLLECTION);
    let version = values.upsert(1, &1).await.unwrap().version;
    let absent = values.with(WriteOptions::new().if_absent());
    let error = absent.upsert(1, &2).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.version()),
        (ErrorKind::VersionMismatch, Some(version))
    );
    let stale = values.with(WriteOptions::new().if_version(version + 1));
    assert_eq!(
        stale.update(1, &2).await.unwrap_err().kind(),
        ErrorKind::VersionMismatch
    );
    let exact = values.with(WriteOptions::new().if_version(version).durability("always"));
    exact.update(1, &2).await.unwrap();
    assert_eq!(values.get(1).await.unwrap().value, 2);
}

#[tokio::test]
async fn raw_documents_are_kept_byte_for_byte() {
    let (_server, client) = with_database().await;
    let raw = client.database("d").raw_collection(DEFAULT_COLLECTION);
    let text = " { \"n\" : 9007199254740993 ,\n\t\"m\":1.10}\r\n";
    raw.upsert(1, text).await.unwrap();
    assert_eq!(raw.get(1).await.unwrap().value, text);
    let typed = client
        .database("d")
        .collection::<Vec<u8>>(DEFAULT_COLLECTION);
    let error = typed.get(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("document 1"), "{error}");
}

#[tokio::test]
async fn databases_and_collections() {
    let (_server, client) = with_database().await;
    client.create_database("e", None).await.unwrap();
    let error = client.create_database("e", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let names = |list: Vec<docdb_client::DatabaseInfo>| {
        list.into_iter()
            .map(|info| (info.name, info.durability))
            .collect::<Vec<_>>()
    };
    let expected = [("d", "os"), ("e", "full")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(names(client.databases().await.unwrap()), expected);
    client.drop_database("e").await.unwrap();
    assert_eq!(
        client.drop_database("e").await.unwrap_err().kind(),
        ErrorKind::DatabaseNotFound
    );

    let db = client.database("d");
    db.create_collection("c").await.unwrap();
    db.collection::<u8>("c").insert(&1).await.unwrap();
    assert_eq!(
        db.drop_collection("c", false).await.unwrap_err().kind(),
        ErrorKind::NotEmpty
    );
    let list = db.collections().await.unwrap();
    let list: Vec<_> = list
        .iter()
        .map(|info| (info.name.as_str(), info.documents))
        .collect();
    assert_eq!(list, [("_default", 0), ("c", 1)]);
    db.drop_collection("c", true).await.unwrap();
    assert_eq!(
        db.raw_collection("c").count().await.unwrap_err().kind(),
        ErrorKind::CollectionNotFound
    );
    db.checkpoint().await.unwrap();
    assert_eq!(client.stats().await.unwrap()["databases"], 1);
    assert_eq!(db.stats().await.unwrap()["transactions"], 1);
}

#[tokio::test]
async fn batches() {
    let (_server, client) = with_database().await;
    let db = client.database("d");
    let written = db
        .batch()
        .create(DEFAULT_COLLECTION, 1, &"one")
        .insert_raw(DEFAULT_COLLECTION, "\"two\"")
        .update(DEFAULT_COLLECTION, 1, "uno")
        .commit()
        .await
        .unwrap();
    assert_eq!(written.iter().map(|w| w.id).collect::<Vec<_>>(), [1, 2, 1]);
    assert!(written.iter().all(|w| w.version == written[0].version));

    let failing = || {
        db.batch()
            .delete(DEFAULT_COLLECTION, 2)
            .delete(DEFAULT_COLLECTION, 99)
            .upsert(DEFAULT_COLLECTION, 1, "eins")
            .with(WriteOptions::new().if_version(written[0].version))
    };
    let error = failing().commit().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.op_index()),
        (ErrorKind::NotFound, Some(1))
    );
    let texts = db.collection::<String>(DEFAULT_COLLECTION);
    assert_eq!(texts.get(1).await.unwrap().value, "uno");
    assert!(texts.exists(2).await.unwrap());

    let results = failing().commit_independent().await.unwrap();
    assert!(results[0].is_ok() && results[2].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(
        (error.kind(), error.op_index()),
        (ErrorKind::NotFound, Some(1))
    );
    assert_eq!(texts.get(1).await.unwrap().value, "eins");

    assert_eq!(db.batch().commit().await.unwrap(), []);
    let bad = BTreeMap::from([((1, 2), 3)]);
    let error = db
        .batch()
        .upsert(DEFAULT_COLLECTION, 5, &bad)
        .commit()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = db
        .batch()
        .with(WriteOptions::new().if_absent())
        .commit()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

async fn ids(mut scan: docdb_client::RawScan) -> Vec<u64> {
    let mut ids = Vec::new();
    while let Some(document) = scan.next().await.unwrap() {
        assert_eq!(document.value, document.id.to_string());
        ids.push(document.id);
    }
    ids
}

async fn fill(client: &Client, count: u64) -> docdb_client::RawCollection {
    let mut batch = client.database("d").batch();
    for id in 1..=count {
        batch = batch.create(DEFAULT_COLLECTION, id, &id);
    }
    batch.commit().await.unwrap();
    client.database("d").raw_collection(DEFAULT_COLLECTION)
}

#[tokio::test]
async fn scans() {
    let (_server, client) = with_database().await;
    let raw = fill(&client, 10).await;
    assert_eq!(ids(raw.scan(..)).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(ids(raw.scan(3..5)).await, [3, 4]);
    assert_eq!(ids(raw.scan(3..=5).reverse()).await, [5, 4, 3]);
    assert_eq!(ids(raw.scan(8..)).await, [8, 9, 10]);
    #[expect(clippy::reversed_empty_ranges, reason = "an empty range is no error")]
    let empty = raw.scan(5..3);
    assert!(ids(empty).await.is_empty());
    assert!(ids(raw.scan(..0)).await.is_empty());
    assert_eq!(
        raw.scan(..).limit(0).next().await.unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );

    let mut scan = raw.scan(..).limit(4);
    while scan.next().await.unwrap().is_some() {}
    let cursor = scan.cursor().unwrap().clone();
    assert_eq!(ids(raw.scan(..).resume(cursor)).await, [5, 6, 7, 8, 9, 10]);

    let mut typed = client
        .database("d")
        .collection::<u64>(DEFAULT_COLLECTION)
        .scan(9..);
    assert_eq!(typed.next().await.unwrap().unwrap().value, 9);
    assert_eq!(typed.next().await.unwrap().unwrap().value, 10);
    assert!(typed.next().await.unwrap().is_none());
    assert!(typed.next().await.unwrap().is_none());
}

/// A memory server that counts what scans had to ask for.
struct Counting {
    inner: MemoryServer,
    seen: tokio::sync::mpsc::UnboundedSender<Request>,
}

impl Handler for Counting {
    fn request(&mut self, peer: &mut Peer, id: RequestId, request: Request) {
        if matches!(request, Request::ScanCredit { .. } | Request::Cancel) {
            let _ = self.seen.send(request.clone());
        }
        self.inner.request(peer, id, request);
    }
}

#[tokio::test]
async fn a_scan_grants_credit_as_documents_are_taken() {
    // Documents of 1 to 3 bytes cost 21 to 23: three of them overdraw the credit.
    let limits = Limits {
        scan_credit_bytes_max: 50,
        ..Limits::default()
    };
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let counting = Counting {
        inner: MemoryServer::default(),
        seen,
    };
    let server = FakeServer::start_with(limits, counting);
    let client = Client::connect(server.path()).await.unwrap();
    client.create_database("d", None).await.unwrap();
    let raw = fill(&client, 200).await;
    assert_eq!(ids(raw.scan(..)).await, (1..=200).collect::<Vec<_>>());
    let mut grants = 0;
    while let Ok(request) = requests.try_recv() {
        assert!(
            matches!(request, Request::ScanCredit { bytes: 25..=50 }),
            "{request:?}"
        );
        grants += 1;
    }
    assert!(grants >= 60, "{grants}");

    // A scan that is dropped is cancelled, and the connection goes on.
    let mut scan = raw.scan(..);
    scan.next().await.unwrap().unwrap();
    drop(scan);
    assert_eq!(requests.recv().await, Some(Request::Cancel));
    assert_eq!(raw.count().await.unwrap(), 200);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_sends_more_than_its_credit_is_cut_off() {
    use docdb_ipc::{Response, ScanItem};
    let limits = Limits {
        scan_credit_bytes_max: 50,
        ..Limits::default()
    };
    let server = FakeServer::start_with(limits, |peer: &mut Peer, id, _: Request| {
        let item = ScanItem {
            id: 1,
            version: 1,
            body: Bytes::from_static(b"{}"),
        };
        peer.reply(id, Response::ScanItems(vec![item; 10]));
    });
    let client = Client::connect(server.path()).await.unwrap();
    let mut scan = client.database("d").raw_collection("c").scan(..);
    assert_eq!(scan.next().await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_scan_starts_anew_only_before_its_first_document() {
    use docdb_ipc::{Response, ScanItem};
    let server = FakeServer::start(|peer: &mut Peer, id, request: Request| {
        if request == Request::Cancel || peer.number == 0 {
            peer.close();
            return;
        }
        let item = ScanItem {
            id: 5,
            version: 1,
            body: Bytes::from_static(b"{}"),
        };
        peer.reply(id, Response::ScanItems(vec![item]));
        peer.close();
    });
    let client = Client::connect(server.path()).await.unwrap();
    let mut scan = client.database("d").raw_collection("c").scan(..);
    assert_eq!(scan.next().await.unwrap().unwrap().id, 5);
    assert_eq!(scan.next().await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(scan.next().await.unwrap().is_none());
    assert_eq!(server.connections(), 2);
}

#[test]
fn blocking_client() {
    let server = FakeServer::start(MemoryServer::default());
    let client = blocking::Client::connect(server.path()).unwrap();
    client.ping().unwrap();
    client.create_database("d", None).unwrap();
    let db = client.database("d");
    let users = db.collection::<User>(DEFAULT_COLLECTION);
    // Handles outlive the client, and threads share them.
    drop(client);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    users.insert(&user("Ada")).unwrap();
                }
            });
        }
    });
    assert_eq!(users.count().unwrap(), 200);
    let found: Vec<u64> = users.scan(..3).map(|user| user.unwrap().id).collect();
    assert_eq!(found, [1, 2]);
    let written = db.commit(db.batch().delete(DEFAULT_COLLECTION, 1)).unwrap();
    assert_eq!(written.len(), 1);
    assert_eq!(users.get(1).unwrap_err().kind(), ErrorKind::NotFound);
}
