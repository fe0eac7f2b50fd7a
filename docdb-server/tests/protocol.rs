//! Clients that do not keep to the protocol, and clients at its limits.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use bytes::BytesMut;
use common::{COLL, TestServer, read_request, write};
use docdb_ipc::{FrameDecoder, Request, RequestId, Response, WriteOp, decode_response};
use docdb_types::ErrorKind;

/// What the server answers to bytes, until it closes the connection.
fn answers_to(mut stream: UnixStream, bytes: &[u8]) -> Vec<(RequestId, Response)> {
    // The server may close before it has taken everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..bytes]);
    }
    let mut decoder = FrameDecoder::new(docdb_types::limits::FRAME_BYTES_MAX);
    decoder.feed(&answer);
    let mut responses = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        responses.push(decode_response(&frame).unwrap());
    }
    responses
}

fn kinds(responses: &[(RequestId, Response)]) -> Vec<ErrorKind> {
    let kind = |(_, response): &(RequestId, Response)| match response {
        Response::Error(error) => error.kind(),
        other => panic!("{other:?}"),
    };
    responses.iter().map(kind).collect()
}

#[test]
fn what_is_not_a_hello_is_refused_and_others_go_on() {
    let server = TestServer::start();
    let mut other = server.connect();
    other.create_database("db");
    for (bytes, kind) in [
        (
            &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            ErrorKind::Protocol,
        ),
        (&[0xff; 64], ErrorKind::Protocol),
        (&[0; 64], ErrorKind::Protocol),
        (
            &[12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ErrorKind::Protocol,
        ),
    ] {
        let stream = UnixStream::connect(&server.socket).unwrap();
        assert_eq!(kinds(&answers_to(stream, bytes)), [kind], "{bytes:?}");
        assert_eq!(other.call(&Request::Ping), Response::Pong);
    }
}

#[test]
fn garbage_after_the_hello_ends_the_connection_alone() {
    let server = TestServer::start();
    let mut other = server.connect();
    other.create_database("db");
    let frame = |length: u32, opcode: u8, body: &[u8]| {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[opcode, 0, 0, 0]);
        bytes.extend_from_slice(&9u64.to_le_bytes());
        bytes.extend_from_slice(body);
        bytes
    };
    for (bytes, kind) in [
        // Announces 4 GiB.
        (frame(u32::MAX, 0x20, &[1; 100]), ErrorKind::TooLarge),
        // Too short to be a frame.
        (frame(3, 0x20, &[]), ErrorKind::Protocol),
        // An opcode that does not exist.
        (frame(12, 0xee, &[]), ErrorKind::Protocol),
    ] {
        let mut client = server.connect();
        client.write("db", WriteOp::upsert(COLL, 1, "1"));
        assert_eq!(
            kinds(&answers_to(client.stream, &bytes)),
            [kind],
            "{bytes:?}"
        );
        assert_eq!(other.call(&Request::Ping), Response::Pong);
    }
}

/// What was sent before the garbage is answered before the connection ends.
#[test]
fn requests_before_the_garbage_are_answered() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let mut out = BytesMut::new();
    for id in 0..20 {
        client.encode(&mut out, &write("db", WriteOp::create(COLL, id, "1")));
    }
    out.extend_from_slice(&[0xff; 32]);
    let responses = answers_to(client.stream, &out);
    let written = responses
        .iter()
        .filter(|(_, response)| matches!(response, Response::Written { .. }));
    assert_eq!(written.count(), 20);
    assert_eq!(responses.len(), 21);
}

/// Frames cut at every byte are put together again.
#[test]
fn a_request_byte_by_byte() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let mut out = BytesMut::new();
    let id = client.encode(&mut out, &write("db", WriteOp::create(COLL, 1, "[1,2,3]")));
    for byte in &out {
        client.stream.write_all(std::slice::from_ref(byte)).unwrap();
    }
    let (answered, response) = client.receive().unwrap();
    assert_eq!(answered, id);
    assert!(matches!(response, Response::Written { .. }));
}

/// A client that sends without reading is not served beyond the limits, and is served on once it
/// reads.
#[test]
fn a_client_that_does_not_read_is_held_back() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let body = format!("\"{}\"", "x".repeat(100_000));
    client.write("db", WriteOp::create(COLL, 1, body.clone()));
    // 200 answers are 20 MB, far more than a socket holds and the server keeps.
    let mut out = BytesMut::new();
    for _ in 0..200 {
        client.encode(&mut out, &read_request("db", COLL, 1));
    }
    client.stream.write_all(&out).unwrap();
    let mut other = server.connect();
    assert_eq!(other.call(&Request::Ping), Response::Pong);
    for _ in 0..200 {
        let (_, response) = client.receive().unwrap();
        let Response::Document { body: got, .. } = response else {
            panic!("{response:?}")
        };
        assert_eq!(got.len(), body.len());
    }
}

/// A client that ends its side is answered before the connection closes.
#[test]
fn half_closed_connections_are_answered() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    for id in 0..100 {
        client.send(&write("db", WriteOp::create(COLL, id, "1")));
    }
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    for _ in 0..100 {
        assert!(matches!(
            client.receive(),
            Some((_, Response::Written { .. }))
        ));
    }
    assert!(client.receive().is_none());
}

/// Connections beyond the limit wait until one ends.
#[test]
fn connections_beyond_the_limit_wait() {
    let temp = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(temp, |config| config.connections_max = 2);
    let mut first = server.connect();
    let second = server.connect();
    std::thread::scope(|scope| {
        let third = scope.spawn(|| {
            let mut third = server.connect();
            third.call(&Request::Ping)
        });
        assert_eq!(first.call(&Request::Ping), Response::Pong);
        drop(second);
        assert_eq!(third.join().unwrap(), Response::Pong);
    });
}

/// Commits that were submitted are kept although the client is gone.
#[test]
fn a_client_that_vanishes_cancels_nothing() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.create_database("db");
    let mut out = BytesMut::new();
    for id in 0..50 {
        client.encode(&mut out, &write("db", WriteOp::create(COLL, id, "1")));
    }
    // The last one is answered, so all of them were submitted.
    client.stream.write_all(&out).unwrap();
    for _ in 0..50 {
        client.receive().unwrap();
    }
    client.send(&write("db", WriteOp::create(COLL, 50, "1")));
    drop(client);
    let mut other = server.connect();
    for id in 0..50 {
        assert_eq!(other.read("db", COLL, id), "1");
    }
}
