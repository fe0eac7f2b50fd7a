//! A disk that tells of what is written, and may have clocks of its own.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::vfs::{DirLock, OpenMode, Result, Vfs, VfsFile};

/// Two clocks: that of the writer, and that of who takes checkpoints.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    pub(super) writer_nanos: AtomicU64,
    pub(super) disk_nanos: AtomicU64,
    pub(super) is_writing: AtomicBool,
}

impl Clocks {
    fn current(&self) -> &AtomicU64 {
        if self.is_writing.load(Ordering::Relaxed) {
            &self.writer_nanos
        } else {
            &self.disk_nanos
        }
    }
}

/// Told how many bytes were written to a data file or a run.
pub(super) type OnWrite = Arc<dyn Fn(u64) + Send + Sync>;

/// A disk that tells somebody of what is written to data files and runs.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) vfs: SimVfs,
    /// The disk's own clock counts else.
    pub(super) clocks: Option<Arc<Clocks>>,
    pub(super) on_write: OnWrite,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

impl Vfs for Told {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        let file = self.vfs.open(path, mode)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("data-") && !name.starts_with("run-") {
            return Ok(file);
        }
        let on_write = Arc::clone(&self.on_write);
        Ok(Arc::new(ToldFile { file, on_write }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.vfs.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.vfs.sync_dir(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        self.vfs.list(path)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.vfs.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.vfs.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.vfs.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.vfs.remove_dir(path)
    }

    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>> {
        self.vfs.lock_dir(path)
    }

    fn now(&self) -> Duration {
        match &self.clocks {
            Some(clocks) => Duration::from_nanos(clocks.current().load(Ordering::Relaxed)),
            None => self.vfs.now(),
        }
    }

    fn sleep(&self, time: Duration) {
        match &self.clocks {
            Some(clocks) => {
                let nanos = time.as_nanos() as u64;
                clocks.current().fetch_add(nanos, Ordering::Relaxed);
            }
            None => self.vfs.sleep(time),
        }
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.vfs.fill_random(buf);
    }
}

struct ToldFile {
    file: Arc<dyn VfsFile>,
    on_write: OnWrite,
}

impl std::fmt::Debug for ToldFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

impl VfsFile for ToldFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.file.read_at_nowait(buf, offset)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(buf, offset)?;
        (self.on_write)(buf.len() as u64);
        Ok(())
    }

    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.file.write_vectored_all_at(bufs, offset)?;
        (self.on_write)(bufs.iter().map(|buf| buf.len() as u64).sum());
        Ok(())
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
