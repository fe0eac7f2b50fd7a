//! The databases that are written to, one for each promise about what survives.

use std::time::Duration;

use docdb_client::{Client, Error};

use super::oracle::Collection;
use super::shared::{self, SHARED_NAME};

/// Accounts of each database, between which lanes move money.
pub(super) const ACCOUNTS: u64 = 4;

/// What each account begins with.
pub(super) const MONEY: i64 = 100;

/// The collection of the accounts.
pub(super) const ACCOUNTS_NAME: &str = "accounts";

/// The collection of clients that vanish in the middle of something.
pub(super) const VANISHED_NAME: &str = "vanished";

/// The collection that is written to once after each recovery.
pub(super) const PROBES_NAME: &str = "probes";

/// A database and its durability mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) durability: &'static str,
    /// A kill may take back the last commits: so far back, and one write more.
    pub(super) tail: Option<Duration>,
}

/// One of each mode; most of the load goes to the default one.
pub(super) const ALL: [Kind; 5] = [
    kind("crashtest-full", "full"),
    Kind {
        name: "crashtest-memory",
        durability: "memory(20)",
        tail: Some(Duration::from_millis(20)),
    },
    kind("crashtest-always", "always"),
    kind("crashtest-interval", "interval(20)"),
    kind("crashtest-os", "os"),
];

/// A mode in which a kill takes nothing back.
const fn kind(name: &'static str, durability: &'static str) -> Kind {
    Kind {
        name,
        durability,
        tail: None,
    }
}

/// The database of a lane.
pub(super) fn of_lane(lane: u64) -> Kind {
    // Half of them in the first one.
    const SHARES: [usize; 8] = [0, 1, 0, 2, 0, 3, 0, 4];
    ALL[SHARES[lane as usize % SHARES.len()]]
}

/// Makes one of them, with its accounts. Returns when that survives everything.
pub(super) async fn make(client: &Client, kind: Kind) -> Result<(), Error> {
    client
        .create_database(kind.name, Some(kind.durability))
        .await?;
    let database = client.database(kind.name);
    for collection in Collection::ALL {
        database.create_collection(collection.name()).await?;
    }
    database.create_collection(VANISHED_NAME).await?;
    database.create_collection(PROBES_NAME).await?;
    database.create_collection(ACCOUNTS_NAME).await?;
    database.create_collection(SHARED_NAME).await?;
    let mut batch = database.batch();
    batch = batch.create(SHARED_NAME, 1, &shared::document());
    for account in 0..ACCOUNTS {
        batch = batch.create(ACCOUNTS_NAME, account, &MONEY);
    }
    batch.commit().await?;
    database.checkpoint().await
}
