//! A simulated disk that calls somebody before every operation that it counts.

use std::fmt;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::vfs::{DirLock, IoError, IoOp, OpenMode, Result, Vfs, VfsFile};

type Hook = Arc<dyn Fn(IoOp, &Path) + Send + Sync>;

/// Whether the process lives that uses a disk. All that changes anything fails for one that does not:
/// whatever it still does when its parts are dropped, it does no more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dead(Arc<AtomicBool>);

impl Dead {
    pub(crate) fn die(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self, op: IoOp, path: &Path) -> Result<()> {
        if self.0.load(Ordering::SeqCst) {
            let why = std::io::Error::other("the process was killed");
            return Err(IoError::new(op, path, why));
        }
        Ok(())
    }
}

/// A disk whose operations call a hook first.
#[derive(Clone)]
pub(crate) struct Hooked {
    inner: SimVfs,
    hook: Hook,
    dead: Dead,
}

impl Hooked {
    pub(crate) fn new(inner: &SimVfs, hook: impl Fn(IoOp, &Path) + Send + Sync + 'static) -> Self {
        Self {
            inner: inner.clone(),
            hook: Arc::new(hook),
            dead: Dead::default(),
        }
    }

    /// As another process uses it, which can be killed.
    pub(crate) fn anew(&self) -> (Self, Dead) {
        let dead = Dead::default();
        let vfs = Self {
            dead: dead.clone(),
            ..self.clone()
        };
        (vfs, dead)
    }

    fn before(&self, op: IoOp, path: &Path) -> Result<()> {
        self.dead.check(op, path)?;
        (self.hook)(op, path);
        Ok(())
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
            self.before(IoOp::Open, path)?;
        }
        let inner = self.inner.open(path, mode)?;
        if mode == OpenMode::Read {
            return Ok(inner);
        }
        Ok(Arc::new(HookedFile {
            inner,
            path: path.to_path_buf(),
            hook: Arc::clone(&self.hook),
            dead: self.dead.clone(),
        }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.before(IoOp::CreateDir, path)?;
        self.inner.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.before(IoOp::SyncDir, path)?;
        self.inner.sync_dir(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        self.inner.list(path)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.inner.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.before(IoOp::Rename, to)?;
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.before(IoOp::Remove, path)?;
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.before(IoOp::Remove, path)?;
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
    dead: Dead,
}

impl HookedFile {
    fn before(&self, op: IoOp) -> Result<()> {
        self.dead.check(op, &self.path)?;
        (self.hook)(op, &self.path);
        Ok(())
    }
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
        self.before(IoOp::Write)?;
        self.inner.write_all_at(buf, offset)
    }

    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.before(IoOp::Write)?;
        self.inner.write_vectored_all_at(bufs, offset)
    }

    fn sync_data(&self) -> Result<()> {
        self.before(IoOp::Sync)?;
        self.inner.sync_data()
    }

    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.before(IoOp::SetLen)?;
        self.inner.set_len(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.before(IoOp::Allocate)?;
        self.inner.allocate(len)
    }
}
