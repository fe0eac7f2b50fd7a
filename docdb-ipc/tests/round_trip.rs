//! Whatever is sent arrives, in whatever pieces; what cannot be sent leaves no trace.

mod common;

use bytes::{Bytes, BytesMut};
use common::{frame, request, request_bytes, request_id, response, response_bytes};
use docdb_ipc::{
    BATCH_ERROR_MESSAGE_BYTES_MAX, Codec, ERROR_MESSAGE_BYTES_MAX, EncodeError, FrameDecoder,
    OpResult, Precondition, Request, RequestId, Response, Text, WireError, WriteOp, decode_request,
    decode_response,
};
use docdb_types::ErrorKind;
use docdb_types::limits::{COMMIT_OPS_MAX, FRAME_BYTES_MAX};
use proptest::collection::vec;
use proptest::prelude::*;

/// Feeds bytes in pieces of those sizes, over and over, and calls `each` for every frame.
fn feed_in_pieces(bytes: &[u8], pieces: &[usize], mut each: impl FnMut(docdb_ipc::Frame)) {
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    let mut rest = bytes;
    for &piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(piece.min(rest.len()));
        decoder.read_buffer().extend_from_slice(now);
        rest = later;
        while let Some(frame) = decoder.next_frame().expect("valid") {
            each(frame);
        }
    }
    assert_eq!(decoder.buffered_bytes(), 0);
}

proptest! {
    #[test]
    fn requests(
        messages in vec((request_id(), request()), 1..6),
        pieces in vec(1usize..70, 1..8),
    ) {
        let mut bytes = BytesMut::new();
        for (id, request) in &messages {
            Codec::default().encode_request(&mut bytes, *id, request).unwrap();
        }
        let mut decoded = Vec::new();
        feed_in_pieces(&bytes, &pieces, |frame| decoded.push(decode_request(&frame).unwrap()));
        prop_assert_eq!(decoded, messages);
    }

    #[test]
    fn responses(
        messages in vec((request_id(), response()), 1..6),
        pieces in vec(1usize..70, 1..8),
    ) {
        let mut bytes = BytesMut::new();
        for (id, response) in &messages {
            Codec::default().encode_response(&mut bytes, *id, response).unwrap();
        }
        let mut decoded = Vec::new();
        feed_in_pieces(&bytes, &pieces, |frame| decoded.push(decode_response(&frame).unwrap()));
        prop_assert_eq!(decoded, messages);
    }

    #[test]
    fn over_the_limit_by_one_byte_writes_nothing(id in request_id(), request in request()) {
        let length = request_bytes(id, &request).len() - 4;
        let mut out = BytesMut::from(&b"before"[..]);
        let error = Codec::new(length - 1).encode_request(&mut out, id, &request);
        prop_assert_eq!(error, Err(EncodeError::FrameTooLarge { bytes: length, max: length - 1 }));
        prop_assert_eq!(&out[..], b"before");
        prop_assert_eq!(Codec::new(length).encode_request(&mut out, id, &request), Ok(()));
    }

    #[test]
    fn a_streamed_scan_is_the_same_frame(id in request_id(), response in response()) {
        let Response::ScanItems(items) = &response else { return Ok(()) };
        prop_assume!(!items.is_empty());
        let mut out = BytesMut::new();
        let mut writer = Codec::default().scan_items(&mut out, id);
        for item in items {
            prop_assert_eq!(writer.push(item.id, item.version, &item.body), Ok(true));
        }
        writer.finish();
        prop_assert_eq!(out, response_bytes(id, &response));
    }
}

#[test]
fn a_borrowed_document_is_the_same_frame() {
    let mut out = BytesMut::new();
    Codec::default()
        .encode_document(&mut out, RequestId(3), 9, b"[1]")
        .unwrap();
    let response = Response::Document {
        version: 9,
        body: Bytes::from_static(b"[1]"),
    };
    assert_eq!(out, response_bytes(RequestId(3), &response));
}

#[test]
fn bodies_are_slices_of_the_frame() {
    let op = WriteOp::upsert("c", 1, &b"{\"a\":1}"[..]);
    let request = Request::Write {
        db: "d".into(),
        durability: None,
        op,
    };
    let frame = frame(&request_bytes(RequestId(1), &request));
    let (_, decoded) = decode_request(&frame).unwrap();
    let Request::Write { op, .. } = decoded else {
        panic!("{decoded:?}")
    };
    assert!(frame.body.as_ptr_range().contains(&op.body.as_ptr()));
}

#[test]
fn the_results_of_the_largest_batch_fit() {
    let error = WireError::new(ErrorKind::Aborted, "é".repeat(5000))
        .with_version(u64::MAX)
        .with_op_index(u32::MAX);
    let results = vec![OpResult::Err(error.clone()); COMMIT_OPS_MAX];
    let bytes = response_bytes(RequestId(1), &Response::BatchDone { results });
    let (_, decoded) = decode_response(&frame(&bytes)).unwrap();
    let Response::BatchDone { results } = decoded else {
        panic!("{decoded:?}")
    };
    assert_eq!(results.len(), COMMIT_OPS_MAX);
    let OpResult::Err(last) = &results[COMMIT_OPS_MAX - 1] else {
        panic!()
    };
    assert_eq!(last.message, error.message[..BATCH_ERROR_MESSAGE_BYTES_MAX]);
    assert_eq!(
        (last.version, last.op_index),
        (error.version, error.op_index)
    );
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let error = WireError::new(ErrorKind::Io, format!("x{}", "é".repeat(5000)));
    let bytes = response_bytes(RequestId(1), &Response::Error(error));
    let (_, decoded) = decode_response(&frame(&bytes)).unwrap();
    let Response::Error(error) = decoded else {
        panic!("{decoded:?}")
    };
    assert_eq!(error.message.len(), ERROR_MESSAGE_BYTES_MAX - 1);
}

#[test]
fn an_error_of_a_newer_server_keeps_its_code() {
    let mut error = WireError::new(ErrorKind::Io, "from the future");
    error.code = docdb_ipc::ErrorCode::from_raw(9999).unwrap();
    let bytes = response_bytes(RequestId(1), &Response::Error(error.clone()));
    let (_, decoded) = decode_response(&frame(&bytes)).unwrap();
    assert_eq!(decoded, Response::Error(error.clone()));
    assert_eq!(
        (error.kind(), error.code.known_kind()),
        (ErrorKind::Internal, None)
    );
    assert_eq!(error.to_string(), "unknown error 9999: from the future");
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let write = |op| Request::Write {
        db: "d".into(),
        durability: None,
        op,
    };
    let mut insert_with_id = WriteOp::insert("c", "1");
    insert_with_id.id = Some(1);
    let mut create_without_id = WriteOp::create("c", 1, "1");
    create_without_id.id = None;
    let mut delete_with_body = WriteOp::delete("c", 1);
    delete_with_body.body = Bytes::from_static(b"1");
    let too_many = vec![WriteOp::delete("c", 1).when(Precondition::Absent); COMMIT_OPS_MAX + 1];
    let cases = [
        (write(insert_with_id), ErrorKind::InvalidArgument),
        (write(create_without_id), ErrorKind::InvalidArgument),
        (write(delete_with_body), ErrorKind::InvalidArgument),
        (
            Request::Batch {
                db: "d".into(),
                mode: docdb_ipc::BatchMode::Atomic,
                durability: None,
                ops: too_many,
            },
            ErrorKind::TooLarge,
        ),
        (
            Request::Checkpoint {
                db: Text::from("x".repeat(65_536)),
            },
            ErrorKind::TooLarge,
        ),
        (
            write(WriteOp::upsert("c", 1, vec![b' '; FRAME_BYTES_MAX])),
            ErrorKind::TooLarge,
        ),
    ];
    for (request, kind) in cases {
        let mut out = BytesMut::new();
        let error = Codec::default()
            .encode_request(&mut out, RequestId(1), &request)
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(out.is_empty());
    }
    let mut out = BytesMut::new();
    let zero = Codec::default().encode_request(&mut out, RequestId(0), &Request::Ping);
    assert_eq!(zero.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(
        Codec::default()
            .encode_response(&mut out, RequestId(0), &Response::Ok)
            .is_err()
    );
    assert!(out.is_empty());
}
