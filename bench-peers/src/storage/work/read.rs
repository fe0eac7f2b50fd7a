//! Documents are read.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use docdb_bench_peers::measure::{Clock, Failure, Latencies, Sample};

use super::threads;
use crate::document::{Documents, names};
use crate::rng::Rng;
use crate::store::{Reader, digest};
use crate::task::Task;

/// One read of so many is timed: the clock takes as long as a good part of a read.
const TIMED_EVERY: u64 = 16;

/// What one thread reads.
pub struct Reads {
    pub latencies: Latencies,
    pub count: u64,
}

/// Reads the document with this number.
type ReadNumber<'a> = dyn FnMut(u64, &mut Vec<u8>) -> Result<bool, Failure> + 'a;

/// Reads documents chosen at random.
pub fn choose_and_read(
    task: &Task,
    thread: usize,
    wanted: &dyn Fn() -> bool,
    read: &mut ReadNumber<'_>,
) -> Result<Reads, Failure> {
    let mut rng = Rng::new(thread as u64);
    let mut body = Vec::new();
    let mut reads = Reads {
        latencies: Latencies::default(),
        count: 0,
    };
    while wanted() {
        for turn in 0..TIMED_EVERY {
            let number = rng.below(task.documents);
            let id = task.ids.of(number);
            body.clear();
            let start = (turn == 0).then(Instant::now);
            if !read(number, &mut body)? {
                return Err(format!("the document {id} is missing").into());
            }
            if let Some(start) = start {
                reads.latencies.note(start);
            }
            if !names(id, &body) {
                return Err(format!("another document was read under id {id}").into());
            }
            reads.count += 1;
        }
    }
    Ok(reads)
}

/// Puts the files of the store into the page cache.
pub fn warm(dir: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => warm(&entry.path())?,
            false => {
                io::copy(&mut File::open(entry.path())?, &mut io::sink())?;
            }
        }
    }
    Ok(())
}

/// Threads that read at random; the clock starts after they have read for half of that time.
pub fn random(task: &Task, count: usize) -> Result<Sample, Failure> {
    warm(&task.dir)?;
    let store = task.open()?;
    let store = store.as_ref();
    measured(task, count, |thread, wanted| {
        let mut reader = store.reader()?;
        choose_and_read(task, thread, wanted, &mut |number, body| {
            reader.read(task.ids.of(number), body)
        })
    })
}

/// What a thread with this number does as long as it is wanted.
type Work<'a> = dyn Fn(usize, &dyn Fn() -> bool) -> Result<Reads, Failure> + Sync + 'a;

pub fn measured(
    task: &Task,
    count: usize,
    work: impl Fn(usize, &dyn Fn() -> bool) -> Result<Reads, Failure> + Sync,
) -> Result<Sample, Failure> {
    let time = task.time()?;
    timed(count, time / 2, &work)?;
    timed(count, time, &work)
}

fn timed(count: usize, time: Duration, work: &Work<'_>) -> Result<Sample, Failure> {
    let clock = Clock::start();
    let each = |thread| work(thread, &|| clock.elapsed() < time);
    let (mut all, mut reads) = (Latencies::default(), 0);
    for one in threads::run(count, each, || Ok(()))? {
        all.merge(one.latencies);
        reads += one.count;
    }
    Ok(clock.stop(reads).with_latencies(all))
}

/// Reads everything and says whether it is all there and right.
pub fn scan(task: &Task) -> Result<Sample, Failure> {
    warm(&task.dir)?;
    let store = task.open()?;
    let mut reader = store.reader()?;
    let (clock, seen) = scan_all(reader.as_mut())?;
    let sample = clock.stop(seen.count).with_bytes(seen.bytes);
    seen.check(&Seen::expected(task))?;
    Ok(sample)
}

/// What a scan has met.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub count: u64,
    pub bytes: u64,
    digest: u64,
}

impl Seen {
    pub fn note(&mut self, body: &[u8]) {
        self.count += 1;
        self.bytes += body.len() as u64;
        self.digest = self.digest.wrapping_add(digest(body));
    }

    pub fn expected(task: &Task) -> Seen {
        let documents = Documents::new();
        let mut body = Vec::new();
        let mut seen = Seen::default();
        for number in 0..task.documents {
            documents.write(task.ids.of(number), 0, &mut body);
            seen.note(&body);
        }
        seen
    }

    pub fn check(&self, expected: &Seen) -> Result<(), Failure> {
        match self == expected {
            true => Ok(()),
            false => Err(format!("a scan saw {self:?} instead of {expected:?}").into()),
        }
    }
}

pub fn scan_all(reader: &mut dyn Reader) -> Result<(Clock, Seen), Failure> {
    let mut seen = Seen::default();
    let clock = Clock::start();
    reader.scan(&mut |body| seen.note(body))?;
    Ok((clock, seen))
}
