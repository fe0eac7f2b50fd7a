//! What commits notice of the work in the background.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use docdb_bench_peers::measure::{Clock, Failure, Latencies, Sample};

use super::load::{BATCH, fill};
use super::threads;
use super::write::Commits;
use crate::document::Documents;
use crate::rng::mix;
use crate::store::{Mode, Store};
use crate::task::Task;

/// A checkpoint begins when so many documents have been committed since the last one: a fifth to a
/// tenth of what makes the store begin one of itself, so that there are several in a short run.
const COMMITS_PER_CHECKPOINT: u64 = 20_000;
const POLL: Duration = Duration::from_millis(1);

/// Overwrites documents for a time without any work in the background, then for the same time with
/// checkpoints, and with the merges and compactions that follow from them. What counts is the commits
/// that met a checkpoint on their way; the figures of all of the second time stand beside.
pub fn disturbed(task: &Task, count: usize) -> Result<Sample, Failure> {
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
    let mut quiet = phase(store.as_ref(), &commits, count, time, false)?;
    store.settle()?;
    let mut busy = phase(store.as_ref(), &commits, count, time, true)?;
    let mut sample = busy.sample;
    let p99 = |latencies: &mut Latencies| latencies.micros(0.99).unwrap_or(f64::NAN);
    let (met, all) = (p99(&mut busy.met), p99(&mut busy.all));
    let before = p99(&mut quiet.all);
    sample.set("p99_ratio", met / before);
    sample.set("p99_ratio_all", all / before);
    sample.set("p99_quiet_us", before);
    sample.set("p99_met_us", met);
    sample.set("p99_all_us", all);
    sample.set("met", busy.met.count());
    sample.set(
        "rate_quiet",
        quiet.sample.figure("rate").unwrap_or(f64::NAN),
    );
    sample.set("checkpoints", busy.checkpoints);
    Ok(sample)
}

struct Phase {
    sample: Sample,
    all: Latencies,
    /// Those that met a checkpoint.
    met: Latencies,
    checkpoints: u64,
}

/// Odd while a checkpoint is under way.
struct Checkpoints(AtomicU64);

impl Checkpoints {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn phase(
    store: &dyn Store,
    commits: &Commits<'_>,
    count: usize,
    time: Duration,
    disturb: bool,
) -> Result<Phase, Failure> {
    let clock = Clock::start();
    let wanted = || clock.elapsed() < time;
    let checkpoints = Checkpoints(AtomicU64::new(0));
    let meanwhile = || {
        let mut next = commits.next.load(Ordering::Relaxed) + COMMITS_PER_CHECKPOINT;
        while disturb && wanted() {
            if commits.next.load(Ordering::Relaxed) < next {
                std::thread::sleep(POLL);
                continue;
            }
            next += COMMITS_PER_CHECKPOINT;
            checkpoints.0.fetch_add(1, Ordering::Relaxed);
            store.maintain()?;
            checkpoints.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let work = |_| {
        let mut met = Latencies::default();
        let all = commits.run_noting(
            store,
            &wanted,
            &mut || checkpoints.now(),
            &mut |before, start| {
                if before % 2 == 1 || checkpoints.now() != before {
                    met.note(start);
                }
            },
        )?;
        Ok((all, met))
    };
    let (mut all, mut met) = (Latencies::default(), Latencies::default());
    for (one, one_met) in threads::run(count, work, meanwhile)? {
        all.merge(one);
        met.merge(one_met);
    }
    Ok(Phase {
        sample: clock.stop(all.count()).with_latencies(all.clone()),
        all,
        met,
        checkpoints: checkpoints.now() / 2,
    })
}
