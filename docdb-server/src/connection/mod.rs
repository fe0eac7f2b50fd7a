//! One connection: a task that reads requests, runs them and writes their answers.
//!
//! Each turn takes the frames that arrived, runs each at once or hands it to a worker thread,
//! collects the commits that settled, and writes all answers together. A turn ends when nothing
//! more can be done without waiting, so an idle connection costs nothing.

mod cancellable;
mod commits;
mod handshake;
mod scans;
mod turns;
mod views;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use docdb_engine::Error;
use docdb_ipc::{
    Codec, DecodeError, FrameDecoder, OpResult, Request, RequestId, Response, WireError,
    decode_request,
};
use docdb_types::{ErrorClass, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tracing::{error, warn};

use self::cancellable::Cancellables;
use self::commits::CommitQueues;
use self::scans::Scans;
use self::views::Views;
use crate::convert;
use crate::execute::{self, Inline, Outcome};
use crate::limits::{
    FRAMES_PER_TURN_MAX, JOBS_MAX, LINGER, LINGER_BYTES_MAX, OUTPUT_BYTES_MAX, OUTPUT_KEEP_BYTES,
    PENDING_OPS_MAX,
};
use crate::open_scan::OpenScan;
use crate::state::{State, count};
use crate::view::OpenTransaction;

/// Turns of one connection before others on the same thread get theirs.
const TURNS_MAX: usize = 16;

/// Serves a connection until it ends. An error is the connection's alone.
pub(crate) async fn serve(state: &Arc<State>, mut stream: UnixStream) -> io::Result<()> {
    let mut decoder = FrameDecoder::new(docdb_ipc::HELLO_BYTES_MAX);
    let Some(session) = handshake::run(state, &mut stream, &mut decoder).await? else {
        return linger(stream).await;
    };
    decoder.set_frame_bytes_max(session.limits.frame_bytes_max as usize);
    let (done_sender, done) = mpsc::unbounded_channel();
    let mut stop = state.stop.subscribe();
    let mut connection = Connection {
        state: state.clone(),
        stream,
        decoder,
        codec: session.codec(),
        output: BytesMut::new(),
        input: Input::Open,
        commits: CommitQueues::default(),
        scans: Scans::default(),
        cancellables: Cancellables::default(),
        views: Views::new(state.snapshot_idle_max),
        stopping: false,
        jobs: 0,
        done,
        done_sender,
    };
    let mut stopping = Box::pin(async move {
        // An error says that the server is gone, which is the same.
        let _ = stop.wait_for(|stop| *stop).await;
    });
    let mut stopped = false;
    let failed = poll_fn(|cx| {
        if !stopped && stopping.as_mut().poll(cx).is_ready() {
            stopped = true;
            connection.stop();
        }
        connection.poll(cx)
    })
    .await?;
    if failed {
        linger(connection.stream).await
    } else {
        Ok(())
    }
}

/// Whether requests are still taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    /// The client sends no more, or the server stops: what is in flight is finished.
    Ended,
    /// The client sent what cannot be understood: as `Ended`, and the connection is closed.
    Failed,
}

/// What a worker thread did for a connection.
pub(super) struct Done {
    id: RequestId,
    outcome: Outcome,
    /// The transaction that it was done in; `None` in it: lost by a panic.
    back: Option<(RequestId, Option<Box<OpenTransaction>>)>,
}

pub(super) struct Connection {
    state: Arc<State>,
    stream: UnixStream,
    decoder: FrameDecoder,
    codec: Codec,
    /// Answers not yet written.
    output: BytesMut,
    input: Input,
    commits: CommitQueues,
    scans: Scans,
    cancellables: Cancellables,
    views: Views,
    /// The server stops.
    stopping: bool,
    /// Requests and steps of scans on worker threads.
    jobs: usize,
    /// Never longer than `jobs`.
    done: mpsc::UnboundedReceiver<Done>,
    done_sender: mpsc::UnboundedSender<Done>,
}

impl Connection {
    /// Ready when the connection is at its end; true if it failed by what the client sent.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        for _ in 0..TURNS_MAX {
            let mut progress = self.poll_done(cx);
            progress |= self.views.poll_expired(cx);
            progress |= self.commits.poll(
                cx,
                &mut Answers {
                    state: &self.state,
                    codec: &self.codec,
                    output: &mut self.output,
                },
            );
            progress |= self.poll_input(cx)?;
            progress |= self.pump_scans();
            progress |= self.pump_views();
            progress |= self.poll_output(cx)?;
            if self.input != Input::Open && self.in_flight() == 0 && self.output.is_empty() {
                let Some(error) = self.farewell() else {
                    return Poll::Ready(Ok(self.input == Input::Failed));
                };
                self.answers()
                    .respond(RequestId::CONNECTION, &Response::Error(error));
                progress = true;
            }
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes no more requests; scans end with an error, open transactions are rolled back, the rest is
    /// finished.
    fn stop(&mut self) {
        self.stopping = true;
        self.end_input(Input::Ended);
        let error = WireError::new(ErrorKind::Closed, "the server is stopping");
        for id in self.scans.end_all() {
            self.answers().respond(id, &Response::Error(error.clone()));
        }
    }

    fn end_input(&mut self, input: Input) {
        if self.input == Input::Open {
            self.input = input;
            self.views.finish();
            // Too long to be waited for.
            self.cancellables.cancel_all();
        }
    }

    fn in_flight(&self) -> usize {
        self.commits.requests() + self.scans.len() + self.jobs + self.views.queued()
    }

    fn answers(&mut self) -> Answers<'_> {
        Answers {
            state: &self.state,
            codec: &self.codec,
            output: &mut self.output,
        }
    }

    /// Whether another request may be taken without passing a limit.
    fn has_room(&self) -> bool {
        self.input == Input::Open
            && self.output.len() < OUTPUT_BYTES_MAX
            && self.commits.ops() < PENDING_OPS_MAX
            && self.jobs < JOBS_MAX
            && self.views.have_room()
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut taken = 0;
        while taken < FRAMES_PER_TURN_MAX && self.has_room() {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    taken += 1;
                    match decode_request(&frame) {
                        Ok((id, request)) => self.request(id, request),
                        Err(error) => self.refuse(&error),
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    self.refuse(&error);
                    break;
                }
            }
            let mut read = pin!(self.stream.read_buf(self.decoder.read_buffer()));
            match read.as_mut().poll(cx) {
                Poll::Ready(Ok(0)) => {
                    // Nobody is left to give a scan credit.
                    self.scans.end_all();
                    self.end_input(Input::Ended);
                    return Ok(true);
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        Ok(taken > 0)
    }

    /// Answers bytes that are no request. Most of them end the connection.
    fn refuse(&mut self, error: &DecodeError) {
        count(&self.state.counters.protocol_errors);
        let id = error.request_id.unwrap_or(RequestId::CONNECTION);
        self.answers()
            .respond(id, &Response::Error(error.to_wire_error()));
        if error.is_fatal() {
            if let Some(left_out) = self.state.protocol_log.admit(self.state.started_at) {
                warn!(left_out, "a client sent what is not the protocol: {error}");
            }
            self.fail();
        }
    }

    /// The client broke the protocol, and was told.
    fn fail(&mut self) {
        self.scans.end_all();
        self.end_input(Input::Failed);
    }

    fn request(&mut self, id: RequestId, request: Request) {
        match request {
            Request::Cancel => return self.cancel(id),
            Request::ScanCredit { bytes } => {
                if let Err(error) = self.scans.grant(id, bytes) {
                    self.scans.end(id);
                    self.answers().respond(id, &Response::Error(error));
                }
                return;
            }
            _ => count(&self.state.counters.requests),
        }
        let in_flight_max = self.state.limits.in_flight_requests_max as usize;
        if self.in_flight() >= in_flight_max {
            let message = format!("{in_flight_max} requests are in flight on this connection");
            let error = WireError::new(ErrorKind::Busy, message);
            return self.answers().respond(id, &Response::Error(error));
        }
        let request = match request {
            Request::View(request) => match request.view() {
                Some(view) => return self.in_view(view, id, request),
                None if self.opens_view(id, &request) => Request::View(request),
                None => return,
            },
            Request::HealAll { db } => return self.heal_all(id, db),
            Request::Backup(request) => return self.backup(id, request),
            request => request,
        };
        if let Request::Scan(scan) = &request
            && let Err(error) = self.begin_scan(id, scan.credit_bytes)
        {
            return self.refuse_request(id, error);
        }
        let state = self.state.clone();
        match execute::contained(&state, || execute::inline(&state.pool, request)) {
            Ok(Inline::Done(outcome)) => self.outcome(id, outcome),
            Ok(Inline::MustWait(request)) => {
                self.job(id, move |state| execute::blocking(state, request))
            }
            Err(error) => self.outcome(id, Outcome::Response(convert::failed(&error))),
        }
    }

    fn begin_scan(&mut self, id: RequestId, credit_bytes: u32) -> Result<(), WireError> {
        let most = self.state.limits.scan_credit_bytes_max;
        self.scans.begin(id, credit_bytes, most)
    }

    /// Runs `work` on a worker thread; its outcome comes by `poll_done`.
    fn job(&mut self, id: RequestId, work: impl FnOnce(&State) -> Outcome + Send + 'static) {
        self.jobs += 1;
        let state = self.state.clone();
        let done = self.done_sender.clone();
        tokio::task::spawn_blocking(move || {
            let outcome = execute::contained(&state, || work(&state))
                .unwrap_or_else(|error| Outcome::Response(convert::failed(&error)));
            // The connection may have ended; then nobody waits for the answer.
            let _ = done.send(Done {
                id,
                outcome,
                back: None,
            });
        });
    }

    fn poll_done(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while self.output.len() < OUTPUT_BYTES_MAX {
            let Poll::Ready(Some(done)) = self.done.poll_recv(cx) else {
                break;
            };
            self.jobs -= 1;
            self.cancellables.ended(done.id);
            progress = true;
            if let Some((view, open)) = done.back {
                self.views.back(view, open);
            }
            self.outcome(done.id, done.outcome);
        }
        progress
    }

    fn outcome(&mut self, id: RequestId, outcome: Outcome) {
        match outcome {
            Outcome::Response(response) => {
                self.views.failed_to_open(id);
                // A scan that failed has its answer now; one that was ended had it before.
                if self.scans.failed(id) {
                    return;
                }
                self.answers().respond(id, &response);
            }
            Outcome::Document { version, body } => self.answers().document(id, version, &body),
            Outcome::Commits { db, commits } => self.commits.push(id, db, commits),
            Outcome::Opened(open) => self.opened(id, open),
            Outcome::Chunk(scan, items) => {
                if let Some(snapshot) = scan.snapshot() {
                    self.views.touch(snapshot);
                }
                self.scans.arrived(id, scan, items);
            }
        }
    }

    /// Sends what scans have and may send, and fetches what they need next.
    fn pump_scans(&mut self) -> bool {
        let mut answers = Answers {
            state: &self.state,
            codec: &self.codec,
            output: &mut self.output,
        };
        let mut progress = self.scans.send(&mut answers);
        let views = &self.views;
        for (id, error) in self.scans.end_bound(|view| views.gone(view)) {
            progress = true;
            answers.respond(id, &Response::Error(error));
        }
        while self.jobs < JOBS_MAX {
            let views = &self.views;
            let may_go_on =
                |scan: &OpenScan| scan.transaction().is_none_or(|view| views.is_here(view));
            let Some((id, mut scan)) = self.scans.take_hungry(may_go_on) else {
                break;
            };
            progress = true;
            let transaction = scan.transaction();
            let step = move |open: Option<&mut OpenTransaction>| match scan.next(open) {
                Ok(items) => Outcome::Chunk(scan, items),
                Err(error) => Outcome::Response(convert::failed(&error)),
            };
            match transaction.and_then(|view| Some((view, self.views.take(view)?))) {
                Some((view, open)) => self.job_in(view, open, id, move |open| step(Some(open))),
                None => self.job(id, move |_| step(None)),
            }
        }
        progress
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(bytes)) => {
                    self.output.advance(bytes);
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(progress),
            }
        }
        if progress {
            if self.output.capacity() > OUTPUT_KEEP_BYTES {
                self.output = BytesMut::new();
            } else {
                self.output.clear();
            }
        }
        Ok(progress)
    }
}

/// Where answers are written.
pub(super) struct Answers<'a> {
    state: &'a State,
    codec: &'a Codec,
    output: &'a mut BytesMut,
}

impl Answers<'_> {
    pub(super) fn respond(&mut self, id: RequestId, response: &Response) {
        match response {
            Response::Error(error) => {
                count(&self.state.counters.errors);
                self.log_critical(error);
            }
            Response::BatchDone { results } => results
                .iter()
                .filter_map(|result| match result {
                    OpResult::Err(error) => Some(error),
                    _ => None,
                })
                .for_each(|error| self.log_critical(error)),
            _ => {}
        }
        if let Err(error) = self.codec.encode_response(self.output, id, response) {
            self.unsendable(id, &Error::new(error.kind(), error.to_string()));
        }
    }

    /// The client is told, but the disk and the data are the operator's.
    fn log_critical(&self, error: &WireError) {
        let kind = error.kind();
        if kind.class() == ErrorClass::Critical
            && let Some(left_out) = self.state.critical_log.admit(self.state.started_at)
        {
            let message = &error.message;
            error!(
                alert = true,
                left_out, "a request failed: {kind}: {message}"
            );
        }
    }

    fn document(&mut self, id: RequestId, version: u64, body: &[u8]) {
        if let Err(error) = self.codec.encode_document(self.output, id, version, body) {
            self.unsendable(id, &Error::new(error.kind(), error.to_string()));
        }
    }

    /// Whether more may be written before the client takes what there is.
    pub(super) fn have_room(&self) -> bool {
        self.output.len() < OUTPUT_BYTES_MAX
    }

    fn unsendable(&mut self, id: RequestId, error: &Error) {
        warn!("an answer cannot be sent: {error}");
        // Errors are short and have an id: nothing about them can fail.
        let _ = self
            .codec
            .encode_response(self.output, id, &convert::failed(error));
    }
}

/// Ends a connection that failed, so that the client can read why: it may still be sending, and a
/// close with unread bytes would discard the answer.
async fn linger(mut stream: UnixStream) -> io::Result<()> {
    stream.shutdown().await?;
    let discard = async {
        let mut discarded = 0;
        let mut buffer = vec![0; 64 << 10];
        while discarded < LINGER_BYTES_MAX {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(bytes) => discarded += bytes,
            }
        }
    };
    // Out of patience is as good an end as any.
    let _ = tokio::time::timeout(LINGER, discard).await;
    Ok(())
}
