//! What commits notice of the work in the background.

use std::time::Duration;

use docdb_bench_peers::measure::{Clock, Failure, Latencies, Sample};

use super::load::{BATCH, fill};
use super::threads;
use super::write::Commits;
use crate::document::Documents;
use crate::rng::mix;
use crate::store::{Mode, Store};
use crate::task::Task;

/// Overwrites documents for a time without any work in the background, then for the same time with
/// as much of it as there can be.
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
    let (quiet, _) = phase(store.as_ref(), &commits, count, time, false)?;
    store.settle()?;
    let (mut sample, rounds) = phase(store.as_ref(), &commits, count, time, true)?;
    let p99 = |sample: &Sample| sample.figure("micros_p99").unwrap_or(f64::NAN);
    sample.set("p99_ratio", p99(&sample) / p99(&quiet));
    sample.set("p99_quiet_us", p99(&quiet));
    sample.set("rate_quiet", quiet.figure("rate").unwrap_or(f64::NAN));
    sample.set("rounds", rounds);
    Ok(sample)
}

fn phase(
    store: &dyn Store,
    commits: &Commits<'_>,
    count: usize,
    time: Duration,
    disturb: bool,
) -> Result<(Sample, u64), Failure> {
    let clock = Clock::start();
    let wanted = || clock.elapsed() < time;
    let mut rounds = 0;
    let meanwhile = || {
        while disturb && wanted() {
            store.maintain()?;
            rounds += 1;
        }
        Ok(())
    };
    let mut all = Latencies::default();
    for latencies in threads::run(count, |_| commits.run(store, &wanted), meanwhile)? {
        all.merge(latencies);
    }
    Ok((clock.stop(all.count()).with_latencies(all), rounds))
}
