//! Writes documents to an index, checkpoints them to a run, deletes one, and scans both layers.

use std::error::Error;
use std::sync::Arc;

use docdb_index::{
    Direction, Index, IndexOptions, Key, Place, Pointer, ReadMode, Run, RunIdentity, RunWriter,
    run_file_name,
};
use docdb_mvcc::CommitTs;
use docdb_vfs::{RealVfs, Vfs};

/// Where a body lies: an offset in some file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offset(u64);

impl Pointer for Offset {
    const BYTES: usize = 8;

    fn encode(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Offset(u64::from_le_bytes(bytes.try_into().ok()?)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let vfs = RealVfs::new();
    let dir = std::env::temp_dir().join(format!("docdb-index-example-{}", std::process::id()));
    vfs.create_dir(&dir)?;
    let path = dir.join(run_file_name(1));

    let index: Index<Arc<[u8]>, Offset> = Index::new(IndexOptions::default(), Vec::new());
    let mut ts = CommitTs::ZERO;
    for id in 1..=5 {
        ts = ts.next();
        let body: Arc<[u8]> = Arc::from(format!("{{\"n\":{id}}}").into_bytes());
        index.install(Key::new(1, id), ts, Place::Memory(body), &ts.into());
    }

    let checkpoint_ts = ts;
    let frozen = index.freeze()?;
    let identity = RunIdentity {
        number: 1,
        salt: 0x5eed,
    };
    let mut writer = RunWriter::create(&vfs, &path, identity)?;
    let mut newest = frozen.sorted_newest(checkpoint_ts);
    loop {
        let chunk = newest.next_chunk(100)?;
        if chunk.is_empty() {
            break;
        }
        for (key, version) in chunk {
            writer.push(
                key,
                version.ts,
                version.is_live().then_some(Offset(key.id * 4096)),
            )?;
        }
    }
    let meta = writer.finish()?;
    vfs.sync_dir(&dir)?;
    println!(
        "the checkpoint holds {} documents in {} bytes",
        meta.entries,
        meta.file_bytes()
    );
    let run = Run::open(&vfs, &path, identity)?;
    index.publish(Some(Arc::new(run)), checkpoint_ts)?;
    index.release_retired(&checkpoint_ts.into());

    ts = ts.next();
    index.install(Key::new(1, 3), ts, Place::Deleted, &ts.into());
    let (from, to) = (Key::new(1, 0), Key::new(1, u64::MAX));
    let mut scan = index.scan(from, to, Direction::Descending, ts);
    while !scan.is_done() {
        for (key, version) in scan.next_chunk(&index, 100, ReadMode::Blocking)? {
            println!(
                "document {key}, version {}, at {:?}",
                version.ts, version.place
            );
        }
    }

    vfs.remove_file(&path)?;
    vfs.remove_dir(&dir)?;
    Ok(())
}
