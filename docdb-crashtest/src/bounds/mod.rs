//! Budgets under pressure: memory, log and disk space, on a clock of their own.

mod overwritten;
mod pressed;
mod told;

use std::path::Path;
use std::time::Duration;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::{Durability, Error};

use crate::{Job, Outcome, Part, Rng, Violation, share};

pub use overwritten::{Space, overwrite};
pub use pressed::{Pressed, press};

/// Budget that is soon used up.
const SMALL: u64 = 4 << 20;
/// Budget that is not.
const LARGE: u64 = 1 << 30;
/// How long somebody writes, on the simulated clock.
const PRESSED: Duration = Duration::from_secs(2);
const OVERWRITTEN: Duration = Duration::from_secs(10);
/// A rate of compaction that is far too low.
const RATE_LOW: u64 = 64 << 10;
/// How many times the live bytes the data files may take then.
const TIMES_LIVE_MAX: f64 = 4.0;

/// What a case does; they take turns.
const KINDS: u64 = 4;

/// The part `bounds`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds;

impl Bounds {
    /// One case: what is done, and what was found wrong.
    fn case(seed: u64, number: u64) -> (&'static str, Result<(), String>) {
        let seed = Rng::fork(seed, number).next();
        let pressed =
            |durability, memory, log| press(seed, durability, memory, log, PRESSED).map(drop);
        match number % KINDS {
            0 => (
                "a writer that is faster than checkpoints, with little memory",
                pressed(Durability::Os, SMALL, LARGE),
            ),
            1 => (
                "a writer that is faster than checkpoints, with a small log",
                pressed(Durability::Os, LARGE, SMALL),
            ),
            2 => (
                "synced commits that are faster than checkpoints, with little of both",
                pressed(Durability::Full, SMALL, SMALL),
            ),
            _ => (
                "overwriting faster than the rate of compaction",
                overwritten(seed),
            ),
        }
    }

    fn outcome(found: Vec<(u64, &'static str, Result<(), String>)>) -> Outcome {
        let mut outcome = Outcome::of(found.len() as u64, "writers under pressure");
        for (number, kind, result) in found {
            if let Err(what) = result {
                outcome.violations.push(Violation {
                    what: format!("{kind}: {what}"),
                    place: format!("case-{number}"),
                    operations: Vec::new(),
                });
            }
        }
        outcome
    }
}

fn overwritten(seed: u64) -> Result<(), String> {
    let space = overwrite(seed, RATE_LOW, OVERWRITTEN)?;
    if space.most > TIMES_LIVE_MAX {
        return Err(format!("the data files take too much: {space:?}"));
    }
    Ok(())
}

impl Part for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn summary(&self) -> &'static str {
        "writers that are faster than the disk, held against the budgets of memory, log and space"
    }

    fn run(&self, job: &Job<'_>) -> Result<Outcome, String> {
        let case = |number| {
            let (kind, result) = Bounds::case(job.seed, number);
            if result.is_err() {
                job.count_violation();
            }
            job.progress.at(number + 1, job.budget.cases, &kind);
            (kind, result)
        };
        let found = share(job, None, case, |_| 1).into_iter();
        let found = found.map(|found| (found.number, found.result.0, found.result.1));
        Ok(Bounds::outcome(found.collect()))
    }

    fn replay(&self, job: &Job<'_>, place: &str) -> Result<Outcome, String> {
        let number = place.strip_prefix("case-").and_then(|n| n.parse().ok());
        let number = number.ok_or_else(|| format!("{place} is no place: case-N"))?;
        let (kind, result) = Bounds::case(job.seed, number);
        Ok(Bounds::outcome(vec![(number, kind, result)]))
    }
}

fn dir() -> &'static Path {
    Path::new("/data/db")
}

/// A disk with an empty, durable directory for databases.
fn disk() -> Result<SimVfs, Error> {
    let vfs = SimVfs::new(7);
    vfs.create_dir(Path::new("/data"))?;
    vfs.sync_dir(Path::new("/"))?;
    Ok(vfs)
}
