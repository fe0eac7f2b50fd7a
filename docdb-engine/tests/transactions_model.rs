//! Transactions of both kinds, interleaved at random with one another, with plain writes, checkpoints
//! and merges, against a map of every version of every document: what each sees, and exactly which of
//! them may commit.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::transactions::{C, begin_as, get};
use common::{create, disk, dump, settle};
use docdb_engine::{Db, ErrorKind, Isolation, Precondition, ScanRequest, Txn, WriteKind, WriteOp};

const IDS: u64 = 24;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// Every version of every document; `None` is a deletion.
#[derive(Default)]
struct History(BTreeMap<u64, Vec<(u64, Option<String>)>>);

impl History {
    fn at(&self, id: u64, version: u64) -> Option<(u64, String)> {
        let versions = self.0.get(&id)?;
        let (at, body) = versions.iter().rev().find(|(at, _)| *at <= version)?;
        Some((*at, body.clone()?))
    }

    fn newest(&self, id: u64) -> u64 {
        let last = self.0.get(&id).and_then(|versions| versions.last());
        last.map_or(0, |(at, _)| *at)
    }

    fn push(&mut self, id: u64, version: u64, body: Option<String>) {
        self.0.entry(id).or_default().push((version, body));
    }
}

/// A transaction, and what the model knows of it.
struct Open {
    txn: Txn,
    own: BTreeMap<u64, Option<String>>,
    read: BTreeSet<u64>,
    /// It has counted.
    read_all: bool,
}

impl Open {
    fn sees(&self, history: &History, id: u64) -> Option<(u64, String)> {
        match self.own.get(&id) {
            Some(own) => own.clone().map(|body| (0, body)),
            None => history.at(id, self.txn.version()),
        }
    }

    fn note(&mut self, id: u64) {
        if !self.own.contains_key(&id) {
            self.read.insert(id);
        }
    }

    fn read(&mut self, history: &History, id: u64, only_whether: bool) {
        let expected = self.sees(history, id);
        if only_whether {
            assert_eq!(self.txn.exists(C, id).unwrap(), expected.is_some());
        } else {
            let found = match self.txn.read(C, id) {
                Ok(document) => Some((document.version, text(&document.body))),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound);
                    None
                }
            };
            assert_eq!(found, expected, "{id}");
        }
        self.note(id);
    }

    fn scan(&mut self, history: &History, random: &mut Random) {
        let (a, b) = (random.below(IDS), random.below(IDS));
        let (from, to) = (a.min(b), a.max(b));
        let request = ScanRequest {
            collection: C.to_owned(),
            from: Some(from),
            to: Some(to),
            limit: (random.below(3) == 0).then(|| 1 + random.below(6)),
            reverse: random.below(2) == 0,
            ..ScanRequest::default()
        };
        let mut expected: Vec<_> = (from..=to)
            .filter_map(|id| {
                self.sees(history, id)
                    .map(|(version, body)| (id, version, body))
            })
            .collect();
        if request.reverse {
            expected.reverse();
        }
        expected.truncate(request.limit.unwrap_or(u64::MAX).min(1_000) as usize);
        let mut scan = self.txn.scan(&request).unwrap();
        let mut found = Vec::new();
        let mut chunks = random.below(6);
        let whole = loop {
            if chunks == 0 {
                break false;
            }
            chunks -= 1;
            let items = 1 + random.below(8) as usize;
            let chunk = scan.next_chunk(&mut self.txn, items, 1 << 10).unwrap();
            assert!(chunk.len() <= items);
            found.extend(
                chunk
                    .iter()
                    .map(|item| (item.id, item.version, text(&item.body))),
            );
            // It came to the end, and saw that there is nothing more.
            if chunk.len() < items {
                break found.len() as u64 != request.limit.unwrap_or(u64::MAX);
            }
        };
        assert_eq!(found, expected[..found.len()]);
        let done = match (found.last(), request.reverse) {
            _ if whole => {
                assert_eq!(found, expected);
                from..=to
            }
            (None, _) => return,
            (Some((last, ..)), false) => from..=*last,
            (Some((last, ..)), true) => *last..=to,
        };
        self.read.extend(done);
    }

    fn write(&mut self, history: &History, random: &mut Random, step: u64) {
        let id = random.below(IDS);
        let seen = self.sees(history, id);
        let body = step.to_string();
        let precondition = match (random.below(6), &seen) {
            (0, _) => Precondition::Absent,
            (1, Some((version, _))) => Precondition::VersionIs(*version),
            (2, _) => Precondition::VersionIs(step),
            _ => Precondition::None,
        };
        let kind = match random.below(8) {
            0 => WriteKind::Create,
            1 => WriteKind::Update,
            2 | 3 => WriteKind::Delete,
            _ => WriteKind::Upsert,
        };
        let op = WriteOp::new(kind, C, id, body.as_bytes()).when(precondition);
        let own = self.own.contains_key(&id);
        let holds = match (kind, &seen) {
            (WriteKind::Create, Some(_)) | (WriteKind::Update | WriteKind::Delete, None) => false,
            _ => match (precondition, &seen) {
                (Precondition::None, _) | (Precondition::Absent, None) => true,
                (Precondition::VersionIs(wanted), Some((version, _))) => wanted == *version && !own,
                _ => false,
            },
        };
        match self.txn.write(&op) {
            Ok(written) => {
                assert!(holds, "{op:?} of {seen:?}");
                assert_eq!(written, id);
                let body = (kind != WriteKind::Delete).then_some(body);
                self.own.insert(id, body);
            }
            Err(error) => {
                assert!(!holds, "{op:?} of {seen:?}: {error}");
                self.note(id);
            }
        }
    }

    fn insert(&mut self, history: &History, step: u64) {
        let body = step.to_string();
        let id = self.txn.insert(C, body.as_bytes()).unwrap();
        let used = history.0.keys().chain(self.own.keys()).max();
        assert!(id > used.copied().unwrap_or(0), "{id} after {used:?}");
        self.own.insert(id, Some(body));
    }

    fn count(&mut self, history: &History) {
        let ids: BTreeSet<u64> = history.0.keys().chain(self.own.keys()).copied().collect();
        let expected = ids.iter().filter(|id| self.sees(history, **id).is_some());
        let expected = expected.count() as u64;
        assert_eq!(self.txn.count(C).unwrap(), expected);
        self.read_all = true;
    }

    /// Commits, and says whether it did: exactly if nothing that it depends on was committed since.
    fn commit(self, history: &mut History) -> bool {
        let Open {
            txn,
            own,
            read,
            read_all,
        } = self;
        let began = txn.version();
        let isolation = txn.isolation();
        let mut depends: BTreeSet<u64> = own.keys().copied().collect();
        if isolation == Isolation::Serializable && !own.is_empty() {
            depends.extend(read);
            if read_all {
                depends.extend(history.0.keys());
            }
        }
        let lost_to: Vec<u64> = depends
            .iter()
            .map(|id| history.newest(*id))
            .filter(|version| *version > began)
            .collect();
        match txn.commit().wait() {
            Ok(committed) => {
                assert_eq!(lost_to, [0_u64; 0], "{isolation:?}");
                for (id, body) in own {
                    history.push(id, committed.version, body);
                }
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                assert!(
                    lost_to.contains(&error.version().unwrap()),
                    "{error}, {lost_to:?}"
                );
                false
            }
        }
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

fn plain_write(db: &Db, history: &mut History, random: &mut Random, step: u64) {
    let id = random.below(IDS);
    let body = step.to_string();
    let delete = random.below(3) == 0;
    let op = if delete {
        WriteOp::delete(C, id)
    } else {
        WriteOp::upsert(C, id, body.as_bytes())
    };
    if let Ok(committed) = db.submit(&[op]).wait() {
        history.push(id, committed.version, (!delete).then_some(body));
    }
}

#[test]
fn any_interleaving() {
    let (mut committed, mut conflicted) = ([0; 2], [0; 2]);
    for seed in 1..=200 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let db = create(&disk()).unwrap();
        let mut history = History::default();
        let mut open: Vec<Open> = Vec::new();
        for step in 1..=400_u64 {
            if open.len() < 4 && random.below(6) == 0 {
                let isolation = match random.below(2) {
                    0 => Isolation::Snapshot,
                    _ => Isolation::Serializable,
                };
                open.push(Open {
                    txn: begin_as(&db, isolation),
                    own: BTreeMap::new(),
                    read: BTreeSet::new(),
                    read_all: false,
                });
            }
            let choice = random.below(100);
            if choice >= 88 || open.is_empty() {
                match choice {
                    97.. => {
                        db.checkpoint().unwrap();
                    }
                    95..97 => settle(&db).unwrap(),
                    _ => plain_write(&db, &mut history, &mut random, step),
                }
                continue;
            }
            let at = random.below(open.len() as u64) as usize;
            let txn = &mut open[at];
            match choice {
                0..20 => txn.read(&history, random.below(IDS), choice < 8),
                20..35 => txn.scan(&history, &mut random),
                35..36 => txn.count(&history),
                36..39 => txn.insert(&history, step),
                39..68 => txn.write(&history, &mut random, step),
                68..84 => {
                    let txn = open.swap_remove(at);
                    let kind = usize::from(txn.txn.isolation() == Isolation::Serializable);
                    let writes = !txn.own.is_empty();
                    if txn.commit(&mut history) {
                        committed[kind] += u32::from(writes);
                    } else {
                        conflicted[kind] += 1;
                    }
                }
                _ => open.swap_remove(at).txn.rollback(),
            }
        }
        drop(open);
        for id in history.0.keys().copied() {
            let expected = history
                .at(id, u64::MAX)
                .map_or(String::new(), |(_, body)| body);
            assert_eq!(get(&db, id), expected);
        }
        assert!(dump(&db).is_ok());
        db.maintenance_step().unwrap();
        let stats = db.stats();
        assert_eq!((stats.retired_bytes, stats.transaction_bytes), (0, 0));
    }
    println!("{committed:?} committed, {conflicted:?} lost");
    let all = committed.iter().chain(&conflicted);
    assert!(all.min().unwrap() > &100, "{committed:?}, {conflicted:?}");
}
