//! Blocking transactions and snapshots.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::time::{sleep, timeout};

use super::{Collection, Database, RawCollection};
use crate::transact::{Attempts, may_pass};
use crate::{CollectionInfo, Error, Result, TransactionOptions};

/// How long a drop waits until the server knows of it.
const DROP_WAIT: Duration = Duration::from_secs(1);

/// A blocking [`crate::Transaction`]. Dropped, it is rolled back, whatever is left of its collections
/// and scans; that waits for the server for a second at most.
#[derive(Debug)]
pub struct Transaction {
    /// Taken by what ends it.
    inner: Option<crate::Transaction>,
    runtime: Arc<Runtime>,
}

/// A blocking [`crate::Snapshot`]. Dropped, it is closed, as a [`Transaction`] is rolled back.
#[derive(Debug)]
pub struct Snapshot {
    inner: Option<crate::Snapshot>,
    runtime: Arc<Runtime>,
}

impl Database {
    /// As [`crate::Database::begin`].
    pub fn begin(&self, options: TransactionOptions) -> Result<Transaction> {
        let begun = self.runtime.block_on(self.inner.begin(options))?;
        Ok(self.transaction(begun))
    }

    /// As [`crate::Database::transact`].
    ///
    /// ```no_run
    /// use docdb_client::{Error, TransactionOptions};
    ///
    /// # fn example(db: docdb_client::blocking::Database) -> docdb_client::Result<()> {
    /// let left = db.transact(TransactionOptions::new(), |tx| {
    ///     let stock = tx.collection::<u32>("stock");
    ///     let lamps = stock.get(1)?.value;
    ///     stock.update(1, &(lamps - 1))?;
    ///     Ok::<_, Error>(lamps - 1)
    /// })?;
    /// # let _ = left;
    /// # Ok(())
    /// # }
    /// ```
    pub fn transact<T, E: From<Error>>(
        &self,
        options: TransactionOptions,
        mut work: impl FnMut(&Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut attempts = Attempts::new(&options);
        loop {
            let within = Some(attempts.next());
            let begun = self
                .runtime
                .block_on(self.inner.begin_within(&options, within));
            let failed: E = match begun.map(|begun| self.transaction(begun)) {
                Err(error) if may_pass(&error) => error.into(),
                Err(error) => return Err(error.into()),
                Ok(transaction) => match work(&transaction) {
                    Err(error) if transaction.is_lost() => error,
                    Err(error) => return Err(error),
                    Ok(answer) => match transaction.commit() {
                        Ok(_) => return Ok(answer),
                        Err(error) if may_pass(&error) => error.into(),
                        Err(error) => return Err(error.into()),
                    },
                },
            };
            match attempts.pause() {
                // Made on the runtime, whose clock it uses.
                Some(pause) => self.runtime.block_on(async { sleep(pause).await }),
                None => return Err(failed),
            }
        }
    }

    /// As [`crate::Database::snapshot`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        let inner = self.runtime.block_on(self.inner.snapshot())?;
        Ok(Snapshot {
            inner: Some(inner),
            runtime: Arc::clone(&self.runtime),
        })
    }

    fn transaction(&self, begun: crate::Transaction) -> Transaction {
        Transaction {
            inner: Some(begun),
            runtime: Arc::clone(&self.runtime),
        }
    }
}

impl Transaction {
    fn inner(&self) -> &crate::Transaction {
        self.inner.as_ref().expect("taken by what consumes it only")
    }

    /// As [`crate::Transaction::version`].
    pub fn version(&self) -> u64 {
        self.inner().version()
    }

    /// As [`crate::Transaction::collection`].
    pub fn collection<T>(&self, name: &str) -> Collection<T> {
        Collection {
            inner: self.inner().collection(name),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// As [`crate::Transaction::raw_collection`].
    pub fn raw_collection(&self, name: &str) -> RawCollection {
        RawCollection {
            inner: self.inner().raw_collection(name),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// As [`crate::Transaction::collections`].
    pub fn collections(&self) -> Result<Vec<CollectionInfo>> {
        self.runtime.block_on(self.inner().collections())
    }

    /// As [`crate::Transaction::commit`].
    pub fn commit(mut self) -> Result<u64> {
        match self.inner.take() {
            Some(inner) => self.runtime.block_on(inner.commit()),
            None => unreachable!("taken by what consumes it only"),
        }
    }

    /// As [`crate::Transaction::rollback`].
    pub fn rollback(mut self) -> Result<()> {
        match self.inner.take() {
            Some(inner) => self.runtime.block_on(inner.rollback()),
            None => Ok(()),
        }
    }

    fn is_lost(&self) -> bool {
        self.inner().is_lost()
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take()
            && may_block()
        {
            // What fails here ends with the connection or at the deadline.
            let _ = self
                .runtime
                .block_on(async { timeout(DROP_WAIT, inner.rollback()).await });
        }
    }
}

impl Snapshot {
    fn inner(&self) -> &crate::Snapshot {
        self.inner.as_ref().expect("taken by what consumes it only")
    }

    /// As [`crate::Snapshot::version`].
    pub fn version(&self) -> u64 {
        self.inner().version()
    }

    /// As [`crate::Snapshot::collection`].
    pub fn collection<T>(&self, name: &str) -> Collection<T> {
        Collection {
            inner: self.inner().collection(name),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// As [`crate::Snapshot::raw_collection`].
    pub fn raw_collection(&self, name: &str) -> RawCollection {
        RawCollection {
            inner: self.inner().raw_collection(name),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// As [`crate::Snapshot::collections`].
    pub fn collections(&self) -> Result<Vec<CollectionInfo>> {
        self.runtime.block_on(self.inner().collections())
    }

    /// As [`crate::Snapshot::close`].
    pub fn close(mut self) -> Result<()> {
        match self.inner.take() {
            Some(inner) => self.runtime.block_on(inner.close()),
            None => Ok(()),
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take()
            && may_block()
        {
            // What fails here ends with the connection or when it is not used.
            let _ = self
                .runtime
                .block_on(async { timeout(DROP_WAIT, inner.close()).await });
        }
    }
}

/// To block in async code would panic, and a drop may be there by mistake.
fn may_block() -> bool {
    Handle::try_current().is_err()
}
