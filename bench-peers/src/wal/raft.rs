//! raft-engine.

use std::path::Path;

use protobuf::descriptor::UninterpretedOption;
use raft_engine::env::DefaultFileSystem;
use raft_engine::{Config, Engine, LogBatch, MessageExt};

use crate::subject::{Append, Subject};
use docdb_bench_peers::measure::{Clock, Failure, Sample, payload, renumber};

/// Entries of one batch of a log that is filled to be replayed.
const ENTRIES_PER_BATCH: u64 = 1024;
/// How many entries an appender leaves in its group's index before it compacts it, as a user of the
/// log does whose state machine has applied them.
const COMPACT_EVERY: u64 = 4096;

/// A protobuf message that has a number and bytes, as a raft entry has.
#[derive(Clone)]
struct EntryMessage;

impl MessageExt for EntryMessage {
    type Entry = UninterpretedOption;

    fn index(entry: &UninterpretedOption) -> u64 {
        entry.get_positive_int_value()
    }
}

pub(crate) struct Raft {
    engine: Engine<DefaultFileSystem>,
    sync: bool,
}

impl Raft {
    /// A new log with the configuration that the crate gives. Without `sync`, a write is in the
    /// kernel's hands when it is acknowledged.
    pub(crate) fn open(dir: &Path, sync: bool) -> Result<Raft, Failure> {
        let engine = Engine::open(Config {
            dir: dir.to_string_lossy().into_owned(),
            ..Config::default()
        })?;
        Ok(Raft { engine, sync })
    }

    /// Fills a log with `total` bytes of payloads.
    pub(crate) fn fill(dir: &Path, bytes: usize, total: u64) -> Result<(), Failure> {
        let log = Raft::open(dir, false)?;
        let mut record = payload(0, bytes);
        let records = total.div_ceil(bytes as u64);
        let mut number = 0;
        while number < records {
            let mut batch = LogBatch::default();
            for _ in 0..ENTRIES_PER_BATCH.min(records - number) {
                number += 1;
                renumber(&mut record, number);
                batch.add_entries::<EntryMessage>(1, &[entry(number, record.clone())])?;
            }
            log.engine.write(&mut batch, false)?;
        }
        log.engine.sync()?;
        Ok(())
    }

    /// Opens a log for writing, which rebuilds its index, and reads every entry back.
    pub(crate) fn replay(dir: &Path) -> Result<Sample, Failure> {
        let (mut records, mut bytes) = (0, 0);
        let clock = Clock::start();
        let log = Raft::open(dir, false)?;
        let last = log.engine.last_index(1).unwrap_or(0);
        let mut next = log.engine.first_index(1).unwrap_or(1);
        let mut entries = Vec::new();
        while next <= last {
            entries.clear();
            let end = (next + ENTRIES_PER_BATCH).min(last + 1);
            log.engine
                .fetch_entries_to::<EntryMessage>(1, next, end, None, &mut entries)?;
            records += entries.len() as u64;
            bytes += entries
                .iter()
                .map(|entry| entry.get_string_value().len() as u64)
                .sum::<u64>();
            next = end;
        }
        Ok(clock.stop(records).with_bytes(bytes))
    }
}

fn entry(index: u64, record: Vec<u8>) -> UninterpretedOption {
    let mut entry = UninterpretedOption::new();
    entry.set_positive_int_value(index);
    entry.set_string_value(record);
    entry
}

impl Subject for Raft {
    /// Every appender has a raft group of its own, so that nobody waits for another one's index.
    fn appender(&self, thread: usize) -> Append<'_> {
        let group = thread as u64 + 1;
        let mut index = 0;
        let mut batch = LogBatch::default();
        Box::new(move |record| {
            index += 1;
            batch.add_entries::<EntryMessage>(group, &[entry(index, record.to_vec())])?;
            self.engine.write(&mut batch, self.sync)?;
            if index % COMPACT_EVERY == 0 {
                self.engine.compact_to(group, index);
            }
            Ok(())
        })
    }
}
