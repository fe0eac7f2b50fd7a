//! A simulated disk that calls somebody before every operation that it counts.

use std::fmt;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::vfs::{DirLock, IoOp, OpenMode, Result, Vfs, VfsFile};

type Hook = Arc<dyn Fn(IoOp, &Path) + Send + Sync>;

/// A disk whose operations call a hook first.
#[derive(Clone)]
pub(crate) struct Hooked {
    inner: SimVfs,
    hook: Hook,
}

impl Hooked {
    pub(crate) fn new(inner: &SimVfs, hook: impl Fn(IoOp, &Path) + Send + Sync + 'static) -> Self {
        Self {
            inner: inner.clone(),
            hook: Arc::new(hook),
        }
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Vfs for Hooked {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        if mode == OpenMode::CreateNew {
            (self.hook)(IoOp::Open, path);
        }
        let inner = self.inner.open(path, mode)?;
        if mode == OpenMode::Read {
            return Ok(inner);
        }
        Ok(Arc::new(HookedFile {
            inner,
            path: path.to_path_buf(),
            hook: Arc::clone(&self.hook),
        }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        (self.hook)(IoOp::CreateDir, path);
        self.inner.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        (self.hook)(IoOp::SyncDir, path);
        self.inner.sync_dir(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        self.inner.list(path)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.inner.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        (self.hook)(IoOp::Rename, to);
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        (self.hook)(IoOp::Remove, path);
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        (self.hook)(IoOp::Remove, path);
        self.inner.remove_dir(path)
    }

    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>> {
        self.inner.lock_dir(path)
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn sleep(&self, time: Duration) {
        self.inner.sleep(time);
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.inner.fill_random(buf);
    }
}

struct HookedFile {
    inner: Arc<dyn VfsFile>,
    path: PathBuf,
    hook: Hook,
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl VfsFile for HookedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.inner.read_at_nowait(buf, offset)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.inner.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        (self.hook)(IoOp::Write, &self.path);
        self.inner.write_all_at(buf, offset)
    }

    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        (self.hook)(IoOp::Write, &self.path);
        self.inner.write_vectored_all_at(bufs, offset)
    }

    fn sync_data(&self) -> Result<()> {
        (self.hook)(IoOp::Sync, &self.path);
        self.inner.sync_data()
    }

    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        (self.hook)(IoOp::SetLen, &self.path);
        self.inner.set_len(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        (self.hook)(IoOp::Allocate, &self.path);
        self.inner.allocate(len)
    }
}
