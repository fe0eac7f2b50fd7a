//! Documents are overwritten, and the room that takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use docdb_bench_peers::measure::{Clock, Failure, Latencies, Sample};

use super::load::{BATCH, fill};
use crate::disk::Usage;
use crate::document::Documents;
use crate::rng::Rng;
use crate::store::{Entry, Mode, Store};
use crate::task::Task;

/// How often the directory is measured, at most.
const DISK_EVERY: Duration = Duration::from_millis(50);
/// A store is at rest when its files have not changed for so long.
const REST: Duration = Duration::from_secs(3);
/// And is waited for no longer than this.
const REST_MAX: Duration = Duration::from_secs(60);

pub fn overwrite(task: &Task, writes: u64, seconds_max: f64) -> Result<Sample, Failure> {
    let documents = Documents::new();
    {
        let store = task.open_in(Mode::Load)?;
        fill(store.as_ref(), task, &documents, BATCH)?;
        store.settle()?;
        store.close()?;
    }
    let store = task.open()?;
    let mut revisions = vec![0; usize::try_from(task.documents)?];
    let over = AtomicBool::new(false);
    let (mut sample, peak) = std::thread::scope(|scope| {
        let peak = scope.spawn(|| watch(task, &over));
        let sample = run(
            task,
            store.as_ref(),
            &documents,
            &mut revisions,
            (writes, seconds_max),
        );
        over.store(true, Ordering::Relaxed);
        let peak = peak
            .join()
            .map_err(|_| "the watcher of the disk panicked")?;
        Ok::<_, Failure>((sample?, peak?))
    })?;
    let began = Instant::now();
    store.settle()?;
    sample.set("settle_seconds", began.elapsed().as_secs_f64());
    let settled = rest(task)?;
    sample.set("rest_seconds", began.elapsed().as_secs_f64());
    let live: u64 = (0..task.documents)
        .zip(&revisions)
        .map(|(number, revision)| documents.bytes(task.ids.of(number), *revision))
        .sum();
    store.tell_writing(&mut sample);
    let to_live = |bytes: u64| bytes as f64 / live as f64;
    sample.set("disk_running", to_live(peak.data));
    sample.set("disk_settled", to_live(settled.data));
    sample.set("disk_running_all", to_live(peak.both));
    sample.set("disk_settled_all", to_live(settled.all()));
    sample.set("log_mib_running", (peak.log >> 20) as f64);
    Ok(sample)
}

fn run(
    task: &Task,
    store: &dyn Store,
    documents: &Documents,
    revisions: &mut [u32],
    (writes, seconds_max): (u64, f64),
) -> Result<Sample, Failure> {
    let time_max = Duration::try_from_secs_f64(seconds_max)?;
    let mut rng = Rng::new(task.documents);
    let mut writer = store.writer()?;
    let mut entry = [Entry::default()];
    let mut latencies = Latencies::default();
    let clock = Clock::start();
    while latencies.count() < writes && clock.elapsed() < time_max {
        let number = rng.below(task.documents);
        let revision = &mut revisions[number as usize];
        *revision += 1;
        entry[0].id = task.ids.of(number);
        documents.write(entry[0].id, *revision, &mut entry[0].body);
        let start = Instant::now();
        writer.commit(&entry)?;
        latencies.note(start);
    }
    Ok(clock.stop(latencies.count()).with_latencies(latencies))
}

/// The most that was seen, of each by itself.
#[derive(Debug, Default)]
struct Peak {
    data: u64,
    log: u64,
    both: u64,
}

/// Waits until the work that a store does of itself in the background changes nothing any more.
fn rest(task: &Task) -> Result<Usage, Failure> {
    let began = Instant::now();
    let mut usage = Usage::of(&task.dir)?;
    let mut since = Instant::now();
    while since.elapsed() < REST && began.elapsed() < REST_MAX {
        std::thread::sleep(DISK_EVERY);
        let now = Usage::of(&task.dir)?;
        if now != usage {
            (usage, since) = (now, Instant::now());
        }
    }
    Ok(usage)
}

fn watch(task: &Task, over: &AtomicBool) -> Result<Peak, Failure> {
    let mut peak = Peak::default();
    loop {
        let is_last = over.load(Ordering::Relaxed);
        let now = Usage::of(&task.dir)?;
        peak.data = peak.data.max(now.data);
        peak.log = peak.log.max(now.log);
        peak.both = peak.both.max(now.all());
        if is_last {
            return Ok(peak);
        }
        std::thread::sleep(DISK_EVERY);
    }
}
