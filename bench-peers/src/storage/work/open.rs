//! A store is opened: after it was closed, and after its process was killed.

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

use docdb_bench_peers::measure::{Clock, Failure, Sample};

use crate::document::Documents;
use crate::rng::mix;
use crate::store::Entry;
use crate::task::Task;

/// The number of the document that is overwritten by this write.
fn overwritten_number(task: &Task, write: u64) -> u64 {
    mix(write) % task.documents
}

/// Opens the store and reads a document; then, outside the measured time, looks for what was
/// overwritten before.
pub fn open(task: &Task, overwritten: u64) -> Result<Sample, Failure> {
    let documents = Documents::new();
    let mut body = Vec::new();
    let id = task.ids.of(task.documents / 2);
    let clock = Clock::start();
    let store = task.open()?;
    let opened = clock.elapsed();
    let mut reader = store.reader()?;
    let found = reader.read(id, &mut body)?;
    let both = clock.elapsed();
    let mut sample = clock.stop(1);
    if !found {
        return Err("the first document read is missing".into());
    }
    documents.revision(id, &body)?;
    sample.set("open_ms", both.as_secs_f64() * 1e3);
    sample.set("open_only_ms", opened.as_secs_f64() * 1e3);
    store.tell_opening(&mut sample);
    let mut newest = HashMap::new();
    for write in 0..overwritten {
        newest.insert(overwritten_number(task, write), write as u32 + 1);
    }
    let mut lost = 0;
    for (number, revision) in newest {
        let id = task.ids.of(number);
        body.clear();
        let found = reader.read(id, &mut body)?;
        if !found || documents.revision(id, &body)? != revision {
            lost += 1;
        }
    }
    if overwritten > 0 {
        sample.set("writes_before_kill", overwritten);
        sample.set("lost", lost);
    }
    drop(reader);
    store.close()?;
    Ok(sample)
}

/// Overwrites documents one by one, says how many, and waits to be killed.
pub fn overwrite_and_wait(task: &Task, writes: u64, seconds_max: f64) -> Result<Sample, Failure> {
    let documents = Documents::new();
    let time_max = Duration::try_from_secs_f64(seconds_max)?;
    let store = task.open()?;
    let mut writer = store.writer()?;
    let mut entry = [Entry::default()];
    let began = Instant::now();
    let mut done = 0;
    while done < writes && began.elapsed() < time_max {
        entry[0].id = task.ids.of(overwritten_number(task, done));
        documents.write(entry[0].id, done as u32 + 1, &mut entry[0].body);
        writer.commit(&entry)?;
        done += 1;
    }
    println!("{done}");
    std::io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}
