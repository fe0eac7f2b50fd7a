use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::{Direction, IndexError};

type Body = Arc<[u8]>;
type TestDelta = Delta<Body, u32>;

impl Pointer for u32 {
    const BYTES: usize = 4;
    fn encode(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.to_le_bytes());
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }
}

fn stored(ts: u64) -> Place<Body, u32> {
    Place::Stored(ts as u32)
}

/// All of a range, chunk by chunk; every chunk is checked against what it promises.
fn collect(
    delta: &TestDelta,
    from: Key,
    to: Key,
    direction: Direction,
    at: u64,
    items_max: usize,
) -> Vec<(Key, u64)> {
    let mut found = Vec::new();
    let mut rest = Some((from, to));
    while let Some((from, to)) = rest {
        let chunk = delta
            .chunk(from, to, direction, CommitTs(at), items_max)
            .unwrap();
        assert!(chunk.items.len() <= items_max);
        if let Some(end) = chunk.complete_through {
            assert!(
                (from..=to).contains(&end),
                "it covers at least the first key"
            );
            assert!(
                chunk
                    .items
                    .iter()
                    .all(|(key, _)| !direction.is_before(end, *key))
            );
        }
        found.extend(
            chunk
                .items
                .into_iter()
                .map(|(key, version)| (key, version.ts.0)),
        );
        rest = chunk
            .complete_through
            .and_then(|end| direction.rest(from, to, end));
    }
    found
}

/// A few collections of dense, sparse and extreme ids, installed in a mixed order.
fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    for id in 0..1500 {
        keys.push(Key::new(1, id));
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..1500 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963);
        keys.push(Key::new(2, random));
    }
    keys.extend([0, 255, 256, u64::MAX - 256, u64::MAX].map(|id| Key::new(3, id)));
    keys.extend([Key::MIN, Key::MAX]);
    keys.sort_by_key(|key| key.id.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(20));
    keys
}

#[test]
fn ranges_are_complete_and_ordered_in_both_directions() {
    let delta = TestDelta::new(1, 64, 7);
    let mut model: BTreeMap<Key, Vec<u64>> = BTreeMap::new();
    let keys = keys();
    let mut ts = 0;
    for round in 0..2 {
        for key in keys.iter().step_by(round + 1) {
            ts += 1;
            delta.install(*key, CommitTs(ts), stored(ts), &CommitTs::ZERO.into());
            model.entry(*key).or_default().push(ts);
        }
    }
    assert_eq!(delta.len(), model.len());
    assert_eq!(delta.max_ts(), CommitTs(ts));
    let ranges = [
        (Key::MIN, Key::MAX),
        (Key::new(1, 0), Key::new(1, u64::MAX)),
        (Key::new(1, 100), Key::new(1, 700)),
        (Key::new(1, 255), Key::new(1, 256)),
        (Key::new(1, 9), Key::new(1, 9)),
        (Key::new(2, 1 << 60), Key::new(2, u64::MAX - 1)),
        (Key::new(3, 0), Key::new(3, u64::MAX)),
        (Key::new(3, 1), Key::new(4, 0)),
        (Key::new(9, 0), Key::new(9, u64::MAX)),
    ];
    for at in [0, 1, ts / 3, ts * 2 / 3, ts, u64::MAX] {
        for (from, to) in ranges {
            let mut expected = Vec::new();
            for (key, versions) in model.range(from..=to) {
                expected.extend(
                    versions
                        .iter()
                        .rev()
                        .find(|ts| **ts <= at)
                        .map(|ts| (*key, *ts)),
                );
            }
            for items_max in [1, 7, 300, 100_000] {
                // One at a time costs a visit to every shard: only short ranges.
                if items_max == 1 && expected.len() > 700 {
                    continue;
                }
                let up = collect(&delta, from, to, Direction::Ascending, at, items_max);
                assert_eq!(up, expected, "{from}..={to} at {at} by {items_max}");
                let mut down = collect(&delta, from, to, Direction::Descending, at, items_max);
                down.reverse();
                assert_eq!(down, expected, "down {from}..={to} at {at} by {items_max}");
            }
        }
    }
    let upside_down = delta.chunk(Key::MAX, Key::MIN, Direction::Ascending, CommitTs::MAX, 10);
    assert!(upside_down.unwrap().items.is_empty());
}

#[test]
fn sorted_newest_yields_each_document_once() {
    let delta = TestDelta::new(1, 16, 7);
    let keys = keys();
    for (ts, key) in (1..).zip(keys.iter().chain(&keys)) {
        delta.install(*key, CommitTs(ts), stored(ts), &CommitTs::ZERO.into());
    }
    let bound = keys.len() as u64 + 10;
    let mut newest = delta.sorted_newest(CommitTs(bound));
    let mut found = Vec::new();
    loop {
        let chunk = newest.next_chunk(97).unwrap();
        if chunk.is_empty() {
            break;
        }
        found.extend(chunk);
    }
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(
        found.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        sorted
    );
    assert!(found.iter().all(|(_, version)| version.ts.0 <= bound));
    assert_eq!(
        found.iter().map(|(_, version)| version.ts.0).max(),
        Some(bound)
    );
}

#[test]
fn pruned_is_told_apart_from_not_here() {
    let delta = TestDelta::new(1, 4, 0);
    let key = Key::new(1, 1);
    let get = |at| delta.get(key, CommitTs(at));
    assert_eq!((get(9), delta.newest(key)), (DeltaGet::NotHere, None));
    delta.install(key, CommitTs(3), stored(3), &CommitTs(0).into());
    delta.install(key, CommitTs(5), Place::Deleted, &CommitTs(4).into());
    assert_eq!(get(2), DeltaGet::NotHere);
    assert!(matches!(get(4), DeltaGet::Found(version) if version.ts == CommitTs(3)));
    assert_eq!(delta.newest(key), Some((CommitTs(5), false)));
    delta.install(key, CommitTs(8), stored(8), &CommitTs(6).into());
    assert_eq!(get(4), DeltaGet::Pruned);
    assert!(matches!(get(7), DeltaGet::Found(version) if !version.is_live()));
    let chunk = delta.chunk(Key::MIN, Key::MAX, Direction::Ascending, CommitTs(4), 10);
    assert!(matches!(chunk, Err(IndexError::Pruned { at: CommitTs(4) })));
}

#[test]
fn bytes_follow_what_is_held() {
    let delta = TestDelta::new(1, 4, 0);
    let body = |len: usize| Place::Memory(Arc::from(vec![0; len]));
    for (ts, key) in (1..).zip(keys()) {
        delta.install(key, CommitTs(ts), body(100), &CommitTs::ZERO.into());
    }
    for ts in 10_000..10_050 {
        delta.install(
            Key::new(1, 7),
            CommitTs(ts),
            body(1000),
            &CommitTs(0).into(),
        );
    }
    let with_history = delta.bytes();
    assert!(with_history > 50 * 1000 + keys().len() * 100);
    delta.install(
        Key::new(1, 7),
        CommitTs(10_050),
        body(1000),
        &CommitTs(10_050).into(),
    );
    assert!(delta.bytes() <= with_history - 49 * 1000);
    let recount: usize = delta
        .shards
        .iter()
        .map(|shard| {
            let shard = shard.read();
            let blocks = shard.values().map(|block| {
                block.memory_bytes() + size_of::<Block<Body, u32>>() + BLOCK_OVERHEAD_BYTES
            });
            blocks.sum::<usize>()
        })
        .sum();
    assert_eq!(delta.bytes(), recount);
}
