//! Damage to every byte and to every file of a data directory.

mod damage;
mod directory;
mod judge;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::job::{Job, Scale};
use crate::outcome::{Chart, ChartKind, Outcome, Violation};
use crate::part::Part;
use crate::workers::share;

use damage::{Case, cases};
use directory::{Directory, FileKind};
use judge::{Depth, Fate, judge};

pub(crate) use judge::one_by_one;

/// Cases that a thread takes at a time.
const CASES_AT_ONCE: usize = 64;
/// In a smoke test one case in so many is looked at with all that is beside it, and lived on with.
const DEEP_EVERY: u64 = 16;

/// Flips every byte (or bit) of every file of a small data directory, swaps, moves, cuts, deletes, and
/// replaces by older and foreign copies, one at a time, and opens what is left.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flip;

/// What became of the cases of a chunk.
#[derive(Default)]
struct Tally {
    cases: u64,
    fates: BTreeMap<(FileKind, Fate), u64>,
    flips: u64,
    violations: Vec<Violation>,
}

/// What every case starts from.
struct Bench {
    directory: Directory,
    /// Of another life, for foreign files.
    other: Directory,
}

impl Bench {
    fn new(seed: u64) -> Result<Bench, String> {
        Ok(Bench {
            directory: Directory::make(seed)?,
            other: Directory::make(seed ^ 0x0ddb_a11)?,
        })
    }

    fn judge(&self, case: &Case, depth: Depth) -> Result<Fate, String> {
        let judged = catch_unwind(AssertUnwindSafe(|| {
            judge(case, &self.directory, &self.other, depth)
        }));
        judged.unwrap_or_else(|panic| Err(format!("a panic: {}", text_of_panic(&*panic))))
    }
}

/// What a panic says.
pub(crate) fn text_of_panic(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "without a text".to_owned())
}

impl Part for Flip {
    fn name(&self) -> &'static str {
        "flip"
    }

    fn summary(&self) -> &'static str {
        "damages every byte and every file of a data directory"
    }

    fn run(&self, job: &Job<'_>) -> Result<Outcome, String> {
        let bench = Bench::new(job.seed)?;
        for database in [&bench.directory, &bench.other] {
            unharmed(database)?;
        }
        let cases = cases(&bench.directory, &bench.other, job.seed, job.scale);
        let of = cases.len() as u64;
        let chunks: Vec<&[Case]> = cases.chunks(CASES_AT_ONCE).collect();
        let chunk = |number: u64| {
            let mut tally = Tally::default();
            for (n, case) in chunks[number as usize].iter().enumerate() {
                if job.is_broken() {
                    break;
                }
                let n = number * CASES_AT_ONCE as u64 + n as u64;
                let deep =
                    job.scale == Scale::Soak || !case.is_flip() || n.is_multiple_of(DEEP_EVERY);
                let depth = Depth {
                    neighbours: deep,
                    afterlife: deep,
                };
                match bench.judge(case, depth) {
                    Ok(fate) => {
                        let kind = FileKind::of(&case.path);
                        *tally.fates.entry((kind, fate)).or_default() += 1;
                    }
                    Err(what) => {
                        job.count_violation();
                        tally.violations.push(Violation {
                            what,
                            place: format!("flip/{case}"),
                            operations: vec![format!("{case}")],
                        });
                    }
                }
                tally.cases += 1;
                tally.flips += u64::from(case.is_flip());
            }
            job.progress
                .at(number * CASES_AT_ONCE as u64, Some(of), &"cases of damage");
            tally
        };
        let found = share(job, Some(chunks.len() as u64), chunk, |tally| tally.cases);

        let mut total = Tally::default();
        for found in found {
            let tally = found.result;
            total.cases += tally.cases;
            total.flips += tally.flips;
            for (key, count) in tally.fates {
                *total.fates.entry(key).or_default() += count;
            }
            total.violations.extend(tally.violations);
        }
        let mut outcome = Outcome::of(total.cases, "cases of damage");
        outcome.figure("of", of as f64, "");
        outcome.figure("bits flipped", total.flips as f64, "");
        for fate in Fate::ALL {
            let with = total.fates.iter().filter(|((_, f), _)| *f == fate);
            let count: u64 = with.map(|(_, count)| count).sum();
            outcome.figure(fate.name(), count as f64, "");
        }
        outcome.charts.push(Chart {
            title: "Damage by kind of file, and what became of it".to_owned(),
            kind: ChartKind::Bars,
            x: "file and outcome".to_owned(),
            y: "cases".to_owned(),
            points: total
                .fates
                .iter()
                .map(|((kind, fate), count)| {
                    let label = format!("{}: {}", kind.name(), fate.name());
                    (label, 0.0, *count as f64)
                })
                .collect(),
        });
        outcome.violations = total.violations;
        Ok(outcome)
    }

    fn replay(&self, job: &Job<'_>, place: &str) -> Result<Outcome, String> {
        let place = place.strip_prefix("flip/").unwrap_or(place);
        let case = Case::parse(place).ok_or_else(|| format!("flip has no case {place:?}"))?;
        let bench = Bench::new(job.seed)?;
        let depth = Depth {
            neighbours: true,
            afterlife: true,
        };
        let mut outcome = Outcome::of(1, "cases of damage");
        match bench.judge(&case, depth) {
            Ok(fate) => println!("flip/{case}: {}", fate.name()),
            Err(what) => {
                println!("flip/{case}: {what}");
                job.count_violation();
                outcome.violations.push(Violation {
                    what,
                    place: format!("flip/{case}"),
                    operations: vec![format!("{case}")],
                });
            }
        }
        Ok(outcome)
    }
}

/// A directory that nobody has damaged is read as it was written.
fn unharmed(directory: &Directory) -> Result<(), String> {
    use crate::oracle::{Care, look};
    use docdb_vfs::sim::CrashPolicy;

    let vfs = directory.vfs.fork_crash(&CrashPolicy::KeepAll);
    let pool = directory::open(&vfs).map_err(|e| format!("without damage: {e}"))?;
    for database in &directory.databases {
        let db = pool.database(database.name);
        let db = db.map_err(|e| format!("{} without damage: {e}", database.name))?;
        let seen = look(&db, Care::WithSpace).map_err(|e| format!("without damage: {e}"))?;
        if seen.print != database.last().print() {
            return Err(format!(
                "{} without damage is not as written",
                database.name
            ));
        }
    }
    directory::kill(&vfs, pool);
    Ok(())
}
