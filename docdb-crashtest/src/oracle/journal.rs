//! What a database has promised so far.

use std::sync::Arc;

use docdb_engine::{Durability, ErrorKind};

use super::backup::BackedUp;
use super::change::{Change, Touched};
use super::damaged::Damaged;
use super::print::{Hash, Print, document_print};
use super::state::{Refused, State};

/// What ended the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Itself alone: what the kernel has goes on to the device.
    Kill,
    /// Power: only what is on the device is left, and some of the rest.
    Power,
}

/// A commit that was submitted.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its number in the database.
    pub version: u64,
    /// What the database holds after it.
    pub state: Arc<State>,
    touched: Arc<[Touched]>,
}

/// The number of a commit and the ids that it wrote, or why it must be refused.
pub type Ended = Result<(usize, Vec<u64>), Refused>;

/// A commit whose submission has not returned.
#[derive(Debug, Clone)]
struct Pending {
    version: u64,
    change: Change,
    accepted: Result<Vec<u64>, Refused>,
}

/// The commits of a database in their order, and how many of them must survive what. A copy is cheap.
#[derive(Debug, Clone)]
pub struct Journal {
    mode: Durability,
    /// The first stands for the empty database.
    commits: Arc<Vec<Commit>>,
    pending: Option<Pending>,
    /// One that came between, with its number if it was accepted.
    between: Option<(Change, Ended)>,
    /// So many of the commits are with the kernel, and on the device.
    killed: usize,
    power_lost: usize,
    /// The highest version that a commit may have got.
    version: u64,
    created: bool,
    /// The document that is damaged now.
    damaged: Option<Damaged>,
    backed_up: BackedUp,
}

impl Journal {
    /// Of a database that does not exist yet.
    pub fn new(mode: Durability) -> Journal {
        Journal {
            created: false,
            ..Journal::holding(mode, Arc::new(State::new()), 0)
        }
    }

    /// Of a database that was found to hold this, durably.
    pub fn holding(mode: Durability, state: Arc<State>, version: u64) -> Journal {
        let first = Commit {
            version,
            state,
            touched: Arc::default(),
        };
        Journal {
            mode,
            commits: Arc::new(vec![first]),
            pending: None,
            between: None,
            killed: 0,
            power_lost: 0,
            version,
            created: true,
            damaged: None,
            backed_up: BackedUp::default(),
        }
    }

    /// The database's durability mode.
    pub fn mode(&self) -> Durability {
        self.mode
    }

    /// From now on the database is in this mode.
    pub fn set_mode(&mut self, mode: Durability) {
        self.mode = mode;
    }

    /// Whether the database's creation was answered.
    pub fn is_created(&self) -> bool {
        self.created
    }

    /// The creation was answered.
    pub fn created(&mut self) {
        self.created = true;
    }

    /// What the database holds, with everything that was submitted.
    pub fn last(&self) -> &Arc<State> {
        &self.commits[self.commits.len() - 1].state
    }

    /// What the database held after so many commits.
    pub fn state(&self, commits: usize) -> Option<&Arc<State>> {
        self.commits.get(commits).map(|commit| &commit.state)
    }

    /// The commit with that number.
    pub fn commit(&self, number: usize) -> Option<&Commit> {
        self.commits.get(number)
    }

    /// What the database held at that version.
    pub fn state_at(&self, version: u64) -> Option<&Arc<State>> {
        let end = self.commits.partition_point(|c| c.version <= version);
        self.state(end.checked_sub(1)?)
    }

    /// Whether a collection of that name was created or dropped after that version.
    pub fn has_changed(&self, name: &str, version: u64) -> bool {
        let since = self.commits.iter().rev();
        let mut since = since.take_while(|commit| commit.version > version);
        since.any(|commit| {
            let mut touched = commit.touched.iter();
            touched.any(|(of, id)| **of == *name && id.is_none())
        })
    }

    /// How many commits were submitted.
    pub fn commits(&self) -> usize {
        self.commits.len() - 1
    }

    /// The highest version that a commit may have got.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version of the last commit.
    pub fn last_version(&self) -> u64 {
        self.commits[self.commits.len() - 1].version
    }

    /// How many commits must survive this.
    pub fn floor(&self, loss: Loss) -> usize {
        match loss {
            Loss::Kill => self.killed,
            Loss::Power => self.power_lost,
        }
    }

    /// A commit is about to be submitted, and will have this version: from now on it may be found.
    /// Called again by a commit that comes between: the one that waits will have the next version.
    pub fn begin(&mut self, change: Change, version: u64) {
        let outer = self.pending.take_if(|pending| pending.version == version);
        if let Some(outer) = &outer
            && outer.accepted.is_ok()
        {
            Arc::make_mut(&mut self.commits).pop();
        }
        let accepted = self.push(&change, version);
        let Some(outer) = outer else {
            self.pending = Some(Pending {
                version,
                change,
                accepted,
            });
            return;
        };
        let next = version + u64::from(accepted.is_ok());
        let number = self.commits();
        self.between = Some((change, accepted.map(|ids| (number, ids))));
        let accepted = self.push(&outer.change, next);
        self.pending = Some(Pending {
            version: next,
            change: outer.change,
            accepted,
        });
    }

    /// The submission of that change has returned.
    pub fn end(&mut self, change: &Change) -> Ended {
        if let Some((_, ended)) = self.between.take_if(|(between, _)| between == change) {
            return ended;
        }
        match self.pending.take() {
            Some(own) => own.accepted.map(|ids| (self.commits(), ids)),
            None => Ok((self.commits(), Vec::new())),
        }
    }

    fn push(&mut self, change: &Change, version: u64) -> Result<Vec<u64>, Refused> {
        if let Change::Txn(work) = change {
            let since = self.commits.iter().rev();
            let mut since = since.take_while(|commit| commit.version > work.begun);
            if since.any(|c| c.touched.iter().any(|touched| work.loses_to(touched))) {
                return Err((ErrorKind::Conflict, None));
            }
        }
        let (state, touched, ids) = change.apply(self.last(), version)?;
        Arc::make_mut(&mut self.commits).push(Commit {
            version,
            state: Arc::new(state),
            touched: touched.into(),
        });
        self.version = self.version.max(version);
        Ok(ids)
    }

    /// The commit with that number was not written after all, if none came after it.
    pub fn withdraw(&mut self, number: usize) {
        if self.commits() == number && number > 0 {
            Arc::make_mut(&mut self.commits).pop();
        }
    }

    /// A transaction is given the next id of a collection.
    ///
    /// # Errors
    /// What the engine answers.
    pub fn take_id(&mut self, collection: &str, own: Option<u64>) -> Result<u64, ErrorKind> {
        let mut state = State::clone(self.last());
        let id = state.take_id(collection, own)?;
        if let Some(last) = Arc::make_mut(&mut self.commits).last_mut() {
            last.state = Arc::new(state);
        }
        Ok(id)
    }

    /// The commit with that number was answered; it asked for `durability`.
    pub fn acknowledged(&mut self, commit: usize, durability: Durability) {
        match level(self.mode).max(level(durability)) {
            0 => {}
            1 => self.written(commit),
            _ => self.durable(commit),
        }
    }

    /// So many commits are known to be with the kernel.
    pub fn written(&mut self, commits: usize) {
        self.killed = self.killed.max(commits);
    }

    /// So many commits are known to be on the device: after a sync, a checkpoint, a clean close.
    pub fn durable(&mut self, commits: usize) {
        self.written(commits);
        self.power_lost = self.power_lost.max(commits);
    }

    /// How many commits a database has that shows this after such a loss. If several numbers fit, the
    /// last of them.
    ///
    /// # Errors
    /// What is broken, as a sentence.
    pub fn judge(&self, shown: Print, loss: Loss) -> Result<usize, String> {
        let floor = self.floor(loss);
        let fits = |commit: &Commit| commit.state.print() == shown;
        match self.commits.iter().rposition(fits) {
            Some(commits) if commits >= floor => Ok(commits),
            Some(commits) => Err(format!(
                "{floor} commits were promised to survive this, only {commits} are there"
            )),
            None => Err("what is there is no state that the database ever was in".to_owned()),
        }
    }

    /// All numbers of commits that fit.
    pub fn fitting(&self, shown: Print, loss: Loss) -> impl Iterator<Item = usize> {
        let commits = self.commits.iter().enumerate().skip(self.floor(loss));
        commits
            .filter(move |(_, commit)| commit.state.print() == shown)
            .map(|(number, _)| number)
    }

    /// Readers see everything up to this version: as much as the mode says must stay, whether or not
    /// somebody was answered.
    pub fn seen(&mut self, version: u64) {
        let end = self.commits.partition_point(|c| c.version <= version);
        let mode = self.mode;
        self.acknowledged(end.saturating_sub(1), mode);
    }

    /// Power has failed: what only the kernel had may be gone.
    pub fn power_has_failed(&mut self) {
        self.killed = self.power_lost;
    }

    /// A new process has found so many commits, and shown them: they stay.
    pub fn recovered(&mut self, commits: usize) {
        let all = Arc::make_mut(&mut self.commits);
        all.truncate(commits + 1);
        if let Some(last) = all.last_mut() {
            last.state = Arc::new(last.state.without_taken());
        }
        (self.pending, self.between) = (None, None);
        self.created = true;
        self.killed = commits;
        self.power_lost = commits;
    }

    /// As [`Journal::judge`], of everything but a document that is damaged, which is there in the version
    /// that is damaged.
    ///
    /// # Errors
    /// What is broken, as a sentence.
    pub fn judge_but(&self, shown: Print, damaged: &Damaged, loss: Loss) -> Result<(), String> {
        let Damaged { collection, id, .. } = damaged;
        let fits = |commit: &Commit| {
            let document = commit.state.read(collection, *id);
            document.is_ok_and(|(version, body)| {
                let mut all = shown;
                all += document_print(collection, *id, *version, body);
                *version == damaged.version && all == commit.state.print()
            })
        };
        match self.commits.iter().skip(self.floor(loss)).any(fits) {
            true => Ok(()),
            false => Err(format!(
                "{collection}/{id} is Corrupt, and what else is there is no state that may be left"
            )),
        }
    }

    /// The document that is damaged now, if one is.
    pub fn damaged(&self) -> Option<&Damaged> {
        self.damaged.as_ref()
    }

    /// From now on that document is damaged, or none.
    pub fn set_damaged(&mut self, damaged: Option<Damaged>) {
        self.damaged = damaged;
    }

    /// What was promised of backups.
    pub fn backed_up(&self) -> &BackedUp {
        &self.backed_up
    }

    /// A backup is begun: whenever it ends, it may stand, or the one before.
    pub fn backup_begins(&mut self) {
        self.backed_up.under_way = true;
    }

    /// The backup was answered, and stands.
    pub fn backup_answered(&mut self, version: u64, state: Arc<State>) {
        self.backed_up = BackedUp {
            last: Some((version, state)),
            under_way: false,
        };
    }

    /// A number for all that it promises, to tell the moments of one life apart.
    pub fn promised(&self, loss: Loss) -> u64 {
        let hash = Hash::new().number(self.floor(loss) as u64);
        let hash = hash.number(self.commits.len() as u64);
        let hash = hash.number(self.last().print().0);
        let hash = hash.number(u64::from(self.created));
        let healed = self
            .damaged
            .as_ref()
            .map_or(0, |d| 1 + u64::from(d.is_healed));
        let backup = self
            .backed_up
            .last
            .as_ref()
            .map_or(0, |(version, _)| *version);
        let hash = hash.number(healed).number(backup);
        hash.number(u64::from(self.backed_up.under_way)).value()
    }
}

/// 0: it is in the process's buffer, 1: with the kernel, 2: on the device.
fn level(mode: Durability) -> u8 {
    match mode {
        Durability::Full | Durability::Always => 2,
        Durability::Memory(_) => 0,
        _ => 1,
    }
}
