//! All the crashes of one life.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;

use docdb_engine::vfs::sim::{CrashPolicy, SectorSize, SimVfs};

use super::check::Checked;
use super::lived::{Lived, Moment, live, panic_text, recovery};
use super::place::{Place, Source};
use super::tally::Tally;
use crate::oracle::{Hash, Loss};

/// With at most so many unsynced units, all subsets of them are tried.
const SUBSETS_OF_MAX: usize = 6;
/// Of so many states one is checked twice, and must go the same way.
const TWICE_EVERY: u64 = 32;

/// How thoroughly a life is explored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Depth {
    /// At every so many operations of the life, the recovery is interrupted too.
    pub(super) inner_every: usize,
    /// Of these, at every so many operations of the recovery, the recovery from that is interrupted.
    pub(super) innermost_every: usize,
    /// Random losses at each operation.
    pub(super) random: u64,
    /// Operations to begin with, of each so many.
    pub(super) part: (usize, usize),
}

/// A broken promise, and where.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) place: Place,
    pub(super) what: String,
}

/// Explores one life.
pub(super) struct Explorer {
    depth: Depth,
    seen: HashSet<u64>,
    pub(super) tally: Tally,
}

impl Explorer {
    pub(super) fn new(depth: Depth) -> Explorer {
        Explorer {
            depth,
            seen: HashSet::new(),
            tally: Tally::default(),
        }
    }

    /// Lives, twice, and explores every crash if the life is not a long one.
    pub(super) fn life(&mut self, place: &Place) -> Result<(), Broken> {
        let moments = self.live(place)?;
        if matches!(place.source, Source::Long(_)) {
            return Ok(());
        }
        let (part, parts) = self.depth.part;
        for (operation, moment) in moments.iter().enumerate() {
            if operation % parts == part {
                self.moment(place, operation, moment, None)?;
            }
        }
        Ok(())
    }

    /// Lives, twice.
    fn live(&mut self, place: &Place) -> Result<Vec<Moment>, Broken> {
        let broken = |what: String| Broken {
            place: place.clone(),
            what,
        };
        let script = place.script();
        let is_crashed = !matches!(place.source, Source::Long(_));
        let failed = |e: docdb_engine::Error| broken(e.to_string());
        let Lived {
            moments,
            trace,
            wrong,
            between,
        } = live(&script, is_crashed).map_err(failed)?;
        if let Some((step, what)) = wrong {
            return Err(broken(format!("at step {step}: {what}")));
        }
        let again = live(&script, is_crashed).map_err(failed)?;
        if (again.trace, again.moments.len()) != (trace, moments.len()) {
            return Err(broken(
                "the same life went another way the second time".to_owned(),
            ));
        }
        self.tally.trace(trace);
        self.tally.between += between;
        self.tally.lives += 1;
        Ok(moments)
    }

    /// Explores every crash at this moment of a life, or of a recovery.
    fn moment(
        &mut self,
        place: &Place,
        operation: usize,
        moment: &Moment,
        before: Option<Loss>,
    ) -> Result<(), Broken> {
        let depth = place.crashes.len();
        let units = moment.disk.unsynced_units();
        self.tally.units(units);
        let seed = Hash::new().number(operation as u64).number(depth as u64);
        for policy in self.policies(units, seed.value(), depth, operation) {
            let loss = match (before, policy) {
                (None | Some(Loss::Kill), CrashPolicy::Kill) => Loss::Kill,
                _ => Loss::Power,
            };
            let deeper = match depth {
                0 => operation.is_multiple_of(self.depth.inner_every),
                1 => (operation + place.crashes[0].0).is_multiple_of(self.depth.innermost_every),
                _ => false,
            } && is_plain(policy, depth);
            let image = moment.disk.fork_crash(&policy);
            let here = || place.then(operation, policy);
            // A state that was there before is recovered from in the same way.
            let interrupted = deeper.then(|| image.fork_crash(&CrashPolicy::Kill));
            if !self.state(&here, image, moment, loss, policy)? {
                continue;
            }
            let inner = interrupted.map(|image| recovery(&image, moment));
            for (n, moment) in inner.iter().flatten().enumerate() {
                self.moment(&here(), n, moment, Some(loss))?;
            }
        }
        Ok(())
    }

    fn policies(
        &self,
        units: usize,
        seed: u64,
        depth: usize,
        operation: usize,
    ) -> Vec<CrashPolicy> {
        let mut policies = vec![CrashPolicy::KeepNone];
        // What a killed recovery leaves differs little from what it leaves when power fails.
        if depth == 0 || (depth == 1 && operation.is_multiple_of(4)) {
            policies.push(CrashPolicy::Kill);
        }
        if units == 0 {
            return policies;
        }
        if units <= SUBSETS_OF_MAX && depth == 0 {
            policies.extend((1..1 << units).map(CrashPolicy::Subset));
        } else {
            policies.push(CrashPolicy::KeepAll);
            let singles = if depth == 0 { units } else { units.min(3) };
            for unit in 0..singles {
                policies.extend([CrashPolicy::DropOne(unit), CrashPolicy::KeepOne(unit)]);
            }
        }
        for round in 0..if depth == 0 { self.depth.random } else { 1 } {
            let seed = seed.wrapping_add(round);
            for sector in [SectorSize::Bytes512, SectorSize::Bytes4096] {
                policies.push(CrashPolicy::Torn { seed, sector });
                if sector == SectorSize::Bytes512 || units > SUBSETS_OF_MAX {
                    policies.push(CrashPolicy::Random { seed, sector });
                }
            }
        }
        policies
    }

    /// Checks one state, unless an equal one was. Returns whether it is new.
    fn state(
        &mut self,
        place: &dyn Fn() -> Place,
        image: SimVfs,
        moment: &Moment,
        loss: Loss,
        policy: CrashPolicy,
    ) -> Result<bool, Broken> {
        let in_flight = policy == CrashPolicy::Kill;
        let mut key = Hash::new().bytes(moment.promised.mode().as_bytes());
        key = key.number(image.image_hash());
        key = key.number(moment.promised.promised(loss));
        if in_flight {
            // Also by what the next process sees, which is not on the device.
            let visible = image.fork_crash(&CrashPolicy::KeepAll).image_hash();
            key = key.number(1).number(visible);
        }
        let key = key.value();
        if !self.seen.insert(key) {
            return Ok(false);
        }
        let broken = |what| Broken {
            place: place(),
            what,
        };
        let copy = key
            .is_multiple_of(TWICE_EVERY)
            .then(|| image.fork_crash(&CrashPolicy::Kill));
        let checked = guarded(&image, moment, loss).map_err(broken)?;
        if let Some(copy) = copy {
            let again = guarded(&copy, moment, loss).map_err(broken)?;
            if again != checked {
                return Err(broken(format!(
                    "the same recovery went another way the second time: {checked:?}, {again:?}"
                )));
            }
            self.tally.twice += 1;
        }
        self.tally.trace(key ^ checked.trace);
        let depth = place().crashes.len();
        self.tally.state(key, moment, depth, in_flight, &checked);
        Ok(true)
    }
}

/// What is interrupted again: the plain losses, and of the first crash one random one.
fn is_plain(policy: CrashPolicy, depth: usize) -> bool {
    match policy {
        CrashPolicy::Kill | CrashPolicy::KeepNone | CrashPolicy::KeepAll => true,
        CrashPolicy::Torn { .. } => depth == 0,
        _ => false,
    }
}

fn guarded(image: &SimVfs, moment: &Moment, loss: Loss) -> Result<Checked, String> {
    std::panic::catch_unwind(AssertUnwindSafe(|| moment.promised.check(image, loss)))
        .unwrap_or_else(|panic| Err(panic_text(&*panic)))
}

/// Does the crashes of a place again. Returns what is wrong with the last state, if anything.
///
/// # Errors
/// There is no such operation.
pub(super) fn again(place: &Place) -> Result<Option<String>, String> {
    let script = place.script();
    let lived = live(&script, true).map_err(|e| e.to_string())?;
    if place.crashes.is_empty() {
        let wrong = lived.wrong;
        return Ok(wrong.map(|(step, what)| format!("at step {step}: {what}")));
    }
    let mut moments = lived.moments;
    let mut before = None;
    for (n, (operation, policy)) in place.crashes.iter().enumerate() {
        let moment = moments.get(*operation);
        let moment = moment.ok_or_else(|| format!("there is no operation {operation}"))?;
        for (n, moment) in moments.iter().enumerate().take(operation + 1) {
            let (commits, units) = (moment.promised.commits(), moment.disk.unsynced_units());
            println!(
                "  {n}: {} {} with {units} unsynced, {commits} commits",
                moment.op,
                moment.path.display()
            );
        }
        println!("crash before operation {operation}: {policy:?}");
        let loss = match (before, policy) {
            (None | Some(Loss::Kill), CrashPolicy::Kill) => Loss::Kill,
            _ => Loss::Power,
        };
        before = Some(loss);
        let image = moment.disk.fork_crash(policy);
        if n + 1 == place.crashes.len() {
            return Ok(guarded(&image, moment, loss).err());
        }
        moments = recovery(&image, moment);
    }
    Ok(None)
}
