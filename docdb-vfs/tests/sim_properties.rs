//! Properties of every crash of every short run, against a model that keeps all past states.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use docdb_vfs::sim::{CrashPolicy, SectorSize, SimVfs};
use docdb_vfs::{OpenMode, Vfs};
use proptest::prelude::*;

const F: &str = "/f";

#[derive(Debug, Clone)]
enum FileStep {
    Write { offset: u64, len: usize, fill: u8 },
    SetLen(u64),
    Allocate(u64),
    Sync,
}

fn file_step() -> impl Strategy<Value = FileStep> {
    prop_oneof![
        6 => (0..12_000_u64, 1..5000_usize, 1..=255_u8)
            .prop_map(|(offset, len, fill)| FileStep::Write { offset, len, fill }),
        1 => (0..16_000_u64).prop_map(FileStep::SetLen),
        1 => (0..16_000_u64).prop_map(FileStep::Allocate),
        2 => Just(FileStep::Sync),
    ]
}

/// Carries out one step on the disk and on the states that the file has had since the last sync.
fn carry_out(file: &dyn docdb_vfs::VfsFile, step: &FileStep, states: &mut Vec<Vec<u8>>) {
    let mut next = states.last().unwrap().clone();
    match *step {
        FileStep::Write { offset, len, fill } => {
            file.write_all_at(&vec![fill; len], offset).unwrap();
            let start = offset as usize;
            if next.len() < start + len {
                next.resize(start + len, 0);
            }
            next[start..start + len].fill(fill);
        }
        FileStep::SetLen(len) => {
            file.set_len(len).unwrap();
            next.resize(len as usize, 0);
        }
        FileStep::Allocate(len) => {
            file.allocate(len).unwrap();
            next.resize(next.len().max(len as usize), 0);
        }
        FileStep::Sync => {
            file.sync_data().unwrap();
            states.clear();
        }
    }
    states.push(next);
}

/// The bytes of `range` in a state, zeros past its end.
fn padded(state: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|i| state.get(i).copied().unwrap_or(0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sector_is_some_state_since_the_last_sync(
        steps in prop::collection::vec(file_step(), 1..25),
        seeds in prop::collection::vec(any::<u64>(), 6),
        cuts in any::<bool>(),
    ) {
        let vfs = SimVfs::new(1);
        let file = vfs.open(Path::new(F), OpenMode::CreateNew).unwrap();
        vfs.sync_dir(Path::new("/")).unwrap();
        let mut states = vec![Vec::new()];
        for step in &steps {
            let shrinks = matches!(step, FileStep::SetLen(len)
                if (*len as usize) < states.last().unwrap().len());
            if cuts || !shrinks {
                carry_out(&*file, step, &mut states);
            }
        }
        let read = |policy| vfs.fork_crash(&policy).read_file(Path::new(F)).unwrap();
        prop_assert_eq!(&read(CrashPolicy::KeepNone), &states[0]);
        prop_assert_eq!(&read(CrashPolicy::KeepAll), states.last().unwrap());
        prop_assert_eq!(&read(CrashPolicy::Kill), states.last().unwrap());

        let mut policies: Vec<(CrashPolicy, usize)> = Vec::new();
        for &seed in &seeds {
            for sector in [SectorSize::Bytes512, SectorSize::Bytes4096] {
                policies.push((CrashPolicy::Random { seed, sector }, sector.bytes() as usize));
                policies.push((CrashPolicy::Torn { seed, sector }, 1));
            }
            let unit = seed as usize % (vfs.unsynced_units() + 1);
            policies.push((CrashPolicy::DropOne(unit), 4096));
            policies.push((CrashPolicy::KeepOne(unit), 4096));
        }
        for (policy, whole_bytes) in policies {
            let found = read(policy);
            prop_assert!(states.iter().any(|state| state.len() == found.len()));
            // A cut that did not persist lets old bytes stand beside new ones in one sector, so
            // that with cuts only each byte by itself has been seen before.
            let step = if cuts { 1 } else { whole_bytes };
            for start in (0..found.len()).step_by(step) {
                let range = start..(start + step).min(found.len());
                let known = states
                    .iter()
                    .any(|state| padded(state, range.clone()) == found[range.clone()]);
                prop_assert!(known, "{:?}: {:?} was never so", policy, range);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum EntryStep {
    Create(u8),
    Rename(u8, u8),
    Remove(u8),
    Sync,
}

fn entry_step() -> impl Strategy<Value = EntryStep> {
    prop_oneof![
        4 => (0..5_u8).prop_map(EntryStep::Create),
        4 => (0..5_u8, 0..5_u8).prop_map(|(from, to)| EntryStep::Rename(from, to)),
        2 => (0..5_u8).prop_map(EntryStep::Remove),
        1 => Just(EntryStep::Sync),
    ]
}

fn name(number: u8) -> PathBuf {
    PathBuf::from(format!("/{number}"))
}

/// Names and the marks of the files that they mean.
type Names = BTreeMap<PathBuf, u64>;

fn names_of(disk: &SimVfs) -> Names {
    let mark = |path: &PathBuf| {
        let contents = disk.read_file(path).unwrap();
        u64::from_le_bytes(contents.try_into().unwrap())
    };
    disk.files()
        .into_iter()
        .map(|path| (path.clone(), mark(&path)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_is_old_or_new_and_no_file_is_lost_or_doubled(
        steps in prop::collection::vec(entry_step(), 1..25),
        seeds in prop::collection::vec(any::<u64>(), 10),
    ) {
        let vfs = SimVfs::new(1);
        let mut next_mark = 0_u64;
        let mut states = vec![Names::new()];
        for step in steps {
            let mut names = states.last().unwrap().clone();
            match step {
                EntryStep::Create(to) if !names.contains_key(&name(to)) => {
                    let file = vfs.open(&name(to), OpenMode::CreateNew).unwrap();
                    file.write_all_at(&next_mark.to_le_bytes(), 0).unwrap();
                    file.sync_data().unwrap();
                    names.insert(name(to), next_mark);
                    next_mark += 1;
                }
                EntryStep::Rename(from, to) if from != to && names.contains_key(&name(from)) => {
                    vfs.rename(&name(from), &name(to)).unwrap();
                    let mark = names.remove(&name(from)).unwrap();
                    names.insert(name(to), mark);
                }
                EntryStep::Remove(at) if names.contains_key(&name(at)) => {
                    vfs.remove_file(&name(at)).unwrap();
                    names.remove(&name(at));
                }
                EntryStep::Sync => {
                    vfs.sync_dir(Path::new("/")).unwrap();
                    states.clear();
                }
                _ => {}
            }
            states.push(names);
        }
        prop_assert_eq!(&names_of(&vfs), states.last().unwrap());
        prop_assert_eq!(&names_of(&vfs.fork_crash(&CrashPolicy::KeepAll)), states.last().unwrap());
        prop_assert_eq!(&names_of(&vfs.fork_crash(&CrashPolicy::KeepNone)), &states[0]);

        let lasting: Vec<u64> = states[0]
            .values()
            .filter(|mark| states.iter().all(|state| state.values().any(|m| m == *mark)))
            .copied()
            .collect();
        let mut policies: Vec<CrashPolicy> = (0..vfs.unsynced_units())
            .flat_map(|unit| [CrashPolicy::DropOne(unit), CrashPolicy::KeepOne(unit)])
            .collect();
        let sector = SectorSize::Bytes512;
        policies.extend(seeds.iter().map(|&seed| CrashPolicy::Random { seed, sector }));
        for policy in policies {
            let found = names_of(&vfs.fork_crash(&policy));
            for number in 0..5 {
                let entry = found.get(&name(number));
                prop_assert!(states.iter().any(|state| state.get(&name(number)) == entry));
            }
            let mut marks: Vec<u64> = found.values().copied().collect();
            marks.sort_unstable();
            prop_assert!(marks.windows(2).all(|pair| pair[0] != pair[1]), "{:?}", found);
            for mark in &lasting {
                prop_assert!(marks.contains(mark), "{:?} lost file {}", policy, mark);
            }
        }
    }
}
