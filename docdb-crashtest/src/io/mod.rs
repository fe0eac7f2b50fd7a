//! Every call that a database makes to its disk fails, one at a time.

mod calls;
mod case;
mod life;
mod pool_life;
mod shrink;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use docdb_engine::Durability;

use crate::flip::text_of_panic;
use crate::job::{Job, Scale};
use crate::outcome::{Chart, ChartKind, Outcome, Violation};
use crate::part::Part;
use crate::workers::share;

use calls::{Call, Fault, faults};
use case::{Case, Depth, Fate, Judged, calls_of, judge};
use life::{Life, Step, lives, named, random};

/// Cases that a thread takes at a time.
const CASES_AT_ONCE: usize = 8;
/// Lives of a soak test that are drawn at random.
const RANDOM_LIVES: u64 = 40;

/// Lets every call of a few lives fail, once and for good, with every error that fits it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Io;

/// A life in a mode, with what its calls are.
struct Course {
    life: Life,
    mode: Durability,
}

impl Course {
    fn is_pool(&self) -> bool {
        self.life.name == pool_life::NAME
    }

    fn calls(&self) -> Result<Vec<Call>, String> {
        if self.is_pool() {
            return pool_life::calls();
        }
        calls_of(&self.life.steps, self.mode)
    }

    fn judge(&self, case: &Case, depth: Depth) -> Judged {
        if self.is_pool() {
            return caught(0, || pool_life::judge(case));
        }
        judge_caught(&self.life.steps, self.mode, case, depth)
    }

    /// What to show of a broken promise.
    fn shrink(&self, case: &Case, steps: usize) -> Vec<String> {
        if self.is_pool() {
            return vec![format!("{}: {}", case.fault.text(), case.call)];
        }
        shrink::shrink(&self.life.steps[..steps], self.mode, case)
    }
}

/// A case of a course.
struct Numbered {
    course: usize,
    case: Case,
}

#[derive(Default)]
struct Tally {
    cases: u64,
    reopened: u64,
    fates: BTreeMap<(Fault, Fate), u64>,
    broken: Vec<(usize, String, usize)>,
}

/// What one case comes to; a panic is a broken promise.
fn judge_caught(steps: &[Step], mode: Durability, case: &Case, depth: Depth) -> Judged {
    caught(steps.len(), || judge(steps, mode, case, depth))
}

fn caught(steps: usize, judge: impl FnOnce() -> Judged) -> Judged {
    catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|panic| Judged {
        fate: Fate::WentOn,
        steps,
        reopened: 0,
        broken: Some(format!("a panic: {}", text_of_panic(&*panic))),
    })
}

/// Faults of one kind are counted together.
fn counted(fault: Fault) -> Fault {
    match fault {
        Fault::Lie(_) => Fault::Lie(0),
        Fault::Misdirected(_) => Fault::Misdirected(0),
        other => other,
    }
}

fn place(course: &Course, case: &Case) -> String {
    format!("io/{}/{}/{case}", course.life.name, course.mode)
}

fn depth_of(scale: Scale) -> Depth {
    Depth {
        random: match scale {
            Scale::Smoke => 0,
            Scale::Soak => 4,
        },
    }
}

fn courses(scale: Scale, seed: u64) -> Vec<Course> {
    let modes: &[Durability] = match scale {
        Scale::Smoke => &[Durability::Full],
        Scale::Soak => &[
            Durability::Full,
            Durability::Always,
            Durability::INTERVAL,
            Durability::Os,
            Durability::MEMORY,
        ],
    };
    let in_mode = |mode: &Durability| {
        let mode = *mode;
        lives().into_iter().map(move |life| Course { life, mode })
    };
    let mut courses: Vec<Course> = modes.iter().flat_map(in_mode).collect();
    if scale == Scale::Soak {
        let seeds = (0..RANDOM_LIVES).map(|n| seed.wrapping_mul(RANDOM_LIVES).wrapping_add(n));
        courses.extend(seeds.zip(modes.iter().cycle()).map(|(seed, mode)| Course {
            life: random(seed),
            mode: *mode,
        }));
    }
    courses.push(Course {
        life: Life {
            name: pool_life::NAME.to_owned(),
            steps: Vec::new(),
        },
        mode: Durability::Full,
    });
    courses
}

impl Part for Io {
    fn name(&self) -> &'static str {
        "io"
    }

    fn summary(&self) -> &'static str {
        "fails every call to the disk, once and for good"
    }

    fn run(&self, job: &Job<'_>) -> Result<Outcome, String> {
        let courses = courses(job.scale, job.seed);
        let mut cases = Vec::new();
        let mut calls_total = 0;
        for (n, course) in courses.iter().enumerate() {
            let calls = course.calls()?;
            calls_total += calls.len();
            for call in calls {
                for (fault, sticky) in faults(&call, job.scale) {
                    cases.push(Numbered {
                        course: n,
                        case: Case {
                            call: call.clone(),
                            fault,
                            sticky,
                        },
                    });
                }
            }
        }
        // So that a short run has some of each.
        let mut rng = crate::rng::Rng::fork(job.seed, 0x10);
        for n in (1..cases.len()).rev() {
            cases.swap(n, rng.below(n as u64 + 1) as usize);
        }
        let of = cases.len() as u64;
        let depth = depth_of(job.scale);
        let chunks: Vec<&[Numbered]> = cases.chunks(CASES_AT_ONCE).collect();
        let chunk = |number: u64| {
            let mut tally = Tally::default();
            for (n, Numbered { course, case }) in chunks[number as usize].iter().enumerate() {
                if job.is_broken() {
                    break;
                }
                let judged = courses[*course].judge(case, depth);
                tally.cases += 1;
                tally.reopened += judged.reopened;
                match judged.broken {
                    None => {
                        *tally
                            .fates
                            .entry((counted(case.fault), judged.fate))
                            .or_default() += 1
                    }
                    Some(what) => {
                        job.count_violation();
                        let at = number as usize * CASES_AT_ONCE + n;
                        tally.broken.push((at, what, judged.steps));
                    }
                }
            }
            let done = number * CASES_AT_ONCE as u64;
            job.progress.at(done, Some(of), &"calls failed");
            tally
        };
        let found = share(job, Some(chunks.len() as u64), chunk, |tally| tally.cases);

        let mut outcome = Outcome::default();
        let (mut done, mut reopened) = (0, 0);
        let mut fates: BTreeMap<(Fault, Fate), u64> = BTreeMap::new();
        for found in found {
            let tally = found.result;
            done += tally.cases;
            reopened += tally.reopened;
            for (key, count) in tally.fates {
                *fates.entry(key).or_default() += count;
            }
            for (at, what, steps) in tally.broken {
                let Numbered { course, case } = &cases[at];
                let course = &courses[*course];
                let operations = course.shrink(case, steps);
                outcome.violations.push(Violation {
                    what,
                    place: place(course, case),
                    operations,
                });
            }
        }
        outcome.cases = done;
        outcome.unit = "calls failed".to_owned();
        outcome.figure("of", of as f64, "");
        outcome.figure("calls of the lives", calls_total as f64, "");
        outcome.figure("databases opened afterwards", reopened as f64, "");
        for fate in Fate::ALL {
            let with = fates.iter().filter(|((_, f), _)| *f == fate);
            outcome.figure(fate.name(), with.map(|(_, n)| *n as f64).sum(), "");
        }
        let point = |((fault, fate), count): (&(Fault, Fate), &u64)| {
            (
                format!("{}: {}", fault.name(), fate.name()),
                0.0,
                *count as f64,
            )
        };
        outcome.charts.push(Chart {
            title: "Faults by kind, and what became of them".to_owned(),
            kind: ChartKind::Bars,
            x: "fault and outcome".to_owned(),
            y: "calls".to_owned(),
            points: fates.iter().map(point).collect(),
        });
        Ok(outcome)
    }

    fn replay(&self, job: &Job<'_>, place_text: &str) -> Result<Outcome, String> {
        let unknown = || format!("io has no case {place_text:?}");
        let text = place_text.strip_prefix("io/").unwrap_or(place_text);
        let parts: Vec<&str> = text.split('/').collect();
        let [name, mode, at_op, fault, how] = parts[..] else {
            return Err(unknown());
        };
        let mode: Durability = mode.parse().map_err(|_| unknown())?;
        let life = match name {
            pool_life::NAME => Some(Life {
                name: name.to_owned(),
                steps: Vec::new(),
            }),
            _ => named(name),
        };
        let course = Course {
            life: life.ok_or_else(unknown)?,
            mode,
        };
        let calls = course.calls()?;
        let at_op: u64 = at_op.parse().map_err(|_| unknown())?;
        let call = calls.into_iter().find(|call| call.at_op == at_op);
        let case = Case {
            call: call.ok_or_else(unknown)?,
            fault: Fault::parse(fault).ok_or_else(unknown)?,
            sticky: how == "sticky",
        };
        println!("{}", case.call);
        let judged = course.judge(&case, depth_of(job.scale));
        let mut outcome = Outcome::of(1, "calls failed");
        for (n, step) in course.life.steps.iter().enumerate().take(judged.steps) {
            println!("step {n}: {step}");
        }
        match judged.broken {
            None => println!("{}: {}", place(&course, &case), judged.fate.name()),
            Some(what) => {
                println!("{}: {what}", place(&course, &case));
                job.count_violation();
                outcome.violations.push(Violation {
                    what,
                    place: place(&course, &case),
                    operations: course.shrink(&case, judged.steps),
                });
            }
        }
        Ok(outcome)
    }
}
