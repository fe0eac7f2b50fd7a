//! Any sequence of operations, reopenings and crashes against a model of what the database holds.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::{BTreeMap, VecDeque};

use common::model::{Op, State, submit};
use common::{create_with, disk, dump, in_collection, open_with, options, scan_all};
use docdb_engine::vfs::sim::{CrashPolicy, SectorSize, SimVfs};
use docdb_engine::{
    CommitTicket, Db, DbOptions, ErrorKind, Precondition, Scan, ScanRequest, WriteKind,
};
use proptest::prelude::*;

const NAMES: [&str; 3] = ["_default", "a", "b"];

#[derive(Debug, Clone)]
enum Step {
    /// A commit, awaited or left under way.
    Commit(Vec<Op>, bool),
    Create(usize),
    Drop(usize, bool),
    Checkpoint,
    Maintain,
    Settle,
    Compact,
    Close,
    Crash(CrashPolicy),
    /// The first page of a scan, whose cursor or scan is kept.
    Page(usize, bool, u64),
    /// Goes on with the oldest kept page and scan to their ends.
    GoOn,
    Look,
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![
        2 => Just(WriteKind::Create),
        2 => Just(WriteKind::Update),
        4 => Just(WriteKind::Upsert),
        3 => Just(WriteKind::Delete),
        2 => Just(WriteKind::Insert),
        // Of all members that there are: an update.
        2 => Just(WriteKind::Merge),
    ];
    let precondition = prop_oneof![
        6 => Just(Precondition::None),
        1 => Just(Precondition::Absent),
        1 => (0..40_u64).prop_map(Precondition::VersionIs),
    ];
    let bytes = prop_oneof![6 => 1..60_usize, 1 => 1_000..9_000_usize];
    let id = prop_oneof![8 => 0..12_u64, 1 => 250..260_u64, 1 => Just(70_000)];
    (kind, 0..NAMES.len(), id, precondition, bytes, any::<u64>()).prop_map(
        |(kind, name, id, precondition, bytes, n)| Op {
            precondition,
            ..Op::new(
                kind,
                NAMES[name],
                id,
                common::workload::text(n, bytes).as_bytes(),
            )
        },
    )
}

fn policy() -> impl Strategy<Value = CrashPolicy> {
    prop_oneof![
        Just(CrashPolicy::Kill),
        Just(CrashPolicy::KeepNone),
        Just(CrashPolicy::KeepAll),
        any::<u64>().prop_map(|seed| CrashPolicy::Random {
            seed,
            sector: SectorSize::Bytes4096
        }),
        any::<u64>().prop_map(|seed| CrashPolicy::Torn {
            seed,
            sector: SectorSize::Bytes512
        }),
        (0..20_usize).prop_map(CrashPolicy::DropOne),
        (0..20_usize).prop_map(CrashPolicy::KeepOne),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (prop::collection::vec(op(), 1..2), any::<bool>()).prop_map(|(ops, wait)| Step::Commit(ops, wait)),
        6 => (prop::collection::vec(op(), 2..6), any::<bool>()).prop_map(|(ops, wait)| Step::Commit(ops, wait)),
        2 => (0..NAMES.len()).prop_map(Step::Create),
        1 => (0..NAMES.len(), any::<bool>()).prop_map(|(name, force)| Step::Drop(name, force)),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Maintain),
        2 => Just(Step::Settle),
        1 => Just(Step::Compact),
        1 => Just(Step::Close),
        1 => policy().prop_map(Step::Crash),
        2 => (0..NAMES.len(), any::<bool>(), 1..4_u64).prop_map(|(n, r, l)| Step::Page(n, r, l)),
        2 => Just(Step::GoOn),
        3 => Just(Step::Look),
    ]
}

/// A page that was read, and what must come after it.
struct Kept {
    request: ScanRequest,
    rest: Vec<(u64, u64, Vec<u8>)>,
    /// A second scan in the same snapshot that was never dropped.
    scan: Scan,
}

/// The most bytes of run pages and of documents that are kept in memory.
#[derive(Debug, Clone, Copy)]
struct Caches(u64, u64);

impl Caches {
    fn options(self) -> DbOptions {
        let mut options = options();
        options.block_cache_bytes_max = self.0;
        options.document_cache_bytes_max = self.1;
        options
    }
}

struct Harness {
    caches: Caches,
    vfs: SimVfs,
    db: Option<Db>,
    /// The states after each submitted commit that may still be lost, oldest first; before it what
    /// is certain.
    states: VecDeque<(u64, State)>,
    tickets: Vec<(CommitTicket, u64, Vec<u64>)>,
    kept: VecDeque<Kept>,
    /// The highest version given out.
    version: u64,
    /// What was written in each version: no version may name anything else.
    written: BTreeMap<u64, Vec<Op>>,
}

impl Harness {
    fn new(caches: Caches) -> Harness {
        let vfs = disk();
        let db = create_with(&vfs, caches.options()).unwrap();
        Harness {
            caches,
            vfs,
            db: Some(db),
            states: VecDeque::from([(0, State::new())]),
            tickets: Vec::new(),
            kept: VecDeque::new(),
            version: 0,
            written: BTreeMap::new(),
        }
    }

    fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    fn installed(&self) -> &State {
        &self.states.back().unwrap().1
    }

    /// The state that readers see.
    fn visible(&self) -> &State {
        let visible = self.db().visible_version();
        let at = self
            .states
            .partition_point(|(version, _)| *version <= visible);
        &self.states[at - 1].1
    }

    /// Everything submitted is durable.
    fn settle(&mut self) {
        for (ticket, version, ids) in self.tickets.drain(..) {
            let committed = ticket.wait().unwrap();
            assert_eq!((committed.version, &*committed.ids), (version, &*ids));
        }
        self.states.drain(..self.states.len() - 1);
    }

    fn submitted(
        &mut self,
        ticket: CommitTicket,
        outcome: Result<(State, Vec<u64>), common::model::Refused>,
        version: u64,
    ) {
        match outcome {
            Ok((state, ids)) => {
                assert!(version > self.version, "{version} after {}", self.version);
                self.version = version;
                self.states.push_back((version, state));
                self.tickets.push((ticket, version, ids));
            }
            Err((kind, index)) => {
                // Its reason must be durable first, so everything before it is.
                let refused = ticket.wait().unwrap_err();
                assert_eq!(
                    (refused.kind(), refused.op_index()),
                    (kind, index),
                    "{refused}"
                );
            }
        }
    }

    fn reopen(&mut self) {
        let db = open_with(&self.vfs, self.caches.options()).unwrap();
        let shown = dump(&db).unwrap();
        let at = self
            .states
            .iter()
            .position(|(_, state)| state.visible() == shown);
        let at =
            at.unwrap_or_else(|| panic!("shown {shown:#?}, expected one of {:#?}", self.states));
        // Equal states may differ in the ids that were used.
        let last = self
            .states
            .iter()
            .rposition(|(_, state)| state.visible() == shown)
            .unwrap();
        let known = self
            .states
            .range(at..=last)
            .all(|(_, s)| *s == self.states[at].1);
        let (version, state) = self.states[last].clone();
        // Of commits that changed nothing the last ones may be lost.
        let version = version.min(db.visible_version());
        self.states = VecDeque::from([(version, state)]);
        if !known {
            // Learn which: the highest id is seen by using it.
            for name in NAMES {
                let Some(collection) = self.states[0].1.collections.get_mut(name) else {
                    continue;
                };
                let write = docdb_engine::WriteOp::insert(name, b"0");
                let committed = db.submit(&[write]).wait().unwrap();
                let id = committed.ids[0];
                assert!(id <= collection.highest.map_or(1, |h| h + 1));
                collection.highest = Some(id);
                collection
                    .documents
                    .insert(id, (committed.version, b"0".to_vec()));
                self.version = committed.version;
                self.states[0].0 = committed.version;
            }
        }
        self.db = Some(db);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit(ops, wait) => {
                let version = self.db().wal().next_lsn().0;
                let outcome = self.installed().apply(&ops, version);
                let ticket = submit(self.db(), &ops);
                if outcome.is_ok() {
                    assert!(
                        self.written.insert(version, ops).is_none(),
                        "{version} again"
                    );
                }
                self.submitted(ticket, outcome, version);
                if wait {
                    self.settle();
                }
            }
            Step::Create(name) => {
                let version = self.db().wal().next_lsn().0;
                let outcome = self.installed().with_collection(NAMES[name]);
                let ticket = self.db().create_collection(NAMES[name]);
                match outcome {
                    Ok(state) => {
                        let committed = ticket.wait().unwrap();
                        self.submitted_collection(committed.version, version, state);
                    }
                    Err(refused) => self.submitted(ticket, Err(refused), version),
                }
            }
            Step::Drop(name, force) => {
                let version = self.db().wal().next_lsn().0;
                let outcome = self.installed().without_collection(NAMES[name], force);
                let ticket = self.db().drop_collection(NAMES[name], force);
                match outcome {
                    Ok(state) => {
                        let committed = ticket.wait().unwrap();
                        self.submitted_collection(committed.version, version, state);
                    }
                    Err(refused) => self.submitted(ticket, Err(refused), version),
                }
            }
            Step::Checkpoint => {
                self.db().checkpoint().unwrap();
                self.settle();
            }
            Step::Maintain => {
                self.vfs.advance(std::time::Duration::from_secs(40));
                self.db().maintenance_step().unwrap();
            }
            Step::Settle => common::settle(self.db()).unwrap(),
            Step::Compact => {
                let report = self.db().compact().unwrap();
                assert!(report.bytes_after <= report.bytes_before, "{report:?}");
                self.settle();
            }
            Step::Close => {
                self.kept.clear();
                self.db.take().unwrap().close().unwrap();
                self.settle();
                self.reopen();
            }
            Step::Crash(policy) => {
                // Nothing of the process survives, so none of it may work on.
                self.vfs.crash(&policy);
                self.kept.clear();
                self.tickets.clear();
                self.db = None;
                self.reopen();
            }
            Step::Page(name, reverse, limit) => self.page(NAMES[name], reverse, limit),
            Step::GoOn => self.go_on(),
            Step::Look => {
                assert_eq!(dump(self.db()), Ok(self.visible().visible()));
            }
        }
    }

    fn submitted_collection(&mut self, version: u64, expected: u64, state: State) {
        assert_eq!(version, expected);
        assert!(version > self.version);
        self.version = version;
        self.states.push_back((version, state));
        self.settle();
    }

    fn page(&mut self, name: &str, reverse: bool, limit: u64) {
        let mut request = ScanRequest {
            reverse,
            limit: Some(limit),
            ..in_collection(name)
        };
        let Some(collection) = self.visible().collections.get(name) else {
            assert_eq!(
                self.db().scan(&request).unwrap_err().kind(),
                ErrorKind::CollectionNotFound
            );
            return;
        };
        let mut wanted: Vec<_> = collection
            .documents
            .iter()
            .map(|(id, (version, body))| (*id, *version, body.clone()))
            .collect();
        if reverse {
            wanted.reverse();
        }
        let mut paged = self.db().scan(&request).unwrap();
        let mut found = Vec::new();
        while let chunk = paged.next_chunk(2, usize::MAX).unwrap()
            && !chunk.is_empty()
        {
            found.extend(
                chunk
                    .into_iter()
                    .map(|i| (i.id, i.version, i.body.to_vec())),
            );
        }
        let rest = wanted.split_off(wanted.len().min(limit as usize));
        assert_eq!(found, wanted);
        request.cursor = paged.cursor();
        assert_eq!(request.cursor.is_some(), !rest.is_empty());
        request.limit = None;
        if request.cursor.is_some() {
            let scan = self.db().scan(&request).unwrap();
            self.kept.push_back(Kept {
                request,
                rest,
                scan,
            });
        }
    }

    fn go_on(&mut self) {
        let Some(mut kept) = self.kept.pop_front() else {
            return;
        };
        assert_eq!(scan_all(self.db(), &kept.request).unwrap(), kept.rest);
        let mut found = Vec::new();
        while let chunk = kept.scan.next_chunk(3, usize::MAX).unwrap()
            && !chunk.is_empty()
        {
            found.extend(
                chunk
                    .into_iter()
                    .map(|i| (i.id, i.version, i.body.to_vec())),
            );
        }
        assert_eq!(found, kept.rest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_database_does_what_the_model_does(
        steps in prop::collection::vec(step(), 1..70),
        // None, room for a page and a few documents, room for all.
        caches in prop_oneof![
            Just(Caches(0, 0)),
            Just(Caches(5_000, 500)),
            Just(Caches(u64::MAX, u64::MAX)),
        ],
    ) {
        let mut harness = Harness::new(caches);
        for step in steps {
            harness.take(step);
        }
        harness.settle();
        harness.go_on();
        prop_assert_eq!(dump(harness.db()), Ok(harness.installed().visible()));
    }
}
