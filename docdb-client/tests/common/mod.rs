//! A server in this process, for tests: the real codec, with answers that a test decides.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod memory;
pub mod real;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::BytesMut;
use docdb_ipc::{
    Codec, FrameDecoder, HELLO_BYTES_MAX, Limits, Request, RequestId, Response, ServerHandshake,
    decode_request,
};
use tempfile::TempDir;

/// The server's side of one connection.
pub struct Peer {
    stream: UnixStream,
    codec: Codec,
    /// Which connection of the server it is, from 0.
    pub number: usize,
}

impl Peer {
    pub fn reply(&mut self, id: RequestId, response: Response) {
        let mut out = BytesMut::new();
        self.codec.encode_response(&mut out, id, &response).unwrap();
        self.send_raw(&out);
    }

    /// Sends bytes as they are; a client that is gone is no error.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Decides what is answered, for every connection of a server.
pub trait Handler: Send + 'static {
    fn request(&mut self, peer: &mut Peer, id: RequestId, request: Request);
}

impl<F: FnMut(&mut Peer, RequestId, Request) + Send + 'static> Handler for F {
    fn request(&mut self, peer: &mut Peer, id: RequestId, request: Request) {
        self(peer, id, request);
    }
}

pub struct FakeServer {
    dir: TempDir,
    path: PathBuf,
    connections: Arc<AtomicUsize>,
    streams: Arc<Mutex<Vec<UnixStream>>>,
}

impl FakeServer {
    pub fn start(handler: impl Handler) -> FakeServer {
        FakeServer::start_with(Limits::default(), handler)
    }

    pub fn start_with(limits: Limits, handler: impl Handler) -> FakeServer {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docdb.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let server = FakeServer {
            dir,
            path,
            connections,
            streams,
        };
        server.accept(listener, limits, Arc::new(Mutex::new(handler)));
        server
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Breaks every connection; new ones are accepted.
    pub fn break_connections(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn accept<H: Handler>(&self, listener: UnixListener, limits: Limits, handler: Arc<Mutex<H>>) {
        let connections = Arc::clone(&self.connections);
        let streams = Arc::clone(&self.streams);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let number = connections.fetch_add(1, Ordering::SeqCst);
                streams.lock().unwrap().push(stream.try_clone().unwrap());
                let handler = Arc::clone(&handler);
                thread::spawn(move || serve(stream, number, limits, &handler));
            }
        });
    }
}

fn serve<H: Handler>(stream: UnixStream, number: usize, limits: Limits, handler: &Mutex<H>) {
    let handshake = ServerHandshake::new(limits, "fake", "0").unwrap();
    let mut reader = stream.try_clone().unwrap();
    let mut peer = Peer {
        stream,
        codec: Codec::new(limits.frame_bytes_max as usize),
        number,
    };
    let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
    let mut greeted = false;
    let mut chunk = vec![0; 1 << 16];
    loop {
        while let Some(frame) = decoder.next_frame().expect("the client sends frames") {
            if greeted {
                let (id, request) = decode_request(&frame).expect("the client sends requests");
                handler.lock().unwrap().request(&mut peer, id, request);
            } else {
                let mut out = BytesMut::new();
                handshake
                    .answer(&frame, &mut out)
                    .expect("the client greets");
                peer.send_raw(&out);
                decoder.set_frame_bytes_max(limits.frame_bytes_max as usize);
                greeted = true;
            }
        }
        match reader.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(n) => decoder.feed(&chunk[..n]),
        }
    }
}
