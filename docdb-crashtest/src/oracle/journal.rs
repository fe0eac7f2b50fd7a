//! What a database has promised so far.

use std::sync::Arc;

use docdb_engine::Durability;

use super::print::Print;
use super::state::State;

/// What ended the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Itself alone: what the kernel has goes on to the device.
    Kill,
    /// Power: only what is on the device is left, and some of the rest.
    Power,
}

/// The states of a database in commit order, and how many commits must survive what. A copy is cheap.
#[derive(Debug, Clone)]
pub struct Journal {
    mode: Durability,
    /// The empty database, then the state after each commit that was submitted.
    states: Arc<Vec<Arc<State>>>,
    /// So many of the commits are with the kernel, and on the device.
    killed: usize,
    power_lost: usize,
    /// The highest version that a commit may have got.
    version: u64,
    created: bool,
}

impl Journal {
    /// Of a database that does not exist yet.
    pub fn new(mode: Durability) -> Journal {
        Journal {
            mode,
            states: Arc::new(vec![Arc::new(State::new())]),
            killed: 0,
            power_lost: 0,
            version: 0,
            created: false,
        }
    }

    /// Of a database that was found to hold this, durably.
    pub fn holding(mode: Durability, state: Arc<State>, version: u64) -> Journal {
        Journal {
            states: Arc::new(vec![state]),
            version,
            created: true,
            ..Journal::new(mode)
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
        &self.states[self.states.len() - 1]
    }

    /// What the database held after so many commits.
    pub fn state(&self, commits: usize) -> Option<&Arc<State>> {
        self.states.get(commits)
    }

    /// How many commits were submitted.
    pub fn commits(&self) -> usize {
        self.states.len() - 1
    }

    /// The highest version that a commit may have got.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many commits must survive this.
    pub fn floor(&self, loss: Loss) -> usize {
        match loss {
            Loss::Kill => self.killed,
            Loss::Power => self.power_lost,
        }
    }

    /// A commit is being submitted: from now on it may be found. Returns its number.
    pub fn submitted(&mut self, state: State, version: u64) -> usize {
        Arc::make_mut(&mut self.states).push(Arc::new(state));
        self.version = self.version.max(version);
        self.commits()
    }

    /// The last commit was refused after all.
    pub fn withdrawn(&mut self) {
        Arc::make_mut(&mut self.states).pop();
    }

    /// The last state has changed in what cannot be seen.
    pub fn amend_last(&mut self, state: State) {
        debug_assert_eq!(state.print(), self.last().print());
        let states = Arc::make_mut(&mut self.states);
        states.pop();
        states.push(Arc::new(state));
    }

    /// The commit with that number was answered; it asked for `durability`.
    pub fn acknowledged(&mut self, commit: usize, durability: Durability) {
        let level = level(self.mode).max(level(durability));
        if level >= 1 {
            self.killed = self.killed.max(commit);
        }
        if level >= 2 {
            self.power_lost = self.power_lost.max(commit);
        }
    }

    /// So many commits are known to be with the kernel.
    pub fn written(&mut self, commits: usize) {
        self.killed = self.killed.max(commits);
    }

    /// So many commits are known to be on the device: after a sync, a checkpoint, a clean close.
    pub fn durable(&mut self, commits: usize) {
        self.killed = self.killed.max(commits);
        self.power_lost = self.power_lost.max(commits);
    }

    /// How many commits a database has that shows this after such a loss. If several numbers fit, the
    /// last of them.
    ///
    /// # Errors
    /// What is broken, as a sentence.
    pub fn judge(&self, shown: Print, loss: Loss) -> Result<usize, String> {
        let floor = self.floor(loss);
        let fits = |state: &Arc<State>| state.print() == shown;
        match self.states.iter().rposition(fits) {
            Some(commits) if commits >= floor => Ok(commits),
            Some(commits) => Err(format!(
                "{floor} commits were promised to survive this, only {commits} are there"
            )),
            None => Err("what is there is no state that the database ever was in".to_owned()),
        }
    }

    /// All numbers of commits that fit.
    pub fn fitting(&self, shown: Print, loss: Loss) -> impl Iterator<Item = usize> {
        let floor = self.floor(loss);
        let states = self.states.iter().enumerate().skip(floor);
        states
            .filter(move |(_, state)| state.print() == shown)
            .map(|(commits, _)| commits)
    }

    /// A new process has found so many commits, and shown them: they stay.
    pub fn recovered(&mut self, commits: usize) {
        let states = Arc::make_mut(&mut self.states);
        states.truncate(commits + 1);
        if let Some(last) = states.last_mut() {
            *last = Arc::new(last.without_taken());
        }
        self.created = true;
        self.killed = commits;
        self.power_lost = commits;
    }

    /// A number for all that it promises, to tell journals of one run apart.
    pub fn promised(&self, loss: Loss) -> u64 {
        let hash = super::print::Hash::new().number(self.floor(loss) as u64);
        let hash = hash.number(self.states.len() as u64);
        hash.number(self.last().print().0)
            .number(u64::from(self.created))
            .value()
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
