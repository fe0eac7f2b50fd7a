//! redb.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;

use docdb_bench_peers::measure::Failure;
use redb::backends::FileBackend;
use redb::{
    BackendError, Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable,
    StorageBackend, TableDefinition,
};

use crate::store::{Config, Entry, Mode, Reader, Store, Subject, Writer};

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("documents");
const FILE: &str = "data.redb";

pub const SUBJECT: Subject = Subject {
    name: "redb",
    settings: "4.4.0, Builder::new(), a table of u64 to &[u8], a transaction per commit; os is \
               Durability::Immediate on a FileBackend whose sync_data does nothing, since \
               Durability::None does not survive the end of the process",
    durability: |mode| match mode {
        Mode::Synced => Some("Immediate"),
        Mode::Os => Some("Immediate, no sync"),
        Mode::Memory => Some("None"),
        Mode::Load => Some("None, Immediate at the end"),
    },
    open,
};

fn open(dir: &Path, config: Config) -> Result<Box<dyn Store>, Failure> {
    let mut builder = Builder::new();
    if let Some(bytes) = config.cache_bytes {
        builder.set_cache_size(usize::try_from(bytes)?);
    }
    let path = dir.join(FILE);
    let db = match config.mode {
        Mode::Os => {
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(false);
            builder.create_with_backend(Unsynced(FileBackend::new(file.open(path)?)?))?
        }
        _ => builder.create(path)?,
    };
    let durability = match config.mode {
        Mode::Synced | Mode::Os => Durability::Immediate,
        Mode::Memory | Mode::Load => Durability::None,
    };
    // A table comes to be with the first transaction that opens it.
    let transaction = db.begin_write()?;
    transaction.open_table(TABLE)?;
    transaction.commit()?;
    Ok(Box::new(Redb { db, durability }))
}

struct Redb {
    db: Database,
    durability: Durability,
}

impl Store for Redb {
    fn writer(&self) -> Result<Box<dyn Writer + '_>, Failure> {
        Ok(Box::new(Transactions(self)))
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>, Failure> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        Ok(Box::new(Snapshot { store: self, table }))
    }

    fn settle(&self) -> Result<(), Failure> {
        self.db.begin_write()?.commit()?;
        Ok(())
    }
}

struct Transactions<'a>(&'a Redb);

impl Writer for Transactions<'_> {
    fn commit(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        let mut transaction = self.0.db.begin_write()?;
        transaction.set_durability(self.0.durability)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for entry in entries {
                table.insert(entry.id, entry.body.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

struct Snapshot<'a> {
    store: &'a Redb,
    table: ReadOnlyTable<u64, &'static [u8]>,
}

impl Reader for Snapshot<'_> {
    fn renew(&mut self) -> Result<(), Failure> {
        self.table = self.store.db.begin_read()?.open_table(TABLE)?;
        Ok(())
    }

    fn read(&mut self, id: u64, body: &mut Vec<u8>) -> Result<bool, Failure> {
        let found = self.table.get(id)?;
        if let Some(found) = &found {
            body.extend_from_slice(found.value());
        }
        Ok(found.is_some())
    }

    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        for item in self.table.iter()? {
            each(item?.1.value());
        }
        Ok(())
    }
}

/// A file whose syncs do nothing: each commit is in the kernel's hands when it returns.
#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
