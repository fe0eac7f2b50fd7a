//! A short life of a database in which everything happens once, and what it has promised so far.

use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::{CommitTicket, Db, Error, ErrorKind, WriteKind};

use super::model::{Op, State, submit};
use super::{create, dump, open, settle};

/// What a test knows that the database has promised.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    /// Whether [`Db::create`] has returned.
    pub(crate) created: bool,
    /// The empty database, then the states after each submitted commit, in order.
    pub(crate) states: Vec<State>,
    /// The last of these that was acknowledged.
    pub(crate) acknowledged: usize,
    /// The highest version given to a submitted commit.
    pub(crate) version: u64,
}

impl Default for Promise {
    fn default() -> Self {
        Promise {
            created: false,
            states: vec![State::new()],
            acknowledged: 0,
            version: 0,
        }
    }
}

impl Promise {
    pub(crate) fn last(&self) -> &State {
        &self.states[self.states.len() - 1]
    }

    /// The states that equal what is shown and are not older than what was acknowledged.
    pub(crate) fn matching(&self, shown: &State) -> Result<Vec<&State>, String> {
        let matching: Vec<_> = self.states[self.acknowledged..]
            .iter()
            .filter(|state| state.visible() == *shown)
            .collect();
        if !matching.is_empty() {
            return Ok(matching);
        }
        let older = self
            .states
            .iter()
            .position(|state| state.visible() == *shown);
        Err(match older {
            Some(at) => format!(
                "commit {} was acknowledged, the state is that after commit {at}",
                self.acknowledged
            ),
            None => format!("the state is none that ever was: {shown:?}"),
        })
    }
}

/// Several commits under way at once, then all awaited.
pub(crate) struct Run<'a> {
    pub(crate) db: Db,
    pub(crate) promise: &'a mut Promise,
}

impl Run<'_> {
    fn note(&mut self, state: State, version: u64) {
        self.promise.states.push(state);
        self.promise.version = version;
    }

    fn settle(&mut self, tickets: Vec<CommitTicket>) -> Result<(), Error> {
        for ticket in tickets {
            ticket.wait()?;
            self.promise.acknowledged += 1;
        }
        assert_eq!(self.promise.acknowledged, self.promise.states.len() - 1);
        Ok(())
    }

    /// Submits these commits one after the other. One that is not even logged ends it.
    fn submit(&mut self, commits: &[Vec<Op>]) -> Result<Vec<CommitTicket>, Error> {
        let mut tickets = Vec::new();
        for ops in commits {
            let version = self.db.wal().next_lsn().0;
            let state = self.promise.last().apply(ops, version);
            let (state, _) = state.expect("a commit of the workload fits");
            let ticket = submit(&self.db, ops);
            if self.db.wal().next_lsn().0 == version {
                // Nothing was written, so it must say so.
                let refused = ticket.wait().expect_err("is not logged");
                assert_ne!(refused.kind(), ErrorKind::OutcomeUnknown);
                self.settle(tickets)?;
                return Err(refused);
            }
            tickets.push(ticket);
            self.note(state, version);
        }
        Ok(tickets)
    }

    /// Submits these commits one after the other and awaits them together.
    pub(crate) fn commits(&mut self, commits: &[Vec<Op>]) -> Result<(), Error> {
        let tickets = self.submit(commits)?;
        self.settle(tickets)
    }

    /// Submits these commits and takes a checkpoint before anything has awaited them.
    pub(crate) fn commits_under_way(&mut self, commits: &[Vec<Op>]) -> Result<(), Error> {
        let tickets = self.submit(commits)?;
        let checkpoint = self.db.checkpoint();
        self.settle(tickets)?;
        checkpoint.map(|_| ())
    }

    pub(crate) fn create_collection(&mut self, name: &str) -> Result<(), Error> {
        let version = self.db.wal().next_lsn().0;
        let state = self.promise.last().with_collection(name).expect("is new");
        let ticket = self.db.create_collection(name);
        self.note(state, version);
        self.settle(vec![ticket])
    }

    pub(crate) fn drop_collection(&mut self, name: &str) -> Result<(), Error> {
        let version = self.db.wal().next_lsn().0;
        let state = self.promise.last().without_collection(name, true);
        let ticket = self.db.drop_collection(name, true);
        self.note(state.expect("is there"), version);
        self.settle(vec![ticket])
    }

    fn check(&self) -> Result<(), Error> {
        let shown = dump(&self.db).map_err(|what| Error::new(ErrorKind::Internal, what))?;
        assert_eq!(shown, self.promise.last().visible());
        Ok(())
    }
}

pub(crate) fn put(collection: &str, id: u64, body: &str) -> Op {
    Op::new(WriteKind::Upsert, collection, id, body.as_bytes())
}

pub(crate) fn delete(collection: &str, id: u64) -> Op {
    Op::new(WriteKind::Delete, collection, id, b"")
}

pub(crate) fn insert(collection: &str, body: &str) -> Op {
    Op::new(WriteKind::Insert, collection, 0, body.as_bytes())
}

/// A document of about so many bytes that depends on `n`.
pub(crate) fn text(n: u64, bytes: usize) -> String {
    let mut body = format!("{{\"n\":{n},\"t\":\"");
    while body.len() + 2 < bytes {
        body.push(char::from(b'a' + ((n as usize + body.len()) % 26) as u8));
    }
    body + "\"}"
}

/// A life, which notes what is promised as it goes and ends at the first error.
pub(crate) type Workload = fn(&SimVfs, &mut Promise) -> Result<(), Error>;

/// The lives that are interrupted everywhere.
pub(crate) const WORKLOADS: [Workload; 2] = [live, live_compacting];

/// A life of merges and of a compaction in several slices, while a scan is open.
pub(crate) fn live_compacting(vfs: &SimVfs, promise: &mut Promise) -> Result<(), Error> {
    let db = create(vfs)?;
    promise.created = true;
    let mut run = Run { db, promise };
    run.create_collection("a")?;
    let of = |n: u64, ids: std::ops::Range<u64>, bytes| -> Vec<Op> {
        ids.map(|id| put("_default", id, &text(n + id, bytes)))
            .collect()
    };
    for first in (0..32).step_by(4) {
        run.commits(&[of(1, first..first + 4, 900)])?;
    }
    run.commits(&[vec![put("a", 1, &text(1, 600)), put("a", 2, "2")]])?;
    run.db.checkpoint()?;
    let scan = run.db.scan(&super::in_collection("a"))?;
    run.commits(&[of(2, 0..11, 100), of(2, 16..27, 90)])?;
    run.db.checkpoint()?;
    run.commits(&[vec![delete("_default", 12), delete("a", 1)]])?;
    run.db.checkpoint()?;
    // Three runs: merged. Then the first data file, of which little is left.
    settle(&run.db)?;
    run.commits(&[vec![delete("_default", 13), put("_default", 14, "14")]])?;
    let copied = run.db.compact()?.documents_moved;
    let stats = run.db.stats();
    assert!(stats.merges > 0 && stats.compactions > 0, "{stats:?}");
    assert!(copied > 5 && stats.data_kept_bytes > 0, "{stats:?}");
    run.check()?;
    drop(scan);
    run.drop_collection("a")?;
    run.commits(&[of(3, 0..5, 200)])?;
    run.db.compact()?;
    settle(&run.db)?;
    run.check()?;
    run.commits(&[vec![delete("_default", 15)]])?;
    run.db.close()?;
    let db = open(vfs)?;
    let run = Run {
        db,
        promise: run.promise,
    };
    run.check()?;
    settle(&run.db)?;
    run.check()
}

/// Lives a short life, noting what is promised as it goes. Ends at the first error.
pub(crate) fn live(vfs: &SimVfs, promise: &mut Promise) -> Result<(), Error> {
    let db = create(vfs)?;
    promise.created = true;
    let mut run = Run { db, promise };
    run.commits(&[vec![put("_default", 1, "1")]])?;
    run.create_collection("a")?;
    run.commits(&[
        vec![put("a", 1, "[]"), put("a", 2, "{}"), insert("a", "\"i\"")],
        vec![put("_default", 2, &text(1, 300))],
        vec![delete("a", 2), put("_default", 1, "2")],
    ])?;
    run.db.checkpoint()?;
    run.commits(&[
        vec![put("a", 30, &text(2, 5_000))],
        vec![delete("a", 1), insert("_default", "null")],
    ])?;
    run.db.checkpoint()?;
    run.create_collection("b")?;
    run.commits(&[vec![put("b", 1, "1"), put("b", 2, "2"), put("a", 3, "9")]])?;
    // The third run: merged.
    run.db.checkpoint()?;
    settle(&run.db)?;
    run.commits(&[vec![delete("b", 1)], vec![put("a", 4, &text(3, 2_000))]])?;
    run.drop_collection("b")?;
    run.create_collection("b")?;
    run.commits(&[vec![insert("b", "true")]])?;
    run.check()?;
    run.db.checkpoint()?;
    settle(&run.db)?;
    run.check()?;
    run.db.close()?;
    let db = open(vfs)?;
    let promise = run.promise;
    let mut run = Run { db, promise };
    run.check()?;
    run.commits_under_way(&[vec![put("b", 7, &text(4, 9_000))], vec![delete("a", 3)]])?;
    run.commits(&[
        vec![insert("b", &text(5, 40))],
        // Large: past the log. The second goes on in the same file.
        vec![
            insert("b", &text(6, 3_000)),
            delete("b", 7),
            insert("b", &text(7, 2_500)),
        ],
        vec![put("_default", 1, "3"), put("a", 30, &text(8, 4_500))],
    ])?;
    let promise = run.promise;
    drop(run.db); // killed

    let db = open(vfs)?;
    let mut run = Run { db, promise };
    run.check()?;
    run.commits(&[vec![insert("a", "[1]"), delete("_default", 2)]])?;
    run.db.checkpoint()?;
    settle(&run.db)?;
    run.commits(&[vec![put("a", 5, "5"), put("a", 4, "4")]])?;
    run.db.compact()?;
    run.check()?;
    run.db.close()
}
