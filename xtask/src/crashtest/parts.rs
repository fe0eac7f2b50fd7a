//! The parts there are.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use docdb_crashtest::{Budget, Part, Scale};
use tokio::runtime::Runtime;

use super::Options;

/// The parts, in the order in which they run.
pub(super) const NAMES: [&str; 7] = ["sim", "io", "flip", "bounds", "kill", "history", "planted"];

/// What the parts may know of the run that they belong to.
pub(super) struct Setting<'a> {
    pub(super) options: &'a Options,
    pub(super) runtime: &'a Runtime,
    /// For files of real servers, and for what is kept of failures.
    pub(super) dir: &'a Path,
    pub(super) seed: u64,
    pub(super) threads: usize,
    pub(super) scale: Scale,
}

/// The part of that name, with what it needs: a server is built here, before the part's time begins.
pub(super) fn make<'a>(
    name: &str,
    setting: &'a Setting<'a>,
) -> Result<Box<dyn Part + 'a>, Box<dyn Error>> {
    Ok(match name {
        "sim" => Box::new(docdb_crashtest::Sim),
        "io" => Box::new(docdb_crashtest::Io),
        "flip" => Box::new(docdb_crashtest::Flip),
        "bounds" => Box::new(docdb_crashtest::Bounds),
        "kill" => Box::new(super::kill::Kill::new(setting)?),
        "history" => Box::new(super::history::Histories::new(setting)?),
        "planted" => Box::new(super::planted::Planted::new(setting)?),
        _ => return Err(format!("there is no part {name}").into()),
    })
}

/// A part's share of a smoke run, whose parts together take less than five minutes on two processors.
pub(super) fn smoke_budget(part: &str) -> Budget {
    let (seconds, cases) = match part {
        "sim" => (100, None),
        "kill" => (60, Some(100)),
        "io" | "flip" => (30, None),
        "bounds" => (10, Some(4)),
        "planted" => (90, None),
        _ => (20, None),
    };
    Budget {
        time: Some(Duration::from_secs(seconds)),
        cases,
    }
}
