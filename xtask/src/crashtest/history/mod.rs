//! The part `history`: random transactions of both levels run at the same time, on a simulated disk
//! that loses power, on threads, and on a real server that is killed, and two checkers that know nothing of the
//! database judge what they saw.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use docdb_crashtest::{Job, Outcome, Part, Rng, Violation, histories};
use tokio::runtime::Runtime;

use super::parts::Setting;
use crate::server::ServerSetup;
use kind::{Judged, Kind};

// The session over the socket that the server's own tests use.
#[path = "../../../../docdb-server/tests/common/remote.rs"]
mod remote;

mod kind;
mod served;
mod threads;

/// Histories on the simulated disk between two of a server.
const SIMULATED_EACH_TURN: usize = 12;

/// Large batches of each writer, beside a reader.
const BATCHES: usize = 60;

/// Histories of threads between two of a server.
const THREADS_EACH_TURN: usize = 3;

/// See the module's documentation.
pub(super) struct Histories<'a> {
    runtime: &'a Runtime,
    server: PathBuf,
    dir: PathBuf,
    plant: Option<String>,
}

/// Which history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Simulated(u64),
    Threads(u64),
    /// Not a history, but batches so large that a reader may meet one half installed.
    Torn(u64),
    Served(u64),
}

impl Place {
    fn read(text: &str) -> Option<Place> {
        let (kind, number) = text.split_once('-')?;
        let number = number.parse().ok()?;
        match kind {
            "simulated" => Some(Place::Simulated(number)),
            "threads" => Some(Place::Threads(number)),
            "torn" => Some(Place::Torn(number)),
            "served" => Some(Place::Served(number)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Simulated(number) => write!(f, "simulated-{number}"),
            Place::Threads(number) => write!(f, "threads-{number}"),
            Place::Torn(number) => write!(f, "torn-{number}"),
            Place::Served(number) => write!(f, "served-{number}"),
        }
    }
}

/// What all histories add up to.
#[derive(Debug, Default)]
struct Sum {
    ended: u64,
    simulated: u64,
    threads: u64,
    scans: u64,
    served: u64,
    kills: u64,
    judged: Judged,
    violations: Vec<Violation>,
}

impl<'a> Histories<'a> {
    /// Builds the server, unless one was given.
    pub(super) fn new(setting: &'a Setting<'a>) -> Result<Histories<'a>, Box<dyn Error>> {
        Ok(Histories {
            runtime: setting.runtime,
            server: crate::binaries::server(setting.options.server.clone())?,
            dir: setting.dir.join("history"),
            plant: setting.options.plant.clone(),
        })
    }

    /// One history, from its own seed.
    fn one(&self, job: &Job<'_>, place: Place, sum: &mut Sum) -> Result<(), String> {
        let (kind, judged) = match place {
            Place::Simulated(number) => {
                let seed = Rng::fork(job.seed, number).next();
                let kind = Kind::of(number);
                sum.simulated += 1;
                (kind, kind.simulated(seed))
            }
            Place::Threads(number) => {
                let seed = Rng::fork(job.seed, 1 << 41 | number).next();
                let kind = Kind::of(number);
                sum.threads += 1;
                let dir = self.dir.join("threads");
                (kind, threads::run(dir, kind, seed)?)
            }
            Place::Torn(_) => {
                let dir = self.dir.join("torn");
                let _ = fs::remove_dir_all(&dir);
                fs::create_dir_all(&self.dir).map_err(|e| e.to_string())?;
                let violation = match histories::torn_batches(&dir, BATCHES) {
                    Ok(Ok(scans)) => {
                        sum.scans += scans;
                        None
                    }
                    Ok(Err(what)) => Some(what),
                    Err(error) => Some(format!("batches beside a reader: {error}")),
                };
                let judged = Judged {
                    violation,
                    ..Judged::default()
                };
                (Kind::Batches, judged)
            }
            Place::Served(number) => {
                let seed = Rng::fork(job.seed, 1 << 40 | number).next();
                let kind = Kind::of(number);
                sum.served += 1;
                let (judged, kills) = self.served(kind, seed)?;
                sum.kills += kills;
                (kind, judged)
            }
        };
        sum.ended += judged.ended;
        self.take(kind, place, judged, sum)
    }

    fn served(&self, kind: Kind, seed: u64) -> Result<(Judged, u64), String> {
        let dir = self.dir.join("server");
        let _ = fs::remove_dir_all(&dir);
        let mut setup =
            ServerSetup::in_dir(self.server.clone(), &dir).map_err(|e| e.to_string())?;
        setup.own_group = true;
        setup.variables = self
            .plant
            .iter()
            .map(|bug| ("DOCDB_PLANT_BUG", bug.clone()))
            .collect();
        let done = served::run(self.runtime, &setup, kind, seed);
        setup.remove_socket();
        done
    }

    /// Adds up what was found; a history that fails is kept.
    fn take(&self, kind: Kind, place: Place, judged: Judged, sum: &mut Sum) -> Result<(), String> {
        if let Some(what) = &judged.violation {
            let mut what = format!("{place}, {}: {what}", kind.name());
            if let Some(text) = &judged.history {
                fs::create_dir_all(&self.dir).map_err(|e| e.to_string())?;
                let file = self.dir.join(format!("{place}.ndjson"));
                fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
                what += &format!(
                    "\nThe history is kept; to judge it again: \
                     cargo run --release -p docdb-history --example recheck < {}",
                    file.display()
                );
            }
            sum.violations.push(Violation {
                what,
                place: place.to_string(),
                operations: Vec::new(),
            });
        }
        sum.judged.add(&judged);
        Ok(())
    }

    fn outcome(&self, sum: Sum) -> Outcome {
        for each in ["server", "threads", "torn"] {
            let _ = fs::remove_dir_all(self.dir.join(each));
        }
        // Stays if a history is kept in it.
        let _ = fs::remove_dir(&self.dir);
        let mut outcome = Outcome::of(sum.ended, "transactions");
        for (name, value) in [
            (
                "histories on a simulated disk that loses power",
                sum.simulated,
            ),
            ("histories of eight threads on the real disk", sum.threads),
            ("histories of eight clients of a server", sum.served),
            ("scans beside writers of large batches", sum.scans),
            ("SIGKILLs of that server", sum.kills),
            ("transactions committed", sum.judged.committed),
            ("transactions refused or rolled back", sum.judged.aborted),
            ("of unknown outcome, and never seen", sum.judged.open),
            ("reads and scans judged", sum.judged.reads),
            ("writes of committed transactions", sum.judged.writes),
            (
                "write skew among snapshots, which is allowed",
                sum.judged.skew,
            ),
        ] {
            outcome.figure(name, value as f64, "");
        }
        outcome.violations = sum.violations;
        outcome
    }
}

impl Part for Histories<'_> {
    fn name(&self) -> &'static str {
        "history"
    }

    fn summary(&self) -> &'static str {
        "random transactions at the same time, with losses of power and kills in between, judged by checkers of isolation"
    }

    fn run(&self, job: &Job<'_>) -> Result<Outcome, String> {
        let mut sum = Sum::default();
        let simulated = (0..).map(Place::Simulated);
        let threads = (0..).map(Place::Threads);
        let (mut simulated, mut threads) = (simulated, threads);
        for turn in 0.. {
            let places = simulated.by_ref().take(SIMULATED_EACH_TURN);
            let places = places.chain(threads.by_ref().take(THREADS_EACH_TURN));
            for place in places.chain([Place::Torn(turn), Place::Served(turn)]) {
                self.one(job, place, &mut sum)?;
                if job.is_over(sum.ended) || !sum.violations.is_empty() {
                    return Ok(self.outcome(sum));
                }
                let what = format!("{} histories", sum.simulated + sum.threads + sum.served);
                job.progress.at(sum.ended, job.budget.cases, &what);
            }
        }
        Ok(self.outcome(sum))
    }

    fn replay(&self, job: &Job<'_>, place: &str) -> Result<Outcome, String> {
        let place = Place::read(place).ok_or_else(|| {
            format!("{place} is no place: simulated-N, threads-N, torn-N or served-N")
        })?;
        let mut sum = Sum::default();
        self.one(job, place, &mut sum)?;
        Ok(self.outcome(sum))
    }
}

/// Transactions of one history.
const TXNS: u64 = histories::TXNS;
