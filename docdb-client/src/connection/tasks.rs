//! The two tasks of a connection.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use docdb_ipc::{FrameDecoder, RequestId, Response, decode_response};
use docdb_types::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::{Pending, Shared};
use crate::Error;

/// Frames that wait are copied together up to this many bytes for one write; a larger frame is
/// written on its own, without a copy.
const WRITE_BYTES: usize = 64 << 10;

/// Tells everyone who waits when a task ends in whatever way, also when its runtime does.
struct EndOfTask(Arc<Shared>);

impl Drop for EndOfTask {
    fn drop(&mut self) {
        self.0.lose(Error::new(
            ErrorKind::Closed,
            "the runtime of the connection has ended",
        ));
    }
}

/// Writes what is queued until the connection ends.
pub(super) async fn write(shared: Arc<Shared>, mut socket: OwnedWriteHalf) {
    let end = EndOfTask(shared);
    let shared = &end.0;
    let mut together = BytesMut::new();
    loop {
        let Some(large) = shared.take_queued(&mut together) else {
            return;
        };
        if together.is_empty() && large.is_none() {
            shared.wake_writer.notified().await;
            continue;
        }
        let mut written = socket.write_all(&together).await;
        together.clear();
        if let (Ok(()), Some(frame)) = (&written, large) {
            written = socket.write_all(&frame).await;
        }
        if let Err(error) = written {
            shared.lose(io_error("cannot send to the server", error));
            return;
        }
    }
}

/// Reads answers and hands them out until the connection ends.
pub(super) async fn read(
    shared: Arc<Shared>,
    mut socket: OwnedReadHalf,
    mut decoder: FrameDecoder,
) {
    let end = EndOfTask(shared);
    let shared = &end.0;
    let mut answers = Vec::new();
    loop {
        // What came with the hello's answer is looked at before anything is read.
        let decoded = decode_all(&mut decoder, &mut answers);
        let delivered = shared.deliver(&mut answers);
        if let Err(error) = decoded.and(delivered) {
            shared.lose(error);
            return;
        }
        match socket.read_buf(decoder.read_buffer()).await {
            Ok(0) => {
                shared.lose(Error::new(
                    ErrorKind::Closed,
                    "the server closed the connection",
                ));
                return;
            }
            Ok(_) => {}
            Err(error) => {
                shared.lose(io_error("cannot receive from the server", error));
                return;
            }
        }
    }
}

fn decode_all(
    decoder: &mut FrameDecoder,
    answers: &mut Vec<(RequestId, Response)>,
) -> Result<(), Error> {
    let broken = |error: docdb_ipc::DecodeError| {
        let message = format!("the server sent what is not an answer: {error}");
        Error::new(ErrorKind::Protocol, message).with_source(error)
    };
    while let Some(frame) = decoder.next_frame().map_err(broken)? {
        answers.push(decode_response(&frame).map_err(broken)?);
    }
    Ok(())
}

fn io_error(message: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Closed, format!("{message}: {error}")).with_source(error)
}

impl Shared {
    /// Moves what is queued into `together`, up to [`WRITE_BYTES`], and marks it as sent. A frame
    /// too large for that is returned as it is, to be written after `together`. `None` when the
    /// connection has ended.
    fn take_queued(&self, together: &mut BytesMut) -> Option<Option<Bytes>> {
        let mut state = self.state();
        if state.lost.is_some() {
            return None;
        }
        let state = &mut *state;
        while let Some(next) = state.queue.front() {
            let is_large = next.frame.len() > WRITE_BYTES;
            if !is_large && together.len() + next.frame.len() > WRITE_BYTES {
                break;
            }
            let Some(queued) = state.queue.pop_front() else {
                break;
            };
            if let Some(pending) = state.pending.get_mut(&queued.id) {
                pending.sent = true;
            }
            if is_large {
                return Some(Some(queued.frame));
            }
            together.extend_from_slice(&queued.frame);
        }
        Some(None)
    }

    /// Hands answers to whoever waits for them.
    fn deliver(&self, answers: &mut Vec<(RequestId, Response)>) -> Result<(), Error> {
        if answers.is_empty() {
            return Ok(());
        }
        let mut finished: Vec<(Pending, Response)> = Vec::with_capacity(answers.len());
        let mut outcome = Ok(());
        let mut state = self.state();
        for (id, response) in answers.drain(..) {
            if id == RequestId::CONNECTION {
                outcome = Err(connection_error(response));
                break;
            }
            if response.is_final() {
                match state.pending.remove(&id.0) {
                    Some(pending) => finished.push((pending, response)),
                    None => {
                        outcome = Err(unasked(id));
                        break;
                    }
                }
            } else {
                let pushed = match state.pending.get_mut(&id.0) {
                    Some(pending) => pending.reply.push(response),
                    None => false,
                };
                if !pushed {
                    outcome = Err(unasked(id));
                    break;
                }
            }
        }
        drop(state);
        // Outside the lock: a caller that wakes up may want it at once.
        for (pending, response) in finished {
            pending.reply.finish(Ok(response));
        }
        outcome
    }
}

fn unasked(id: RequestId) -> Error {
    Error::new(
        ErrorKind::Protocol,
        format!("the server answered request {id} unasked"),
    )
}

/// The server's last word before it closes the connection.
fn connection_error(response: Response) -> Error {
    match response {
        Response::Error(error) => {
            let message = format!("the server closed the connection: {error}");
            Error::new(ErrorKind::Closed, message).with_source(error)
        }
        _ => Error::new(ErrorKind::Protocol, "an answer to no request"),
    }
}
