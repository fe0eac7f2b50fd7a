//! Reads that must not wait: on a disk whose page cache can be emptied.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use docdb_index::{
    Direction, Index, IndexError, IndexOptions, Key, Lookup, Place, Pointer, ReadMode, Run,
    RunIdentity, RunWriter,
};
use docdb_mvcc::{CommitTs, Current};
use docdb_vfs::sim::SimVfs;
use docdb_vfs::{DirLock, OpenMode, Result, Vfs, VfsFile};

/// A simulated disk that answers reads at once only while it is warm.
#[derive(Debug)]
struct Cached {
    disk: SimVfs,
    warm: Arc<AtomicBool>,
}

#[derive(Debug)]
struct CachedFile {
    file: Arc<dyn VfsFile>,
    warm: Arc<AtomicBool>,
}

impl Vfs for Cached {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(CachedFile {
            file,
            warm: Arc::clone(&self.warm),
        }))
    }
    fn create_dir(&self, path: &Path) -> Result<()> {
        self.disk.create_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.disk.sync_dir(path)
    }
    fn list(&self, path: &Path) -> Result<Vec<String>> {
        self.disk.list(path)
    }
    fn exists(&self, path: &Path) -> Result<bool> {
        self.disk.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.disk.remove_dir(path)
    }
    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>> {
        self.disk.lock_dir(path)
    }
    fn now(&self) -> Duration {
        self.disk.now()
    }
    fn fill_random(&self, buf: &mut [u8]) {
        self.disk.fill_random(buf);
    }
}

impl VfsFile for CachedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        if !self.warm.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.file.read_at(buf, offset).map(Some)
    }
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(buf, offset)
    }
    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.file.write_vectored_all_at(bufs, offset)
    }
    fn sync_data(&self) -> Result<()> {
        self.file.sync_data()
    }
    fn len(&self) -> Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }
    fn allocate(&self, len: u64) -> Result<()> {
        self.file.allocate(len)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At(u8);

impl Pointer for At {
    const BYTES: usize = 1;
    fn encode(self, bytes: &mut [u8]) {
        bytes[0] = self.0;
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.first().map(|byte| At(*byte))
    }
}

#[test]
fn what_is_not_in_memory_answers_would_block_and_then_goes_on() {
    let warm = Arc::new(AtomicBool::new(false));
    let vfs = Cached {
        disk: SimVfs::new(1),
        warm: Arc::clone(&warm),
    };
    let identity = RunIdentity { number: 1, salt: 1 };
    let mut writer = RunWriter::create(&vfs, Path::new("/run"), identity).unwrap();
    for id in 0..2000 {
        writer
            .push(Key::new(1, id), CommitTs(5), Some(At(7)))
            .unwrap();
    }
    writer.finish().unwrap();
    let run = Run::open(&vfs, Path::new("/run"), identity).unwrap();
    let index: Index<Arc<[u8]>, At> = Index::new(IndexOptions::default(), vec![Arc::new(run)]);
    index.install(
        Key::new(1, 3),
        CommitTs(6),
        Place::Deleted,
        &CommitTs(5).into(),
    );

    let at = CommitTs(6);
    let get = |id| index.get(Key::new(1, id), at, ReadMode::NoWait);
    assert_eq!(get(3).unwrap(), Lookup::Absent, "known in memory");
    assert_eq!(get(5000).unwrap(), Lookup::Absent, "beyond the run");
    assert!(matches!(get(4), Err(IndexError::WouldBlock)));
    let look = index.look(Key::new(1, 4), ReadMode::NoWait);
    assert!(matches!(look, Err(IndexError::WouldBlock)));
    let look = index.look(Key::new(1, 3), ReadMode::NoWait).unwrap();
    assert_eq!(
        (look.current(), look.newest_ts()),
        (Current::Absent, CommitTs(6))
    );

    // A scan loses its place neither to a read that would wait nor between the two.
    let mut scan = index.scan(
        Key::new(1, 0),
        Key::new(1, u64::MAX),
        Direction::Ascending,
        at,
    );
    let mut found = Vec::new();
    let mut refused = 0;
    warm.store(true, Ordering::SeqCst);
    while !scan.is_done() {
        // Cold and warm by turns.
        warm.fetch_not(Ordering::SeqCst);
        match scan.next_chunk(&index, 100, ReadMode::NoWait) {
            Ok(chunk) => found.extend(chunk.into_iter().map(|(key, _)| key.id)),
            Err(IndexError::WouldBlock) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 5, "{refused}");
    assert!(found.into_iter().eq((0..2000).filter(|id| *id != 3)));
    warm.store(true, Ordering::SeqCst);
    assert!(matches!(get(4), Ok(Lookup::Found(version)) if version.ts == CommitTs(5)));

    // A reader below what the run holds is told so after a restart.
    let old = index
        .get(Key::new(1, 4), CommitTs(4), ReadMode::Blocking)
        .unwrap();
    assert_eq!(old, Lookup::Pruned);
}
