//! Transactions that are repeated until they commit.

use std::future::Future;
use std::time::Duration;

use docdb_types::ErrorKind;
use tokio::time::{Instant, sleep};

use crate::link::jittered;
use crate::{Database, Error, Transaction, TransactionOptions};

/// All attempts together last so long unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS_MAX: u32 = 32;
/// The pause before the second attempt is about this long; it doubles with each.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// When to give up.
pub(crate) struct Attempts {
    deadline: Instant,
    made: u32,
    most: u32,
}

impl Attempts {
    pub(crate) fn new(options: &TransactionOptions) -> Self {
        Attempts {
            deadline: Instant::now() + options.timeout.unwrap_or(TIMEOUT).min(PAST_ANY_LIMIT),
            made: 0,
            most: options.attempts_max.unwrap_or(ATTEMPTS_MAX).max(1),
        }
    }

    /// How long the next attempt may last.
    pub(crate) fn next(&mut self) -> Duration {
        self.made += 1;
        let left = self.deadline.saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(1))
    }

    /// How long to wait before another attempt, if there may be one.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let pause = PAUSE_MIN.saturating_mul(1 << self.made.saturating_sub(1).min(16));
        let pause = jittered(pause.min(PAUSE_MAX));
        (self.made < self.most && Instant::now() + pause < self.deadline).then_some(pause)
    }
}

/// Longer than a server lets any transaction last; keeps the clock in its range.
const PAST_ANY_LIMIT: Duration = Duration::from_secs(3600);

/// Whether the attempt that failed so may be followed by another. An expired transaction has used up
/// the time of all of them.
pub(crate) fn may_pass(error: &Error) -> bool {
    error.is_retryable() && error.kind() != ErrorKind::TransactionExpired
}

impl Database {
    /// Runs `work` in a transaction and commits it. If the transaction lost to another one, the server
    /// was busy, or the connection broke before the commit was sent, it is begun anew: after a pause
    /// that doubles from about 1 ms to 250 ms, until it commits or the options' attempts or time are
    /// used up. So `work` may run several times: it must do nothing but use the transaction and
    /// compute.
    ///
    /// An error of `work` rolls the transaction back and is the answer; it is not repeated, unless the
    /// connection is what broke.
    ///
    /// ```no_run
    /// # async fn example(db: docdb_client::Database) -> docdb_client::Result<()> {
    /// use docdb_client::{Error, TransactionOptions};
    ///
    /// let left = db
    ///     .transact(TransactionOptions::new(), |tx| async move {
    ///         let stock = tx.collection::<u32>("stock");
    ///         let lamps = stock.get(1).await?.value;
    ///         stock.update(1, &(lamps - 1)).await?;
    ///         Ok::<_, Error>(lamps - 1)
    ///     })
    ///     .await?;
    /// # let _ = left;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `work`, of [`Database::begin`] and of [`Transaction::commit`], after the last attempt.
    /// [`ErrorKind::OutcomeUnknown`] is never repeated.
    pub async fn transact<T, E, F, Fut>(
        &self,
        options: TransactionOptions,
        mut work: F,
    ) -> Result<T, E>
    where
        E: From<Error>,
        F: FnMut(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut attempts = Attempts::new(&options);
        loop {
            let timeout = attempts.next();
            let failed: E = match self.begin_within(&options, Some(timeout)).await {
                Err(error) if may_pass(&error) => error.into(),
                Err(error) => return Err(error.into()),
                Ok(transaction) => match work(transaction.clone()).await {
                    Err(error) if transaction.is_lost() => error,
                    Err(error) => return Err(error),
                    Ok(answer) => match transaction.commit().await {
                        Ok(_) => return Ok(answer),
                        Err(error) if may_pass(&error) => error.into(),
                        Err(error) => return Err(error.into()),
                    },
                },
            };
            match attempts.pause() {
                Some(pause) => sleep(pause).await,
                None => return Err(failed),
            }
        }
    }
}
