//! Disk space must be bounded by what is live, however long the run.

use std::fs;
use std::io;
use std::path::Path;

use docdb_client::{Client, Error};

use super::databases;

/// Budget of each database's log, so small that it rotates all the time.
pub(super) const WAL_BYTES_MAX: u64 = 2 << 20;

/// What a database may take on top of its log and of what is live: two slices of a compaction, and as
/// much for what a step has written and not yet put in place.
const SLACK_BYTES: u64 = 32 << 20;

/// How much of a data file may be dead before it is compacted, and as much again meanwhile.
const TIMES_LIVE: u64 = 3;

/// Bytes of all files, and a complaint if they are more than they may.
pub(super) async fn check(
    client: &Client,
    data_dir: &Path,
) -> Result<(u64, Option<String>), Error> {
    let mut live = 0;
    for kind in databases::ALL {
        let stats = client.database(kind.name).stats().await?;
        live += stats["data"]["live_bytes"].as_u64().unwrap_or(0);
    }
    let used = used_bytes(data_dir).unwrap_or(0);
    let each = 2 * WAL_BYTES_MAX + SLACK_BYTES;
    let most = TIMES_LIVE * live + databases::ALL.len() as u64 * each;
    let complaint = (used > most).then(|| {
        format!("the files take {used} bytes for {live} live ones; at most {most} are due")
    });
    Ok((used, complaint))
}

fn used_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Files come and go: the server is at work.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += match metadata.is_dir() {
            true => used_bytes(&entry.path())?,
            false => metadata.len(),
        };
    }
    Ok(bytes)
}
