//! Messages of every kind, for property tests.
#![allow(dead_code, reason = "each test binary uses a part")]

use bytes::{Bytes, BytesMut};
use docdb_ipc::{
    BATCH_ERROR_MESSAGE_BYTES_MAX, BackedUp, BackupReport, BackupRequest, BatchMode, Codec,
    CollectionInfo, Compacted, DatabaseInfo, ErrorCode, Frame, FrameDecoder, HealOutcome,
    HealReport, NotBackedUp, OpResult, Precondition, Request, RequestId, Response, Scan, ScanItem,
    Text, UnhealableDocument, ViewRequest, WireError, WriteKind, WriteOp,
};
use docdb_types::limits::FRAME_BYTES_MAX;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn text() -> impl Strategy<Value = Text> {
    ".{0,20}".prop_map(Text::from)
}

pub(crate) fn body() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..80).prop_map(Bytes::from)
}

pub(crate) fn request_id() -> impl Strategy<Value = RequestId> {
    (1u64..).prop_map(RequestId)
}

fn precondition() -> impl Strategy<Value = Precondition> {
    prop_oneof![
        Just(Precondition::None),
        any::<u64>().prop_map(Precondition::VersionIs),
        Just(Precondition::Absent),
    ]
}

pub(crate) fn write_op() -> impl Strategy<Value = WriteOp> {
    // Few collections, so that neighbours share one.
    let collection = prop_oneof!["a|b".prop_map(Text::from), text()];
    (1u8..=7, collection, any::<u64>(), precondition(), body()).prop_map(
        |(kind, collection, id, precondition, body)| {
            let op = match WriteKind::from_code(kind).expect("valid") {
                WriteKind::Create => WriteOp::create(collection, id, body),
                WriteKind::Update => WriteOp::update(collection, id, body),
                WriteKind::Upsert => WriteOp::upsert(collection, id, body),
                WriteKind::Delete => WriteOp::delete(collection, id),
                WriteKind::Insert => WriteOp::insert(collection, body),
                WriteKind::Patch => WriteOp::patch(collection, id, body),
                WriteKind::Merge => WriteOp::merge(collection, id, body),
                other => panic!("{other:?}"),
            };
            op.when(precondition)
        },
    )
}

fn scan() -> impl Strategy<Value = Scan> {
    let range = (
        option::of(any::<u64>()),
        option::of(any::<u64>()),
        option::of(any::<u64>()),
    );
    let rest = (
        any::<bool>(),
        option::of(body()),
        any::<bool>(),
        any::<u32>(),
    );
    (text(), text(), range, rest).prop_map(
        |(db, collection, (from, to, limit), (reverse, cursor, at_latest, credit_bytes))| Scan {
            db,
            collection,
            from,
            to,
            limit,
            reverse,
            cursor,
            at_latest,
            credit_bytes,
        },
    )
}

fn delete_range() -> impl Strategy<Value = Request> {
    let range = any::<[Option<u64>; 3]>();
    (text(), text(), range, option::of(text())).prop_map(
        |(db, collection, [from, to, limit], durability)| Request::DeleteRange {
            db,
            collection,
            from,
            to,
            limit,
            durability,
        },
    )
}

fn view_request() -> impl Strategy<Value = ViewRequest> {
    let document = || (request_id(), text(), any::<u64>());
    prop_oneof![
        (text(), any::<bool>(), option::of(any::<u32>())).prop_map(
            |(db, serializable, timeout_ms)| ViewRequest::Begin {
                db,
                serializable,
                timeout_ms
            }
        ),
        (request_id(), option::of(text()))
            .prop_map(|(view, durability)| ViewRequest::Commit { view, durability }),
        request_id().prop_map(|view| ViewRequest::Rollback { view }),
        text().prop_map(|db| ViewRequest::OpenSnapshot { db }),
        request_id().prop_map(|view| ViewRequest::CloseSnapshot { view }),
        document().prop_map(|(view, collection, id)| ViewRequest::Read {
            view,
            collection,
            id
        }),
        document().prop_map(|(view, collection, id)| ViewRequest::Exists {
            view,
            collection,
            id
        }),
        (request_id(), text())
            .prop_map(|(view, collection)| ViewRequest::Count { view, collection }),
        (request_id(), scan()).prop_map(|(view, scan)| ViewRequest::Scan {
            view,
            scan: Scan {
                db: Text::default(),
                at_latest: false,
                ..scan
            }
        }),
        request_id().prop_map(|view| ViewRequest::ListCollections { view }),
        (request_id(), write_op()).prop_map(|(view, op)| ViewRequest::Write { view, op }),
    ]
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let mode = prop_oneof![Just(BatchMode::Atomic), Just(BatchMode::Independent)];
    prop_oneof![
        Just(Request::Ping),
        Just(Request::Cancel),
        any::<u32>().prop_map(|bytes| Request::ScanCredit { bytes }),
        Just(Request::ListDatabases),
        (text(), option::of(text()))
            .prop_map(|(name, durability)| Request::CreateDatabase { name, durability }),
        text().prop_map(|name| Request::DropDatabase { name }),
        text().prop_map(|db| Request::ListCollections { db }),
        (text(), text()).prop_map(|(db, name)| Request::CreateCollection { db, name }),
        (text(), text(), any::<bool>()).prop_map(|(db, name, force)| Request::DropCollection {
            db,
            name,
            force
        }),
        (text(), text(), any::<u64>()).prop_map(|(db, collection, id)| Request::Read {
            db,
            collection,
            id
        }),
        (text(), text(), any::<u64>()).prop_map(|(db, collection, id)| Request::Exists {
            db,
            collection,
            id
        }),
        (text(), text()).prop_map(|(db, collection)| Request::Count { db, collection }),
        scan().prop_map(Request::Scan),
        (text(), option::of(text()), write_op()).prop_map(|(db, durability, op)| Request::Write {
            db,
            durability,
            op
        }),
        (text(), mode, option::of(text()), vec(write_op(), 0..12)).prop_map(
            |(db, mode, durability, ops)| Request::Batch {
                db,
                mode,
                durability,
                ops
            }
        ),
        delete_range(),
        text().prop_map(|db| Request::Checkpoint { db }),
        text().prop_map(|db| Request::Compact { db }),
        (text(), text(), any::<u64>()).prop_map(|(db, collection, id)| Request::Heal {
            db,
            collection,
            id
        }),
        text().prop_map(|db| Request::HealAll { db }),
        text().prop_map(|db| Request::HealStats { db }),
        (text(), vec(text(), 0..5), option::of(any::<u64>())).prop_map(
            |(dir, databases, bytes_per_second)| Request::Backup(BackupRequest {
                dir,
                databases,
                bytes_per_second
            })
        ),
        option::of(text()).prop_map(|db| Request::Stats { db }),
        view_request().prop_map(Request::View),
    ]
}

fn error() -> impl Strategy<Value = WireError> {
    (
        1u16..,
        ".{0,40}",
        option::of(any::<u64>()),
        option::of(any::<u32>()),
    )
        .prop_map(|(code, message, version, op_index)| {
            assert!(message.len() <= BATCH_ERROR_MESSAGE_BYTES_MAX);
            WireError {
                code: ErrorCode::from_raw(code).expect("valid"),
                message,
                version,
                op_index,
            }
        })
}

pub(crate) fn response() -> impl Strategy<Value = Response> {
    let database =
        (text(), any::<u64>(), text(), any::<bool>()).prop_map(|(name, id, durability, open)| {
            DatabaseInfo {
                name,
                id,
                durability,
                open,
            }
        });
    let collection =
        (text(), any::<u64>(), any::<u64>()).prop_map(|(name, id, documents)| CollectionInfo {
            name,
            id,
            documents,
        });
    let item = (any::<u64>(), any::<u64>(), body()).prop_map(|(id, version, body)| ScanItem {
        id,
        version,
        body,
    });
    let backed_up = (text(), any::<[u64; 9]>()).prop_map(|(name, numbers)| BackedUp {
        name,
        id: numbers[0],
        version: numbers[1],
        documents: numbers[2],
        files_copied: numbers[3],
        files_extended: numbers[4],
        files_reused: numbers[5],
        bytes_copied: numbers[6],
        bytes: numbers[7],
        files_renewed: numbers[8],
    });
    let not_backed_up = (text(), any::<u64>(), any::<Option<u64>>(), error()).prop_map(
        |(name, id, kept_version, error)| NotBackedUp {
            name,
            id,
            kept_version,
            error,
        },
    );
    let result = prop_oneof![
        (any::<u64>(), any::<u64>()).prop_map(|(version, id)| OpResult::Ok { version, id }),
        error().prop_map(OpResult::Err),
    ];
    prop_oneof![
        error().prop_map(Response::Error),
        Just(Response::Pong),
        Just(Response::Ok),
        vec(database, 0..6).prop_map(Response::Databases),
        vec(collection, 0..6).prop_map(Response::Collections),
        (any::<u64>(), body()).prop_map(|(version, body)| Response::Document { version, body }),
        any::<bool>().prop_map(Response::Exists),
        any::<u64>().prop_map(Response::Count),
        vec(item, 0..6).prop_map(Response::ScanItems),
        (option::of(body()), any::<u64>())
            .prop_map(|(cursor, items)| Response::ScanEnd { cursor, items }),
        (any::<u64>(), any::<u64>()).prop_map(|(version, id)| Response::Written { version, id }),
        vec(result, 0..12).prop_map(|results| Response::BatchDone { results }),
        (any::<u64>(), any::<[Option<u64>; 2]>()).prop_map(|(deleted, [version, next])| {
            Response::RangeDeleted {
                deleted,
                version,
                next,
            }
        }),
        any::<u64>().prop_map(|version| Response::Opened { version }),
        any::<u64>().prop_map(|version| Response::Committed { version }),
        any::<[u64; 4]>().prop_map(|[files, bytes_before, bytes_after, documents_moved]| {
            Response::Compacted(Compacted {
                files,
                bytes_before,
                bytes_after,
                documents_moved,
            })
        }),
        (0u8..3, option::of(text())).prop_map(|(code, what)| Response::Healed {
            outcome: HealOutcome::from_code(code).expect("a code"),
            what,
        }),
        (
            any::<[u64; 6]>(),
            vec((text(), any::<u64>(), any::<u64>(), text()), 0..4),
            vec(text(), 0..4)
        )
            .prop_map(|(figures, documents, places)| {
                let [files, bytes, found, healed, unhealable, index_pages_damaged] = figures;
                let named = |(collection, id, version, what)| UnhealableDocument {
                    collection,
                    id,
                    version,
                    what,
                };
                Response::HealedAll(HealReport {
                    files,
                    bytes,
                    found,
                    healed,
                    unhealable,
                    index_pages_damaged,
                    unhealable_documents: documents.into_iter().map(named).collect(),
                    places,
                })
            }),
        body().prop_map(Response::HealStats),
        (vec(backed_up, 0..4), vec(not_backed_up, 0..4))
            .prop_map(|(databases, failed)| Response::BackedUp(BackupReport { databases, failed })),
        body().prop_map(Response::Stats),
    ]
}

pub(crate) fn request_bytes(id: RequestId, request: &Request) -> BytesMut {
    let mut out = BytesMut::new();
    Codec::default()
        .encode_request(&mut out, id, request)
        .expect("valid");
    out
}

pub(crate) fn response_bytes(id: RequestId, response: &Response) -> BytesMut {
    let mut out = BytesMut::new();
    Codec::default()
        .encode_response(&mut out, id, response)
        .expect("valid");
    out
}

/// The one frame in those bytes.
pub(crate) fn frame(bytes: &[u8]) -> Frame {
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    decoder.feed(bytes);
    let frame = decoder.next_frame().expect("valid").expect("a whole frame");
    assert_eq!(decoder.buffered_bytes(), 0);
    frame
}
