//! The parts `io` and `flip` are tests themselves only if they see bugs: each planted one breaks a
//! promise that is kept without it.
#![cfg(all(feature = "planted-bugs", debug_assertions))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::job;
use docdb_crashtest::planted::{forget, plant};
use docdb_crashtest::{Flip, Io, Outcome, Part, Scale};

/// The first broken promise, if one is found.
fn broken(part: &dyn Part) -> Result<Option<String>, String> {
    let outcome: Outcome = part.run(&job(Scale::Smoke, None))?;
    let first = outcome.violations.first();
    Ok(first.map(|v| format!("{}: {} ({:?})", v.place, v.what, v.operations)))
}

/// One test, since a planted bug is there for the whole process.
#[test]
fn every_planted_bug_is_caught() {
    let by_io = [
        "wal:IgnoredSyncError",
        "wal:RetriedSync",
        "wal:ErrorWakesNobody",
        "wal:SkipSync",
        "wal:SkipDirSync",
        "engine:ManifestErrorIgnored",
        "engine:FileNameErrorIgnored",
        "engine:NamesNotPinned",
        "pool:CatalogErrorIgnored",
    ];
    let by_flip = [
        "wal:ChecksumWithoutPlace",
        "wal:ActBeforeJudging",
        "engine:ScanSkipsDamage",
        "engine:DamageIsAbsence",
        "pool:SecondCopyIgnored",
    ];
    let by_io = by_io.map(|bug| (bug, &Io as &dyn Part));
    let by_flip = by_flip.map(|bug| (bug, &Flip as &dyn Part));
    let mut unseen = Vec::new();
    for (bug, part) in by_io.into_iter().chain(by_flip) {
        plant(bug).unwrap();
        // A bug may even keep the part from preparing what it needs.
        match broken(part) {
            Ok(None) => unseen.push(bug),
            Ok(Some(what)) | Err(what) => {
                println!("{bug} is caught by {}: {what:.300}", part.name())
            }
        }
        forget();
    }
    assert!(unseen.is_empty(), "{unseen:?}");
    for part in [&Io as &dyn Part, &Flip] {
        let outcome = part.run(&job(Scale::Smoke, Some(1_000))).unwrap();
        assert_eq!(outcome.violations, [], "nothing is planted");
    }
}
