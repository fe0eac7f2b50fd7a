//! Random lives.

use std::time::Duration;

use docdb_engine::{Durability, WriteKind};
use docdb_vfs::sim::{CrashPolicy, SectorSize};

use super::between::Moment;
use super::heal::{Find, Heal};
use super::setup::{MODES, Setup};
use super::step::{Demand, Reopen, Step, TxnStep, Write};
use crate::rng::Rng;

const NAMES: [&str; 3] = ["_default", "a", "b"];
const IDS: u64 = 12;
const PLACES: u64 = 3;

/// The steps of a life that follows from `rng`; nothing that happens in it changes them.
pub fn generate(rng: &mut Rng, setup: Setup, steps: usize) -> Vec<Step> {
    let mut generator = Generator {
        rng,
        setup,
        next_n: 100,
    };
    let mut made = vec![Step::CreateCollection("a")];
    if generator.rng.chance(30) {
        generator.many(&mut made);
    }
    while made.len() < steps {
        generator.step(&mut made);
    }
    made.truncate(steps);
    made
}

struct Generator<'a> {
    rng: &'a mut Rng,
    setup: Setup,
    next_n: u64,
}

impl Generator<'_> {
    fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.rng.below(choice.len() as u64) as usize]
    }

    fn name(&mut self) -> &'static str {
        self.of(&[NAMES[0], NAMES[0], NAMES[1], NAMES[2]])
    }

    fn write(&mut self) -> Write {
        let kind = self.of(&[
            WriteKind::Upsert,
            WriteKind::Upsert,
            WriteKind::Upsert,
            WriteKind::Upsert,
            WriteKind::Delete,
            WriteKind::Delete,
            WriteKind::Update,
            WriteKind::Create,
            WriteKind::Insert,
            WriteKind::Patch,
            WriteKind::Merge,
        ]);
        self.next_n += 1;
        let demand = match self.rng.below(16) {
            0 => Demand::Absent,
            1 => Demand::Current,
            2 => Demand::Wrong,
            _ => Demand::Nothing,
        };
        Write {
            demand,
            bytes: self.of(&[20, 40, 60, 200, 700, 1_500]),
            ..Write::new(kind, self.name(), self.rng.below(IDS), self.next_n, 0)
        }
    }

    fn writes(&mut self) -> Vec<Write> {
        let count = self.of(&[1, 1, 1, 2, 3, 5]);
        // One that is refused takes the whole commit along, so most have few that can be.
        (0..count).map(|_| self.write()).collect()
    }

    /// A run that is larger than what comes later, so that it is not merged with each.
    fn many(&mut self, made: &mut Vec<Step>) {
        let writes = (0..IDS).chain(100..112).map(|id| {
            self.next_n += 1;
            Write::new(WriteKind::Upsert, NAMES[0], id, self.next_n, 30)
        });
        made.push(Step::Commit(writes.collect()));
        made.push(Step::Checkpoint);
    }

    /// Upserts too small for a data file.
    fn small(&mut self, count: u64) -> Vec<Write> {
        let mut one = || {
            self.next_n += 1;
            let id = self.rng.below(IDS);
            Write::new(WriteKind::Upsert, NAMES[0], id, self.next_n, 30)
        };
        (0..count).map(|_| one()).collect()
    }

    fn commits(&mut self) -> Vec<Vec<Write>> {
        let count = 1 + self.rng.below(3);
        (0..count).map(|_| self.writes()).collect()
    }

    fn setup(&mut self) -> Setup {
        let mode = match self.rng.below(6) {
            0 => self.of(&MODES),
            _ => self.setup.mode,
        };
        self.setup = Setup::draw(self.rng, mode);
        self.setup
    }

    fn place(&mut self) -> usize {
        self.rng.below(PLACES) as usize
    }

    fn txn(&mut self) -> TxnStep {
        let name = self.name();
        match self.rng.below(12) {
            0..3 => TxnStep::Begin {
                serializable: self.rng.chance(60),
            },
            3..6 => TxnStep::Write(self.write()),
            6 => TxnStep::Read(name, self.rng.below(IDS)),
            7 => {
                let from = self.rng.below(IDS);
                TxnStep::Scan(name, from, from + self.rng.below(IDS))
            }
            8 => TxnStep::Count(name),
            9 => TxnStep::Rollback,
            _ => TxnStep::Commit,
        }
    }

    /// Two transactions that meet.
    fn meeting(&mut self, made: &mut Vec<Step>) {
        let (a, b) = (PLACES as usize, PLACES as usize + 1);
        let serializable = self.rng.chance(60);
        let mut of = |place, step| made.push(Step::Txn(place, step));
        of(a, TxnStep::Begin { serializable });
        of(b, TxnStep::Begin { serializable });
        for place in [a, b] {
            of(place, TxnStep::Read("_default", self.rng.below(4)));
            let write = self.small(1);
            for mut write in write {
                write.id %= 4;
                of(place, TxnStep::Write(write));
            }
        }
        of(b, TxnStep::Commit);
        of(a, TxnStep::Commit);
        made.push(Step::Look("_default", 0, 4));
    }

    /// A transaction whose bodies go to a data file when it commits, and just then somebody writes what
    /// it has read.
    fn late(&mut self, made: &mut Vec<Step>) {
        let place = PLACES as usize + 2;
        let (read, written) = (self.rng.below(4), 4 + self.rng.below(4));
        self.next_n += 2;
        let write = |id, n, bytes| Write::new(WriteKind::Upsert, NAMES[0], id, n, bytes);
        let step = |step| Step::Txn(place, step);
        made.push(step(TxnStep::Begin { serializable: true }));
        made.push(step(TxnStep::Read(NAMES[0], read)));
        made.push(step(TxnStep::Write(write(written, self.next_n, 3_500))));
        made.push(Step::Between(
            Moment::OfDataFile(0),
            vec![write(read, self.next_n - 1, 30)],
            Box::new(step(TxnStep::Commit)),
        ));
    }

    /// A change of something large, with another one of the same in the middle.
    fn between(&mut self) -> Step {
        let nth = self.rng.below(4) as u32;
        let moment = if self.rng.chance(70) {
            Moment::OfDataFile(nth)
        } else {
            Moment::OfRun(nth)
        };
        let small = self.small(2);
        let step = match self.rng.below(6) {
            0 | 1 => {
                self.next_n += 1;
                let write = Write::new(WriteKind::Merge, NAMES[0], small[0].id, self.next_n, 3_500);
                return Step::Between(
                    Moment::OfDataFile(nth / 2),
                    small,
                    Box::new(Step::Commit(vec![write])),
                );
            }
            2 => Step::Checkpoint,
            3 => Step::Compact,
            4 => Step::Txn(self.place(), TxnStep::Commit),
            _ => Step::Settle,
        };
        Step::Between(moment, small, Box::new(step))
    }

    fn heal(&mut self) -> Step {
        self.next_n += 1;
        let moment = Moment::OfDataFile(self.rng.below(3) as u32);
        let between = (moment, self.rng.chance(50), self.rng.chance(70));
        Step::Heal(Heal {
            nth: self.rng.below(IDS),
            find: self.of(&[
                Find::Read,
                Find::Demand,
                Find::Demand,
                Find::All,
                Find::Scrub,
            ]),
            meanwhile: self.rng.chance(50).then_some(between),
            n: self.next_n,
            deletes: self.rng.chance(50),
        })
    }

    fn step(&mut self, made: &mut Vec<Step>) {
        let step = match self.rng.below(100) {
            0..22 => Step::Commit(self.writes()),
            22..25 => {
                let mode = self.of(&[Durability::Full, Durability::Os]);
                Step::CommitAs(mode, self.writes())
            }
            25..32 => Step::UnderWay(self.commits()),
            32..34 => Step::Forgotten(self.commits()),
            34..36 => Step::IntoCheckpoint(self.commits()),
            36 => Step::DeleteRange {
                collection: self.name(),
                from: self.rng.below(IDS),
                to: self.rng.below(IDS),
                limit: 1 + self.rng.below(4),
            },
            37..39 => Step::CreateCollection(self.of(&["a", "b"])),
            39 => Step::DropCollection(self.of(&["a", "b"]), self.rng.chance(60)),
            40..50 => Step::Txn(self.place(), self.txn()),
            50..52 => return self.meeting(made),
            52 => return self.late(made),
            53..56 => Step::Hold(self.place()),
            56 => Step::Release(self.place()),
            57 => Step::BeginScan(self.place(), self.name(), self.rng.chance(50)),
            58..60 => Step::GoOn(self.place()),
            60..62 => {
                let from = self.rng.below(IDS);
                Step::Look(self.name(), from, from + 4)
            }
            62 => self.heal(),
            63 => Step::LookAtAll,
            64 => Step::Backup(self.commits()),
            65 => Step::Flush,
            66 => Step::Sync,
            67 => Step::Prepare,
            68 => Step::RunSteps,
            69..72 => Step::Maintain,
            72 => Step::Settle,
            73 => Step::Scrub,
            74..80 => Step::Checkpoint,
            80..82 => Step::Compact,
            82..86 => self.between(),
            86 => Step::CompactBetween(self.small(3)),
            87..93 => {
                let millis = self.of(&[1, 5, 10, 20, 200, 31_000]);
                Step::Elapse(Duration::from_millis(millis))
            }
            93..95 => Step::Reopen(Reopen::Close, self.setup()),
            95..97 => Step::Reopen(Reopen::Crash(CrashPolicy::Kill), self.setup()),
            _ => {
                let policy = self.policy();
                Step::Reopen(Reopen::Crash(policy), self.setup())
            }
        };
        made.push(step);
    }

    fn policy(&mut self) -> CrashPolicy {
        let seed = self.rng.next();
        match self.rng.below(4) {
            0 => CrashPolicy::KeepNone,
            1 => CrashPolicy::KeepAll,
            2 => CrashPolicy::Random {
                seed,
                sector: SectorSize::Bytes4096,
            },
            _ => CrashPolicy::Torn {
                seed,
                sector: SectorSize::Bytes512,
            },
        }
    }
}
