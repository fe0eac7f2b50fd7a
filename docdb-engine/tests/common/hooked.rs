//! A file system on which something happens just before files of one kind are synced.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::vfs::{DirLock, OpenMode, Result, Vfs, VfsFile};
use parking_lot::Mutex;

type Hook = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// The next sync of a file whose name begins so calls what is hooked, once.
#[derive(Clone)]
pub(crate) struct Hooked {
    vfs: SimVfs,
    prefix: &'static str,
    hook: Arc<Hook>,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooked").finish_non_exhaustive()
    }
}

impl Hooked {
    pub(crate) fn new(vfs: &SimVfs, prefix: &'static str) -> Hooked {
        Hooked {
            vfs: vfs.clone(),
            prefix,
            hook: Arc::default(),
        }
    }

    pub(crate) fn hook(&self, what: impl FnOnce() + Send + 'static) {
        *self.hook.lock() = Some(Box::new(what));
    }

    pub(crate) fn is_hooked(&self) -> bool {
        self.hook.lock().is_some()
    }
}

impl Vfs for Hooked {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn VfsFile>> {
        let file = self.vfs.open(path, mode)?;
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(self.prefix)) {
            return Ok(Arc::new(HookedFile(file, Arc::clone(&self.hook))));
        }
        Ok(file)
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
        self.vfs.now()
    }

    fn fill_random(&self, buf: &mut [u8]) {
        self.vfs.fill_random(buf);
    }
}

struct HookedFile(Arc<dyn VfsFile>, Arc<Hook>);

impl std::fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl VfsFile for HookedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn read_at_nowait(&self, buf: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.0.read_at_nowait(buf, offset)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn write_vectored_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.0.write_vectored_all_at(bufs, offset)
    }

    fn sync_data(&self) -> Result<()> {
        let hook = self.1.lock().take();
        if let Some(hook) = hook {
            hook();
        }
        self.0.sync_data()
    }

    fn len(&self) -> Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.0.allocate(len)
    }
}
