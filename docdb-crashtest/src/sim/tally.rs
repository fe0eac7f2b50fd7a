//! What the lives of one case add up to.

use std::collections::BTreeMap;

use super::check::Checked;
use super::lived::Moment;
use crate::oracle::Hash;

type Counts = BTreeMap<String, u64>;

/// Counts of what was done.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// The states after a loss of power that went all the way, by hash.
    pub(super) states: Vec<u64>,
    /// Those of killed processes.
    pub(super) killed: u64,
    pub(super) lives: u64,
    /// Commits that came between.
    pub(super) between: u64,
    /// States that were checked twice.
    pub(super) twice: u64,
    pub(super) by_mode: Counts,
    pub(super) by_depth: Counts,
    pub(super) by_op: Counts,
    pub(super) by_file: Counts,
    /// Moments by how many units were unsynced.
    pub(super) by_units: BTreeMap<u64, u64>,
    /// By kibibytes of log replayed: recoveries, and operations that they took.
    pub(super) cost: BTreeMap<u64, (u64, u64)>,
    trace: u64,
}

fn count(counts: &mut Counts, what: &str) {
    match counts.get_mut(what) {
        Some(count) => *count += 1,
        None => drop(counts.insert(what.to_owned(), 1)),
    }
}

impl Tally {
    pub(super) fn trace(&mut self, what: u64) {
        self.trace = Hash::new().number(self.trace).number(what).value();
    }

    pub(super) fn trace_hash(&self) -> u64 {
        self.trace
    }

    pub(super) fn units(&mut self, units: usize) {
        let most = units.next_power_of_two() as u64;
        let units = if units == 0 { 0 } else { most };
        *self.by_units.entry(units).or_default() += 1;
    }

    pub(super) fn state(
        &mut self,
        key: u64,
        moment: &Moment,
        depth: usize,
        in_flight: bool,
        checked: &Checked,
    ) {
        if !checked.is_there {
            return;
        }
        if in_flight {
            self.killed += 1;
            return;
        }
        self.states.push(key);
        count(&mut self.by_mode, moment.promised.mode());
        count(&mut self.by_depth, &depth.to_string());
        count(&mut self.by_op, moment.op);
        count(&mut self.by_file, moment.file);
        let cost = self.cost.entry(checked.log_bytes >> 10).or_default();
        cost.0 += 1;
        cost.1 += checked.operations;
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.trace(other.trace);
        self.states.extend(other.states);
        self.killed += other.killed;
        self.lives += other.lives;
        self.between += other.between;
        self.twice += other.twice;
        let pairs = [
            (&mut self.by_mode, other.by_mode),
            (&mut self.by_depth, other.by_depth),
            (&mut self.by_op, other.by_op),
            (&mut self.by_file, other.by_file),
        ];
        for (own, others) in pairs {
            for (what, n) in others {
                *own.entry(what).or_default() += n;
            }
        }
        for (units, n) in other.by_units {
            *self.by_units.entry(units).or_default() += n;
        }
        for (bytes, (recoveries, operations)) in other.cost {
            let own = self.cost.entry(bytes).or_default();
            own.0 += recoveries;
            own.1 += operations;
        }
    }
}
