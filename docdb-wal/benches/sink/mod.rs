//! Where benches write that leave the device out.

use std::hint::black_box;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use docdb_wal::vfs::{DirLock, OpenMode, Result, Vfs, VfsFile};

/// A file system that takes everything and keeps nothing.
#[derive(Debug)]
pub(crate) struct Sink;

#[derive(Debug)]
struct NoLock;

impl DirLock for NoLock {}

impl Vfs for Sink {
    fn open(&self, _: &Path, _: OpenMode) -> Result<Arc<dyn VfsFile>> {
        Ok(Arc::new(Sink))
    }
    fn create_dir(&self, _: &Path) -> Result<()> {
        Ok(())
    }
    fn sync_dir(&self, _: &Path) -> Result<()> {
        Ok(())
    }
    fn list(&self, _: &Path) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn exists(&self, _: &Path) -> Result<bool> {
        Ok(false)
    }
    fn rename(&self, _: &Path, _: &Path) -> Result<()> {
        Ok(())
    }
    fn remove_file(&self, _: &Path) -> Result<()> {
        Ok(())
    }
    fn remove_dir(&self, _: &Path) -> Result<()> {
        Ok(())
    }
    fn lock_dir(&self, _: &Path) -> Result<Box<dyn DirLock>> {
        Ok(Box::new(NoLock))
    }
    fn now(&self) -> Duration {
        Duration::ZERO
    }
    fn fill_random(&self, buf: &mut [u8]) {
        buf.fill(7);
    }
}

impl VfsFile for Sink {
    fn read_at(&self, _: &mut [u8], _: u64) -> Result<usize> {
        Ok(0)
    }
    fn read_at_nowait(&self, _: &mut [u8], _: u64) -> Result<Option<usize>> {
        Ok(Some(0))
    }
    fn read_exact_at(&self, _: &mut [u8], _: u64) -> Result<()> {
        Ok(())
    }
    fn write_all_at(&self, buf: &[u8], _: u64) -> Result<()> {
        black_box(buf);
        Ok(())
    }
    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], _: u64) -> Result<()> {
        black_box(bufs);
        Ok(())
    }
    fn sync_data(&self) -> Result<()> {
        Ok(())
    }
    fn len(&self) -> Result<u64> {
        Ok(0)
    }
    fn set_len(&self, _: u64) -> Result<()> {
        Ok(())
    }
    fn allocate(&self, _: u64) -> Result<()> {
        Ok(())
    }
}
