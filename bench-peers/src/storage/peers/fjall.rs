//! fjall.

use std::path::Path;
use std::time::Duration;

use docdb_bench_peers::measure::Failure;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::store::{Config, Entry, Mode, Reader, Store, Subject, Writer};

/// How often it is asked whether the work in the background is done, and for how long it must have
/// said so: one compaction may call for the next.
const SETTLE_POLL: Duration = Duration::from_millis(5);
const SETTLED_POLLS: u32 = 10;

pub const SUBJECT: Subject = Subject {
    name: "fjall",
    settings: "3.1.13, Database::builder, one keyspace with KeyspaceCreateOptions::default() (LZ4); \
               synced is persist(SyncAll) after each commit, os is the default, which flushes to \
               the kernel (PersistMode::Buffer)",
    durability: |mode| match mode {
        Mode::Synced => Some("SyncAll"),
        Mode::Os => Some("Buffer"),
        Mode::Memory => None,
        Mode::Load => Some("Buffer, SyncAll at the end"),
    },
    open,
};

fn open(dir: &Path, config: Config) -> Result<Box<dyn Store>, Failure> {
    let mut builder = Database::builder(dir);
    if let Some(bytes) = config.cache_bytes {
        builder = builder.cache_size(bytes);
    }
    let db = builder.open()?;
    let documents = db.keyspace("documents", KeyspaceCreateOptions::default)?;
    let synced = config.mode == Mode::Synced;
    Ok(Box::new(Fjall {
        db,
        documents,
        synced,
    }))
}

struct Fjall {
    db: Database,
    documents: Keyspace,
    synced: bool,
}

impl Store for Fjall {
    fn writer(&self) -> Result<Box<dyn Writer + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn settle(&self) -> Result<(), Failure> {
        self.db.persist(PersistMode::SyncAll)?;
        self.documents.rotate_memtable_and_wait()?;
        let mut quiet = 0;
        while quiet < SETTLED_POLLS {
            std::thread::sleep(SETTLE_POLL);
            match self.db.outstanding_flushes() == 0 && self.db.active_compactions() == 0 {
                true => quiet += 1,
                false => quiet = 0,
            }
        }
        Ok(())
    }
}

struct Handle<'a>(&'a Fjall);

impl Writer for Handle<'_> {
    fn commit(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        let Fjall {
            db,
            documents,
            synced,
        } = self.0;
        match entries {
            [one] => documents.insert(one.id.to_be_bytes(), one.body.as_slice())?,
            many => {
                let mut batch = db.batch();
                for entry in many {
                    batch.insert(documents, entry.id.to_be_bytes(), entry.body.as_slice());
                }
                batch.commit()?;
            }
        }
        if *synced {
            db.persist(PersistMode::SyncAll)?;
        }
        Ok(())
    }
}

impl Reader for Handle<'_> {
    /// Every read is of the newest state.
    fn renew(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn read(&mut self, id: u64, body: &mut Vec<u8>) -> Result<bool, Failure> {
        let found = self.0.documents.get(id.to_be_bytes())?;
        if let Some(found) = &found {
            body.extend_from_slice(found);
        }
        Ok(found.is_some())
    }

    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        for item in self.0.documents.iter() {
            each(&item.value()?);
        }
        Ok(())
    }
}
