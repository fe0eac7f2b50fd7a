//! Which cases there are, and in which order they run.

use docdb_bench_peers::measure::Failure;

use crate::case::{Case, OPEN, P99_RATIO, READ_SHARE, RESIDENT};
use crate::document::Ids;
use crate::options::Options;
use crate::runner::Runner;
use crate::store::Mode;
use crate::task::Work;
use crate::work::LOAD_BATCH;

const WRITERS: [usize; 4] = [1, 4, 16, 64];
const AWAITED: usize = 1_000;
const BATCHES: [usize; 3] = [10, 100, 1_000];
const READERS: [usize; 2] = [1, 2];
const MIXED_READERS: usize = 128;
const MIXED_WRITERS: usize = 16;
/// What every store may cache that can be told.
const CACHE_BYTES: u64 = 256 << 20;
/// As good as none.
const CACHE_OFF_BYTES: u64 = 1 << 20;
const SMALL_CACHE_BYTES: u64 = 64 << 20;

/// Runs every case once, then everything again, so that a slow minute of the machine meets them all;
/// the largest stores are filled once.
pub fn run(runner: &Runner<'_>) -> Result<(), Failure> {
    for repeat in 0..runner.options.repeats {
        for case in fresh(runner.options) {
            if runner.options.has_row(case.row) {
                run_fresh(runner, &case, repeat)?;
            }
        }
        for ids in [Ids::Dense, Ids::Random] {
            run_million(runner, ids, repeat)?;
        }
    }
    let scale = runner.options.scale;
    run_opened(runner, "10 thousand", scale.ten_thousand)?;
    run_opened(runner, "10 million", scale.ten_million)
}

fn run_fresh(runner: &Runner<'_>, case: &Case, repeat: u32) -> Result<(), Failure> {
    for subject in case.subjects(runner.options, repeat) {
        let dir = runner.fresh(subject)?;
        runner.run(case, subject, &dir, repeat)?;
        runner.remove(subject)?;
    }
    Ok(())
}

/// The cases that begin with an empty directory.
fn fresh(options: &Options) -> Vec<Case> {
    let scale = options.scale;
    let mut cases = Vec::new();
    for threads in WRITERS {
        let work = Work::Write { threads, batch: 1 };
        let name = format!("durable commits of one document, blocking threads: {threads}");
        cases.push(Case::new("T2", name, (work, Mode::Synced, 0), options).beside_device());
    }
    let work = Work::Await { in_flight: AWAITED };
    let name = format!("durable commits of one document, awaited: {AWAITED}");
    cases.push(
        Case::new("T3", name, (work, Mode::Synced, 0), options)
            .ours()
            .beside_device(),
    );
    for (row, name, mode) in [
        (
            "T4",
            "commits of one document into memory, threads: 1",
            Mode::Memory,
        ),
        (
            "T5",
            "commits of one document that survive kill -9, threads: 1",
            Mode::Os,
        ),
    ] {
        let work = Work::Write {
            threads: 1,
            batch: 1,
        };
        cases.push(Case::new(row, name, (work, mode, 0), options).beside_device());
    }
    for (documents, name) in [
        (
            scale.hundred_thousand,
            "1 million overwrites of 100 thousand",
        ),
        (scale.million, "1 million overwrites of 1 million"),
    ] {
        let work = Work::Overwrite {
            writes: scale.million,
            seconds_max: scale.seconds_max,
        };
        cases.push(Case::new("T11", name, (work, Mode::Os, documents), options).beside_device());
    }
    let work = Work::Disturbed {
        threads: MIXED_WRITERS,
    };
    let name = format!("P99 of commits beside checkpoint and compaction, threads: {MIXED_WRITERS}");
    let case = Case::new(
        "T13",
        name,
        (work, Mode::Synced, scale.hundred_thousand),
        options,
    );
    cases.push(case.figure(P99_RATIO).ours());
    for batch in BATCHES {
        let work = Work::Write { threads: 1, batch };
        let name = format!("durable atomic batches, threads: 1, documents: {batch}");
        cases.push(Case::new("T14", name, (work, Mode::Synced, 0), options).beside_device());
    }
    let work = Work::Mixed {
        readers: MIXED_READERS,
        writers: MIXED_WRITERS,
    };
    let name =
        format!("reads per processor left: {MIXED_READERS} readers, {MIXED_WRITERS} writers");
    let case = Case::new(
        "T14",
        name,
        (work, Mode::Synced, scale.hundred_thousand),
        options,
    );
    cases.push(case.figure(READ_SHARE).cache(CACHE_BYTES));
    cases
}

/// The stores of a million documents are filled, then read.
fn run_million(runner: &Runner<'_>, ids: Ids, repeat: u32) -> Result<(), Failure> {
    let options = runner.options;
    let documents = options.scale.million;
    let which = match ids {
        Ids::Dense => "dense ids",
        Ids::Random => "random ids",
    };
    let work = Work::Load { batch: LOAD_BATCH };
    let name = format!("bulk load of 1 million, {which}, batches of {LOAD_BATCH}");
    let load = Case::new("T7", name, (work, Mode::Load, documents), options);
    let load = load.ids(ids).beside_device();

    let mut reads = Vec::new();
    for threads in READERS {
        let read = |name: &str| {
            let name = format!("random read of 1 million, {which}, {name}, threads: {threads}");
            let work = (Work::Read { threads }, Mode::Os, documents);
            Case::new("T8", name, work, options)
                .ids(ids)
                .beside_device()
        };
        reads.push(read("cache off").cache(CACHE_OFF_BYTES).ours());
        reads.push(read("cache of 256 MiB").cache(CACHE_BYTES));
    }
    let name = format!("full scan of 1 million, {which}");
    let scan = Case::new("T9", name, (Work::Scan, Mode::Os, documents), options);
    reads.push(scan.ids(ids).cache(CACHE_BYTES).beside_device());
    reads.retain(|case| options.has_row(case.row));

    if !options.has_row(load.row) && reads.is_empty() {
        return Ok(());
    }
    let subjects = load.subjects(options, repeat);
    for subject in &subjects {
        let dir = runner.fresh(subject)?;
        match options.has_row(load.row) {
            true => runner.run(&load, subject, &dir, repeat)?,
            false => {
                runner.measure(&load.task(subject, &dir))?;
            }
        }
    }
    for case in &reads {
        for subject in case.subjects(options, repeat) {
            runner.run(case, subject, &options.dir.join(subject), repeat)?;
        }
    }
    for subject in &subjects {
        runner.remove(subject)?;
    }
    Ok(())
}

/// Stores that are opened, one after the other: all of them together would not fit.
fn run_opened(runner: &Runner<'_>, size: &str, documents: u64) -> Result<(), Failure> {
    let options = runner.options;
    let scale = options.scale;
    let is_large = documents == scale.ten_million;
    let case = |row, name: String, work| {
        Case::new(row, name, (work, Mode::Os, documents), options).cache(CACHE_BYTES)
    };
    let work = Work::Load { batch: LOAD_BATCH };
    let load = Case::new("T10", "", (work, Mode::Load, documents), options);
    let name = format!("open {size} after a clean close, and read one");
    let clean = case("T10", name, Work::Open { overwritten: 0 }).figure(OPEN);
    let name = format!("memory of {size}, cache of 64 MiB, read at random");
    let resident = case("T12", name, Work::Resident).figure(RESIDENT);
    let resident = resident.cache(SMALL_CACHE_BYTES);
    let has_resident = is_large && options.has_row("T12");
    if !options.has_row("T10") && !has_resident {
        return Ok(());
    }
    for subject in load.subjects(options, 0) {
        let dir = runner.fresh(subject)?;
        eprintln!("filling {subject} with {documents} documents");
        if let Err(error) = runner.measure(&load.task(subject, &dir)) {
            eprintln!("  failed: {error}");
            runner.remove(subject)?;
            continue;
        }
        for repeat in 0..options.repeats {
            if options.has_row("T10") {
                runner.run(&clean, subject, &dir, repeat)?;
            }
            if has_resident {
                runner.run(&resident, subject, &dir, repeat)?;
            }
        }
        // Last: the documents are no longer those that were loaded.
        let kills = match options.has_row("T10") {
            true => options.repeats,
            false => 0,
        };
        for repeat in 0..kills {
            let work = Work::Overwritten {
                writes: scale.before_kill,
                seconds_max: scale.seconds_max,
            };
            let overwrite = case("T10", String::new(), work);
            let overwritten = runner.kill(&overwrite.task(subject, &dir))?;
            let name = format!("open {size} after kill -9, and read one");
            let killed = case("T10", name, Work::Open { overwritten }).figure(OPEN);
            runner.run(&killed, subject, &dir, repeat)?;
        }
        runner.remove(subject)?;
    }
    Ok(())
}
