//! A store is filled.

use std::time::Instant;

use docdb_bench_peers::measure::{Clock, Failure, Sample};

use crate::disk::Usage;
use crate::document::Documents;
use crate::store::{Entry, Store};
use crate::task::Task;

/// Batches that are filled and not measured have so many documents.
pub const BATCH: usize = 1000;

/// From an empty directory to a store that is settled and closed.
pub fn load(task: &Task, batch: usize) -> Result<Sample, Failure> {
    let documents = Documents::new();
    let clock = Clock::start();
    let store = task.open()?;
    fill(store.as_ref(), task, &documents, batch)?;
    let filled = Instant::now();
    store.settle()?;
    let mut told = Sample::default();
    store.tell_writing(&mut told);
    store.close()?;
    let mut sample = clock.stop(task.documents).with(told);
    sample.set("settle_seconds", filled.elapsed().as_secs_f64());
    let live: u64 = (0..task.documents)
        .map(|number| documents.bytes(task.ids.of(number), 0))
        .sum();
    let disk = Usage::of(&task.dir)?;
    sample.set("disk_to_live", disk.all() as f64 / live as f64);
    Ok(sample)
}

/// Commits all documents of the task.
pub fn fill(
    store: &dyn Store,
    task: &Task,
    documents: &Documents,
    batch: usize,
) -> Result<(), Failure> {
    let mut writer = store.writer()?;
    let mut entries = vec![Entry::default(); batch];
    let mut number = 0;
    while number < task.documents {
        let count = (task.documents - number).min(batch as u64) as usize;
        for entry in &mut entries[..count] {
            entry.id = task.ids.of(number);
            documents.write(entry.id, 0, &mut entry.body);
            number += 1;
        }
        writer.commit(&entries[..count])?;
    }
    Ok(())
}
