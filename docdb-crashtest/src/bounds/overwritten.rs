//! A set of documents that is overwritten, and how much of the disk it takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::vfs::{OpenMode, Vfs};
use docdb_engine::{Db, DbOptions, Durability, ManualDriver, WriteOp};

use super::told::Told;
use super::{dir, disk};

const DOCUMENTS: u64 = 100_000 / 16;
const COMMITS_PER_SECOND: u64 = 200_000 / 16;
/// Commits between two steps of maintenance: 25 ms.
const COMMITS_PER_STEP: u64 = COMMITS_PER_SECOND / 40;

/// How many times the live bytes all data files took.
#[derive(Debug)]
pub struct Space {
    /// At any write.
    pub most: f64,
    /// When nothing was due any more.
    pub settled: f64,
    /// How many there were.
    pub checkpoints: u64,
    /// Most runs at a time.
    pub runs_most: u64,
}

fn data_bytes(vfs: &SimVfs) -> u64 {
    let is_data = |path: &PathBuf| path.to_string_lossy().contains("/data-");
    let files = vfs.files().into_iter().filter(is_data);
    files
        .map(|path| vfs.open(&path, OpenMode::Read).and_then(|f| f.len()))
        .map(|length| length.unwrap_or(0))
        .sum()
}

/// Overwrites for so long with background work at this rate.
///
/// # Errors
///
/// What failed, or takes far too much.
pub fn overwrite(seed: u64, bytes_per_second: u64, time: Duration) -> Result<Space, String> {
    let mut options = DbOptions::default();
    options.durability = Durability::Os;
    options.index_shards = 4;
    options.checkpoint_wal_bytes /= 16;
    options.memory_bytes_max /= 16;
    options.wal_bytes_max /= 16;
    options.data_file_bytes_max /= 16;
    options.compact_slice_bytes /= 16;
    options.compact_dead_bytes_max /= 16;
    options.compaction_bytes_per_second = bytes_per_second;
    options.scrub_interval = Duration::ZERO;
    let vfs = disk().map_err(|e| e.to_string())?;
    let most = Arc::new(AtomicU64::new(0));
    let (counted, seen) = (vfs.clone(), Arc::clone(&most));
    let told = Told {
        vfs: vfs.clone(),
        clocks: None,
        on_write: Arc::new(move |_| {
            seen.fetch_max(data_bytes(&counted), Ordering::Relaxed);
        }),
    };
    let db = Db::create(Arc::new(told), dir(), options, Arc::new(ManualDriver))
        .map_err(|e| e.to_string())?;
    let write = |n: u64, id: u64| {
        let body = format!("\"{n:0>298}\"");
        let op = WriteOp::upsert("_default", id, body.as_bytes());
        db.submit(&[op]).wait().map_err(|e| e.to_string())
    };
    for id in 0..DOCUMENTS {
        write(id, id)?;
    }
    db.checkpoint().map_err(|e| e.to_string())?;
    let live = db.stats().data_live_bytes;
    let step = || {
        let outcome = db.maintenance_step().map_err(|e| e.to_string());
        most.fetch_max(data_bytes(&vfs), Ordering::Relaxed);
        outcome
    };
    let mut random = seed;
    let mut runs_most = 0;
    for n in 0..time.as_secs() * COMMITS_PER_SECOND {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        write(n, (random >> 33) % DOCUMENTS)?;
        if n % COMMITS_PER_STEP == 0 {
            vfs.advance(Duration::from_millis(25));
            step()?;
            runs_most = runs_most.max(db.stats().runs);
            if most.load(Ordering::Relaxed) > 5 * live {
                return Err(format!(
                    "more than 5 times the live bytes after {n} commits"
                ));
            }
        }
    }
    let stats = db.stats();
    // Until nothing is due any more.
    for _ in 0..10_000 {
        vfs.advance(Duration::from_secs(1));
        step()?;
        if db.maintenance_due().is_none() {
            break;
        }
    }
    for file in db.space().map_err(|e| e.to_string())? {
        if file.live_bytes != file.referenced_bytes || file.bytes < file.live_bytes {
            return Err(format!("the count of live bytes is wrong: {file:?}"));
        }
    }
    if db.maintenance_due().is_some() {
        return Err("maintenance has no end".to_owned());
    }
    Ok(Space {
        most: most.load(Ordering::Relaxed) as f64 / live as f64,
        settled: data_bytes(&vfs) as f64 / db.stats().data_live_bytes as f64,
        checkpoints: stats.checkpoints,
        runs_most,
    })
}
