//! What a crash of the simulated disk leaves.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use docdb_vfs::sim::{CrashPolicy, SectorSize, SimVfs};
use docdb_vfs::{OpenMode, Vfs, VfsFile};

const F: &str = "/f";

fn path(path: &str) -> &Path {
    Path::new(path)
}

fn create(vfs: &SimVfs, at: &str, contents: &[u8]) -> Arc<dyn VfsFile> {
    let file = vfs.open(path(at), OpenMode::CreateNew).unwrap();
    file.write_all_at(contents, 0).unwrap();
    file
}

/// A disk with one durable file.
fn with_durable(contents: &[u8]) -> (SimVfs, Arc<dyn VfsFile>) {
    let vfs = SimVfs::new(1);
    let file = create(&vfs, F, contents);
    file.sync_data().unwrap();
    vfs.sync_dir(path("/")).unwrap();
    (vfs, file)
}

fn after(vfs: &SimVfs, policy: CrashPolicy, at: &str) -> Option<Vec<u8>> {
    match vfs.fork_crash(&policy).read_file(path(at)) {
        Ok(contents) => Some(contents),
        Err(e) => {
            assert!(e.is_not_found());
            None
        }
    }
}

#[test]
fn contents_without_a_synced_entry_vanish() {
    let vfs = SimVfs::new(1);
    create(&vfs, F, b"abc").sync_data().unwrap();
    assert_eq!(after(&vfs, CrashPolicy::KeepNone, F), None);
    assert_eq!(after(&vfs, CrashPolicy::KeepAll, F).unwrap(), b"abc");
    vfs.sync_dir(path("/")).unwrap();
    assert_eq!(after(&vfs, CrashPolicy::KeepNone, F).unwrap(), b"abc");
}

#[test]
fn an_entry_without_synced_contents_is_an_empty_file() {
    let vfs = SimVfs::new(1);
    create(&vfs, F, b"abc");
    vfs.sync_dir(path("/")).unwrap();
    assert_eq!(after(&vfs, CrashPolicy::KeepNone, F).unwrap(), b"");
    assert_eq!(after(&vfs, CrashPolicy::KeepAll, F).unwrap(), b"abc");
}

#[test]
fn a_directory_whose_entry_is_lost_takes_everything_along() {
    let vfs = SimVfs::new(1);
    vfs.create_dir(path("/d")).unwrap();
    create(&vfs, "/d/f", b"abc").sync_data().unwrap();
    vfs.sync_dir(path("/d")).unwrap();
    assert!(
        vfs.fork_crash(&CrashPolicy::KeepNone)
            .list(path("/"))
            .unwrap()
            .is_empty()
    );
    vfs.sync_dir(path("/")).unwrap();
    assert_eq!(after(&vfs, CrashPolicy::KeepNone, "/d/f").unwrap(), b"abc");
}

#[test]
fn a_replacing_rename_is_old_or_new() {
    let (vfs, _old) = with_durable(b"old");
    create(&vfs, "/new", b"new").sync_data().unwrap();
    vfs.rename(path("/new"), path(F)).unwrap();
    assert_eq!(vfs.read_file(path(F)).unwrap(), b"new");
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let disk = vfs.fork_crash(&CrashPolicy::Random {
            seed,
            sector: SectorSize::Bytes512,
        });
        let names = disk.list(path("/")).unwrap();
        seen.insert((names, disk.read_file(path(F)).unwrap()));
    }
    let expected = [
        (vec!["f".to_owned()], b"new".to_vec()),
        (vec!["f".to_owned()], b"old".to_vec()),
        (vec!["f".to_owned(), "new".to_owned()], b"old".to_vec()),
    ];
    assert_eq!(seen, BTreeSet::from(expected));
    vfs.sync_dir(path("/")).unwrap();
    assert_eq!(after(&vfs, CrashPolicy::KeepNone, F).unwrap(), b"new");
}

#[test]
fn a_rename_between_directories_needs_both_synced() {
    let vfs = SimVfs::new(1);
    vfs.create_dir(path("/a")).unwrap();
    vfs.create_dir(path("/b")).unwrap();
    vfs.sync_dir(path("/")).unwrap();
    create(&vfs, "/a/f", b"abc").sync_data().unwrap();
    vfs.sync_dir(path("/a")).unwrap();
    vfs.rename(path("/a/f"), path("/b/g")).unwrap();
    for seed in 0..50 {
        let disk = vfs.fork_crash(&CrashPolicy::Random {
            seed,
            sector: SectorSize::Bytes512,
        });
        assert_eq!(disk.files().len(), 1, "in exactly one place");
    }
    vfs.sync_dir(path("/b")).unwrap();
    assert!(after(&vfs, CrashPolicy::KeepNone, "/a/f").is_some());
    vfs.sync_dir(path("/a")).unwrap();
    assert!(after(&vfs, CrashPolicy::KeepNone, "/b/g").is_some());
    assert_eq!(after(&vfs, CrashPolicy::KeepNone, "/a/f"), None);
}

#[test]
fn a_removal_may_not_have_happened() {
    let (vfs, _file) = with_durable(b"abc");
    vfs.remove_file(path(F)).unwrap();
    assert_eq!(after(&vfs, CrashPolicy::KeepNone, F).unwrap(), b"abc");
    assert_eq!(after(&vfs, CrashPolicy::KeepAll, F), None);
    vfs.sync_dir(path("/")).unwrap();
    assert_eq!(after(&vfs, CrashPolicy::KeepNone, F), None);
}

#[test]
fn length_and_contents_persist_apart() {
    let (vfs, file) = with_durable(&[1; 512]);
    vfs.set_unit_sector(SectorSize::Bytes512);
    file.write_all_at(&[2; 512], 512).unwrap();
    // Unit 0 is the sector, unit 1 the length.
    assert_eq!(vfs.unsynced_units(), 2);
    let only_data = after(&vfs, CrashPolicy::KeepOne(0), F).unwrap();
    assert_eq!(only_data, [1; 512]);
    let only_length = after(&vfs, CrashPolicy::KeepOne(1), F).unwrap();
    assert_eq!(only_length, [[1; 512], [0; 512]].concat());
}

#[test]
fn bytes_past_a_lost_length_do_not_come_back() {
    let (vfs, file) = with_durable(&[1; 512]);
    file.write_all_at(&[2; 512], 512).unwrap();
    let disk = vfs.fork_crash(&CrashPolicy::KeepOne(0));
    disk.open(path(F), OpenMode::ReadWrite)
        .unwrap()
        .set_len(1024)
        .unwrap();
    assert_eq!(
        disk.read_file(path(F)).unwrap(),
        [[1; 512], [0; 512]].concat()
    );
}

#[test]
fn a_sector_written_twice_holds_a_prefix_of_its_writes() {
    let (vfs, file) = with_durable(&[0; 512]);
    file.write_all_at(&[1; 256], 0).unwrap();
    file.write_all_at(&[2; 256], 256).unwrap();
    let versions = [
        vec![0; 512],
        [[1; 256], [0; 256]].concat(),
        [[1; 256], [2; 256]].concat(),
    ];
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let policy = CrashPolicy::Random {
            seed,
            sector: SectorSize::Bytes512,
        };
        seen.insert(after(&vfs, policy, F).unwrap());
    }
    assert_eq!(seen, BTreeSet::from(versions));
}

#[test]
fn random_reaches_every_subset_of_sectors() {
    for (sector, sectors) in [(SectorSize::Bytes512, 4_usize), (SectorSize::Bytes4096, 3)] {
        let bytes = sector.bytes() as usize;
        let (vfs, file) = with_durable(&vec![0; sectors * bytes]);
        file.write_all_at(&vec![1; sectors * bytes], 0).unwrap();
        let mut seen = BTreeSet::new();
        for seed in 0..600 {
            let contents = after(&vfs, CrashPolicy::Random { seed, sector }, F).unwrap();
            for sector in contents.chunks(bytes) {
                assert!(sector.iter().all(|b| *b == sector[0]), "sectors are whole");
            }
            seen.insert(contents);
        }
        assert_eq!(seen.len(), 1 << sectors);
    }
}

#[test]
fn tearing_splits_a_sector() {
    let (vfs, file) = with_durable(&[0; 512]);
    file.write_all_at(&[1; 512], 0).unwrap();
    let torn = (0..100).any(|seed| {
        let policy = CrashPolicy::Torn {
            seed,
            sector: SectorSize::Bytes512,
        };
        let contents = after(&vfs, policy, F).unwrap();
        contents.contains(&0) && contents.contains(&1)
    });
    assert!(torn);
}

#[test]
fn single_units_give_distinct_disks() {
    let (vfs, file) = with_durable(&[0; 40_960]);
    for page in 0..10 {
        file.write_all_at(&[page as u8 + 1; 4096], page * 4096)
            .unwrap();
    }
    create(&vfs, "/g", b"");
    let units = vfs.unsynced_units();
    assert_eq!(units, 11);
    let mut hashes = BTreeSet::new();
    for policy in [CrashPolicy::KeepNone, CrashPolicy::KeepAll] {
        hashes.insert(vfs.fork_crash(&policy).image_hash());
    }
    for unit in 0..units {
        hashes.insert(vfs.fork_crash(&CrashPolicy::DropOne(unit)).image_hash());
        hashes.insert(vfs.fork_crash(&CrashPolicy::KeepOne(unit)).image_hash());
    }
    assert_eq!(hashes.len(), 2 + 2 * units);
    let past = vfs.fork_crash(&CrashPolicy::DropOne(units)).image_hash();
    assert_eq!(past, vfs.fork_crash(&CrashPolicy::KeepAll).image_hash());
    let past = vfs.fork_crash(&CrashPolicy::KeepOne(units)).image_hash();
    assert_eq!(past, vfs.fork_crash(&CrashPolicy::KeepNone).image_hash());
}

#[test]
fn subsets_are_chosen_by_bits() {
    let (vfs, file) = with_durable(&[0; 12_288]);
    for page in 0..3 {
        file.write_all_at(&[page as u8 + 1; 4096], page * 4096)
            .unwrap();
    }
    let hash = |policy| vfs.fork_crash(&policy).image_hash();
    let subsets: BTreeSet<u64> = (0..8).map(|bits| hash(CrashPolicy::Subset(bits))).collect();
    assert_eq!(subsets.len(), 8);
    assert_eq!(
        hash(CrashPolicy::Subset(0b010)),
        hash(CrashPolicy::KeepOne(1))
    );
    assert_eq!(
        hash(CrashPolicy::Subset(0b101)),
        hash(CrashPolicy::DropOne(1))
    );
    assert_eq!(
        hash(CrashPolicy::Subset(u64::MAX)),
        hash(CrashPolicy::KeepAll)
    );
}

#[test]
fn what_survived_is_durable() {
    let (vfs, file) = with_durable(b"old");
    file.write_all_at(b"new", 0).unwrap();
    let disk = vfs.fork_crash(&CrashPolicy::KeepAll);
    assert_eq!(disk.unsynced_units(), 0);
    assert_eq!(after(&disk, CrashPolicy::KeepNone, F).unwrap(), b"new");
}

#[test]
fn a_killed_process_leaves_its_writes_unsynced() {
    let (vfs, file) = with_durable(b"old");
    file.write_all_at(b"new", 0).unwrap();
    let disk = vfs.fork_crash(&CrashPolicy::Kill);
    assert_eq!(disk.read_file(path(F)).unwrap(), b"new");
    assert_eq!(after(&disk, CrashPolicy::KeepNone, F).unwrap(), b"old");
    disk.open(path(F), OpenMode::ReadWrite)
        .unwrap()
        .sync_data()
        .unwrap();
    assert_eq!(after(&disk, CrashPolicy::KeepNone, F).unwrap(), b"new");
}

#[test]
fn a_fork_leaves_the_original_alone() {
    let (vfs, file) = with_durable(b"old");
    file.write_all_at(b"new", 0).unwrap();
    let (image, units, ops) = (vfs.image_hash(), vfs.unsynced_units(), vfs.op_count());
    let fork = vfs.fork_crash(&CrashPolicy::KeepAll);
    let forked = fork.open(path(F), OpenMode::ReadWrite).unwrap();
    forked.write_all_at(b"fork", 0).unwrap();
    forked.sync_data().unwrap();
    assert_eq!(vfs.read_file(path(F)).unwrap(), b"new");
    assert_eq!(
        (vfs.image_hash(), vfs.unsynced_units(), vfs.op_count()),
        (image, units, ops)
    );
    file.sync_data().unwrap();
    assert_eq!(fork.read_file(path(F)).unwrap(), b"fork");
}

#[test]
fn a_crash_in_place_kills_handles_and_frees_locks() {
    let (vfs, file) = with_durable(b"abc");
    let lock = vfs.lock_dir(path("/")).unwrap();
    vfs.crash(&CrashPolicy::KeepNone);
    assert!(file.read_at(&mut [0; 1], 0).is_err());
    assert!(file.write_all_at(b"x", 0).is_err());
    assert!(file.sync_data().is_err());
    assert!(file.len().is_err());
    let again = vfs.lock_dir(path("/")).unwrap();
    drop((lock, file));
    assert_eq!(
        vfs.lock_dir(path("/")).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    drop(again);
    assert_eq!(vfs.read_file(path(F)).unwrap(), b"abc");
}

#[test]
fn a_cut_and_rewritten_file_never_shows_invented_bytes() {
    let (vfs, file) = with_durable(&[1; 1000]);
    file.set_len(100).unwrap();
    file.write_all_at(&[2; 100], 900).unwrap();
    for seed in 0..300 {
        let policy = CrashPolicy::Random {
            seed,
            sector: SectorSize::Bytes512,
        };
        let contents = after(&vfs, policy, F).unwrap();
        assert!([100, 1000].contains(&contents.len()));
        assert!(contents[..100].iter().all(|b| *b == 1));
        for (i, byte) in contents.iter().enumerate().skip(100) {
            assert!(
                if i < 900 { *byte < 2 } else { *byte < 3 },
                "byte {i} is {byte}"
            );
        }
    }
}

fn workload(seed: u64) -> SimVfs {
    let vfs = SimVfs::new(seed);
    let mut random = [0; 64];
    for i in 0..20_u64 {
        vfs.fill_random(&mut random);
        vfs.advance(Duration::from_millis(1));
        let file = create(&vfs, &format!("/f{i}"), &random);
        if random[0] % 2 == 0 {
            file.sync_data().unwrap();
        }
        if random[1] % 3 == 0 {
            vfs.sync_dir(path("/")).unwrap();
        }
    }
    vfs
}

#[test]
fn one_seed_is_one_run() {
    let (a, b, other) = (workload(1), workload(1), workload(2));
    assert_eq!(a.trace_hash(), b.trace_hash());
    assert_ne!(a.trace_hash(), other.trace_hash());
    assert_eq!(a.now(), Duration::from_millis(20));
    let mut images = BTreeSet::new();
    for seed in 0..100 {
        let policy = CrashPolicy::Random {
            seed,
            sector: SectorSize::Bytes512,
        };
        let (a, b) = (a.fork_crash(&policy), b.fork_crash(&policy));
        assert_eq!(a.image_hash(), b.image_hash());
        images.insert(a.image_hash());
    }
    assert!(images.len() > 20, "{} distinct disks", images.len());
}
