//! How a transaction behaves.

use std::time::Duration;

use docdb_types::ErrorKind;
use docdb_wal::Durability;

use crate::error::{Error, Result};

/// How long a transaction lasts at most unless told otherwise.
pub const TRANSACTION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// The most that a transaction may be told to last.
pub const TRANSACTION_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// What a transaction is kept apart from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// It reads one state of the database, and of two transactions that write the same document the
    /// first to commit wins. Write skew is possible: two may each read what the other writes.
    #[default]
    Snapshot,
    /// As if it ran alone, at the moment at which it commits: what it has read, found absent, counted
    /// and scanned is the same then, or it does not commit.
    Serializable,
}

/// The options of a transaction. Build them from [`TxnOptions::default`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TxnOptions {
    /// What the transaction is kept apart from.
    pub isolation: Isolation,
    /// The transaction, with [`Db::transact`](crate::Db::transact) all its attempts together, ends
    /// after this long: [`TRANSACTION_TIMEOUT_DEFAULT`] unless told otherwise, at most
    /// [`TRANSACTION_TIMEOUT_MAX`].
    pub timeout: Duration,
    /// What the commit's answer waits for, if that is more than the database's mode asks for.
    pub durability: Option<Durability>,
    /// How often [`Db::transact`](crate::Db::transact) tries in all.
    pub attempts_max: u32,
}

impl Default for TxnOptions {
    fn default() -> Self {
        Self {
            isolation: Isolation::Snapshot,
            timeout: TRANSACTION_TIMEOUT_DEFAULT,
            durability: None,
            attempts_max: 32,
        }
    }
}

impl TxnOptions {
    /// The default options for a serializable transaction.
    pub fn serializable() -> TxnOptions {
        TxnOptions {
            isolation: Isolation::Serializable,
            ..TxnOptions::default()
        }
    }

    /// These options with another timeout.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> TxnOptions {
        TxnOptions { timeout, ..self }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.timeout > TRANSACTION_TIMEOUT_MAX {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a transaction lasts at most {} s, not {} s",
                    TRANSACTION_TIMEOUT_MAX.as_secs(),
                    self.timeout.as_secs_f64()
                ),
            ));
        }
        Ok(())
    }
}
