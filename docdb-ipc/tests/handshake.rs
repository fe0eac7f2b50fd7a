//! What two peers agree on, and what ends the connection instead.

use bytes::{Bytes, BytesMut};
use docdb_ipc::{
    ClientHandshake, FEATURE_BACKUP, FEATURE_HEALING, FEATURE_VIEWS, Frame, FrameDecoder,
    HELLO_BYTES_MAX, HandshakeError, Limits, RequestId, ServerHandshake, Session,
};
use docdb_types::ErrorKind;

fn server() -> ServerHandshake {
    ServerHandshake::new(Limits::default(), "docdb-server", "9.9.9").expect("valid")
}

fn frame(bytes: &[u8]) -> Frame {
    let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
    decoder.feed(bytes);
    decoder.next_frame().expect("valid").expect("valid")
}

/// What the client makes of the server's answer to those bytes.
fn shake(
    hello: &Frame,
) -> (
    Result<Session, HandshakeError>,
    Result<Session, HandshakeError>,
) {
    let mut out = BytesMut::new();
    let at_server = server().answer(hello, &mut out);
    (at_server, ClientHandshake::new("test").finish(&frame(&out)))
}

fn hello(body: &[u8]) -> Frame {
    let body = Bytes::copy_from_slice(body);
    Frame {
        opcode: 1,
        present: 0,
        request_id: RequestId::CONNECTION,
        body,
    }
}

fn hello_body(version_min: u16, version_max: u16, rest: &[u8]) -> Vec<u8> {
    let mut body = b"DOCDBIPC".to_vec();
    body.extend(version_min.to_le_bytes());
    body.extend(version_max.to_le_bytes());
    body.extend(u64::MAX.to_le_bytes());
    body.extend(rest);
    body
}

#[test]
fn peers_agree() {
    let client = ClientHandshake::new("test");
    let mut out = BytesMut::new();
    client.start(&mut out).unwrap();
    let (at_server, at_client) = shake(&frame(&out));
    let (at_server, at_client) = (at_server.unwrap(), at_client.unwrap());
    assert_eq!((at_server.version, at_client.version), (1, 1));
    assert_eq!(at_server.limits, at_client.limits);
    assert_eq!(at_client.limits, Limits::default());
    assert_eq!(at_server.peer_name, "test");
    assert_eq!(at_client.peer_name, "docdb-server");
    assert_eq!(at_client.peer_software_version, "9.9.9");
}

#[test]
fn a_newer_client_is_met_at_the_common_version() {
    // Feature bits and a tag that this server does not know.
    let body = hello_body(1, 7, b"\xC8\x03\x00new\x01\x01\x00x");
    let (at_server, at_client) = shake(&hello(&body));
    let at_server = at_server.unwrap();
    assert_eq!(
        (at_server.version, at_server.features),
        (1, FEATURE_VIEWS | FEATURE_HEALING | FEATURE_BACKUP)
    );
    assert_eq!(at_server.peer_name, "x");
    assert_eq!(at_client.unwrap().version, 1);
}

#[test]
fn a_client_without_transactions_is_not_told_of_them() {
    let mut body = hello_body(1, 1, b"");
    body[12..20].fill(0);
    let mut out = BytesMut::new();
    let session = server().answer(&hello(&body), &mut out).unwrap();
    assert_eq!(session.features, 0);
    let limits = session.limits;
    assert_eq!((limits.transactions_max, limits.snapshots_max), (0, 0));
    let welcome = frame(&out);
    let tags = &welcome.body[8 + 2 + 8 + 16..];
    // The server's name and its version.
    assert_eq!(tags, b"\x01\x0C\0docdb-server\x02\x05\x009.9.9");
    let at_client = ClientHandshake::new("test").finish(&welcome).unwrap();
    assert_eq!(at_client.limits, limits);
}

#[test]
fn no_common_version_is_said_in_so_many_words() {
    let (at_server, at_client) = shake(&hello(&hello_body(2, 3, b"")));
    assert_eq!(
        at_server,
        Err(HandshakeError::Version {
            peer_min: 2,
            peer_max: 3
        })
    );
    let error = at_client.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedVersion);
    assert!(error.to_string().contains("versions 2 to 3"), "{error}");
}

#[test]
fn what_is_no_hello_is_answered_with_protocol() {
    let long_name = [&[1, 1, 1][..], &[b'x'; 257]].concat();
    let other_request = |opcode, present, id| Frame {
        opcode,
        present,
        request_id: RequestId(id),
        ..hello(&hello_body(1, 1, b""))
    };
    let bad = [
        hello(b"DOCDBIPX\x01\0\x01\0\0\0\0\0\0\0\0\0"),
        hello(b""),
        hello(b"DOCDBIPC\x01"),
        hello(&hello_body(0, 1, b"")),
        hello(&hello_body(2, 1, b"")),
        hello(&hello_body(1, 1, b"\x01")),
        hello(&hello_body(1, 1, b"\x01\x05\x00abc")),
        hello(&hello_body(1, 1, b"\x01\x01\x00\xFF")),
        hello(&hello_body(1, 1, b"\x01\x01\x00a\x01\x01\x00b")),
        hello(&hello_body(1, 1, &long_name)),
        other_request(2, 0, 0),
        other_request(1, 1, 0),
        other_request(1, 0, 5),
    ];
    for frame in bad {
        let (at_server, at_client) = shake(&frame);
        assert!(
            matches!(at_server, Err(HandshakeError::Decode(_))),
            "{frame:?}"
        );
        let error = at_client.unwrap_err();
        assert!(matches!(error, HandshakeError::Refused(_)), "{error}");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
}

#[test]
fn another_protocol_is_answered_with_protocol() {
    let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
    decoder.feed(b"GET / HTTP/1.1\r\n\r\n");
    let error = decoder.next_frame().unwrap_err();
    let mut out = BytesMut::new();
    server().refuse(&error, &mut out);
    let refused = ClientHandshake::new("test")
        .finish(&frame(&out))
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Protocol);
}

#[test]
fn limits_out_of_range_are_neither_sent_nor_taken() {
    let good = Limits::default();
    let bad = [
        Limits {
            frame_bytes_max: 4095,
            ..good
        },
        Limits {
            frame_bytes_max: good.frame_bytes_max + 1,
            ..good
        },
        Limits {
            document_bytes_max: 0,
            ..good
        },
        Limits {
            in_flight_requests_max: 0,
            ..good
        },
        Limits {
            scan_credit_bytes_max: 0,
            ..good
        },
    ];
    for limits in bad {
        assert!(
            ServerHandshake::new(limits, "s", "1").is_err(),
            "{limits:?}"
        );
    }
    assert!(ServerHandshake::new(good, "x".repeat(257), "1").is_err());

    let mut hello = BytesMut::new();
    ClientHandshake::new("c").start(&mut hello).unwrap();
    let mut answer = BytesMut::new();
    server().answer(&frame(&hello), &mut answer).unwrap();
    // The limits follow header, magic, version and features.
    let limits_at = 16 + 8 + 2 + 8;
    for field in 0..4 {
        let mut changed = answer.clone();
        changed[limits_at + 4 * field..][..4].fill(0);
        let error = ClientHandshake::new("c")
            .finish(&frame(&changed))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
}
