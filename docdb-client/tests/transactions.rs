//! Transactions and snapshots of a client: against a real server, and against one that a test makes
//! answer what it wants.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::real::RealServer;
use common::{FakeServer, Peer};
use docdb_client::{
    Client, DEFAULT_COLLECTION, Database, Error, ErrorKind, TransactionOptions, WriteOptions,
};
use docdb_ipc::{Limits, Request, RequestId, Response, ViewRequest, WireError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const COLL: &str = DEFAULT_COLLECTION;
/// Longer than any test runs: a test that needs it to pass fails by hanging, not by luck.
const LONG: Duration = Duration::from_secs(600);

fn options() -> TransactionOptions {
    TransactionOptions::new().timeout(Duration::from_secs(60))
}

async fn connect(server: &RealServer) -> Database {
    let client = Client::connect(server.path()).await.unwrap();
    // Another test's client may have made it.
    let _ = client.create_database("db", None).await;
    client.database("db")
}

/// What the server counts of the database's transactions.
async fn counted(db: &Database, name: &str) -> u64 {
    let stats = db.stats().await.unwrap();
    stats["transactions"][name].as_u64().unwrap()
}

async fn until_counted(db: &Database, name: &str, expected: u64) {
    while counted(db, name).await != expected {}
}

#[tokio::test]
async fn a_transaction_is_whole_or_absent_and_seen_by_itself() {
    let server = RealServer::start();
    let db = connect(&server).await;
    let plain = db.collection::<u32>(COLL);
    plain.create(1, &1).await.unwrap();
    plain.create(2, &2).await.unwrap();

    let tx = db.begin(options()).await.unwrap();
    let numbers = tx.collection::<u32>(COLL);
    let read = numbers.get(1).await.unwrap();
    let written = numbers.update(1, &(read.value + 10)).await.unwrap();
    assert_eq!((written.version, written.id), (0, 1));
    numbers.delete(2).await.unwrap();
    assert_eq!(numbers.insert(&3).await.unwrap().id, 3);
    let raw = tx.raw_collection(COLL);
    raw.upsert(4, "4.0e0").await.unwrap();
    numbers.create(5, &5).await.unwrap();

    assert_eq!(numbers.get(1).await.unwrap().value, 11);
    assert_eq!(numbers.get_if_exists(2).await.unwrap(), None);
    assert!(numbers.exists(3).await.unwrap());
    assert_eq!(raw.get(4).await.unwrap().value, "4.0e0");
    assert_eq!(numbers.count().await.unwrap(), 4);
    assert_eq!(tx.collections().await.unwrap()[0].documents, 4);
    let mut seen = Vec::new();
    let mut scan = raw.scan(..).reverse();
    while let Some(document) = scan.next().await.unwrap() {
        seen.push(document.id);
    }
    assert_eq!(seen, [5, 4, 3, 1]);
    let mut scan = raw.scan(2..5).limit(1);
    assert_eq!(scan.next().await.unwrap().unwrap().id, 3);
    assert!(scan.next().await.unwrap().is_none());

    // Preconditions, and what is refused leaves the transaction as it was.
    let careful = raw.with(WriteOptions::new().if_version(read.version));
    let error = careful.update(1, "0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::VersionMismatch, "written here");
    let absent = raw.with(WriteOptions::new().if_absent());
    absent.upsert(6, "6").await.unwrap();
    let error = absent.upsert(6, "7").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::VersionMismatch);
    let error = numbers.create(5, &5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let durable = raw.with(WriteOptions::new().durability("full"));
    let error = durable.upsert(7, "7").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);

    // Edits are made of what the transaction sees.
    raw.create(8, r#"{"a":1, "b":2}"#).await.unwrap();
    let patch = r#"[{"op":"set","path":"/a","value":3}]"#;
    raw.patch(8, patch).await.unwrap();
    raw.merge(8, r#"{"b":null}"#).await.unwrap();
    assert_eq!(raw.get(8).await.unwrap().value, r#"{"a":3}"#);
    raw.delete(8).await.unwrap();
    let error = raw.delete_range(.., None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);

    assert_eq!(plain.get(1).await.unwrap().value, 1);
    assert_eq!(plain.count().await.unwrap(), 2);
    let version = tx.commit().await.unwrap();
    assert_eq!(plain.get(1).await.unwrap().version, version);
    assert_eq!(plain.count().await.unwrap(), 5);
    // Its handles are of no more use.
    let error = numbers.get(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionNotFound);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_or_rolled_back_leaves_nothing() {
    let server = RealServer::start();
    let db = connect(&server).await;
    let tx = db.begin(options()).await.unwrap();
    let numbers = tx.collection::<u32>(COLL);
    numbers.create(1, &1).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(counted(&db, "open").await, 0);
    let error = numbers.get(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionNotFound);

    let tx = db.begin(options()).await.unwrap();
    let numbers = tx.collection::<u32>(COLL);
    numbers.create(1, &1).await.unwrap();
    drop(tx);
    // A collection of it keeps it.
    assert_eq!(numbers.get(1).await.unwrap().value, 1);
    drop(numbers);
    // Sent before what asks.
    assert_eq!(counted(&db, "open").await, 0);
    assert_eq!(counted(&db, "rolled_back").await, 2);
    assert_eq!(db.raw_collection(COLL).count().await.unwrap(), 0);

    // A client that is gone.
    let gone = connect(&server).await;
    let tx = gone.begin(options()).await.unwrap();
    tx.raw_collection(COLL).create(1, "1").await.unwrap();
    drop((tx, gone));
    until_counted(&db, "rolled_back", 3).await;
    assert_eq!(db.raw_collection(COLL).count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_conflict_has_the_version_it_lost_to() {
    let server = RealServer::start();
    let (db, other) = (connect(&server).await, connect(&server).await);
    db.raw_collection(COLL).create(1, "0").await.unwrap();
    let (tx1, tx2) = (
        db.begin(options()).await.unwrap(),
        other.begin(options()).await.unwrap(),
    );
    for tx in [&tx1, &tx2] {
        tx.raw_collection(COLL).update(1, "1").await.unwrap();
    }
    let version = tx1.commit().await.unwrap();
    let error = tx2.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.version(), Some(version));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn write_skew_is_refused_on_request() {
    let server = RealServer::start();
    let db = connect(&server).await;
    for (options, may_both) in [(options(), true), (options().serializable(), false)] {
        for id in [1, 2] {
            db.raw_collection(COLL).upsert(id, "true").await.unwrap();
        }
        let begin = || db.begin(options.clone());
        let (tx1, tx2) = (begin().await.unwrap(), begin().await.unwrap());
        let (first, second) = (tx1.collection::<bool>(COLL), tx2.collection::<bool>(COLL));
        assert!(first.get(1).await.unwrap().value && second.get(2).await.unwrap().value);
        first.update(2, &false).await.unwrap();
        second.update(1, &false).await.unwrap();
        tx1.commit().await.unwrap();
        let second = tx2.commit().await;
        assert_eq!(second.is_ok(), may_both);
        if let Err(error) = second {
            assert_eq!(error.kind(), ErrorKind::Conflict);
        }
    }
}

/// Increments from many tasks: none is lost, however often they conflict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transact_repeats_until_it_commits() {
    const TASKS: u64 = 8;
    const EACH: u64 = 10;
    let server = RealServer::start();
    let db = connect(&server).await;
    db.collection::<u64>(COLL).create(1, &0).await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (db, runs) = (db.clone(), Arc::clone(&runs));
        tasks.spawn(async move {
            for _ in 0..EACH {
                let options = options().attempts_max(10_000);
                let work = |tx: docdb_client::Transaction| {
                    let runs = Arc::clone(&runs);
                    async move {
                        runs.fetch_add(1, Ordering::SeqCst);
                        let counter = tx.collection::<u64>(COLL);
                        let count = counter.get(1).await?.value;
                        counter.update(1, &(count + 1)).await?;
                        Ok::<_, Error>(count)
                    }
                };
                db.transact(options, work).await.unwrap();
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let count = db.collection::<u64>(COLL).get(1).await.unwrap().value;
    assert_eq!(count, TASKS * EACH);
    assert!(runs.load(Ordering::SeqCst) >= (TASKS * EACH) as u32);
    assert_eq!(counted(&db, "committed").await, TASKS * EACH);
    assert_eq!(counted(&db, "open").await, 0);
}

#[tokio::test]
async fn an_error_of_the_work_rolls_back_and_is_the_answer() {
    #[derive(Debug, PartialEq)]
    enum Refusal {
        NoStock,
        Database(ErrorKind),
    }
    impl From<Error> for Refusal {
        fn from(error: Error) -> Self {
            Refusal::Database(error.kind())
        }
    }
    let server = RealServer::start();
    let db = connect(&server).await;
    let mut runs = 0;
    let refused = db
        .transact(options(), |tx| {
            runs += 1;
            async move {
                tx.raw_collection(COLL).create(1, "1").await?;
                Err::<(), _>(Refusal::NoStock)
            }
        })
        .await;
    assert_eq!((refused, runs), (Err(Refusal::NoStock), 1));
    let refused = db
        .transact(options(), |tx| async move {
            tx.raw_collection("missing").create(1, "1").await?;
            Ok(())
        })
        .await;
    let expected = Refusal::Database(ErrorKind::CollectionNotFound);
    assert_eq!(refused, Err(expected));
    assert_eq!(db.raw_collection(COLL).count().await.unwrap(), 0);
    assert_eq!(counted(&db, "rolled_back").await, 2);
}

#[tokio::test]
async fn a_deadline_ends_a_transaction() {
    let server = RealServer::start();
    let db = connect(&server).await;
    let short = TransactionOptions::new().timeout(Duration::from_millis(1));
    let tx = db.begin(short.clone()).await.unwrap();
    until_counted(&db, "expired", 1).await;
    let error = tx.raw_collection(COLL).create(1, "1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionExpired);
    let error = tx.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionExpired);
    for (timeout, kind) in [
        (Duration::from_secs(61), ErrorKind::InvalidArgument),
        (Duration::MAX, ErrorKind::InvalidArgument),
        (Duration::ZERO, ErrorKind::InvalidArgument),
    ] {
        let error = db
            .begin(TransactionOptions::new().timeout(timeout))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{timeout:?}");
    }
}

#[tokio::test]
async fn a_snapshot_stays_as_it_was() {
    let server = RealServer::start();
    let db = connect(&server).await;
    let mut batch = db.batch();
    for id in 0..3_000u64 {
        batch = batch.create(COLL, id, &id);
    }
    batch.commit().await.unwrap();
    drop(db.snapshot().await.unwrap());
    // Sent before what asks.
    let stats = db.stats().await.unwrap();
    assert_eq!(stats["snapshots"]["open"], 0);
    let snapshot = db.snapshot().await.unwrap();
    let seen = snapshot.collection::<u64>(COLL);
    let mut scan = seen.scan(..);
    for id in 0..10 {
        assert_eq!(scan.next().await.unwrap().unwrap().value, id);
    }
    let mut batch = db.batch();
    for id in 0..3_000u64 {
        batch = match id % 2 {
            0 => batch.delete(COLL, id),
            _ => batch.update(COLL, id, &0),
        };
    }
    let written = batch.commit().await.unwrap();
    assert!(snapshot.version() < written[0].version);
    for id in 10..3_000 {
        assert_eq!(scan.next().await.unwrap().unwrap().value, id);
    }
    assert!(scan.next().await.unwrap().is_none());
    assert_eq!(seen.count().await.unwrap(), 3_000);
    assert_eq!(seen.get(0).await.unwrap().value, 0);
    assert!(seen.exists(2).await.unwrap());
    assert_eq!(snapshot.collections().await.unwrap()[0].documents, 3_000);
    let error = seen.upsert(1, &1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    // A page and what comes after it.
    let mut page = seen.scan(..).limit(5);
    while page.next().await.unwrap().is_some() {}
    let cursor = page.cursor().unwrap().clone();
    let mut rest = seen.scan(..).resume(cursor);
    assert_eq!(rest.next().await.unwrap().unwrap().value, 5);
    drop(rest);

    snapshot.close().await.unwrap();
    let error = seen.get(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionNotFound);
}

/// The server stops with a transaction open: nothing of it is written, and the client is told so.
#[tokio::test]
async fn a_server_that_stops() {
    let server = RealServer::start();
    let db = connect(&server).await;
    let tx = db.begin(options()).await.unwrap();
    let collection = tx.raw_collection(COLL);
    collection.create(1, "1").await.unwrap();
    server.stop();
    let error = loop {
        match collection.get(1).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("rolled back"), "{error}");
    let error = tx.commit().await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

#[test]
fn blocking() {
    let server = RealServer::start();
    let client = docdb_client::blocking::Client::connect(server.path()).unwrap();
    client.create_database("db", None).unwrap();
    let db = client.database("db");
    let open = || db.stats().unwrap()["transactions"]["open"].clone();
    let tx = db.begin(options()).unwrap();
    let numbers = tx.collection::<u32>(COLL);
    numbers.create(1, &1).unwrap();
    tx.raw_collection(COLL).create(2, "2").unwrap();
    assert_eq!(numbers.scan(..).count(), 2);
    assert_eq!(tx.collections().unwrap()[0].documents, 2);
    assert!(tx.commit().unwrap() > 0);
    let tx = db.begin(options().serializable()).unwrap();
    tx.collection::<u32>(COLL).update(1, &9).unwrap();
    tx.rollback().unwrap();
    let tx = db.begin(options()).unwrap();
    tx.collection::<u32>(COLL).update(1, &9).unwrap();
    drop(tx);
    assert_eq!(open(), 0);
    let mut runs = 0;
    let left = db.transact(options(), |tx| {
        runs += 1;
        let numbers = tx.collection::<u32>(COLL);
        let left = numbers.get(1)?.value + 1;
        numbers.update(1, &left)?;
        if runs == 1 {
            // Somebody is faster.
            db.collection::<u32>(COLL).update(1, &5)?;
        }
        Ok::<_, Error>(left)
    });
    assert_eq!((left.unwrap(), runs), (6, 2));
    let snapshot = db.snapshot().unwrap();
    db.collection::<u32>(COLL).update(1, &7).unwrap();
    assert_eq!(snapshot.collection::<u32>(COLL).get(1).unwrap().value, 6);
    assert_eq!(snapshot.raw_collection(COLL).scan(..).count(), 2);
    snapshot.close().unwrap();
    drop(db.snapshot().unwrap());
    assert_eq!(db.stats().unwrap()["snapshots"]["open"], 0);
}

// What follows is against a server whose answers the test decides.

async fn patient(server: &FakeServer) -> Database {
    let builder = Client::builder(server.path()).request_timeout(LONG);
    builder.connect().await.unwrap().database("db")
}

fn view(request: &Request) -> &ViewRequest {
    match request {
        Request::View(request) => request,
        other => panic!("{other:?}"),
    }
}

/// Answers as if there were nothing to refuse.
fn grant(peer: &mut Peer, id: RequestId, request: &Request) {
    let response = match request {
        Request::Cancel => return,
        Request::View(ViewRequest::Begin { .. } | ViewRequest::OpenSnapshot { .. }) => {
            Response::Opened { version: 1 }
        }
        Request::View(ViewRequest::Commit { .. }) => Response::Committed { version: 2 },
        Request::View(ViewRequest::Write { .. }) => Response::Written { version: 0, id: 1 },
        _ => Response::Ok,
    };
    peer.reply(id, response);
}

#[tokio::test]
async fn a_lost_connection_leaves_only_a_commit_that_was_sent_unknown() {
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| {
        let is_held = match &request {
            Request::View(ViewRequest::Commit { .. } | ViewRequest::Read { .. }) => true,
            Request::View(ViewRequest::Write { op, .. }) => op.id == Some(99),
            _ => false,
        };
        if !is_held {
            grant(peer, id, &request);
        }
        seen.send(request).unwrap();
    });
    let db = patient(&server).await;

    // A read and a write whose answers are lost: nothing of the transaction is written.
    for write in [false, true] {
        let tx = db.begin(options()).await.unwrap();
        arrived.recv().await.unwrap();
        let collection = tx.raw_collection(COLL);
        let call = tokio::spawn(async move {
            match write {
                true => collection.upsert(99, "1").await.map(drop),
                false => collection.get(1).await.map(drop),
            }
        });
        arrived.recv().await.unwrap();
        server.break_connections();
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(error.is_retryable());
        // Not sent: the connection is known to be gone.
        let error = tx.commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(error.is_retryable());
        assert!(arrived.try_recv().is_err());
    }

    let tx = db.begin(options()).await.unwrap();
    arrived.recv().await.unwrap();
    let commit = tokio::spawn(tx.commit());
    let request = arrived.recv().await.unwrap();
    assert!(matches!(view(&request), ViewRequest::Commit { .. }));
    server.break_connections();
    let error = commit.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert!(!error.is_retryable());
    // It is not repeated by `transact`, either.
    let work = tokio::spawn({
        let db = db.clone();
        async move {
            db.transact(options(), |_| async { Ok::<_, Error>(()) })
                .await
        }
    });
    arrived.recv().await.unwrap();
    arrived.recv().await.unwrap();
    server.break_connections();
    let error = work.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert!(arrived.try_recv().is_err());
}

#[tokio::test]
async fn transact_begins_anew_when_the_connection_broke_before_the_commit() {
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| {
        let is_write = matches!(request, Request::View(ViewRequest::Write { .. }));
        // Before the answer, so that whoever has it finds the request.
        seen.send((peer.number, request.clone())).unwrap();
        if peer.number == 0 && is_write {
            peer.close();
        } else {
            grant(peer, id, &request);
        }
    });
    let db = patient(&server).await;
    let work =
        |tx: docdb_client::Transaction| async move { tx.raw_collection(COLL).upsert(1, "1").await };
    db.transact(options(), work).await.unwrap();
    let mut on = Vec::new();
    while let Ok((number, request)) = arrived.try_recv() {
        on.push((number, request.opcode().name()));
    }
    let whole = [(0, "begin"), (0, "write_in"), (1, "begin"), (1, "write_in")];
    assert_eq!(on[..4], whole);
    assert_eq!(on[4..], [(1, "commit")]);
}

#[tokio::test]
async fn transact_gives_up_after_its_attempts() {
    let begun = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&begun);
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| {
        match request {
            Request::View(ViewRequest::Begin { .. }) => {
                count.fetch_add(1, Ordering::SeqCst);
            }
            Request::View(ViewRequest::Commit { .. }) => {
                let error = WireError::new(ErrorKind::Conflict, "lost").with_version(7);
                return peer.reply(id, Response::Error(error));
            }
            _ => {}
        }
        grant(peer, id, &request);
    });
    let db = patient(&server).await;
    let error = db
        .transact(options().attempts_max(3), |_| async { Ok::<_, Error>(()) })
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.version()),
        (ErrorKind::Conflict, Some(7))
    );
    assert_eq!(begun.load(Ordering::SeqCst), 3);
}

/// Whatever moment a `begin` is dropped at, the server does not keep the transaction.
#[tokio::test]
async fn a_dropped_begin_is_given_up() {
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| {
        // The answer of the first comes only when it is given up.
        let is_begin = matches!(request, Request::View(ViewRequest::Begin { .. }));
        if !is_begin {
            peer.reply(id, Response::Opened { version: 1 });
        }
        seen.send((id, request)).unwrap();
    });
    let db = patient(&server).await;
    let begin = tokio::spawn({
        let db = db.clone();
        async move { db.begin(options()).await }
    });
    let (id, request) = arrived.recv().await.unwrap();
    assert!(matches!(view(&request), ViewRequest::Begin { .. }));
    begin.abort();
    assert!(begin.await.is_err_and(|error| error.is_cancelled()));
    let (cancelled, request) = arrived.recv().await.unwrap();
    assert_eq!((cancelled, request), (id, Request::Cancel));
    assert_eq!(server.connections(), 1);
}

/// The answer has come when the future is dropped, and nobody has seen it.
#[tokio::test]
async fn a_begin_dropped_after_its_answer_is_given_up() {
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| {
        match request {
            Request::Cancel => {}
            Request::Ping => peer.reply(id, Response::Pong),
            _ => peer.reply(id, Response::Opened { version: 1 }),
        }
        seen.send((id, request)).unwrap();
    });
    let builder = Client::builder(server.path()).request_timeout(LONG);
    let client = builder.connect().await.unwrap();
    let db = client.database("db");
    {
        let mut begin = std::pin::pin!(db.begin(options()));
        std::future::poll_fn(|cx| {
            assert!(begin.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        // When this is answered, so was the begin.
        client.ping().await.unwrap();
    }
    let (id, request) = arrived.recv().await.unwrap();
    assert!(matches!(view(&request), ViewRequest::Begin { .. }));
    assert_eq!(arrived.recv().await.unwrap().1, Request::Ping);
    assert_eq!(arrived.recv().await.unwrap(), (id, Request::Cancel));
}

#[tokio::test]
async fn a_write_whose_answer_nobody_saw_is_not_committed() {
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| {
        let is_write = matches!(request, Request::View(ViewRequest::Write { .. }));
        if !is_write {
            grant(peer, id, &request);
        }
        seen.send((id, request)).unwrap();
    });
    let db = patient(&server).await;
    let tx = db.begin(options()).await.unwrap();
    let (begun, _) = arrived.recv().await.unwrap();
    let write = tokio::spawn({
        let collection = tx.raw_collection(COLL);
        async move { collection.upsert(1, "1").await }
    });
    let (written, _) = arrived.recv().await.unwrap();
    write.abort();
    assert!(write.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(arrived.recv().await.unwrap(), (written, Request::Cancel));
    let error = tx.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(error.is_retryable());
    assert_eq!(arrived.recv().await.unwrap(), (begun, Request::Cancel));
}

#[tokio::test]
async fn a_server_without_transactions_is_not_asked_for_them() {
    let limits = Limits {
        transactions_max: 0,
        snapshots_max: 0,
        ..Limits::default()
    };
    let server = FakeServer::start_with(limits, |_: &mut Peer, _, request: Request| {
        panic!("{request:?}");
    });
    let db = patient(&server).await;
    let error = db.begin(options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedVersion);
    assert!(db.snapshot().await.is_err());
}
