//! `sim` proves something only if it sees bugs: each of these turns it red, and nothing else does.
#![cfg(all(feature = "planted-bugs", debug_assertions))]

use std::fmt;
use std::process::Command;

use docdb_crashtest::{Budget, Job, Part, Progress, Scale, Sim, planted};

/// Those that `sim` sees. The others need an operation of the disk that fails, two threads, or a load
/// that it does not make.
const SEEN: [&str; 25] = [
    "wal:AckBeforeSync",
    "wal:SkipSync",
    "wal:SkipDirSync",
    "wal:TailNotRewritten",
    "wal:CutNotDurable",
    "wal:ChecksumWithoutPlace",
    "wal:ActBeforeJudging",
    "engine:ManifestBeforeLog",
    "engine:NamesNotPinned",
    "engine:VisibleBeforeDurable",
    "engine:DeletionDroppedEarly",
    "engine:RelocatedUnchecked",
    "engine:UnlinkedBeforeManifest",
    "engine:FirstCommitterIgnored",
    "engine:ReadSetUnchecked",
    "engine:LateCommitsUnchecked",
    "engine:BegunBehind",
    "engine:BegunAhead",
    "engine:CollectedThoughHeld",
    "engine:PatchedUnchecked",
    "engine:KeptFilesGoneEarly",
    "engine:HealedToOlderVersion",
    "engine:HealedUnchecked",
    "engine:BackupUnpinned",
    "engine:BackupUnsynced",
];
/// States within which each is seen.
const CASES_MAX: u64 = 60_000;
/// States that show nothing where nothing is planted.
const CLEAN_CASES: u64 = 20_000;
const NOTHING: &str = "nothing";
const CHILD: &str = "DOCDB_CRASHTEST_PLANTED";

struct Quiet;

impl Progress for Quiet {
    fn at(&self, _done: u64, _of: Option<u64>, _what: &dyn fmt::Display) {}
}

/// A planted bug is there for a whole process, so each has one of its own.
#[test]
fn every_bug_is_seen() {
    if let Ok(name) = std::env::var(CHILD) {
        return match name.as_str() {
            NOTHING => see_nothing(),
            name => see(name),
        };
    }
    let own = std::env::current_exe().expect("the test's own file");
    for name in [NOTHING].into_iter().chain(SEEN) {
        let status = Command::new(&own)
            .env(CHILD, name)
            .arg("--nocapture")
            .status();
        assert!(
            status.expect("the test itself runs").success(),
            "{name}: what is planted goes unseen, or what is not is seen"
        );
    }
}

/// A part that is red in any case would see everything.
fn see_nothing() {
    let budget = Budget {
        cases: Some(CLEAN_CASES),
        time: None,
    };
    let outcome = Sim.run(&Job::new(1, Scale::Smoke, budget, &Quiet));
    assert_eq!(outcome.expect("it works").violations, []);
}

fn see(name: &str) {
    planted::plant(name).expect("a bug of this build");
    let budget = Budget {
        cases: Some(CASES_MAX),
        time: None,
    };
    let job = Job::new(1, Scale::Smoke, budget, &Quiet);
    let outcome = Sim.run(&job).expect("it works");
    let violation = outcome.violations.first().expect("goes unseen");
    println!(
        "{name} is seen after {} states: {}",
        outcome.cases, violation.what
    );
    let again = Sim.replay(&job, &violation.place);
    let again = again.expect("the place of a case");
    assert!(
        !again.violations.is_empty(),
        "{} is not seen again",
        violation.place
    );
}
