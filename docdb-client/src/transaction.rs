//! Transactions.

use std::sync::Arc;
use std::time::Duration;

use docdb_ipc::{Text, ViewRequest};
use docdb_types::ErrorKind;

use crate::error::Stage;
use crate::view::{Scope, View};
use crate::{Collection, CollectionInfo, Database, Error, RawCollection, Result};

/// How a transaction behaves.
///
/// ```
/// use std::time::Duration;
/// use docdb_client::TransactionOptions;
///
/// let careful = TransactionOptions::new()
///     .serializable()
///     .timeout(Duration::from_secs(2))
///     .durability("always");
/// # let _ = careful;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionOptions {
    pub(crate) serializable: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) durability: Option<Text>,
    pub(crate) attempts_max: Option<u32>,
}

impl TransactionOptions {
    /// Snapshot isolation, 5 s, the database's own durability.
    pub fn new() -> Self {
        TransactionOptions::default()
    }

    /// As if the transaction ran alone, at the moment at which it commits: what it has read, found
    /// absent, counted and scanned is the same then, or it does not commit. Without it of two
    /// transactions that write the same document the first to commit wins, and each may read what the
    /// other writes.
    pub fn serializable(mut self) -> Self {
        self.serializable = true;
        self
    }

    /// How long it may last until it has committed, with [`Database::transact`] all its attempts
    /// together: 5 s unless set, at most 60 s. After that it is rolled back, and every call answers
    /// [`ErrorKind::TransactionExpired`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Asks for a safer mode than the database's for the commit's answer; see
    /// [`WriteOptions::durability`](crate::WriteOptions::durability).
    pub fn durability(mut self, mode: &str) -> Self {
        self.durability = Some(Text::from(mode));
        self
    }

    /// How often [`Database::transact`] tries in all: 32 times unless set, at least once.
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = Some(attempts);
        self
    }
}

/// An open transaction: it reads one state of its database, with its own writes over it, and nobody
/// else sees what it writes before it commits. Made by [`Database::begin`] and [`Database::transact`].
///
/// It is a cheap handle; all clones are the same transaction, and its requests run in the order in
/// which they are made. When the last clone is dropped, its collections and scans included, it is
/// rolled back.
///
/// It lives on the connection that it began on. If that breaks, every call answers an error for which
/// [`Error::is_retryable`] is true: nothing was written, begin anew. Only a commit that was sent
/// answers [`ErrorKind::OutcomeUnknown`].
///
/// A write whose future was dropped before its answer came, or that had no answer in time, may be a
/// part of the transaction or not. Such a transaction does not commit.
#[derive(Debug, Clone)]
pub struct Transaction {
    view: Arc<View>,
    durability: Option<Text>,
}

impl Database {
    /// Begins a transaction at what is visible now.
    ///
    /// ```no_run
    /// # async fn example(db: docdb_client::Database) -> docdb_client::Result<()> {
    /// use docdb_client::TransactionOptions;
    ///
    /// let tx = db.begin(TransactionOptions::new()).await?;
    /// let stock = tx.collection::<u32>("stock");
    /// let lamps = stock.get(1).await?.value;
    /// stock.update(1, &(lamps - 1)).await?;
    /// let version = tx.commit().await?;
    /// # let _ = version;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn begin(&self, options: TransactionOptions) -> Result<Transaction> {
        self.begin_within(&options, options.timeout).await
    }

    /// Begins a transaction that lasts so long, whatever the options say.
    pub(crate) async fn begin_within(
        &self,
        options: &TransactionOptions,
        timeout: Option<Duration>,
    ) -> Result<Transaction> {
        let request = ViewRequest::Begin {
            db: self.name_text(),
            serializable: options.serializable,
            timeout_ms: timeout.map(|timeout| {
                // The server says what is too long.
                let ms = timeout.as_micros().div_ceil(1_000);
                u32::try_from(ms).unwrap_or(u32::MAX)
            }),
        };
        Ok(Transaction {
            view: View::open(self.client(), request).await?,
            durability: options.durability.clone(),
        })
    }
}

impl Transaction {
    /// The version that is read at: what was committed at or below it is seen.
    pub fn version(&self) -> u64 {
        self.view.version()
    }

    /// A collection of documents of one type, in this transaction. What it writes has the version 0
    /// until the transaction commits; [`WriteOptions::durability`](crate::WriteOptions::durability) is
    /// not for it.
    pub fn collection<T>(&self, name: &str) -> Collection<T> {
        Collection::new(self.raw_collection(name))
    }

    /// A collection of documents as bytes, in this transaction.
    pub fn raw_collection(&self, name: &str) -> RawCollection {
        RawCollection::new(Scope::View(Arc::clone(&self.view)), Text::from(name))
    }

    /// The collections, in the order of their names, with their counts as the transaction sees them.
    pub async fn collections(&self) -> Result<Vec<CollectionInfo>> {
        self.view.collections().await
    }

    /// Commits: all of it is written, or nothing. Gives the version of the commit; of a transaction
    /// that wrote nothing the one that it read at.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it lost to another commit, whose version is [`Error::version`];
    /// [`ErrorKind::TransactionExpired`]; [`ErrorKind::CollectionNotFound`] if a collection that it
    /// wrote to was dropped. All that are retryable, and these, promise that nothing was written.
    /// [`ErrorKind::OutcomeUnknown`] if it was sent and its answer was lost.
    pub async fn commit(self) -> Result<u64> {
        if self.view.is_doubtful() {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "a write of the transaction was given up before its answer came, so what would be \
                 committed is not known; it is rolled back",
            )
            .at(Stage::Unsent));
        }
        self.view.commit(self.durability).await
    }

    /// Rolls back: nothing of it is written. To drop it does the same, without waiting for that.
    pub async fn rollback(self) -> Result<()> {
        self.view.roll_back().await
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.view.is_lost()
    }
}
