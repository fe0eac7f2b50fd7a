//! A database that is written to, and the journal of it.

use std::fmt;
use std::sync::Arc;

use docdb_engine::{CommitTicket, Db, Durability, Error, ErrorKind};
use parking_lot::Mutex;

use super::change::Change;
use super::journal::{Ended, Journal};
use super::look::{Care, look};
use super::state::Op;

/// Why a session does not go on.
#[derive(Debug)]
pub enum Stop {
    /// The database said so: fine where something was made to fail. What was promised stands in the
    /// journal.
    Failed(Error),
    /// A promise was broken, as a sentence.
    Wrong(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Failed(error) => write!(f, "{:?}: {error}", error.kind()),
            Stop::Wrong(what) => f.write_str(what),
        }
    }
}

/// An open database whose every commit is noted before it is submitted. The journal is shared with
/// whoever looks on from below, at the operations of the disk.
#[derive(Debug, Clone)]
pub struct Session {
    /// The database.
    pub db: Db,
    /// What it has promised.
    pub journal: Arc<Mutex<Journal>>,
}

/// A commit under way: what it should answer, and its ticket.
#[derive(Debug)]
pub struct Submitted {
    expected: Ended,
    durability: Durability,
    ticket: CommitTicket,
}

impl Submitted {
    /// Its ticket, to be polled; whoever takes its answer must not wait for it.
    pub(crate) fn ticket(&mut self) -> &mut CommitTicket {
        &mut self.ticket
    }
}

/// The answer to a commit that is as it must be: its version, or why it was refused.
pub type Answer = Result<u64, ErrorKind>;

impl Session {
    /// Notes what a change will do, and submits it as `submit` says.
    pub fn submit_change(
        &self,
        change: &Change,
        durability: Option<Durability>,
        submit: impl FnOnce(&Db) -> CommitTicket,
    ) -> Submitted {
        let version = self.db.wal().next_lsn().0;
        self.journal.lock().begin(change.clone(), version);
        let ticket = submit(&self.db);
        let mut journal = self.journal.lock();
        Submitted {
            expected: journal.end(change),
            durability: durability.unwrap_or(journal.mode()),
            ticket,
        }
    }

    /// Submits one commit without waiting for it.
    pub fn submit(&self, ops: &[Op], durability: Option<Durability>) -> Submitted {
        let writes: Vec<_> = ops.iter().map(Op::as_write).collect();
        let change = Change::Ops(ops.into());
        self.submit_change(&change, durability, |db| match durability {
            Some(durability) => db.submit_as(&writes, durability),
            None => db.submit(&writes),
        })
    }

    /// Waits for a commit.
    ///
    /// # Errors
    /// `Failed` if the database could not; then the commit may be there or not, unless the answer says
    /// otherwise. `Wrong` if the answer is not what it must be.
    pub fn wait(&self, submitted: Submitted) -> Result<Answer, Stop> {
        let answer = submitted.ticket.wait();
        match (submitted.expected, answer) {
            (Ok((number, ids)), Ok(committed)) => {
                let mut journal = self.journal.lock();
                let version = journal.commit(number).map(|commit| commit.version);
                if version != Some(committed.version) {
                    let found = committed.version;
                    let what = format!("a commit has the version {found}, not {version:?}");
                    return Err(Stop::Wrong(what));
                }
                if !committed.ids.is_empty() && !ids.is_empty() && *committed.ids != *ids {
                    let found = &*committed.ids;
                    let what = format!("the ids {found:?} were written, not {ids:?}");
                    return Err(Stop::Wrong(what));
                }
                journal.acknowledged(number, submitted.durability);
                Ok(Ok(committed.version))
            }
            (Err((kind, op)), Err(error)) if error.kind() == kind && error.op_index() == op => {
                Ok(Err(kind))
            }
            (Err(refused), Ok(_)) => Err(Stop::Wrong(format!(
                "a commit was acknowledged that must be refused with {refused:?}"
            ))),
            (Ok((number, _)), Err(error)) => {
                if is_unwritten(error.kind()) {
                    self.journal.lock().withdraw(number);
                }
                Err(Stop::Failed(error))
            }
            (Err(_), Err(error)) => Err(Stop::Failed(error)),
        }
    }

    /// Submits one commit and waits for it.
    ///
    /// # Errors
    /// As [`Session::wait`].
    pub fn commit(&self, ops: &[Op]) -> Result<Answer, Stop> {
        let submitted = self.submit(ops, None);
        self.wait(submitted)
    }

    /// Creates a collection.
    ///
    /// # Errors
    /// As [`Session::wait`].
    pub fn create_collection(&self, name: &str) -> Result<Answer, Stop> {
        let change = Change::Create(name.into());
        let submitted = self.submit_change(&change, None, |db| db.create_collection(name));
        self.wait(submitted)
    }

    /// Drops a collection.
    ///
    /// # Errors
    /// As [`Session::wait`].
    pub fn drop_collection(&self, name: &str, force: bool) -> Result<Answer, Stop> {
        let change = Change::Drop(name.into(), force);
        let submitted = self.submit_change(&change, None, |db| db.drop_collection(name, force));
        self.wait(submitted)
    }

    /// Takes a checkpoint, after which everything is on the device.
    ///
    /// # Errors
    /// The database's.
    pub fn checkpoint(&self) -> Result<(), Stop> {
        let commits = self.journal.lock().commits();
        self.db.checkpoint()?;
        self.journal.lock().durable(commits);
        Ok(())
    }

    /// Closes the database, after which everything is on the device.
    ///
    /// # Errors
    /// The database's.
    pub fn close(self) -> Result<(), Stop> {
        let commits = self.journal.lock().commits();
        self.db.close()?;
        self.journal.lock().durable(commits);
        Ok(())
    }

    /// Looks at everything that the database shows while it runs: all commits, whatever the mode.
    ///
    /// # Errors
    /// `Wrong` with what differs.
    pub fn check(&self, care: Care) -> Result<(), Stop> {
        let seen = look(&self.db, care).map_err(Stop::Wrong)?;
        let journal = self.journal.lock();
        if seen.print != journal.last().print() {
            let what = match journal.judge(seen.print, super::Loss::Power) {
                Ok(commits) => format!(
                    "{} commits were answered, only {commits} are seen",
                    journal.commits()
                ),
                Err(what) => what,
            };
            return Err(Stop::Wrong(what));
        }
        Ok(())
    }
}

/// Whether an answer of this kind promises that nothing was written.
fn is_unwritten(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::OutcomeUnknown | ErrorKind::Internal | ErrorKind::Io
    )
}
