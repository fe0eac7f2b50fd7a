//! A simulated disk whose operations call a test first: to count, to block, to panic.

use std::fmt;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use docdb_wal::vfs::sim::SimVfs;
use docdb_wal::vfs::{DirLock, IoOp, OpenMode, Result, Vfs, VfsFile};

type Hook = Arc<dyn Fn(IoOp, &Path) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct HookVfs {
    pub(crate) inner: SimVfs,
    hook: Hook,
    /// Bytes that were asked for by reads.
    pub(crate) read_bytes: Arc<AtomicU64>,
}

impl HookVfs {
    pub(crate) fn new(inner: SimVfs, hook: impl Fn(IoOp, &Path) + Send + Sync + 'static) -> Self {
        Self {
            inner,
            hook: Arc::new(hook),
            read_bytes: Arc::default(),
        }
    }
}

impl fmt::Debug for HookVfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Vfs for HookVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        if mode == OpenMode::CreateNew {
            (self.hook)(IoOp::Open, path);
        }
        Ok(Arc::new(HookFile {
            inner: self.inner.open(path, mode)?,
            path: path.to_path_buf(),
            hook: Arc::clone(&self.hook),
            read_bytes: Arc::clone(&self.read_bytes),
        }))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
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
        self.inner.remove_dir(path)
    }

    fn lock_dir(&self, path: &Path) -> Result<Box<dyn DirLock>> {
        self.inner.lock_dir(path)
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.inner.fill_random(buf);
    }
}

struct HookFile {
    inner: Arc<dyn VfsFile>,
    path: PathBuf,
    hook: Hook,
    read_bytes: Arc<AtomicU64>,
}

impl fmt::Debug for HookFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl VfsFile for HookFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.read_bytes
            .fetch_add(buf.len() as u64, Ordering::SeqCst);
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

/// A door that a thread stands at until a test lets it pass.
#[derive(Default)]
pub(crate) struct Gate {
    state: parking_lot::Mutex<GateState>,
    changed: parking_lot::Condvar,
}

#[derive(Default)]
struct GateState {
    shut: bool,
    standing: usize,
}

impl Gate {
    pub(crate) fn shut(&self) {
        self.state.lock().shut = true;
    }

    pub(crate) fn open(&self) {
        self.state.lock().shut = false;
        self.changed.notify_all();
    }

    /// Waits until somebody stands at the shut gate.
    pub(crate) fn wait_for_one(&self) {
        let mut state = self.state.lock();
        while state.standing == 0 {
            self.changed.wait(&mut state);
        }
    }

    pub(crate) fn pass(&self) {
        let mut state = self.state.lock();
        state.standing += 1;
        self.changed.notify_all();
        while state.shut {
            self.changed.wait(&mut state);
        }
        state.standing -= 1;
    }
}
