//! The command line, and what it comes to.

use std::path::PathBuf;
use std::time::Duration;

use docdb_crashtest::{Budget, Scale};

use super::parts;

/// Options of `cargo xtask crashtest`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every promise was kept, 1 one was broken or a part could not do its \
                        work, 2 wrong usage."
)]
pub(crate) struct Options {
    /// The parts to run: sim, io, flip, bounds, kill, history, planted [default: all but planted]
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    pub(super) only: Vec<String>,
    /// How long each part goes on, in seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) seconds: Option<u64>,
    /// How long each part goes on, in minutes
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) minutes: Option<u64>,
    /// Each part ends after so many cases: crash points, failed calls, flips, kills, transactions
    #[arg(long, alias = "rounds", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) cases: Option<u64>,
    /// Everything random follows from it; one is chosen and printed if none is given
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Threads that a part may use [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(super) threads: Option<u64>,
    /// Where to put the data of real servers: on the disk that you want to know about
    /// [default: data/crashtest in the workspace]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Connections that load a server that is killed, each with 4 requests in flight
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(super) clients: u64,
    /// Kill this server rather than the one of this workspace, which is built else
    #[arg(long, value_name = "PATH")]
    pub(super) server: Option<PathBuf>,
    /// What every change has to pass: all parts, planted too, in less than five minutes
    #[arg(long, conflicts_with_all = ["soak", "seconds", "minutes"])]
    pub(super) smoke: bool,
    /// Everything that the parts know, for 30 minutes each unless --minutes or --cases says else
    #[arg(long)]
    pub(super) soak: bool,
    /// Do one case again, with everything that is to be known about it; needs --only with one part
    #[arg(long, value_name = "PLACE")]
    pub(super) replay: Option<String>,
    /// Write everything that was found to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write a page for people to this file, with charts
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Plant this bug in what is tested; for builds with the feature planted-bugs
    #[arg(long, value_name = "BUG")]
    pub(super) plant: Option<String>,
    /// Print the names of the bugs that this build can plant
    #[arg(long, hide = true)]
    pub(super) list_bugs: bool,
    /// Damage a log after a kill, and pass only if that is noticed: shows that the part kill can fail
    #[arg(long)]
    pub(super) plant_loss: bool,
}

/// Why the command line makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Usage(pub(super) String);

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Names of parts, in the order in which they run.
    pub(super) parts: Vec<&'static str>,
    pub(super) scale: Scale,
    pub(super) threads: usize,
    limits: Limits,
}

/// What bounds each part.
#[derive(Debug, PartialEq, Eq)]
enum Limits {
    Given(Budget),
    /// Each part has its own share of the time of a smoke run.
    Smoke(Option<u64>),
    /// Nothing was said: a few minutes altogether.
    Default,
}

/// What each part gets of a run that was told nothing.
const DEFAULT_PART: Duration = Duration::from_secs(45);

/// What each part gets of a soak that was told nothing else.
const SOAK_PART: Duration = Duration::from_secs(30 * 60);

impl Options {
    /// What the options come to.
    pub(super) fn plan(&self) -> Result<Plan, Usage> {
        let usage = |what: &str| Err(Usage(what.to_owned()));
        let mut chosen = Vec::new();
        for name in &self.only {
            match parts::NAMES.iter().find(|known| *known == name) {
                Some(known) if !chosen.contains(known) => chosen.push(*known),
                Some(_) => {}
                None => {
                    let known = parts::NAMES.join(", ");
                    return Err(Usage(format!("there is no part {name}: {known}")));
                }
            }
        }
        if chosen.is_empty() {
            let all = parts::NAMES.iter().copied();
            chosen = match (self.plant_loss, self.smoke || self.soak) {
                (true, _) => vec!["kill"],
                (false, true) => all.collect(),
                (false, false) => all.filter(|name| *name != "planted").collect(),
            };
        }
        if self.replay.is_some() && chosen.len() != 1 {
            return usage("--replay needs --only with the one part that printed the place");
        }
        if self.plant_loss && chosen != ["kill"] {
            return usage("--plant-loss is for the part kill alone");
        }
        if self.plant.is_some() && chosen.contains(&"planted") {
            return usage("the part planted chooses its bugs itself: leave --plant out");
        }
        if let Some(bug) = &self.plant {
            let known = docdb_crashtest::planted::names();
            if known.is_empty() {
                return usage(
                    "this build has no planted bugs: the part planted builds one that has",
                );
            }
            if !known.contains(bug) {
                return Err(Usage(format!(
                    "there is no bug {bug}: {}",
                    known.join(", ")
                )));
            }
        }
        let threads = match self.threads {
            Some(threads) => threads as usize,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        Ok(Plan {
            parts: chosen,
            scale: super::scale_of(self.soak),
            threads,
            limits: self.limits(),
        })
    }

    fn limits(&self) -> Limits {
        let minutes = self.minutes.map(|minutes| minutes.saturating_mul(60));
        let time = self.seconds.or(minutes).map(Duration::from_secs);
        let cases = self.cases;
        match (time, cases, self.smoke, self.soak) {
            (None, cases, true, _) => Limits::Smoke(cases),
            (None, None, _, true) => Limits::Given(Budget {
                time: Some(SOAK_PART),
                cases: None,
            }),
            (None, None, ..) => Limits::Default,
            (time, cases, ..) => Limits::Given(Budget { time, cases }),
        }
    }

    /// Makes a directory for this run.
    pub(super) fn run_dir(&self, seed: u64) -> Result<PathBuf, String> {
        let base = self.dir.clone();
        let base = base.unwrap_or_else(|| crate::root::workspace_root().join("data/crashtest"));
        let base = std::path::absolute(&base).map_err(|e| format!("{}: {e}", base.display()))?;
        std::fs::create_dir_all(&base).map_err(|e| format!("{}: {e}", base.display()))?;
        // What an earlier run of the same seed has left behind stays for whoever looks into it.
        for number in 1.. {
            let suffix = if number == 1 {
                String::new()
            } else {
                format!("-{number}")
            };
            let dir = base.join(format!("run-{seed}{suffix}"));
            match std::fs::create_dir(&dir) {
                Ok(()) => return Ok(dir),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(format!("{}: {e}", dir.display())),
            }
        }
        Err(format!("{}: no name is left", base.display()))
    }
}

impl Plan {
    /// What bounds the part of that name.
    pub(super) fn budget(&self, part: &str) -> Budget {
        match self.limits {
            Limits::Given(budget) => budget,
            Limits::Smoke(cases) => {
                let mut budget = parts::smoke_budget(part);
                budget.cases = cases.or(budget.cases);
                budget
            }
            Limits::Default => Budget {
                time: Some(DEFAULT_PART),
                cases: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::{Options, Usage};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn plan(arguments: &[&str]) -> Result<super::Plan, Usage> {
        let cli = Cli::try_parse_from([&["crashtest"], arguments].concat());
        cli.map_err(|e| Usage(e.to_string()))?.options.plan()
    }

    #[test]
    fn all_parts_run_unless_some_are_chosen() {
        let plain = plan(&[]).expect("a plan");
        assert!(plain.parts.contains(&"kill") && !plain.parts.contains(&"planted"));
        let smoke = plan(&["--smoke"]).expect("a plan");
        assert_eq!(smoke.parts, super::parts::NAMES);
        let some = plan(&["--only", "kill,history"]).expect("a plan");
        assert_eq!(some.parts, ["kill", "history"]);
        assert_eq!(plan(&["--plant-loss"]).expect("a plan").parts, ["kill"]);
    }

    #[test]
    fn budgets_are_those_that_were_given() {
        let budget = |arguments: &[&str]| plan(arguments).expect("a plan").budget("kill");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(budget(&["--minutes", "2"]).time, seconds(120));
        assert_eq!(budget(&["--seconds", "7"]).time, seconds(7));
        assert_eq!(budget(&["--rounds", "9"]).cases, Some(9));
        assert_eq!(budget(&["--rounds", "9"]).time, None);
        assert_eq!(budget(&["--soak"]).time, seconds(1800));
        assert_eq!(budget(&["--smoke"]).cases, Some(100));
        assert_eq!(budget(&["--smoke", "--cases", "3"]).cases, Some(3));
        assert!(budget(&[]).time.is_some());
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (arguments, said) in [
            (&["--only", "kil"][..], "no part kil:"),
            (&["--replay", "3"], "--replay needs --only"),
            (
                &["--plant-loss", "--only", "history"],
                "for the part kill alone",
            ),
            (&["--seconds", "1", "--minutes", "1"], "cannot be used with"),
            (&["--smoke", "--soak"], "cannot be used with"),
            (&["--cases", "0"], "invalid value"),
            (&["--clients", "0"], "invalid value"),
            (&["--only", "kill", "--plant", "wal:NoSuch"], "bug"),
        ] {
            match plan(arguments) {
                Err(Usage(what)) => assert!(what.contains(said), "{arguments:?}: {what}"),
                Ok(plan) => panic!("{arguments:?}: {plan:?}"),
            }
        }
    }
}
