//! Crashes a database at every operation and says what is wrong with what is left.

use std::collections::HashSet;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{CrashPolicy, FaultKind, SectorSize, SimVfs};

use super::model::State;
use super::workload::{Promise, Run, WORKLOADS, Workload, delete, insert, put, text};
use super::{create, dir, disk, dump, fault_at, open};

pub(crate) type Finding<T> = Result<T, String>;

/// What was looked at.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    pub(crate) operations: u64,
    pub(crate) crashes: usize,
    pub(crate) distinct_disks: usize,
}

/// All the ways to crash that are worth a look, given how much is unsynced.
pub(crate) fn policies(
    vfs: &SimVfs,
    seed: u64,
    rounds: u64,
    singles_max: usize,
) -> Vec<CrashPolicy> {
    let mut policies = vec![
        CrashPolicy::KeepNone,
        CrashPolicy::KeepAll,
        CrashPolicy::Kill,
    ];
    let units = vfs.unsynced_units();
    if units == 0 {
        return policies;
    }
    let step = units.div_ceil(singles_max.max(1)).max(1);
    for unit in (0..units).step_by(step) {
        policies.extend([CrashPolicy::DropOne(unit), CrashPolicy::KeepOne(unit)]);
    }
    for round in 0..rounds {
        let seed = seed * 16 + round;
        policies.push(CrashPolicy::Random {
            seed,
            sector: SectorSize::Bytes4096,
        });
        policies.push(CrashPolicy::Torn {
            seed,
            sector: SectorSize::Bytes512,
        });
    }
    policies
}

/// The disks on which the workloads lost power, each with what had been promised by then.
pub(crate) fn interrupted() -> Finding<Vec<(u64, SimVfs, Promise)>> {
    let mut all = Vec::new();
    for (n, workload) in WORKLOADS.iter().enumerate() {
        interrupt(*workload, 1_000_000 * n as u64, &mut all)?;
    }
    Ok(all)
}

/// `label` is added to the number of the operation.
fn interrupt(workload: Workload, label: u64, all: &mut Vec<(u64, SimVfs, Promise)>) -> Finding<()> {
    let whole = disk();
    let first = whole.op_count();
    let mut promise = Promise::default();
    workload(&whole, &mut promise).map_err(|e| format!("without any crash: {e}"))?;
    let end = whole.op_count();
    if end < 150 {
        return Err(format!("only {end} operations"));
    }
    all.extend((first..=end).map(|at_op| {
        let vfs = disk();
        fault_at(&vfs, at_op, FaultKind::PowerOff, false);
        let mut promise = Promise::default();
        // A database with a planted bug may not notice that the power is off.
        let _ = workload(&vfs, &mut promise);
        (label + at_op, vfs, promise)
    }));
    Ok(())
}

fn show(vfs: &SimVfs, promise: &Promise) -> Finding<State> {
    let db = open(vfs).map_err(|e| format!("does not open: {:?}: {e}", e.kind()))?;
    let shown = dump(&db)?;
    promise.matching(&shown)?;
    Ok(shown)
}

/// Recovers, checks, writes, and loses power again.
pub(crate) fn recover(vfs: &SimVfs, promise: &Promise) -> Finding<()> {
    let db = if !promise.created && !vfs.exists(dir()).map_err(|e| e.to_string())? {
        // Not there at all: it can be created.
        create(vfs).map_err(|e| format!("cannot be created: {e}"))?
    } else {
        open(vfs).map_err(|e| format!("does not open: {:?}: {e}", e.kind()))?
    };
    let shown = dump(&db)?;
    let highest = promise
        .matching(&shown)?
        .iter()
        .map(|state| state.collections["_default"].highest)
        .collect::<HashSet<_>>();
    // What was shown stays, whatever happens next.
    let again = show(&vfs.fork_crash(&CrashPolicy::KeepNone), promise)?;
    if again != shown {
        return Err(format!("{shown:?} was shown, then {again:?}"));
    }
    let mut after = Promise {
        created: true,
        states: vec![shown],
        ..Promise::default()
    };
    let mut run = Run {
        db,
        promise: &mut after,
    };
    // An assigned id is above all that were used; one that no model knows is refused here.
    let written = run
        .db
        .submit(&[docdb_engine::WriteOp::insert("_default", b"\"after\"")])
        .wait()
        .map_err(|e| format!("no write after the recovery: {e}"))?;
    if written.version <= promise.version {
        return Err(format!("version {} was given out before", written.version));
    }
    let (id, body) = (written.ids[0], b"\"after\"".to_vec());
    if !highest.contains(&(id > 1).then(|| id - 1)) {
        return Err(format!("id {id} was assigned, {highest:?} was the highest"));
    }
    let mut state = run.promise.last().clone();
    let default = state.collections.get_mut("_default").ok_or("no _default")?;
    default.documents.insert(id, (written.version, body));
    default.highest = Some(id);
    run.promise.states = vec![state];
    let written = run
        .commits(&[vec![
            put("_default", 33, &text(9, 600)),
            delete("_default", id),
        ]])
        .and_then(|()| run.db.compact())
        .and_then(|_| run.commits(&[vec![insert("_default", "0")]]));
    written.map_err(|e| format!("no write after the recovery: {:?}: {e}", e.kind()))?;
    drop(run.db);
    show(&vfs.fork_crash(&CrashPolicy::KeepNone), &after)?;
    Ok(())
}

/// Crashes at every operation of the workload.
pub(crate) fn crash_everywhere() -> Finding<Explored> {
    let mut explored = Explored::default();
    let mut states = HashSet::new();
    for (at_op, vfs, promise) in interrupted()? {
        explored.operations += 1;
        for policy in policies(&vfs, at_op, 3, 12) {
            let image = vfs.fork_crash(&policy);
            explored.crashes += 1;
            // A killed process leaves unsynced operations, which are not part of the image.
            let promised = (promise.states.len(), promise.acknowledged);
            if policy != CrashPolicy::Kill && !states.insert((image.image_hash(), promised)) {
                continue;
            }
            recover(&image, &promise)
                .map_err(|what| format!("at operation {at_op}, {policy:?}: {what}"))?;
        }
    }
    explored.distinct_disks = states.len();
    Ok(explored)
}

/// Crashes at every operation of the workload, and then at every operation of the recovery.
pub(crate) fn crash_everywhere_in_recovery() -> Finding<Explored> {
    let mut explored = Explored::default();
    let mut states = HashSet::new();
    for (at_op, vfs, promise) in interrupted()? {
        explored.operations += 1;
        for first in [
            CrashPolicy::Kill,
            CrashPolicy::KeepAll,
            CrashPolicy::KeepNone,
        ] {
            let image = vfs.fork_crash(&first);
            let whole = image.fork_crash(&CrashPolicy::KeepAll).image_hash();
            if !states.insert((image.image_hash(), whole)) {
                continue;
            }
            if !vfs_has_database(&image)? {
                continue;
            }
            let rehearsal = vfs.fork_crash(&first);
            drop(open(&rehearsal).map_err(|e| format!("at operation {at_op}, {first:?}: {e}"))?);
            for inner_op in 0..rehearsal.op_count() {
                let vfs = image.fork_crash(&CrashPolicy::Kill);
                fault_at(&vfs, inner_op, FaultKind::PowerOff, false);
                if open(&vfs).is_ok() {
                    return Err(format!("operation {inner_op} of recovery was not awaited"));
                }
                for second in policies(&vfs, at_op * 1_000 + inner_op, 1, 2) {
                    let image = vfs.fork_crash(&second);
                    explored.crashes += 1;
                    let whole = image.fork_crash(&CrashPolicy::KeepAll).image_hash();
                    if !states.insert((image.image_hash(), whole)) {
                        continue;
                    }
                    recover(&image, &promise).map_err(|what| {
                        format!(
                            "at operation {at_op}, {first:?}, at operation {inner_op} of \
                             recovery, {second:?}: {what}"
                        )
                    })?;
                }
            }
        }
    }
    explored.distinct_disks = states.len();
    Ok(explored)
}

fn vfs_has_database(vfs: &SimVfs) -> Finding<bool> {
    vfs.exists(dir()).map_err(|e| e.to_string())
}
