//! `sim`: databases on a simulated disk that lose their process or their power at every operation.
//!
//! A life is lived once; the disk is kept as it was before each operation, and every crash there is
//! tried on a copy, so that the cost grows with the number of crashes alone. Recoveries are interrupted
//! the same way, and the recoveries from these again.
//!
//! A state counts once per distinct mode, image on the device and promise, and only if it went all the
//! way: recovered, compared with the journal in every way, written to, and found as it was after the
//! page cache was lost, before and after that write. States of killed processes, in which unsynced
//! writes are in flight, are checked the same way and counted apart.

mod check;
mod explore;
mod hooked;
mod kept;
mod lived;
mod place;
mod pools;
mod shrink;
mod tally;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::job::{Job, Scale};
use crate::life::{MODES, NAMED};
use crate::outcome::{Chart, ChartKind, Outcome, Violation};
use crate::part::Part;
use crate::workers::share;

use explore::{Broken, Depth, Explorer};
use place::{Place, Source};
use tally::Tally;

/// Random lives of a smoke run.
const SMOKE_LIVES: u64 = 600;

/// The part that crashes databases on a simulated disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sim;

/// What a case gave.
struct Result {
    tally: Tally,
    broken: Option<Broken>,
}

impl Part for Sim {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn summary(&self) -> &'static str {
        "crash databases on a simulated disk at every operation, and their recoveries again"
    }

    fn run(&self, job: &Job<'_>) -> std::result::Result<Outcome, String> {
        let plan = Plan::of(job);
        let states = AtomicU64::new(0);
        let found = share(
            job,
            plan.of,
            |number| {
                let result = plan.case(number);
                if result.broken.is_some() {
                    job.count_violation();
                }
                let more = result.tally.states.len() as u64;
                let done = states.fetch_add(more, Ordering::Relaxed) + more;
                job.progress.at(done, None, &"crash states");
                result
            },
            |result| result.tally.states.len() as u64,
        );
        let mut tally = Tally::default();
        let mut violations = Vec::new();
        for found in found {
            tally.add(found.result.tally);
            if let Some(broken) = found.result.broken {
                violations.push(violation(shrink::shrink(
                    broken,
                    plan.source(found.number).1,
                )));
            }
        }
        Ok(outcome(tally, violations))
    }

    fn replay(&self, _job: &Job<'_>, place: &str) -> std::result::Result<Outcome, String> {
        let place: Place = place.parse()?;
        let script = place.script();
        for line in script.lines() {
            println!("{line}");
        }
        let mut outcome = Outcome::of(1, "states");
        if let Some(what) = explore::again(&place)? {
            println!("{what}");
            outcome.violations.push(violation(Broken { place, what }));
        }
        Ok(outcome)
    }
}

fn violation(broken: Broken) -> Violation {
    Violation {
        operations: broken.place.script().lines(),
        what: broken.what,
        place: broken.place.to_string(),
    }
}

/// Which cases there are.
struct Plan {
    seed: u64,
    scale: Scale,
    of: Option<u64>,
}

/// In how many parts the small lives are explored when all is explored.
const PARTS: u64 = 8;
/// Of so many random lives one is that of a pool.
const POOL_EVERY: u64 = 12;
/// Long lives that are lived for each that is crashed.
const LONG_LIVES: u64 = 4;

impl Plan {
    fn of(job: &Job<'_>) -> Plan {
        let mut plan = Plan {
            seed: job.seed,
            scale: job.scale,
            of: None,
        };
        plan.of = (job.scale == Scale::Smoke).then(|| plan.small() + SMOKE_LIVES);
        plan
    }

    /// Parts that each small life is explored in.
    fn parts(&self) -> u64 {
        match self.scale {
            Scale::Smoke => 1,
            Scale::Soak => PARTS,
        }
    }

    /// Cases of small lives.
    fn small(&self) -> u64 {
        (NAMED.len() * MODES.len()) as u64 * self.parts()
    }

    /// The small lives and the random ones by turns, as long as there are small ones.
    fn source(&self, number: u64) -> (Source, Depth) {
        let small = self.small();
        if number.is_multiple_of(2) && number / 2 < small {
            let (at, part) = (number / 2 / self.parts(), number / 2 % self.parts());
            let (mode, named) = (at as usize / NAMED.len(), at as usize % NAMED.len());
            let depth = Depth {
                inner_every: 1,
                innermost_every: 499,
                random: 2,
                part: (part as usize, self.parts() as usize),
            };
            return (Source::Named(named, mode), depth);
        }
        let number = number - number.div_ceil(2).min(small);
        let depth = Depth {
            inner_every: 13,
            innermost_every: 97,
            random: 2,
            part: (0, 1),
        };
        let seed = self.seed_of(number);
        if number % POOL_EVERY == POOL_EVERY - 1 {
            let depth = Depth {
                inner_every: 41,
                ..depth
            };
            return (Source::Pool(seed), depth);
        }
        (Source::Random(seed), depth)
    }

    fn seed_of(&self, number: u64) -> u64 {
        self.seed.wrapping_mul(1_000_003) ^ number
    }

    fn case(&self, number: u64) -> Result {
        let (source, depth) = self.source(number);
        let mut explorer = Explorer::new(depth);
        let long = number * LONG_LIVES..(number + 1) * LONG_LIVES;
        let long = long.map(|n| Source::Long(self.seed_of(n)));
        let mut lives = long.chain([source]).map(Place::new);
        let broken = lives.find_map(|place| explorer.life(&place).err());
        Result {
            tally: explorer.tally,
            broken,
        }
    }
}

fn outcome(tally: Tally, violations: Vec<Violation>) -> Outcome {
    let distinct: HashSet<u64> = tally.states.iter().copied().collect();
    let mut outcome = Outcome::of(distinct.len() as u64, "crash states");
    outcome.violations = violations;
    outcome.trace_hash = Some(tally.trace_hash());
    outcome.figure("states of killed processes", tally.killed as f64, "");
    outcome.figure("lives", tally.lives as f64, "");
    outcome.figure("commits that came between", tally.between as f64, "");
    outcome.figure("states checked twice", tally.twice as f64, "");
    let charts = [
        ("Crash states by durability mode", "mode", &tally.by_mode),
        (
            "Crash states by crashes in a row",
            "crashes",
            &tally.by_depth,
        ),
        (
            "Crash states by the operation that did not happen",
            "operation",
            &tally.by_op,
        ),
        (
            "Crash states by the file that it was on",
            "file",
            &tally.by_file,
        ),
    ];
    for (title, x, counts) in charts {
        let points = counts
            .iter()
            .map(|(what, n)| (what.clone(), 0.0, *n as f64));
        outcome
            .charts
            .push(chart(title, ChartKind::Bars, x, "states", points.collect()));
    }
    let units = tally.by_units.iter();
    let units = units.map(|(units, n)| (units.to_string(), *units as f64, *n as f64));
    outcome.charts.push(chart(
        "Moments by how much was unsynced",
        ChartKind::Bars,
        "sectors, lengths and names, at most",
        "moments",
        units.collect(),
    ));
    let cost = tally.cost.iter().map(|(kib, (recoveries, operations))| {
        let mean = *operations as f64 / *recoveries as f64;
        (String::new(), *kib as f64, mean)
    });
    outcome.charts.push(chart(
        "What a recovery costs",
        ChartKind::Line,
        "log replayed (KiB)",
        "operations of the disk, mean",
        cost.collect(),
    ));
    outcome
}

fn chart(title: &str, kind: ChartKind, x: &str, y: &str, points: Vec<(String, f64, f64)>) -> Chart {
    Chart {
        title: title.to_owned(),
        kind,
        x: x.to_owned(),
        y: y.to_owned(),
        points,
    }
}
