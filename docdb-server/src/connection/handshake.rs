//! The hello that every connection begins with.

use std::io;

use bytes::BytesMut;
use docdb_ipc::{FrameDecoder, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tracing::{debug, warn};

use crate::limits::HELLO_TIMEOUT;
use crate::state::{State, count};

/// Reads the hello and answers it. `None`: it was refused, and the client has been told why.
pub(super) async fn run(
    state: &State,
    stream: &mut UnixStream,
    decoder: &mut FrameDecoder,
) -> io::Result<Option<Session>> {
    match tokio::time::timeout(HELLO_TIMEOUT, answer(state, stream, decoder)).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client sent no hello",
        )),
    }
}

async fn answer(
    state: &State,
    stream: &mut UnixStream,
    decoder: &mut FrameDecoder,
) -> io::Result<Option<Session>> {
    let mut output = BytesMut::new();
    let session = loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => match state.handshake.answer(&frame, &mut output) {
                Ok(session) => break Some(session),
                Err(error) => {
                    if let Some(left_out) = state.protocol_log.admit(state.started_at) {
                        warn!(left_out, "a hello was refused: {error}");
                    }
                    break None;
                }
            },
            Ok(None) => {}
            Err(error) => {
                if let Some(left_out) = state.protocol_log.admit(state.started_at) {
                    warn!(left_out, "a client began with what is not a hello: {error}");
                }
                state.handshake.refuse(&error, &mut output);
                break None;
            }
        }
        if stream.read_buf(decoder.read_buffer()).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the client sent no hello",
            ));
        }
    };
    match &session {
        Some(session) => debug!(client = %session.peer_name, "a client connected"),
        None => count(&state.counters.protocol_errors),
    }
    stream.write_all(&output).await?;
    Ok(session)
}
