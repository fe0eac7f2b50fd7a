//! Shows a request and its answer as bytes: `cargo run -p docdb-ipc --example frame`.

use bytes::BytesMut;
use docdb_ipc::{
    Codec, FrameDecoder, Request, RequestId, Response, WriteOp, decode_request, decode_response,
};
use docdb_types::limits::FRAME_BYTES_MAX;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let codec = Codec::default();

    let op = WriteOp::create("users", 7, r#"{"name":"Ada"}"#);
    let request = Request::Write {
        db: "app".into(),
        durability: None,
        op,
    };
    let mut bytes = BytesMut::new();
    codec.encode_request(&mut bytes, RequestId(1), &request)?;
    println!("request  {}", hex(&bytes));

    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    decoder.feed(&bytes);
    while let Some(frame) = decoder.next_frame()? {
        let (id, request) = decode_request(&frame)?;
        println!("         {id}: {request:?}");
    }

    let mut bytes = BytesMut::new();
    codec.encode_response(
        &mut bytes,
        RequestId(1),
        &Response::Written { version: 42, id: 7 },
    )?;
    println!("response {}", hex(&bytes));
    decoder.feed(&bytes);
    while let Some(frame) = decoder.next_frame()? {
        let (id, response) = decode_response(&frame)?;
        println!("         {id}: {response:?}");
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
