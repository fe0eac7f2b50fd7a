//! A client's transactions as a session of `docdb-history`. Knows only the client, so that
//! `cargo xtask crashtest` uses it too.

use std::path::Path;
use std::time::Duration;

use docdb_client::blocking::{Client, Database, RawCollection, Transaction};
use docdb_client::{DEFAULT_COLLECTION, Error, ErrorKind, TransactionOptions};
use docdb_history::{Direction, Failure, Level, ScanRange, Seen, Session};

/// The database that is used.
pub(crate) const DB: &str = "db";
/// Lists lie behind all documents.
const LISTS: u64 = 1 << 40;

pub(crate) fn connect(socket: &Path) -> Result<Database, Error> {
    let builder = docdb_client::Client::builder(socket).connect_timeout(Duration::from_secs(1));
    Ok(Client::connect_with(builder)?.database(DB))
}

fn failure(error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::Conflict | ErrorKind::TransactionExpired => Failure::Aborted,
        ErrorKind::OutcomeUnknown => Failure::Unknown,
        // The server is away, or went away before a commit was sent.
        _ if error.is_retryable() || error.is_connect() => Failure::Aborted,
        _ => Failure::Broken(format!("{error:?}")),
    }
}

/// A session on a connection of its own.
pub(crate) fn session(socket: &Path) -> Result<Box<dyn Session>, Failure> {
    Ok(Box::new(Remote {
        db: connect(socket).map_err(|error| failure(&error))?,
        txn: None,
        wrote: false,
    }))
}

struct Remote {
    db: Database,
    txn: Option<Transaction>,
    wrote: bool,
}

impl Remote {
    /// Makes a call; if it fails, the transaction is over.
    fn call<T>(
        &mut self,
        call: impl FnOnce(&RawCollection) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let txn = self.txn.as_ref();
        let txn = txn.ok_or_else(|| Failure::Broken("a call without a transaction".to_owned()))?;
        call(&txn.raw_collection(DEFAULT_COLLECTION)).map_err(|error| {
            self.txn = None;
            match failure(&error) {
                // It will not commit any more.
                Failure::Unknown => Failure::Aborted,
                failure => failure,
            }
        })
    }

    fn write(&mut self, id: u64, body: String) -> Result<(), Failure> {
        self.wrote = true;
        self.call(|all| all.upsert(id, body).map(drop))
    }
}

fn seen(version: u64, body: &[u8]) -> Result<Seen, Failure> {
    let value = serde_json::from_slice(body).map_err(|e| Failure::Broken(e.to_string()))?;
    // What the transaction has written itself has no version yet.
    let version = (version > 0).then_some(version);
    Ok(Seen { version, value })
}

impl Session for Remote {
    fn begin(&mut self, level: Level) -> Result<Option<u64>, Failure> {
        let options = TransactionOptions::new().timeout(Duration::from_secs(60));
        let options = match level {
            Level::Serializable => options.serializable(),
            _ => options,
        };
        let txn = self.db.begin(options).map_err(|error| failure(&error))?;
        let version = txn.version();
        (self.txn, self.wrote) = (Some(txn), false);
        Ok(Some(version))
    }

    fn append(&mut self, key: u64, value: u64) -> Result<(), Failure> {
        let mut list = self.read(key)?;
        list.push(value);
        self.write(LISTS + key, serde_json::Value::from(list).to_string())
    }

    fn read(&mut self, key: u64) -> Result<Vec<u64>, Failure> {
        let found = self.call(|all| all.get_if_exists(LISTS + key))?;
        found.map_or(Ok(Vec::new()), |document| {
            serde_json::from_slice(&document.value).map_err(|e| Failure::Broken(e.to_string()))
        })
    }

    fn get(&mut self, key: u64) -> Result<Option<Seen>, Failure> {
        let found = self.call(|all| all.get_if_exists(key))?;
        found
            .map(|document| seen(document.version, &document.value))
            .transpose()
    }

    fn scan(&mut self, range: ScanRange) -> Result<Vec<(u64, Seen)>, Failure> {
        let items = self.call(|all| {
            let mut scan = all.scan(range.from..=range.to);
            if range.direction == Direction::Descending {
                scan = scan.reverse();
            }
            if let Some(limit) = range.limit {
                scan = scan.limit(u64::from(limit));
            }
            scan.collect::<Result<Vec<_>, _>>()
        })?;
        let items = items.into_iter();
        items
            .map(|item| Ok((item.id, seen(item.version, &item.value)?)))
            .collect()
    }

    fn put(&mut self, key: u64, value: u64) -> Result<(), Failure> {
        self.write(key, value.to_string())
    }

    fn delete(&mut self, key: u64) -> Result<bool, Failure> {
        let existed = self.call(|all| match all.delete(key) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        })?;
        self.wrote |= existed;
        Ok(existed)
    }

    fn commit(&mut self) -> Result<Option<u64>, Failure> {
        let txn = self.txn.take();
        let txn = txn.ok_or_else(|| Failure::Broken("nothing to commit".to_owned()))?;
        let version = txn.commit().map_err(|error| failure(&error))?;
        Ok(self.wrote.then_some(version))
    }

    fn rollback(&mut self) {
        if let Some(txn) = self.txn.take() {
            // The server is away, and with it the transaction.
            let _ = txn.rollback();
        }
    }
}
