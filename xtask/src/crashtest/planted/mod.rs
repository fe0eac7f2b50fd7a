//! The part `planted`: the other parts must catch bugs that are planted on purpose. Each runs as a
//! process of its own, in a build that no release is made of.

use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use docdb_crashtest::{Chart, ChartKind, Job, Outcome, Part, Scale, Violation};

use super::parts::Setting;
use builds::Builds;
use child::Seen;

mod builds;
mod child;
mod expected;

/// Within so long a part must have caught a bug.
const CAUGHT_WITHIN: Duration = Duration::from_secs(60);

/// For so long each part looks for bugs where none is planted.
const CONTROL: Duration = Duration::from_secs(3);
/// The name of a part's control.
const CONTROL_PREFIX: &str = "control:";

/// Bugs that are looked for at the same time, if there are as many threads: the parts load a
/// processor or more each.
const AT_ONCE_MAX: usize = 2;

/// See the module's documentation.
pub(super) struct Planted {
    builds: Builds,
    dir: PathBuf,
}

/// What became of one bug.
#[derive(Debug)]
struct Verdict {
    bug: String,
    /// Parts that ran, in order.
    parts: Vec<(&'static str, Seen)>,
}

impl Verdict {
    /// Whether nothing was planted: then nothing may be caught.
    fn is_control(&self) -> bool {
        self.bug.starts_with(CONTROL_PREFIX)
    }

    fn caught(&self) -> Option<(&'static str, Duration)> {
        self.parts.iter().find_map(|(part, seen)| match seen {
            Seen::Caught { after, .. } => Some((*part, *after)),
            _ => None,
        })
    }
}

impl Planted {
    /// Builds what has the bugs. That is no part of the time of the run.
    pub(super) fn new(setting: &Setting<'_>) -> Result<Planted, Box<dyn Error>> {
        Ok(Planted {
            builds: Builds::make()?,
            dir: setting.dir.join("planted"),
        })
    }

    fn run_bugs(&self, job: &Job<'_>, bugs: Vec<String>) -> Result<Outcome, String> {
        let of = bugs.len() as u64;
        let queue = Mutex::new(bugs.into_iter().enumerate().collect::<VecDeque<_>>());
        let verdicts = Mutex::new(Vec::new());
        let work = || {
            loop {
                let next = lock(&queue).pop_front();
                let Some((number, bug)) = next.filter(|_| !is_stopped(job)) else {
                    return Ok(());
                };
                let verdict = self.look_for(job, &bug)?;
                let mut verdicts = lock(&verdicts);
                verdicts.push((number, verdict));
                let done = verdicts.len() as u64;
                drop(verdicts);
                job.progress.at(done, Some(of), &bug);
            }
        };
        std::thread::scope(|scope| {
            let others = (1..job.threads.min(AT_ONCE_MAX)).map(|_| scope.spawn(work));
            let others: Vec<_> = others.collect();
            let mut results = vec![work()];
            for other in others {
                let joined = other.join();
                results.push(joined.unwrap_or_else(|_| Err("a thread panicked".to_owned())));
            }
            results.into_iter().collect::<Result<(), String>>()
        })?;
        let mut verdicts = verdicts
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        verdicts.sort_by_key(|(number, _)| *number);
        let verdicts: Vec<Verdict> = verdicts.into_iter().map(|(_, verdict)| verdict).collect();
        // Empty if every child has cleaned up after itself.
        let _ = fs::remove_dir_all(&self.dir);
        Ok(outcome(&verdicts, of))
    }

    /// Runs the parts with the bug until one catches it; in a soak all of them.
    fn look_for(&self, job: &Job<'_>, bug: &str) -> Result<Verdict, String> {
        let mut verdict = Verdict {
            bug: bug.to_owned(),
            parts: Vec::new(),
        };
        if let Some(part) = bug.strip_prefix(CONTROL_PREFIX) {
            let part = expected::PARTS.into_iter().find(|known| *known == part);
            let part = part.ok_or_else(|| format!("there is no part for {bug}"))?;
            let dir = self.dir.join(format!("control-{part}"));
            let seen = child::run(&self.builds, job, part, None, &dir, CONTROL)?;
            verdict.parts.push((part, seen));
            return Ok(verdict);
        }
        for part in expected::order(bug) {
            if is_stopped(job) || (job.scale == Scale::Smoke && verdict.caught().is_some()) {
                break;
            }
            let dir = self.dir.join(format!("{}-{part}", bug.replace(':', "-")));
            let seen = child::run(&self.builds, job, part, Some(bug), &dir, CAUGHT_WITHIN)?;
            verdict.parts.push((part, seen));
        }
        Ok(verdict)
    }
}

impl Part for Planted {
    fn name(&self) -> &'static str {
        "planted"
    }

    fn summary(&self) -> &'static str {
        "bugs are planted on purpose in builds of their own, and the other parts must catch each"
    }

    fn run(&self, job: &Job<'_>) -> Result<Outcome, String> {
        let mut bugs = self.builds.bugs()?;
        if let Some(most) = job.budget.cases {
            bugs.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        }
        let controls = expected::PARTS.iter();
        let controls = controls.map(|part| format!("{CONTROL_PREFIX}{part}"));
        self.run_bugs(job, controls.chain(bugs).collect())
    }

    fn replay(&self, job: &Job<'_>, place: &str) -> Result<Outcome, String> {
        let known = self.builds.bugs()?;
        if !known.iter().any(|bug| bug == place) && !place.starts_with(CONTROL_PREFIX) {
            return Err(format!("there is no bug {place}: {}", known.join(", ")));
        }
        self.run_bugs(job, vec![place.to_owned()])
    }
}

/// A part that is red where nothing is planted would catch everything.
fn control(verdict: &Verdict) -> Option<Violation> {
    let (part, seen) = verdict
        .parts
        .iter()
        .find(|(_, seen)| *seen != Seen::Nothing)?;
    Some(Violation {
        what: format!("nothing was planted, and yet not all is well with the part {part}: {seen}"),
        place: verdict.bug.clone(),
        operations: Vec::new(),
    })
}

fn outcome(verdicts: &[Verdict], of: u64) -> Outcome {
    let left = of - verdicts.len() as u64;
    let (controls, verdicts): (Vec<&Verdict>, Vec<&Verdict>) =
        verdicts.iter().partition(|verdict| verdict.is_control());
    let caught = || verdicts.iter().filter_map(|v| Some((v, v.caught()?)));
    let mut outcome = Outcome::of(caught().count() as u64, "bugs caught");
    outcome.violations = controls.iter().copied().filter_map(control).collect();
    outcome.figure("bugs planted", verdicts.len() as f64, "");
    outcome.figure("parts run without a bug", controls.len() as f64, "");
    for part in expected::PARTS {
        let by = |seen: &(&str, Seen)| seen.0 == part && matches!(seen.1, Seen::Caught { .. });
        let count = verdicts.iter().filter(|v| v.parts.iter().any(by)).count();
        outcome.figure(&format!("caught by {part}"), count as f64, "");
    }
    let longest = caught().map(|(_, (_, after))| after.as_secs_f64());
    outcome.figure("longest until caught", longest.fold(0.0, f64::max), "s");
    outcome.charts.push(Chart {
        title: "Seconds until each planted bug was caught, and by which part".to_owned(),
        kind: ChartKind::Bars,
        x: "bug".to_owned(),
        y: "s".to_owned(),
        points: caught()
            .map(|(v, (part, after))| (format!("{} ({part})", v.bug), 0.0, after.as_secs_f64()))
            .collect(),
    });
    for verdict in &verdicts {
        let parts = verdict.parts.iter();
        let parts: Vec<String> = parts
            .map(|(part, seen)| format!("{part}: {seen}"))
            .collect();
        outcome
            .notes
            .push(format!("{}: {}", verdict.bug, parts.join("; ")));
        if verdict.caught().is_none() {
            outcome.violations.push(Violation {
                what: format!(
                    "the bug {} was planted, and no part caught it within {} s: {}",
                    verdict.bug,
                    CAUGHT_WITHIN.as_secs(),
                    parts.join("; ")
                ),
                place: verdict.bug.clone(),
                operations: Vec::new(),
            });
        }
    }
    if left > 0 {
        outcome.notes.push(format!(
            "{left} bugs and controls were not tried: ended early"
        ));
    }
    outcome
}

fn is_stopped(job: &Job<'_>) -> bool {
    job.stop
        .is_some_and(|stop| stop.load(std::sync::atomic::Ordering::Relaxed))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what a child has left.
fn clear(dir: &Path) {
    let _ = fs::remove_dir_all(dir);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Seen, Verdict, outcome};

    #[test]
    fn a_bug_that_goes_unseen_is_a_violation() {
        let caught = Verdict {
            bug: "wal:SkipSync".to_owned(),
            parts: vec![
                ("sim", Seen::Nothing),
                (
                    "kill",
                    Seen::Caught {
                        after: Duration::from_secs(2),
                        what: "lost".to_owned(),
                    },
                ),
            ],
        };
        let unseen = Verdict {
            bug: "wal:Other".to_owned(),
            parts: vec![
                ("sim", Seen::Nothing),
                ("io", Seen::Failed("no disk".to_owned())),
            ],
        };
        let outcome = outcome(&[caught, unseen], 2);
        assert_eq!(outcome.cases, 1);
        assert_eq!(outcome.violations.len(), 1);
        assert_eq!(outcome.violations[0].place, "wal:Other");
        assert!(outcome.violations[0].what.contains("no disk"));
    }

    #[test]
    fn a_part_that_is_red_without_a_bug_is_a_violation() {
        let control = |part, seen| Verdict {
            bug: format!("control:{part}"),
            parts: vec![(part, seen)],
        };
        let red = Seen::Caught {
            after: Duration::from_secs(1),
            what: "lost".to_owned(),
        };
        let failed = Seen::Failed("no disk".to_owned());
        let verdicts = [
            control("sim", Seen::Nothing),
            control("io", red),
            control("kill", failed),
        ];
        let outcome = outcome(&verdicts, 3);
        assert_eq!(outcome.cases, 0, "no bug was caught");
        let places: Vec<&str> = outcome.violations.iter().map(|v| &*v.place).collect();
        assert_eq!(places, ["control:io", "control:kill"]);
        assert!(outcome.violations[0].what.contains("the part io"));
    }
}
