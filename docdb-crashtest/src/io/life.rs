//! Short lives of a database in which everything happens once.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use docdb_engine::{Db, DbOptions, Durability, Error, ManualDriver, WriteKind};
use docdb_vfs::Vfs;
use docdb_vfs::sim::SimVfs;
use parking_lot::Mutex;

use crate::oracle::{
    Answer, Care, Journal, Loss, Op, Print, Session, Stop, Submitted, look, settle,
};
use crate::rng::Rng;

/// Where the database lies.
pub(super) const DIR: &str = "/data/db";

/// One thing that is done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Commits that are under way together, then awaited by whoever blocks.
    Commit(Vec<Vec<Op>>),
    /// The same, awaited by tasks that want to be woken.
    Awaited(Vec<Vec<Op>>),
    /// A checkpoint while commits are under way.
    CommitAndCheckpoint(Vec<Vec<Op>>),
    CreateCollection(&'static str),
    DropCollection(&'static str),
    Checkpoint,
    Maintain,
    Compact,
    Look,
    /// Closed and opened again.
    Reopen,
    /// Left alone and opened again by another process.
    Kill,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, commits) = match self {
            Step::Commit(commits) => ("commit", commits),
            Step::Awaited(commits) => ("commit in tasks", commits),
            Step::CommitAndCheckpoint(commits) => ("checkpoint beside commit", commits),
            Step::CreateCollection(name) => return write!(f, "create collection {name}"),
            Step::DropCollection(name) => return write!(f, "drop collection {name}"),
            other => return write!(f, "{}", format!("{other:?}").to_lowercase()),
        };
        f.write_str(name)?;
        for (n, ops) in commits.iter().enumerate() {
            f.write_str(if n == 0 { " " } else { " | " })?;
            for op in ops {
                let bytes = op.body.len();
                write!(
                    f,
                    "{:?} {}/{} ({bytes} bytes) ",
                    op.kind, op.collection, op.id
                )?;
            }
        }
        Ok(())
    }
}

/// Everything small, so that a short life rotates segments, fills data files and merges runs.
pub(super) fn options(mode: Durability) -> DbOptions {
    let mut options = DbOptions::default();
    options.durability = mode;
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 64 << 10;
    options.keep_segments = 0;
    options.index_shards = 4;
    options.runs_max = 2;
    options.data_file_bytes_max = 8 << 10;
    options.bulk_bytes_min = 4 << 10;
    options.compact_slice_bytes = 4 << 10;
    options.compaction_bytes_per_second = u64::MAX;
    options
}

/// A disk with an empty, durable directory for databases.
pub(super) fn disk() -> SimVfs {
    let vfs = SimVfs::new(7);
    let made = vfs.create_dir(Path::new("/data"));
    let made = made.and_then(|()| vfs.sync_dir(Path::new("/")));
    debug_assert!(made.is_ok(), "nothing fails yet");
    vfs
}

pub(super) fn create(vfs: Arc<dyn Vfs>, mode: Durability) -> Result<Db, Error> {
    Db::create(vfs, Path::new(DIR), options(mode), Arc::new(ManualDriver))
}

pub(super) fn open(vfs: Arc<dyn Vfs>, mode: Durability) -> Result<Db, Error> {
    Db::open_manual(vfs, Path::new(DIR), options(mode), Arc::new(ManualDriver))
}

/// A life under way, and what it has promised.
pub(super) struct Run {
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) mode: Durability,
    pub(super) journal: Arc<Mutex<Journal>>,
    /// None before the creation, and while it is opened.
    pub(super) session: Option<Session>,
    /// Steps that were begun.
    pub(super) steps: usize,
    /// Whether the disk keeps what it says it has: else a process may find less than was promised.
    pub(super) is_honest: bool,
}

impl Run {
    pub(super) fn new(vfs: Arc<dyn Vfs>, mode: Durability) -> Run {
        Run {
            vfs,
            mode,
            journal: Arc::new(Mutex::new(Journal::new(mode))),
            session: None,
            steps: 0,
            is_honest: true,
        }
    }

    /// Lives it, to its end or to the first error.
    pub(super) fn live(&mut self, steps: &[Step]) -> Result<(), Stop> {
        let db = create(Arc::clone(&self.vfs), self.mode)?;
        self.journal.lock().created();
        self.session = Some(self.session_of(db));
        for step in steps {
            self.steps += 1;
            self.step(step)?;
        }
        Ok(())
    }

    fn session_of(&self, db: Db) -> Session {
        Session {
            db,
            journal: Arc::clone(&self.journal),
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        let Some(session) = &self.session else {
            return Err(Stop::Wrong("the life has no database".to_owned()));
        };
        match step {
            Step::Commit(commits) => together(session, commits, || Ok(())),
            Step::Awaited(commits) => awaited(session, commits),
            Step::CommitAndCheckpoint(commits) => together(session, commits, || {
                Ok(session.db.checkpoint().map(drop)?)
            }),
            Step::CreateCollection(name) => accepted(session.create_collection(name)?),
            Step::DropCollection(name) => accepted(session.drop_collection(name, true)?),
            Step::Checkpoint => session.checkpoint(),
            Step::Maintain => Ok(settle(&session.db)?),
            Step::Compact => Ok(session.db.compact().map(drop)?),
            Step::Look => self.look(),
            Step::Reopen => {
                let session = session.clone();
                session.close()?;
                self.reopen()
            }
            Step::Kill => self.reopen(),
        }
    }

    fn look(&self) -> Result<(), Stop> {
        match &self.session {
            Some(session) => shown(&session.db, &session.journal.lock(), true).map(drop),
            None => Ok(()),
        }
    }

    fn reopen(&mut self) -> Result<(), Stop> {
        self.session = None;
        let db = open(Arc::clone(&self.vfs), self.mode)?;
        let session = self.session.insert(Session {
            db,
            journal: Arc::clone(&self.journal),
        });
        let mut journal = self.journal.lock();
        let commits = match shown(&session.db, &journal, false) {
            Err(Stop::Wrong(what)) if !self.is_honest => {
                let seen = look(&session.db, Care::Once).map_err(Stop::Wrong)?;
                known(&journal, seen.print).ok_or(Stop::Wrong(what))?
            }
            shown => shown?,
        };
        journal.recovered(commits);
        Ok(())
    }
}

/// After how many commits the database was in that state, whatever was promised.
pub(super) fn known(journal: &Journal, print: Print) -> Option<usize> {
    let fits = |number: &usize| {
        journal
            .state(*number)
            .is_some_and(|state| state.print() == print)
    };
    (0..=journal.commits()).rev().find(fits)
}

/// Looks at a database and says after how many commits it is: all, or so many as survive a kill.
pub(super) fn shown(db: &Db, journal: &Journal, all: bool) -> Result<usize, Stop> {
    let seen = match look(db, Care::EveryWay) {
        Ok(seen) => seen,
        Err(what) => return Err(of_look(what)),
    };
    if all && seen.print == journal.last().print() {
        return Ok(journal.commits());
    }
    match journal.judge(seen.print, Loss::Kill) {
        Ok(commits) if all => Err(Stop::Wrong(format!(
            "{} commits were answered, {commits} are seen",
            journal.commits()
        ))),
        Ok(commits) => Ok(commits),
        Err(what) => Err(Stop::Wrong(what)),
    }
}

/// A look that failed because the disk did, or one that disagrees with itself.
fn of_look(what: String) -> Stop {
    use docdb_engine::ErrorKind::{Corrupt, Io};

    // The kind stands before the text of the error, behind the name of a collection.
    for kind in [Io, Corrupt] {
        if what.contains(&format!(": {kind:?}: ")) {
            return Stop::Failed(Error::new(kind, what));
        }
    }
    if what.starts_with("collections: ") || what.starts_with("space: ") {
        return Stop::Failed(Error::new(Io, what));
    }
    Stop::Wrong(what)
}

/// A refusal that is as it must be is fine: a kill may have taken back what a commit rests on.
fn accepted(_: Answer) -> Result<(), Stop> {
    Ok(())
}

/// Submits them one after the other. One that is not even logged is the last, and is forgotten.
fn submit_all(session: &Session, commits: &[Vec<Op>]) -> Result<Vec<Submitted>, Stop> {
    let mut submitted = Vec::new();
    for ops in commits {
        let (lsn, known) = (
            session.db.wal().next_lsn(),
            session.journal.lock().commits(),
        );
        let commit = session.submit(ops, None);
        if session.db.wal().next_lsn() > lsn {
            submitted.push(commit);
            continue;
        }
        let refused = session.wait(commit);
        let mut journal = session.journal.lock();
        if journal.commits() > known {
            journal.withdraw(known + 1);
        }
        drop(journal);
        for earlier in submitted {
            session.wait(earlier)?;
        }
        refused?;
        return Ok(Vec::new());
    }
    Ok(submitted)
}

/// All of them are awaited whatever happens, so that the journal knows how each ended.
fn together(
    session: &Session,
    commits: &[Vec<Op>],
    meanwhile: impl FnOnce() -> Result<(), Stop>,
) -> Result<(), Stop> {
    let submitted = submit_all(session, commits)?;
    let mut outcome = meanwhile();
    for submitted in submitted {
        let answer = session.wait(submitted).and_then(accepted);
        outcome = match (outcome, answer) {
            (Err(Stop::Wrong(what)), _) | (_, Err(Stop::Wrong(what))) => Err(Stop::Wrong(what)),
            (Err(stop), _) | (Ok(()), Err(stop)) => Err(stop),
            (Ok(()), Ok(())) => Ok(()),
        };
    }
    outcome
}

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Tasks wait for the commits while somebody else flushes: whatever comes of it, they are woken.
fn awaited(session: &Session, commits: &[Vec<Op>]) -> Result<(), Stop> {
    let mut submitted = submit_all(session, commits)?;
    let mut asleep = Vec::new();
    for submitted in &mut submitted {
        let ticket = submitted.ticket();
        // After a failure a ticket has its answer at once.
        if ticket.is_settled() || session.db.wal().poisoned().is_some() {
            continue;
        }
        let wakes = Arc::new(CountWakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        if Pin::new(ticket)
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            return Err(Stop::Wrong(
                "a commit that is not settled has an answer".to_owned(),
            ));
        }
        asleep.push(wakes);
    }
    let wal = session.db.wal();
    // What becomes of it the tickets say.
    while wal.flush_step().is_ok_and(|more| more) {}
    let forgotten = asleep
        .iter()
        .filter(|wakes| wakes.0.load(Ordering::SeqCst) == 0);
    match forgotten.count() {
        0 => {}
        count => {
            return Err(Stop::Wrong(format!(
                "a flush has ended, and {count} of {} tasks that wait for it are not woken",
                asleep.len()
            )));
        }
    }
    let mut outcome = Ok(());
    for submitted in submitted {
        let answer = session.wait(submitted).and_then(accepted);
        if outcome.is_ok() || matches!(answer, Err(Stop::Wrong(_))) {
            outcome = answer;
        }
    }
    outcome
}

/// A document of about so many bytes that depends on `n`.
pub(super) fn text(n: u64, bytes: usize) -> String {
    let mut body = format!("{{\"n\":{n},\"t\":\"");
    while body.len() + 2 < bytes {
        body.push(char::from(b'a' + ((n as usize + body.len()) % 26) as u8));
    }
    body + "\"}"
}

fn put(collection: &str, id: u64, body: impl Into<Vec<u8>>) -> Op {
    Op::new(WriteKind::Upsert, collection, id, body)
}

fn delete(collection: &str, id: u64) -> Op {
    Op::new(WriteKind::Delete, collection, id, "")
}

fn insert(collection: &str, body: impl Into<Vec<u8>>) -> Op {
    Op::new(WriteKind::Insert, collection, 0, body)
}

/// A life with a name.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// The lives that a smoke test knows.
pub(super) fn lives() -> Vec<Life> {
    vec![
        Life {
            name: "everything".to_owned(),
            steps: everything(),
        },
        Life {
            name: "compacting".to_owned(),
            steps: compacting(),
        },
    ]
}

/// Batches, large commits, deletions, collections, checkpoints, merges, a close and a kill.
fn everything() -> Vec<Step> {
    use Step::*;
    let d = "_default";
    vec![
        Commit(vec![vec![put(d, 1, "1")]]),
        CreateCollection("a"),
        Awaited(vec![
            vec![put("a", 1, "[]"), put("a", 2, "{}"), insert("a", "\"i\"")],
            vec![put(d, 2, text(1, 300))],
            vec![delete("a", 2), put(d, 1, "2")],
        ]),
        Checkpoint,
        Commit(vec![
            vec![put("a", 30, text(2, 5_000))],
            vec![delete("a", 1), insert(d, "null")],
        ]),
        Checkpoint,
        CreateCollection("b"),
        Commit(vec![vec![
            put("b", 1, "1"),
            put("b", 2, "2"),
            put("a", 3, "9"),
        ]]),
        Checkpoint,
        Maintain,
        Commit(vec![
            vec![delete("b", 1)],
            vec![put("a", 4, text(3, 2_000))],
        ]),
        DropCollection("b"),
        CreateCollection("b"),
        Commit(vec![vec![insert("b", "true")]]),
        Look,
        Checkpoint,
        Maintain,
        Reopen,
        CommitAndCheckpoint(vec![
            vec![put("b", 7, text(4, 9_000))],
            vec![delete("a", 3)],
        ]),
        Commit(vec![
            vec![insert("b", text(5, 40))],
            vec![
                insert("b", text(6, 3_000)),
                delete("b", 7),
                insert("b", text(7, 2_500)),
            ],
            vec![put(d, 1, "3"), put("a", 30, text(8, 4_500))],
        ]),
        Kill,
        Commit(vec![vec![insert("a", "[1]"), delete(d, 2)]]),
        Checkpoint,
        Maintain,
        Commit(vec![vec![put("a", 5, "5"), put("a", 4, "4")]]),
        Compact,
        Look,
        Reopen,
        Awaited(vec![vec![put("a", 6, "6")], vec![put("a", 7, "7")]]),
    ]
}

/// Merges, and compactions in several slices.
fn compacting() -> Vec<Step> {
    use Step::*;
    let d = "_default";
    let of = |n: u64, ids: std::ops::Range<u64>, bytes| -> Vec<Op> {
        ids.map(|id| put(d, id, text(n + id, bytes))).collect()
    };
    vec![
        CreateCollection("a"),
        Commit((0..24).step_by(4).map(|n| of(1, n..n + 4, 900)).collect()),
        Commit(vec![vec![put("a", 1, text(1, 600)), put("a", 2, "2")]]),
        Checkpoint,
        Commit(vec![of(2, 0..9, 100), of(2, 12..20, 90)]),
        Checkpoint,
        Commit(vec![vec![delete(d, 10), delete("a", 1)]]),
        Checkpoint,
        Maintain,
        Commit(vec![vec![delete(d, 11), put(d, 14, "14")]]),
        Compact,
        Look,
        DropCollection("a"),
        Commit(vec![of(3, 0..5, 200)]),
        Compact,
        Maintain,
        Commit(vec![vec![delete(d, 15)]]),
        Reopen,
        Maintain,
        Look,
    ]
}

/// The life of that name.
pub(super) fn named(name: &str) -> Option<Life> {
    if let Some(seed) = name.strip_prefix("random-") {
        return Some(random(seed.parse().ok()?));
    }
    lives().into_iter().find(|life| life.name == name)
}

/// A life that nobody thought of.
pub(super) fn random(seed: u64) -> Life {
    let mut rng = Rng::fork(seed, 0x11fe);
    let mut has_other = false;
    let mut steps = Vec::new();
    for n in 0..18 {
        let mut commits = || -> Vec<Vec<Op>> {
            let of = |rng: &mut Rng| -> Vec<Op> {
                (0..1 + rng.below(4))
                    .map(|_| {
                        let collection = if has_other && rng.chance(50) {
                            "other"
                        } else {
                            "_default"
                        };
                        let bytes = [5, 40, 900, 2_500, 5_000][rng.below(5) as usize];
                        let body = text(rng.below(1_000), bytes);
                        match rng.below(4) {
                            0 => insert(collection, body),
                            _ => put(collection, rng.below(12), body),
                        }
                    })
                    .collect()
            };
            (0..1 + rng.below(3)).map(|_| of(&mut rng)).collect()
        };
        let commits = commits();
        steps.push(match rng.below(16) {
            0 | 1 => Step::Checkpoint,
            2 => Step::Maintain,
            3 => Step::Compact,
            4 => Step::Reopen,
            5 => Step::Kill,
            6 | 7 => Step::CommitAndCheckpoint(commits),
            8 | 9 => Step::Awaited(commits),
            10 | 11 if n > 2 => {
                has_other = !has_other;
                if has_other {
                    Step::CreateCollection("other")
                } else {
                    Step::DropCollection("other")
                }
            }
            _ => Step::Commit(commits),
        });
    }
    Life {
        name: format!("random-{seed}"),
        steps,
    }
}
