//! What the vectors are about.

use bytes::{Bytes, BytesMut};
use docdb_ipc::{
    BackedUp, BackupReport, BackupRequest, BatchMode, ClientHandshake, Codec, CollectionInfo,
    Compacted, DatabaseInfo, FrameDecoder, HELLO_BYTES_MAX, HealOutcome, HealReport, Limits,
    NotBackedUp, OpResult, Precondition, Request, RequestId, Response, Scan, ScanItem,
    ServerHandshake, Text, UnhealableDocument, ViewRequest, WireError, WriteOp,
};
use docdb_types::ErrorKind;
use docdb_types::limits::FRAME_BYTES_MAX;
use serde_json::Value;

use crate::json;

/// Name, receiver and bytes.
pub(crate) fn hellos() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut hello = BytesMut::new();
    ClientHandshake::new("docs")
        .start(&mut hello)
        .expect("valid");
    let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
    decoder.feed(&hello);
    let frame = decoder.next_frame().expect("valid").expect("whole");
    let mut welcome = BytesMut::new();
    ServerHandshake::new(Limits::default(), "docdb-server", "0.1.0")
        .expect("valid")
        .answer(&frame, &mut welcome)
        .expect("valid");
    let newer = raw(
        0x01,
        0,
        0,
        &hello_body(1, 9, b"\xC8\x03\x00new\x01\x04\x00docs"),
    );
    let bare = raw(0x01, 0, 0, &hello_body(1, 1, b""));
    vec![
        ("hello", "server", hello.to_vec()),
        ("hello without a name", "server", bare),
        (
            "hello of a newer client, with an unknown tag",
            "server",
            newer,
        ),
        ("welcome", "client", welcome.to_vec()),
    ]
}

/// Name, bytes and what the message means.
pub(crate) fn requests() -> Vec<(&'static str, Vec<u8>, Value)> {
    let scan = Scan {
        from: Some(10),
        to: Some(u64::MAX),
        limit: Some(100),
        reverse: true,
        cursor: Some(Bytes::from_static(b"\x00\xFFcursor")),
        at_latest: true,
        ..Scan::new("app", "users", 65_536)
    };
    let write = |durability: Option<&str>, op| Request::Write {
        db: "app".into(),
        durability: durability.map(Into::into),
        op,
    };
    let ops = vec![
        WriteOp::create("users", 7, r#"{"name":"Ada"}"#),
        WriteOp::update("users", 8, "[1,2]").when(Precondition::VersionIs(41)),
        WriteOp::delete("users", 9),
        WriteOp::insert("größen", "true"),
        WriteOp::upsert("users", 10, "null").when(Precondition::Absent),
    ];
    let messages = vec![
        ("ping", Request::Ping),
        ("cancel", Request::Cancel),
        ("scan credit", Request::ScanCredit { bytes: 4096 }),
        ("list databases", Request::ListDatabases),
        (
            "create database",
            Request::CreateDatabase {
                name: "app".into(),
                durability: None,
            },
        ),
        (
            "create database with a durability",
            Request::CreateDatabase {
                name: "größen".into(),
                durability: Some("interval(100)".into()),
            },
        ),
        (
            "drop database",
            Request::DropDatabase { name: "app".into() },
        ),
        (
            "list collections",
            Request::ListCollections { db: "app".into() },
        ),
        (
            "create collection",
            Request::CreateCollection {
                db: "app".into(),
                name: "users".into(),
            },
        ),
        (
            "drop collection",
            Request::DropCollection {
                db: "app".into(),
                name: "users".into(),
                force: false,
            },
        ),
        (
            "drop collection with its documents",
            Request::DropCollection {
                db: "app".into(),
                name: "users".into(),
                force: true,
            },
        ),
        (
            "read",
            Request::Read {
                db: "app".into(),
                collection: "users".into(),
                id: u64::MAX,
            },
        ),
        (
            "exists",
            Request::Exists {
                db: "app".into(),
                collection: "users".into(),
                id: 7,
            },
        ),
        (
            "count",
            Request::Count {
                db: "app".into(),
                collection: "users".into(),
            },
        ),
        (
            "scan everything",
            Request::Scan(Scan::new("app", "users", 65_536)),
        ),
        ("scan with every field", Request::Scan(scan)),
        (
            "create",
            write(None, WriteOp::create("users", 7, r#"{"name":"Ada"}"#)),
        ),
        (
            "update if the version matches, with a durability",
            write(
                Some("always"),
                WriteOp::update("users", 7, "1.10").when(Precondition::VersionIs(41)),
            ),
        ),
        (
            "upsert if absent",
            write(
                None,
                WriteOp::upsert("users", 7, "\"x\"").when(Precondition::Absent),
            ),
        ),
        ("delete", write(None, WriteOp::delete("users", 7))),
        (
            "insert",
            write(None, WriteOp::insert("users", "9007199254740993")),
        ),
        (
            "patch",
            write(
                None,
                WriteOp::patch("users", 7, r#"[{"op":"set","path":"/name","value":"Ada"}]"#),
            ),
        ),
        (
            "merge if the version matches",
            write(
                None,
                WriteOp::merge("users", 7, r#"{"name":null}"#).when(Precondition::VersionIs(41)),
            ),
        ),
        (
            "atomic batch",
            Request::Batch {
                db: "app".into(),
                mode: BatchMode::Atomic,
                durability: None,
                ops: ops.clone(),
            },
        ),
        (
            "independent batch with a durability",
            Request::Batch {
                db: "app".into(),
                mode: BatchMode::Independent,
                durability: Some("full".into()),
                ops: ops[..2].to_vec(),
            },
        ),
        (
            "empty batch",
            Request::Batch {
                db: "app".into(),
                mode: BatchMode::Atomic,
                durability: None,
                ops: Vec::new(),
            },
        ),
        (
            "delete range, all of it",
            Request::DeleteRange {
                db: "app".into(),
                collection: "users".into(),
                from: None,
                to: None,
                limit: None,
                durability: None,
            },
        ),
        (
            "delete range with every field",
            Request::DeleteRange {
                db: "app".into(),
                collection: "users".into(),
                from: Some(10),
                to: Some(u64::MAX),
                limit: Some(1_000),
                durability: Some("full".into()),
            },
        ),
        ("checkpoint", Request::Checkpoint { db: "app".into() }),
        ("compact", Request::Compact { db: "app".into() }),
        (
            "heal",
            Request::Heal {
                db: "app".into(),
                collection: "users".into(),
                id: 7,
            },
        ),
        ("heal all", Request::HealAll { db: "app".into() }),
        ("heal stats", Request::HealStats { db: "app".into() }),
        (
            "backup of all databases",
            Request::Backup(BackupRequest {
                dir: "/srv/backup".into(),
                databases: Vec::new(),
                bytes_per_second: None,
            }),
        ),
        (
            "backup with every field",
            Request::Backup(BackupRequest {
                dir: "/srv/backup".into(),
                databases: vec!["app".into(), "ü".into()],
                bytes_per_second: Some(1 << 20),
            }),
        ),
        ("stats of the server", Request::Stats { db: None }),
        (
            "stats of a database",
            Request::Stats {
                db: Some("app".into()),
            },
        ),
    ];
    let views = view_requests();
    let messages = messages.into_iter().chain(views);
    let mut id = 0;
    messages
        .map(|(name, request)| {
            id += 1;
            let mut out = BytesMut::new();
            Codec::default()
                .encode_request(&mut out, RequestId(id), &request)
                .expect("valid");
            (name, out.to_vec(), json::request(&request))
        })
        .collect()
}

/// Requests about transactions and snapshots.
fn view_requests() -> Vec<(&'static str, Request)> {
    let view = RequestId(3);
    let (collection, id) = (Text::from("users"), 7);
    let scan = Scan {
        db: Text::default(),
        ..Scan::new("", "users", 65_536)
    };
    let paged = Scan {
        from: Some(10),
        to: Some(u64::MAX),
        limit: Some(100),
        reverse: true,
        cursor: Some(Bytes::from_static(b"\x00\xFFcursor")),
        ..scan.clone()
    };
    let requests = vec![
        (
            "begin",
            ViewRequest::Begin {
                db: "app".into(),
                serializable: false,
                timeout_ms: None,
            },
        ),
        (
            "begin serializable, with a timeout",
            ViewRequest::Begin {
                db: "app".into(),
                serializable: true,
                timeout_ms: Some(10_000),
            },
        ),
        (
            "commit",
            ViewRequest::Commit {
                view,
                durability: None,
            },
        ),
        (
            "commit with a durability",
            ViewRequest::Commit {
                view,
                durability: Some("always".into()),
            },
        ),
        ("rollback", ViewRequest::Rollback { view }),
        (
            "open a snapshot",
            ViewRequest::OpenSnapshot { db: "app".into() },
        ),
        ("close a snapshot", ViewRequest::CloseSnapshot { view }),
        (
            "read in a transaction or snapshot",
            ViewRequest::Read {
                view,
                collection: collection.clone(),
                id,
            },
        ),
        (
            "exists in a transaction or snapshot",
            ViewRequest::Exists {
                view,
                collection: collection.clone(),
                id,
            },
        ),
        (
            "count in a transaction or snapshot",
            ViewRequest::Count { view, collection },
        ),
        (
            "scan everything in a transaction or snapshot",
            ViewRequest::Scan { view, scan },
        ),
        (
            "scan with every field in a snapshot",
            ViewRequest::Scan { view, scan: paged },
        ),
        (
            "list collections in a transaction or snapshot",
            ViewRequest::ListCollections { view },
        ),
        (
            "write in a transaction",
            ViewRequest::Write {
                view,
                op: WriteOp::update("users", id, "1.10").when(Precondition::VersionIs(41)),
            },
        ),
    ];
    let request = |(name, request)| (name, Request::View(request));
    requests.into_iter().map(request).collect()
}

/// Name, bytes and what the message means.
pub(crate) fn responses() -> Vec<(&'static str, Vec<u8>, Value)> {
    let mismatch =
        WireError::new(ErrorKind::VersionMismatch, "the version is 42, not 41").with_version(42);
    let mut future = WireError::new(ErrorKind::Internal, "from a newer server");
    future.code = docdb_ipc::ErrorCode::from_raw(9999).expect("not 0");
    let aborted = WireError::new(ErrorKind::Aborted, "operation 1 failed").with_op_index(1);
    let item = |id, body: &'static str| ScanItem {
        id,
        version: 42,
        body: Bytes::from(body),
    };
    let messages = vec![
        (
            "error",
            Response::Error(WireError::new(ErrorKind::NotFound, "no document 7")),
        ),
        ("error with a version", Response::Error(mismatch.clone())),
        ("error with an operation", Response::Error(aborted.clone())),
        (
            "error with a code this version does not know",
            Response::Error(future),
        ),
        ("pong", Response::Pong),
        ("ok", Response::Ok),
        (
            "databases",
            Response::Databases(vec![
                DatabaseInfo {
                    name: "app".into(),
                    id: 1,
                    durability: "full".into(),
                    open: true,
                },
                DatabaseInfo {
                    name: "größen".into(),
                    id: 7,
                    durability: "interval(100)".into(),
                    open: false,
                },
            ]),
        ),
        (
            "collections",
            Response::Collections(vec![
                CollectionInfo {
                    name: "_default".into(),
                    id: 0,
                    documents: 0,
                },
                CollectionInfo {
                    name: "users".into(),
                    id: 3,
                    documents: u64::MAX,
                },
            ]),
        ),
        (
            "document",
            Response::Document {
                version: 42,
                body: Bytes::from(r#"{"name":"Ada"}"#),
            },
        ),
        ("exists", Response::Exists(true)),
        ("does not exist", Response::Exists(false)),
        ("count", Response::Count(1_000_000_000_000)),
        (
            "scan items",
            Response::ScanItems(vec![item(7, r#"{"a":1}"#), item(8, "[]")]),
        ),
        (
            "scan end",
            Response::ScanEnd {
                cursor: None,
                items: 2,
            },
        ),
        (
            "scan end with a cursor",
            Response::ScanEnd {
                cursor: Some(Bytes::from_static(b"\x00\xFFcursor")),
                items: 100,
            },
        ),
        ("written", Response::Written { version: 42, id: 7 }),
        (
            "batch done",
            Response::BatchDone {
                results: vec![
                    OpResult::Ok { version: 42, id: 7 },
                    OpResult::Err(mismatch),
                    OpResult::Err(aborted),
                ],
            },
        ),
        (
            "range deleted, more to go",
            Response::RangeDeleted {
                deleted: 1_000,
                version: Some(77),
                next: Some(5_001),
            },
        ),
        (
            "range deleted, nothing there",
            Response::RangeDeleted {
                deleted: 0,
                version: None,
                next: None,
            },
        ),
        (
            "written in a transaction",
            Response::Written { version: 0, id: 7 },
        ),
        ("opened", Response::Opened { version: 41 }),
        ("committed", Response::Committed { version: 42 }),
        (
            "conflict",
            Response::Error(
                WireError::new(ErrorKind::Conflict, "lost to version 42").with_version(42),
            ),
        ),
        (
            "compacted",
            Response::Compacted(Compacted {
                files: 2,
                bytes_before: 700,
                bytes_after: 200,
                documents_moved: 30,
            }),
        ),
        (
            "healed",
            Response::Healed {
                outcome: HealOutcome::Healed,
                what: None,
            },
        ),
        (
            "unhealable",
            Response::Healed {
                outcome: HealOutcome::Unhealable,
                what: Some("data-00000001.dat is damaged at offset 4096".into()),
            },
        ),
        (
            "healed all",
            Response::HealedAll(HealReport {
                files: 12,
                bytes: 1 << 30,
                found: 3,
                healed: 2,
                unhealable: 1,
                index_pages_damaged: 1,
                unhealable_documents: vec![UnhealableDocument {
                    collection: "users".into(),
                    id: 7,
                    version: 41,
                    what: "data-00000001.dat is damaged at offset 4096".into(),
                }],
                places: vec!["run-00000002.idx is damaged at offset 8192".into()],
            }),
        ),
        (
            "heal stats",
            Response::HealStats(Bytes::from(r#"{"found":1}"#)),
        ),
        (
            "backed up",
            Response::BackedUp(BackupReport {
                databases: vec![BackedUp {
                    name: "app".into(),
                    id: 1,
                    version: 42,
                    documents: 30,
                    files_copied: 2,
                    files_extended: 1,
                    files_reused: 3,
                    files_renewed: 1,
                    bytes_copied: 8_192,
                    bytes: 20_480,
                }],
                failed: vec![
                    NotBackedUp {
                        name: "bad".into(),
                        id: 2,
                        kept_version: Some(7),
                        error: WireError::new(ErrorKind::Corrupt, "a file is damaged"),
                    },
                    NotBackedUp {
                        name: "new".into(),
                        id: 3,
                        kept_version: None,
                        error: WireError::new(ErrorKind::Poisoned, "it was poisoned"),
                    },
                ],
            }),
        ),
        (
            "stats",
            Response::Stats(Bytes::from(r#"{"uptime_seconds":1}"#)),
        ),
    ];
    let mut id = 0;
    messages
        .into_iter()
        .map(|(name, response)| {
            id += 1;
            let mut out = BytesMut::new();
            Codec::default()
                .encode_response(&mut out, RequestId(id), &response)
                .expect("valid");
            (name, out.to_vec(), json::response(&response))
        })
        .collect()
}

/// Bytes that are no message.
pub(crate) struct Invalid {
    pub(crate) name: &'static str,
    pub(crate) receiver: &'static str,
    pub(crate) hello: bool,
    pub(crate) bytes: Vec<u8>,
    /// The expected reason; `None` for a frame that has not arrived whole.
    pub(crate) reason: Option<&'static str>,
}

/// A frame with those header fields.
fn raw(opcode: u8, present: u16, id: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(12 + body.len()).expect("short").to_le_bytes());
    bytes.extend([opcode, 0]);
    bytes.extend(present.to_le_bytes());
    bytes.extend(id.to_le_bytes());
    bytes.extend(body);
    bytes
}

fn hello_body(version_min: u16, version_max: u16, tagged: &[u8]) -> Vec<u8> {
    let mut body = b"DOCDBIPC".to_vec();
    body.extend(version_min.to_le_bytes());
    body.extend(version_max.to_le_bytes());
    body.extend(0u64.to_le_bytes());
    body.extend(tagged);
    body
}

pub(crate) fn invalid() -> Vec<Invalid> {
    let of = |receiver, hello| {
        move |name, bytes: Vec<u8>, reason| Invalid {
            name,
            receiver,
            hello,
            bytes,
            reason,
        }
    };
    let (to_server, to_client) = (of("server", false), of("client", false));
    let (hello, welcome) = (of("server", true), of("client", true));
    let mut flags = raw(0x02, 0, 1, b"");
    flags[5] = 1;
    let mut too_large = raw(0x30, 0, 1, b"");
    let announced = u32::try_from(FRAME_BYTES_MAX + 1).expect("below 2^32");
    too_large[..4].copy_from_slice(&announced.to_le_bytes());
    let mut half = raw(0x20, 0, 1, b"\x01\0d\x01\0c\x07\0\0\0\0\0\0\0");
    half.truncate(20);
    let write = |op: &[u8]| raw(0x30, 0, 1, &[b"\x01\0d", op].concat());
    let batch = |rest: &[u8]| raw(0x31, 0, 1, &[b"\x01\0d", rest].concat());
    vec![
        to_server("half a header", vec![12, 0, 0, 0, 2, 0], None),
        to_server("half a body", half, None),
        to_server(
            "a length shorter than the header",
            vec![11, 0, 0, 0],
            Some("frame_too_short"),
        ),
        to_server("a frame over the limit", too_large, Some("frame_too_large")),
        to_server("unknown flags", flags, Some("flags")),
        to_server("opcode 0", raw(0x00, 0, 1, b""), Some("opcode")),
        to_server("a reserved opcode", raw(0x4F, 0, 1, b""), Some("opcode")),
        to_server(
            "a commit of request 0",
            raw(0x41, 0, 1, &[0; 8]),
            Some("value"),
        ),
        to_server(
            "a commit without a transaction",
            raw(0x41, 0, 1, b""),
            Some("truncated"),
        ),
        to_server(
            "a transaction at the latest state",
            raw(0x4B, 0x20, 1, b"\x03\0\0\0\0\0\0\0\x01\0c\0\0\x01\0"),
            Some("fields"),
        ),
        to_server(
            "a write in a transaction with a durability",
            raw(
                0x4D,
                1,
                1,
                b"\x03\0\0\0\0\0\0\0\x04\x01\0\x07\0\0\0\0\0\0\0\x01\0c",
            ),
            Some("fields"),
        ),
        to_server(
            "an answer sent to the server",
            raw(0x83, 0, 1, b""),
            Some("opcode"),
        ),
        to_server(
            "a second hello",
            raw(0x01, 0, 1, &hello_body(1, 1, b"")),
            Some("opcode"),
        ),
        to_server("a request with id 0", raw(0x02, 0, 0, b""), Some("value")),
        to_server(
            "an unknown field",
            raw(0x02, 0x8000, 1, b""),
            Some("fields"),
        ),
        to_server(
            "a byte after the message",
            raw(0x02, 0, 1, b"\0"),
            Some("trailing_bytes"),
        ),
        to_server(
            "a missing id",
            raw(0x20, 0, 1, b"\x01\0d\x01\0c"),
            Some("truncated"),
        ),
        to_server(
            "a text beyond the frame",
            raw(0x12, 0, 1, b"\xFF\xFFd"),
            Some("truncated"),
        ),
        to_server(
            "a field that is announced and absent",
            raw(0x60, 1, 1, b""),
            Some("truncated"),
        ),
        to_server(
            "a name that is not UTF-8",
            raw(0x12, 0, 1, b"\x02\0d\xFF"),
            Some("utf8"),
        ),
        to_server(
            "an encoded surrogate",
            raw(0x12, 0, 1, b"\x03\0\xED\xA0\x80"),
            Some("utf8"),
        ),
        to_server(
            "an unknown kind of write",
            write(b"\x08\x13\0"),
            Some("value"),
        ),
        to_server(
            "an insert with an id",
            write(b"\x05\x11\0\x07\0\0\0\0\0\0\0\x01\0c\x01\0\0\x001"),
            Some("value"),
        ),
        to_server(
            "a create without an id",
            write(b"\x01\x10\0\x01\0c\x01\0\0\x001"),
            Some("value"),
        ),
        to_server(
            "a delete with a body",
            write(b"\x04\x11\0\x07\0\0\0\0\0\0\0\x01\0c\x01\0\0\x001"),
            Some("value"),
        ),
        to_server(
            "two preconditions",
            write(b"\x01\x1D\0\x07\0\0\0\0\0\0\0\x01\0c\x01\0\0\0\0\0\0\0\x01\0\0\x001"),
            Some("value"),
        ),
        to_server(
            "an unknown field of a write",
            write(b"\x01\x31\0"),
            Some("fields"),
        ),
        to_server(
            "the previous collection in the first operation",
            write(b"\x04\x03\0\x07\0\0\0\0\0\0\0"),
            Some("value"),
        ),
        to_server(
            "a document beyond the frame",
            write(b"\x03\x11\0\x07\0\0\0\0\0\0\0\x01\0c\xFF\xFF\xFF\xFF1"),
            Some("truncated"),
        ),
        to_server(
            "an unknown batch mode",
            batch(b"\x02\0\0\0\0"),
            Some("value"),
        ),
        to_server(
            "more operations than bytes",
            batch(b"\0\xFF\xFF\xFF\xFF"),
            Some("count"),
        ),
        to_client(
            "a request sent to the client",
            raw(0x02, 0, 1, b""),
            Some("opcode"),
        ),
        to_client(
            "an answer to request 0",
            raw(0x83, 0, 0, b""),
            Some("value"),
        ),
        to_client(
            "an error with code 0",
            raw(0x80, 0, 1, b"\0\0\0\0\0\0"),
            Some("value"),
        ),
        to_client(
            "an unknown field of an error",
            raw(0x80, 0, 1, b"\x01\0\x04\0\0\0"),
            Some("fields"),
        ),
        to_client(
            "neither true nor false",
            raw(0xA1, 0, 1, b"\x02"),
            Some("value"),
        ),
        to_client(
            "more documents than bytes",
            raw(0xA3, 0, 1, b"\x02\0\0\0"),
            Some("count"),
        ),
        to_client(
            "neither written nor failed",
            raw(0xB1, 0, 1, &[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]),
            Some("value"),
        ),
        hello(
            "another protocol",
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            Some("frame_too_large"),
        ),
        hello(
            "another magic",
            raw(0x01, 0, 0, b"DOCDBIPX\x01\0\x01\0\0\0\0\0\0\0\0\0"),
            Some("magic"),
        ),
        hello(
            "a request before the hello",
            raw(0x02, 0, 1, b""),
            Some("opcode"),
        ),
        hello(
            "a hello with a request id",
            raw(0x01, 0, 1, &hello_body(1, 1, b"")),
            Some("value"),
        ),
        hello(
            "versions the wrong way round",
            raw(0x01, 0, 0, &hello_body(2, 1, b"")),
            Some("value"),
        ),
        hello(
            "half a tag",
            raw(0x01, 0, 0, &hello_body(1, 1, b"\x01\x05\0doc")),
            Some("truncated"),
        ),
        hello(
            "the same tag twice",
            raw(0x01, 0, 0, &hello_body(1, 1, b"\x01\x01\0a\x01\x01\0b")),
            Some("value"),
        ),
        welcome(
            "a pong instead of a welcome",
            raw(0x82, 0, 1, b""),
            Some("opcode"),
        ),
        welcome(
            "limits of transactions of 7 bytes",
            raw(
                0x81,
                0,
                0,
                &[
                    b"DOCDBIPC\x01\0\x01\0\0\0\0\0\0\0",
                    &[0, 0, 1, 0].repeat(4)[..],
                    b"\x03\x07\0\0\0\0\0\0\0\0",
                ]
                .concat(),
            ),
            Some("value"),
        ),
        welcome(
            "a limit of 0",
            raw(0x81, 0, 0, &[b"DOCDBIPC\x01\0", &[0u8; 24][..]].concat()),
            Some("value"),
        ),
    ]
}
