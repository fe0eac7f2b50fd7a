//! How much memory a large store takes while it is read.

use std::fs;

use docdb_bench_peers::measure::{Clock, Failure, Sample};

use super::read::{Seen, choose_and_read, scan_all};
use crate::task::Task;

pub fn resident(task: &Task) -> Result<Sample, Failure> {
    let time = task.time()?;
    let before = Memory::now()?;
    let store = task.open()?;
    let opened = Memory::now()?;
    let mut reader = store.reader()?;
    let clock = Clock::start();
    let wanted = || clock.elapsed() < time;
    let reads = choose_and_read(task, 0, &wanted, &mut |number, body| {
        reader.read(task.ids.of(number), body)
    })?;
    let mut sample = clock.stop(reads.count).with_latencies(reads.latencies);
    let read = Memory::now()?;
    let (_, seen) = scan_all(reader.as_mut())?;
    let scanned = Memory::now()?;
    seen.check(&Seen::expected(task))?;
    sample.set("rss_mib", read.resident.saturating_sub(before.resident));
    sample.set("rss_opened_mib", opened.resident);
    sample.set("rss_anonymous_mib", read.anonymous);
    sample.set("rss_scanned_mib", scanned.resident);
    sample.set("rss_highest_mib", scanned.highest);
    sample.set("readable", seen.count);
    Ok(sample)
}

/// What the kernel says of this process, in MiB.
struct Memory {
    resident: u64,
    /// Without the pages of files that are mapped.
    anonymous: u64,
    highest: u64,
}

impl Memory {
    fn now() -> Result<Memory, Failure> {
        let status = fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kib.map(|kib| kib >> 10)
                .ok_or_else(|| format!("the kernel does not tell {name}"))
        };
        Ok(Memory {
            resident: field("VmRSS:")?,
            anonymous: field("RssAnon:")?,
            highest: field("VmHWM:")?,
        })
    }
}
