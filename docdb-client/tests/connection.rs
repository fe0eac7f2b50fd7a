//! What happens to requests when things go wrong on the way.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use common::{FakeServer, Peer};
use docdb_client::{Client, ErrorKind};
use docdb_ipc::{Limits, Request, RequestId, Response, WireError};
use docdb_types::limits::FRAME_BYTES_MAX;
use tokio::task::JoinSet;

/// Longer than any test runs: a test that needs it to pass fails by hanging, not by luck.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(30);

async fn patient(path: &Path) -> Client {
    Client::builder(path)
        .request_timeout(LONG)
        .connect()
        .await
        .unwrap()
}

fn read_id(request: &Request) -> Option<u64> {
    match request {
        Request::Read { id, .. } => Some(*id),
        _ => None,
    }
}

fn document(id: u64) -> Response {
    Response::Document {
        version: id,
        body: Bytes::from(id.to_string()),
    }
}

#[tokio::test]
async fn requests_are_pipelined_and_answers_find_their_caller_in_any_order() {
    const COUNT: u64 = 500;
    // Nothing is answered before everything was asked: without pipelining this would hang.
    let mut held = Vec::new();
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| {
        held.push((id, read_id(&request).unwrap()));
        if held.len() as u64 == COUNT {
            for (id, document_id) in held.drain(..).rev() {
                peer.reply(id, document(document_id));
            }
        }
    });
    let client = patient(server.path()).await;
    let collection = client.database("d").raw_collection("c");
    let mut calls = JoinSet::new();
    for id in 0..COUNT {
        let collection = collection.clone();
        calls.spawn(async move { (id, collection.get(id).await.unwrap()) });
    }
    while let Some(answer) = calls.join_next().await {
        let (id, document) = answer.unwrap();
        assert_eq!(document.version, id);
        assert_eq!(document.value, id.to_string());
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn no_more_requests_are_sent_than_the_server_allows() {
    const ALLOWED: usize = 3;
    const CALLS: usize = 20;
    let limits = Limits {
        in_flight_requests_max: ALLOWED as u32,
        ..Limits::default()
    };
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let server = FakeServer::start_with(limits, move |peer: &mut Peer, id, _: Request| {
        // The first connection never gets an answer.
        if peer.number == 0 {
            seen.send(()).unwrap();
        } else {
            peer.reply(id, Response::Written { version: 1, id: 1 });
        }
    });
    let client = patient(server.path()).await;
    let collection = client.database("d").raw_collection("c");
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let collection = collection.clone();
        calls.spawn(async move { collection.insert("{}").await });
    }
    for _ in 0..ALLOWED {
        requests.recv().await.unwrap();
    }
    // Whoever could send now, does.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    server.break_connections();
    // What was sent is unknown; what was not sent is made again, writes too.
    let (mut unknown, mut written) = (0, 0);
    while let Some(result) = calls.join_next().await {
        match result.unwrap() {
            Ok(_) => written += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
                unknown += 1;
            }
        }
    }
    assert_eq!((unknown, written), (ALLOWED, CALLS - ALLOWED));
}

#[tokio::test]
async fn a_dropped_call_never_gives_its_answer_to_another() {
    let (seen, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let mut late: Option<(RequestId, u64)> = None;
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| {
        match (read_id(&request), late.take()) {
            (Some(document_id), None) => late = Some((id, document_id)),
            // The dropped call's answer comes after all, just before that of the next one.
            (Some(document_id), Some((late_id, late_document))) => {
                peer.reply(late_id, document(late_document));
                peer.reply(id, document(document_id));
            }
            (None, held) => {
                assert_eq!(request, Request::Cancel);
                assert_eq!(held.map(|(late_id, _)| late_id), Some(id));
                late = held;
            }
        }
        seen.send(request).unwrap();
    });
    let client = patient(server.path()).await;
    let collection = client.database("d").raw_collection("c");
    for round in 0..20 {
        let call = tokio::spawn({
            let collection = collection.clone();
            async move { collection.get(round * 2).await }
        });
        assert!(read_id(&arrived.recv().await.unwrap()).is_some());
        call.abort();
        assert!(call.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(arrived.recv().await, Some(Request::Cancel));
        assert_eq!(
            collection.get(round * 2 + 1).await.unwrap().version,
            round * 2 + 1
        );
        assert!(read_id(&arrived.recv().await.unwrap()).is_some());
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_call_dropped_before_it_was_sent_is_never_sent() {
    let (seen, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| {
        seen.send(request).unwrap();
        peer.reply(id, Response::Pong);
    });
    let client = patient(server.path()).await;
    let collection = client.database("d").raw_collection("c");
    {
        // Polled once: queued, and the task that writes has not run.
        let mut call = std::pin::pin!(collection.insert("{}"));
        std::future::poll_fn(|cx| {
            assert!(call.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    client.ping().await.unwrap();
    assert_eq!(arrived.recv().await, Some(Request::Ping));
    assert!(arrived.try_recv().is_err());
}

#[tokio::test]
async fn a_broken_connection_leaves_writes_unknown_and_repeats_reads_once() {
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| {
        match (peer.number, read_id(&request)) {
            (0, _) => peer.close(),
            (_, Some(document_id)) => peer.reply(id, document(document_id)),
            (_, None) => peer.reply(id, Response::Written { version: 1, id: 1 }),
        }
    });
    let client = patient(server.path()).await;
    let collection = client.database("d").raw_collection("c");
    let error = collection.upsert(1, "{}").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert!(!error.is_retryable());
    // The next call finds a new connection.
    assert_eq!(collection.upsert(1, "{}").await.unwrap().version, 1);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_read_is_repeated_once_and_no_more() {
    let server = FakeServer::start(|peer: &mut Peer, id, request: Request| {
        match (peer.number, read_id(&request).unwrap()) {
            (0, _) | (_, 13) => peer.close(),
            (_, document_id) => peer.reply(id, document(document_id)),
        }
    });
    let client = patient(server.path()).await;
    let collection = client.database("d").raw_collection("c");
    assert_eq!(collection.get(7).await.unwrap().version, 7);
    assert_eq!(server.connections(), 2);
    let error = collection.get(13).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn an_idle_client_outlives_a_restart_of_the_server() {
    let server = FakeServer::start(|peer: &mut Peer, id, _: Request| {
        peer.reply(id, Response::Written { version: 9, id: 1 });
    });
    let client = patient(server.path()).await;
    let collection = client.database("d").raw_collection("c");
    collection.upsert(1, "1").await.unwrap();
    server.break_connections();
    // A write is only ever sent once: either the break was noticed, or its outcome is unknown.
    match collection.upsert(1, "2").await {
        Ok(written) => assert_eq!(written.version, 9),
        Err(error) => assert_eq!(error.kind(), ErrorKind::OutcomeUnknown),
    }
    collection.upsert(1, "3").await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_timeout_tells_what_may_have_happened() {
    let (release, wait) = mpsc::channel::<()>();
    let server = FakeServer::start(move |peer: &mut Peer, id, request: Request| match request {
        Request::Cancel => {}
        // Reads nothing more, and answers late.
        _ => {
            let _ = wait.recv();
            peer.reply(id, document(1));
        }
    });
    let client = Client::builder(server.path())
        .request_timeout(SHORT)
        .connect()
        .await
        .unwrap();
    let collection = client.database("d").raw_collection("c");

    let error = collection.get(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.is_retryable());
    let error = collection.upsert(1, "{}").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);

    // Fill the socket: what is then still queued was not sent.
    let large = Bytes::from(vec![b' '; 8 << 20]);
    let (first, second) = tokio::join!(
        collection.upsert(2, large.clone()),
        collection.upsert(3, large)
    );
    assert_eq!(first.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Timeout);
    drop(release);
}

#[tokio::test]
async fn an_error_about_the_connection_ends_it_for_everyone() {
    let server = FakeServer::start(|peer: &mut Peer, _, _: Request| {
        let error = WireError::new(ErrorKind::Protocol, "nonsense");
        peer.reply(RequestId::CONNECTION, Response::Error(error));
    });
    let client = patient(server.path()).await;
    let error = client.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.message().contains("nonsense"), "{error}");
}

#[tokio::test]
async fn an_answer_that_was_not_asked_for_ends_the_connection() {
    let server = FakeServer::start(|peer: &mut Peer, id: RequestId, _: Request| {
        peer.reply(RequestId(id.0 + 1_000), Response::Pong);
    });
    let client = patient(server.path()).await;
    let error = client.create_database("d", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert!(error.message().contains("unasked"), "{error}");
}

#[tokio::test]
async fn garbage_from_the_server_is_an_error() {
    let server = FakeServer::start(|peer: &mut Peer, _, _: Request| {
        peer.send_raw(&[0xff; 64]);
    });
    let client = patient(server.path()).await;
    let error = client.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_frame_over_the_servers_limit_is_refused_before_it_is_sent() {
    let limits = Limits {
        frame_bytes_max: 1 << 16,
        ..Limits::default()
    };
    assert!((limits.frame_bytes_max as usize) < FRAME_BYTES_MAX);
    let server = FakeServer::start_with(limits, |peer: &mut Peer, id, _: Request| {
        peer.reply(id, Response::Written { version: 1, id: 1 });
    });
    let client = patient(server.path()).await;
    let collection = client.database("d").raw_collection("c");
    let error = collection.upsert(1, vec![b' '; 1 << 16]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    collection.upsert(1, "{}").await.unwrap();
}

#[tokio::test]
async fn no_server_is_a_connect_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = Client::connect(dir.path().join("none")).await.unwrap_err();
    assert!(error.is_connect());
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("none"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_greet_is_a_connect_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("silent");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let builder = Client::builder(&path).connect_timeout(SHORT);
    let error = builder.connect().await.unwrap_err();
    assert!(error.is_connect());
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn a_client_whose_runtime_ended_says_so() {
    let server = FakeServer::start(|peer: &mut Peer, id, _: Request| {
        peer.reply(id, Response::Pong);
    });
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let client = first.block_on(patient(server.path()));
    first.block_on(client.ping()).unwrap();
    drop(first);
    // The next call makes a connection in the runtime that it is made in.
    runtime().block_on(client.ping()).unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_write_with_a_senseless_answer_may_have_happened() {
    let server = FakeServer::start(|peer: &mut Peer, id, _: Request| {
        peer.reply(id, Response::Count(1));
    });
    let client = patient(server.path()).await;
    let db = client.database("d");
    let collection = db.raw_collection("c");
    let errors = [
        (collection.get(1).await.unwrap_err(), ErrorKind::Protocol),
        (client.ping().await.unwrap_err(), ErrorKind::Protocol),
        (
            collection.delete(1).await.unwrap_err(),
            ErrorKind::OutcomeUnknown,
        ),
        (
            db.batch().delete("c", 1).commit().await.unwrap_err(),
            ErrorKind::OutcomeUnknown,
        ),
        (
            db.create_collection("c").await.unwrap_err(),
            ErrorKind::OutcomeUnknown,
        ),
    ];
    for (error, kind) in errors {
        assert_eq!(error.kind(), kind);
    }
}
