//! Commits of new documents.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use docdb_bench_peers::measure::{Clock, Failure, Latencies, Sample};

use super::threads;
use crate::document::Documents;
use crate::store::{Entry, Mode, Store};
use crate::task::Task;

/// Commits that do not wait for the device are timed so many together.
const BURST: u64 = 64;

/// Which documents a thread commits next.
pub type Choose<'a> = &'a (dyn Fn(u64) -> (u64, u32) + Sync);

/// Commits of `batch` documents each, on so many threads, as long as it is wanted.
pub struct Commits<'a> {
    pub documents: &'a Documents,
    pub batch: usize,
    /// Gives the id and the revision of the document with this number.
    pub choose: Choose<'a>,
    pub next: AtomicU64,
    pub burst: u64,
}

impl<'a> Commits<'a> {
    pub fn new(documents: &'a Documents, batch: usize, choose: Choose<'a>) -> Commits<'a> {
        Commits {
            documents,
            batch,
            choose,
            next: AtomicU64::new(0),
            burst: 1,
        }
    }

    /// What one thread does.
    pub fn run(&self, store: &dyn Store, wanted: &dyn Fn() -> bool) -> Result<Latencies, Failure> {
        self.run_noting(store, wanted, &mut || 0, &mut |_, _| ())
    }

    /// The same, and tells after every commit what `before` gave before it, and when it began.
    pub fn run_noting(
        &self,
        store: &dyn Store,
        wanted: &dyn Fn() -> bool,
        before: &mut dyn FnMut() -> u64,
        after: &mut dyn FnMut(u64, Instant),
    ) -> Result<Latencies, Failure> {
        let mut writer = store.writer()?;
        let mut entries = vec![Entry::default(); self.batch];
        let mut latencies = Latencies::default();
        while wanted() {
            let noted = before();
            let start = Instant::now();
            for _ in 0..self.burst {
                let first = self.next.fetch_add(self.batch as u64, Ordering::Relaxed);
                for (number, entry) in (first..).zip(&mut entries) {
                    let (id, revision) = (self.choose)(number);
                    entry.id = id;
                    self.documents.write(id, revision, &mut entry.body);
                }
                writer.commit(&entries)?;
            }
            latencies.note_burst(start, self.burst);
            after(noted, start);
        }
        Ok(latencies)
    }
}

pub fn blocking(task: &Task, count: usize, batch: usize) -> Result<Sample, Failure> {
    let documents = Documents::new();
    let choose = |number: u64| (task.ids.of(number), 0);
    let mut commits = Commits::new(&documents, batch, &choose);
    if count == 1 && matches!(task.mode, Mode::Os | Mode::Memory) {
        commits.burst = BURST;
    }
    let time = task.time()?;
    let store = task.open()?;
    let store = store.as_ref();
    let clock = Clock::start();
    let work = |_| commits.run(store, &|| clock.elapsed() < time);
    let mut all = Latencies::default();
    for latencies in threads::run(count, work, || Ok(()))? {
        all.merge(latencies);
    }
    let operations = all.count() * commits.burst;
    let mut sample = clock.stop(operations).with_latencies(all);
    sample.set("commit_documents", batch);
    store.tell_writing(&mut sample);
    Ok(sample)
}

/// One task with so many commits in flight, which it awaits in their order.
pub fn awaited(task: &Task, in_flight: usize) -> Result<Sample, Failure> {
    let documents = Documents::new();
    let time = task.time()?;
    let store = task.open()?;
    let awaiter = store.awaiter().ok_or("its commits cannot be awaited")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut latencies = Latencies::default();
    let mut tickets = VecDeque::with_capacity(in_flight);
    let mut entry = Entry::default();
    let mut number = 0;
    let clock = Clock::start();
    runtime.block_on(async {
        loop {
            while tickets.len() < in_flight && clock.elapsed() < time {
                entry.id = task.ids.of(number);
                documents.write(entry.id, 0, &mut entry.body);
                number += 1;
                tickets.push_back((Instant::now(), awaiter.submit(&entry)));
            }
            let Some((start, ticket)) = tickets.pop_front() else {
                return Ok::<_, Failure>(());
            };
            ticket.await?;
            latencies.note(start);
        }
    })?;
    Ok(clock.stop(latencies.count()).with_latencies(latencies))
}
