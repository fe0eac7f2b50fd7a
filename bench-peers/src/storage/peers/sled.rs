//! sled.

use std::path::Path;
use std::time::{Duration, Instant};

use docdb_bench_peers::measure::Failure;
use sled::{Batch, Db};

use crate::store::{Config, Entry, Mode, Reader, Store, Subject, Writer};

/// What it says while a thread of a handle that was dropped in this process still has the files.
const LOCKED: &str = "could not acquire lock";
const LOCKED_POLL: Duration = Duration::from_millis(5);
const LOCKED_MAX: Duration = Duration::from_secs(10);

pub const SUBJECT: Subject = Subject {
    name: "sled",
    settings: "0.34.7, Config::new(), the default tree; without flush() a write stays in the \
               process for up to 500 ms, so nothing but flush() survives the end of the process: os \
               is the same as synced",
    durability: |mode| match mode {
        Mode::Synced => Some("flush()"),
        Mode::Os => Some("flush() (no other)"),
        Mode::Memory => Some("none, flush in 500 ms"),
        Mode::Load => Some("none, flush() at the end"),
    },
    open,
};

fn open(dir: &Path, config: Config) -> Result<Box<dyn Store>, Failure> {
    let mut options = sled::Config::new().path(dir);
    if let Some(bytes) = config.cache_bytes {
        options = options.cache_capacity(bytes);
    }
    let flush = matches!(config.mode, Mode::Synced | Mode::Os);
    let began = Instant::now();
    let db = loop {
        match options.open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains(LOCKED) && began.elapsed() < LOCKED_MAX =>
            {
                std::thread::sleep(LOCKED_POLL);
            }
            opened => break opened?,
        }
    };
    Ok(Box::new(Sled { db, flush }))
}

struct Sled {
    db: Db,
    flush: bool,
}

impl Store for Sled {
    fn writer(&self) -> Result<Box<dyn Writer + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn settle(&self) -> Result<(), Failure> {
        self.db.flush()?;
        Ok(())
    }
}

struct Handle<'a>(&'a Sled);

impl Writer for Handle<'_> {
    fn commit(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        match entries {
            [one] => {
                let key = one.id.to_be_bytes();
                self.0.db.insert(key, one.body.as_slice())?;
            }
            many => {
                let mut batch = Batch::default();
                for entry in many {
                    batch.insert(&entry.id.to_be_bytes(), entry.body.as_slice());
                }
                self.0.db.apply_batch(batch)?;
            }
        }
        if self.0.flush {
            self.0.db.flush()?;
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
        let found = self.0.db.get(id.to_be_bytes())?;
        if let Some(found) = &found {
            body.extend_from_slice(found);
        }
        Ok(found.is_some())
    }

    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        for item in self.0.db.iter() {
            each(&item?.1);
        }
        Ok(())
    }
}
