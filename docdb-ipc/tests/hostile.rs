//! Bytes that nobody sane sends: a typed error, never a panic, never memory for the asking.

mod common;

use bytes::{BufMut, BytesMut};
use common::{frame, request, request_bytes, request_id, response, response_bytes};
use docdb_ipc::{
    ClientHandshake, DecodeError, DecodeReason, Frame, FrameDecoder, HELLO_BYTES_MAX, Limits,
    READ_RESERVE_BYTES, Request, RequestId, ServerHandshake, decode_request, decode_response,
};
use docdb_types::ErrorKind;
use docdb_types::limits::{COMMIT_OPS_MAX, FRAME_BYTES_MAX};
use proptest::collection::vec;
use proptest::prelude::*;

/// Everything a stream gives, cut at those places.
fn results(bytes: &[u8], pieces: &[usize]) -> (Vec<Frame>, Option<DecodeError>) {
    let mut decoder = FrameDecoder::new(10_000);
    let mut frames = Vec::new();
    let mut rest = bytes;
    for &piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        decoder.feed(now);
        rest = later;
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (frames, None)
}

/// Decodes as everything there is. What is understood must mean the same when it is sent again.
fn decode_all(frame: &Frame) {
    if let Ok((id, request)) = decode_request(frame) {
        let again = common::frame(&request_bytes(id, &request));
        assert_eq!(decode_request(&again), Ok((id, request)));
    }
    if let Ok((id, response)) = decode_response(frame) {
        let again = common::frame(&response_bytes(id, &response));
        assert_eq!(decode_response(&again), Ok((id, response)));
    }
    let server = ServerHandshake::new(Limits::default(), "s", "1").expect("valid");
    let mut out = BytesMut::new();
    let agreed = server.answer(frame, &mut out).is_ok();
    let answer = common::frame(&out);
    assert_eq!(ClientHandshake::new("c").finish(&answer).is_ok(), agreed);
    let _ = ClientHandshake::new("c").finish(frame);
}

fn opcode() -> impl Strategy<Value = u8> {
    let known: Vec<u8> = docdb_ipc::Opcode::ALL
        .iter()
        .map(|opcode| opcode.code())
        .collect();
    prop_oneof![8 => proptest::sample::select(known), 1 => any::<u8>()]
}

proptest! {
    #[test]
    fn streams_of_noise(bytes in vec(any::<u8>(), 0..200), pieces in vec(1usize..30, 1..5)) {
        let whole = results(&bytes, &[usize::MAX]);
        whole.0.iter().for_each(decode_all);
        prop_assert_eq!(whole, results(&bytes, &pieces));
    }

    #[test]
    fn frames_of_noise(
        opcode in opcode(),
        present in prop_oneof![Just(0u16), 0u16..64, any::<u16>()],
        id in any::<u64>(),
        body in vec(prop_oneof![Just(0u8), 0u8..6, any::<u8>()], 0..120),
    ) {
        let body = body.into();
        decode_all(&Frame { opcode, present, request_id: RequestId(id), body });
    }

    #[test]
    fn damaged_messages(
        id in request_id(),
        request in request(),
        response in response(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        pieces in vec(1usize..30, 1..5),
    ) {
        let mut bytes = request_bytes(id, &request);
        bytes.extend_from_slice(&response_bytes(id, &response));
        for (at, value) in &damage {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        let whole = results(&bytes, &[usize::MAX]);
        whole.0.iter().for_each(decode_all);
        prop_assert_eq!(whole, results(&bytes, &pieces));
    }

    #[test]
    fn no_message_is_the_beginning_of_another(
        id in request_id(),
        request in request(),
        response in response(),
    ) {
        let request = frame(&request_bytes(id, &request));
        let response = frame(&response_bytes(id, &response));
        for cut in 0..request.body.len() {
            let short = Frame { body: request.body.slice(..cut), ..request.clone() };
            prop_assert_eq!(decode_request(&short).unwrap_err().kind(), ErrorKind::Protocol);
        }
        for cut in 0..response.body.len() {
            let short = Frame { body: response.body.slice(..cut), ..response.clone() };
            prop_assert_eq!(decode_response(&short).unwrap_err().kind(), ErrorKind::Protocol);
        }
    }

    #[test]
    fn nothing_may_follow_a_message(id in request_id(), request in request(), byte in any::<u8>()) {
        let whole = frame(&request_bytes(id, &request));
        let longer = Frame { body: [&whole.body[..], &[byte]].concat().into(), ..whole };
        let reason = decode_request(&longer).unwrap_err().reason;
        prop_assert_eq!(reason, DecodeReason::TrailingBytes { count: 1 });
    }

    #[test]
    fn unknown_fields_are_refused(id in request_id(), request in request(), bit in 6u32..16) {
        let whole = frame(&request_bytes(id, &request));
        let newer = Frame { present: whole.present | 1 << bit, ..whole };
        let reason = decode_request(&newer).unwrap_err().reason;
        prop_assert_eq!(reason, DecodeReason::Fields(1 << bit));
    }
}

#[test]
fn announcing_a_frame_reserves_nothing_for_it() {
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    decoder.feed(&u32::try_from(FRAME_BYTES_MAX).unwrap().to_le_bytes());
    decoder.feed(&[0x30, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(decoder.next_frame(), Ok(None));
    assert!(decoder.read_buffer().capacity() <= 2 * READ_RESERVE_BYTES);
}

#[test]
fn room_grows_with_what_has_arrived() {
    let length = 1 << 20;
    let mut bytes = BytesMut::new();
    bytes.put_u32_le(length);
    bytes.put_bytes(0x30, 1);
    bytes.put_bytes(0, length as usize - 1);
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    let mut rest = &bytes[..];
    let mut reads = 0;
    while !rest.is_empty() {
        let arrived = decoder.buffered_bytes();
        let buffer = decoder.read_buffer();
        let room = (buffer.capacity() - buffer.len()).min(rest.len());
        assert!(room >= READ_RESERVE_BYTES.min(rest.len()));
        assert!(buffer.capacity() <= 4 * arrived.max(READ_RESERVE_BYTES));
        buffer.extend_from_slice(&rest[..room]);
        rest = &rest[room..];
        reads += 1;
    }
    assert!(reads < 12, "{reads}");
    assert_eq!(
        decoder.next_frame().unwrap().unwrap().body.len(),
        length as usize - 12
    );
}

#[test]
fn too_large_a_frame_names_its_request() {
    let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
    decoder.feed(&4097u32.to_le_bytes());
    decoder.feed(&[0x20, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0]);
    assert_eq!(decoder.next_frame(), Ok(None));
    decoder.feed(&[0]);
    let error = decoder.next_frame().unwrap_err();
    assert_eq!(
        error.reason,
        DecodeReason::FrameTooLarge {
            announced: 4097,
            max: 4096
        }
    );
    assert_eq!(
        (error.kind(), error.is_fatal()),
        (ErrorKind::TooLarge, true)
    );
    assert_eq!(error.request_id, Some(RequestId(9)));
    // Nothing that follows is taken for a frame.
    decoder.feed(&request_bytes(RequestId(1), &Request::Ping));
    assert_eq!(decoder.next_frame(), Err(error));
}

#[test]
fn too_many_operations_do_not_end_the_connection() {
    let ops = u32::try_from(COMMIT_OPS_MAX).unwrap() + 1;
    let mut body = BytesMut::new();
    body.put_slice(b"\x01\x00d\x00");
    body.put_u32_le(ops);
    for _ in 0..ops {
        body.put_slice(&[4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let frame = Frame {
        opcode: 0x31,
        present: 0,
        request_id: RequestId(4),
        body: body.freeze(),
    };
    let error = decode_request(&frame).unwrap_err();
    assert_eq!(
        error.reason,
        DecodeReason::TooManyOps {
            announced: ops,
            max: COMMIT_OPS_MAX
        }
    );
    assert_eq!(
        (error.kind(), error.is_fatal()),
        (ErrorKind::TooLarge, false)
    );
}
