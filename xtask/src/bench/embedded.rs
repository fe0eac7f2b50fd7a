//! The log alone and the engine, in this process.

use std::collections::VecDeque;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use docdb_engine::{DEFAULT_COLLECTION, Db, WriteOp};
use docdb_wal::vfs::{RealVfs, Vfs};
use docdb_wal::{ThreadDriver, Wal, WalOptions};

use super::DOCUMENT_BYTES;
use super::sample::{Latencies, Sample, document};

/// The kind of the log's records; the log does not look at it.
const RECORD_KIND: u16 = 1;

/// What went wrong on a thread of its own.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// Something that makes one document durable.
pub(super) trait Target: Send + Sync {
    type Ticket: Future<Output = Result<(), Failure>> + Unpin;

    /// Submits one document under a new id.
    fn submit(&self, id: u64, document: &str) -> Result<Self::Ticket, Failure>;

    /// Submits one document and blocks until it is durable.
    fn write(&self, id: u64, document: &str) -> Result<(), Failure>;

    fn is_settled(ticket: &Self::Ticket) -> bool;
}

/// A ticket whose answer carries nothing.
pub(super) struct Ticket<T>(T);

impl<T, A, E> Future for Ticket<T>
where
    T: Future<Output = Result<A, E>> + Unpin,
    E: Error + Send + Sync + 'static,
{
    type Output = Result<(), Failure>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0)
            .poll(cx)
            .map(|answer| match answer {
                Ok(_) => Ok(()),
                Err(e) => Err(e.into()),
            })
    }
}

impl Target for Wal {
    type Ticket = Ticket<docdb_wal::CommitTicket>;

    fn submit(&self, _: u64, document: &str) -> Result<Self::Ticket, Failure> {
        Ok(Ticket(self.append(RECORD_KIND, document.as_bytes())?))
    }

    fn write(&self, _: u64, document: &str) -> Result<(), Failure> {
        Ok(self.append(RECORD_KIND, document.as_bytes())?.wait()?)
    }

    fn is_settled(ticket: &Self::Ticket) -> bool {
        ticket.0.is_durable()
    }
}

impl Target for Db {
    type Ticket = Ticket<docdb_engine::CommitTicket>;

    fn submit(&self, id: u64, document: &str) -> Result<Self::Ticket, Failure> {
        let op = WriteOp::create(DEFAULT_COLLECTION, id, document.as_bytes());
        Ok(Ticket(Db::submit(self, &[op])))
    }

    fn write(&self, id: u64, document: &str) -> Result<(), Failure> {
        let op = WriteOp::create(DEFAULT_COLLECTION, id, document.as_bytes());
        Db::submit(self, &[op]).wait()?;
        Ok(())
    }

    fn is_settled(ticket: &Self::Ticket) -> bool {
        ticket.0.is_settled()
    }
}

/// A new log in `dir`, which must be missing.
pub(super) fn new_wal(dir: &Path) -> Result<Wal, Box<dyn Error>> {
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new());
    vfs.create_dir(dir)?;
    Ok(Wal::create(
        vfs,
        dir,
        WalOptions::default(),
        Arc::new(ThreadDriver::start()?),
    )?)
}

/// A new database in `dir`, which must be missing, opened as an application would.
pub(super) fn new_db(dir: &Path) -> Result<Db, Box<dyn Error>> {
    Ok(Db::open(dir)?)
}

/// Threads that each write one document after the other and block until it is durable.
pub(super) fn blocking<T: Target>(
    target: &T,
    threads: usize,
    time: Duration,
) -> Result<Sample, Failure> {
    let next_id = AtomicU64::new(1);
    let began = Instant::now();
    let mut all = Latencies::default();
    let mut first_error = None;
    std::thread::scope(|scope| {
        let work = || {
            let mut latencies = Latencies::default();
            while began.elapsed() < time {
                let id = next_id.fetch_add(1, Ordering::Relaxed);
                let text = document(id, DOCUMENT_BYTES);
                let start = Instant::now();
                target.write(id, &text)?;
                latencies.note(start);
            }
            Ok::<_, Failure>(latencies)
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            match handle.join() {
                Ok(Ok(latencies)) => all.merge(latencies),
                Ok(Err(e)) => first_error = Some(e),
                Err(_) => first_error = Some("a writing thread panicked".into()),
            }
        }
    });
    match first_error {
        Some(e) => Err(e),
        None => Ok(all.sample(began.elapsed())),
    }
}

/// One thread with many commits in flight, each awaited in its turn.
pub(super) fn awaited<T: Target>(
    target: &T,
    in_flight: usize,
    time: Duration,
) -> Result<Sample, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let mut latencies = Latencies::default();
        let mut tickets = VecDeque::with_capacity(in_flight);
        let began = Instant::now();
        let mut id = 0;
        loop {
            let running = began.elapsed() < time;
            while running && tickets.len() < in_flight {
                id += 1;
                let text = document(id, DOCUMENT_BYTES);
                tickets.push_back((Instant::now(), target.submit(id, &text)?));
            }
            let Some((start, ticket)) = tickets.pop_front() else {
                break;
            };
            ticket.await?;
            latencies.note(start);
            while tickets
                .front()
                .is_some_and(|(_, ticket)| T::is_settled(ticket))
            {
                if let Some((start, ticket)) = tickets.pop_front() {
                    ticket.await?;
                    latencies.note(start);
                }
            }
        }
        Ok(latencies.sample(began.elapsed()))
    })
}
