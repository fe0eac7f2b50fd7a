//! okaywal.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use okaywal::{
    Configuration, Entry, EntryId, LogManager, LogVoid, ReadChunkResult, SegmentReader,
    WriteAheadLog,
};

use crate::subject::{Append, Subject};
use docdb_bench_peers::measure::{Clock, Failure, Sample, payload, renumber};

/// Records in one entry of a log that is filled to be replayed.
const CHUNKS_PER_ENTRY: u64 = 4096;

pub(crate) struct Okay {
    log: WriteAheadLog,
}

impl Okay {
    /// A new log with the configuration that the crate gives, or with segments of 64 MiB, the size of
    /// docdb-wal's largest.
    pub(crate) fn create(dir: &Path, large: bool) -> Result<Okay, Failure> {
        let mut configuration = Configuration::default_for(dir);
        if large {
            configuration = configuration
                .preallocate_bytes(64 << 20)
                .checkpoint_after_bytes(48 << 20);
        }
        let log = configuration.open(LogVoid)?;
        Ok(Okay { log })
    }

    /// Fills a log with `total` bytes of payloads, many to an entry since each entry is synced. It is
    /// never checkpointed, so all of it stays.
    pub(crate) fn fill(dir: &Path, bytes: usize, total: u64) -> Result<(), Failure> {
        let log = kept(dir).open(LogVoid)?;
        let mut record = payload(0, bytes);
        let records = total.div_ceil(bytes as u64);
        let mut number = 0;
        while number < records {
            let mut entry = log.begin_entry()?;
            for _ in 0..CHUNKS_PER_ENTRY.min(records - number) {
                renumber(&mut record, number);
                entry.write_chunk(&record)?;
                number += 1;
            }
            entry.commit()?;
        }
        log.shutdown()?;
        Ok(())
    }

    /// Opens a log for writing and reads every record back on the way.
    pub(crate) fn replay(dir: &Path) -> Result<Sample, Failure> {
        let count = Arc::new(Mutex::new((0, 0)));
        let clock = Clock::start();
        let log = kept(dir).open(Count(Arc::clone(&count)))?;
        let (records, bytes) = *count.lock().map_err(|_| "a replay panicked")?;
        let sample = clock.stop(records).with_bytes(bytes);
        log.shutdown()?;
        Ok(sample)
    }
}

/// A configuration that never starts a checkpoint.
fn kept(dir: &Path) -> Configuration {
    Configuration::default_for(dir).checkpoint_after_bytes(u64::MAX)
}

impl Subject for Okay {
    fn appender(&self, _: usize) -> Append<'_> {
        Box::new(move |record| {
            let mut entry = self.log.begin_entry()?;
            entry.write_chunk(record)?;
            entry.commit()?;
            Ok(())
        })
    }
}

/// Reads and verifies what is recovered.
#[derive(Debug)]
struct Count(Arc<Mutex<(u64, u64)>>);

impl LogManager for Count {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let (mut records, mut bytes) = (0, 0);
        while let ReadChunkResult::Chunk(mut chunk) = entry.read_chunk()? {
            bytes += chunk.read_all()?.len() as u64;
            if !chunk.check_crc()? {
                return Err(io::Error::other("a chunk does not verify"));
            }
            records += 1;
        }
        if let Ok(mut count) = self.0.lock() {
            count.0 += records;
            count.1 += bytes;
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}
