//! The limit: the same work, done bare.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use docdb_bench_peers::device::Device;
use docdb_bench_peers::measure::{Clock, Failure, Sample};

use super::read::{Seen, choose_and_read, measured, warm};
use crate::document::{BYTES, Documents};
use crate::store::Mode;
use crate::task::{Task, Work};

/// A commit of one document that is written by itself: the document, a header of the record and one
/// of the write.
const LONE_COMMIT_BYTES: usize = BYTES as usize + 112;
/// It is measured for this part of the time of the stores.
const SHARE: u32 = 4;
const READ_BYTES: usize = 1 << 20;

pub fn run(task: &Task) -> Result<Sample, Failure> {
    let time = task.time()? / SHARE;
    match task.work {
        Work::Write { batch, .. } if task.mode == Mode::Synced => {
            let bytes = (batch * BYTES as usize).next_multiple_of(512);
            Device::create(&task.dir)?.synced_writes(bytes, time)
        }
        Work::Await { .. } => Device::create(&task.dir)?.synced_writes(512, time),
        Work::Write { .. } | Work::Overwrite { .. } => {
            Device::create(&task.dir)?.writes(LONE_COMMIT_BYTES, time)
        }
        Work::Load { batch } => load(task, batch),
        Work::Read { threads } => read(task, threads),
        Work::Scan => scan(task),
        _ => Err("the bare device has nothing like it".into()),
    }
}

fn path(task: &Task) -> PathBuf {
    task.dir.join("documents")
}

/// Writes all documents one behind the other, so many at a time, and syncs them at the end.
fn load(task: &Task, batch: usize) -> Result<Sample, Failure> {
    fs::create_dir_all(&task.dir)?;
    let documents = Documents::new();
    let (mut body, mut bytes) = (Vec::new(), Vec::new());
    let clock = Clock::start();
    let mut file = File::create_new(path(task))?;
    for number in 0..task.documents {
        documents.write(task.ids.of(number), 0, &mut body);
        bytes.extend_from_slice(&body);
        if (number + 1) % batch as u64 == 0 || number + 1 == task.documents {
            file.write_all(&bytes)?;
            bytes.clear();
        }
    }
    file.sync_data()?;
    Ok(clock.stop(task.documents))
}

/// Preads documents at random, knowing where they lie.
fn read(task: &Task, threads: usize) -> Result<Sample, Failure> {
    warm(&task.dir)?;
    let documents = Documents::new();
    let file = File::open(path(task))?;
    let mut ends = Vec::with_capacity(usize::try_from(task.documents)?);
    let mut end = 0;
    for number in 0..task.documents {
        end += documents.bytes(task.ids.of(number), 0);
        ends.push(end);
    }
    measured(task, threads, |thread, wanted| {
        choose_and_read(task, thread, wanted, &mut |number, body| {
            let number = number as usize;
            let start = number.checked_sub(1).map_or(0, |before| ends[before]);
            body.resize((ends[number] - start) as usize, 0);
            file.read_exact_at(body, start)?;
            Ok(true)
        })
    })
}

/// Preads the file from its beginning to its end, and looks at each byte.
fn scan(task: &Task) -> Result<Sample, Failure> {
    warm(&task.dir)?;
    let file = File::open(path(task))?;
    let mut buffer = vec![0; READ_BYTES];
    let mut seen = Seen::default();
    let clock = Clock::start();
    loop {
        let bytes = file.read_at(&mut buffer, seen.bytes)?;
        if bytes == 0 {
            break;
        }
        seen.note(&buffer[..bytes]);
    }
    let sample = clock.stop(task.documents).with_bytes(seen.bytes);
    Ok(sample)
}
