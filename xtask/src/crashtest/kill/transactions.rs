//! Transactions among the operations of a lane: on its own documents, and on accounts that it shares
//! with others.

use std::time::Duration;

use docdb_client::{Database, Error, ErrorKind, Transaction, TransactionOptions};

use super::databases::{ACCOUNTS, ACCOUNTS_NAME};
use super::document::Stamp;
use super::journal::Journal;
use super::lane::{Lane, Next, Outcome};
use super::oracle::Attempt;

/// Most documents that a transaction writes.
const WRITES_MAX: u64 = 6;

/// How often a transaction that moves money is tried.
const ATTEMPTS_MAX: u32 = 20;

/// How a transaction of a lane went.
enum Ended {
    Committed(u64),
    RolledBack,
    /// It failed before its commit was sent, so nothing of it is written.
    Failed(Error),
    /// A read did not show what it must.
    Wrong(String),
}

impl Lane {
    /// Reads and writes several documents, then commits or rolls back. Nobody else writes them, so it
    /// can lose to nobody.
    pub(super) async fn transaction(&mut self, database: &Database, journal: &Journal) -> Next {
        let mut attempts: Vec<Attempt> = Vec::new();
        for _ in 0..1 + self.rng.below(WRITES_MAX) {
            let place = self.any_place();
            if attempts.iter().any(|attempt| attempt.place == place) {
                continue;
            }
            let deletes = self.is_there(place) && self.rng.chance(25);
            let stamp = (!deletes).then(|| self.stamp());
            attempts.push(Attempt { place, stamp });
        }
        let options = TransactionOptions::new().timeout(Duration::from_secs(60));
        let options = match self.rng.chance(50) {
            true => options.serializable(),
            false => options,
        };
        let commits = self.rng.chance(85);
        if commits {
            journal.attempt(self.kind.name, self.index, &attempts);
        }
        match self
            .run_transaction(database, options, &attempts, commits)
            .await
        {
            Ok(Ended::Committed(version)) => {
                self.counts.transactions += 1;
                self.settle(Outcome::Done(version), attempts, journal)
            }
            Ok(Ended::RolledBack) => Next::GoOn,
            Ok(Ended::Wrong(what)) => {
                self.violations.push(what);
                Next::Stop
            }
            Ok(Ended::Failed(error)) => match self.outcome(Err(error)) {
                Outcome::Refused(_, next) => next,
                _ => Next::Stop,
            },
            Err(error) => {
                let outcome = self.outcome(Err(error));
                self.settle(outcome, attempts, journal)
            }
        }
    }

    /// An error is one of the commit.
    async fn run_transaction(
        &mut self,
        database: &Database,
        options: TransactionOptions,
        attempts: &[Attempt],
        commits: bool,
    ) -> Result<Ended, Error> {
        let transaction = match database.begin(options).await {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Ended::Failed(error)),
        };
        match self.work_in(&transaction, attempts).await {
            Ok(Ok(())) => {}
            Ok(Err(what)) => return Ok(Ended::Wrong(what)),
            Err(error) => return Ok(Ended::Failed(error)),
        }
        if commits {
            return Ok(Ended::Committed(transaction.commit().await?));
        }
        match transaction.rollback().await {
            Ok(()) => Ok(Ended::RolledBack),
            Err(error) => Ok(Ended::Failed(error)),
        }
    }

    /// Reads, writes and reads again; the inner error is a read that did not show what it must.
    async fn work_in(
        &self,
        transaction: &Transaction,
        attempts: &[Attempt],
    ) -> Result<Result<(), String>, Error> {
        for attempt in attempts {
            let before = self.oracle.known.get(&attempt.place).and_then(|k| k.stamp);
            if let Err(what) = shows(transaction, attempt, before).await? {
                return Ok(Err(what));
            }
            let collection = transaction.raw_collection(attempt.place.collection.name());
            match attempt.stamp {
                Some(stamp) => collection.upsert(attempt.place.id, stamp.document()).await,
                None => collection.delete(attempt.place.id).await,
            }?;
        }
        // It sees what it has written itself.
        for attempt in attempts {
            if let Err(what) = shows(transaction, attempt, attempt.stamp).await? {
                return Ok(Err(what));
            }
        }
        Ok(Ok(()))
    }

    /// Moves one unit between two accounts, against others who do the same.
    pub(super) async fn move_money(&mut self, database: &Database) -> Next {
        let from = self.rng.below(ACCOUNTS);
        let to = (from + 1 + self.rng.below(ACCOUNTS - 1)) % ACCOUNTS;
        let options = TransactionOptions::new()
            .timeout(Duration::from_secs(60))
            .attempts_max(ATTEMPTS_MAX);
        let moved = database.transact(options, |tx| async move {
            let accounts = tx.collection::<i64>(ACCOUNTS_NAME);
            let (left, more) = (accounts.get(from).await?, accounts.get(to).await?);
            accounts.update(from, &(left.value - 1)).await?;
            accounts.update(to, &(more.value + 1)).await?;
            Ok::<_, Error>(())
        });
        match moved.await {
            Ok(()) => {
                self.counts.moves += 1;
                Next::GoOn
            }
            Err(error) if error.kind() == ErrorKind::Conflict => Next::GoOn,
            Err(error) => match self.outcome(Err(error)) {
                // It was whole or nothing; the sum tells.
                Outcome::Refused(_, next) => next,
                _ => Next::Stop,
            },
        }
    }
}

/// Whether a transaction sees a document as it must.
async fn shows(
    transaction: &Transaction,
    attempt: &Attempt,
    wanted: Option<Stamp>,
) -> Result<Result<(), String>, Error> {
    let collection = transaction.raw_collection(attempt.place.collection.name());
    let found = collection.get_if_exists(attempt.place.id).await?;
    let found = found.map(|document| document.value);
    if found == wanted.map(Stamp::document) {
        return Ok(Ok(()));
    }
    let sequences = (wanted, found.as_deref().and_then(Stamp::read));
    let place = attempt.place;
    Ok(Err(format!(
        "{place}: a transaction saw another document than the one of its snapshot: (wanted, found) are \
         {sequences:?}"
    )))
}
