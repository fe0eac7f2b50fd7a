//! One connection: requests are queued, written together, and answered as they complete.
//!
//! Ids are never used twice and an entry stays in `pending` until its answer has come, also when
//! nobody waits for it any more. So an answer can only reach the call that asked.

mod tasks;
mod view;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use docdb_ipc::{
    Codec, CreditWindow, FrameDecoder, Limits, Request, RequestId, Response, Scan, ViewRequest,
};
use docdb_types::ErrorKind;
use docdb_types::limits::FRAME_BYTES_MAX;
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub(crate) use self::view::ViewGuard;
use crate::error::Stage;
use crate::{Error, Result};

/// Most bytes of requests that wait for the socket; further requests wait for their turn. The
/// largest frame fits once.
const QUEUE_BYTES_MAX: usize = 64 << 20;
const _: () = assert!(QUEUE_BYTES_MAX > FRAME_BYTES_MAX);
/// Most requests that may be in flight whatever a server allows.
const IN_FLIGHT_MAX: u32 = 65_536;

/// A live connection and its two tasks, which end with it.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// Never held across an await.
    state: Mutex<State>,
    lost: AtomicBool,
    wake_writer: Notify,
    in_flight: Arc<Semaphore>,
    queue_bytes: Arc<Semaphore>,
    next_id: AtomicU64,
    codec: Codec,
    limits: Limits,
    /// The feature bits that both sides use.
    features: u64,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Queued>,
    pending: HashMap<u64, Pending>,
    lost: Option<Error>,
}

/// A frame that waits to be written.
#[derive(Debug)]
struct Queued {
    id: u64,
    frame: Bytes,
    /// Cancel and credit frames have none: they are few for each request in flight.
    _room: Option<OwnedSemaphorePermit>,
}

/// A request whose answer has not come.
#[derive(Debug)]
struct Pending {
    /// Whether its frame was handed to the writer: from then on the server may have seen it.
    sent: bool,
    read_only: bool,
    reply: Reply,
    /// The request counts as in flight until its answer has come, as it does for the server.
    _slot: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Reply {
    One(oneshot::Sender<Result<Response>>),
    /// Bounded by the credit, to which the server is held.
    Stream {
        sender: mpsc::UnboundedSender<Result<Response>>,
        credit: CreditWindow,
    },
    /// The caller is gone; the answer will be discarded.
    Nobody,
}

impl Reply {
    /// Hands out the last answer.
    fn finish(self, result: Result<Response>) {
        // A receiver that is gone has lost interest.
        match self {
            Reply::One(sender) => drop(sender.send(result)),
            Reply::Stream { sender, .. } => drop(sender.send(result)),
            Reply::Nobody => {}
        }
    }

    /// Hands out one of many answers. False if the server had no right to send it.
    fn push(&mut self, response: Response) -> bool {
        match (self, &response) {
            (Reply::Nobody, _) => true,
            (Reply::Stream { sender, credit }, Response::ScanItems(items)) => {
                for item in items {
                    if !credit.is_open() {
                        return false;
                    }
                    credit.charge(item.body.len());
                }
                drop(sender.send(Ok(response)));
                true
            }
            _ => false,
        }
    }
}

impl Connection {
    /// Starts the tasks of a connection whose hello was answered with these limits and features. The decoder may
    /// hold what came after that answer.
    pub(crate) fn start(
        stream: UnixStream,
        decoder: FrameDecoder,
        limits: Limits,
        features: u64,
    ) -> Connection {
        let in_flight = limits.in_flight_requests_max.clamp(1, IN_FLIGHT_MAX) as usize;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            lost: AtomicBool::new(false),
            wake_writer: Notify::new(),
            in_flight: Arc::new(Semaphore::new(in_flight)),
            queue_bytes: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            next_id: AtomicU64::new(1),
            codec: Codec::new(limits.frame_bytes_max as usize),
            limits,
            features,
        });
        let (read, write) = stream.into_split();
        let reader = tokio::spawn(tasks::read(Arc::clone(&shared), read, decoder));
        let writer = tokio::spawn(tasks::write(Arc::clone(&shared), write));
        Connection {
            shared,
            tasks: [reader.abort_handle(), writer.abort_handle()],
        }
    }

    /// Whether it broke.
    pub(crate) fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Acquire)
    }

    /// Sends a request and waits for its one answer, until the deadline. Dropping the future gives
    /// the request up; its answer goes to nobody.
    pub(crate) async fn call(
        &self,
        request: &Request,
        deadline: Option<Instant>,
    ) -> Result<Response> {
        let (sender, receiver) = oneshot::channel();
        let in_flight = self.send(request, Reply::One(sender), deadline).await?;
        answer(in_flight, receiver, request, deadline).await
    }

    /// Whether the server knows the request.
    pub(crate) fn knows(&self, request: &Request) -> bool {
        request.features() & !self.shared.features == 0
    }

    /// What the server told of its limits.
    pub(crate) fn limits(&self) -> Limits {
        self.shared.limits
    }

    /// The protocol's features that both sides use.
    pub(crate) fn features(&self) -> u64 {
        self.shared.features
    }

    /// Starts a scan, in a view if it has one. Its credit is cut to what the server allows. Dropping
    /// what is returned gives the scan up.
    pub(crate) async fn open_scan(
        &self,
        mut scan: Scan,
        view: Option<RequestId>,
        deadline: Option<Instant>,
    ) -> Result<ScanStream> {
        let credit_bytes_max = self.shared.limits.scan_credit_bytes_max;
        scan.credit_bytes = scan.credit_bytes.min(credit_bytes_max);
        let credit_bytes = scan.credit_bytes;
        let credit = CreditWindow::new(credit_bytes, credit_bytes_max)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let (sender, answers) = mpsc::unbounded_channel();
        let reply = Reply::Stream { sender, credit };
        let request = match view {
            None => Request::Scan(scan),
            Some(view) => Request::View(ViewRequest::Scan { view, scan }),
        };
        let in_flight = self.send(&request, reply, deadline).await?;
        Ok(ScanStream {
            in_flight,
            answers,
            credit_bytes,
        })
    }

    async fn send(
        &self,
        request: &Request,
        reply: Reply,
        deadline: Option<Instant>,
    ) -> Result<InFlight> {
        let shared = &self.shared;
        let slot = until(deadline, Arc::clone(&shared.in_flight).acquire_owned())
            .await
            .ok_or_else(|| timeout().at(Stage::Unsent))?
            .map_err(|_| shared.lost_unsent())?;
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let mut frame = BytesMut::new();
        shared
            .codec
            .encode_request(&mut frame, RequestId(id), request)?;
        // A frame has at most FRAME_BYTES_MAX bytes, which a u32 holds.
        let room = until(
            deadline,
            Arc::clone(&shared.queue_bytes).acquire_many_owned(frame.len() as u32),
        )
        .await
        .ok_or_else(|| timeout().at(Stage::Unsent))?
        .map_err(|_| shared.lost_unsent())?;

        let mut state = shared.state();
        if let Some(error) = &state.lost {
            return Err(error.clone().at(Stage::LostUnsent));
        }
        let read_only = request.is_read_only();
        state.pending.insert(
            id,
            Pending {
                sent: false,
                read_only,
                reply,
                _slot: slot,
            },
        );
        state.queue.push_back(Queued {
            id,
            frame: frame.freeze(),
            _room: Some(room),
        });
        drop(state);
        shared.wake_writer.notify_one();
        Ok(InFlight {
            shared: Arc::clone(shared),
            id,
            answered: false,
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared
            .lose(Error::new(ErrorKind::Closed, "the client was closed"));
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A request that somebody waits for; dropped before its answer, it is given up.
#[derive(Debug)]
pub(crate) struct InFlight {
    shared: Arc<Shared>,
    id: u64,
    answered: bool,
}

impl InFlight {
    fn done(mut self) {
        self.answered = true;
    }

    /// Stops waiting. Says whether the server may have seen the request.
    fn give_up(mut self) -> Stage {
        self.answered = true;
        self.shared.give_up(self.id)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.give_up(self.id);
        }
    }
}

/// Waits for the one answer of a request that was sent.
async fn answer(
    in_flight: InFlight,
    receiver: oneshot::Receiver<Result<Response>>,
    request: &Request,
    deadline: Option<Instant>,
) -> Result<Response> {
    match until(deadline, receiver).await {
        Some(answer) => {
            in_flight.done();
            match answer.unwrap_or_else(|_| Err(lost_error("the connection is gone", true)))? {
                Response::Error(error) => Err(error.into()),
                response => Ok(response),
            }
        }
        None => match in_flight.give_up() {
            Stage::Unsent => Err(timeout().at(Stage::Unsent)),
            _ if request.is_read_only() => Err(timeout()),
            _ => Err(Error::new(
                ErrorKind::OutcomeUnknown,
                "the request was sent, and no answer came in time",
            )),
        },
    }
}

/// The answers to one scan, in order.
#[derive(Debug)]
pub(crate) struct ScanStream {
    in_flight: InFlight,
    answers: mpsc::UnboundedReceiver<Result<Response>>,
    credit_bytes: u32,
}

impl ScanStream {
    /// The next answer, until the deadline. After the last one, or an error, there are no more.
    pub(crate) async fn next(&mut self, deadline: Option<Instant>) -> Result<Response> {
        let Some(answer) = until(deadline, self.answers.recv()).await else {
            return Err(timeout());
        };
        let response = match answer {
            Some(Ok(response)) => response,
            Some(Err(error)) => {
                self.in_flight.answered = true;
                return Err(error);
            }
            None => return Err(lost_error("the connection is gone", true)),
        };
        self.in_flight.answered |= response.is_final();
        match response {
            Response::Error(error) => Err(error.into()),
            response => Ok(response),
        }
    }

    /// The first credit, in bytes: the most that may be on its way and unread.
    pub(crate) fn credit_bytes(&self) -> u32 {
        self.credit_bytes
    }

    /// Lets the server send so many more bytes.
    pub(crate) fn add_credit(&self, bytes: u32) {
        self.in_flight.shared.add_credit(self.in_flight.id, bytes);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost_unsent(&self) -> Error {
        match &self.state().lost {
            Some(error) => error.clone().at(Stage::LostUnsent),
            None => lost_error("the connection is gone", false),
        }
    }

    /// Takes the request back if it was not sent, else asks the server to stop.
    fn give_up(&self, id: u64) -> Stage {
        let mut state = self.state();
        let Some(pending) = state.pending.get_mut(&id) else {
            return Stage::Sent;
        };
        if pending.sent {
            pending.reply = Reply::Nobody;
            drop(state);
            self.send_control(id, &Request::Cancel);
            Stage::Sent
        } else {
            state.pending.remove(&id);
            state.queue.retain(|queued| queued.id != id);
            Stage::Unsent
        }
    }

    fn add_credit(&self, id: u64, bytes: u32) {
        let mut state = self.state();
        let Some(Pending {
            reply: Reply::Stream { credit, .. },
            ..
        }) = state.pending.get_mut(&id)
        else {
            return;
        };
        if credit.grant(bytes).is_ok() {
            drop(state);
            self.send_control(id, &Request::ScanCredit { bytes });
        }
    }

    /// Queues a frame about a request in flight; it has no answer of its own.
    fn send_control(&self, id: u64, request: &Request) {
        let mut frame = BytesMut::new();
        let encoded = self
            .codec
            .encode_request(&mut frame, RequestId(id), request);
        debug_assert!(encoded.is_ok(), "a control frame always fits");
        let mut state = self.state();
        if encoded.is_ok() && state.lost.is_none() && state.pending.contains_key(&id) {
            state.queue.push_back(Queued {
                id,
                frame: frame.freeze(),
                _room: None,
            });
            drop(state);
            self.wake_writer.notify_one();
        }
    }

    /// Ends the connection: everyone who waits is told, once.
    fn lose(&self, error: Error) {
        let mut state = self.state();
        if state.lost.is_some() {
            return;
        }
        state.lost = Some(error.clone());
        let pending = std::mem::take(&mut state.pending);
        state.queue.clear();
        drop(state);
        self.lost.store(true, Ordering::Release);
        self.in_flight.close();
        self.queue_bytes.close();
        self.wake_writer.notify_one();
        for request in pending.into_values() {
            let error = match (request.sent, request.read_only) {
                (false, _) => error.clone().at(Stage::LostUnsent),
                (true, true) => error.clone().at(Stage::LostSent),
                (true, false) => {
                    let message = format!("the request was sent, then: {}", error.message());
                    Error::new(ErrorKind::OutcomeUnknown, message).with_source(error.clone())
                }
            };
            request.reply.finish(Err(error));
        }
    }
}

/// The future's output, or `None` at the deadline.
pub(crate) async fn until<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

fn timeout() -> Error {
    Error::new(ErrorKind::Timeout, "no answer came in time")
}

fn lost_error(message: &str, sent: bool) -> Error {
    let stage = if sent {
        Stage::LostSent
    } else {
        Stage::LostUnsent
    };
    Error::new(ErrorKind::Closed, message).at(stage)
}
