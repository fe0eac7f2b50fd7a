//! Readers beside writers.

use std::sync::{Barrier, OnceLock};
use std::time::Duration;

use docdb_bench_peers::measure::{Clock, Failure, Latencies, Sample, processor_time, thread_time};

use super::load::{BATCH, fill};
use super::read::{Reads, choose_and_read};
use super::threads;
use super::write::Commits;
use crate::document::Documents;
use crate::rng::mix;
use crate::store::{Mode, Store};
use crate::task::Task;

/// How often a thread looks whether it may begin.
const START_POLL: Duration = Duration::from_micros(500);
/// For the threads to come to rest before they may.
const SETTLE: Duration = Duration::from_millis(20);

/// Reads of the newest state by so many threads, alone and beside threads that overwrite documents.
/// The rate that counts is the one per processor that the writing left: what was used by all but the
/// reading threads is taken off.
pub fn mixed(task: &Task, readers: usize, writers: usize) -> Result<Sample, Failure> {
    let documents = Documents::new();
    {
        let store = task.open_in(Mode::Load)?;
        fill(store.as_ref(), task, &documents, BATCH)?;
        store.settle()?;
        store.close()?;
    }
    let time = task.time()?;
    let store = task.open()?;
    let choose = |number: u64| {
        let id = task.ids.of(mix(number) % task.documents);
        (id, number as u32)
    };
    let commits = Commits::new(&documents, 1, &choose);
    // What is warmed up is not to look like what the writers do to the readers.
    phase(task, store.as_ref(), &commits, (readers, 0), time / 2)?;
    let alone = phase(task, store.as_ref(), &commits, (readers, 0), time)?;
    let mixed = phase(task, store.as_ref(), &commits, (readers, writers), time)?;
    let mut sample = mixed.sample;
    let figure = |name: &str| alone.sample.figure(name).unwrap_or(f64::NAN);
    sample.set(
        "read_share",
        mixed.rate_per_processor / alone.rate_per_processor,
    );
    sample.set("rate_alone", figure("rate"));
    sample.set("p99_alone_us", figure("micros_p99"));
    sample.set("writes_per_second", mixed.writes_per_second);
    Ok(sample)
}

struct Phase {
    sample: Sample,
    rate_per_processor: f64,
    writes_per_second: f64,
}

/// What one thread did.
enum Done {
    Reads(Reads, Duration),
    Writes(u64),
}

fn phase(
    task: &Task,
    store: &dyn Store,
    commits: &Commits<'_>,
    (readers, writers): (usize, usize),
    time: Duration,
) -> Result<Phase, Failure> {
    // Nobody begins before everybody is there, and the clock starts before anybody begins: to start so
    // many threads, and to open what some stores need for each of them, takes a while. A barrier lets
    // them go one by one, and those let go first would keep the processors from the rest: they sleep.
    let ready = Barrier::new(readers + writers + 1);
    let began: OnceLock<(Clock, Duration)> = OnceLock::new();
    let wanted = || began.get().is_some_and(|(clock, _)| clock.elapsed() < time);
    let work = |thread: usize| {
        let reader = (thread < readers).then(|| store.reader());
        ready.wait();
        while began.get().is_none() {
            std::thread::sleep(START_POLL);
        }
        let Some(reader) = reader else {
            return Ok(Done::Writes(commits.run(store, &wanted)?.count()));
        };
        let (mut reader, processor_began) = (reader?, thread_time());
        let reads = choose_and_read(task, thread, &wanted, &mut |number, body| {
            reader.renew()?;
            reader.read(task.ids.of(number), body)
        })?;
        let processor = thread_time().saturating_sub(processor_began);
        Ok(Done::Reads(reads, processor))
    };
    let meanwhile = || {
        ready.wait();
        std::thread::sleep(SETTLE);
        began.get_or_init(|| (Clock::start(), processor_time()));
        Ok(())
    };
    let done = threads::run(readers + writers, work, meanwhile)?;
    let (clock, processor_began) = began.into_inner().ok_or("the clock was not started")?;
    let elapsed = clock.elapsed().as_secs_f64();
    let processor = processor_time().saturating_sub(processor_began);
    let (mut all, mut reads, mut writes) = (Latencies::default(), 0, 0);
    let mut reading = Duration::ZERO;
    for done in done {
        match done {
            Done::Reads(one, time) => {
                all.merge(one.latencies);
                reads += one.count;
                reading += time;
            }
            Done::Writes(count) => writes += count,
        }
    }
    let processors = std::thread::available_parallelism()?.get() as f64;
    let others = processor.saturating_sub(reading).as_secs_f64() / elapsed;
    let left = (processors - others).max(f64::EPSILON);
    Ok(Phase {
        rate_per_processor: reads as f64 / elapsed / left,
        writes_per_second: writes as f64 / elapsed,
        sample: clock.stop(reads).with_latencies(all),
    })
}
