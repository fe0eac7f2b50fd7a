//! A database on a simulated disk, a model of what it must hold, and ways to look at all of it.

#![allow(dead_code, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

pub(crate) mod backups;
pub(crate) mod damaged;
pub(crate) mod explore;
pub(crate) mod forgetful;
pub(crate) mod hooked;
pub(crate) mod kept;
pub(crate) mod model;
pub(crate) mod modes;
pub(crate) mod offline;
pub(crate) mod transactions;
pub(crate) mod watched;
pub(crate) mod workload;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use docdb_engine::vfs::Vfs;
use docdb_engine::vfs::sim::{Fault, FaultKind, SimVfs};
use docdb_engine::{Db, DbOptions, ErrorKind, ManualDriver, Result, ScanRequest};

use model::{Collection, State};

pub(crate) const DIR: &str = "/data/db";

pub(crate) fn dir() -> &'static Path {
    Path::new(DIR)
}

/// A disk with an empty, durable directory for databases.
pub(crate) fn disk() -> SimVfs {
    let vfs = SimVfs::new(7);
    vfs.create_dir(Path::new("/data")).unwrap();
    vfs.sync_dir(Path::new("/")).unwrap();
    vfs
}

/// Everything small, so that a short workload rotates segments, fills data files and merges runs.
pub(crate) fn options() -> DbOptions {
    let mut options = DbOptions::default();
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 64 << 10;
    options.keep_segments = 0;
    options.index_shards = 4;
    options.runs_max = 2;
    options.data_file_bytes_max = 8 << 10;
    options.bulk_bytes_min = 4 << 10;
    options.compact_slice_bytes = 4 << 10;
    options.compaction_bytes_per_second = u64::MAX;
    // Tests of healing set it.
    options.scrub_interval = Duration::ZERO;
    options
}

/// Does all the maintenance that is due now.
pub(crate) fn settle(db: &Db) -> Result<()> {
    for _ in 0..1_000 {
        if !db.maintenance_step()? {
            return Ok(());
        }
    }
    panic!("maintenance has no end: {:?}", db.stats());
}

/// The count of live bytes that the manifest keeps is exact.
pub(crate) fn check_space(db: &Db) -> std::result::Result<(), String> {
    let files = match db.space() {
        Ok(files) => files,
        // Nothing can be counted; what cannot be read is for the test to find.
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
        Err(error) => return Err(format!("space: {error}")),
    };
    for file in files {
        if file.live_bytes != file.referenced_bytes || file.bytes < file.live_bytes {
            return Err(format!("{file:?}"));
        }
    }
    Ok(())
}

pub(crate) fn create_with(vfs: &SimVfs, options: DbOptions) -> Result<Db> {
    Db::create(
        forgetful::wrapped(vfs),
        dir(),
        options,
        Arc::new(ManualDriver),
    )
}

pub(crate) fn create(vfs: &SimVfs) -> Result<Db> {
    create_with(vfs, options())
}

pub(crate) fn open_with(vfs: &SimVfs, options: DbOptions) -> Result<Db> {
    Db::open_manual(
        forgetful::wrapped(vfs),
        dir(),
        options,
        Arc::new(ManualDriver),
    )
}

pub(crate) fn open(vfs: &SimVfs) -> Result<Db> {
    open_with(vfs, options())
}

pub(crate) fn fault_at(vfs: &SimVfs, at_op: u64, kind: FaultKind, sticky: bool) {
    vfs.set_fault(Fault {
        at_op,
        kind,
        sticky,
    });
}

pub(crate) fn in_collection(name: &str) -> ScanRequest {
    ScanRequest {
        collection: name.to_owned(),
        ..ScanRequest::default()
    }
}

/// All that a scan gives: id, version, body.
pub(crate) fn scan_all(db: &Db, request: &ScanRequest) -> Result<Vec<(u64, u64, Vec<u8>)>> {
    let mut scan = db.scan(request)?;
    let mut found = Vec::new();
    loop {
        let chunk = scan.next_chunk(5, 1 << 10)?;
        if chunk.is_empty() {
            return Ok(found);
        }
        found.extend(
            chunk
                .into_iter()
                .map(|item| (item.id, item.version, item.body.to_vec())),
        );
    }
}

/// What the database shows, looked at in every way there is: scans in both directions, counts, point
/// reads and the list of collections must agree. The highest ids cannot be seen and are left out. The
/// data files must be accounted for exactly.
pub(crate) fn dump(db: &Db) -> std::result::Result<State, String> {
    check_space(db)?;
    let mut state = State::default();
    for info in db.collections().map_err(|e| format!("collections: {e}"))? {
        let name = info.name;
        let failed = |e: docdb_engine::Error| format!("{name}: {:?}: {e}", e.kind());
        let forward = scan_all(db, &in_collection(&name)).map_err(failed)?;
        let mut backward = scan_all(
            db,
            &ScanRequest {
                reverse: true,
                ..in_collection(&name)
            },
        )
        .map_err(failed)?;
        backward.reverse();
        if forward != backward {
            return Err(format!(
                "{name}: forward {forward:?}, backward {backward:?}"
            ));
        }
        let count = db.count(&name).map_err(failed)?;
        if count != forward.len() as u64 || count != info.documents {
            return Err(format!(
                "{name}: counted {count}, listed {}, scanned {}",
                info.documents,
                forward.len()
            ));
        }
        let mut collection = Collection::default();
        for (id, version, body) in forward {
            let read = db.read(&name, id).map_err(failed)?;
            if read.version != version || *read.body != *body {
                return Err(format!("{name}/{id}: scan and read disagree"));
            }
            collection.documents.insert(id, (version, body));
        }
        for id in 0..40 {
            let exists = db.exists(&name, id).map_err(failed)?;
            if exists != collection.documents.contains_key(&id) {
                return Err(format!("{name}/{id}: exists is {exists}"));
            }
        }
        state.collections.insert(name, collection);
    }
    Ok(state)
}

/// A time that every interval of the options is shorter than.
pub(crate) const LONG: Duration = Duration::from_secs(2 * 3600);

/// The kind of an outcome that must be an error.
pub(crate) fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    outcome.expect_err("must be an error").kind()
}
