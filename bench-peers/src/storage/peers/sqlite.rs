//! SQLite.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use docdb_bench_peers::measure::Failure;
use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{Config, Entry, Mode, Reader, Store, Subject, Writer};

const FILE: &str = "data.sqlite";
const BUSY: Duration = Duration::from_secs(60);
const UPSERT: &str = "INSERT INTO documents (id, body) VALUES (?1, ?2) \
                      ON CONFLICT (id) DO UPDATE SET body = excluded.body";
const READ: &str = "SELECT body FROM documents WHERE id = ?1";
const SCAN: &str = "SELECT body FROM documents ORDER BY id";

pub const SUBJECT: Subject = Subject {
    name: "sqlite",
    settings: "3.54.1 by rusqlite 0.41.1 (bundled), journal_mode=WAL, an INTEGER PRIMARY KEY and a \
               BLOB, prepared statements; one writing connection behind a mutex, a connection \
               for each reader; os is synchronous=OFF",
    durability: |mode| match mode {
        Mode::Synced => Some("WAL, FULL"),
        Mode::Os => Some("WAL, OFF"),
        Mode::Memory => None,
        Mode::Load => Some("WAL, OFF, sync at the end"),
    },
    open,
};

fn open(dir: &Path, config: Config) -> Result<Box<dyn Store>, Failure> {
    let path = dir.join(FILE);
    let writer = connect(&path, config)?;
    let synchronous = match config.mode {
        Mode::Synced => "FULL",
        Mode::Os | Mode::Memory | Mode::Load => "OFF",
    };
    writer.pragma_update(None, "synchronous", synchronous)?;
    writer.execute_batch(
        "CREATE TABLE IF NOT EXISTS documents (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    )?;
    Ok(Box::new(Sqlite {
        path,
        config,
        writer: Mutex::new(writer),
    }))
}

fn connect(path: &Path, config: Config) -> Result<Connection, Failure> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    if let Some(bytes) = config.cache_bytes {
        let kib = i64::try_from(bytes >> 10)?;
        connection.pragma_update(None, "cache_size", -kib)?;
    }
    Ok(connection)
}

struct Sqlite {
    path: PathBuf,
    config: Config,
    writer: Mutex<Connection>,
}

impl Sqlite {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Sqlite {
    fn writer(&self) -> Result<Box<dyn Writer + '_>, Failure> {
        Ok(Box::new(Transactions(self)))
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>, Failure> {
        let reader = Snapshot(connect(&self.path, self.config)?);
        reader.0.execute_batch("BEGIN")?;
        Ok(Box::new(reader))
    }

    /// A checkpoint syncs only if the connection is told to.
    fn settle(&self) -> Result<(), Failure> {
        let connection = self.lock();
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

struct Transactions<'a>(&'a Sqlite);

impl Writer for Transactions<'_> {
    fn commit(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        let mut connection = self.0.lock();
        // An id is 64 bits; SQLite reads them as a signed number.
        match entries {
            [one] => {
                let mut upsert = connection.prepare_cached(UPSERT)?;
                upsert.execute(params![one.id as i64, one.body])?;
            }
            many => {
                let transaction = connection.transaction()?;
                {
                    let mut upsert = transaction.prepare_cached(UPSERT)?;
                    for entry in many {
                        upsert.execute(params![entry.id as i64, entry.body])?;
                    }
                }
                transaction.commit()?;
            }
        }
        Ok(())
    }
}

/// In a transaction from the first read after `BEGIN` on.
struct Snapshot(Connection);

impl Reader for Snapshot {
    fn renew(&mut self) -> Result<(), Failure> {
        self.0.prepare_cached("COMMIT")?.execute([])?;
        self.0.prepare_cached("BEGIN")?.execute([])?;
        Ok(())
    }

    fn read(&mut self, id: u64, body: &mut Vec<u8>) -> Result<bool, Failure> {
        let mut read = self.0.prepare_cached(READ)?;
        let found = read
            .query_row([id as i64], |row| {
                body.extend_from_slice(row.get_ref(0)?.as_blob()?);
                Ok(())
            })
            .optional()?;
        Ok(found.is_some())
    }

    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let mut scan = self.0.prepare_cached(SCAN)?;
        let mut rows = scan.query([])?;
        while let Some(row) = rows.next()? {
            each(row.get_ref(0)?.as_blob()?);
        }
        Ok(())
    }
}
