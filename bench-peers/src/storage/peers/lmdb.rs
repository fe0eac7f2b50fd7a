//! LMDB.

use std::path::Path;

use docdb_bench_peers::measure::Failure;
use lmdb::{
    Cursor, Database, Environment, EnvironmentFlags, RoTransaction, Transaction, WriteFlags,
};

use crate::store::{Config, Entry, Mode, Reader, Store, Subject, Writer};

/// The map is address space only; it must be larger than the store ever gets.
const MAP_BYTES: usize = 64 << 30;
/// More than the threads that ever read; its default is 126.
const READERS: u32 = 512;

pub const SUBJECT: Subject = Subject {
    name: "lmdb",
    settings: "LMDB 0.9.24 by lmdb-rkv 0.14.0, the unnamed database, ids as 8 bytes big-endian, map \
               of 64 GiB, no flags; os is MDB_NOSYNC, which writes with pwrite and so survives the \
               end of the process",
    durability: |mode| match mode {
        Mode::Synced => Some("default sync"),
        Mode::Os => Some("NOSYNC"),
        Mode::Memory => None,
        Mode::Load => Some("NOSYNC, sync at the end"),
    },
    open,
};

/// Its cache is the kernel's.
fn open(dir: &Path, config: Config) -> Result<Box<dyn Store>, Failure> {
    let mut builder = Environment::new();
    builder.set_map_size(MAP_BYTES).set_max_readers(READERS);
    if config.mode != Mode::Synced {
        builder.set_flags(EnvironmentFlags::NO_SYNC);
    }
    let env = builder.open(dir)?;
    let db = env.open_db(None)?;
    Ok(Box::new(Lmdb { env, db }))
}

struct Lmdb {
    env: Environment,
    db: Database,
}

impl Store for Lmdb {
    fn writer(&self) -> Result<Box<dyn Writer + '_>, Failure> {
        Ok(Box::new(Transactions(self)))
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>, Failure> {
        let transaction = Some(self.env.begin_ro_txn()?);
        Ok(Box::new(Snapshot {
            store: self,
            transaction,
        }))
    }

    fn settle(&self) -> Result<(), Failure> {
        Ok(self.env.sync(true)?)
    }
}

struct Transactions<'a>(&'a Lmdb);

impl Writer for Transactions<'_> {
    fn commit(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        let mut transaction = self.0.env.begin_rw_txn()?;
        for entry in entries {
            let key = entry.id.to_be_bytes();
            transaction.put(self.0.db, &key, &entry.body, WriteFlags::empty())?;
        }
        Ok(transaction.commit()?)
    }
}

struct Snapshot<'a> {
    store: &'a Lmdb,
    transaction: Option<RoTransaction<'a>>,
}

impl<'a> Snapshot<'a> {
    fn transaction(&self) -> Result<&RoTransaction<'a>, Failure> {
        let transaction = self.transaction.as_ref();
        transaction.ok_or_else(|| "a transaction could not be renewed".into())
    }
}

impl Reader for Snapshot<'_> {
    fn renew(&mut self) -> Result<(), Failure> {
        if let Some(transaction) = self.transaction.take() {
            self.transaction = Some(transaction.reset().renew()?);
        }
        Ok(())
    }

    fn read(&mut self, id: u64, body: &mut Vec<u8>) -> Result<bool, Failure> {
        let key = id.to_be_bytes();
        match self.transaction()?.get(self.store.db, &key) {
            Ok(found) => {
                body.extend_from_slice(found);
                Ok(true)
            }
            Err(lmdb::Error::NotFound) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let mut cursor = self.transaction()?.open_ro_cursor(self.store.db)?;
        for item in cursor.iter() {
            each(item?.1);
        }
        Ok(())
    }
}
