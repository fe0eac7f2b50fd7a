use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_vfs::Vfs;
use docdb_vfs::sim::{CrashPolicy, Fault, FaultKind, SimVfs};

use super::format::PAGE_BYTES;
use super::survey::{RunFound, RunSurvey};
use super::*;
use crate::{Direction, IndexError, Pointer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wide(u64);

/// As long as a pointer into a data file, and picky: odd numbers are none.
impl Pointer for Wide {
    const BYTES: usize = 16;
    fn encode(self, bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(&self.0.to_le_bytes());
        bytes[8..].fill(0);
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = u64::from_le_bytes(bytes[..8].try_into().ok()?);
        number.is_multiple_of(2).then_some(Wide(number))
    }
}

type Model = BTreeMap<Key, (CommitTs, Option<Wide>)>;

fn identity(number: u64) -> RunIdentity {
    RunIdentity {
        number,
        salt: 0x5eed,
    }
}

fn path(number: u64) -> PathBuf {
    Path::new("/").join(run_file_name(number))
}

fn write(vfs: &SimVfs, number: u64, model: &Model) -> Result<RunMeta, IndexError> {
    let mut writer = RunWriter::create(vfs, &path(number), identity(number))?;
    for (key, (ts, pointer)) in model {
        writer.push(*key, *ts, *pointer)?;
    }
    writer.finish()
}

fn open(vfs: &SimVfs, number: u64) -> Result<Run<Wide>, IndexError> {
    Run::open(vfs, &path(number), identity(number))
}

fn run(vfs: &SimVfs, number: u64, model: &Model) -> Arc<Run<Wide>> {
    write(vfs, number, model).unwrap();
    Arc::new(open(vfs, number).unwrap())
}

fn keys() -> Vec<Key> {
    let mut keys: Vec<_> = (10..1500).map(|id| Key::new(1, id)).collect();
    let scattered = (1..1500_u64).map(|i| Key::new(2, i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    keys.extend(scattered);
    keys.extend([0, u64::MAX].map(|id| Key::new(3, id)));
    keys
}

fn model(keys: impl IntoIterator<Item = Key>, first_ts: u64) -> Model {
    let entries = keys
        .into_iter()
        .zip(first_ts..)
        .map(|(key, ts)| (key, (CommitTs(ts), (ts % 5 != 0).then_some(Wide(ts * 2)))));
    entries.collect()
}

fn collect(run: &Run<Wide>, from: Key, to: Key, direction: Direction, max: usize) -> Vec<Key> {
    let mut found = Vec::new();
    let mut rest = Some((from, to));
    while let Some((from, to)) = rest {
        let chunk = run
            .chunk(from, to, direction, max, ReadMode::Blocking)
            .unwrap();
        assert!(chunk.items.len() <= max);
        found.extend(chunk.items.iter().map(|entry| entry.key));
        rest = chunk
            .complete_through
            .and_then(|end| direction.rest(from, to, end));
    }
    found
}

#[test]
fn names_round_trip_and_nothing_else_parses() {
    for number in [0, 1, 99_999_999, 100_000_000, u64::MAX] {
        assert_eq!(parse_run_file_name(&run_file_name(number)), Some(number));
    }
    for other in [
        "run-1.idx",
        "run-00000001.idx.tmp",
        "run-+0000001.idx",
        "data-00000001.dat",
    ] {
        assert_eq!(parse_run_file_name(other), None, "{other}");
    }
}

#[test]
fn points_and_ranges_match_a_model() {
    let vfs = SimVfs::new(1);
    let model = model(keys(), 1);
    let meta = write(&vfs, 1, &model).unwrap();
    let run = open(&vfs, 1).unwrap();
    assert_eq!(run.meta(), meta);
    assert_eq!(meta.entries, model.len() as u64);
    assert_eq!(
        meta.file_bytes(),
        vfs.read_file(&path(1)).unwrap().len() as u64
    );
    assert_eq!(meta.keys, Some((Key::new(1, 10), Key::new(3, u64::MAX))));
    assert_eq!(
        (meta.min_ts, meta.max_ts),
        (CommitTs(1), CommitTs(model.len() as u64))
    );

    for key in keys() {
        for key in [Some(key), key.next(), key.previous()]
            .into_iter()
            .flatten()
        {
            let found = run.get(key, ReadMode::Blocking).unwrap();
            assert_eq!(found, model.get(&key).copied(), "{key}");
        }
    }
    assert_eq!(run.get(Key::MIN, ReadMode::Blocking).unwrap(), None);
    assert_eq!(run.get(Key::MAX, ReadMode::Blocking).unwrap(), None);

    for (from, to) in [
        (Key::MIN, Key::MAX),
        (Key::new(1, 0), Key::new(1, 9)),
        (Key::new(1, 0), Key::new(1, 10)),
        (Key::new(1, 500), Key::new(1, 501)),
        (Key::new(1, 500), Key::new(2, u64::MAX)),
        (Key::new(3, 1), Key::new(3, u64::MAX - 1)),
        (Key::new(3, u64::MAX), Key::MAX),
        (Key::new(4, 0), Key::MAX),
    ] {
        let expected: Vec<_> = model.range(from..=to).map(|(key, _)| *key).collect();
        for max in [1, 50, 1000, 100_000] {
            if max == 1 && expected.len() > 500 {
                continue;
            }
            assert_eq!(collect(&run, from, to, Direction::Ascending, max), expected);
            let mut down = collect(&run, from, to, Direction::Descending, max);
            down.reverse();
            assert_eq!(down, expected);
        }
    }
    let streamed: Model = run
        .entries()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.key, (entry.ts, entry.pointer)))
        .collect();
    assert!(streamed == model);
}

#[test]
fn an_empty_run_is_a_run() {
    let vfs = SimVfs::new(1);
    let run = run(&vfs, 1, &Model::new());
    assert_eq!((run.meta().entries, run.meta().keys), (0, None));
    assert_eq!(run.get(Key::MIN, ReadMode::Blocking).unwrap(), None);
    assert_eq!(
        collect(&run, Key::MIN, Key::MAX, Direction::Descending, 10),
        []
    );
    assert_eq!(run.entries().count(), 0);
}

#[test]
fn keys_must_ascend() {
    let vfs = SimVfs::new(1);
    let mut writer = RunWriter::create(&vfs, &path(1), identity(1)).unwrap();
    writer
        .push(Key::new(1, 5), CommitTs(1), Some(Wide(2)))
        .unwrap();
    let again = writer.push(Key::new(1, 5), CommitTs(2), Some(Wide(2)));
    assert!(matches!(again, Err(IndexError::OutOfOrder { key, .. }) if key == Key::new(1, 5)));
    let after = writer.push(Key::new(1, 6), CommitTs(2), None);
    assert!(matches!(after, Err(IndexError::WriterFailed { .. })));
    assert!(matches!(
        writer.finish(),
        Err(IndexError::WriterFailed { .. })
    ));
}

#[test]
fn another_runs_file_is_refused() {
    let vfs = SimVfs::new(1);
    write(&vfs, 1, &model(keys(), 1)).unwrap();
    vfs.rename(&path(1), &path(2)).unwrap();
    assert!(matches!(open(&vfs, 2), Err(IndexError::Corrupt { .. })));
    let salt = RunIdentity {
        salt: 1,
        ..identity(1)
    };
    assert!(matches!(
        Run::<Wide>::open(&vfs, &path(2), salt),
        Err(IndexError::Corrupt { .. })
    ));
    let missing = open(&vfs, 3);
    assert!(matches!(missing, Err(IndexError::Io(error)) if error.is_not_found()));
}

/// Every byte of a small run, flipped: opening or reading the block fails and names the file, and
/// whatever is answered is right.
#[test]
fn every_flipped_byte_is_seen() {
    let vfs = SimVfs::new(1);
    let model = model(keys().into_iter().take(200), 1);
    write(&vfs, 1, &model).unwrap();
    let original = vfs.read_file(&path(1)).unwrap();
    let is_corrupt =
        |error: &IndexError| matches!(error, IndexError::Corrupt { path: p, .. } if *p == path(1));
    for offset in 0..original.len() {
        let mut damaged = original.clone();
        damaged[offset] ^= 0x04;
        vfs.write_file(&path(1), &damaged).unwrap();
        let run = match open(&vfs, 1) {
            Ok(run) => run,
            Err(error) => {
                assert!(is_corrupt(&error), "{offset}: {error}");
                continue;
            }
        };
        let block = offset / PAGE_BYTES;
        let blocks = run.meta().data_blocks as usize;
        if block == blocks + 1 {
            check_with_damaged_filter(&run, &model);
            continue;
        }
        assert!((1..=blocks).contains(&block), "{offset}");
        let mut seen = false;
        for (key, expected) in [model.first_key_value(), model.last_key_value()]
            .into_iter()
            .flatten()
        {
            match run.get(*key, ReadMode::Blocking) {
                Ok(found) => assert_eq!(found, Some(*expected)),
                Err(error) => seen |= is_corrupt(&error),
            }
        }
        let all = run.chunk(
            Key::MIN,
            Key::MAX,
            Direction::Ascending,
            1000,
            ReadMode::Blocking,
        );
        assert!(all.is_err_and(|error| is_corrupt(&error)));
        assert!(
            run.entries()
                .any(|entry| entry.is_err_and(|error| is_corrupt(&error)))
        );
        assert!(seen || run.meta().data_blocks > 2, "{offset}");
    }
    for len in (0..original.len()).step_by(997) {
        vfs.write_file(&path(1), &original[..len]).unwrap();
        assert!(
            open(&vfs, 1).is_err_and(|error| is_corrupt(&error)),
            "cut at {len}"
        );
    }
    let longer = [&original[..], &[0; PAGE_BYTES]].concat();
    vfs.write_file(&path(1), &longer).unwrap();
    assert!(open(&vfs, 1).is_err_and(|error| is_corrupt(&error)));
}

/// The filter of a run of one group is damaged: everything is found all the same, and what was used
/// instead is counted.
fn check_with_damaged_filter(run: &Run<Wide>, model: &Model) {
    let cache = BlockCache::new(1 << 20);
    for key in [model.first_key_value(), model.last_key_value()]
        .into_iter()
        .flatten()
        .map(|(key, _)| *key)
    {
        for key in [Some(key), key.next()].into_iter().flatten() {
            let found = run
                .get_cached(key, ReadMode::Blocking, &cache, false)
                .unwrap();
            assert_eq!(found, model.get(&key).copied());
        }
    }
    assert_eq!(cache.filters_damaged(), run.meta().data_blocks);
    assert_eq!(run.entries().filter(Result::is_ok).count(), model.len());
}

/// With a cache of any size everything is as without one.
#[test]
fn points_and_ranges_are_the_same_with_a_cache() {
    let vfs = SimVfs::new(1);
    let mut keys = keys();
    keys.extend((0..6000_u64).map(|i| Key::new(7, i.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    let model = model(keys, 1);
    let run = run(&vfs, 1, &model);
    assert!(run.meta().filter_pages() > 1);
    for capacity in [0, 5_000, 60_000, 1 << 20] {
        let cache = BlockCache::new(capacity);
        for round in 0..2 {
            for key in model.keys().step_by(if round == 0 { 1 } else { 7 }) {
                for key in [Some(*key), key.next(), key.previous()]
                    .into_iter()
                    .flatten()
                {
                    for is_unlikely in [false, true] {
                        let found = run.get_cached(key, ReadMode::Blocking, &cache, is_unlikely);
                        assert_eq!(found.unwrap(), model.get(&key).copied(), "{key}");
                    }
                }
                assert!(cache.stats().bytes <= capacity + 16);
            }
            for direction in [Direction::Ascending, Direction::Descending] {
                for max in [50, 5000] {
                    let (from, to) = (Key::new(1, 100), Key::new(7, u64::MAX / 2));
                    let mode = ReadMode::Blocking;
                    let cached = run.chunk_cached(from, to, direction, max, mode, &cache);
                    let plain = run.chunk(from, to, direction, max, mode);
                    assert_eq!(cached.unwrap(), plain.unwrap());
                }
            }
        }
        let stats = cache.stats();
        assert_eq!(stats.hits > 0, capacity > 0, "{stats:?}");
        assert_eq!(cache.filters_damaged(), 0);
    }
}

/// An id that is not in the run costs no block once its filter is in memory, but for one in fifty.
#[test]
fn absent_ids_cost_filters_and_no_blocks() {
    let vfs = SimVfs::new(1);
    let keys = (0..20_000_u64).map(|i| Key::new(1, i * 1000));
    let run = run(&vfs, 1, &model(keys, 1));
    let cache = BlockCache::new(1 << 20);
    vfs.set_reads_count(true);
    let before = vfs.op_count();
    for i in 0..20_000_u64 {
        let key = Key::new(1, i * 1000 + 500);
        assert_eq!(
            run.get_cached(key, ReadMode::Blocking, &cache, false)
                .unwrap(),
            None
        );
    }
    let reads = vfs.op_count() - before;
    // As every id asks a block that a false positive has loaded before, there are fewer by far.
    assert!(
        reads < run.meta().filter_pages() + run.meta().data_blocks,
        "{reads}"
    );
    assert!(cache.filtered() > 5_000, "{}", cache.filtered());
}

/// What was verified when it was read stays so: damage on the device is not seen before the page is
/// read again.
#[test]
fn damage_after_caching_is_no_error_and_before_it_is() {
    let vfs = SimVfs::new(1);
    let model = model(keys(), 1);
    let run = run(&vfs, 1, &model);
    let (first, second) = (Key::new(1, 10), Key::new(3, 0));
    let cache = BlockCache::new(1 << 20);
    let get = |key| run.get_cached(key, ReadMode::Blocking, &cache, false);
    assert_eq!(get(first).unwrap(), model.get(&first).copied());
    let mut bytes = vfs.read_file(&path(1)).unwrap();
    for page in bytes.chunks_exact_mut(PAGE_BYTES).skip(1) {
        page[100] ^= 1;
    }
    vfs.write_file(&path(1), &bytes).unwrap();
    assert_eq!(get(first).unwrap(), model.get(&first).copied());
    let block = Run::<Wide>::block_offset(run.blocks() - 1);
    assert!(
        matches!(get(second), Err(IndexError::Corrupt { path: p, offset, .. })
        if p == path(1) && offset == block)
    );
    cache.forget(&[1]);
    assert!(matches!(
        get(first),
        Err(IndexError::Corrupt { offset: 4096, .. })
    ));
}

/// Every operation of writing a run failed once is reported; a run that was finished is there after
/// a loss of power.
#[test]
fn failures_are_reported_and_finished_runs_are_durable() {
    let model = model(keys().into_iter().cycle().take(3).chain(keys()), 1);
    let clean = SimVfs::new(1);
    write(&clean, 1, &model).unwrap();
    clean.sync_dir(Path::new("/")).unwrap();
    let after = clean.fork_crash(&CrashPolicy::KeepNone);
    assert_eq!(
        open(&after, 1)
            .unwrap()
            .entries()
            .filter(Result::is_ok)
            .count(),
        model.len()
    );

    for at_op in 0..clean.op_count() - 1 {
        let vfs = SimVfs::new(1);
        let kind = FaultKind::Error(ErrorKind::StorageFull);
        vfs.set_fault(Fault {
            at_op,
            kind,
            sticky: false,
        });
        let result = write(&vfs, 1, &model);
        assert!(
            matches!(result, Err(IndexError::Io(error)) if error.is_disk_full()),
            "{at_op}"
        );
    }
}

#[test]
fn a_read_error_is_not_damage_and_ends_the_stream() {
    let vfs = SimVfs::new(1);
    let run = run(&vfs, 1, &model(keys(), 1));
    vfs.set_reads_count(true);
    vfs.set_fault(Fault {
        at_op: vfs.op_count(),
        kind: FaultKind::Os(5),
        sticky: true,
    });
    let read = run.get(Key::new(1, 10), ReadMode::Blocking);
    assert!(matches!(read, Err(IndexError::Io(error)) if error.raw_os_error() == Some(5)));
    let entries: Vec<_> = run.entries().collect();
    assert!(matches!(entries[..], [Err(IndexError::Io(_))]));
}

fn merged(runs: &[Arc<Run<Wide>>], vfs: &SimVfs, drop: bool) -> (Model, MergeStats) {
    let number = 100 + u64::from(drop);
    let mut writer = RunWriter::create(vfs, &path(number), identity(number)).unwrap();
    let stats = merge_runs(runs, &mut writer, drop, |key| key.collection != 3).unwrap();
    assert_eq!(writer.finish().unwrap().entries, stats.written);
    let run = open(vfs, number).unwrap();
    let entries = run.entries().map(|entry| entry.unwrap());
    (
        entries
            .map(|entry| (entry.key, (entry.ts, entry.pointer)))
            .collect(),
        stats,
    )
}

#[test]
fn merging_takes_the_highest_version_and_the_newer_run_between_equal_ones() {
    let vfs = SimVfs::new(1);
    let old = model(keys(), 1);
    let mid = model(keys().into_iter().step_by(3), 5000);
    // A relocation: versions of both, at other places, in the newest run.
    let relocated = old
        .iter()
        .step_by(2)
        .filter(|(_, (_, pointer))| pointer.is_some());
    let new: Model = relocated
        .map(|(key, (ts, _))| (*key, (*ts, Some(Wide(1_000_000)))))
        .collect();

    let mut expected = Model::new();
    for layer in [&old, &mid, &new] {
        for (key, entry) in layer.iter().filter(|(key, _)| key.collection != 3) {
            let newer = expected.get(key).is_none_or(|(ts, _)| entry.0 >= *ts);
            if newer {
                expected.insert(*key, *entry);
            }
        }
    }
    let runs = [run(&vfs, 3, &new), run(&vfs, 2, &mid), run(&vfs, 1, &old)];
    let (found, stats) = merged(&runs, &vfs, false);
    assert!(found == expected);
    assert_eq!(stats.read, (old.len() + mid.len() + new.len()) as u64);
    assert_eq!(stats.read, stats.written + stats.superseded + stats.refused);
    assert_eq!(stats.tombstones_dropped, 0);

    expected.retain(|_, (_, pointer)| pointer.is_some());
    let (found, stats) = merged(&runs, &vfs, true);
    assert!(found == expected);
    assert!(stats.tombstones_dropped > 100);
}

/// What several runs hold of a document, in ascending order of keys, of a range, and one at a time.
#[test]
fn a_probe_and_winners_of_a_range_see_what_a_merge_sees() {
    let vfs = SimVfs::new(1);
    let old = model(keys(), 1);
    let mid = model(keys().into_iter().step_by(3), 5000);
    let new: Model = old
        .iter()
        .step_by(2)
        .filter(|(_, (_, pointer))| pointer.is_some())
        .map(|(key, (ts, _))| (*key, (*ts, Some(Wide(1_000_000)))))
        .collect();
    let runs = [run(&vfs, 3, &new), run(&vfs, 2, &mid), run(&vfs, 1, &old)];
    let mut expected = Model::new();
    for layer in [&old, &mid, &new] {
        for (key, entry) in layer {
            if expected.get(key).is_none_or(|(ts, _)| entry.0 >= *ts) {
                expected.insert(*key, *entry);
            }
        }
    }
    vfs.set_reads_count(true);
    let before = vfs.op_count();
    let mut probe = Probe::new(runs.to_vec());
    let mut ascending = keys();
    ascending.sort_unstable();
    for key in ascending {
        for key in [Some(key), key.next()].into_iter().flatten() {
            let found = probe.newest(key).unwrap();
            let found = found.map(|entry| (entry.ts, entry.pointer));
            assert_eq!(found, expected.get(&key).copied(), "{key}");
        }
    }
    let blocks: u64 = runs.iter().map(|run| run.meta().data_blocks).sum();
    assert!(vfs.op_count() - before <= blocks, "a block is read once");

    let all: Vec<_> = expected.keys().copied().collect();
    for (from, to) in [(0, all.len() - 1), (1, 1), (5, 700), (300, all.len() - 2)] {
        let (from, to) = (all[from], all[to]);
        let mut winners = Winners::new(&runs, from, to).unwrap();
        let mut found = Model::new();
        while let Some(entry) = winners.next().unwrap() {
            found.insert(entry.key, (entry.ts, entry.pointer));
        }
        assert!(found == expected.range(from..=to).map(|(k, v)| (*k, *v)).collect());
    }
}

#[test]
fn a_merge_in_steps_drops_only_old_deletions() {
    let vfs = SimVfs::new(1);
    let old = model(keys(), 1);
    let mid = model(keys().into_iter().step_by(3), 5000);
    let runs = [run(&vfs, 2, &mid), run(&vfs, 1, &old)];
    let mut writer = RunWriter::create(&vfs, &path(9), identity(9)).unwrap();
    let mut merge = Merge::new(&runs, CommitTs(5000)).unwrap();
    let mut steps = 0;
    while !merge.step(&mut writer, 50, |_| true).unwrap() {
        steps += 1;
    }
    let stats = merge.stats();
    assert_eq!(stats.read, (old.len() + mid.len()) as u64);
    assert!(steps >= stats.read / 52, "{steps} steps");
    writer.finish().unwrap();
    let mut tombstones = 0;
    for entry in open(&vfs, 9).unwrap().entries() {
        let entry = entry.unwrap();
        tombstones += u64::from(entry.pointer.is_none());
        assert!(entry.pointer.is_some() || entry.ts >= CommitTs(5000));
    }
    assert!(tombstones > 0 && stats.tombstones_dropped > 0);
}

#[test]
fn bytes_that_are_no_pointer_are_damage() {
    let vfs = SimVfs::new(1);
    let run = run(
        &vfs,
        1,
        &Model::from([(Key::new(1, 1), (CommitTs(1), Some(Wide(3))))]),
    );
    let read = run.get(Key::new(1, 1), ReadMode::Blocking);
    assert!(matches!(
        read,
        Err(IndexError::Corrupt {
            offset: 4096,
            what: "a pointer is none",
            ..
        })
    ));
}

/// A footer that verifies and says that there are more entries: a stream does not end as if all were
/// well.
#[test]
fn a_stream_that_comes_up_short_says_so() {
    let vfs = SimVfs::new(1);
    let model = model(keys(), 1);
    let mut meta = write(&vfs, 1, &model).unwrap();
    let mut bytes = vfs.read_file(&path(1)).unwrap();
    let footer_at = bytes.len() - PAGE_BYTES;
    meta.entries += 1;
    let footer = format::encode_footer(&meta, &identity(1), (footer_at / PAGE_BYTES) as u64);
    bytes[footer_at..].copy_from_slice(&footer);
    vfs.write_file(&path(1), &bytes).unwrap();
    let run = open(&vfs, 1).unwrap();
    let entries: Vec<_> = run.entries().collect();
    assert_eq!(entries.len(), model.len() + 1);
    assert!(matches!(
        entries.last(),
        Some(Err(IndexError::Corrupt { .. }))
    ));
}

/// What a survey finds of a run: its keys, and whether something may be missing behind the last.
fn surveyed(vfs: &SimVfs, number: u64) -> (Vec<Key>, bool) {
    let mut survey: RunSurvey<Wide> =
        RunSurvey::open(vfs, &path(number), identity(number)).unwrap();
    let (mut keys, mut gap) = (Vec::new(), false);
    while let Some(found) = survey.next().unwrap() {
        match found {
            RunFound::Entry(entry) => {
                keys.push(entry.key);
                gap = false;
            }
            RunFound::Gap => gap = true,
            RunFound::Damaged { .. } => {}
        }
    }
    (keys, gap)
}

#[test]
fn a_survey_of_a_run_that_was_cut_says_that_the_rest_is_missing() {
    let vfs = SimVfs::new(1);
    let model = model((0..3_000).map(|id| Key::new(1, id)), 1);
    write(&vfs, 1, &model).unwrap();
    let whole = vfs.read_file(&path(1)).unwrap();
    assert_eq!(surveyed(&vfs, 1), (model.keys().copied().collect(), false));
    for pages in 0..whole.len() / PAGE_BYTES {
        // Some of these are lengths that smaller runs have.
        vfs.write_file(&path(1), &whole[..pages * PAGE_BYTES])
            .unwrap();
        let (keys, gap) = surveyed(&vfs, 1);
        assert!(gap, "{pages} pages, {} keys", keys.len());
    }
    // The footer alone says nothing of documents.
    let mut damaged = whole.clone();
    let last = damaged.len() - 100;
    damaged[last] ^= 1;
    let footer = whole.len() - PAGE_BYTES;
    damaged[footer + 9] ^= 1;
    vfs.write_file(&path(1), &damaged).unwrap();
    assert_eq!(surveyed(&vfs, 1), (model.keys().copied().collect(), false));
}
