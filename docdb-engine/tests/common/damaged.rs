//! Documents found and damaged on the disk.

use std::path::PathBuf;

use docdb_engine::DbOptions;
use docdb_engine::vfs::sim::SimVfs;

use super::{dir, options};

/// With what a document was written with in the log, and nothing in memory.
pub(crate) fn with_log() -> DbOptions {
    let mut options = options();
    options.keep_segments = 8;
    options.wal_bytes_max = 64 << 20;
    options.document_cache_bytes_max = 0;
    options
}

/// With no more of the log than must be.
pub(crate) fn without_log() -> DbOptions {
    let mut options = options();
    options.document_cache_bytes_max = 0;
    options
}

/// The database's files whose path below its directory begins so.
pub(crate) fn files(vfs: &SimVfs, prefix: &str) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        let below = path.strip_prefix(dir()).ok();
        below.is_some_and(|path| path.to_string_lossy().starts_with(prefix))
    };
    vfs.files().into_iter().filter(is_one).collect()
}

/// Where these bytes begin in files whose path below the database's directory begins so.
pub(crate) fn places(vfs: &SimVfs, prefix: &str, bytes: &[u8]) -> Vec<(PathBuf, u64)> {
    let mut places = Vec::new();
    for path in files(vfs, prefix) {
        let contents = vfs.read_file(&path).unwrap();
        let mut windows = contents.windows(bytes.len()).enumerate();
        places.extend(
            windows
                .by_ref()
                .filter(|(_, window)| *window == bytes)
                .map(|(at, _)| (path.clone(), at as u64)),
        );
    }
    places
}

/// Where this document lies in data files.
pub(crate) fn frames_of(vfs: &SimVfs, document: &[u8]) -> Vec<(PathBuf, u64)> {
    places(vfs, "data-", document)
}

/// Inverts a bit of this document in every data file that has it.
pub(crate) fn damage_document(vfs: &SimVfs, document: &[u8]) {
    let places = frames_of(vfs, document);
    assert!(!places.is_empty(), "no data file has it");
    for (path, at) in places {
        vfs.flip_bit(&path, at + document.len() as u64 / 2, 2)
            .unwrap();
    }
}
