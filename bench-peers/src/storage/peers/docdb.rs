//! DocDB's engine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use docdb_bench_peers::measure::{Failure, Sample};
use docdb_engine::{
    DEFAULT_COLLECTION, Db, DbOptions, Durability, ErrorKind, ScanRequest, WriteOp,
};
use serde_json::json;

use crate::store::{Awaiter, Config, Entry, Mode, Reader, Store, Subject, Ticket, Writer};

/// The log's directory within that of its database.
pub const LOG_DIR: &str = "wal";
/// Documents that a scan takes at a time, and their bytes.
const SCAN_ITEMS: usize = 1000;
const SCAN_BYTES: usize = 1 << 20;
/// For how long a commit is tried again.
const TRY_AGAIN_MAX: Duration = Duration::from_secs(60);

pub const SUBJECT: Subject = Subject {
    name: "docdb",
    settings: "DbOptions::default(), Db::open_with; os is Durability::Os, memory is \
               Durability::MEMORY (handed to the kernel every 100 ms)",
    durability: |mode| match mode {
        Mode::Synced => Some("full"),
        Mode::Os => Some("os"),
        Mode::Memory => Some("memory"),
        Mode::Load => Some("os, sync at the end"),
    },
    open: |dir, config| {
        Ok(Box::new(Docdb {
            db: Db::open_with(dir, options(config))?,
            refused: AtomicU64::new(0),
        }))
    },
};

/// A cache of at most this much is none: DocDB needs none.
const CACHE_OFF_BYTES_MAX: u64 = 1 << 20;

/// The one place that knows the options of the engine.
fn options(config: Config) -> DbOptions {
    let mut options = DbOptions::default();
    options.durability = match config.mode {
        Mode::Synced => Durability::Full,
        Mode::Os | Mode::Load => Durability::Os,
        Mode::Memory => Durability::MEMORY,
    };
    match config.cache_bytes {
        Some(bytes) if bytes <= CACHE_OFF_BYTES_MAX => {
            options.block_cache_bytes_max = 0;
            options.document_cache_bytes_max = 0;
        }
        Some(bytes) => options.memory_bytes_max = options.memory_bytes_max.min(bytes),
        None => {}
    }
    if config.undisturbed {
        options.checkpoint_wal_bytes = u64::MAX;
        options.checkpoint_interval = Duration::from_secs(3600);
        options.memory_bytes_max = 2 << 30;
    }
    options
}

struct Docdb {
    db: Db,
    /// Commits that were refused for want of memory, and tried again.
    refused: AtomicU64,
}

impl Store for Docdb {
    fn writer(&self) -> Result<Box<dyn Writer + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>, Failure> {
        Ok(Box::new(Handle(self)))
    }

    fn settle(&self) -> Result<(), Failure> {
        self.maintain()
    }

    /// A checkpoint. Merges and compactions are the database's own background work, as the peers' are:
    /// nothing is rewritten on demand.
    fn maintain(&self) -> Result<(), Failure> {
        self.db.checkpoint()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.db.close()?)
    }

    fn tell_opening(&self, sample: &mut Sample) {
        let report = self.db.recovery_report();
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        sample.set("recovery", report.to_string());
        sample.set("recovery_ms", millis(report.total_time));
        sample.set("recovery_files_ms", millis(report.files_time));
        sample.set("recovery_replay_ms", millis(report.wal.judge_time));
        sample.set("recovery_act_ms", millis(report.wal.act_time));
        sample.set("recovery_tail_groups", json!(report.wal.tail_groups));
        sample.set("recovery_commits", json!(report.commits));
    }

    fn tell_writing(&self, sample: &mut Sample) {
        sample.set("tried_again", self.refused.load(Ordering::Relaxed));
    }

    fn awaiter(&self) -> Option<&dyn Awaiter> {
        Some(self)
    }
}

impl Awaiter for Docdb {
    fn submit(&self, entry: &Entry) -> Ticket {
        let op = WriteOp::upsert(DEFAULT_COLLECTION, entry.id, &entry.body);
        let ticket = self.db.submit(&[op]);
        Box::pin(async move {
            ticket.await?;
            Ok(())
        })
    }
}

struct Handle<'a>(&'a Docdb);

impl Handle<'_> {
    /// Commits. Writers that are faster than checkpoints wait in the engine for a second, then are told
    /// to try again, which is what an application does.
    fn submit(&self, ops: &[WriteOp<'_>]) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            match self.0.db.submit(ops).wait() {
                Err(error)
                    if error.kind() == ErrorKind::MemoryLimit
                        && began.elapsed() < TRY_AGAIN_MAX =>
                {
                    self.0.refused.fetch_add(1, Ordering::Relaxed);
                }
                outcome => return Ok(outcome.map(|_| ())?),
            }
        }
    }
}

impl Writer for Handle<'_> {
    fn commit(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        match entries {
            [one] => self.submit(&[WriteOp::upsert(DEFAULT_COLLECTION, one.id, &one.body)]),
            many => {
                let ops: Vec<WriteOp<'_>> = many
                    .iter()
                    .map(|entry| WriteOp::upsert(DEFAULT_COLLECTION, entry.id, &entry.body))
                    .collect();
                self.submit(&ops)
            }
        }
    }
}

impl Reader for Handle<'_> {
    /// Every read is of the newest state.
    fn renew(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn read(&mut self, id: u64, body: &mut Vec<u8>) -> Result<bool, Failure> {
        match self.0.db.read(DEFAULT_COLLECTION, id) {
            Ok(document) => {
                body.extend_from_slice(&document.body);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let mut scan = self.0.db.scan(&ScanRequest {
            collection: DEFAULT_COLLECTION.to_owned(),
            ..ScanRequest::default()
        })?;
        loop {
            let items = scan.next_chunk(SCAN_ITEMS, SCAN_BYTES)?;
            if items.is_empty() {
                return Ok(());
            }
            for item in &items {
                each(&item.body);
            }
        }
    }
}
