//! A server inside another program: `cargo run -p docdb-server --example embedded_server`.
//!
//! It serves a temporary directory for one ping and stops in good order.

use std::error::Error;
use std::io::{Read, Write};

use bytes::BytesMut;
use docdb_ipc::{ClientHandshake, Codec, FrameDecoder, Request, RequestId, decode_response};
use docdb_server::{Config, Server, runtime};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("docdb.sock");
    let config = Config::new(dir.path().join("data"), &socket);
    let runtime = runtime()?;
    runtime.block_on(async {
        let server = Server::start(config)?;
        let stopper = server.stopper();
        let client = std::thread::spawn(move || -> Result<(), String> {
            let answer = ping(&socket).map_err(|error| error.to_string());
            stopper.stop();
            println!("the server answered {:?}", answer?);
            Ok(())
        });
        server.run().await?;
        client.join().expect("the client does not panic")?;
        Ok(())
    })
}

fn ping(socket: &std::path::Path) -> Result<docdb_ipc::Response, Box<dyn Error>> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    let mut out = BytesMut::new();
    ClientHandshake::new("example").start(&mut out)?;
    Codec::default().encode_request(&mut out, RequestId(1), &Request::Ping)?;
    stream.write_all(&out)?;
    let mut decoder = FrameDecoder::new(docdb_ipc::HELLO_BYTES_MAX);
    let mut frames = Vec::new();
    while frames.len() < 2 {
        let mut buffer = [0; 4096];
        let bytes = stream.read(&mut buffer)?;
        if bytes == 0 {
            return Err("the server closed the connection".into());
        }
        decoder.feed(&buffer[..bytes]);
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    Ok(decode_response(&frames[1])?.1)
}
