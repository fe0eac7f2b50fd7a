//! A server in this process and a client that speaks the bare protocol.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

pub(crate) mod process;
pub(crate) mod views;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use bytes::BytesMut;
use docdb_ipc::{
    ClientHandshake, Codec, FrameDecoder, Request, RequestId, Response, Session, WriteOp,
    decode_response,
};
use docdb_server::{Config, Server, ServerError, Stopper, runtime};
use docdb_types::ErrorKind;
use tempfile::TempDir;

pub(crate) struct TestServer {
    pub(crate) temp: TempDir,
    pub(crate) socket: PathBuf,
    stopper: Stopper,
    thread: Option<JoinHandle<Result<(), ServerError>>>,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), |_| {})
    }

    pub(crate) fn start_in(temp: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let socket = temp.path().join("s");
        let mut config = Config::new(temp.path().join("data"), &socket);
        change(&mut config);
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = runtime().unwrap();
            runtime.block_on(async {
                let server = Server::start(config)?;
                sender.send(server.stopper()).unwrap();
                server.run().await
            })
        });
        let stopper = receiver.recv().expect("the server starts");
        Self {
            temp,
            socket,
            stopper,
            thread: Some(thread),
        }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.socket)
    }

    /// Begins to stop.
    pub(crate) fn stop(&self) {
        self.stopper.stop();
    }

    /// Stops and gives the directory back.
    pub(crate) fn end(mut self) -> TempDir {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap().unwrap();
        std::mem::replace(&mut self.temp, tempfile::tempdir().unwrap())
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    decoder: FrameDecoder,
    codec: Codec,
    pub(crate) session: Session,
    next_id: u64,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Self {
        let mut stream = UnixStream::connect(socket).unwrap();
        let handshake = ClientHandshake::new("test");
        let mut out = BytesMut::new();
        handshake.start(&mut out).unwrap();
        stream.write_all(&out).unwrap();
        let mut decoder = FrameDecoder::new(docdb_types::limits::FRAME_BYTES_MAX);
        let frame = loop {
            if let Some(frame) = decoder.next_frame().unwrap() {
                break frame;
            }
            assert!(
                read(&mut stream, &mut decoder) > 0,
                "the server closed the connection"
            );
        };
        let session = handshake.finish(&frame).unwrap();
        Self {
            stream,
            decoder,
            codec: session.codec(),
            session,
            next_id: 1,
        }
    }

    pub(crate) fn encode(&mut self, out: &mut BytesMut, request: &Request) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.codec.encode_request(out, id, request).unwrap();
        id
    }

    pub(crate) fn send(&mut self, request: &Request) -> RequestId {
        let mut out = BytesMut::new();
        let id = self.encode(&mut out, request);
        self.stream.write_all(&out).unwrap();
        id
    }

    /// Sends a request about an earlier one.
    pub(crate) fn send_about(&mut self, id: RequestId, request: &Request) {
        let mut out = BytesMut::new();
        self.codec.encode_request(&mut out, id, request).unwrap();
        self.stream.write_all(&out).unwrap();
    }

    /// The next answer, or `None` when the server has closed the connection.
    pub(crate) fn receive(&mut self) -> Option<(RequestId, Response)> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(decode_response(&frame).unwrap());
            }
            if read(&mut self.stream, &mut self.decoder) == 0 {
                return None;
            }
        }
    }

    pub(crate) fn call(&mut self, request: &Request) -> Response {
        let id = self.send(request);
        let (answered, response) = self.receive().expect("an answer");
        assert_eq!(answered, id);
        response
    }

    /// The kind of the error that the request must give.
    pub(crate) fn error(&mut self, request: &Request) -> ErrorKind {
        match self.call(request) {
            Response::Error(error) => error.kind(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn create_database(&mut self, name: &str) {
        let request = Request::CreateDatabase {
            name: name.into(),
            durability: None,
        };
        assert_eq!(self.call(&request), Response::Ok);
    }

    pub(crate) fn write(&mut self, db: &str, op: WriteOp) -> (u64, u64) {
        match self.call(&write(db, op)) {
            Response::Written { version, id } => (version, id),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn read(&mut self, db: &str, collection: &str, id: u64) -> String {
        match self.call(&read_request(db, collection, id)) {
            Response::Document { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn read(stream: &mut UnixStream, decoder: &mut FrameDecoder) -> usize {
    let mut buffer = vec![0; 64 << 10];
    let bytes = stream.read(&mut buffer).unwrap();
    decoder.feed(&buffer[..bytes]);
    bytes
}

pub(crate) fn write(db: &str, op: WriteOp) -> Request {
    Request::Write {
        db: db.into(),
        durability: None,
        op,
    }
}

pub(crate) fn read_request(db: &str, collection: &str, id: u64) -> Request {
    Request::Read {
        db: db.into(),
        collection: collection.into(),
        id,
    }
}

pub(crate) const COLL: &str = "_default";
