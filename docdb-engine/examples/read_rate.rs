//! Measures reads: `cargo run --release -p docdb-engine --example read_rate -- DIRECTORY [DOCUMENTS]
//! [dense|random] [CHECKPOINTS] [keep]`.
//!
//! Loads documents of 300 bytes under dense (1, 2, 3, ...) or random ids, in that many checkpoints,
//! and reads them from data files and runs, page cache warm, on one thread unless it says otherwise.
//! Beside them stands a loop that reads 300 bytes at random places of the same data files. Rates are
//! per second of the thread's processor time, so that a busy machine disturbs them less.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use docdb_engine::vfs::{OpenMode, RealVfs, Vfs};
use docdb_engine::{CacheStats, Db, DbOptions, Durability, ScanRequest, WriteOp};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const BODY_BYTES: usize = 300;
const BATCH: usize = 2_000;
const TIME: Duration = Duration::from_secs(2);

struct Plan {
    documents: u64,
    random: bool,
    checkpoints: u64,
}

impl Plan {
    fn id(&self, n: u64) -> u64 {
        if self.random { mix(n) } else { n + 1 }
    }
}

/// A bijection that scatters (the end of SplitMix64).
fn mix(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        ((u128::from(mix(self.0)) * u128::from(end)) >> 64) as u64
    }
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments
        .next()
        .ok_or("usage: read_rate DIRECTORY [DOCUMENTS] [dense|random] [CHECKPOINTS]")?;
    let plan = Plan {
        documents: arguments.next().map_or(Ok(1_000_000), |n| n.parse())?,
        random: arguments.next().is_some_and(|kind| kind == "random"),
        checkpoints: arguments.next().map_or(Ok(1), |n| n.parse())?,
    };
    // What was loaded and kept is only read the next time, by a process whose memory is all for that.
    let kept = Path::new(&parent).join("db");
    let (_temp, dir) = if kept.exists() || arguments.next().is_some() {
        (None, kept)
    } else {
        let temp = tempfile::tempdir_in(parent)?;
        let dir = temp.path().join("db");
        (Some(temp), dir)
    };
    if !dir.exists() {
        load(&dir, &plan)?;
    }
    println!(
        "{} documents of {BODY_BYTES} bytes, {} ids, {} checkpoints",
        plan.documents,
        if plan.random { "random" } else { "dense" },
        plan.checkpoints
    );
    bare(&dir)?;
    let only = std::env::var("READ_RATE_ONLY").ok();
    for (name, blocks, documents, memory) in [
        ("no caches", 0, 0, 256),
        ("block cache only", u64::MAX, 0, 256),
        ("default caches", u64::MAX, u64::MAX, 256),
        ("64 MiB", u64::MAX, u64::MAX, 64),
    ] {
        if only.as_ref().is_none_or(|only| only == name) {
            measure(&dir, &plan, name, blocks, documents, memory << 20)?;
        }
    }
    Ok(())
}

fn load(dir: &Path, plan: &Plan) -> Result<(), Failure> {
    let mut options = DbOptions::default();
    options.durability = Durability::Os;
    options.memory_bytes_max = 16 << 30;
    options.checkpoint_wal_bytes = u64::MAX;
    options.checkpoint_interval = Duration::from_secs(3600);
    let db = Db::open_with(dir, options)?;
    let share = plan.documents.div_ceil(plan.checkpoints);
    let mut bodies = vec![Vec::new(); BATCH];
    let mut n = 0;
    while n < plan.documents {
        let end = (n + BATCH as u64)
            .min(plan.documents)
            .min((n / share + 1) * share);
        for (i, body) in (n..end).zip(&mut bodies) {
            *body = format!(r#"{{"number":{i},"text":""#).into_bytes();
            body.resize(BODY_BYTES - 2, b'a' + (i % 26) as u8);
            body.extend_from_slice(b"\"}");
        }
        let ops: Vec<_> = (n..end)
            .zip(&bodies)
            .map(|(i, body)| WriteOp::upsert("_default", plan.id(i), body))
            .collect();
        db.submit(&ops).wait()?;
        n = end;
        if n % share == 0 {
            db.checkpoint()?;
        }
    }
    db.close()?;
    Ok(())
}

fn bare(dir: &Path) -> Result<(), Failure> {
    let vfs = RealVfs::new();
    let mut files = Vec::new();
    for name in vfs.list(dir)?.iter().filter(|name| name.ends_with(".dat")) {
        let path: PathBuf = dir.join(name);
        let file = vfs.open(&path, OpenMode::Read)?;
        let len = file.len()?;
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        while at < len {
            at += file.read_at(&mut buffer, at)? as u64;
        }
        files.push((file, len));
    }
    let mut random = Random(1);
    let mut buffer = [0; BODY_BYTES];
    let rate = rate(|| {
        let (file, len) = &files[random.below(files.len() as u64) as usize];
        file.read_exact_at(&mut buffer, random.below(len - 512) / 8 * 8)?;
        Ok(u64::from(buffer[0]))
    })?;
    println!("bare pread: {rate:.0}/s");
    Ok(())
}

/// Runs `step` for a while; calls a second.
fn rate(mut step: impl FnMut() -> Result<u64, Failure>) -> Result<f64, Failure> {
    let (until, started) = (Instant::now() + TIME, Busy::now());
    let (mut count, mut sum) = (0_u64, 0_u64);
    while Instant::now() < until {
        for _ in 0..1000 {
            sum = sum.wrapping_add(step()?);
        }
        count += 1000;
    }
    std::hint::black_box(sum);
    Ok(count as f64 / started.elapsed())
}

/// The time that this thread has spent on a processor; the time that has passed where there is no
/// way to tell.
struct Busy(Instant, Option<f64>);

impl Busy {
    fn now() -> Busy {
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanos = statistics
            .split(' ')
            .next()
            .and_then(|n| n.parse::<f64>().ok());
        Busy(Instant::now(), nanos.map(|nanos| nanos / 1e9))
    }

    /// In seconds.
    fn elapsed(&self) -> f64 {
        match (self.1, Busy::now().1) {
            (Some(from), Some(to)) => to - from,
            _ => self.0.elapsed().as_secs_f64(),
        }
    }
}

fn measure(
    dir: &Path,
    plan: &Plan,
    name: &str,
    blocks: u64,
    documents: u64,
    memory: u64,
) -> Result<(), Failure> {
    let mut options = DbOptions::default();
    options.memory_bytes_max = memory;
    options.block_cache_bytes_max = blocks;
    options.document_cache_bytes_max = documents;
    let before = resident_bytes();
    let started = Instant::now();
    let db = Db::open_with(dir, options)?;
    let opened = started.elapsed();
    println!("{name}: opened in {opened:?}");

    for turn in ["cold", "warm"] {
        let point = points(&db, plan, 1)?;
        println!(
            "  point reads, caches {turn}: {point:.0}/s; resident {} MiB",
            resident_bytes().saturating_sub(before) >> 20
        );
    }
    let two: f64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=2)
            .map(|seed| {
                scope.spawn({
                    let db = &db;
                    move || points(db, plan, seed << 40)
                })
            })
            .collect();
        let rates = threads.into_iter().map(|thread| match thread.join() {
            Ok(rate) => rate,
            Err(_) => Err("a reader panicked".into()),
        });
        rates.sum::<Result<f64, Failure>>()
    })?;
    println!(
        "  point reads, 2 threads: {two:.0}/s; resident {} MiB",
        resident_bytes().saturating_sub(before) >> 20
    );
    let mut random = Random(7);
    let absent = rate(|| {
        let id = plan.id(plan.documents + random.below(1 << 40));
        Ok(u64::from(db.exists("_default", id)?))
    })?;
    println!("  absent ids: {absent:.0}/s");
    for reverse in [false, true] {
        let started = Busy::now();
        let mut scan = db.scan(&ScanRequest {
            collection: "_default".into(),
            reverse,
            ..Default::default()
        })?;
        let (mut count, mut bytes) = (0, 0);
        loop {
            let chunk = scan.next_chunk(1024, 1 << 20)?;
            if chunk.is_empty() {
                break;
            }
            count += chunk.len();
            bytes += chunk.iter().map(|item| item.body.len()).sum::<usize>();
        }
        assert_eq!((count as u64, bytes), (plan.documents, count * BODY_BYTES));
        println!(
            "  scan {}: {:.0}/s",
            if reverse { "down" } else { "up" },
            count as f64 / started.elapsed()
        );
    }
    let mut random = Random(3);
    let short = rate(|| {
        let mut scan = db.scan(&ScanRequest {
            collection: "_default".into(),
            from: Some(plan.id(random.below(plan.documents))),
            limit: Some(20),
            ..Default::default()
        })?;
        Ok(scan.next_chunk(20, 1 << 20)?.len() as u64)
    })?;
    println!("  scans of 20: {short:.0}/s");
    let resident = (resident_bytes().saturating_sub(before)) >> 20;
    let stats = db.stats();
    println!(
        "  resident: {resident} MiB more than before; fences {} KiB; block cache {}; document cache {}",
        stats.run_bytes >> 10,
        cache(&stats.block_cache),
        cache(&stats.document_cache)
    );
    db.close()?;
    Ok(())
}

fn cache(stats: &CacheStats) -> String {
    let share = stats.hits as f64 / (stats.hits + stats.misses).max(1) as f64;
    let (bytes, capacity) = (stats.bytes >> 20, stats.capacity >> 20);
    format!("{bytes} of {capacity} MiB, {:.0} % hits", share * 100.0)
}

fn points(db: &Db, plan: &Plan, seed: u64) -> Result<f64, Failure> {
    let mut random = Random(seed);
    let mut copy = Vec::with_capacity(BODY_BYTES);
    rate(|| {
        let document = db.read("_default", plan.id(random.below(plan.documents)))?;
        copy.clear();
        copy.extend_from_slice(&document.body);
        Ok(u64::from(copy[BODY_BYTES / 2]))
    })
}

/// The memory of this process that is resident, in bytes; zero where there is no way to tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}
